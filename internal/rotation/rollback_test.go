package rotation_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/rotation"
	"sallyport.dev/internal/vault"
)

// begun is a world in which a rotation is in its grace.
func begun(t *testing.T) *world {
	w := newWorld(t, rules()["a system that lists"])
	_, err := w.m.Start(t.Context(), boss, secret, "fac_2")
	w.must(err)
	w.advance()
	if w.active != 2 {
		t.Fatalf("version %d is active", w.active)
	}
	return w
}

func (w *world) calls(version, status, n int) {
	for range n {
		w.m.Used(acme, secret, version, status)
	}
}

// When calls are refused as they were not before, the version before is active
// again, the new one is disabled, and the log's entry says why.
func TestARotationGoesBackWhenCallsAreRefusedAfterTheSwitch(t *testing.T) {
	w := begun(t)
	w.calls(1, 200, 50)
	w.calls(2, 403, 6)
	w.calls(2, 200, 2)
	r := w.settle()
	if r.State != rotation.RolledBack || w.active != 1 || w.versions[1].State != vault.Disabled {
		t.Fatalf("it is %s, and version %d is active", r.State, w.active)
	}
	if _, there := w.alive["id-2"]; there {
		t.Error("the system still has the credential that was rolled back from")
	}
	if last := w.events[len(w.events)-1]; last.Type != audit.RotationEnded || last.Fields["why"] == nil {
		t.Errorf("the last entry is %s %v", last.Type, last.Fields)
	}
}

// A Worker that may not do something was refused before the switch, too; a system
// that is down refuses nobody; and few calls say little.
func TestARotationDoesNotGoBackForOtherReasons(t *testing.T) {
	for name, calls := range map[string]func(*world){
		"refused before": func(w *world) { w.calls(1, 403, 30); w.calls(2, 403, 30) },
		"down":           func(w *world) { w.calls(1, 200, 30); w.calls(2, 503, 30); w.calls(2, 0, 30); w.calls(2, 404, 30) },
		"few":            func(w *world) { w.calls(1, 200, 30); w.calls(2, 401, 4) },
		"mostly good":    func(w *world) { w.calls(1, 200, 30); w.calls(2, 200, 30); w.calls(2, 401, 10) },
		"the old one":    func(w *world) { w.calls(2, 200, 30); w.calls(1, 401, 30) },
	} {
		t.Run(name, func(t *testing.T) {
			w := begun(t)
			calls(w)
			if r := w.settle(); r.State != rotation.Done || w.active != 2 {
				t.Errorf("it is %s (%s)", r.State, r.Why)
			}
		})
	}
}

// Going back survives a kill at each of its points.
func TestAKillWhileGoingBackLeavesTheVersionBefore(t *testing.T) {
	first := begun(t)
	first.calls(1, 200, 50)
	first.calls(2, 401, 10)
	first.points = nil
	first.settle()
	for _, where := range first.points {
		w := begun(t)
		w.calls(1, 200, 50)
		w.calls(2, 401, 10)
		w.dies = where
		r := w.settle()
		// What was counted died with the process; before the way back was on the
		// record, the rotation goes on.
		lost := where == "grace/before" || where == "grace/recorded" || where == "grace/made"
		if !w.died || !lost && (r.State != rotation.RolledBack || w.active != 1) || lost && r.State != rotation.Done {
			t.Errorf("killed at %s: %s, version %d", where, r.State, w.active)
		}
	}
}

// A schedule begins a rotation when the version is old enough, one at a time, and
// not at once again when it failed.
func TestAScheduleRotatesWhatIsOldEnoughAndRestsAfterAFailure(t *testing.T) {
	w := newWorld(t, rules()["a password"])
	p := w.policies[secret]
	p.Spec.Every = resource.Duration(24 * 365 * time.Hour)
	_, err := w.m.SetPolicy(t.Context(), boss, secret, p.Spec, "fac_1")
	w.must(err)
	if w.advance(); len(w.rots) != 0 {
		t.Fatal("a version of this year is rotated")
	}
	w.now = w.now.Add(60 * 24 * time.Hour)
	w.fail["make"] = fault.New(fault.Denied, "no")
	if r := w.settle(); r.State != rotation.Failed || r.Trigger != rotation.BySchedule || r.By != "system:rotation" {
		t.Fatalf("it is %s, by %s", r.State, r.By)
	}
	id := only(w).ID
	w.advance()
	if only(w).ID != id {
		t.Fatal("it was begun again at once")
	}
	w.now = w.now.Add(25 * time.Hour)
	w.advance()
	if w.advance(); only(w).ID == id || w.active != 2 {
		t.Errorf("a day later version %d is active", w.active)
	}
}

func only(w *world) rotation.Rotation {
	for _, r := range w.rots {
		return r
	}
	return rotation.Rotation{}
}

// Whoever has a hook's key can't wear a system out.
func TestAnEventRotatesOnceAnHour(t *testing.T) {
	w := newWorld(t, rules()["a password"])
	_, err := w.m.Event(t.Context(), w.policies[secret])
	w.must(err)
	w.settle()
	w.now = only(w).Started.Add(59 * time.Minute)
	if begun, err := w.m.Event(t.Context(), w.policies[secret]); begun || err != nil {
		t.Errorf("within the hour: %t, %v", begun, err)
	}
	w.now = w.now.Add(2 * time.Minute)
	if begun, err := w.m.Event(t.Context(), w.policies[secret]); !begun || err != nil {
		t.Errorf("after it: %t, %v", begun, err)
	}
}

// Who is no admin, and a second rotation beside the first, are refused.
func TestARotationIsAnAdminsAndOneAtATime(t *testing.T) {
	w := newWorld(t, rules()["a password"])
	builder := ident.Principal{Tenant: acme, Kind: ident.Person, ID: "acc_2", Roles: []ident.Role{ident.Builder}}
	for _, who := range []ident.Principal{builder, rotation.System(acme), {Tenant: acme, Kind: ident.Run, ID: "run_1"}} {
		if _, err := w.m.Start(t.Context(), who, secret, ""); !fault.Is(err, fault.Denied) {
			t.Errorf("%s starts one: %v", who, err)
		}
		if _, err := w.m.SetPolicy(t.Context(), who, secret, w.policies[secret].Spec, ""); !fault.Is(err, fault.Denied) {
			t.Errorf("%s sets a policy: %v", who, err)
		}
		if err := w.m.RemovePolicy(t.Context(), who, secret, ""); !fault.Is(err, fault.Denied) {
			t.Errorf("%s removes it: %v", who, err)
		}
	}
	_, err := w.m.Start(t.Context(), boss, secret, "fac_2")
	w.must(err)
	if _, err = w.m.Start(t.Context(), boss, secret, "fac_3"); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second one: %v", err)
	}
}

// A kill switch that stops everything stops rotations too.
func TestNothingIsRotatedWhileAllIsStopped(t *testing.T) {
	w := newWorld(t, rules()["a password"])
	stopped := true
	w.m.Stopped = func(context.Context, ident.Tenant) error {
		if stopped {
			return fault.New(fault.Unavailable, "stopped")
		}
		return nil
	}
	if _, err := w.m.Start(t.Context(), boss, secret, "fac_2"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("one is begun: %v", err)
	}
	stopped = false
	_, err := w.m.Start(t.Context(), boss, secret, "fac_2")
	w.must(err)
	stopped = true
	if err := w.m.Advance(t.Context(), acme); err == nil || w.active != 1 {
		t.Errorf("it goes on: %v, version %d", err, w.active)
	}
}

// A call that is refused while a system has ended the old version and the new one
// is not active yet waits for it, and gets it; any other refusal waits for nothing.
func TestACallThatIsRefusedInTheMiddleOfASwitchGetsTheNewVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rules()["a password"])
		if n := w.m.Successor(t.Context(), acme, secret, 1); n != 0 {
			t.Fatalf("without a rotation: %d", n)
		}
		got := make(chan int, 1)
		asked := false
		w.m.Crash = func(r rotation.Rotation, p rotation.Point) {
			if r.State == rotation.Trying && p == rotation.AfterAct && !asked {
				asked = true
				go func() { got <- w.m.Successor(t.Context(), acme, secret, 1) }()
				synctest.Wait() // it waits for the switch
			}
		}
		_, err := w.m.Start(t.Context(), boss, secret, "fac_2")
		w.must(err)
		w.advance()
		if n := <-got; n != 2 {
			t.Errorf("it gets version %d", n)
		}
		if n := w.m.Successor(t.Context(), acme, secret, 2); n != 0 {
			t.Errorf("the new version's successor is %d", n)
		}
	})
}
