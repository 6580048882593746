package vault

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/backend"
)

const (
	// linger is how long a credential that was replaced is left to the calls that began
	// with it.
	linger = 2 * time.Minute
	// idle is how long a Run keeps one that it doesn't use: who waits for a person for
	// days holds nothing meanwhile, and its next use gets another.
	idle = time.Hour
)

// unused is why a Run that doesn't use one loses it.
const unused = "its Run did not use it for an hour"

// Standing says why what a Run holds is to end now: the Run has ended, or is stopped.
// Empty: it goes on.
type Standing func(ctx context.Context, l Lease) (why string, err error)

// TendLeases looks at all that is on record: it renews what is in use, and revokes what
// belongs to a Run that may use it no more, what was replaced, and what nobody has the
// value of. A server does so all the time; what it leaves undone, the next round does.
func (v *Vault) TendLeases(ctx context.Context, standing Standing) error {
	s, store := v.state.Load(), v.hires.kept()
	if s == nil || store == nil {
		return nil
	}
	var errs []error
	var all []Lease
	for t := range s.tenants {
		rows, err := store.Leases(ctx, t)
		errs = append(errs, err)
		seen := map[string]bool{}
		for _, l := range append(rows, v.hires.of(t)...) {
			if !seen[l.ID] {
				all = append(all, l)
			}
			seen[l.ID] = true
		}
	}
	errs = append(errs, v.tendAll(ctx, all, standing))
	v.hires.forget(v.cfg.Now())
	return errors.Join(errs...)
}

const (
	// atOnce is how many are looked at at the same time.
	atOnce = 8
	// roundTime is how long a round begins with others. What is left has its turn in
	// the next: the order is another each time.
	roundTime = 20 * time.Second
)

// tendAll looks at many: first at those that are to be renewed. Who is away is asked no
// more in this round; a system that is down keeps its own path from being asked alone.
func (v *Vault) tendAll(ctx context.Context, all []Lease, standing Standing) error {
	now, until := v.cfg.Now(), time.Now().Add(roundTime)
	if len(all) > 0 { // who is first is another one each round
		at := int(backend.Jitter(time.Duration(len(all))))
		all = slices.Concat(all[at:], all[:at])
	}
	due := map[string]bool{}
	for _, l := range all {
		h, busy := v.hires.find(l.ID)
		due[l.ID] = h != nil && !busy && v.hires.isDue(h, now)
	}
	slices.SortStableFunc(all, func(a, b Lease) int {
		switch {
		case due[a.ID] == due[b.ID]:
			return 0
		case due[a.ID]:
			return -1
		}
		return 1
	})
	var mu sync.Mutex
	var errs []error
	shut := shuts{}
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, l := range all {
		slots <- struct{}{}
		mu.Lock()
		skip := shut.holds(l)
		mu.Unlock()
		if skip || ctx.Err() != nil || time.Now().After(until) {
			<-slots
			continue
		}
		wg.Add(1)
		crash.Go(func() {
			defer wg.Done()
			defer func() { <-slots }()
			err := v.tend(ctx, l, standing)
			mu.Lock()
			defer mu.Unlock()
			shut.note(l, err)
			if _, ok := errors.AsType[*backend.Error](err); !ok { // that is logged, and on record where it matters
				errs = append(errs, err)
			}
		}, func(c *crash.Panic) { c.Log(ctx, v.cfg.Log) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// shuts are who is asked no more in a round.
type shuts map[shutKey]bool

func (s shuts) holds(l Lease) bool { return s[shutKey{l.Backend, ""}] || s[shutKey{l.Backend, l.Path}] }

func (s shuts) note(l Lease, err error) {
	if k, _, all := shutFor(l, err); all {
		s[k] = true
	}
}

// tend is one lease's part of it.
func (v *Vault) tend(ctx context.Context, l Lease, standing Standing) error {
	h, busy := v.hires.find(l.ID)
	if h == nil {
		why := l.Why
		if why == "" {
			why = "its value is not in memory any more"
		}
		return v.revoke(ctx, nil, l, why)
	}
	if busy {
		return nil
	}
	why, err := v.over(ctx, h, standing)
	if err != nil {
		return err
	}
	if why == "" && v.hires.isDue(h, v.cfg.Now()) {
		if err = v.renew(ctx, h); backend.ReasonOf(err) == backend.Missing && err != nil {
			why = "the backend has ended it"
		}
	}
	if why == "" {
		return err
	}
	if !v.parted(h, why) {
		return err // the next round looks again
	}
	l = v.letGo(h)
	return v.revoke(ctx, h.by, l, why)
}

// part has no use begin with one any more, and says since when; false: a use of one
// that was to end for want of them has begun meanwhile.
func (h *hires) part(x *hire, why string, now time.Time) (time.Time, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x.parting.IsZero() && why == unused && now.Sub(x.used) < idle {
		return time.Time{}, false
	}
	if x.parting.IsZero() {
		x.parting, x.why = now, why
	}
	if h.now[x.at] == x {
		delete(h.now, x.at)
	}
	return x.parting, true
}

// good says whether a call of a child may begin with one.
func (h *hires) good(x *hire) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all[x.lease.ID] == x && x.parting.IsZero()
}

// of are a tenant's that are in memory: also those whose row was removed, or is refused.
func (h *hires) of(t ident.Tenant) (out []Lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range h.all {
		if x.at.tenant == t && x.value != nil {
			out = append(out, x.lease)
		}
	}
	return out
}

// find gives one that is in memory, and whether a question about it is under way.
func (h *hires) find(id string) (*hire, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.all[id]
	return x, x != nil && x.flight != nil
}

func (h *hires) isDue(x *hire, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return x.replaced.IsZero() && !x.due.IsZero() && !now.Before(x.due)
}

// over says why one is to end now, or "".
func (v *Vault) over(ctx context.Context, h *hire, standing Standing) (string, error) {
	now := v.cfg.Now()
	v.hires.mu.Lock()
	l, end, used, replaced, why := h.lease, h.end, h.used, h.replaced, h.why
	v.hires.mu.Unlock()
	switch {
	case why != "":
		return why, nil
	case !now.Before(end):
		return "it has come to its end", nil
	case !replaced.IsZero() && !now.Before(replaced.Add(linger)):
		return "another has taken its place", nil
	case now.Sub(used) >= idle:
		return unused, nil
	}
	s, err := v.open()
	if err != nil {
		return "", err
	}
	if _, e, _, err := s.find(l.Tenant, Ref{Name: l.Secret, Version: l.Version}); err != nil || e.head.ID != h.at.secret {
		return "its Secret's version is not to be used any more", nil //nolint:nilerr // whatever stands in the way of its use
	}
	return standing(ctx, l)
}

// letGo forgets one: no use begins with it, and no child has it any longer. It gives
// what is on record of it.
func (v *Vault) letGo(h *hire) Lease {
	l := v.drop(h)
	v.leave(h, true)
	return l
}

func (v *Vault) drop(h *hire) Lease {
	v.hires.mu.Lock()
	defer v.hires.mu.Unlock()
	delete(v.hires.all, h.lease.ID)
	if v.hires.now[h.at] == h {
		delete(v.hires.now, h.at)
	}
	v.outside.retire(h.value, v.cfg.Now())
	return h.lease
}

// renew asks for more time. Missing: there is no such lease any more.
func (v *Vault) renew(ctx context.Context, h *hire) error {
	v.hires.mu.Lock()
	holder, theirs := h.holder, h.theirs
	v.hires.mu.Unlock()
	asked, cancel := context.WithTimeout(ctx, asking)
	got, err := holder.Renew(asked, theirs)
	cancel()
	now := v.cfg.Now()
	v.hires.mu.Lock()
	switch {
	case err == nil && got.Lease.ID == theirs.ID && got.NotAfter.After(h.end):
		h.end, h.lease.Expires = got.NotAfter, got.NotAfter
		h.schedule(now)
	case err == nil, backend.ReasonOf(err) == backend.Wrong:
		h.due = time.Time{} // it has all the time that it gets; then the Run gets another
	default:
		h.due = now.Add(pause)
	}
	l := h.lease
	v.hires.mu.Unlock()
	if r := backend.ReasonOf(err); err == nil || r != backend.Missing && r != backend.Wrong { // those are about the lease
		v.hearOf(h, err)
	}
	if err != nil {
		v.cfg.Log.WarnContext(ctx, "a Run's credential was not renewed", slog.String("lease", l.ID), slog.String("secret", l.Secret), slog.String("run", l.Run), slog.String("why", err.Error()))
		return err
	}
	return v.hires.kept().ProlongLease(ctx, l)
}

// forget lets go of failures that keep nobody from asking any more.
func (h *hires) forget(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for at, w := range h.wait {
		if now.After(w.until) {
			delete(h.wait, at)
		}
	}
	for k, w := range h.shut {
		if now.After(w.until.Add(maxPause)) {
			delete(h.shut, k)
		}
	}
	for at, all := range h.swaps {
		if all = recent(all, now); len(all) == 0 {
			delete(h.swaps, at)
		} else {
			h.swaps[at] = all
		}
	}
}

// dropHires forgets all values: the vault is sealed. What is on record is revoked when
// it is unsealed.
func (v *Vault) dropHires() {
	v.hires.mu.Lock()
	defer v.hires.mu.Unlock()
	for _, h := range v.hires.all {
		v.outside.retire(h.value, v.cfg.Now())
	}
	clear(v.hires.all)
	clear(v.hires.now)
}
