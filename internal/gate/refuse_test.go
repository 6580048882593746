package gate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

var errStore = fault.New(fault.Unavailable, "the store does not answer")

// refused proposes what has to be refused, with nothing opened or sent, and the
// refusal on record by the time that it is returned.
func (w *world) refused(who ident.Principal, p intent.Proposal, k fault.Kind) {
	w.t.Helper()
	entries, obs := len(w.entries(audit.IntentDenied)), len(w.rail(who.ID))
	it, err := w.Admit(w.t.Context(), who, p)
	w.wantKind(err, k)
	w.wantUntouched()
	if it.Result != nil || it.State != "" && it.State != intent.Denied {
		w.t.Errorf("it came back as %+v", it)
	}
	denied := w.entries(audit.IntentDenied)
	if len(denied) != entries+1 || denied[entries].Run != who.ID || denied[entries].Fields["verdict"] != string(k) {
		w.t.Errorf("the audit log has %+v", denied)
	}
	if rail := w.rail(who.ID); len(rail) != obs+1 || rail[obs].Kind != explain.Check {
		w.t.Errorf("the rail has %+v", rail[obs:])
	}
}

func TestEveryRefusalIsOnRecordAndComesBeforeTheSecret(t *testing.T) {
	args := func(s string) json.RawMessage { return json.RawMessage(s) }
	for name, c := range map[string]struct {
		p intent.Proposal
		k fault.Kind
	}{
		"a Connection that the Mission does not hold": {intent.Proposal{Connection: "erp-other", Tool: "findVendors"}, fault.Denied},
		"a Tool that the Connection does not allow":   {intent.Proposal{Connection: "erp-read", Tool: "createVendor"}, fault.Denied},
		"what does not exist":                         {intent.Proposal{Connection: "vault", Tool: "open"}, fault.Denied},
		"nothing":                                     {intent.Proposal{}, fault.Denied},
		"arguments that do not fit":                   {intent.Proposal{Connection: "erp-write", Tool: "createVendor", Args: args(`{"name":"does-not-fit"}`)}, fault.Invalid},
		"arguments that are no object":                {intent.Proposal{Connection: "erp-write", Tool: "createVendor", Args: args(`[]`)}, fault.Invalid},
		"a key twice":                                 {intent.Proposal{Connection: "erp-write", Tool: "createVendor", Args: args(`{"name":"a","name":"b"}`)}, fault.Invalid},
		"a reason without an end":                     {intent.Proposal{Connection: "erp-write", Tool: "createVendor", Reason: strings.Repeat("r", intent.MaxReason+1)}, fault.Invalid},
		"names that are lines of a log":               {intent.Proposal{Connection: "a\nb", Tool: strings.Repeat("\x00", 5000)}, fault.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.refused(w.start(), c.p, c.k)
		})
	}
}

func TestAPolicyThatDeniesIsExplained(t *testing.T) {
	w := newWorld(t)
	w.policy(`@id("frozen") forbid (principal, action, resource == Tool::"erp/createVendor");`)
	who := w.start()
	w.refused(who, create("x"), fault.Denied)
	if d := w.entries(audit.IntentDenied)[0]; fmt.Sprint(d.Fields["policies"]) != "[test/frozen]" || d.Fields["policySet"] == nil {
		t.Errorf("the entry is %+v", d)
	}
}

func TestPolicyErrorFailsClosed(t *testing.T) {
	w := newWorld(t)
	w.policy(`@id("big") forbid (principal, action, resource == Tool::"erp/createVendor") when { context.args has count && context.args.count * 4096 > 100000 };
		@id("free") permit (principal, action, resource);`)
	count := func(n string) intent.Proposal {
		p := create("x")
		p.Args = json.RawMessage(`{"count":` + n + `}`)
		return p
	}
	if it := w.admit(w.start(), count("1")); it.State != intent.Committed {
		t.Fatalf("the policy lets nothing through: %+v", it)
	}
	w.opened, w.arrived = 0, nil
	w.refused(w.start(), count("9007199254740991"), fault.Denied) // the product is more than Cedar can hold
}

func TestNoPolicySetFailsClosed(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	w.noPolicy = true
	w.apply()
	w.refused(who, find("x"), fault.Denied)
	w.refused(who, create("x"), fault.Denied)
}

func TestUnreadableConfigurationFailsClosed(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	w.worldErr = errors.New("not loaded")
	w.refused(who, find("x"), fault.Unavailable)
	w.worldErr, w.compiled.Catalog = nil, nil
	w.refused(who, find("x"), fault.Denied)
}

func TestNobodyWhoCouldDecideFailsClosed(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	w.mission.Decisions = nil
	w.apply()
	w.refused(who, create("x"), fault.Denied)
}

func TestARefusalThatCannotBeRecordedFailsClosed(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	w.broken["Refuse"] = errStore
	_, err := w.Admit(t.Context(), who, intent.Proposal{Connection: "vault", Tool: "open"})
	w.wantKind(err, fault.Unavailable)
	w.wantUntouched()
}

// The claim of a read is an audit entry in the same transaction; without it
// nothing is opened.
func TestAuditAppendErrorFailsClosed(t *testing.T) {
	for name, propose := range map[string]func(*world, ident.Principal) error{
		"a read": func(w *world, who ident.Principal) error {
			_, err := w.Admit(w.t.Context(), who, find("x"))
			return err
		},
		"a write": func(w *world, who ident.Principal) error {
			_, err := w.Admit(w.t.Context(), who, create("x"))
			return err
		},
		"a write by itself": func(w *world, who ident.Principal) error {
			w.unseal()
			w.policy(unattended)
			w.realVault.Seal()
			_, err := w.Admit(w.t.Context(), who, create("x"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			who := w.start()
			w.realVault.Seal() // the log's key is the vault's: nothing can be signed
			if err := propose(w, who); !fault.Is(err, fault.Unavailable) {
				t.Errorf("it said %v", err)
			}
			w.unseal() // so that what is stored can be read
			w.wantUntouched()
		})
	}
}

func TestSealedVaultFailsClosed(t *testing.T) {
	w := newWorld(t)
	it := w.admit(w.start(), create("x"))
	w.approve(it, nil)
	w.realVault.Seal()
	w.wantKind(w.dispatch(it), fault.Unavailable)
	w.unseal()
	w.wantArrived(0)
	w.wantState(it.ID, intent.Approved)
}

func TestUnreadableKeyFailsClosed(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	w.broken["Head"] = fault.New(fault.Denied, "the rows are not the ones that were written")
	w.refused(who, find("x"), fault.Denied)
	w.refused(who, create("x"), fault.Denied)
}

func TestDisabledSecretFailsClosed(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	it := w.admit(who, create("x"))
	w.approve(it, nil)
	_, err := w.realVault.Disable(t.Context(), acme, "erp-key", 1, ident.Principal{Tenant: acme, Kind: ident.System, ID: "test"})
	w.must(err)
	w.refused(who, find("x"), fault.Denied)
	w.must(w.dispatch(it))
	w.wantUntouched()
	w.wantState(it.ID, intent.Denied) // another try would change nothing
}

func TestStoreDownFailsClosed(t *testing.T) {
	for _, part := range []string{"Run", "Propose"} {
		t.Run(part, func(t *testing.T) {
			w := newWorld(t)
			w.policy(unattended)
			who := w.start()
			w.broken[part] = errStore
			for _, p := range []intent.Proposal{find("x"), create("x")} {
				_, err := w.Admit(t.Context(), who, p)
				w.wantKind(err, fault.Unavailable)
			}
			w.wantUntouched()
		})
	}
	for _, part := range []string{"DecisionOf", "MemberSince", "Step CLAIMED", "Head"} {
		t.Run(part, func(t *testing.T) {
			w := newWorld(t)
			it := w.admit(w.start(), create("x"))
			w.approve(it, nil)
			w.broken[part] = errStore
			w.wantKind(w.dispatch(it), fault.Unavailable)
			w.wantUntouched()
			w.wantState(it.ID, intent.Approved)
			delete(w.broken, part)
			w.must(w.dispatch(it)) // and when it is well again, it goes on
			w.wantState(it.ID, intent.Committed)
		})
	}
}

func TestUnrecordedSendingFailsClosed(t *testing.T) {
	w := newWorld(t)
	it := w.admit(w.start(), create("x"))
	w.approve(it, nil)
	w.broken["Step SENDING"] = errStore
	w.wantKind(w.dispatch(it), fault.Unavailable)
	w.wantArrived(0)
	delete(w.broken, "Step SENDING")
	w.must(w.dispatch(it))
	w.wantState(it.ID, intent.Committed)
	w.wantArrived(1)
}

func TestUnrecordedOutcomeFailsClosed(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	it := w.admit(who, create("x"))
	w.approve(it, nil)
	w.broken["Step COMMITTED"] = errStore
	w.wantKind(w.dispatch(it), fault.Unavailable)
	w.wantState(it.ID, intent.Sending)
	delete(w.broken, "Step COMMITTED")
	_, err := w.Admit(t.Context(), who, find("x"))
	w.wantKind(err, fault.Unavailable)
	_, err = w.StartRun(t.Context(), sam, start("onboard"))
	w.wantKind(err, fault.Unavailable)
	_, err = w.Reconcile(t.Context(), acme, it.ID, 0)
	w.wantKind(err, fault.Unavailable)
	w.wantKind(w.dispatch(it), fault.Unavailable)
	w.wantArrived(1)
}

func TestBodyOverItsLimitFailsClosed(t *testing.T) {
	w := newWorld(t)
	p := find("x")
	p.Args = json.RawMessage(`{"name":"` + strings.Repeat("x", intent.MaxArgs) + `"}`)
	w.refused(w.start(), p, fault.Invalid)
}

func TestOnlyARunProposes(t *testing.T) {
	w := newWorld(t)
	run := w.start()
	for name, who := range map[string]ident.Principal{
		"nobody":                  {},
		"a person":                {Tenant: acme, Kind: ident.Person, ID: run.ID, Roles: ident.Roles},
		"the product":             {Tenant: acme, Kind: ident.System, ID: run.ID},
		"a Run that is not there": {Tenant: acme, Kind: ident.Run, ID: "run_x"},
		"another tenant's":        {Tenant: "globex", Kind: ident.Run, ID: run.ID},
		"a Run without a tenant":  {Kind: ident.Run, ID: run.ID},
	} {
		if _, err := w.Admit(t.Context(), who, find("x")); !fault.Is(err, fault.Denied) && !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.must(w.EndRun(t.Context(), run, "done", ""))
	_, err := w.Admit(t.Context(), run, find("x"))
	w.wantKind(err, fault.Denied)
	w.wantUntouched()
}

func TestParkedIntentsAreLimited(t *testing.T) {
	w := newWorld(t)
	w.mission.Limits.Parked = 2
	w.apply()
	who := w.start()
	first := w.admit(who, create("a"))
	w.admit(who, create("b"))
	w.refused(who, create("c"), fault.Limit)
	if it := w.admit(who, create("a")); it.ID != first.ID {
		t.Error("the repeat of one that waits is not that one")
	}
	w.admit(w.start(), create("c")) // another Run has its own
	w.approve(first, nil)
	w.admit(who, create("c"))
}

func TestCallsAreLimited(t *testing.T) {
	w := newWorld(t)
	w.mission.Limits.Calls = 2
	w.apply()
	who := w.start()
	w.admit(who, find("a"))
	w.admit(who, find("a"))
	w.opened, w.arrived = 0, nil
	w.refused(who, find("a"), fault.Limit)
}

func TestWhatARunMayUseIsLimited(t *testing.T) {
	think := intent.Proposal{Connection: "model", Tool: "complete"}
	for name, c := range map[string]struct {
		limits resource.Limits
		used   connector.Usage
	}{
		"turns":  {resource.Limits{Turns: 1}, connector.Usage{}},
		"tokens": {resource.Limits{Tokens: 100}, connector.Usage{InputTokens: 60, OutputTokens: 40}},
		"cost":   {resource.Limits{CostUSD: 0.5}, connector.Usage{CostUSD: 0.5}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mission.Limits = c.limits
			w.apply()
			w.answer = func(string, string) connector.Answer {
				return connector.Answer{Outcome: connector.Done, Body: json.RawMessage(`{}`), Usage: &c.used}
			}
			who := w.start()
			w.admit(who, think)
			w.opened, w.arrived = 0, nil
			w.refused(who, think, fault.Limit)
			if it := w.admit(who, find("x")); it.State != intent.Committed {
				t.Errorf("what is no completion: %+v", it)
			}
		})
	}
}

func TestARunEndsWithItsTime(t *testing.T) {
	w := newWorld(t)
	w.mission.Limits.WallClock = resource.Duration(time.Hour)
	w.apply()
	who := w.start()
	w.pass(time.Hour)
	w.admit(who, find("x"))
	w.opened, w.arrived = 0, nil
	w.pass(time.Second)
	w.refused(who, find("x"), fault.Limit)
}

// Wherever a Worker puts a known secret, in whatever encoding: it is stopped,
// nobody is told which one it was, and the third time the Run ends.
func TestAKnownSecretInAProposalIsAnIncident(t *testing.T) {
	secret := canary + "-erp-key"
	for name, p := range map[string]intent.Proposal{
		"in the arguments":    create(secret),
		"in an escape":        create(`\u0063` + secret[1:]),
		"in the reason":       {Connection: "erp-write", Tool: "createVendor", Reason: "with " + secret},
		"as the key":          {Connection: "erp-read", Tool: "findVendors", Key: secret},
		"as a name":           {Connection: secret, Tool: "x"},
		"in what is no JSON":  {Connection: "erp-read", Tool: "findVendors", Args: json.RawMessage(`{"a":` + secret)},
		"in a key twice":      {Connection: "erp-read", Tool: "findVendors", Args: json.RawMessage(`{"` + strings.Repeat("x", 60) + secret + `":1,"` + strings.Repeat("x", 60) + secret + `":2}`)},
		"next to a long name": {Connection: strings.Repeat("x", 60) + secret, Tool: "x", Reason: strings.Repeat("r", intent.MaxReason+1)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			who := w.start()
			_, err := w.Admit(t.Context(), who, p)
			w.wantKind(err, fault.Denied)
			w.wantUntouched()
			inc := w.entries(audit.WorkerIncident)
			if len(inc) != 1 || inc[0].Fields["secret"] != "erp-key" {
				t.Errorf("the record is %+v", inc)
			}
			if err != nil && strings.Contains(err.Error()+fault.HintOf(err), "erp-key") {
				t.Errorf("the Worker learns which: %v", err)
			}
			all, e := json.Marshal([]any{inc, w.entries(audit.IntentDenied), w.rail(who.ID), fmt.Sprint(err)})
			w.must(e)
			if strings.Contains(string(all), canary[:12]) {
				t.Errorf("a part of it is on record: %s", all)
			}
		})
	}
}

func TestTheThirdIncidentStopsTheRun(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	waiting := w.admit(who, create("x"))
	for n := range 3 {
		if r, err := w.store.Run(t.Context(), acme, who.ID); err != nil || r.State == intent.RunEnded {
			t.Fatalf("it ended after %d: %v", n, err)
		}
		_, err := w.Admit(t.Context(), who, create(canary+"-model-key"))
		w.wantKind(err, fault.Denied)
	}
	r, err := w.store.Run(t.Context(), acme, who.ID)
	w.must(err)
	if r.State != intent.RunEnded || r.Verdict != "stopped" || r.Incidents != 3 || len(w.entries(audit.RunEnded)) != 1 {
		t.Errorf("the Run is %+v", r)
	}
	w.wantState(waiting.ID, intent.Withdrawn)
	_, err = w.Admit(t.Context(), who, find("x"))
	w.wantKind(err, fault.Denied)
}

func TestAnIncidentThatCannotBeRecordedFailsClosed(t *testing.T) {
	w := newWorld(t)
	w.broken["Incident"] = errStore
	_, err := w.Admit(t.Context(), w.start(), create(canary+"-erp-key"))
	w.wantKind(err, fault.Unavailable)
	w.wantUntouched()
}

// A Run that is refused again and again fills the log no further.
func TestTooManyRefusalsStopTheRun(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	n := 0
	for ; n < 1000; n++ {
		if _, err := w.Admit(t.Context(), who, intent.Proposal{Connection: "vault"}); strings.Contains(err.Error(), "ended") {
			break
		}
	}
	if n != 200 || len(w.entries(audit.IntentDenied)) != 200 {
		t.Errorf("it ended after %d refusals", n)
	}
}
