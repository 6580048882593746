package policy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
)

func TestEachTeamIsAskedForItsHighestCount(t *testing.T) {
	s := compile(t,
		text("a", "erp", `@approvers("finance:2, security") permit (principal, action == Action::"call", resource == Tool::"erp/createVendor");`),
		text("b", "", `@approvers("security:3") @passkey("true") forbid (principal, action == Action::"call_unattended", resource == Tool::"erp/createVendor");`),
		text("c", "", `@approvers("security:9") permit (principal, action == Action::"call_unattended", resource == Tool::"erp/createVendor");`),
	)
	v := s.Evaluate(create(fine))
	wants(t, v, policy.Ask)
	if policy.Names(v.Approvers) != "finance:2, security:3" || !v.Passkey {
		t.Errorf("verdict %+v", v)
	}
	// A verdict is its own: what somebody changes in it is not in the next.
	v.Approvers[0].Count = 99
	if v := s.Evaluate(create(fine)); policy.Names(v.Approvers) != "finance:2, security:3" {
		t.Errorf("the next verdict has %v", v.Approvers)
	}
}

func TestRefusedAnnotations(t *testing.T) {
	for note, want := range map[string]string{
		`@approvers("finance:0")`:                               "from 1 to 20",
		`@approvers("finance:x")`:                               "from 1 to 20",
		`@approvers("finance, finance:2")`:                      "there twice",
		`@approvers("finance,")`:                                `no Team ""`,
		`@approvers("")`:                                        `no Team ""`,
		`@passkey("1")`:                                         "@passkey",
		`@observe("yes")`:                                       "@observe",
		`@rate("20 per 1h per connection")`:                     "needs an @id",
		`@id("x") @rate("0 per 1h per connection")`:             "from 1 to 10000",
		`@id("x") @rate("+5 per 1h per connection")`:            "from 1 to 10000",
		`@id("x") @rate("10001 per 1h per connection")`:         "from 1 to 10000",
		`@id("x") @rate("20 per 1h")`:                           "is not a limit",
		`@id("x") @rate("20 each 1h per run")`:                  "is not a limit",
		`@id("x") @rate("20 per 1h per tenant")`:                "per run, per mission or per connection",
		`@id("x") @rate("20 per 1ms per run")`:                  "between 1s and 720h",
		`@id("x") @rate("20 per 721h per run")`:                 "between 1s and 720h",
		`@id("x") @rate("20 per 1h per run, 3 per 1h per run")`: "two limits",
		`@id("x") @budget("amount -1 per 1h per run")`:          "above 0",
		`@id("x") @budget("amount 0 per 1h per run")`:           "above 0",
		`@id("x") @budget("amount 0x10 per 1h per run")`:        "above 0",
		`@id("x") @budget("amount 1/2 per 1h per run")`:         "above 0",
		`@id("x") @budget("amount 0.00001 per 1h per run")`:     "above 0",
		`@id("x") @budget("amont 10 per 1h per run")`:           `no argument "amont"`,
		`@id("x") @budget("name 10 per 1h per run")`:            "is no number",
		`@id("x") @budget("/bank/iban 10 per 1h per run")`:      "is no number",
		`@id("x") @budget("/ 10 per 1h per run")`:               "not a pointer",
		`@id("x") @budget("/a~2 10 per 1h per run")`:            "not a pointer",
		`@raet("1 per 1h per run")`:                             "@raet is not understood",
	} {
		_, err := policy.Compile([]resource.Policy{text("p", "", note+` permit (principal, action, resource == Tool::"erp/createVendor");`)}, world)
		if err == nil || !strings.Contains(err.Error(), want) || !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, want %q", note, err, want)
		}
	}
	_, err := policy.Compile([]resource.Policy{text("p", "", `@id("x") @rate("1 per 1h per run") forbid (principal, action, resource);`)}, world)
	if err == nil || !strings.Contains(err.Error(), "limit a permit") {
		t.Errorf("a forbid: %v", err)
	}
}

func TestWhatIsNotCedarIsSaidWithItsPlace(t *testing.T) {
	_, err := policy.Compile([]resource.Policy{text("p", "", "permit (principal, action, resource);\n\nforbid (principal, actoin, resource);")}, world)
	p, ok := errors.AsType[*policy.Problem](err)
	if !ok || p.Line != 3 || p.Column == 0 {
		t.Errorf("error %v", err)
	}
}

const rated = `@id("some") @rate("20 per 1h per connection") permit (principal, action == Action::"call_unattended", resource == Tool::"erp/createVendor");`

// used answers what is used of every limit.
func used(n int64) func(policy.Use) (int64, error) {
	return func(policy.Use) (int64, error) { return n, nil }
}

func TestARateHoldsWithThisCallIncluded(t *testing.T) {
	s := compile(t, text("p", "erp", rated))
	for n, want := range map[int64]policy.Effect{0: policy.Allow, 19: policy.Allow, 20: policy.Ask, 9223372036854775807: policy.Ask, -1: policy.Ask} {
		q := create(fine)
		q.Used = used(n)
		v := s.Evaluate(q)
		wants(t, v, want)
		if (want == policy.Allow) != (len(v.Uses) == 1) {
			t.Errorf("uses %+v", v.Uses)
		}
		if want == policy.Ask && !strings.Contains(v.Why, "p/some has reached its rate of 20 per 1h per connection") {
			t.Errorf("it says %q", v.Why)
		}
	}
	wants(t, s.Evaluate(create(fine)), policy.Ask) // nobody counts
	q := create(fine)
	q.Used = func(policy.Use) (int64, error) { return 0, errors.New("the disk is gone") }
	v := s.Evaluate(q)
	wants(t, v, policy.Deny)
	if !slices.Equal(v.Reasons, []string{"p/some"}) || strings.Contains(v.Why, "disk") {
		t.Errorf("verdict %+v", v)
	}
}

func TestABudgetAddsUpExactAmountsOnly(t *testing.T) {
	s := compile(t, text("p", "erp", `@id("b") @budget("amount 1000.5 per 24h per mission") permit (principal, action == Action::"call_unattended", resource == Tool::"erp/createVendor");`))
	for args, want := range map[string]policy.Effect{
		`{"name":"a","amount":1000.5}`:    policy.Allow,
		`{"name":"a","amount":1.0005e3}`:  policy.Allow,
		`{"name":"a","amount":1000.5001}`: policy.Ask,
		`{"name":"a","amount":-0.0001}`:   policy.Ask,
		`{"name":"a","amount":"5"}`:       policy.Ask,
		`{"name":"a","amount":null}`:      policy.Ask,
		`{"name":"a"}`:                    policy.Ask,
		`{"name":"a","amount":0}`:         policy.Allow,
		`{"name":"a","amount":0.00001}`:   policy.Deny, // no amount that policy can read
		`{"name":"a","amount":1e30}`:      policy.Deny,
	} {
		q := create(args)
		q.Used = used(0)
		wants(t, s.Evaluate(q), want)
	}
	q := create(`{"name":"a","amount":1000.25}`)
	q.Used = used(2500)
	v := s.Evaluate(q)
	wants(t, v, policy.Allow)
	if u := v.Uses[0]; u.Amount != 10_002_500 || u.Most != 10_005_000 || u.Figure(u.Used) != "0.25" || u.Figure(u.Amount) != "1000.25" {
		t.Errorf("use %+v", u)
	}
	q.Used = used(2501)
	wants(t, s.Evaluate(q), policy.Ask)
}

func TestWhatIsCountedTogether(t *testing.T) {
	s := compile(t, text("p", "erp", `@id("b") @rate("5 per 1m per run, 7 per 1h per mission, 9 per 24h per connection")
		permit (principal, action == Action::"call_unattended", resource == Tool::"erp/createVendor");
		@id("c") @rate("5 per 1m per run") permit (principal, action == Action::"call_unattended", resource == Tool::"erp/createVendor");`))
	scopes := func(change func(*policy.Question)) (out []string) {
		q := create(fine)
		change(&q)
		q.Used = used(0)
		for _, u := range s.Evaluate(q).Uses {
			out = append(out, u.Scope)
		}
		return out
	}
	base := scopes(func(*policy.Question) {})
	if len(base) != 4 || len(slices.Compact(slices.Sorted(slices.Values(base)))) != 4 {
		t.Fatalf("the scopes are %v", base)
	}
	for name, c := range map[string]struct {
		change func(*policy.Question)
		same   [4]bool
	}{
		"another Run":        {func(q *policy.Question) { q.Run = "run_2" }, [4]bool{false, true, true, false}},
		"another Mission":    {func(q *policy.Question) { q.Mission = "other" }, [4]bool{true, false, true, true}},
		"another Connection": {func(q *policy.Question) { q.Connection = "erp-read" }, [4]bool{true, true, false, true}},
		"another tenant":     {func(q *policy.Question) { q.Tenant = "globex" }, [4]bool{}},
		"other arguments":    {func(q *policy.Question) { q.Args = json.RawMessage(`{"name":"b","amount":1}`) }, [4]bool{true, true, true, true}},
	} {
		for i, scope := range scopes(c.change) {
			if (scope == base[i]) != c.same[i] {
				t.Errorf("%s: the scope of the limit %d is the same: %t", name, i, !c.same[i])
			}
		}
	}
}

func TestObservedStatementsDecideNothing(t *testing.T) {
	for name, c := range map[string]struct {
		cedar  string
		args   string
		effect policy.Effect
		want   string
	}{
		"a forbid":                  {`@id("o") @observe("true") forbid (principal, action, resource == Tool::"erp/createVendor");`, fine, policy.Ask, "p/o deny"},
		"one that is no match":      {`@id("o") @observe("true") forbid (principal, action, resource == Tool::"erp/createVendor") when { context.args.name == "x" };`, fine, policy.Ask, ""},
		"a permit":                  {`@id("o") @observe("true") permit (principal, action, resource == Tool::"erp/createVendor");`, fine, policy.Allow, "p/o allow"},
		"more approvers":            {`@id("o") @observe("true") @approvers("security:2") permit (principal, action == Action::"call", resource);`, fine, policy.Ask, "p/o ask"},
		"no more":                   {`@id("o") @observe("true") permit (principal, action == Action::"call", resource);`, fine, policy.Ask, ""},
		"one that errors":           {`@id("o") @observe("true") forbid (principal, action, resource == Tool::"erp/createVendor") when { context.args has count && context.args.count * 4 > 1 };`, `{"name":"a","amount":1,"count":9223372036854775807}`, policy.Ask, "p/o deny"},
		"a permit against a forbid": {`@id("o") @observe("true") permit (principal, action, resource == Tool::"erp/createVendor"); forbid (principal, action, resource == Tool::"erp/createVendor");`, fine, policy.Deny, ""},
		"off":                       {`@id("o") @observe("false") forbid (principal, action, resource == Tool::"erp/createVendor");`, fine, policy.Deny, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := compile(t, text("p", "", c.cedar)).Evaluate(create(c.args))
			got := ""
			for _, o := range v.Observed {
				got += o.ID + " " + string(o.Effect)
			}
			effect := c.effect
			if name == "a permit" { // it would have let it through, and does not
				effect = policy.Ask
			}
			wants(t, v, effect)
			if got != c.want {
				t.Errorf("observed %q, want %q", got, c.want)
			}
		})
	}
}

func TestAnObservedLimitIsCountedAndTakesNothing(t *testing.T) {
	s := compile(t, text("p", "erp", `@observe("true") `+rated))
	q := create(fine)
	q.Used = used(19)
	v := s.Evaluate(q)
	wants(t, v, policy.Ask)
	if len(v.Uses) != 1 || !v.Uses[0].Observed || len(v.Observed) != 1 || v.Observed[0].Effect != policy.Allow {
		t.Errorf("verdict %+v", v)
	}
	q.Used = used(20)
	if v := s.Evaluate(q); len(v.Observed) != 0 || len(v.Uses) != 0 {
		t.Errorf("beyond it, verdict %+v", v)
	}
	s = compile(t, text("p", "erp", `@id("o") @observe("true") @rate("20 per 1h per run") permit (principal, action == Action::"call", resource);`))
	q.Used = used(20)
	if v := s.Evaluate(q); v.Effect != policy.Ask || len(v.Observed) != 1 || v.Observed[0].Effect != policy.Deny {
		t.Errorf("beyond it, verdict %+v", v)
	}
}

func TestBeyondALimitTheBuiltInPermitsDoNotCount(t *testing.T) {
	s := compile(t, text("p", "erp", `
		@id("calls") @rate("20 per 1h per run") permit (principal, action == Action::"call", resource == Tool::"erp/createVendor");
		@id("reads") @rate("20 per 1h per run") permit (principal, action == Action::"call_unattended", resource == Tool::"erp/findVendors");`),
		text("other", "erp", `@id("finance") permit (principal in Mission::"other", action == Action::"call", resource == Tool::"erp/createVendor");`))
	for name, c := range map[string]struct {
		q    policy.Question
		used int64
		want policy.Effect
	}{
		"a write within":            {create(fine), 19, policy.Ask},
		"a write beyond":            {create(fine), 20, policy.Deny},
		"a write of another permit": {func() policy.Question { q := create(fine); q.Mission = "other"; return q }(), 20, policy.Ask},
		"a read within":             {find(), 19, policy.Allow},
		"a read beyond":             {find(), 20, policy.Ask},
	} {
		c.q.Used = used(c.used)
		if v := s.Evaluate(c.q); v.Effect != c.want {
			t.Errorf("%s: %s (%s), want %s", name, v.Effect, v.Why, c.want)
		}
	}
}

func TestTheCircumstancesOfACall(t *testing.T) {
	s := compile(t, text("p", "", `
		@id("night")  forbid (principal, action, resource) when { context.hour < 8 || context.hour >= 18 };
		@id("sunday") forbid (principal, action, resource) when { context.weekday == 7 };
		@id("after")  forbid (principal, action, resource) when { context.now > datetime("2027-01-01T00:00:00Z") };
		@id("agents") forbid (principal, action, resource) when { context.worker == "outside" } unless { context has source && context.source.isInRange(ip("10.0.0.0/8")) };`))
	for name, c := range map[string]struct {
		change func(*policy.Question)
		want   string
	}{
		"by day":             {func(*policy.Question) {}, ""},
		"at night":           {func(q *policy.Question) { q.Now = monday.Add(7 * time.Hour) }, "p/night"},
		"by another clock":   {func(q *policy.Question) { q.Now = monday.In(time.FixedZone("x", -9*3600)) }, ""},
		"on a Sunday":        {func(q *policy.Question) { q.Now = monday.Add(-24 * time.Hour) }, "p/sunday"},
		"on a Saturday":      {func(q *policy.Question) { q.Now = monday.Add(-48 * time.Hour) }, ""},
		"next year":          {func(q *policy.Question) { q.Now = monday.AddDate(1, 0, 0) }, "p/after"},
		"an agent":           {func(q *policy.Question) { q.Worker = "outside" }, "p/agents"},
		"an agent inside":    {func(q *policy.Question) { q.Worker, q.Source = "outside", netip.MustParseAddr("::ffff:10.1.1.1") }, ""},
		"an agent elsewhere": {func(q *policy.Question) { q.Worker, q.Source = "outside", netip.MustParseAddr("2001:db8::1") }, "p/agents"},
	} {
		q := find()
		c.change(&q)
		v := s.Evaluate(q)
		if got := strings.Join(v.Reasons, ","); v.Effect == policy.Deny && got != c.want || v.Effect != policy.Deny && c.want != "" {
			t.Errorf("%s: %s by %s, want %q", name, v.Effect, got, c.want)
		}
	}
	for name, change := range map[string]func(*policy.Question){"no time": func(q *policy.Question) { q.Now = time.Time{} }, "no Worker": func(q *policy.Question) { q.Worker = "" }} {
		q := find()
		change(&q)
		if v := s.Evaluate(q); v.Effect != policy.Deny {
			t.Errorf("%s: %s", name, v.Effect)
		}
	}
	for want, cedar := range map[string]string{
		"does not fit": `forbid (principal, action, resource) when { context.source.isInRange(ip("10.0.0.0/8")) };`, // it may be absent
		`no "sorce"`:   `forbid (principal, action, resource) when { context has sorce && context.sorce.isIpv4() };`,
	} {
		if _, err := policy.Compile([]resource.Policy{text("p", "", cedar)}, world); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", cedar, err)
		}
	}
}

func TestAnExplanationHasEveryStatementThatHadAPart(t *testing.T) {
	s := compile(t, text("p", "erp", "// why\n"+rated+`
		@id("o") @observe("true") @title("Try it") forbid (principal, action == Action::"call", resource == Tool::"erp/createVendor");`))
	q := create(fine)
	q.Used = used(20)
	x := s.Explain(q)
	wants(t, x.Verdict, policy.Ask)
	var got []string
	for _, st := range x.Statements {
		got = append(got, fmt.Sprintf("%s:%d %s %s", st.ID, st.Line, st.Question, st.Part))
		if st.Text == "" || st.Column == 0 || st.ID == "p/o" && st.Title != "Try it" {
			t.Errorf("statement %+v", st)
		}
	}
	want := []string{"default/writes:23 call determines", "p/some:2 call_unattended beyond its limit", "p/o:3 call observed"}
	if !slices.Equal(got, want) || len(x.Uses) != 1 || x.Uses[0].Used != 20 {
		t.Errorf("statements %q, uses %+v", got, x.Uses)
	}
}

// What an annotation says is never taken for more than it is.
func FuzzAnnotations(f *testing.F) {
	for _, seed := range []string{"finance:2, security", "20 per 1h per connection", "amount 50000 per 24h per mission", "/bank/x 1.5 per 1s per run, a 2 per 1h per run", "true", "~", "\x00"} {
		f.Add("approvers", seed)
		f.Add("rate", seed)
		f.Add("budget", seed)
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		b, err := json.Marshal(value)
		if err != nil || len(value) > 1000 {
			return
		}
		s, err := policy.Compile([]resource.Policy{text("p", "erp", `@id("x") @`+key+`(`+string(b)+`) permit (principal, action, resource == Tool::"erp/createVendor");`)}, world)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("kind %s: %v", fault.KindOf(err), err)
			}
			return
		}
		q := create(fine)
		q.Used = used(9223372036854775807)
		v := s.Evaluate(q)
		if (key == "rate" || key == "budget") && v.Effect == policy.Allow {
			t.Errorf("@%s(%q) lets through what is used up", key, value)
		}
		for _, a := range v.Approvers {
			if a.Count < 1 || a.Count > 20 || !slices.Contains(world.Teams, a.Team) {
				t.Errorf("@%s(%q) asks %v", key, value, a)
			}
		}
	})
}
