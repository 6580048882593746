package sqlite_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

func aStop(kind intent.StopKind, name string) intent.Stop {
	return intent.Stop{Tenant: "acme", Kind: kind, Name: name, Since: noon, By: "person:acc_adm", ByName: "Adm", Reason: "it pays twice"}
}

func (c *config) stop(kind intent.StopKind, name string) {
	c.t.Helper()
	s := aStop(kind, name)
	if _, err := c.s.SetStop(c.t.Context(), s, audit.Event{Type: audit.StopSet, Tenant: "acme", At: noon, Actor: s.By,
		Fields: map[string]any{"kind": string(kind), "name": name, "why": s.Reason}}, nil); err != nil {
		c.t.Fatal(err)
	}
}

func (c *config) lift(kind intent.StopKind, name string) error {
	return c.s.LiftStop(c.t.Context(), "acme", kind, name, audit.Event{Type: audit.StopLifted, Tenant: "acme", At: noon, Actor: "person:acc_adm",
		Fields: map[string]any{"kind": string(kind), "name": name, "why": "it is well", "factor": "fac_1"}}, nil, noon)
}

func anIntent(id string, state intent.State) intent.Intent {
	return intent.Intent{Tenant: "acme", ID: id, Run: "run_1", Mission: "m", Starter: "worker:night", State: state, Revision: 1, Connection: "c", Tool: id, Effect: "write",
		Digest: intent.SHA256([]byte("x")), CreatedAt: noon}
}

// use takes a step that uses a credential.
func (c *config) use(id string, from, to intent.State, fence int64) error {
	digest := string(intent.SHA256([]byte("x")))
	ev := audit.Event{Type: audit.IntentClaimed, Tenant: "acme", At: noon, Actor: "system:gate", Run: "run_1", Intent: id,
		Fields: map[string]any{"fence": fence + 1, "args": digest, "effect": "write", "digest": digest}}
	if to == intent.Sending {
		ev.Type, ev.Fields = audit.IntentSending, map[string]any{"fence": fence, "digest": digest}
	}
	_, err := c.s.Step(c.t.Context(), commit.Step{Tenant: "acme", Intent: id, Run: "run_1", From: from, To: to, Fence: fence, At: noon, Uses: true, Events: []audit.Event{ev}})
	return err
}

func held(err error) bool {
	_, ok := errors.AsType[*intent.Stopped](err)
	return ok && fault.Is(err, fault.Unavailable)
}

// Whoever claims while a stop is set is before it, or is refused: when SetStop has
// returned nothing is claimed any more.
func TestWhenAStopIsSetNothingIsClaimedAnyMore(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.running("run_1")
	const n = 40
	for i := range n {
		c.propose(anIntent(fmt.Sprintf("int_%d", i), intent.Approved))
	}
	var set atomic.Bool
	var claimed, refused, late atomic.Int64
	begin := make(chan bool)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if i%2 == 0 {
				<-begin
			}
			after := set.Load()
			switch err := c.use(fmt.Sprintf("int_%d", i), intent.Approved, intent.Claimed, 0); {
			case err == nil:
				claimed.Add(1)
				if after {
					late.Add(1)
				}
			case held(err):
				refused.Add(1)
			default:
				t.Errorf("the claim said %v", err)
			}
		})
	}
	all.Go(func() {
		close(begin)
		c.stop(intent.StopAll, "")
		set.Store(true)
	})
	all.Wait()
	if late.Load() != 0 || claimed.Load()+refused.Load() != n {
		t.Errorf("%d claimed, %d refused, %d of those claimed began after the stop was set", claimed.Load(), refused.Load(), late.Load())
	}
	for i := range n {
		id := fmt.Sprintf("int_%d", i)
		it, err := c.s.Intent(t.Context(), "acme", id)
		if err != nil {
			t.Fatal(err)
		}
		fence, next := int64(1), intent.Sending
		if it.State == intent.Approved {
			fence, next = 0, intent.Claimed
		}
		if err := c.use(id, it.State, next, fence); !held(err) {
			t.Errorf("%s goes on from %s: %v", id, it.State, err)
		}
	}
}

// What a stop names is held up, at each step that uses a credential, and nothing
// else is.
func TestAStopHoldsWhatItNamesAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, k := range []struct {
		kind intent.StopKind
		name string
		hold bool
	}{
		{intent.StopAll, "", true}, {intent.StopRun, "run_1", true}, {intent.StopMission, "m", true}, {intent.StopConnection, "c", true},
		{intent.StopWorker, "night", true}, {intent.StopWorker, "day", false}, {intent.StopWorker, "worker:night", false},
		{intent.StopRun, "run_2", false}, {intent.StopMission, "c", false}, {intent.StopConnection, "m", false},
	} {
		t.Run(string(k.kind)+" "+k.name, func(t *testing.T) {
			t.Parallel()
			c := newConfig(t)
			c.running("run_1")
			c.propose(anIntent("int_approved", intent.Approved))
			c.propose(anIntent("int_claimed", intent.Approved))
			if err := c.use("int_claimed", intent.Approved, intent.Claimed, 0); err != nil {
				t.Fatal(err)
			}
			c.stop(k.kind, k.name)
			c.again() // it outlives a restart
			tries := func() map[string]error {
				read := anIntent("int_read", intent.Claimed)
				read.Effect = "read"
				_, _, err := c.s.Propose(t.Context(), proposed(read))
				return map[string]error{
					"a claim": c.use("int_approved", intent.Approved, intent.Claimed, 0), "SENDING": c.use("int_claimed", intent.Claimed, intent.Sending, 1), "a read, and a lookup": err,
				}
			}
			for what, err := range tries() {
				if k.hold && !held(err) || !k.hold && err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			if !k.hold {
				return
			}
			if err := c.lift(k.kind, k.name); err != nil {
				t.Fatal(err)
			}
			for what, err := range tries() {
				if err != nil {
					t.Errorf("%s, when it was lifted: %v", what, err)
				}
			}
			if err := c.lift(k.kind, k.name); !fault.Is(err, fault.NotFound) {
				t.Errorf("it was lifted twice: %v", err)
			}
		})
	}
}

// A stop that is there is given, not recorded twice.
func TestWhatIsStoppedIsStoppedOnce(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.stop(intent.StopConnection, "c")
	c.stop(intent.StopConnection, "c")
	rows, err := c.s.Audit().List(t.Context(), "acme", audit.Filter{Type: audit.StopSet}, 0, 100)
	if err != nil || len(rows) != 1 {
		t.Errorf("%d entries, %v", len(rows), err)
	}
	if list, err := c.s.Stops(t.Context(), "acme"); err != nil || len(list) != 1 || list[0] != aStop(intent.StopConnection, "c") {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := c.s.Stops(t.Context(), "globex"); err == nil && len(list) != 0 {
		t.Errorf("another tenant has %+v", list)
	}
}

// To lift a stop makes due at once what waited for it.
func TestWhatWaitedForAStopIsDueWhenItIsLifted(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.running("run_1")
	p := proposed(anIntent("int_1", intent.Approved))
	p.Outbox = []commit.Message{{Kind: commit.MsgDispatch, Ref: "int_1", Due: noon.Add(time.Hour)}}
	if _, _, err := c.s.Propose(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	c.stop(intent.StopRun, "run_1")
	if due, _, err := c.s.DueMessages(t.Context(), noon, false, 10); err != nil || len(due) != 0 {
		t.Fatalf("%+v, %v", due, err)
	}
	if err := c.lift(intent.StopRun, "run_1"); err != nil {
		t.Fatal(err)
	}
	if due, _, err := c.s.DueMessages(t.Context(), noon, false, 10); err != nil || len(due) != 1 {
		t.Errorf("%+v, %v", due, err)
	}
}

// Who can write the file but has no key lifts no stop: while the server runs
// nothing is claimed for want of knowing, and the next start stops everything.
func TestAStopThatIsRemovedOrChangedStopsEverything(t *testing.T) {
	for name, attack := range map[string]string{
		"it is removed":            `DELETE FROM stop`,
		"it names something else":  `UPDATE stop SET name = 'other'`,
		"it is of another kind":    `UPDATE stop SET kind = 'run'`,
		"it is of another tenant":  `UPDATE stop SET tenant = 'globex'`,
		"somebody else threw it":   `UPDATE stop SET by = 'person:acc_eve'`,
		"its authenticator is cut": `UPDATE stop SET mac = x''`,
	} {
		for _, open := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, while it is open: %v", name, open), func(t *testing.T) {
				t.Parallel()
				c := newConfig(t)
				c.running("run_1")
				c.propose(anIntent("int_1", intent.Approved))
				c.stop(intent.StopConnection, "c")
				if open {
					c.attack(attack)
					if err := c.use("int_1", intent.Approved, intent.Claimed, 0); !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Denied) {
						t.Errorf("it was claimed: %v", err)
					}
					c.again()
				} else {
					if err := c.s.Close(); err != nil {
						t.Fatal(err)
					}
					c.attack(attack)
					c.s = openIn(t, c.dir)
				}
				for range 2 {
					list, err := c.s.Stops(t.Context(), "acme")
					if err != nil || len(list) == 0 || list[0].Kind != intent.StopAll && list[len(list)-1].Kind != intent.StopAll {
						t.Fatalf("what is stopped is %+v, %v", list, err)
					}
					if err := c.use("int_1", intent.Approved, intent.Claimed, 0); !held(err) {
						t.Errorf("it was claimed: %v", err)
					}
					c.again()
				}
				rows, err := c.s.Audit().List(t.Context(), "acme", audit.Filter{Type: audit.StopSet}, 0, 100)
				if err != nil || len(rows) != 2 {
					t.Errorf("%d entries say that something was stopped, %v", len(rows), err)
				}
				if !strings.Contains(strings.Join(c.refusals(), "\n"), "stop") {
					t.Errorf("the refusals are %q", c.refusals())
				}
				if err := c.lift(intent.StopAll, ""); err != nil {
					t.Fatal(err)
				}
				list, err := c.s.Stops(t.Context(), "acme")
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range list {
					if err := c.lift(s.Kind, s.Name); err != nil {
						t.Fatal(err)
					}
				}
				if err := c.use("int_1", intent.Approved, intent.Claimed, 0); err != nil {
					t.Errorf("an admin resumed, and it does not go on: %v", err)
				}
			})
		}
	}
}

// A stop that was lifted can't be put back to harm more than it did: it stops.
func TestALiftedStopThatIsPutBackStops(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.running("run_1")
	c.propose(anIntent("int_1", intent.Approved))
	c.stop(intent.StopConnection, "c")
	c.attack(`CREATE TEMP TABLE kept AS SELECT * FROM stop`)
	if err := c.lift(intent.StopConnection, "c"); err != nil {
		t.Fatal(err)
	}
	c.attack(`INSERT INTO stop SELECT * FROM kept`)
	c.again()
	if err := c.use("int_1", intent.Approved, intent.Claimed, 0); !held(err) {
		t.Errorf("it was claimed: %v", err)
	}
}
