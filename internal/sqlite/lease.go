package sqlite

import (
	"context"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

var _ vault.LeaseStore = (*Store)(nil)

func leaseOf(x *row) vault.Lease {
	return vault.Lease{Tenant: x.tenant(), ID: x.text("id"), Run: x.text("run"), Secret: x.text("secret"), Version: int(x.number("version")),
		Backend: x.text("backend"), Path: x.text("path"), Where: x.text("place"), Handle: x.text("handle"), Lease: x.text("lease"), Digest: x.text("digest"),
		State: vault.LeaseState(x.text("state")), Issued: x.instant("issued"), Expires: x.instant("expires"), Why: x.text("why")}
}

func leaseCols(l vault.Lease) cols {
	return cols{"tenant": l.Tenant, "id": l.ID, "run": l.Run, "secret": l.Secret, "version": l.Version, "backend": l.Backend, "path": l.Path, "place": l.Where,
		"handle": l.Handle, "lease": l.Lease, "digest": l.Digest, "state": l.State, "issued": l.Issued, "expires": l.Expires, "why": l.Why}
}

// Leases lists a tenant's. One that is refused is left out: what somebody else wrote
// says nothing about what is to be revoked.
func (s *Store) Leases(ctx context.Context, t ident.Tenant) (out []vault.Lease, err error) {
	err = s.read(ctx, func(r *reader) error {
		out = nil
		return r.known(tbLease, t, func(x *row) error {
			out = append(out, leaseOf(x))
			return nil
		})
	})
	return out, err
}

// SaveLease stores a new one, or one in place of what is stored.
func (s *Store) SaveLease(ctx context.Context, l vault.Lease, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbLease, l.Tenant, l.ID)
		switch {
		case fault.Is(err, fault.NotFound) && l.State == vault.LeaseAsked:
			x, err = t.insert(tbLease, leaseCols(l))
		case err == nil:
			err = t.put(x, leaseCols(l))
		}
		if err != nil {
			return err
		}
		return t.auditRow(ev, x, nil)
	})
}

// ProlongLease stores when one ends.
func (s *Store) ProlongLease(ctx context.Context, l vault.Lease) error {
	return s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbLease, l.Tenant, l.ID)
		if err != nil {
			return err
		}
		return t.put(x, cols{"expires": l.Expires})
	})
}

// EndLease forgets one; kind NotFound.
func (s *Store) EndLease(ctx context.Context, l vault.Lease, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbLease, l.Tenant, l.ID)
		if err != nil {
			return err
		}
		if err := t.remove(x); err != nil {
			return err
		}
		return t.Audit(ev)
	})
}
