package rotation_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/rotation"
	"sallyport.dev/internal/vault"
)

const (
	acme   ident.Tenant = "acme"
	secret string       = "crm-token"
)

var boss = ident.Principal{Tenant: acme, Kind: ident.Person, ID: "acc_1", Roles: []ident.Role{ident.Admin}}

// crashed is what a process dies of.
type crashed struct{ at string }

// world is a store, a vault and a system, which outlive the machine's processes.
type world struct {
	t      *testing.T
	now    time.Time
	m      *rotation.Machine
	dies   string // where the process dies; "" nowhere
	died   bool
	points []string // where it could have

	policies map[string]rotation.Policy
	rots     map[string]rotation.Rotation
	events   []audit.Event

	versions []vault.Version
	active   int
	removed  bool
	alive    map[string]string // the system's: id to the rotation that made it
	rule     resource.Rotator
	serial   int
	fail     map[string]error // of the next act of a name, which does nothing
	late     map[string]error // of the next one, which happens
}

func newWorld(t *testing.T, rule resource.Rotator) *world {
	w := &world{t: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), policies: map[string]rotation.Policy{}, rots: map[string]rotation.Rotation{},
		alive: map[string]string{"id-1": ""}, active: 1, rule: rule, fail: map[string]error{}, late: map[string]error{},
		versions: []vault.Version{{Version: 1, State: vault.Active, Ref: "id-1", CreatedAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}}}
	w.boot()
	_, err := w.m.SetPolicy(t.Context(), boss, secret, resource.Rotation{Grace: resource.Duration(time.Hour), Rotator: rule}, "fac_1")
	w.must(err)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// boot is a new process over what is stored.
func (w *world) boot() {
	w.m = rotation.New(rotation.Config{Policies: w, Rotations: w, Vault: w, Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler),
		Ways:  func(resource.Rotator) (vault.Ways, error) { return vault.Ways{}, nil },
		Crash: func(r rotation.Rotation, p rotation.Point) { w.at(string(r.State) + "/" + string(p)) }})
}

// at is a place where the process can die.
func (w *world) at(where string) {
	w.points = append(w.points, where)
	w.check(where)
	if where == w.dies && !w.died {
		w.died = true
		panic(crashed{where})
	}
}

// advance takes every step that is due, dying where it has to.
func (w *world) advance() {
	w.t.Helper()
	defer func() {
		if c := recover(); c != nil {
			if _, ok := c.(crashed); !ok {
				panic(c)
			}
			w.boot()
			w.advance()
		}
	}()
	w.must(w.m.Advance(w.t.Context(), acme))
}

// settle takes a rotation to where only a person goes on.
func (w *world) settle() rotation.Rotation {
	w.t.Helper()
	for range 200 {
		w.advance()
		for _, r := range w.rots {
			if r.State.Final() || r.State == rotation.NeedsPerson {
				return r
			}
		}
		w.now = w.now.Add(10 * time.Minute)
	}
	w.t.Fatal("it comes to no end")
	return rotation.Rotation{}
}

// check holds what has to be true at every moment, a crash or not.
func (w *world) check(where string) {
	w.t.Helper()
	n := 0
	for _, v := range w.versions {
		if v.State == vault.Active {
			n++
		}
	}
	if w.active != 0 && (n != 1 || w.versions[w.active-1].State != vault.Active) { // 0: a person has done that
		w.t.Fatalf("%s: %d versions are active", where, n)
	}
	open := false
	for _, r := range w.rots {
		open = open || !r.State.Final()
	}
	for id := range w.alive {
		known := slices.ContainsFunc(w.versions, func(v vault.Version) bool { return v.Ref == id })
		if !known && !open {
			w.t.Fatalf("%s: the system has the credential %s, and nobody knows of it", where, id)
		}
	}
}

// The store: guarded rows, here a map.

func (w *world) RotationPolicy(_ context.Context, _ ident.Tenant, s string) (rotation.Policy, error) {
	p, ok := w.policies[s]
	if !ok {
		return p, fault.New(fault.NotFound, "no policy")
	}
	return p, nil
}

func (w *world) RotationPolicies(context.Context, ident.Tenant) (out []rotation.Policy, err error) {
	for _, p := range w.policies {
		out = append(out, p)
	}
	return out, nil
}

func (w *world) SetRotationPolicy(_ context.Context, p rotation.Policy, ev audit.Event) error {
	w.policies[p.Secret] = p
	return w.record(ev)
}

func (w *world) RemoveRotationPolicy(_ context.Context, p rotation.Policy, ev audit.Event) error {
	delete(w.policies, p.Secret)
	return w.record(ev)
}

func (w *world) record(ev audit.Event) error {
	_, err := audit.Encode(int64(len(w.events)), ev)
	w.events = append(w.events, ev)
	return err
}

func (w *world) Rotations(context.Context, ident.Tenant) (out []rotation.Rotation, err error) {
	for _, r := range w.rots {
		out = append(out, r)
	}
	return out, nil
}

func (w *world) Rotation(_ context.Context, _ ident.Tenant, id string) (rotation.Rotation, error) {
	return w.rots[id], nil
}

func (w *world) StartRotation(_ context.Context, r rotation.Rotation, ev audit.Event) error {
	for id, o := range w.rots {
		if !o.State.Final() {
			return fault.New(fault.Conflict, "one goes on")
		}
		delete(w.rots, id)
	}
	w.rots[r.ID] = r
	return w.record(ev)
}

func (w *world) StepRotation(_ context.Context, r rotation.Rotation, ev audit.Event) error {
	if w.rots[r.ID].Rev != r.Rev-1 {
		return fault.New(fault.Conflict, "it has gone on")
	}
	w.rots[r.ID] = r
	return w.record(ev)
}

// The vault and the system.

// act is one of the vault's steps: it can fail before or after it happened, and the
// process can die on either side of what the system does.
func (w *world) act(name string, f func() error) error {
	if err := w.fail[name]; err != nil {
		delete(w.fail, name)
		return err
	}
	w.at(name + "/sent")
	err := f()
	if late := w.late[name]; late != nil {
		delete(w.late, name)
		return late
	}
	return err
}

func (w *world) Show(context.Context, ident.Tenant, string) (vault.Secret, error) {
	return vault.Secret{Name: secret, Active: w.active, Removed: w.removed, Versions: slices.Clone(w.versions)}, nil
}

func (w *world) create(rot string) string {
	w.serial++
	id := fmt.Sprint("id-", w.serial+1)
	if w.rule.Ends() {
		clear(w.alive)
	}
	w.alive[id] = rot
	return id
}

func (w *world) store(j vault.RotationJob, id string) int {
	n := len(w.versions) + 1
	w.versions = append(w.versions, vault.Version{Version: n, State: vault.Pending, Rotation: j.ID, Ref: id, CreatedAt: w.now})
	return n
}

func (w *world) MakeVersion(_ context.Context, j vault.RotationJob) (n int, err error) {
	for _, v := range w.versions {
		if v.Rotation == j.ID {
			return v.Version, nil
		}
	}
	return n, w.act("make", func() error {
		if !w.rule.Chooses() {
			w.serial++
			n = w.store(j, fmt.Sprint("id-", w.serial+1))
			return nil
		}
		id := ""
		for have, by := range w.alive {
			if w.rule.Once() && by == j.ID {
				id = have // it knows the key again
			}
		}
		if id == "" {
			id = w.create(j.ID)
		}
		w.at("make/answered")
		if w.late["make"] != nil {
			return nil // no answer came
		}
		n = w.store(j, id)
		return nil
	})
}

func (w *world) ApplyVersion(_ context.Context, _ vault.RotationJob, n int) error {
	return w.act("apply", func() error {
		if w.rule.Ends() {
			clear(w.alive)
		}
		w.alive[w.versions[n-1].Ref] = "told"
		return nil
	})
}

func (w *world) TryVersion(_ context.Context, _ vault.RotationJob, n int) error {
	return w.act("try", func() error {
		if _, ok := w.alive[w.versions[n-1].Ref]; !ok {
			return fault.New(fault.Denied, "the system refuses")
		}
		return nil
	})
}

func (w *world) DeleteVersion(_ context.Context, _ vault.RotationJob, n int) error {
	if n == w.active {
		w.t.Fatal("the active version's credential would be deleted")
	}
	if w.active == 0 {
		return fault.New(fault.Conflict, "none is active")
	}
	return w.act("delete", func() error { delete(w.alive, w.versions[n-1].Ref); return nil })
}

func (w *world) Watchable(_ ident.Tenant, name, _ string) error {
	if name != "cluster" {
		return fault.New(fault.NotFound, "there is no such backend")
	}
	return nil
}

func (w *world) ClearMade(_ context.Context, j vault.RotationJob) (n int, err error) {
	return n, w.act("clear", func() error {
		for id, by := range w.alive {
			if by == j.ID && !slices.ContainsFunc(w.versions, func(v vault.Version) bool { return v.Ref == id }) {
				delete(w.alive, id)
				n++
			}
		}
		return nil
	})
}

func (w *world) SwitchVersion(_ context.Context, j vault.RotationJob, n int) error {
	return w.act("switch", func() error {
		if w.active == n {
			return nil
		}
		if w.active != j.Was {
			return fault.New(fault.Conflict, "another is active")
		}
		w.versions[j.Was-1].State, w.versions[n-1].State, w.active = vault.Previous, vault.Active, n
		return nil
	})
}

func (w *world) ReturnVersion(_ context.Context, j vault.RotationJob, n int, _ string) error {
	return w.act("return", func() error {
		w.versions[j.Was-1].State, w.versions[n-1].State, w.active = vault.Active, vault.Disabled, j.Was
		return nil
	})
}

func (w *world) EndVersion(_ context.Context, _ vault.RotationJob, n int) error {
	return w.act("end", func() error {
		if n == w.active {
			w.t.Fatal("the active version would be disabled")
		}
		if w.versions[n-1].State != vault.Destroyed {
			w.versions[n-1].State = vault.Disabled
		}
		return nil
	})
}
