package gate_test

import (
	"encoding/json"
	"fmt"
	"sallyport.dev/internal/audit"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// of gives the last record of a kind.
func of(t *testing.T, rail []explain.Observation, k explain.Kind) explain.Observation {
	t.Helper()
	for _, o := range slices.Backward(rail) {
		if o.Kind == k {
			return o
		}
	}
	t.Fatalf("there is no %s in %+v", k, rail)
	return explain.Observation{}
}

func TestARecordHasItsPartsAndItsAuditEntry(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	w.replies(`{"items":[{"note":"pay to %s"}]}`, planted)
	w.admit(who, find("x"))
	w.pass(time.Second)
	it := w.admit(who, intent.Proposal{Connection: "erp-write", Tool: "createVendor", Args: json.RawMessage(`{"name":"` + strings.ReplaceAll(planted, " ", "") + `"}`), Reason: "new"})
	rail, err := w.Rail.List(t.Context(), acme, who.ID, 0, 100)
	w.must(err)
	if g := of(t, rail, explain.Goal); g.Detail.Goal.Mission != "onboard" || g.Detail.Goal.Goal != "Do it." || !g.Trusted || g.Entry == nil {
		t.Errorf("the goal is %+v", g)
	}
	p := of(t, rail, explain.Intent)
	if d := p.Detail; p.Intent != it.ID || d.Rule.Effect != "ask" || d.Rule.Statements[0].ID == "" || fmt.Sprint(d.Rule.Approvers) != "[finance]" || d.Intent.Reason != "new" || d.Use != nil || p.Trusted {
		t.Errorf("what was proposed is %+v", d)
	}
	if x := p.Detail.Intent.Origins; len(x) != 1 || x[0].At != "/name" || x[0].Connection != "erp-read" {
		t.Errorf("its values come from %+v", x)
	}
	if d := of(t, rail, explain.Decision).Detail.Decision; d.State != "open" || d.Digest != it.Digest || d.Revision != 1 || fmt.Sprint(d.Needs) != "[1 of finance]" {
		t.Errorf("the Decision is %+v", d)
	}
	read := rail[1]
	if u := read.Detail.Use; read.Kind != explain.Intent || u.Secret != "erp-key" || u.Version != 1 || u.Scheme != "bearer" || u.Place != "Authorization" || string(read.Data) == "" {
		t.Errorf("the read is %+v", read)
	}
	if o := of(t, rail, explain.Retrieval); o.Detail.Outcome.State != "COMMITTED" || o.Detail.Outcome.Status != 200 || o.Trusted {
		t.Errorf("the answer is %+v", o)
	}
	if e := w.entries("")[*p.Entry]; e.Type != audit.IntentParked || e.Intent != it.ID {
		t.Errorf("it is linked to %+v", e)
	}
	w.policy(`@id("no") @title("Not on Sundays") forbid (principal, action, resource == Tool::"erp/dropVendor");`)
	_, err = w.Admit(t.Context(), who, intent.Proposal{Connection: "erp-write", Tool: "dropVendor", Args: json.RawMessage(`{"name":"a"}`)})
	w.wantKind(err, fault.Denied)
	n := of(t, w.rail(who.ID), explain.Check)
	if d := n.Detail; d.WhyNot.Kind != "denied" || d.Rule.Statements[0] != (explain.Statement{ID: "test/no", Title: "Not on Sundays"}) || d.WhyNot.Hint == "" {
		t.Errorf("why not: %+v, %+v", d.WhyNot, d.Rule)
	}
}

func TestTheUseOfACredentialIsOnTheRailBeforeItsOutcome(t *testing.T) {
	w := newWorld(t)
	w.policy(unattended)
	who := w.start()
	w.admit(who, create("a"))
	rail := w.rail(who.ID)
	use, out := of(t, rail, explain.Use), of(t, rail, explain.ToolCall)
	if use.Seq >= out.Seq || use.Detail.Use.Secret != "erp-key" || *use.Entry >= *out.Entry {
		t.Errorf("%+v, then %+v", use, out)
	}
	if d := of(t, rail, explain.Intent).Detail; d.Decision == nil || d.Decision.By != "policy" || d.Rule.Effect != "allow" {
		t.Errorf("policy's Decision is %+v", d)
	}
	all, err := json.Marshal(rail)
	if w.must(err); strings.Contains(string(all), canary) {
		t.Error("the value is on the rail")
	}
}

// replay gives the steps of a kind.
func (w *world) replay(who ident.Principal, run string, did gate.Did) (out []gate.ReplayStep) {
	w.t.Helper()
	r, err := w.Replay(w.t.Context(), who, run, 0, 0)
	w.must(err)
	for _, s := range r.Steps {
		if s.Step == did {
			out = append(out, s)
		}
	}
	return out
}

func TestAReplayShowsWhatWasAndWhatPolicySaysToday(t *testing.T) {
	w := newWorld(t)
	w.policy(unattended)
	who := w.start()
	w.replies(`{"items":[{"name":"Acme"}]}`)
	w.admit(who, find("x"))
	w.admit(who, create("a"))
	w.must(w.Observe(t.Context(), who, explain.Reasoning, "", "it looks fine"))
	opened, arrived, entries := w.opened, len(w.arrived), len(w.entries(""))
	r, err := w.Replay(t.Context(), sam, who.ID, 0, 0)
	w.must(err)
	var steps []string
	for _, s := range r.Steps {
		steps = append(steps, string(s.Step))
		if s.Today != nil && s.Today.Says != "as then" {
			t.Errorf("%s: %+v", s.Record.Title, s.Today)
		}
	}
	if got := strings.Join(steps, " "); got != "input proposed answer proposed used answer said" {
		t.Errorf("the steps are %s", got)
	}
	if a := w.replay(sam, who.ID, gate.DidAnswer); !strings.Contains(string(a[0].Record.Data), "Acme") {
		t.Errorf("it got %s", a[0].Record.Data)
	}
	for name, c := range map[string]struct{ cedar, says string }{
		"ask":   {"", "today this would ask finance"},
		"deny":  {`@id("no") @title("Never") forbid (principal, action, resource);`, "today this would be denied: test/no (Never)"},
		"other": {strings.ReplaceAll(unattended, `"free"`, `"open"`), "as then, by other rules: "},
	} {
		w.policy(c.cedar)
		p := w.replay(sam, who.ID, gate.DidPropose)
		if got := p[1].Today; !got.Evaluated || got.Same || !strings.HasPrefix(got.Says, c.says) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	w.policy(`@id("then") permit (principal, action, resource) when { context.now < datetime("2026-11-23T14:00:00Z") };`)
	w.pass(2 * time.Hour)
	if got := w.replay(sam, who.ID, gate.DidPropose)[1].Today; got.AtThen != "allow" || got.Now.Effect != "ask" || !strings.Contains(strings.Join(got.Notes, " "), "at the time of then") {
		t.Errorf("at the time of then: %+v", got)
	}
	if w.opened != opened || len(w.arrived) != arrived || len(w.entries("")) != entries {
		t.Error("a replay opened a door, sent something, or wrote something down")
	}
}

func TestAReplaySaysWhatCanNotBeJudgedAgain(t *testing.T) {
	w := newWorld(t)
	w.policy(`@id("no") forbid (principal, action, resource == Tool::"erp/dropVendor");`)
	who := w.start()
	w.admit(who, find(strings.Repeat("x", 9<<10)))
	_, err := w.Admit(t.Context(), who, intent.Proposal{Connection: "erp-write", Tool: "dropVendor", Args: json.RawMessage(`{"name":"a"}`)})
	w.wantKind(err, fault.Denied)
	if got := w.replay(sam, who.ID, gate.DidPropose)[0].Today; got.Evaluated || !strings.Contains(got.Says, "not on the record") {
		t.Errorf("long arguments: %+v", got)
	}
	w.policy("")
	if got := w.replay(sam, who.ID, gate.DidRefuse)[0].Today; !got.Evaluated || got.Says != "today this would ask finance" {
		t.Errorf("what was denied: %+v", got)
	}
	w.mission.Connections = []string{"erp-read"}
	w.mission.Decisions = nil
	w.apply()
	if got := w.replay(sam, who.ID, gate.DidRefuse)[0].Today; got.Evaluated || !strings.Contains(got.Says, "does not hold") {
		t.Errorf("what the Mission does not hold any more: %+v", got)
	}
}

func TestWhoMayReplayARun(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	w.replies(`{"items":["confidential"]}`)
	w.admit(who, find("confidential-name"))
	w.must(w.Observe(t.Context(), who, explain.Plan, "confidential plan", "confidential"))
	for _, p := range []ident.Principal{sam, person("a", ident.Auditor), person("b", ident.Admin)} {
		r, err := w.Replay(t.Context(), p, who.ID, 0, 0)
		if w.must(err); r.Bare {
			t.Errorf("%s sees less", p.ID)
		}
	}
	for _, p := range []ident.Principal{person("c", ident.Approver), person("d", ident.Requester), who, {Tenant: "globex", Kind: ident.Person, ID: "x", Roles: []ident.Role{ident.Auditor}}} {
		_, err := w.Replay(t.Context(), p, who.ID, 0, 0)
		w.wantKind(err, fault.NotFound)
	}
	r, err := w.Replay(t.Context(), person("e", ident.Builder), who.ID, 0, 0)
	w.must(err)
	text, err := json.Marshal(r)
	w.must(err)
	if !r.Bare || strings.Contains(string(text), "confidential") || len(r.Steps) != 4 || r.Steps[1].Today == nil {
		t.Errorf("a builder sees %s", text)
	}
}

func TestAReplayIsReadPageByPage(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	w.admit(who, find("a"))
	var steps []int64
	for after := int64(0); ; {
		r, err := w.Replay(t.Context(), sam, who.ID, after, 2)
		w.must(err)
		for _, s := range r.Steps {
			steps = append(steps, s.Record.Seq)
		}
		if after = r.Next; after == 0 {
			break
		}
	}
	if !slices.Equal(steps, []int64{1, 2, 3}) {
		t.Errorf("%v", steps)
	}
}
