package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

const iban = "DE89370400440532013000"

// parked has a Worker propose a payment that waits for the Team finance.
func (o *office) parked() decision.Item {
	o.t.Helper()
	head := func(k resource.Kind, name string) resource.Head {
		return resource.Head{APIVersion: resource.APIVersion, Kind: k, Name: name}
	}
	_, err := o.app.Apply(o.t.Context(), system, []resource.Resource{
		&resource.Team{Head: head(resource.KindTeam, "finance"), Members: []string{"approver"}},
		&resource.Integration{Head: head(resource.KindIntegration, "bank"), HTTP: &resource.HTTP{BaseURL: "https://bank.example", OpenAPI: json.RawMessage(
			`{"openapi":"3.1.0","info":{"title":"Bank","version":"1"},"paths":{"/p":{"post":{"operationId":"pay","requestBody":{"content":{"application/json":{"schema":{"type":"object","properties":{"to":{"type":"string"},"name":{"type":"string"}}}}}},"responses":{"201":{"description":"ok"}}}}}}`)}},
		&resource.Connection{Head: head(resource.KindConnection, "bank"), Integration: "bank", Tools: []string{"pay"}, Auth: resource.Auth{Scheme: resource.SchemeBearer, Secret: "erp-token"}},
		&resource.Mission{Head: head(resource.KindMission, "order"), Goal: "pay one", Connections: []string{"bank"}, Decisions: []resource.DecisionRule{{Connection: "bank", Team: "finance"}}},
	}, false, false)
	o.must(err)
	o.plus.Add(int64(time.Hour))
	r := o.run().Run
	_, _ = o.app.Gate.Admit(o.t.Context(), ident.Principal{Tenant: tenant, Kind: ident.Run, ID: r.ID}, // Pending
		intent.Proposal{Connection: "bank", Tool: "pay", Args: json.RawMessage(`{"name":"Siemens AG","to":"` + iban + `"}`), Reason: "the invoice is due"})
	var q api.Queue
	o.call(o.as("admin"), "GET", "/v1/decisions?run="+r.ID, nil, 200, &q)
	if len(q.Items) != 1 || q.Items[0].Held != nil || !strings.Contains(string(q.Items[0].Intent.Args), iban) {
		o.t.Fatalf("there waits %+v", q.Items)
	}
	return q.Items[0]
}

// weapon has an admin store the account's number, who says that it is meant.
func (o *office) weapon() {
	o.t.Helper()
	w := vault.Write{Tenant: tenant, Name: "weapon", Actor: system, AlthoughRecorded: true, Fields: map[string][]byte{"token": []byte(iban)}}
	_, err := o.app.Vault.Set(o.t.Context(), w)
	o.must(err)
}

// Whatever a client sends, with whatever it kept: what is held is not approved.
func TestWhatIsHeldIsApprovedThroughNoRoute(t *testing.T) {
	o := open(t, "requester", "approver", "auditor", "admin", "builder")
	it := o.parked()
	path := "/v1/decisions/" + it.Decision.ID
	o.weapon()
	full := func(v decision.Verdict) map[string]any {
		return map[string]any{"verdict": v, "digest": it.Decision.Digest, "password": password("approver"), "code": o.code("approver")}
	}
	for what, body := range map[string]map[string]any{
		"a session alone":                 {"verdict": "approve", "digest": it.Decision.Digest},
		"a fresh factor and the digest":   full(decision.Approve),
		"a factor that is wrong":          {"verdict": "approve", "digest": it.Decision.Digest, "password": "x", "code": "000000"},
		"another digest, and a factor":    {"verdict": "approve", "digest": strings.Repeat("0", 64), "password": password("approver"), "code": o.code("approver")},
		"a word of the client's own with": {"verdict": "approve", "digest": it.Decision.Digest, "althoughHeld": true},
	} {
		w := o.do(o.as("approver"), "POST", path, body)
		if p := problem(t, w); w.Code < 400 || strings.Contains(w.Body.String(), "weapon") || p.Code == "altered" && !strings.Contains(p.Detail, decision.HeldText) {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
	}
	if p := problem(t, o.do(o.as("approver"), "POST", path, full(decision.Approve))); p.Code != "altered" || p.Status != http.StatusConflict || p.Hint == "" {
		t.Errorf("the refusal is %+v", p)
	}
	for who, named := range map[string]bool{"approver": false, "auditor": true, "admin": true} {
		for _, at := range []string{path, "/v1/decisions?run=" + it.Decision.Run} {
			got := o.do(o.as(who), "GET", at, nil).Body.String()
			if !strings.Contains(got, decision.HeldText) || strings.Contains(got, "Siemens") || strings.Contains(got, "invoice") || strings.Contains(got, iban) || strings.Contains(got, "weapon") != named {
				t.Errorf("%s sees at %s: %s", who, at, got)
			}
		}
	}
	var after decision.Item
	o.call(o.as("admin"), "GET", path, nil, 200, &after)
	if after.Decision.State != decision.Open || after.Intent.State != intent.Parked {
		t.Fatalf("it is %s and %s", after.Decision.State, after.Intent.State)
	}
	o.must(o.app.Vault.Remove(t.Context(), tenant, "weapon", system))
	o.call(o.as("admin"), "GET", path, nil, 200, &after)
	if after.Held = nil; string(after.Intent.Args) != string(it.Intent.Args) || after.Intent.Bound.Request.Body != it.Intent.Bound.Request.Body {
		t.Errorf("with the Secret gone it is %s", after.Intent.Args)
	}
	o.weapon()
	var d decision.Decision
	o.call(o.as("approver"), "POST", path, full(decision.Reject), 200, &d)
	if d.State != decision.Rejected {
		t.Errorf("it is %s", d.State)
	}
}

// Whether a value was recorded is answered to those alone who may store Secrets,
// and who could read all of it anyway.
func TestTheRefusalOfARecordedValueIsNoOracle(t *testing.T) {
	o := open(t, "requester", "approver", "auditor", "admin", "builder")
	it := o.parked()
	body := map[string]any{"fields": map[string]string{"token": iban}, "anyOrigin": true}
	for _, who := range []string{"requester", "approver", "auditor", "builder"} {
		recorded := o.do(o.as(who), "PUT", "/v1/secrets/probe", body)
		fresh := o.do(o.as(who), "PUT", "/v1/secrets/probe", map[string]any{"fields": map[string]string{"token": "k8x2-0v7w4n1q5z3m"}, "anyOrigin": true})
		if recorded.Code != 403 || recorded.Body.String() != fresh.Body.String() {
			t.Errorf("%s is told: %d %s", who, recorded.Code, recorded.Body)
		}
	}
	for method, path := range map[string]string{"PUT": "/v1/secrets/probe", "POST": "/v1/secrets/erp-token/rotate"} {
		w := o.do(o.as("admin"), method, path, body)
		if p := problem(t, w); p.Status != 400 || !strings.Contains(p.Detail, "the Run "+it.Decision.Run) || strings.Contains(w.Body.String(), iban) || !strings.Contains(p.Hint, "althoughRecorded") && !strings.Contains(p.Hint, "--although-recorded") {
			t.Errorf("%s: %+v", path, p)
		}
	}
	if strings.Contains(o.log.String(), iban) {
		t.Errorf("the log has it: %s", o.log)
	}
	body["althoughRecorded"] = true
	o.call(o.as("admin"), "PUT", "/v1/secrets/probe", body, 200, nil)
}
