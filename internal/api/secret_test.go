package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/intake"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault"
)

// sealed is a body with a value that is encrypted to the server's key.
func (o *office) sealed(name, value string, about vault.About) map[string]any {
	o.t.Helper()
	var k intake.Key
	o.call(o.as("admin"), "GET", "/v1/intake-key", nil, 200, &k)
	text, err := about.Text()
	o.must(err)
	b, err := intake.Seal(k, intake.Target{Tenant: k.Tenant, Name: name, About: text}, map[string][]byte{"token": []byte(value)})
	o.must(err)
	out := map[string]any{"sealed": b}
	if about.Scope != nil {
		out["scope"] = about.Scope
	}
	if about.AnyOrigin {
		out["anyOrigin"] = true
	}
	if !about.Expires.IsZero() {
		out["expires"] = about.Expires
	}
	return out
}

func TestAnEncryptedValueIsTakenAsOneInTheClearIs(t *testing.T) {
	o := open(t, "admin")
	about := vault.About{Scope: &vault.Scope{Origins: []string{"https://crm.example.com/?a=<b>&c"}}}
	w := o.do(o.as("admin"), "PUT", "/v1/secrets/crm", o.sealed("crm", "cnry-51x8qm3w2ld", about))
	if p := problem(t, w); w.Code != 400 || !strings.Contains(p.Detail, "origin") {
		t.Errorf("it was not opened: %s", w.Body) // what is wrong is found after that
	}
	about = vault.About{Scope: &vault.Scope{Origins: []string{"https://crm.example.com"}, Methods: []string{"GET"}}, Expires: o.now().AddDate(0, 3, 0)}
	body := o.sealed("crm", "cnry-51x8qm3w2ld", about)
	var s vault.Secret
	o.call(o.as("admin"), "PUT", "/v1/secrets/crm", body, 200, &s)
	if len(s.Versions) != 1 || s.Versions[0].Scope.NotAfter.IsZero() || s.Versions[0].Fields[0] != "token" {
		t.Errorf("it is stored as %+v", s)
	}
	for name, change := range map[string]func(map[string]any){
		"again":             func(map[string]any) {},
		"beside a value":    func(b map[string]any) { b["fields"] = map[string]string{"token": "cnry-other-72v9x"} },
		"with any origin":   func(b map[string]any) { b["anyOrigin"] = true },
		"not base64":        func(b map[string]any) { b["sealed"] = "*" },
		"without its scope": func(b map[string]any) { delete(b, "scope") },
	} {
		b := maps.Clone(body)
		change(b)
		if w := o.do(o.as("admin"), "POST", "/v1/secrets/crm/rotate", b); w.Code != 400 && w.Code != 409 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestASecretsVersionsAreManaged(t *testing.T) {
	o := open(t, "admin", "builder")
	o.mission()
	admin := o.as("admin")
	value := func(n int) map[string]any {
		return map[string]any{"fields": map[string]string{"token": fmt.Sprintf("cnry-9v%dk2x8m1q7w4z", n)}, "scope": vault.Scope{Origins: []string{"https://crm.example.com"}},
			"labels": map[string]string{"env": "prod"}}
	}
	o.call(admin, "PUT", "/v1/secrets/crm", value(1), 200, nil)
	o.call(admin, "POST", "/v1/secrets/crm/rotate", value(2), 200, nil)
	states := func() string {
		var s api.SecretShown
		o.call(o.as("builder"), "GET", "/v1/secrets/crm", nil, 200, &s)
		var out []string
		for _, v := range s.Versions {
			out = append(out, string(v.State))
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct {
		method, path string
		body         any
		status       int
		states       string
	}{
		{"POST", "/v1/secrets/crm/rollback", map[string]any{"version": 2}, 409, "previous active"},
		{"POST", "/v1/secrets/crm/rollback", map[string]any{}, 200, "active previous"},
		{"POST", "/v1/secrets/crm/activate", map[string]any{"version": 2}, 200, "previous active"},
		{"DELETE", "/v1/secrets/crm/versions/2", nil, 409, "previous active"},
		{"DELETE", "/v1/secrets/crm/versions/x", nil, 400, "previous active"},
		{"DELETE", "/v1/secrets/crm/versions/1", nil, 200, "destroyed active"},
		{"PATCH", "/v1/secrets/crm", map[string]any{"owner": "bo", "labels": map[string]string{"tier": "1"}}, 200, "destroyed active"},
		{"PATCH", "/v1/secrets/crm", map[string]any{"owner": "bo"}, 400, "destroyed active"},
	} {
		if w := o.do(admin, c.method, c.path, c.body); w.Code != c.status || states() != c.states {
			t.Errorf("%s %s: %d, and the versions are %s: %s", c.method, c.path, w.Code, states(), w.Body)
		}
	}
	for query, want := range map[string]int{"": 2, "?label=env": 1, "?label=env=prod&label=tier=1": 1, "?label=env=test": 0, "?label=env%3Dprod&label=gone": 0} {
		var l api.Secrets
		if o.call(admin, "GET", "/v1/secrets"+query, nil, 200, &l); len(l.Secrets) != want {
			t.Errorf("%s lists %d", query, len(l.Secrets))
		}
	}
	for name, want := range map[string]string{"erp-token": "[erp]", "crm": "[]"} {
		var s api.SecretShown
		if o.call(admin, "GET", "/v1/secrets/"+name, nil, 200, &s); fmt.Sprint(s.Connections) != want {
			t.Errorf("%s is used by %v", name, s.Connections)
		}
	}
}

// No answer to anybody, of any route, has a Secret's value in any encoding: with
// the Secret's own name in the path, with empty and with plausible bodies.
func TestNoRoutesAnswerHasASecretsValue(t *testing.T) {
	o := open(t, "requester", "approver", "builder", "auditor", "admin")
	o.mission()
	const second = "cnry-77x1q8m3w2v5-second"
	o.call(o.as("admin"), "POST", "/v1/secrets/erp-token/rotate", map[string]any{"fields": map[string]string{"token": second}}, 200, nil)
	known, err := scrub.Build([]scrub.Secret{{Name: "first", Value: []byte(canary)}, {Name: "second", Value: []byte(second)}})
	o.must(err)
	run := o.run()
	fill := strings.NewReplacer("{secret}", "erp-token", "{version}", "1", "{mission}", "order", "{run}", run.Run.ID, "{account}", "acc_none", "{intent}", "int_none", "{decision}", "dec_none")
	routes := slices.Sorted(maps.Keys(o.api.Routes()))
	slices.SortStableFunc(routes, func(a, b string) int { return ends(a) - ends(b) })
	looked := 0
	for _, route := range routes {
		method, pattern, _ := strings.Cut(route, " ")
		if strings.HasSuffix(pattern, "/follow") {
			o.do(o.as("requester"), "POST", "/v1/runs/"+run.Run.ID+"/stop", nil) // so that the stream ends
		}
		for _, caller := range []string{"admin", "auditor", "builder", "approver", "requester", "run"} {
			token := run.Token
			if caller != "run" {
				token = o.as(caller)
			}
			for _, body := range []any{nil, "{}", `{"version":1}`, `{"description":"` + canary + `"}`, `{"fields":{"token":"` + canary + `"},"anyOrigin":true}`} {
				w := o.do(token, method, fill.Replace(pattern), body)
				looked++
				if text := fmt.Sprint(w.Code, w.Header(), w.Body); len(known.Contains([]byte(text))) != 0 {
					t.Errorf("%s as %s with %v answers with a value", route, caller, body)
				}
				if method == http.MethodGet {
					break
				}
			}
		}
	}
	if looked < 300 {
		t.Errorf("only %d answers were looked at", looked)
	}
	if len(known.Contains(o.log.Bytes())) != 0 {
		t.Error("the log has a value")
	}
}

// ends sorts what takes something away after everything else.
func ends(route string) int {
	switch {
	case strings.HasPrefix(route, "DELETE /v1/sessions"):
		return 3
	case strings.HasPrefix(route, "DELETE"):
		return 2
	case strings.Contains(route, "/follow"):
		return 1
	}
	return 0
}

// The store has texts of all ages: what became a Secret after it was recorded is
// taken out of every answer, and a stream's.
func TestWhatBecameASecretLaterIsTakenOutOfAnswers(t *testing.T) {
	o := open(t, "requester", "admin", "auditor")
	o.mission()
	s := o.run()
	const later = "qZ7mK2xT9vLpR4wN8sB3cY6d"
	run := "/v1/runs/" + s.Run.ID
	o.call(s.Token, "POST", run+"/observations", map[string]any{"kind": "inference", "title": "ref " + later, "text": "see " + later}, 204, nil)
	paths := []string{run + "/observations", run + "/follow", run + "/brief", run, "/v1/runs", run + "/intents"}
	if !strings.Contains(o.do(o.as("requester"), "GET", paths[0], nil).Body.String(), later) {
		t.Fatal("it was not recorded")
	}
	_, err := o.app.Vault.Set(t.Context(), vault.Write{Tenant: "acme", Name: "later", Fields: map[string][]byte{"token": []byte(later)},
		AnyOrigin: true, AlthoughRecorded: true, Actor: system})
	o.must(err)
	o.call(s.Token, "POST", run+"/end", map[string]any{"verdict": "done"}, 204, nil)
	for _, token := range []string{s.Token, o.as("requester"), o.as("auditor"), o.as("admin")} {
		for _, path := range paths {
			if body := o.do(token, "GET", path, nil).Body.String(); strings.Contains(body, later) {
				t.Errorf("%s has it: %s", path, body)
			}
		}
	}
	if body := o.do(o.as("auditor"), "GET", paths[0], nil).Body.String(); !strings.Contains(body, "see [secret:later]") {
		t.Errorf("the rail is %s", body)
	}
}
