package policy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
)

const createSchema = `{"type":"object","additionalProperties":false,"required":["name","amount"],"properties":{
	"name":{"type":"string"},"amount":{"type":"number"},"count":{"type":"integer"},"note":{"type":["string","null"]},
	"tags":{"type":"array","items":{"type":"string"}},"bank":{"$ref":"#/$defs/bank"},"free":{}},
	"$defs":{"bank":{"type":"object","required":["iban"],"properties":{"iban":{"type":"string"}}}}}`

var world = policy.World{
	Tools: []policy.Tool{
		{Integration: "erp", Name: "findVendors", Effect: resource.Read, Schema: json.RawMessage(`{"type":"object","properties":{"name":{"type":"string"},"count":{"type":"string"}}}`)},
		{Integration: "erp", Name: "createVendor", Effect: resource.Write, Schema: json.RawMessage(createSchema)},
		{Integration: "tickets", Name: "createTicket", Effect: resource.Write, Schema: json.RawMessage(`{"type":"object","properties":{"subject":{"type":"string"}}}`)},
		{Integration: "llm", Name: "complete", Effect: resource.Read, Schema: json.RawMessage(`{"type":"object"}`)},
	},
	Connections: []string{"erp-read", "erp-write", "ticketing", "model"},
	Missions:    []string{"vendor-onboarding", "other"},
	Teams:       []string{"finance", "security"},
}

func text(name, integration, cedar string) resource.Policy {
	return resource.Policy{Head: resource.Head{Name: name}, Integration: integration, Cedar: cedar}
}

func compile(t testing.TB, policies ...resource.Policy) *policy.Set {
	t.Helper()
	s, err := policy.Compile(policies, world)
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	return s
}

func create(args string) policy.Question {
	return policy.Question{Tenant: "acme", Run: "run_1", Mission: "vendor-onboarding", Starter: "acc_1", Connection: "erp-write",
		Integration: "erp", Tool: "createVendor", Effect: resource.Write, Args: json.RawMessage(args), Worker: "built-in", Now: monday}
}

// monday is a Monday, at noon.
var monday = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const fine = `{"name":"Acme","amount":10}`

func find() policy.Question {
	q := create(`{"name":"Acme"}`)
	q.Connection, q.Tool, q.Effect = "erp-read", "findVendors", resource.Read
	return q
}

func wants(t *testing.T, v policy.Verdict, want policy.Effect) {
	t.Helper()
	if v.Effect != want {
		t.Errorf("verdict is %q (%s, %v), want %q", v.Effect, v.Why, v.Reasons, want)
	}
}

func TestEvaluationErrorFailsClosed(t *testing.T) {
	// Cedar skips a forbid whose condition overflows; the permit would win.
	s := compile(t, text("big", "erp", `
		@id("no-huge") forbid (principal, action, resource == Tool::"erp/createVendor") when { context.args has count && context.args.count * 4 > 100 };
		@id("free")    permit (principal, action, resource == Tool::"erp/createVendor");`))
	wants(t, s.Evaluate(create(`{"name":"a","amount":1,"count":1}`)), policy.Allow)
	wants(t, s.Evaluate(create(`{"name":"a","amount":1,"count":26}`)), policy.Deny)
	v := s.Evaluate(create(`{"name":"a","amount":1,"count":9223372036854775807}`))
	wants(t, v, policy.Deny)
	if !slices.Contains(v.Reasons, "big/no-huge") || !strings.Contains(v.Why, "could not be evaluated") {
		t.Errorf("the verdict does not name the statement that broke: %+v", v)
	}
}

func TestErrorInUnattendedFailsClosed(t *testing.T) {
	s := compile(t, text("big", "erp", `
		forbid (principal, action == Action::"call_unattended", resource == Tool::"erp/createVendor") when { context.args has count && context.args.count + 1 > 5 };`))
	wants(t, s.Evaluate(create(`{"name":"a","amount":1,"count":9223372036854775807}`)), policy.Deny)
}

func TestArgumentsThatPolicyCannotReadFailClosed(t *testing.T) {
	s := compile(t, text("free", "erp", `permit (principal, action, resource == Tool::"erp/createVendor") unless { context.args has note && context.args.note == "x" };`))
	wants(t, s.Evaluate(create(fine)), policy.Allow)
	for _, bad := range []string{
		`{"name":"a","amount":1,"count":9223372036854775808}`, `{"name":"a","amount":0.00001}`, `{"name":"a","amount":1e300}`, `{"name":"a","amount":1e15}`,
		`{"name":"a","amount":1e999999999}`, `[]`, `{`, `{} {}`, ``, `"x"`, `{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
	} {
		v := s.Evaluate(create(bad))
		wants(t, v, policy.Deny)
		if strings.Contains(v.Why, "9223372036854775808") {
			t.Errorf("the verdict repeats an argument: %s", v.Why)
		}
	}
}

func TestNilSetDenies(t *testing.T) {
	var s *policy.Set
	wants(t, s.Evaluate(find()), policy.Deny)
	if s.Hash() != "" {
		t.Error("a nil set has a hash")
	}
}

func TestDefaultPolicy(t *testing.T) {
	s := compile(t)
	wants(t, s.Evaluate(find()), policy.Allow)
	v := s.Evaluate(create(fine))
	wants(t, v, policy.Ask)
	if !slices.Equal(v.Reasons, []string{"default/writes"}) || v.Hash == "" || v.Hash != s.Hash() {
		t.Errorf("verdict %+v", v)
	}
	model := find()
	model.Integration, model.Connection, model.Tool, model.Args = "llm", "model", "complete", json.RawMessage(`{"temperature":0.123456789}`)
	wants(t, s.Evaluate(model), policy.Allow)
}

func TestDefaultPolicyPassesItsOwnValidation(t *testing.T) {
	if _, err := policy.Compile([]resource.Policy{text("copy", "", policy.Default)}, world); err != nil {
		t.Error(err)
	}
}

func TestUnknownToolOrEffectIsDenied(t *testing.T) {
	s := compile(t, text("all", "", `permit (principal, action, resource);`))
	for name, change := range map[string]func(*policy.Question){
		"unknown tool":           func(q *policy.Question) { q.Tool = "dropVendors" },
		"unknown integration":    func(q *policy.Question) { q.Integration = "crm" },
		"a write called a read":  func(q *policy.Question) { q.Effect = resource.Read },
		"no effect":              func(q *policy.Question) { q.Effect = "" },
		"tool of another system": func(q *policy.Question) { q.Tool = "createTicket" },
	} {
		q := create(fine)
		change(&q)
		t.Run(name, func(t *testing.T) { wants(t, s.Evaluate(q), policy.Deny) })
	}
}

func TestPolicyNarrowsAndWidens(t *testing.T) {
	s := compile(t,
		text("ticket", "tickets", `permit (principal in Mission::"vendor-onboarding", action == Action::"call_unattended", resource == Tool::"tickets/createTicket");`),
		text("no-read", "erp", `@id("ask") forbid (principal in Mission::"other", action == Action::"call_unattended", resource in Connection::"erp-read");`),
		text("no-iban", "erp", `forbid (principal, action, resource == Tool::"erp/createVendor") when { context.args has bank && context.args.bank.iban like "XX*" };`),
		text("cap", "", `forbid (principal, action, resource == Tool::"erp/createVendor") when { context.args.amount.greaterThan(decimal("1000.5")) };`),
		text("starter", "", `forbid (principal, action, resource) when { principal.starter == "acc_bad" };`),
	)
	ticket := create(`{"subject":"x"}`)
	ticket.Integration, ticket.Connection, ticket.Tool = "tickets", "ticketing", "createTicket"
	wants(t, s.Evaluate(ticket), policy.Allow)
	ticket.Mission = "other"
	wants(t, s.Evaluate(ticket), policy.Ask)

	read := find()
	wants(t, s.Evaluate(read), policy.Allow)
	read.Mission = "other"
	wants(t, s.Evaluate(read), policy.Ask)
	read.Starter = "acc_bad"
	wants(t, s.Evaluate(read), policy.Deny)

	wants(t, s.Evaluate(create(`{"name":"a","amount":1000,"bank":{"iban":"DE1"},"note":null}`)), policy.Ask)
	wants(t, s.Evaluate(create(`{"name":"a","amount":1000,"bank":{"iban":"XX1"}}`)), policy.Deny)
	wants(t, s.Evaluate(create(`{"name":"a","amount":1000.5}`)), policy.Ask)
	wants(t, s.Evaluate(create(`{"name":"a","amount":1000.5001}`)), policy.Deny)
	wants(t, s.Evaluate(create(`{"name":"a","amount":1001}`)), policy.Deny)
}

func TestStrictestAnnotationsWin(t *testing.T) {
	s := compile(t,
		text("a", "erp", `@approvers("finance") @expires("48h") permit (principal, action == Action::"call", resource == Tool::"erp/createVendor");`),
		text("b", "", `@approvers("security") @expires("24h") @pin_secret("true") forbid (principal, action == Action::"call_unattended", resource == Tool::"erp/createVendor");`),
		text("c", "", `@approvers("security") @expires("1h") permit (principal, action == Action::"call", resource == Tool::"tickets/createTicket");`),
	)
	v := s.Evaluate(create(fine))
	wants(t, v, policy.Ask)
	if policy.Names(v.Approvers) != "finance, security" || v.Expires != 24*time.Hour || !v.PinSecret {
		t.Errorf("verdict %+v", v)
	}
}

func TestRefusedPolicies(t *testing.T) {
	for name, c := range map[string]struct {
		p    resource.Policy
		want string
	}{
		"not Cedar":              {text("p", "", `permit (`), "not Cedar"},
		"empty":                  {text("p", "", `// nothing`), "no statement"},
		"unknown integration":    {text("p", "epr", `permit (principal, action, resource);`), `no Integration "epr"`},
		"misspelt tool":          {text("p", "", `forbid (principal, action, resource == Tool::"erp/createVendr");`), `policy p:1:1: there is no Tool "erp/createVendr"`},
		"misspelt in condition":  {text("p", "", `forbid (principal, action, resource) when { resource in Connection::"erp-wrte" };`), `no Connection "erp-wrte"`},
		"misspelt mission":       {text("p", "", `permit (principal in Mission::"vendor", action, resource);`), `no Mission "vendor"`},
		"misspelt action":        {text("p", "", `forbid (principal, action == Action::"cal", resource);`), "does not fit"},
		"misspelt argument":      {text("p", "", `forbid (principal, action, resource == Tool::"erp/createVendor") when { context.args.nme == "x" };`), "does not fit"},
		"optional without has":   {text("p", "", `forbid (principal, action, resource == Tool::"erp/createVendor") when { context.args.count > 1 };`), "does not fit"},
		"wrong type":             {text("p", "", `forbid (principal, action, resource == Tool::"erp/createVendor") when { context.args.name > 1 };`), "does not fit"},
		"nullable without has":   {text("p", "", `forbid (principal, action, resource == Tool::"erp/createVendor") when { context.args.note == "x" };`), "does not fit"},
		"argument of two types":  {text("p", "erp", `forbid (principal, action, resource) when { context.args has count && context.args.count == "1" };`), "does not fit"},
		"argument without type":  {text("p", "", `forbid (principal, action, resource == Tool::"erp/createVendor") when { context.args has free && context.args.free == "1" };`), "does not fit"},
		"misspelt after has":     {text("p", "", `forbid (principal, action, resource == Tool::"erp/createVendor") when { context.args has nme && context.args.nme == "x" };`), `no "nme"`},
		"misspelt deep has":      {text("p", "", `forbid (principal, action, resource == Tool::"erp/createVendor") when { context.args has bank.ibn && context.args.bank.ibn == "x" };`), `no "ibn"`},
		"has behind a detour":    {text("p", "", `forbid (principal, action, resource == Tool::"erp/createVendor") when { (if true then context else context).args has nme };`), "plain path"},
		"unknown entity type":    {text("p", "", `permit (principal in User::"u", action, resource);`), "does not fit"},
		"another's tool":         {text("p", "tickets", `permit (principal, action, resource == Tool::"erp/createVendor");`), "can't be about any tool"},
		"misspelt annotation":    {text("p", "", `@aprovers("finance") permit (principal, action, resource);`), "@aprovers is not understood"},
		"unknown team":           {text("p", "", `@approvers("finanse") permit (principal, action, resource);`), `no Team "finanse"`},
		"expiry too long":        {text("p", "", `@expires("721h") permit (principal, action, resource);`), "@expires"},
		"expiry nonsense":        {text("p", "", `@expires("soon") permit (principal, action, resource);`), "@expires"},
		"pin nonsense":           {text("p", "", `@pin_secret("yes") permit (principal, action, resource);`), "@pin_secret"},
		"taken name":             {text("default", "", `permit (principal, action, resource);`), "is taken"},
		"taken id":               {text("p", "", "@id(\"a\") permit (principal, action, resource);\n@id(\"a\") permit (principal, action, resource);"), "policy p:2:1"},
		"a template, not a rule": {text("p", "", `permit (principal == ?principal, action, resource);`), "not Cedar"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := policy.Compile([]resource.Policy{c.p}, world)
			if err == nil || s != nil || !strings.Contains(err.Error(), c.want) || !fault.Is(err, fault.Invalid) {
				t.Errorf("Compile: %v (kind %s), want %q", err, fault.KindOf(err), c.want)
			}
		})
	}
}

func TestSuggestions(t *testing.T) {
	_, err := policy.Compile([]resource.Policy{text("p", "", `forbid (principal, action, resource == Tool::"erp/createVendr");`)}, world)
	if p, ok := errors.AsType[*policy.Problem](err); !ok || p.Err.Hint != "did you mean erp/createVendor?" {
		t.Errorf("error %#v", err)
	}
}

func TestHashChangesWithEveryPart(t *testing.T) {
	all := `permit (principal, action, resource);`
	seen := map[string]bool{}
	for _, set := range [][]resource.Policy{nil, {text("a", "", all)}, {text("b", "", all)}, {text("a", "erp", all)}, {text("a", "", all+" ")}} {
		h := compile(t, set...).Hash()
		if seen[h] {
			t.Errorf("%v has another set's hash", set)
		}
		seen[h] = true
	}
	x, y := compile(t, text("a", "", all), text("b", "", all)), compile(t, text("b", "", all), text("a", "", all))
	if x.Hash() != y.Hash() {
		t.Error("the order of the policies changes the hash")
	}
}

func TestWorldIsChecked(t *testing.T) {
	for name, tools := range map[string][]policy.Tool{
		"twice":     {world.Tools[0], world.Tools[0]},
		"no effect": {{Integration: "a", Name: "b"}},
		"no object": {{Integration: "a", Name: "b", Effect: resource.Read, Schema: json.RawMessage(`{"type":"string"}`)}},
		"no JSON":   {{Integration: "a", Name: "b", Effect: resource.Read, Schema: json.RawMessage(`{`)}},
	} {
		if _, err := policy.Compile(nil, policy.World{Tools: tools}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRecursiveSchemaEnds(t *testing.T) {
	w := policy.World{Tools: []policy.Tool{{Integration: "a", Name: "b", Effect: resource.Read, Schema: json.RawMessage(
		`{"type":"object","properties":{"l":{"$ref":"#"},"r":{"$ref":"#"},"loop":{"$ref":"#/$defs/x"}},"$defs":{"x":{"$ref":"#/$defs/x"}}}`)}}}
	if _, err := policy.Compile(nil, w); err != nil {
		t.Error(err)
	}
}

func FuzzArguments(f *testing.F) {
	s := compile(f, text("p", "erp", `permit (principal, action, resource == Tool::"erp/createVendor") unless { context.args has note && context.args.note == "x" };`))
	for _, seed := range []string{fine, `{"name":"a","amount":-0.5}`, `{"a":[1,1.5,null,{"b":true}]}`, `{"amount":1e5}`, `{"a":1E-30}`, `nul`, `{"":{}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, args string) {
		v := s.Evaluate(create(args))
		if !json.Valid([]byte(args)) && v.Effect != policy.Deny {
			t.Errorf("%q is not JSON and the verdict is %q", args, v.Effect)
		}
		if v.Effect != policy.Deny && v.Effect != policy.Ask && v.Effect != policy.Allow {
			t.Errorf("no verdict for %q", args)
		}
	})
}

func FuzzCompile(f *testing.F) {
	f.Add(policy.Default, createSchema)
	f.Add(`@expires("1h") forbid (principal, action, resource) when { if context.args has a then true else context.args["b"] == -1 };`, `{"type":"object","properties":{"a":{"$ref":"#"}}}`)
	f.Add(`permit (principal is Worker in Mission::"m", action in [], resource) unless { [1, "a"].contains(1) };`, `{}`)
	f.Fuzz(func(t *testing.T, cedar, schema string) {
		if len(cedar) > 4096 || len(schema) > 4096 {
			return
		}
		w := policy.World{Tools: []policy.Tool{{Integration: "i", Name: "t", Effect: resource.Write, Schema: json.RawMessage(schema)}}}
		s, err := policy.Compile([]resource.Policy{text("p", "", cedar)}, w)
		if (s == nil) == (err == nil) || err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("Compile(%q): %v, %v", cedar, s, err)
		}
	})
}

func BenchmarkEvaluate(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		var src strings.Builder
		for i := range n {
			fmt.Fprintf(&src, "forbid (principal, action, resource == Tool::\"erp/createVendor\") when { context.args has note && context.args.note like \"x%d*\" };\n", i)
		}
		s := compile(b, text("many", "erp", src.String()))
		q := create(`{"name":"Acme","amount":10,"note":"hello","tags":["a","b"]}`)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if s.Evaluate(q).Effect != policy.Ask {
					b.Fatal("not asked")
				}
			}
		})
	}
}
