package storetest

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/policy"
)

// a limit that may be used up by most within an hour.
func aLimit(scope string, most, amount int64) policy.Use {
	return policy.Use{Statement: "p/s", Kind: policy.Budget, Scope: scope, Most: most, Amount: amount, Window: time.Hour}
}

// use proposes a write that uses something of limits.
func (o *office) use(uses ...policy.Use) (intent.Intent, error) {
	o.t.Helper()
	i := o.newIntent(acme)
	d, err := decision.New(i, []decision.Need{{Team: "finance", Count: 1}}, 0, o.Now)
	o.must(err)
	started := audit.Event{Type: audit.RunStarted, Tenant: acme, At: o.Now, Actor: "person:x", Run: i.Run}
	parked := audit.Event{Type: audit.IntentParked, Tenant: acme, At: o.Now, Actor: "run:" + i.Run, Run: i.Run, Intent: i.ID, Fields: map[string]any{"digest": i.Digest}}
	_, _, err = o.Store.Propose(o.ctx, gate.Proposed{Intent: i, ArgsDigest: intent.SHA256(i.Args), Decision: &d, MaxParked: 20, MaxCalls: 1000, Uses: uses,
		Events: []audit.Event{started, parked}})
	return i, err
}

func (o *office) wantUsed(scope string, want int64) {
	o.t.Helper()
	if got, _, err := o.Store.PolicyUse(o.ctx, acme, aLimit(scope, 1, 1), "", o.Now); err != nil || got != want {
		o.t.Errorf("%d is used of %s (%v), want %d", got, scope, err, want)
	}
}

// Uses is what every store does with the use of rates and budgets.
func Uses(t *testing.T, open func(*testing.T) Store) {
	for name, story := range map[string]func(*office){
		"a window slides, and its first instant is free": func(o *office) {
			_, err := o.use(aLimit("a", 10, 4))
			o.must(err)
			o.Pass(30 * time.Minute)
			_, err = o.use(aLimit("a", 10, 6))
			o.must(err)
			o.wantUsed("a", 10)
			o.Pass(30*time.Minute - time.Millisecond)
			o.wantUsed("a", 10)
			if _, err = o.use(aLimit("a", 10, 1)); !errors.Is(err, gate.ErrUsedUp) {
				o.t.Errorf("one more was stored: %v", err)
			}
			o.Pass(time.Millisecond)
			o.wantUsed("a", 6)
			o.wantUsed("b", 0)
		},
		"what found no room leaves nothing behind": func(o *office) {
			i, err := o.use(aLimit("a", 10, 4), aLimit("b", 3, 4))
			if !errors.Is(err, gate.ErrUsedUp) || !fault.Is(err, fault.Limit) {
				o.t.Errorf("it was stored: %v", err)
			}
			o.wantUsed("a", 0)
			if _, err := o.Store.Intent(o.ctx, acme, i.ID); !fault.Is(err, fault.NotFound) {
				o.t.Errorf("the Intent is there: %v", err)
			}
		},
		"a clock that was set back frees nothing": func(o *office) {
			_, err := o.use(aLimit("a", 10, 4))
			o.must(err)
			o.Pass(-50 * time.Minute)
			o.wantUsed("a", 4)
			_, err = o.use(aLimit("a", 10, 6))
			o.must(err)
			o.Pass(50*time.Minute + 30*time.Minute) // right again: the second use counts from the first on
			o.wantUsed("a", 10)
		},
		"a sum beyond 64 bits is the highest there is": func(o *office) {
			for range 3 {
				_, err := o.use(func() policy.Use { u := aLimit("a", 1, math.MaxInt64-1); u.Observed = true; return u }())
				o.must(err)
			}
			o.wantUsed("a", math.MaxInt64)
			if _, err := o.use(aLimit("a", math.MaxInt64, 1)); !errors.Is(err, gate.ErrUsedUp) {
				o.t.Errorf("there was room: %v", err)
			}
		},
		"an Intent has its own place already": func(o *office) {
			i, err := o.use(aLimit("a", 10, 10))
			o.must(err)
			used, held, err := o.Store.PolicyUse(o.ctx, acme, aLimit("a", 10, 10), i.ID, o.Now)
			if err != nil || used != 0 || !held {
				o.t.Errorf("used %d, held %t, %v", used, held, err)
			}
			if _, held, err = o.Store.PolicyUse(o.ctx, acme, aLimit("a", 10, 11), i.ID, o.Now); err != nil || held {
				o.t.Errorf("the place of a smaller amount is that of a greater one: %v", err)
			}
		},
		"what is asked about again uses what it then needs, and once": func(o *office) {
			i, err := o.use(aLimit("a", 10, 4))
			o.must(err)
			_, err = o.use(aLimit("b", 10, 8))
			o.must(err)
			again := func(uses ...policy.Use) error {
				next := i
				next.Revision++
				next.Bound.Revision++
				var err error
				next.Digest, err = next.Bound.Digest()
				o.must(err)
				d, err := decision.New(next, of("finance"), 0, o.Now)
				o.must(err)
				_, err = o.Store.Step(o.ctx, commit.Step{Tenant: acme, Intent: i.ID, Run: i.Run, From: intent.Parked, To: intent.Approved, At: o.Now})
				o.must(err)
				if err = o.repark(next, d, uses...); err == nil {
					i = next
				}
				return err
			}
			o.must(again(aLimit("a", 10, 4), aLimit("c", 10, 1)))
			o.wantUsed("a", 4)
			o.wantUsed("c", 1)
			o.must(again(aLimit("a", 10, 6)))
			o.wantUsed("a", 6)
			if err := again(aLimit("c", 10, 2), aLimit("b", 10, 3)); !errors.Is(err, gate.ErrUsedUp) {
				o.t.Errorf("there was room: %v", err)
			}
			o.wantUsed("b", 8)
			o.wantUsed("c", 1)
			if got, err := o.Store.Intent(o.ctx, acme, i.ID); err != nil || got.State != intent.Approved || got.Revision != i.Revision {
				o.t.Errorf("it is %s at revision %d: %v", got.State, got.Revision, err)
			}
		},
		"two windows over the same count once": func(o *office) {
			day := aLimit("a", 100, 4)
			day.Window = 24 * time.Hour
			_, err := o.use(aLimit("a", 10, 4), day)
			o.must(err)
			o.wantUsed("a", 4)
		},
		"what counts no more is swept, but not what has a place": func(o *office) {
			open, err := o.use(aLimit("a", 10, 4))
			o.must(err)
			i, err := o.use(aLimit("a", 10, 5))
			o.must(err)
			_, err = o.Store.Step(o.ctx, commit.Step{Tenant: acme, Intent: i.ID, Run: i.Run, From: intent.Parked, To: intent.Withdrawn, At: o.Now})
			o.must(err)
			o.must(o.Store.SweepUses(o.ctx, o.Now.Add(24*time.Hour)))
			o.wantUsed("a", 9)
			o.must(o.Store.SweepUses(o.ctx, o.Now.Add(26*time.Hour)))
			o.wantUsed("a", 4)
			if _, held, err := o.Store.PolicyUse(o.ctx, acme, aLimit("a", 10, 4), open.ID, o.Now.Add(26*time.Hour)); err != nil || !held {
				o.t.Errorf("the place of what waits is gone: %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(newOffice(t, open(t)))
		})
	}
}

// useChanged: whatever is done to the uses, none of their limits is free again.
func useChanged(a *siege, query string) {
	i, err := a.use(aLimit("scope", 10, 7))
	a.must(err)
	_, err = a.use(aLimit("scope", 10, 2))
	a.must(err)
	a.strike(strings.ReplaceAll(query, "INTENT", i.ID))
	used, _, err := a.office.Store.PolicyUse(a.ctx, acme, aLimit("scope", 10, 1), "", a.Now)
	if !fault.Is(err, fault.Denied) {
		a.t.Errorf("%d is used: %v", used, err)
	}
	if _, err := a.use(aLimit("scope", 10, 1)); err == nil {
		a.t.Error("there is room for another")
	}
	for _, e := range a.entries(acme, audit.RowRefused) {
		if e.Fields["kind"] == "policy_use" {
			return
		}
	}
	a.t.Error("the audit log does not say so")
}
