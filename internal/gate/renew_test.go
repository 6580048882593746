package gate_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/vault"
)

// Renewed: the model's values are none of a backend.
func (simVault) Renewed(context.Context, ident.Tenant, string, int, vault.External) bool {
	return false
}

// successors says what is active now, and keeps what it is told.
type successors struct {
	w       *world
	used    []int // versions with their status
	entries []audit.Event
	broken  error
}

func (s *successors) Used(_ ident.Tenant, _ string, version, status int) {
	s.used = append(s.used, version*1000+status)
}

func (s *successors) Successor(ctx context.Context, t ident.Tenant, secret string, version int) int {
	head, err := s.w.realVault.Show(ctx, t, secret)
	if err != nil || head.Active == version {
		return 0
	}
	return head.Active
}

func (s *successors) Reopened(ctx context.Context, ev audit.Event) error {
	s.entries = append(s.entries, ev)
	if s.broken != nil {
		return s.broken
	}
	return s.w.store.RecordVault(ctx, []audit.Event{ev})
}

// rotatesUnder makes the system end the version while a call with it is under way:
// it answers with status as often as refusals says, then well.
func rotatesUnder(t *testing.T, status, refusals int, rotate bool) (*world, *successors) {
	w := newWorld(t)
	s := &successors{w: w}
	w.Credentials = s
	good := w.answer
	w.answer = func(tool, body string) connector.Answer {
		if len(w.arrived) > refusals {
			return good(tool, body)
		}
		if rotate {
			_, err := w.realVault.Rotate(t.Context(), write(ident.Principal{Tenant: acme, Kind: ident.System, ID: "test"}, "-rotated-"+string(rune('a'+len(w.arrived)))))
			w.must(err)
		}
		return connector.Answer{Outcome: connector.Refused, Status: status, Body: json.RawMessage(`{}`), Err: fault.New(fault.Denied, "the system refuses")}
	}
	return w, s
}

// A call that was refused because its version was replaced under it is made again
// with the new one, and the entry that says so was there before.
func TestAReadAndAWriteGoOnWithTheVersionThatReplacedTheirs(t *testing.T) {
	for name, p := range map[string]intent.Proposal{"a read": find("x"), "a write": create("x")} {
		t.Run(name, func(t *testing.T) {
			w, s := rotatesUnder(t, 401, 1, true)
			w.policy(unattended)
			it := w.admit(w.start(), p)
			if it.State != intent.Committed {
				t.Fatalf("it is %s: %s", it.State, it.Why)
			}
			w.wantArrived(2)
			re := w.entries(audit.IntentReopened)
			if len(re) != 1 || re[0].Intent != it.ID || re[0].Fields["secretVersion"] != int64(2) {
				t.Errorf("the log has %v", re)
			}
			out := w.entries(audit.IntentOutcome)
			if len(out) != 1 || out[0].Fields["secretVersion"] != int64(2) || out[0].Index < re[0].Index {
				t.Errorf("the outcome's entry has %v", out)
			}
			if len(s.used) != 2 || s.used[0] != 1401 || s.used[1] != 2200 {
				t.Errorf("it was counted as %v", s.used)
			}
		})
	}
}

// The same where the refusal came before the call: to the list of tools that a
// connector asks for.
func TestACallGoesOnWhereWhatComesBeforeItWasRefused(t *testing.T) {
	w, s := rotatesUnder(t, 401, 1, true)
	refused := w.answer
	w.answer = func(tool, body string) connector.Answer {
		a := refused(tool, body)
		if a.Outcome == connector.Refused {
			a.Outcome, a.Body = connector.NotSent, nil
		}
		return a
	}
	w.policy(unattended)
	it := w.admit(w.start(), create("x"))
	if it.State != intent.Committed || len(s.entries) != 1 {
		t.Errorf("it is %s (%s), with %d entries", it.State, it.Why, len(s.entries))
	}
}

// Otherwise a refusal stands, and a write leaves once.
func TestARefusalStandsWhereItIsNotAboutAReplacedVersion(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		rotate bool
		pin    bool
		broken error
	}{
		"nothing was replaced":       {401, false, false, nil},
		"it may be about the action": {403, true, false, nil},
		"another refusal":            {409, true, false, nil},
		"bound to its version":       {401, true, true, nil},
		"it can't be recorded":       {401, true, false, errStore},
	} {
		t.Run(name, func(t *testing.T) {
			w, s := rotatesUnder(t, c.status, 1, c.rotate)
			s.broken = c.broken
			w.mission.Decisions[0].PinSecret = c.pin
			w.apply()
			it := w.admit(w.start(), create("x"))
			w.approve(it, nil)
			w.must(w.dispatch(it))
			w.wantState(it.ID, intent.Failed)
			w.wantArrived(1)
			if n := len(w.entries(audit.IntentReopened)); n != 0 {
				t.Errorf("%d entries say that it was opened again", n)
			}
		})
	}
}

// A system that refuses every version does not make a call go on for ever.
func TestACallIsMadeWithAtMostThreeSuccessors(t *testing.T) {
	w, _ := rotatesUnder(t, 401, 100, true)
	w.policy(unattended)
	it := w.admit(w.start(), create("x"))
	if it.State != intent.Failed {
		t.Errorf("it is %s", it.State)
	}
	w.wantArrived(4)
}

// A version that was disabled between the claim and the door has a successor, too.
func TestAVersionThatIsDisabledBeforeTheDoorOpensHasASuccessor(t *testing.T) {
	w, s := rotatesUnder(t, 401, 0, false)
	w.policy(unattended)
	w.beforeOpen = func() {
		w.beforeOpen = nil
		who := ident.Principal{Tenant: acme, Kind: ident.System, ID: "test"}
		_, err := w.realVault.Rotate(t.Context(), write(who, "-rotated"))
		w.must(err)
		_, err = w.realVault.Disable(t.Context(), acme, "erp-key", 1, who)
		w.must(err)
	}
	if it := w.admit(w.start(), find("x")); it.State != intent.Committed || len(s.entries) != 1 {
		t.Errorf("it is %s (%s), with %d entries", it.State, it.Why, len(s.entries))
	}
}

// wavering has the doors' values from a backend, which gives one version after the
// other, and says that it has another by now.
type wavering struct {
	doors
	versions []string
	opened   int
}

func (e *wavering) Open(ctx context.Context, s vault.DoorSpec) (http.RoundTripper, error) {
	door, err := e.doors.Open(ctx, s)
	*s.From = vault.External{Backend: "corp", Version: e.versions[e.opened]}
	e.opened++
	return door, err
}

func (*wavering) Renewed(context.Context, ident.Tenant, string, int, vault.External) bool {
	return true
}

// A write is made again with another value of its backend, and the record has both. A
// backend that gives the refused one again, after it said otherwise, has nothing sent
// twice.
func TestAWriteIsMadeAgainOnlyWithAnotherValueOfItsBackend(t *testing.T) {
	for name, c := range map[string]struct {
		versions []string
		arrive   int
		state    intent.State
	}{
		"another value":          {[]string{"7", "8"}, 2, intent.Committed},
		"the refused one again":  {[]string{"7", "7"}, 1, intent.Failed},
		"and back after another": {[]string{"7", "8", "8"}, 2, intent.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := rotatesUnder(t, 401, len(c.versions)-1, false)
			w.Vault = &wavering{doors: w.Vault.(doors), versions: c.versions}
			w.policy(unattended)
			it := w.admit(w.start(), create("x"))
			if it.State != c.state {
				t.Errorf("it is %s: %s", it.State, it.Why)
			}
			w.wantArrived(c.arrive)
			if re := w.entries(audit.IntentReopened); re[0].Fields["backend"] != "corp" || re[0].Fields["backendVersion"] != "7" {
				t.Errorf("what was refused is recorded as %v", re[0].Fields)
			}
		})
	}
}
