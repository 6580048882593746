package resource_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

func head(k resource.Kind) resource.Head {
	return resource.Head{APIVersion: resource.APIVersion, Kind: k, Name: "x"}
}

func system() *resource.Integration {
	return &resource.Integration{Head: head(resource.KindIntegration), HTTP: &resource.HTTP{
		BaseURL: "https://erp.example/v1", OpenAPI: json.RawMessage(`{}`),
		Tools: map[string]resource.ToolRule{"create": {Effect: resource.Write, ReferenceHeader: "Client-Reference",
			Lookup: &resource.Lookup{Connection: "read", Tool: "find", Args: map[string]any{"ref": "$reference"}, Found: "/items/0"}}}}}
}

func model() *resource.Integration {
	return &resource.Integration{Head: head(resource.KindIntegration), Model: &resource.Model{Provider: "anthropic", Model: "claude-sonnet-4-5-20250929"}}
}

func connection() *resource.Connection {
	return &resource.Connection{Head: head(resource.KindConnection), Integration: "erp", Tools: []string{"find"},
		Auth: resource.Auth{Scheme: resource.SchemeBearer, Secret: "erp-read"}}
}

func mission() *resource.Mission {
	return &resource.Mission{Head: head(resource.KindMission), Goal: "Onboard the supplier.", Connections: []string{"erp-read"},
		Form:      []resource.Field{{Name: "vat_id", Required: true, Pattern: "[A-Z]{2}[0-9]+"}, {Name: "country", Type: "select", Options: []string{"DE", "FR"}}},
		Decisions: []resource.DecisionRule{{Connection: "erp-read", Team: "finance", Expires: resource.Duration(48 * time.Hour)}},
		Schedule:  []resource.Schedule{{Cron: "0 6 * * 1-5", Input: map[string]any{"vat_id": "DE1"}}}}
}

func team() *resource.Team {
	return &resource.Team{Head: head(resource.KindTeam), Members: []string{"ann"}}
}

func rules() *resource.Policy {
	return &resource.Policy{Head: head(resource.KindPolicy), Cedar: "permit (principal, action, resource);"}
}

func TestGoodResourcesPass(t *testing.T) {
	for _, r := range []resource.Resource{system(), model(), connection(), mission(), team(), rules()} {
		if err := r.Check(); err != nil {
			t.Errorf("%s: %v", r.Header().Kind, err)
		}
	}
}

// What is declared of a system's keys says when the same write is sent again, so
// nothing of it is guessed.
func TestADeclarationOfKeysIsStrict(t *testing.T) {
	with := func(change func(*resource.ToolRule)) error {
		s := system()
		r := s.HTTP.Tools["create"]
		r.Idempotency = &resource.Idempotency{Header: "Idempotency-Key", Window: resource.Duration(24 * time.Hour), Semantics: resource.Rejects, Status: 409}
		change(&r)
		s.HTTP.Tools["create"] = r
		return s.Check()
	}
	if err := with(func(*resource.ToolRule) {}); err != nil {
		t.Fatal(err)
	}
	if err := with(func(r *resource.ToolRule) { r.Idempotency.Semantics, r.Idempotency.Status = resource.Replays, 0 }); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*resource.ToolRule){
		"of a read":                       func(r *resource.ToolRule) { r.Effect, r.Lookup = resource.Read, nil },
		"without a header":                func(r *resource.ToolRule) { r.Idempotency.Header = "" },
		"a header with a line end":        func(r *resource.ToolRule) { r.Idempotency.Header = "Key\r\nX" },
		"the header of the credential":    func(r *resource.ToolRule) { r.Idempotency.Header = "Authorization" },
		"the header of the reference":     func(r *resource.ToolRule) { r.Idempotency.Header = "client-REFERENCE" },
		"without a window":                func(r *resource.ToolRule) { r.Idempotency.Window = 0 },
		"a window below a minute":         func(r *resource.ToolRule) { r.Idempotency.Window = resource.Duration(time.Second) },
		"a window of years":               func(r *resource.ToolRule) { r.Idempotency.Window = resource.Duration(20000 * time.Hour) },
		"without semantics":               func(r *resource.ToolRule) { r.Idempotency.Semantics = "" },
		"semantics of its own":            func(r *resource.ToolRule) { r.Idempotency.Semantics = "ignores" },
		"rejects without a status":        func(r *resource.ToolRule) { r.Idempotency.Status = 0 },
		"rejects with a status of yes":    func(r *resource.ToolRule) { r.Idempotency.Status = 200 },
		"rejects with one of credentials": func(r *resource.ToolRule) { r.Idempotency.Status = 401 },
		"rejects with one of rates":       func(r *resource.ToolRule) { r.Idempotency.Status = 429 },
		"rejects with one of the server":  func(r *resource.ToolRule) { r.Idempotency.Status = 503 },
		"replays with a status":           func(r *resource.ToolRule) { r.Idempotency.Semantics = resource.Replays },
	} {
		if err := with(change); err == nil || !strings.Contains(err.Error(), "http.tools.create.idempotency") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// spoiled is a good resource with one thing wrong, where, and what is said.
type spoiled struct {
	r          resource.Resource
	path, want string
}

func spoil[R resource.Resource](r R, path, want string, change func(R)) spoiled {
	change(r)
	return spoiled{r, path, want}
}

func TestEachMistakeIsNamed(t *testing.T) {
	type (
		I = *resource.Integration
		C = *resource.Connection
		M = *resource.Mission
	)
	for _, c := range []spoiled{
		spoil(team(), "apiVersion", "not understood", func(r *resource.Team) { r.APIVersion = "v1" }),
		spoil(team(), "kind", "not the kind", func(r *resource.Team) { r.Kind = "Mission" }),
		spoil(team(), "name", "not a name", func(r *resource.Team) { r.Name = "X" }),
		spoil(team(), "title", "longer", func(r *resource.Team) { r.Title = strings.Repeat("x ", 200) }),
		spoil(team(), "title", "control", func(r *resource.Team) { r.Title = "a\x1b[2J" }),
		spoil(team(), "members", "without members", func(r *resource.Team) { r.Members = nil }),
		spoil(team(), "members[1]", "twice", func(r *resource.Team) { r.Members = []string{"a", "a"} }),
		spoil(team(), "members[0]", "account", func(r *resource.Team) { r.Members = []string{"a b"} }),

		spoil(system(), "kind", "does not say", func(r I) { r.HTTP = nil }),
		spoil(system(), "model", "not both", func(r I) { r.Model = &resource.Model{} }),
		spoil(system(), "http.baseURL", "in the clear", func(r I) { r.HTTP.BaseURL = "http://erp.example" }),
		spoil(system(), "http.baseURL", "in the clear", func(r I) { r.HTTP.BaseURL = "http://127.0.0.1:1" }),
		spoil(system(), "http.baseURL", "in the clear", func(r I) {
			r.HTTP.Network.AllowLoopbackHTTP, r.HTTP.BaseURL = true, "http://localhost.evil.example"
		}),
		spoil(system(), "http.baseURL", "no query", func(r I) { r.HTTP.BaseURL = "https://erp.example?x=1" }),
		spoil(system(), "http.baseURL", "not https or http", func(r I) { r.HTTP.BaseURL = "file:///etc/passwd" }),
		spoil(system(), "http.openapi", "missing", func(r I) { r.HTTP.OpenAPI = nil }),
		spoil(system(), "http.openapi", "not JSON", func(r I) { r.HTTP.OpenAPI = json.RawMessage("{") }),
		spoil(system(), "http.openapi", "secret", func(r I) {
			r.HTTP.OpenAPI = json.RawMessage(`{"x":"ghp_Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zAb3d"}`)
		}),
		spoil(system(), "http.timeout", "between", func(r I) { r.HTTP.Timeout = -1 }),
		spoil(system(), "http.maxBody", "between", func(r I) { r.HTTP.MaxBody = 1 << 40 }),
		spoil(system(), "http.network.allowPrivate[0]", "address range", func(r I) { r.HTTP.Network.AllowPrivate = []string{"10.0.0.1"} }),
		spoil(system(), "http.network.allowPrivate[0]", "beyond its length", func(r I) { r.HTTP.Network.AllowPrivate = []string{"10.0.0.1/8"} }),
		spoil(system(), "http.network.allowPrivate[0]", "every address", func(r I) { r.HTTP.Network.AllowPrivate = []string{"0.0.0.0/0"} }),
		spoil(system(), "http.tools.create.effect", "not an effect", func(r I) { r.HTTP.Tools["create"] = resource.ToolRule{Effect: "none"} }),
		spoil(system(), "http.tools.create.referenceHeader", "can't be set", func(r I) { r.HTTP.Tools["create"] = resource.ToolRule{ReferenceHeader: "authorization"} }),
		spoil(system(), "http.tools.create.lookup", "no reference is sent", func(r I) {
			l := r.HTTP.Tools["create"].Lookup
			r.HTTP.Tools["create"] = resource.ToolRule{Lookup: l}
		}),
		spoil(system(), "http.tools.create.lookup.args", "reference", func(r I) { r.HTTP.Tools["create"].Lookup.Args = nil }),
		spoil(system(), "http.tools.create.lookup.found", "JSON pointer", func(r I) { r.HTTP.Tools["create"].Lookup.Found = "/a~2" }),

		spoil(model(), "model.provider", "not a provider", func(r I) { r.Model.Provider = "acme" }),
		spoil(model(), "model.model", "missing", func(r I) { r.Model.Model = "" }),
		spoil(model(), "model.inputPrice", "between", func(r I) { r.Model.InputPrice = -1 }),

		spoil(connection(), "integration", "empty", func(r C) { r.Integration = "" }),
		spoil(connection(), "tools", "without tools", func(r C) { r.Tools = nil }),
		spoil(connection(), "tools[1]", "twice", func(r C) { r.Tools = []string{"a", "a"} }),
		spoil(connection(), "auth.scheme", "not a scheme", func(r C) { r.Auth.Scheme = "" }),
		spoil(connection(), "auth.name", "has no name", func(r C) { r.Auth.Name = "X-Key" }),
		spoil(connection(), "auth.name", "can't be set", func(r C) { r.Auth.Scheme, r.Auth.Name = resource.SchemeHeader, "host" }),
		spoil(connection(), "auth.name", "not a header", func(r C) { r.Auth.Scheme, r.Auth.Name = resource.SchemeHeader, "X-Key\r\nHost" }),
		spoil(connection(), "auth.name", "can't be set", func(r C) { r.Auth.Scheme, r.Auth.Name = resource.SchemeHeader, "x-forwarded-for" }),
		spoil(connection(), "auth.name", "query", func(r C) { r.Auth.Scheme, r.Auth.Name = resource.SchemeQuery, "a&b" }),
		spoil(connection(), "auth.secret", "not a reference", func(r C) { r.Auth.Secret = "Hunter2!" }),
		spoil(connection(), "auth.field", "not a field", func(r C) { r.Auth.Field = "a b" }),
		spoil(connection(), "auth.field", "username", func(r C) { r.Auth.Scheme, r.Auth.Field = resource.SchemeBasic, "token" }),

		spoil(mission(), "goal", "missing", func(r M) { r.Goal = " " }),
		spoil(mission(), "connections", "can't act", func(r M) { r.Connections, r.Decisions = nil, nil }),
		spoil(mission(), "form[1].name", "twice", func(r M) { r.Form[1].Name = "vat_id" }),
		spoil(mission(), "form[1].options", "needs options", func(r M) { r.Form[1].Options = nil }),
		spoil(mission(), "form[0].options", "only a select", func(r M) { r.Form[0].Options = []string{"a"} }),
		spoil(mission(), "form[0].pattern", "RE2", func(r M) { r.Form[0].Pattern = "(" }),
		spoil(mission(), "decisions[0].connection", "does not hold", func(r M) { r.Decisions[0].Connection = "erp-write" }),
		spoil(mission(), "decisions[0].expires", "between 1m and 720h", func(r M) { r.Decisions[0].Expires = resource.Duration(721 * time.Hour) }),
		spoil(mission(), "decisions[0].team", "empty", func(r M) { r.Decisions[0].Team = "" }),
		spoil(mission(), "limits.turns", "between", func(r M) { r.Limits.Turns = -1 }),
		spoil(mission(), "schedule[0].cron", "cron", func(r M) { r.Schedule[0].Cron = "@daily" }),
		spoil(mission(), "schedule[0].cron", "cron", func(r M) { r.Schedule[0].Cron = "60 * * * *" }),
		spoil(mission(), "schedule[0].cron", "cron", func(r M) { r.Schedule[0].Cron = "*/0 * * * *" }),
		spoil(mission(), "schedule[0].input", "is required", func(r M) { r.Schedule[0].Input = nil }),
		spoil(mission(), "schedule[0].input", "no field", func(r M) { r.Schedule[0].Input["vat"] = "x" }),
		spoil(mission(), "schedule[0].input.password", "secret", func(r M) { r.Schedule[0].Input["password"] = "x" }),

		spoil(rules(), "cedar", "missing", func(r *resource.Policy) { r.Cedar = "" }),
		spoil(rules(), "integration", "not a name", func(r *resource.Policy) { r.Integration = "A" }),
	} {
		err := c.r.Check()
		found := false
		for _, p := range resource.Problems(err) {
			found = found || p.Path == c.path && strings.Contains(p.Err.Error(), c.want)
		}
		if !found || !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: want %q at %s, got: %v", c.r.Header().Kind, c.want, c.path, err)
		}
	}
}

func TestSecretReferences(t *testing.T) {
	for in, want := range map[string]int{"erp": 0, "erp@v1": 1, "erp@v12": 12, "erp@": -1, "erp@v0": -1, "erp@v01": -1, "erp@1": -1, "erp@v-1": -1, "@v1": -1, "erp@v1@v2": -1, "": -1, "erp@v99999999999999999999": -1} {
		name, v, err := resource.Auth{Secret: in}.Ref()
		if want < 0 && !fault.Is(err, fault.Invalid) || want >= 0 && (err != nil || name != "erp" || v != want) {
			t.Errorf("%q: %q %d %v", in, name, v, err)
		}
		if err != nil && len(in) > 3 && strings.Contains(err.Error(), in) {
			t.Errorf("the error repeats %q", in)
		}
	}
}

func TestWordsAreNotSecrets(t *testing.T) {
	for _, s := range []string{
		"claude-sonnet-4-5-20250929", "Onboard the supplier that is given as the input, or say why not.", "https://erp.example/v1/vendors?limit=100",
		"vendor-onboarding-for-procurement-managers", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "createOrUpdateEnvironmentVariableForRepository", "/api/v2/organizations/members",
		"accounts/fireworks/models/llama-v3p1-405b-instruct", "================================", "DE 115 235 681", "12345678901234567890123456789012",
	} {
		if resource.LooksSecret(s) {
			t.Errorf("%q is taken for a secret", s)
		}
	}
}

func TestInputFitsTheForm(t *testing.T) {
	m := &resource.Mission{Form: []resource.Field{
		{Name: "name", Required: true, MaxLen: 5}, {Name: "n", Type: "number"}, {Name: "c", Type: "select", Options: []string{"DE"}},
		{Name: "mail", Type: "email"}, {Name: "day", Type: "date"}, {Name: "vat", Pattern: "a|b"},
	}}
	for in, ok := range map[string]bool{
		`{"name":"Acme"}`: true, `{"name":"Acmé!","n":1.5,"c":"DE","mail":"a@b.example","day":"2026-11-23","vat":"b"}`: true, `{"name":"x","n":null,"c":""}`: true,
		`{}`: false, `{"name":""}`: false, `{"name":"Acme Inc"}`: false, `{"name":1}`: false, `{"name":"x","other":1}`: false, `{"name":"x","n":"1"}`: false, `{"name":"x","c":"FR"}`: false,
		`{"name":"x","mail":"Ann <a@b.example>"}`: false, `{"name":"x","day":"23.11.2026"}`: false, `{"name":"x","vat":"ab"}`: false, `{"name":"x","vat":"xa"}`: false, `[]`: false, `null`: false, `{`: false,
	} {
		if err := m.CheckInput(json.RawMessage(in)); (err == nil) != ok || err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestSuggestions(t *testing.T) {
	names := []string{"erp-read", "erp-write", "tickets"}
	for in, want := range map[string]string{"erp-raed": "did you mean erp-read?", "ticket": "did you mean tickets?", "warehouse": "", "x": ""} {
		if got := resource.DidYouMean(in, names); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, r := range []resource.Resource{system(), model(), connection(), mission(), team(), rules()} {
		b, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(r.Header().Kind), b)
	}
	f.Fuzz(func(t *testing.T, kind string, b []byte) {
		r := resource.New(resource.Kind(kind))
		if r == nil || json.Unmarshal(b, r) != nil {
			return
		}
		if err := r.Check(); err != nil && (!fault.Is(err, fault.Invalid) || len(resource.Problems(err)) == 0) {
			t.Errorf("%v", err)
		}
	})
}
