package vault

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
)

const (
	// maxAgain bounds the time between two tries to revoke one.
	maxAgain = 5 * time.Minute
	// late is how long after its end one is held for ended by itself.
	late = time.Minute
)

// again is when a revocation is tried again.
type again struct {
	tries int
	at    time.Time
}

// revoke ends one at its backend, and on record. What can't be revoked is tried again
// until it has come to its end; the first time that is on the record.
func (v *Vault) revoke(ctx context.Context, by backend.Lessor, l Lease, why string) error {
	now := v.cfg.Now()
	if !v.hires.mayTry(l.ID, now) {
		return nil
	}
	var err error
	if by == nil {
		err = fault.Newf(fault.NotFound, "there is no backend %s any more that makes values", l.Backend)
		if by = v.cfg.Backends.Lessor(l.Backend); by != nil {
			err = nil
		}
	}
	if err == nil && l.Where != leaseDigest(by.Where()) {
		err = backend.Fail(backend.Wrong, "under the name "+l.Backend+" there is another server than the one that made it")
	}
	if err == nil {
		asked, cancel := context.WithTimeout(ctx, asking)
		if err = by.Revoke(asked, l.Handle, l.Lease); err != nil && asked.Err() != nil && ctx.Err() == nil {
			err = backend.Fail(backend.Behind, "the backend took too long to revoke it: the system behind it may be down")
		}
		cancel()
	}
	store := v.hires.kept()
	end := func(state string) error {
		v.hires.settled(l.ID)
		failed := store.EndLease(ctx, l, l.event(audit.LeaseRevoked, now, state, why))
		if fault.Is(failed, fault.NotFound) {
			return nil // it was never on record, or is no more
		}
		return failed
	}
	switch {
	case l.Handle == "" && l.Lease == "":
		return end("unknown") // if there is one, nobody can end it, and it lives until its lease ends
	case err == nil:
		return end("revoked")
	case !l.Expires.IsZero() && now.After(l.Expires.Add(late)):
		return end("expired")
	}
	v.hires.failed(l.ID, now)
	v.cfg.Log.WarnContext(ctx, "a Run's credential could not be revoked, and is tried again", slog.String("lease", l.ID), slog.String("secret", l.Secret),
		slog.String("run", l.Run), slog.String("why", err.Error()))
	if l.State == LeaseLeft {
		return err
	}
	l.State, l.Why = LeaseLeft, why
	return errors.Join(store.SaveLease(ctx, l, l.event(audit.LeaseLeft, now, string(l.State), why)), err)
}

func (h *hires) mayTry(id string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !now.Before(h.again[id].at)
}

func (h *hires) failed(id string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.again == nil {
		h.again = map[string]again{}
	}
	a := h.again[id]
	a.at = now.Add(min(time.Second<<min(a.tries, 20), maxAgain))
	a.tries++
	h.again[id] = a
}

func (h *hires) settled(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.again, id)
}

// EndLeases revokes all that are in memory: a server that stops has no use for them,
// and after a start nobody has. What it can't do, the next start does.
func (v *Vault) EndLeases(ctx context.Context) error {
	v.hires.mu.Lock()
	var all []*hire
	for _, h := range v.hires.all {
		if h.value != nil {
			all = append(all, h)
		}
	}
	v.hires.mu.Unlock()
	var errs []error
	shut := shuts{}
	for _, h := range all {
		l := v.letGo(h)
		if shut.holds(l) || ctx.Err() != nil {
			continue
		}
		err := v.revoke(ctx, h.by, l, "the server stops")
		shut.note(l, err)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
