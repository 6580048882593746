package vault

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/plain"
)

// hire asks for a credential, or asks whether one is good that its system has refused.
func (v *Vault) hire(ctx context.Context, h, old *hire, p *Pointer) error {
	if h == old {
		return v.confirm(ctx, h)
	}
	err := v.make(ctx, h, p)
	if err != nil {
		v.cfg.Log.WarnContext(ctx, "a backend does not make a credential for a Run now", slog.String("tenant", string(h.at.tenant)), slog.String("secret", h.lease.Secret),
			slog.String("run", h.at.run), slog.String("path", p.Path), slog.String("why", err.Error()), slog.String("hint", fault.HintOf(err)))
	}
	return err
}

// Who has a system answer 401 wears out no backend: it is asked about a credential
// once in lookRest, and makes maxSwaps others for a Run within swapTime.
const (
	lookRest = 3 * time.Second
	maxSwaps = 5
	swapTime = 10 * time.Minute
)

// confirm asks the backend about one that its system has refused. Where the lease has
// ended it is let go of, and whoever waits asks for another.
func (v *Vault) confirm(ctx context.Context, h *hire) error {
	asked, cancel := context.WithTimeout(ctx, asking)
	err := h.holder.Look(asked, h.theirs)
	cancel()
	v.hires.mu.Lock()
	defer v.hires.mu.Unlock()
	now := v.cfg.Now()
	h.doubted, h.looked = false, now
	switch {
	case err == nil:
	case backend.ReasonOf(err) == backend.Missing:
		h.end = now
		v.hires.swap(h.at, now)
	default:
		v.cfg.Log.WarnContext(ctx, "a backend can't say whether a Run's credential that was refused is good", slog.String("lease", h.lease.ID),
			slog.String("secret", h.lease.Secret), slog.String("run", h.lease.Run), slog.String("why", err.Error()))
	}
	return nil
}

// swap notes that a Run's credential has ended before its time. The lock is held.
func (h *hires) swap(at place, now time.Time) {
	if h.swaps == nil {
		h.swaps = map[place][]time.Time{}
	}
	h.swaps[at] = append(recent(h.swaps[at], now), now)
	if n := len(h.swaps[at]); n > maxSwaps {
		h.wait[at] = &hireError{backend.Fail(backend.Wrong, "the Run's credentials end before their time again and again"), h.swaps[at][n-maxSwaps].Add(swapTime)}
	}
}

// recent are those within swapTime.
func recent(all []time.Time, now time.Time) []time.Time {
	return slices.DeleteFunc(all, func(t time.Time) bool { return !now.Before(t.Add(swapTime)) })
}

// make makes a credential. Before the backend is asked for it, it is on record by what
// it can be ended; and before it is used, it is on record whole, and scrubbed for.
func (v *Vault) make(ctx context.Context, h *hire, p *Pointer) error {
	store := v.hires.kept()
	if err := v.room(ctx, h); err != nil {
		return err
	}
	holder, err := engage(ctx, h.by, h.lease.ID)
	if err != nil {
		v.hearOf(h, err)
		return v.failed(p, err)
	}
	l := h.lease
	if l.Handle, l.Expires = holder.Handle(); len(l.Handle) > maxTheirs {
		return fault.New(fault.Internal, "the backend's handle is too long")
	}
	if err := store.SaveLease(ctx, l, l.event(audit.LeaseAsked, l.Issued, string(l.State), "")); err != nil {
		_ = v.revoke(ctx, h.by, l, "it is not on record")
		return fault.Wrap(fault.KindOf(err), "recording that a credential is asked for", err)
	}
	asked, cancel := context.WithTimeout(ctx, asking)
	got, err := holder.Make(asked, p.ask())
	cancel()
	defer got.Wipe()
	if got.Lease.ID != "" {
		l.Lease, l.Digest = got.Lease.ID, leaseDigest(got.Lease.ID)
	}
	if err == nil {
		err = v.takeUp(ctx, h, holder, l, p, got)
	}
	v.hearOf(h, err)
	if err != nil { // whatever it has made is ended again; what can't be is on record
		_ = v.revoke(ctx, h.by, l, "it could not be used")
		return v.failed(p, err)
	}
	return nil
}

// hearOf notes what a backend answered about a Run's credential. What else stood in the
// way, as a store that can't be written, says nothing of the backend.
func (v *Vault) hearOf(h *hire, err error) {
	if _, theirs := errors.AsType[*backend.Error](err); err == nil || theirs {
		v.outside.hear(hearer{h.at.tenant, h.lease.Backend}, err, v.cfg.Now())
	}
}

// engage has a deadline of its own.
func engage(ctx context.Context, by backend.Lessor, name string) (backend.Holder, error) {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	return by.Engage(ctx, name)
}

// takeUp makes an answer what the Run's uses get.
func (v *Vault) takeUp(ctx context.Context, h *hire, holder backend.Holder, l Lease, p *Pointer, got backend.Answer) error {
	theirs, end := got.Lease, got.NotAfter
	if theirs.ID == "" || len(theirs.ID) > maxPathLease || theirs.For <= 0 || end.IsZero() {
		return backend.Fail(backend.Wrong, "what was made has no lease that ends")
	}
	got.Lease = backend.Lease{}
	answer, err := v.accept(h.at.tenant, p, got)
	if err != nil {
		answer.wipe()
		return err
	}
	val, err := v.keepNew(h.at, l.Secret, answer)
	if err != nil {
		return err
	}
	now := v.cfg.Now()
	l.State, l.Expires = LeaseLive, end
	if err := v.hires.kept().SaveLease(ctx, l, l.event(audit.LeaseMade, now, string(l.State), "")); err != nil {
		v.outside.retire(val, now)
		return err
	}
	v.hires.mu.Lock()
	defer v.hires.mu.Unlock()
	h.lease, h.holder, h.theirs, h.value, h.end, h.used = l, holder, theirs, val, end, now
	if h.schedule(now); v.hires.all[l.ID] != h {
		v.outside.retire(val, now) // the vault was sealed meanwhile
		return errSealed
	}
	return nil
}

// maxPathLease bounds a backend's id of a lease.
const maxPathLease = 512

// schedule says when it is to be renewed: when two thirds of what it lives are over.
func (h *hire) schedule(now time.Time) {
	h.due = time.Time{}
	if h.theirs.Renewable {
		h.due = now.Add(h.end.Sub(now) * 2 / 3)
	}
}

// keepNew is keep for a value that nobody else may have: one that is known already was
// given to somebody before.
func (v *Vault) keepNew(at place, name string, got answer) (*value, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.outside.has(got.fields) {
		got.wipe()
		return nil, backend.Fail(backend.Wrong, "the value was given to another Run before")
	}
	packed := pack(got.fields)
	got.wipe()
	return v.adopt(at, name, packed)
}

// has reports whether what is secret in a value is that of another: one field that is so
// by its name, or all fields that are no user's name. What engines say of a database
// besides (where it is, its certificate) is the same for all.
func (o *outside) has(fields map[string][]byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, val := range o.values {
		known, err := unpack(val.packed)
		if err != nil {
			continue
		}
		same, others := 0, 0
		for name, b := range fields {
			if public(name) {
				continue
			}
			found := false
			for other, k := range known {
				found = found || !public(other) && bytes.Equal(b, plain.Bytes(k))
			}
			switch {
			case !found:
				others++
			case own[name]:
				return true
			default:
				same++
			}
		}
		if same > 0 && others == 0 {
			return true
		}
	}
	return false
}

// own are fields that no two Runs have in common.
var own = map[string]bool{defaultField: true, "password": true, "secret_key": true, "private_key": true, "session_token": true, "security_token": true, "api_key": true}
