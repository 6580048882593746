package rotation_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/rotation"
	"sallyport.dev/internal/vault"
)

// What a person did to the Secret meanwhile leaves no rotation that nobody can end.
func TestARotationOfASecretThatWasTakenAwayCanBeEnded(t *testing.T) {
	for name, took := range map[string]func(*world){
		"removed": func(w *world) {
			w.removed = true
			w.active = 0
			w.versions[0].State = vault.Destroyed
			w.versions[1].State = vault.Destroyed
		},
		"disabled": func(w *world) { w.active = 0; w.versions[0].State = vault.Disabled },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, rules()["a system that lists"])
			w.fail["try"] = fault.New(fault.Invalid, "it can't be read")
			_, err := w.m.Start(t.Context(), boss, secret, "fac_2")
			w.must(err)
			r := w.settle()
			took(w)
			for _, word := range []rotation.Word{rotation.Again, rotation.GiveUp} {
				_, err = w.m.Resolve(t.Context(), boss, r.ID, word, 0, "fac_3")
				w.must(err)
				if r = w.settle(); r.State != rotation.NeedsPerson {
					t.Fatalf("after %s it is %s", word, r.State)
				}
			}
			r, err = w.m.Resolve(t.Context(), boss, r.ID, rotation.Settled, 0, "fac_4")
			if err != nil || r.State != rotation.Failed {
				t.Errorf("it is %s: %v", r.State, err)
			}
		})
	}
}

// The kill switch stops a rotation between two of its steps.
func TestAStopHoldsARotationBetweenItsSteps(t *testing.T) {
	w := newWorld(t, rules()["a password"])
	stopped := false
	w.m.Stopped = func(context.Context, ident.Tenant) error {
		if stopped {
			return fault.New(fault.Unavailable, "stopped")
		}
		return nil
	}
	w.m.Crash = func(r rotation.Rotation, p rotation.Point) {
		stopped = stopped || r.State == rotation.Trying && p == rotation.AfterStep // Applying has ended
	}
	_, err := w.m.Start(t.Context(), boss, secret, "fac_2")
	w.must(err)
	w.must(w.m.Advance(t.Context(), acme))
	if r := only(w); !stopped || r.State != rotation.Trying || w.active != 1 {
		t.Errorf("it went on to %s, and version %d is active", r.State, w.active)
	}
}

// A clock that was wrong for a while holds up neither what goes on nor what is due
// next.
func TestAClockThatWasAheadHoldsUpNoRotation(t *testing.T) {
	w := newWorld(t, rules()["a system that lists"])
	p := w.policies[secret].Spec
	p.Every = resource.Duration(30 * 24 * time.Hour)
	_, err := w.m.SetPolicy(t.Context(), boss, secret, p, "fac_1")
	w.must(err)
	right := w.now
	w.now = right.AddDate(3, 0, 0) // ahead: the schedule begins one, up to its grace
	w.advance()
	if w.advance(); only(w).State != rotation.Grace {
		t.Fatalf("it is %s", only(w).State)
	}
	id := only(w).ID
	w.now = right.Add(time.Minute)
	w.advance()
	if r := only(w); r.State != rotation.Grace || r.Due.After(w.now.Add(time.Hour)) {
		t.Fatalf("it is %s until %s", r.State, r.Due)
	}
	w.now = w.now.Add(61 * time.Minute)
	if w.advance(); only(w).State != rotation.Done {
		t.Fatalf("after its grace it is %s until %s", only(w).State, only(w).Due)
	}
	if begun, err := w.m.Event(t.Context(), w.policies[secret]); !begun || err != nil {
		t.Errorf("an event, after the hour: %t, %v", begun, err)
	}
	w.settle()
	w.versions[w.active-1].CreatedAt = right.AddDate(3, 0, 0)
	w.now = w.now.Add(31 * 24 * time.Hour)
	w.advance()
	if r := only(w); r.ID == id || r.Trigger != rotation.BySchedule {
		t.Errorf("a version of the future is never replaced: the last one is by %s", r.Trigger)
	}
}

// One signing key is one Secret's: a message for it begins the rotation of no other.
func TestAHooksKeyIsForOneSecret(t *testing.T) {
	w := newWorld(t, rules()["a password"])
	p := w.policies[secret].Spec
	p.Hook = "hook-key"
	_, err := w.m.SetPolicy(t.Context(), boss, secret, p, "fac_1")
	w.must(err)
	if _, err = w.m.SetPolicy(t.Context(), boss, "erp-token", p, "fac_2"); !fault.Is(err, fault.Invalid) {
		t.Errorf("a second Secret with the key: %v", err)
	}
	if _, err = w.m.SetPolicy(t.Context(), boss, secret, p, "fac_3"); err != nil {
		t.Errorf("the same Secret again: %v", err)
	}
}

// A policy is shown to people and lies in the database as it is: no value stands in it.
func TestAPolicyWithAKnownValueIsRefused(t *testing.T) {
	w := newWorld(t, rules()["a system that lists"])
	w.m.Holds = func(_ ident.Tenant, text []byte) bool { return strings.Contains(string(text), "cnry-known-Zq83") }
	p := w.policies[secret].Spec
	p.Rotator.HTTP.Create.Body = []byte(`{"key":"cnry-known-Zq83"}`)
	if _, err := w.m.SetPolicy(t.Context(), boss, secret, p, "fac_1"); !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "cnry") {
		t.Errorf("it is taken: %v", err)
	}
}

// A system's memory of a request that it knows again ends some day: then a person is
// asked, and no second credential is made.
func TestACreationIsRepeatedUnderItsKeyForADayAlone(t *testing.T) {
	w := newWorld(t, rules()["a system that knows a request again"])
	w.late["make"] = fault.New(fault.Unknown, "no answer")
	_, err := w.m.Start(t.Context(), boss, secret, "fac_2")
	w.must(err)
	w.advance()
	w.now = w.now.Add(25 * time.Hour)
	if r := w.settle(); r.State != rotation.NeedsPerson || w.serial != 1 {
		t.Errorf("it is %s, and %d were made", r.State, w.serial)
	}
}

// A creation that came to nothing, after which the version before is refused, is for
// a person: no version works.
func TestAFailedCreationThatEndedTheOldVersionIsForAPerson(t *testing.T) {
	w := newWorld(t, rules()["a system that lists"])
	w.late["make"] = fault.New(fault.Invalid, "the answer is cut")
	_, err := w.m.Start(t.Context(), boss, secret, "fac_2")
	w.must(err)
	w.rule.HTTP.Ends = true // the system does, whatever the policy says
	if r := w.settle(); r.State != rotation.NeedsPerson {
		t.Errorf("it is %s (%s), and the system has %v", r.State, r.Why, w.alive)
	}
}
