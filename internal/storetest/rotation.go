package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/rotation"
)

// Turning is what rotations need of a store.
type Turning interface {
	rotation.Policies
	rotation.Rotations
}

// Rotation plays the promises that package rotation has of its store: one rotation of
// a Secret at a time, each step from the one before, and nothing without its entry.
func Rotation(t *testing.T, open func(*testing.T) Store) {
	stories := map[string]func(*workshop){
		"one rotation of a Secret goes on at a time":     oneAtATime,
		"a step follows the one before it":               stepAfterStep,
		"of two steps at the same time one is made":      stepRace,
		"of two starts at the same time one is made":     startRace,
		"the last one of each Secret is kept":            lastIsKept,
		"a policy is replaced from what was seen of it":  policyRevisions,
		"a step whose entry can't be written is not one": stepWithoutEntry,
		"tenants do not see each other's rotations":      rotationsApart,
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := NewWorld(t, open(t))
			story(&workshop{World: w, turning: w.turning()})
		})
	}
}

type workshop struct {
	*World
	turning Turning
}

func (w *World) turning() Turning {
	w.t.Helper()
	s, ok := w.Store.(Turning)
	if !ok {
		w.t.Fatal("the store keeps no rotations")
	}
	return s
}

// turn is a rotation that begins, of a Secret.
func turn(tenant ident.Tenant, secret string, now time.Time) rotation.Rotation {
	return rotation.Rotation{Tenant: tenant, ID: ident.New("rot"), Secret: secret, State: rotation.Making, Was: 1, Trigger: rotation.ByHand, By: "person:acc_1",
		Policy: turnPolicy(tenant, secret, now).Spec, Due: now, Started: now, Updated: now, Rev: 1}
}

func turnPolicy(tenant ident.Tenant, secret string, now time.Time) rotation.Policy {
	return rotation.Policy{Tenant: tenant, Secret: secret, By: "person:acc_1", At: now, Rev: 1, Spec: resource.Rotation{Every: resource.Duration(24 * time.Hour),
		Rotator: resource.Rotator{Kind: resource.RotatorExec, Exec: &resource.ExecRotator{Program: "ldap", Generate: map[string]int{"password": 32}}}}}
}

func turnEvent(r rotation.Rotation, t audit.Type) audit.Event {
	if t == audit.RotationStepped && r.State.Final() {
		t = audit.RotationEnded
	}
	return audit.Event{Type: t, Tenant: r.Tenant, At: r.Updated, Actor: "system:rotation", Fields: map[string]any{"rotation": r.ID, "secret": r.Secret, "state": string(r.State)}}
}

func policyEvent(p rotation.Policy) audit.Event {
	return audit.Event{Type: audit.RotationPolicySet, Tenant: p.Tenant, At: p.At, Actor: p.By, Fields: map[string]any{"secret": p.Secret, "revision": p.Rev}}
}

func (w *World) turned(s Turning, tenant ident.Tenant, secret string) rotation.Rotation {
	w.t.Helper()
	r := turn(tenant, secret, w.Now)
	w.must(s.StartRotation(w.ctx, r, turnEvent(r, audit.RotationStarted)))
	return r
}

// step takes a rotation to a state.
func step(ctx context.Context, s Turning, r rotation.Rotation, to rotation.State) (rotation.Rotation, error) {
	r.State, r.Rev = to, r.Rev+1
	return r, s.StepRotation(ctx, r, turnEvent(r, audit.RotationStepped))
}

func oneAtATime(w *workshop) {
	r := w.turned(w.turning, acme, "crm")
	w.turned(w.turning, acme, "erp") // another Secret's
	w.turned(w.turning, globex, "crm")
	again := turn(acme, "crm", w.Now)
	w.wantKind(w.turning.StartRotation(w.ctx, again, turnEvent(again, audit.RotationStarted)), fault.Conflict)
	r, err := step(w.ctx, w.turning, r, rotation.NeedsPerson)
	w.must(err)
	w.wantKind(w.turning.StartRotation(w.ctx, again, turnEvent(again, audit.RotationStarted)), fault.Conflict)
	_, err = step(w.ctx, w.turning, r, rotation.Failed)
	w.must(err)
	w.must(w.turning.StartRotation(w.ctx, again, turnEvent(again, audit.RotationStarted)))
}

func stepAfterStep(w *workshop) {
	r := w.turned(w.turning, acme, "crm")
	on, err := step(w.ctx, w.turning, r, rotation.Trying)
	w.must(err)
	_, err = step(w.ctx, w.turning, r, rotation.Switching) // from what it was before
	w.wantKind(err, fault.Conflict)
	other := on
	other.Secret = "erp"
	_, err = step(w.ctx, w.turning, other, rotation.Switching)
	w.wantKind(err, fault.Conflict)
	none := on
	none.ID = ident.New("rot")
	_, err = step(w.ctx, w.turning, none, rotation.Switching)
	w.wantKind(err, fault.NotFound)
	done, err := step(w.ctx, w.turning, on, rotation.Done)
	w.must(err)
	_, err = step(w.ctx, w.turning, done, rotation.Deleting) // one that has ended
	w.wantKind(err, fault.Conflict)
	got, err := w.turning.Rotation(w.ctx, acme, r.ID)
	w.must(err)
	if got.State != rotation.Done || got.Rev != 3 || got.Secret != "crm" || got.Policy.Rotator.Exec.Program != "ldap" || !got.Started.Equal(w.Now) {
		w.t.Errorf("it is %+v", got)
	}
	if n := w.recorded(audit.RotationStepped) + w.recorded(audit.RotationEnded); n != 2 {
		w.t.Errorf("%d steps are on the record", n)
	}
}

// recorded counts the entries of a type.
func (w *World) recorded(t audit.Type) int {
	w.t.Helper()
	l, err := w.Store.Audit().List(w.ctx, acme, audit.Filter{Type: t}, 0, 1000)
	w.must(err)
	return len(l)
}

// race runs f so often at the same time, and says how often it went well.
func (w *World) race(f func(i int) error) (won int) {
	w.t.Helper()
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	for _, err := range errs {
		if err == nil {
			won++
		} else if !fault.Is(err, fault.Conflict) {
			w.t.Errorf("one of them is %v", err)
		}
	}
	return won
}

func stepRace(w *workshop) {
	r := w.turned(w.turning, acme, "crm")
	if n := w.race(func(int) error { _, err := step(w.ctx, w.turning, r, rotation.Trying); return err }); n != 1 {
		w.t.Errorf("%d were made", n)
	}
}

func startRace(w *workshop) {
	n := w.race(func(int) error {
		r := turn(acme, "crm", w.Now)
		return w.turning.StartRotation(w.ctx, r, turnEvent(r, audit.RotationStarted))
	})
	l, err := w.turning.Rotations(w.ctx, acme)
	if n != 1 || len(l) != 1 || err != nil || w.recorded(audit.RotationStarted) != 1 {
		w.t.Errorf("%d were begun, %d are there: %v", n, len(l), err)
	}
}

func lastIsKept(w *workshop) {
	var last rotation.Rotation
	for range 3 {
		r := w.turned(w.turning, acme, "crm")
		var err error
		last, err = step(w.ctx, w.turning, r, rotation.Done)
		w.must(err)
	}
	open := w.turned(w.turning, acme, "erp")
	l, err := w.turning.Rotations(w.ctx, acme)
	w.must(err)
	got := map[string]bool{}
	for _, r := range l {
		got[r.ID] = true
	}
	if len(l) != 2 || !got[last.ID] || !got[open.ID] {
		w.t.Errorf("there are %+v", l)
	}
}

func policyRevisions(w *workshop) {
	p := turnPolicy(acme, "crm", w.Now)
	second := p
	second.Rev = 2
	w.wantKind(w.turning.SetRotationPolicy(w.ctx, second, policyEvent(second)), fault.Conflict)
	w.must(w.turning.SetRotationPolicy(w.ctx, p, policyEvent(p)))
	w.wantKind(w.turning.SetRotationPolicy(w.ctx, p, policyEvent(p)), fault.Conflict) // made from what is no more
	if n := w.race(func(i int) error {
		mine := second
		mine.By = fmt.Sprint("person:acc_", i)
		return w.turning.SetRotationPolicy(w.ctx, mine, policyEvent(mine))
	}); n != 1 {
		w.t.Errorf("%d replaced it", n)
	}
	w.must(w.turning.RemoveRotationPolicy(w.ctx, second, policyEvent(second)))
	_, err := w.turning.RotationPolicy(w.ctx, acme, "crm")
	w.wantKind(err, fault.NotFound)
	w.wantKind(w.turning.RemoveRotationPolicy(w.ctx, second, policyEvent(second)), fault.NotFound)
}

func stepWithoutEntry(w *workshop) {
	r := w.turned(w.turning, acme, "crm")
	on := r
	on.State, on.Rev = rotation.Trying, 2
	if err := w.turning.StepRotation(w.ctx, on, audit.Event{Type: "no.such.type", Tenant: acme, At: w.Now, Actor: "system:rotation"}); err == nil {
		w.t.Error("an entry that is none is taken")
	}
	got, err := w.turning.Rotation(w.ctx, acme, r.ID)
	w.must(err)
	if got.State != rotation.Making || got.Rev != 1 {
		w.t.Errorf("it is %s, revision %d", got.State, got.Rev)
	}
}

func rotationsApart(w *workshop) {
	r := w.turned(w.turning, acme, "crm")
	_, err := w.turning.Rotation(w.ctx, globex, r.ID)
	w.wantKind(err, fault.NotFound)
	r.Tenant = globex
	_, err = step(w.ctx, w.turning, r, rotation.Done)
	w.wantKind(err, fault.NotFound)
	l, err := w.turning.Rotations(w.ctx, globex)
	if len(l) != 0 || err != nil {
		w.t.Errorf("the other tenant sees %+v, %v", l, err)
	}
}
