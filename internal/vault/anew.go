package vault

import (
	"context"
	"slices"
	"time"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/plain"
)

// hookRest is how old a value is at least before a message makes a use ask for it
// again: whoever has the hook's key wears out no backend.
const hookRest = 3 * time.Second

// idleFor is the least time between two questions that a refused value led to, where
// the first gave the same value.
const idleFor = time.Second

// wants is the number of the first question whose answer is good for who asks now.
func (o *outside) wants(at place) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at(at).want
}

// stale has what a question gives count for nothing that has begun by now.
func (o *outside) stale(at place) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.at(at)
	k.want = k.begun + 1
}

// hooked is stale by a message.
func (o *outside) hooked(at place) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.at(at)
	k.hook = k.begun + 1
}

// another reports whether the value is another than what the backend called so.
func (o *outside) another(at place, version string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.at(at)
	return k.value != nil && !slices.Contains(k.names, version)
}

// rest is how long a question that a refusal leads to has to wait.
func (o *outside) rest(at place, now time.Time) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return min(o.at(at).idle.Sub(now), idleFor)
}

// inVain notes that such a question was for nothing, and gives the number of the next
// one.
func (o *outside) inVain(at place, now time.Time) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.at(at)
	k.idle = now.Add(idleFor)
	return k.got + 1
}

// next is the number of a question that begins from now on.
func (o *outside) next(at place) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at(at).begun + 1
}

// Renewed says whether the value of a version, which is a pointer, is another by now
// than the one that a system has refused. Unless that is known already, the backend is
// asked; and where it gives the same, once more after a second, since whoever changes
// the value there may have told the system first. Any number of calls that were refused
// share the questions.
func (v *Vault) Renewed(ctx context.Context, t ident.Tenant, name string, version int, used External) bool {
	s, err := v.open()
	if err != nil {
		return false
	}
	_, e, ver, err := s.find(t, Ref{Name: name, Version: version})
	if err != nil || ver.Pointer == nil || ver.Pointer.Version != "" || ver.Pointer.Backend != used.Backend {
		return false
	}
	if l := v.cfg.Backends.Lessor(used.Backend); l != nil {
		return v.rehired(ctx, t, found{e, ver}, l, used)
	}
	at := found{e, ver}.place(t)
	need := v.outside.next(at)
	for range 2 {
		if d := v.outside.rest(at, v.cfg.Now()); d > 0 && !v.outside.another(at, used.Version) {
			late := time.NewTimer(d)
			select {
			case <-ctx.Done():
			case <-late.C:
			}
			late.Stop()
		}
		if v.outside.another(at, used.Version) {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		got, err := v.resolveFrom(ctx, at, name, ver.Pointer, need)
		plain.Wipe(got.packed)
		if err != nil {
			return false
		}
		if v.outside.another(at, used.Version) {
			return true
		}
		need = v.outside.inVain(at, v.cfg.Now())
	}
	return false
}

// rehired is Renewed for what is made for Runs: whether the Run that had the credential
// has another in its place, since the lease was found to have ended. Nothing is made on
// trial.
func (v *Vault) rehired(ctx context.Context, t ident.Tenant, f found, by backend.Lessor, used External) bool {
	h, _ := v.hires.find(used.Version)
	at := f.place(t)
	if h == nil {
		return false
	}
	if at.run = h.at.run; h.at != at {
		return false
	}
	got, now, err := v.hired(ctx, DoorSpec{Tenant: t, Run: at.run}, f, by)
	plain.Wipe(got.packed)
	return err == nil && now != h
}
