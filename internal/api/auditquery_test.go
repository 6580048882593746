package api_test

import (
	"net/url"
	"strings"
	"testing"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/audit"
)

func TestAnAuditorAsksWhoDidWhatAndNobodyElseDoes(t *testing.T) {
	o := open(t, "requester", "approver", "auditor", "admin")
	s := o.run()
	var a audit.Answer
	o.call(o.as("auditor"), "GET", "/v1/audit/query?run="+s.Run.ID, nil, 200, &a)
	if len(a.Uses) == 0 || a.Uses[0].Run != s.Run.ID {
		t.Errorf("%+v", a)
	}
	o.call(o.as("auditor"), "GET", "/v1/audit/query?person=requester&mission=order", nil, 200, &a)
	if len(a.Uses) == 0 || !strings.HasPrefix(a.Uses[0].Starter, "person:acc_") {
		t.Errorf("%+v", a)
	}
	for query, status := range map[string]int{"": 400, "person=nobody": 404, "since=yesterday": 400, "run=x&limit=0": 400, "run=x&before=-1": 400, "run=x&limit=many": 400,
		"since=2026-11-23T12:00:00Z&until=2026-11-23T11:00:00Z": 400, "record=" + strings.Repeat("x", 1001): 400, "record=%00": 200, "record=" + url.QueryEscape(canary): 200} {
		w := o.do(o.as("auditor"), "GET", "/v1/audit/query?"+query, nil)
		if w.Code != status || strings.Contains(w.Body.String(), canary) {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
	o.call(o.as("requester"), "GET", "/v1/audit/query?run="+s.Run.ID, nil, 403, nil)
	o.call(s.Token, "GET", "/v1/audit/query?run="+s.Run.ID, nil, 403, nil)
	o.call(o.as("admin"), "POST", "/v1/audit/reindex", nil, 204, nil)
}

func TestErasingTakesAnAdminAFreshProofAndNoHold(t *testing.T) {
	o := open(t, "requester", "approver", "auditor", "admin")
	s := o.run()
	erase := "/v1/runs/" + s.Run.ID + "/erase"
	proof := func(in map[string]any) map[string]any {
		in["password"], in["code"] = password("admin"), o.code("admin")
		return in
	}
	why := func() map[string]any { return map[string]any{"why": "asked for, by " + canary} }
	o.call(o.as("admin"), "POST", erase, proof(why()), 409, nil) // it goes on
	o.call(o.as("admin"), "POST", "/v1/runs/"+s.Run.ID+"/stop", nil, 204, nil)
	o.call(o.as("admin"), "POST", erase, why(), 403, nil)
	o.call(o.as("auditor"), "POST", erase, proof(why()), 403, nil)

	hold := func() map[string]any { return map[string]any{"kind": "run", "name": s.Run.ID, "why": "a case"} }
	o.call(o.as("auditor"), "POST", "/v1/holds", hold(), 200, nil)
	o.call(o.as("auditor"), "POST", "/v1/holds", hold(), 409, nil)
	o.call(o.as("approver"), "POST", "/v1/holds", hold(), 403, nil)
	o.call(o.as("admin"), "POST", "/v1/holds", map[string]any{"kind": "world", "name": "x", "why": "x"}, 400, nil)
	o.call(o.as("admin"), "POST", "/v1/holds", map[string]any{"kind": "record", "name": canary, "why": "x"}, 403, nil)
	var l api.Holds
	if o.call(o.as("auditor"), "GET", "/v1/holds", nil, 200, &l); len(l.Holds) != 1 || l.Holds[0].Name != s.Run.ID {
		t.Errorf("%+v", l)
	}
	o.call(o.as("admin"), "POST", erase, proof(why()), 409, nil)
	o.call(o.as("admin"), "POST", "/v1/holds/lift", hold(), 403, nil)
	o.call(o.as("admin"), "POST", "/v1/holds/lift", proof(hold()), 204, nil)
	o.call(o.as("admin"), "POST", "/v1/holds/lift", proof(hold()), 404, nil)
	o.call(o.as("admin"), "POST", erase, proof(why()), 200, nil)
	w := o.do(o.as("auditor"), "GET", "/v1/audit/entries?type=bodies.erased", nil)
	if !strings.Contains(w.Body.String(), `"kind":"request"`) || strings.Contains(w.Body.String(), canary) {
		t.Errorf("%s", w.Body)
	}
}
