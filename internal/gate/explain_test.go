package gate_test

import (
	"encoding/json"
	"strings"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/policy"
)

func person(id string, roles ...ident.Role) ident.Principal {
	return ident.Principal{Tenant: acme, Kind: ident.Person, ID: id, Name: id, Roles: roles}
}

func about(run string) gate.Hypothetical {
	return gate.Hypothetical{Run: run, Connection: "erp-write", Tool: "createVendor", Args: json.RawMessage(`{"name":"a"}`)}
}

func TestAnExplanationSaysByWhatAndChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.policy(strings.Replace(twenty, "20", "1", 1) + `
		@id("try") @observe("true") @title("Nobody") forbid (principal, action, resource == Tool::"erp/createVendor");`)
	run := w.start()
	for range 3 { // asking takes no place
		x, err := w.Explain(t.Context(), sam, about(run.ID))
		w.must(err)
		if x.Effect != policy.Allow || len(x.Limits) != 1 || x.Limits[0].Used != "0" || !x.Limits[0].Within || len(x.Observed) != 1 || x.Observed[0].Effect != policy.Deny {
			t.Errorf("it says %+v", x)
		}
	}
	w.wantUntouched()
	w.admit(run, create("a"))
	x, err := w.Explain(t.Context(), person("acc_b", ident.Builder), about(run.ID))
	w.must(err)
	if x.Effect != policy.Ask || x.Limits[0].Used != "1" || x.Limits[0].Within || policy.Names(x.Approvers) != "finance" || !strings.Contains(x.Why, "has reached its rate") {
		t.Errorf("it says %+v", x)
	}
	text := ""
	for _, s := range x.Statements {
		text += s.Text
	}
	if !strings.Contains(text, `@rate("1 per 1h per connection")`) || !strings.Contains(text, `@title("Nobody")`) || strings.Contains(text, "finance") {
		t.Errorf("the statements are %s", text)
	}
	none := about(run.ID)
	none.Connection = "erp-other"
	if x, err = w.Explain(t.Context(), sam, none); err != nil || x.Effect != policy.Deny || x.Why != "the Mission does not hold this tool: did you mean erp-write/createVendor?" {
		t.Errorf("of what the Mission does not hold it says %+v, %v", x, err)
	}
	none.Connection = "erp" // the Integration, in place of a Connection
	if x, err = w.Explain(t.Context(), sam, none); err != nil || x.Effect != policy.Deny || !strings.HasSuffix(x.Why, ": erp is an Integration; of its Connections the Mission holds erp-write/createVendor") {
		t.Errorf("of an Integration it says %+v, %v", x, err)
	}
	if n := len(w.entries(audit.IntentDenied)); n != 0 {
		t.Errorf("%d refusals are on record", n)
	}
}

func TestWhoMayAskWhatPolicySays(t *testing.T) {
	w := newWorld(t)
	run := w.start()
	mission := about("")
	mission.Mission = "onboard"
	for name, c := range map[string]struct {
		who      ident.Principal
		run, all fault.Kind
	}{
		"who started it": {sam, "", fault.Denied},
		"another":        {person("acc_x", ident.Requester, ident.Approver), fault.NotFound, fault.Denied},
		"a builder":      {person("acc_b", ident.Builder), "", ""},
		"an auditor":     {person("acc_c", ident.Auditor), "", ""},
		"an admin":       {person("acc_d", ident.Admin), "", ""},
		"the Run itself": {run, fault.NotFound, fault.Denied},
		"nobody":         {ident.Principal{}, fault.NotFound, fault.Denied},
		"another tenant": {ident.Principal{Tenant: "globex", Kind: ident.Person, ID: "acc_d", Roles: []ident.Role{ident.Admin}}, fault.NotFound, ""},
	} {
		if _, err := w.Explain(t.Context(), c.who, about(run.ID)); fault.KindOf(err) != c.run {
			t.Errorf("%s, about the Run: %v", name, err)
		}
		if _, err := w.Explain(t.Context(), c.who, mission); fault.KindOf(err) != c.all {
			t.Errorf("%s, about the Mission: %v", name, err)
		}
	}
}

func TestAQuestionThatCannotBeAskedIsRefused(t *testing.T) {
	w := newWorld(t)
	run := w.start()
	for name, c := range map[string]struct {
		change func(*gate.Hypothetical)
		want   fault.Kind
	}{
		"no Run and no Mission":      {func(h *gate.Hypothetical) { h.Run = "" }, fault.Invalid},
		"both":                       {func(h *gate.Hypothetical) { h.Mission = "onboard" }, fault.Invalid},
		"a Run and a Worker":         {func(h *gate.Hypothetical) { h.Worker = intent.Outside }, fault.Invalid},
		"no such Mission":            {func(h *gate.Hypothetical) { h.Run, h.Mission = "", "nothing" }, fault.NotFound},
		"no such Worker":             {func(h *gate.Hypothetical) { h.Run, h.Mission, h.Worker = "", "onboard", "robot" }, fault.Invalid},
		"no JSON":                    {func(h *gate.Hypothetical) { h.Args = json.RawMessage(`{`) }, fault.Invalid},
		"arguments that do not fit":  {func(h *gate.Hypothetical) { h.Args = json.RawMessage(`{"name":"does-not-fit"}`) }, fault.Invalid},
		"a known secret":             {func(h *gate.Hypothetical) { h.Args = json.RawMessage(`{"name":"` + canary + `-erp-key"}`) }, fault.Denied},
		"a known secret, no JSON":    {func(h *gate.Hypothetical) { h.Args = json.RawMessage(`{"name":"` + canary + `-erp-key"`) }, fault.Denied},
		"a known secret as the tool": {func(h *gate.Hypothetical) { h.Tool = canary + "-erp-key" }, fault.Denied},
	} {
		h := about(run.ID)
		c.change(&h)
		x, err := w.Explain(t.Context(), person("acc_b", ident.Builder), h)
		if fault.KindOf(err) != c.want {
			t.Errorf("%s: %+v, %v", name, x, err)
		}
		if err != nil && strings.Contains(err.Error()+fault.HintOf(err), canary) {
			t.Errorf("%s: the error repeats it: %v", name, err)
		}
	}
	w.wantUntouched()
	w.worldErr = fault.New(fault.Unavailable, "it is not loaded")
	_, err := w.Explain(t.Context(), sam, about(run.ID))
	w.wantKind(err, fault.Unavailable)
}
