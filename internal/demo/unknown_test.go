package demo_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sallyport.dev/client"
	"sallyport.dev/examples/vendor-onboarding/system"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// TestAWriteWithoutAnAnswerIsLookedUp: whatever the ERP does instead of
// answering, the write is UNKNOWN first, and then what the ERP says of it when it
// is asked. It is never sent a second time without a second approval.
func TestAWriteWithoutAnAnswerIsLookedUp(t *testing.T) {
	t.Parallel()
	w, _ := fragile(t, nil)
	var runs []string
	vendors := 0
	for i, c := range []struct {
		how    string
		mode   system.Mode
		then   intent.State
		stands string // what the rail says about the outcome that is not known
	}{
		{"written, then the connection is cut", system.Drop, intent.Committed, "the system cut the connection"},
		{"written, then no answer", system.SlowCommit, intent.Committed, "the system did not answer in time"},
		{"nothing written, no answer", system.Hang, intent.NotApplied, "the system did not answer in time"},
		{"nothing written, status 500", system.FailMode, intent.NotApplied, "the system answered with status 500"},
		{"nothing written, a web page", system.HTML, intent.NotApplied, "where JSON was expected"},
		{"nothing written, 30 MB", system.Huge, intent.NotApplied, "larger than 1048576 bytes"},
	} {
		t.Run(c.how, func(t *testing.T) {
			w := w.in(t)
			w.behave("erp", system.Behaviour{Mode: c.mode, Method: "POST", Times: 1})
			run := w.begins("vendor-onboarding", i)
			runs = append(runs, run)
			w.must(w.decide("approver", w.waiting(run), "approve"))
			w.observed(run, explain.Problem, "erp-write / createVendor: UNKNOWN", c.stands)
			if c.then == intent.Committed {
				it := w.becomes(run, intent.Committed)
				if !strings.Contains(it.Result.Note, "the system was asked and has it") || it.Result.Body == nil {
					t.Errorf("it is told so: %+v", it.Result)
				}
				vendors++
			} else {
				// The Worker learns that it was not applied and proposes it again,
				// which takes a second approval.
				w.observedWhileTimePasses(run, "erp-write / createVendor: NOT_APPLIED", "the system was asked and does not have it")
				w.must(w.decide("approver", w.waiting(run), "approve"))
				w.becomes(run, intent.Committed)
				vendors++
			}
			if r := w.ended(run); r.Verdict != "onboarded" {
				t.Errorf("the verdict is %q (%s)\n%s", r.Verdict, r.Summary, w.rail(run))
			}
			if c.mode == system.SlowCommit {
				w.control("erp", "/release", "") // its answer goes to nobody
			}
			if s := w.stats("erp"); s.Durable["vendors_created"] != vendors {
				t.Errorf("the ERP counts %d vendors, not %d", s.Durable["vendors_created"], vendors)
			}
		})
	}
	w.clean(runs...)
}

// TestAWriteThatIsRefusedIsNoQuestion: 307 says by contract that nothing was
// done, so it is FAILED, not UNKNOWN, and nobody has to look.
func TestAWriteThatIsRefusedIsNoQuestion(t *testing.T) {
	t.Parallel()
	w, _ := fragile(t, nil)
	w.behave("erp", system.Behaviour{Mode: system.Redirect, Location: "http://127.0.0.1:1/", Method: "POST", Times: 1})
	run := w.begins("vendor-onboarding", 0)
	w.must(w.decide("approver", w.waiting(run), "approve"))
	w.observed(run, explain.Problem, "erp-write / createVendor: FAILED (HTTP 307)", "redirects are not followed")
	w.must(w.decide("approver", w.waiting(run), "reject"))
	if r := w.ended(run); r.Verdict != "rejected" {
		t.Errorf("the verdict is %q (%s)", r.Verdict, r.Summary)
	}
	if s := w.stats("erp"); s.Durable["vendors_created"] != 0 {
		t.Errorf("the ERP counts %+v", s)
	}
	w.clean(run)
}

// TestNobodyCanBeAskedSoAPersonIs: the ERP has written, and is gone. After
// several tries an admin says what became of it; who started the Run can't.
func TestNobodyCanBeAskedSoAPersonIs(t *testing.T) {
	t.Parallel()
	w, procs := fragile(t, nil)
	w.enlist("both", ident.Admin, ident.Requester)
	w.behave("erp", system.Behaviour{Mode: system.SlowCommit, Method: "POST"})
	input, err := demo.Sample("onboarded")
	w.must(err)
	var started struct{ Run intent.Run }
	w.must(w.as("both").Call(t.Context(), "POST", "/v1/missions/vendor-onboarding/runs", map[string]any{"input": input}, &started))
	run := started.Run.ID
	parked := w.waiting(run)
	held := make(chan struct{})
	go func() {
		defer close(held)
		if resp, err := getOnce(t, "http://"+w.Systems["erp"].Control+"/held?at_least=1"); err == nil {
			_ = resp.Body.Close()
		}
	}()
	w.must(w.decide("approver", parked, "approve"))
	<-held
	w.kill(procs, "erp")
	it := w.becomes(run, intent.NeedsHuman)
	w.observed(run, explain.ToolCall, "erp-write / createVendor: NEEDS_HUMAN", "A person has to find out. Do not repeat it.")
	if r := w.shown(run); r.State == intent.RunEnded {
		t.Errorf("the Run has ended (%s) while a person is asked", r.Verdict)
	}
	var open struct{ Intents []intent.Intent }
	w.must(w.as("admin").Call(t.Context(), "GET", "/v1/unknown", nil, &open))
	if len(open.Intents) != 1 || open.Intents[0].ID != it.ID {
		t.Errorf("the list of what a person has to find out: %+v", open.Intents)
	}

	say := func(who, why string) error { return w.says(who, it.ID, "applied", why) }
	refused(t, say("requester", "I am sure"), "denied")
	refused(t, say("approver", "I am sure"), "denied")
	refused(t, say("both", "I am sure"), "denied") // an admin, and who started it
	refused(t, say("admin", ""), "invalid")        // without saying how they know
	if got := w.theWrite(run).State; got != intent.NeedsHuman {
		t.Fatalf("a refused verdict made it %s", got)
	}
	w.revive(procs, "erp")
	w.must(say("admin", "the ERP's own journal has the vendor"))
	refused(t, say("admin", "again"), "conflict")
	it = w.theWrite(run)
	if it.State != intent.Committed || !strings.Contains(it.Result.Note, "the ERP's own journal has the vendor") {
		t.Errorf("after the verdict it is %s: %+v", it.State, it.Result)
	}
	// The Worker is told that it was applied, and has no vendor number: it asks
	// for a person rather than to make one up.
	if r := w.ended(run); r.Verdict != "needs_human" {
		t.Errorf("the verdict is %q (%s)\n%s", r.Verdict, r.Summary, w.rail(run))
	}
	if s := w.stats("erp"); s.Durable["vendors_created"] != 1 {
		t.Errorf("the ERP counts %+v", s)
	}
	w.clean(run)
}

// TestAWriteThatNobodyCanLookUpIsAPersonsAtOnce: a Tool without a lookup. The
// admin finds that nothing was written; the Worker may propose it again, and a
// person approves again.
func TestAWriteThatNobodyCanLookUpIsAPersonsAtOnce(t *testing.T) {
	t.Parallel()
	w, _ := fragile(t, nil)
	w.edit(resource.KindIntegration, "erp", func(r resource.Resource) {
		rules := r.(*resource.Integration).HTTP.Tools
		rules["createVendor"] = resource.ToolRule{Effect: resource.Write}
	})
	w.behave("erp", system.Behaviour{Mode: system.FailMode, Method: "POST", Times: 1})
	run := w.begins("vendor-onboarding", 0)
	w.must(w.decide("approver", w.waiting(run), "approve"))
	it := w.becomes(run, intent.NeedsHuman)
	w.observed(run, explain.ToolCall, "erp-write / createVendor: NEEDS_HUMAN", "the Tool has no lookup")
	w.must(w.says("admin", it.ID, "not_applied", "it is not in the ERP"))
	w.observed(run, explain.ToolCall, "erp-write / createVendor: NOT_APPLIED", "it is not in the ERP")
	w.must(w.decide("approver", w.waiting(run), "approve"))
	if r := w.ended(run); r.Verdict != "onboarded" {
		t.Errorf("the verdict is %q (%s)\n%s", r.Verdict, r.Summary, w.rail(run))
	}
	if s := w.stats("erp"); s.Durable["vendors_created"] != 1 {
		t.Errorf("the ERP counts %+v", s)
	}
	w.clean(run)
}

// says is somebody's word on what became of a write, with a fresh proof.
func (w *world) says(who, id, finding, why string) error { return w.saysOf(who, id, 1, finding, why) }

func (w *world) saysOf(who, id string, revision int, finding, why string) error {
	return w.as(who).Call(w.t.Context(), "POST", "/v1/intents/"+id+"/resolution",
		map[string]any{"revision": revision, "finding": finding, "why": why, "password": w.People[who].Password, "code": w.code(who)}, nil)
}

func refused(t *testing.T, err error, kind string) {
	t.Helper()
	var p *client.Problem
	if !errors.As(err, &p) || p.Kind != kind {
		t.Errorf("expected a refusal of the kind %s, got %v", kind, err)
	}
}

// enlist adds somebody to the company.
func (w *world) enlist(name string, roles ...ident.Role) {
	w.t.Helper()
	p := &demo.Person{Name: name, Roles: roles, Password: "a password of " + name + " alone"}
	a, e, err := w.App.Directory.CreateAccount(w.t.Context(), ident.Principal{Tenant: demo.Tenant, Kind: ident.System, ID: "test"},
		identity.NewAccount{Tenant: demo.Tenant, Name: name, Roles: roles, Password: p.Password}, w.clock.now())
	w.must(err)
	p.Account, p.Secret, p.Alg = a, e.Secret, e.Alg
	w.People[name] = p
}

func (w *world) shown(run string) (r intent.Run) {
	w.t.Helper()
	w.must(w.as("auditor").Call(w.t.Context(), "GET", "/v1/runs/"+run, nil, &r))
	return r
}

// observedWhileTimePasses waits for what the settling time has to pass for.
func (w *world) observedWhileTimePasses(run, title, text string) {
	w.t.Helper()
	w.eventually(title, func() bool {
		w.clock.advance(time.Second)
		for _, o := range w.observations(run) {
			if o.Title == title && strings.Contains(o.Text, text) {
				return true
			}
		}
		return false
	})
}
