package gate_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/vault"
)

// sam starts Runs.
var sam = ident.Principal{Tenant: acme, Kind: ident.Person, ID: "acc_sam", Name: "Sam", Roles: []ident.Role{ident.Requester}}

// start starts a Run and gives its Worker.
func (w *world) start() ident.Principal {
	w.t.Helper()
	r, err := w.StartRun(w.t.Context(), sam, gate.Start{Mission: "onboard", Via: "api", Outside: true})
	w.must(err)
	return worker(r)
}

func worker(r intent.Run) ident.Principal {
	return ident.Principal{Tenant: r.Tenant, Kind: ident.Run, ID: r.ID}
}

func create(name string) intent.Proposal {
	return intent.Proposal{Connection: "erp-write", Tool: "createVendor", Args: json.RawMessage(`{"name":"` + name + `"}`), Reason: "it is new"}
}

func find(name string) intent.Proposal {
	return intent.Proposal{Connection: "erp-read", Tool: "findVendors", Args: json.RawMessage(`{"name":"` + name + `"}`)}
}

// admit proposes something that is not refused.
func (w *world) admit(who ident.Principal, p intent.Proposal) intent.Intent {
	w.t.Helper()
	it, err := w.Admit(w.t.Context(), who, p)
	w.must(err)
	return it
}

// approve is ann's verdict on a parked Intent; change spoils it.
func (w *world) approve(it intent.Intent, change func(*decision.Decision)) {
	w.t.Helper()
	if change == nil {
		change = func(*decision.Decision) {}
	}
	_, err := w.store.Step(w.t.Context(), commit.Step{Tenant: acme, Intent: it.ID, Run: it.Run, From: intent.Parked, To: intent.Approved, At: w.now})
	w.must(err)
	w.approved[it.ID] = change
}

func (w *world) dispatch(it intent.Intent) error {
	return w.Dispatch(w.t.Context(), acme, it.ID)
}

func (w *world) stored(id string) intent.Intent {
	w.t.Helper()
	it, err := w.store.Intent(w.t.Context(), acme, id)
	w.must(err)
	return it
}

func (w *world) wantState(id string, s intent.State) intent.Intent {
	w.t.Helper()
	it := w.stored(id)
	if it.State != s {
		w.t.Errorf("the intent is %s (%s), want %s", it.State, it.Why, s)
	}
	return it
}

// entries are those of the audit log, of one type.
func (w *world) entries(typ audit.Type) []audit.Entry {
	w.t.Helper()
	rows, err := w.store.Audit().List(w.t.Context(), acme, audit.Filter{Type: typ}, 0, 1000)
	w.must(err)
	out := make([]audit.Entry, len(rows))
	for i, r := range rows {
		out[i], err = audit.ParseEntry(r.Entry)
		w.must(err)
	}
	return out
}

func (w *world) rail(run string) []explain.Observation {
	w.t.Helper()
	obs, err := w.store.Observations(w.t.Context(), acme, run, 0, 1000)
	w.must(err)
	return obs
}

// wantArrived fails unless exactly so many requests reached the system.
func (w *world) wantArrived(n int) {
	w.t.Helper()
	if len(w.arrived) != n || w.opened < n {
		w.t.Errorf("%d requests arrived, want %d: %v", len(w.arrived), n, w.arrived)
	}
}

// wantUntouched fails when a door was opened, or anything reached the system.
func (w *world) wantUntouched() {
	w.t.Helper()
	if w.opened != 0 || len(w.arrived) != 0 {
		w.t.Errorf("%d doors were opened, and %v arrived", w.opened, w.arrived)
	}
}

func (w *world) wantKind(err error, k fault.Kind) {
	w.t.Helper()
	if fault.KindOf(err) != k {
		w.t.Errorf("got %v of kind %q, want %q", err, fault.KindOf(err), k)
	}
}

func TestAReadIsDoneAtOnceAndItsClaimIsOnRecordFirst(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	it := w.admit(who, find("Siemens"))
	if it.State != intent.Committed || string(it.Result.Body) != `{"items":[]}` {
		t.Fatalf("%+v", it)
	}
	w.wantArrived(1)
	claims := w.entries(audit.IntentClaimed)
	if len(claims) != 1 || claims[0].Intent != it.ID || claims[0].Fields["secret"] != "erp-key" || claims[0].Fields["secretVersion"] != int64(1) || len(w.entries(audit.IntentOutcome)) != 1 {
		t.Errorf("the record is %+v", claims)
	}
}

func TestAWriteWaitsForItsDecision(t *testing.T) {
	w := newWorld(t)
	it := w.admit(w.start(), create("Siemens"))
	if it.State != intent.Parked {
		t.Fatalf("%+v", it)
	}
	w.wantUntouched()
	w.must(w.dispatch(it)) // a message that came too early does nothing
	w.wantState(it.ID, intent.Parked)
	w.approve(it, nil)
	w.must(w.dispatch(it))
	w.wantState(it.ID, intent.Committed)
	w.must(w.dispatch(it)) // and one that comes twice neither
	w.wantArrived(1)
	if c := w.entries(audit.IntentClaimed); len(c) != 1 || c[0].Fields["digest"] != string(it.Digest) || c[0].Fields["approvers"].([]string)[0] != w.ann {
		t.Errorf("the claim is %+v", c)
	}
}

func TestAWriteThatPolicyLetsThroughHasItsDecisionOnRecord(t *testing.T) {
	w := newWorld(t)
	w.policy(unattended)
	it := w.admit(w.start(), create("Siemens"))
	if it.State != intent.Committed {
		t.Fatalf("%+v", it)
	}
	w.wantArrived(1)
	d, err := w.store.DecisionOf(t.Context(), acme, it.ID)
	w.must(err)
	if d.AutoBy != decision.AutoByPolicy || len(d.Policies) == 0 || d.PolicySet == "" || len(w.entries(audit.IntentDecided)) != 1 {
		t.Errorf("the Decision is %+v", d)
	}
}

func TestASystemsAnswerIsScrubbedBeforeAnybodySeesIt(t *testing.T) {
	w := newWorld(t)
	answer := w.answer
	w.answer = func(tool, body string) connector.Answer {
		a := answer(tool, body)
		a.Body = json.RawMessage(`{"your key":"` + canary + `-erp-key","n":1}`)
		return a
	}
	who := w.start()
	it := w.admit(who, find("x"))
	all, err := json.Marshal([]any{it, w.stored(it.ID), w.rail(who.ID)})
	w.must(err)
	if strings.Contains(string(all), canary) || it.Result.Redactions == 0 || it.State != intent.Committed {
		t.Errorf("it is %s", all)
	}
}

func TestAnAnswerThatIsTooLongIsNotShownButIsCommitted(t *testing.T) {
	w := newWorld(t)
	w.policy(unattended)
	answer := w.answer
	w.answer = func(tool, body string) connector.Answer {
		a := answer(tool, body)
		a.Body = json.RawMessage(`"` + strings.Repeat("x", 64<<10) + `"`)
		return a
	}
	it := w.admit(w.start(), create("x"))
	if it.State != intent.Committed || it.Result.Body != nil || !it.Result.Truncated || it.Result.Note == "" {
		t.Errorf("%+v", it.Result)
	}
}

// A Worker that asks again gets what there is, not a second write.
func TestARepeatedWriteIsOneWrite(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	parked := w.admit(who, create("Siemens"))
	again := func(want intent.State) {
		t.Helper()
		p := create("Siemens")
		p.Reason, p.Args = "other words", json.RawMessage(` { "name" : "Siemens" } `)
		if it := w.admit(who, p); it.ID != parked.ID || it.State != want {
			t.Errorf("got %s in %s, want %s in %s", it.ID, it.State, parked.ID, want)
		}
	}
	again(intent.Parked)
	w.approve(parked, nil)
	again(intent.Approved)
	w.answer = func(string, string) connector.Answer { return connector.Answer{Outcome: "unclear"} }
	w.must(w.dispatch(parked))
	again(intent.Unknown)
	w.answer = func(string, string) connector.Answer {
		return connector.Answer{Outcome: "done", Body: json.RawMessage(`{"items":[{"id":7}]}`)}
	}
	_, err := w.Reconcile(t.Context(), acme, parked.ID, 0)
	w.must(err)
	again(intent.Committed)
	if other := w.admit(who, create("Bosch")); other.ID == parked.ID {
		t.Error("other arguments got it too")
	}
	if other := w.admit(w.start(), create("Siemens")); other.ID == parked.ID {
		t.Error("another Run got it too")
	}
	p := create("Siemens")
	p.Repeat = true
	if meant := w.admit(who, p); meant.ID == parked.ID || meant.State != intent.Parked {
		t.Errorf("a repeat that was meant got %+v", meant)
	}
	w.pass(25 * time.Hour)
	if later := w.admit(who, create("Siemens")); later.State != intent.Parked {
		t.Errorf("a day later: %+v", later)
	}
}

func TestAWriteThatWasNotDoneCanBeProposedAgain(t *testing.T) {
	w := newWorld(t)
	w.policy(unattended)
	w.answer = func(string, string) connector.Answer {
		return connector.Answer{Outcome: "refused", Status: 409, Err: fault.New(fault.Conflict, "409")}
	}
	who := w.start()
	first := w.admit(who, create("Siemens"))
	if second := w.admit(who, create("Siemens")); first.State != intent.Failed || second.ID == first.ID {
		t.Errorf("%s, then %s", first.State, second.ID)
	}
}

func TestAReadIsReadAgain(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	if a, b := w.admit(who, find("x")), w.admit(who, find("x")); a.ID == b.ID {
		t.Error("it got the earlier answer")
	}
	w.wantArrived(2)
}

// What a Worker repeats after a crash, under the key of before.
func TestTheSameKeyIsTheSameIntent(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	for _, p := range []intent.Proposal{find("x"), create("x")} {
		p.Key = "m3.c0/" + p.Tool
		a := w.admit(who, p)
		if b := w.admit(who, p); b.ID != a.ID || b.State != a.State || (a.Result == nil) != (b.Result == nil) {
			t.Errorf("%s: got %+v, then %+v", p.Tool, a, b)
		}
	}
	w.wantArrived(1)
}

// What was committed is not called denied because policy has changed since: the
// Worker would take it for not done.
func TestWhatWasCommittedStaysSoWhateverPolicySaysNow(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	p := create("x")
	p.Key = "m3.c0"
	it := w.admit(who, p)
	w.approve(it, nil)
	w.must(w.dispatch(it))
	w.policy(`@id("no") forbid (principal, action, resource);`)
	if again := w.admit(who, p); again.ID != it.ID || again.State != intent.Committed {
		t.Errorf("it is now %+v", again)
	}
	w.wantArrived(1)
}

func TestAKeyThatWasUsedForSomethingElseIsAConflict(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	for _, p := range []intent.Proposal{find("x"), create("x")} {
		p.Key = "key of " + p.Tool
		w.admit(who, p)
		others := []intent.Proposal{p, find("z"), create("z")}
		others[0].Args = json.RawMessage(`{"name":"y"}`)
		for _, o := range others {
			o.Key = p.Key
			before := len(w.entries(audit.IntentDenied))
			it, err := w.Admit(t.Context(), who, o)
			w.wantKind(err, fault.Conflict)
			if it.Result != nil || len(w.entries(audit.IntentDenied)) != before+1 {
				t.Errorf("%s after %s: %+v, and it is not on record", o.Tool, p.Tool, it)
			}
		}
		if it := w.admit(w.start(), func() intent.Proposal { o := find("z"); o.Key = p.Key; return o }()); it.State != intent.Committed {
			t.Errorf("another Run's key: %+v", it)
		}
	}
}

func TestOfManyProposalsAtOnceOneIsWritten(t *testing.T) {
	w := newWorld(t)
	w.policy(unattended)
	who := w.start()
	ids := make(chan string, 16)
	for range cap(ids) {
		go func() {
			it, err := w.Admit(t.Context(), who, create("Siemens"))
			if err != nil && !fault.Is(err, fault.Conflict) {
				t.Error(err)
			}
			ids <- it.ID
		}()
	}
	first := <-ids
	for range cap(ids) - 1 {
		if id := <-ids; id != first {
			t.Errorf("%s and %s", first, id)
		}
	}
	w.wantArrived(1)
}

func start(mission string) gate.Start { return gate.Start{Mission: mission, Via: "api", Outside: true} }

func write(by ident.Principal, value string) vault.Write {
	return vault.Write{Tenant: acme, Name: "erp-key", Fields: map[string][]byte{"token": []byte(canary + value)}, AnyOrigin: true, Actor: by}
}

// A library's error may quote anything, so nobody is shown it.
func TestAnErrorThatNobodyClassifiedIsNotShown(t *testing.T) {
	w := newWorld(t)
	w.policy(unattended)
	w.answer = func(string, string) connector.Answer {
		return connector.Answer{Outcome: connector.NotSent, Err: errors.New("a text of a library, with /etc/paths and " + canary + "-erp-key")}
	}
	who := w.start()
	it := w.admit(who, create("x"))
	all, err := json.Marshal([]any{it, w.stored(it.ID), w.rail(who.ID), w.entries(audit.IntentOutcome)})
	w.must(err)
	if it.State != intent.Failed || it.Why == "" || strings.Contains(string(all), "library") || strings.Contains(string(all), canary) {
		t.Errorf("it is %s", all)
	}
}

// A system's refusal is shown, without what the system should not have said.
func TestTheReasonOfAFailureIsScrubbed(t *testing.T) {
	w := newWorld(t)
	w.policy(unattended)
	w.answer = func(string, string) connector.Answer {
		return connector.Answer{Outcome: connector.Refused, Status: 401, Err: fault.New(fault.Denied, "the system refused "+canary+"-erp-key").WithHint("see " + canary + "-model-key")}
	}
	who := w.start()
	it := w.admit(who, create("x"))
	all, err := json.Marshal([]any{it, w.stored(it.ID), w.rail(who.ID), w.entries(audit.IntentOutcome)})
	w.must(err)
	if !strings.Contains(it.Why, "the system refused") || strings.Contains(string(all), canary) {
		t.Errorf("it is %s", all)
	}
}

// Two wait, and one of them has ended when the Run lies down to wait: what ended
// it found the Run at work and woke nobody.
func TestARunDoesNotWaitForWhatHasEnded(t *testing.T) {
	w := newWorld(t)
	r, err := w.StartRun(t.Context(), sam, gate.Start{Mission: "onboard"})
	w.must(err)
	_, err = w.store.NextSegment(t.Context(), acme, r.ID)
	w.must(err)
	a, b := w.admit(worker(r), create("a")), w.admit(worker(r), create("b"))
	w.approve(a, nil)
	w.must(w.dispatch(a))
	w.wantKind(w.store.Wait(t.Context(), acme, r.ID, []string{a.ID, b.ID}), fault.Conflict)
	w.wantKind(w.store.Wait(t.Context(), acme, r.ID, []string{"int_x"}), fault.NotFound)
	w.must(w.store.Wait(t.Context(), acme, r.ID, []string{b.ID}))
	w.wantKind(w.store.Wait(t.Context(), acme, r.ID, []string{b.ID}), fault.Conflict) // it waits already
	if _, err := w.store.NextSegment(t.Context(), acme, r.ID); err != nil {
		t.Error(err)
	}
}

// A repeat that is meant is never let through unattended.
func TestARepeatThatIsMeantIsDecidedByAPerson(t *testing.T) {
	w := newWorld(t)
	w.policy(unattended)
	who := w.start()
	first := w.admit(who, create("x"))
	p := create("x")
	p.Repeat = true
	if second := w.admit(who, p); first.State != intent.Committed || second.ID == first.ID || second.State != intent.Parked {
		t.Errorf("%s, then %+v", first.State, second)
	}
	w.wantArrived(1)
}

// A version's usage scope holds for what the gate has matched: the request's
// method and the Run's Mission, whatever Connection asks.
func TestAUsageScopeHoldsForMethodAndMission(t *testing.T) {
	for name, c := range map[string]struct {
		scope       vault.Scope
		read, write intent.State
	}{
		"read only":       {vault.Scope{Methods: []string{"GET"}}, intent.Committed, intent.Failed},
		"this Mission":    {vault.Scope{Missions: []string{"onboard"}}, intent.Committed, intent.Committed},
		"another Mission": {vault.Scope{Missions: []string{"offboard"}}, intent.Failed, intent.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.policy(unattended)
			in := write(sam, "-scoped")
			in.Scope = &c.scope
			_, err := w.realVault.Rotate(t.Context(), in)
			w.must(err)
			who := w.start()
			read, written := w.admit(who, find("x")), w.admit(who, create("x"))
			if read.State != c.read || written.State != c.write {
				t.Errorf("the read is %s (%s), the write %s (%s)", read.State, read.Why, written.State, written.Why)
			}
			sent := 0
			for _, s := range []intent.State{c.read, c.write} {
				if s == intent.Committed {
					sent++
				}
			}
			w.wantArrived(sent)
		})
	}
}
