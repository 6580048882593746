package api_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/vault"
)

// What a Worker sent is an incident with a story, for admins and auditors; the
// Worker and who started the Run see that something was met, and not what.
func TestAnIncidentIsForThoseWhoMayKnowTheName(t *testing.T) {
	o := open(t, "requester", "auditor", "admin")
	s := o.run()
	sends := func(where string) *httptest.ResponseRecorder {
		t.Helper()
		w := o.do(s.Token, "POST", "/v1/runs/"+s.Run.ID+"/intents", map[string]any{"connection": "erp", "tool": "create", "reason": "x", "args": map[string]any{where: []any{1, canary}}})
		if p := problem(t, w); w.Code != 403 || strings.Contains(p.Detail+p.Hint, where) {
			t.Errorf("the Worker gets %d: %s", w.Code, w.Body)
		}
		return w
	}
	sends("note")
	sends("note")
	var all strings.Builder
	for _, token := range []string{s.Token, o.as("requester")} {
		for _, path := range []string{"", "/intents", "/observations?limit=500"} {
			all.WriteString(o.do(token, "GET", "/v1/runs/"+s.Run.ID+path, nil).Body.String())
		}
	}
	all.WriteString(o.do(o.as("requester"), "GET", "/v1/runs", nil).Body.String())
	if text := all.String(); strings.Contains(text, "erp-token") || strings.Contains(text, "inc_") || strings.Contains(text, "/note") || !strings.Contains(text, `"incidents":2`) {
		t.Errorf("the requester and the Worker see: %s", text)
	}

	var l api.Incidents
	o.call(o.as("auditor"), "GET", "/v1/incidents?state=open&kind=sent&secret=erp-token&run="+s.Run.ID, nil, 200, &l)
	if len(l.Incidents) != 1 || l.Open != 1 || l.Incidents[0].Count != 2 || l.Incidents[0].Place != "arguments: /note/1" || l.Incidents[0].Secret != "erp-token" {
		t.Fatalf("%+v", l)
	}
	o.call(o.as("auditor"), "GET", "/v1/incidents?state=half", nil, 400, nil)
	o.call(o.as("requester"), "GET", "/v1/incidents", nil, 403, nil)
	path := "/v1/incidents/" + l.Incidents[0].ID
	o.call(s.Token, "GET", path, nil, 403, nil)
	o.call(o.as("requester"), "GET", path, nil, 403, nil)
	var shown incident.Shown
	o.call(o.as("auditor"), "GET", path, nil, 200, &shown)
	if h := shown.Story.Hypotheses; len(h) != 2 || h[0].Code != "never_used" || h[1].Code != "probing" || len(shown.Story.Next) < 4 {
		t.Errorf("it is told as %+v", shown.Story)
	}

	rotated := map[string]any{"outcome": "rotated"}
	o.call(o.as("auditor"), "POST", path+"/close", rotated, 403, nil)
	o.call(o.as("admin"), "POST", path+"/close", rotated, 409, nil)
	o.call(o.as("admin"), "POST", path+"/close", map[string]any{"outcome": "explained", "note": "it was " + canary}, 403, nil)
	_, err := o.app.Vault.Rotate(t.Context(), vault.Write{Tenant: tenant, Name: "erp-token", Actor: system, Fields: map[string][]byte{"token": []byte(canary + "-next")}})
	o.must(err)
	var closed incident.Incident
	o.call(o.as("admin"), "POST", path+"/close", rotated, 200, &closed)
	if closed.State != incident.Closed || closed.Outcome != incident.Rotated || closed.ClosedName != "admin" {
		t.Errorf("%+v", closed)
	}
	o.call(o.as("admin"), "POST", path+"/close", rotated, 409, nil)
	o.call(o.as("auditor"), "GET", "/v1/incidents?state=open", nil, 200, &l)
	if l.Open != 0 || len(l.Incidents) != 0 {
		t.Errorf("%+v", l)
	}
	if w := o.do(o.as("auditor"), "GET", path, nil); strings.Contains(w.Body.String(), canary) {
		t.Errorf("the value is in %s", w.Body)
	}
}

// What is in quarantine becomes a Secret, or is let through, and nobody sees it.
func TestWhatIsInQuarantineIsJudged(t *testing.T) {
	o := open(t, "auditor", "admin")
	in := func(value, place string) incident.Incident {
		t.Helper()
		name, err := o.app.Vault.Quarantine(t.Context(), vault.Found{Tenant: tenant, Value: []byte(value), Note: "met", Actor: system, What: vault.Quarantined{Rule: "gitlab-token", Sure: true}})
		o.must(err)
		return o.meets(place, name)
	}
	const one, two = "glpat-Zx81kQ0vT5mBn2WcY7ra", "glpat-Hw39pL6sD4jRf8UgE1tk"
	first, second := in(one, "answer: /a"), in(two, "answer: /b")
	admin := o.as("admin")
	o.call(admin, "POST", "/v1/incidents/"+first.ID+"/promote", map[string]any{"name": "erp-token"}, 200, nil)
	var p api.PromotedSecret
	o.call(admin, "POST", "/v1/incidents/"+first.ID+"/promote", map[string]any{"name": "erp-token"}, 409, nil)
	third := in("glpat-Kq77bV2xN9cJm4TsW6ye", "answer: /c")
	o.call(admin, "POST", "/v1/incidents/"+third.ID+"/promote", map[string]any{"name": "minted"}, 400, nil) // a new one names where it may go
	o.call(admin, "POST", "/v1/incidents/"+third.ID+"/promote", map[string]any{"name": "minted", "field": "key", "scope": map[string]any{"origins": []string{"https://erp.example"}}}, 200, &p)
	if p.Secret.Name != "minted" || len(p.Secret.Versions) != 1 || p.Secret.Versions[0].Fields[0] != "key" || p.Incident.Outcome != incident.Promoted {
		t.Errorf("%+v", p)
	}
	o.call(o.as("auditor"), "POST", "/v1/incidents/"+second.ID+"/dismiss", map[string]any{}, 403, nil)
	o.call(admin, "POST", "/v1/incidents/"+second.ID+"/dismiss", map[string]any{"note": "a request id"}, 200, nil)
	if !o.app.Vault.Dismissed(tenant, []byte(two)) || o.app.Vault.Dismissed(tenant, []byte(one)) {
		t.Error("another value was let through")
	}
	s, err := o.app.Vault.Show(t.Context(), tenant, "erp-token")
	if o.must(err); len(s.Versions) != 2 || s.Versions[1].State != vault.Pending {
		t.Errorf("%+v", s)
	}
	for _, state := range []string{"open", "closed"} {
		if text := o.do(admin, "GET", "/v1/incidents?state="+state, nil).Body.String(); strings.Contains(text, "glpat") || strings.Contains(text, "[]") != (state == "open") {
			t.Errorf("%s: %s", state, text)
		}
	}
}

// meets puts on the record that a system's answer had something, which the vault
// keeps under a name.
func (o *office) meets(place, name string) incident.Incident {
	o.t.Helper()
	i := incident.New(incident.Met, tenant, "person:"+string(ident.Auditor), place, o.now())
	i.Rule, i.Quarantine = "gitlab-token", name
	_, err := o.app.Gate.Runs.Incident(o.t.Context(), i, audit.Event{Type: audit.IncidentOpened, Tenant: tenant, At: i.At, Actor: i.Actor,
		Fields: map[string]any{"kind": i.Kind, "rule": i.Rule, "name": name}}, explain.Observation{})
	o.must(err)
	return i
}
