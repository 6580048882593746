package console_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/vault"
)

func TestAnIncidentIsWorkedThroughOnItsPage(t *testing.T) {
	o := open(t)
	ada, aud, sam := o.hire("ada", ident.Admin).enter(), o.hire("aud", ident.Auditor).enter(), o.hire("sam", ident.Requester).enter()
	o.furnish()
	ada.get("/").want(200).wantNot("/incidents\">1")
	r, err := o.app.Gate.StartRun(t.Context(), sam.acc.Principal(), gate.Start{Mission: "by-hand", Via: "api", Outside: true})
	o.must(err)
	worker := ident.Principal{Tenant: tenant, Kind: ident.Run, ID: r.ID}
	for range 2 {
		_, err = o.app.Gate.Admit(t.Context(), worker, intent.Proposal{Connection: "erp", Tool: "createVendor", Reason: "x",
			Args: json.RawMessage(`{"name":"A","<b>no\u202ete</b>":"use ` + canary + `erp"}`)})
		if err == nil {
			t.Fatal("it was let through")
		}
	}
	l, open, err := o.app.Incidents.List(t.Context(), aud.acc.Principal(), incident.Filter{})
	o.must(err)
	if len(l) != 1 || open != 1 {
		t.Fatalf("%+v", l)
	}
	path := "/incidents/" + l[0].ID
	for _, p := range []*person{ada, aud} {
		p.get("/").want(200, "1 incident to work through")
		p.get("/incidents").want(200, "sent", "erp", "2 times", "<b>no\\u202ete<~1b>").wantNot("<b>", canary)
		p.get(path).want(200, "A Worker sent a known secret", "How could it get there?", "This Run never used erp", "sallyport secret rotate erp",
			"arguments: /<b>no\\u202ete<~1b>").wantNot("<b>", canary)
		p.get("/runs/"+r.ID).want(200, "Look at them")
		p.get("/audit?type=worker.incident").want(200, "Incident")
	}
	aud.get(path).wantNot("Close the incident", "It is a secret")
	if body := sam.get("/runs/"+r.ID).want(200, "Incidents2").body; strings.Contains(body, "/incidents") || strings.Contains(body, "inc_") {
		t.Error("the requester is led to the incident")
	}
	sam.get("/").want(200).wantNot("/incidents")
	sam.get("/incidents").want(403)
	sam.get(path).want(403)
	aud.post(path+"/close", url.Values{"outcome": {"explained"}, "note": {"x"}}).want(403)
	ada.post(path+"/close", url.Values{"outcome": {"explained"}, "note": {"it is " + canary + "erp"}}).want(403, "The incident is as it was", "holds a known secret").wantNot(canary)
	ada.post(path+"/close", url.Values{"outcome": {"rotated"}}).want(409, "not newer than the incident")
	ada.post(path+"/close", url.Values{}).want(400)
	ada.post(path+"/open", url.Values{}).want(404)
	ada.post(path+"/dismiss", url.Values{"sure": {"yes"}}).want(409, "Nothing is in quarantine")
	if a := ada.post(path+"/close", url.Values{"outcome": {"explained"}, "note": {"a \u202etest"}}).want(303); a.header.Get("Location") != path+"?done=closed" {
		t.Errorf("it leads to %q", a.header.Get("Location"))
	}
	ada.get(path+"?done=closed").want(200, "The incident is closed.", "explained", "a test", "by ada").wantNot("Close the incident")
	ada.get("/incidents?state=closed").want(200, "explained")
	ada.get("/incidents").want(200, "There is none here")
	ada.get("/incidents?state=half").want(400)
	ada.get("/").wantNot("to work through")
}

func TestWhatIsInQuarantineIsJudgedOnThePage(t *testing.T) {
	o := open(t)
	ada := o.hire("ada", ident.Admin).enter()
	o.furnish()
	met := func(value, place string) string {
		t.Helper()
		name, err := o.app.Vault.Quarantine(t.Context(), vault.Found{Tenant: tenant, Value: []byte(value), Actor: setup, What: vault.Quarantined{Rule: "gitlab-token", Sure: true}})
		o.must(err)
		i := incident.New(incident.Met, tenant, setup.String(), place, o.now())
		i.Rule, i.Quarantine, i.Connection, i.Tool = "gitlab-token", name, "erp", "createVendor"
		_, err = o.app.Gate.Runs.Incident(t.Context(), i, audit.Event{Type: audit.IncidentOpened, Tenant: tenant, At: i.At, Actor: i.Actor}, explain.Observation{})
		o.must(err)
		return "/incidents/" + i.ID
	}
	const one, two = "glpat-Zx81kQ0vT5mBn2WcY7ra", "glpat-Hw39pL6sD4jRf8UgE1tk"
	first, second := met(one, "answer: /a"), met(two, "answer: /b")
	ada.get(first).want(200, "had what looks like a secret", "In quarantine as", "It is a secret: store it", "It is no secret").wantNot("glpat", `value="rotated"`)
	ada.post(first+"/promote", url.Values{"name": {one}, "field": {"token"}}).want(400, "none that a Secret can have").wantNot("glpat")
	ada.post(first+"/promote", url.Values{"name": {"minted"}, "field": {"token"}}).want(400)
	ada.post(first+"/promote", url.Values{"name": {"minted"}, "field": {"token"}, "origins": {"https://erp.example"}}).want(303)
	ada.get("/secrets/minted").want(200, "v1 active", "https://erp.example")
	ada.post(second+"/dismiss", url.Values{}).want(400, "not confirmed")
	ada.post(second+"/dismiss", url.Values{"sure": {"yes"}}).want(303)
	if !o.app.Vault.Dismissed(tenant, []byte(two)) {
		t.Error("it is not let through")
	}
}
