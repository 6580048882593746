package api_test

import (
	"strings"
	"testing"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/audit"
)

// The kill switch by its routes: quick to throw, and resumed with a proof of
// exactly that alone. A Run, whose token is the Worker's, reaches none of it.
func TestTheKillSwitchIsThrownAtOnceAndResumedWithAProof(t *testing.T) {
	o := open(t, "requester", "builder", "approver", "auditor", "admin")
	s := o.run()
	all := map[string]any{"kind": "all", "reason": "it looks wrong"}
	for _, token := range []string{s.Token, o.as("requester"), o.as("builder"), o.as("auditor"), o.as("approver")} {
		o.call(token, "POST", "/v1/stops", all, 403, nil)
	}
	for _, bad := range []map[string]any{
		{"kind": "all"}, {"kind": "all", "name": "x", "reason": "y"}, {"kind": "run", "reason": "y"}, {"kind": "world", "name": "x", "reason": "y"},
		{"kind": "all", "reason": string(make([]byte, 400))},
	} {
		o.call(o.as("admin"), "POST", "/v1/stops", bad, 400, nil)
	}
	o.call(o.as("admin"), "POST", "/v1/stops", map[string]any{"kind": "run", "name": "run_none", "reason": "y"}, 404, nil)
	o.call(o.as("admin"), "POST", "/v1/stops", map[string]any{"kind": "connection", "name": "none", "reason": "y"}, 404, nil)
	var l api.Stops
	if o.call(o.as("auditor"), "GET", "/v1/stops", nil, 200, &l); len(l.Stops) != 0 {
		t.Fatalf("%+v", l)
	}

	o.call(o.as("admin"), "POST", "/v1/stops", all, 200, nil)
	o.call(o.as("admin"), "POST", "/v1/stops", map[string]any{"kind": "run", "name": s.Run.ID, "reason": "the leaked " + canary}, 200, nil)
	if o.call(o.as("approver"), "GET", "/v1/stops", nil, 200, &l); len(l.Stops) != 2 || l.Stops[0].Reason != "it looks wrong" {
		t.Errorf("%+v", l)
	}
	for _, st := range l.Stops {
		if len(st.Reason) > 300 || strings.Contains(st.Reason, canary) {
			t.Errorf("the reason %q holds a secret", st.Reason)
		}
	}
	o.call(o.as("requester"), "GET", "/v1/stops", nil, 403, nil)
	w := o.do(s.Token, "POST", "/v1/runs/"+s.Run.ID+"/intents", map[string]any{"connection": "erp", "tool": "create", "reason": "x", "args": map[string]any{}})
	if p := problem(t, w); w.Code != 503 || strings.Contains(p.Detail+p.Hint, "it looks wrong") {
		t.Errorf("the Worker gets %d: %s", w.Code, w.Body)
	}
	o.call(o.as("requester"), "POST", "/v1/missions/order/runs", map[string]any{"outside": true}, 503, nil)

	o.call(o.as("admin"), "POST", "/v1/stops/resume", all, 403, nil)
	wrong := o.proof("admin", all)
	wrong["code"] = "000000"
	o.call(o.as("admin"), "POST", "/v1/stops/resume", wrong, 401, nil)
	o.call(o.as("approver"), "POST", "/v1/stops/resume", o.proof("approver", all), 403, nil)
	o.call(s.Token, "POST", "/v1/stops/resume", o.proof("admin", all), 403, nil)
	if o.call(o.as("admin"), "GET", "/v1/stops", nil, 200, &l); len(l.Stops) != 2 {
		t.Fatalf("a refused resumption resumed: %+v", l)
	}
	o.call(o.as("admin"), "POST", "/v1/stops/resume", o.proof("admin", all), 204, nil)
	o.call(o.as("admin"), "POST", "/v1/stops/resume", o.proof("admin", all), 404, nil)
	o.call(o.as("admin"), "POST", "/v1/stops/resume", o.proof("admin", map[string]any{"kind": "run", "name": s.Run.ID, "reason": "well"}), 204, nil)
	if o.call(o.as("admin"), "GET", "/v1/stops", nil, 200, &l); len(l.Stops) != 0 {
		t.Errorf("%+v", l)
	}
	for typ, want := range map[audit.Type]int{audit.StopSet: 2, audit.StopLifted: 2} {
		var page struct{ Entries []map[string]any }
		if o.call(o.as("auditor"), "GET", "/v1/audit/entries?type="+string(typ), nil, 200, &page); len(page.Entries) != want {
			t.Errorf("%s: %d entries", typ, len(page.Entries))
		}
	}
}
