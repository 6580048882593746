package sqlite

import (
	"context"
	"fmt"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/passkey"
)

func passkeyOf(x *row) identity.PasskeyRow {
	return identity.PasskeyRow{Tenant: x.tenant(), Account: x.text("account"), Party: x.text("party"), Credential: x.blob("credential"),
		Key: x.blob("public_key"), Counter: uint32(x.number("counter")),
		Passkey: identity.Passkey{ID: x.text("id"), Name: x.text("name"), Algorithm: x.text("algorithm"), AAGUID: x.text("aaguid"), Synced: x.flag("synced"),
			CreatedAt: x.instant("created_at"), UsableAt: x.instant("usable_at"), UsedAt: x.instant("used_at")}}
}

// Passkeys lists an account's, the oldest first. All that are known are read: one
// that was changed or is hidden refuses the whole, and one that was put in is left
// out.
func (s *Store) Passkeys(ctx context.Context, tenant ident.Tenant, account string) (out []identity.PasskeyRow, err error) {
	err = s.read(ctx, func(r *reader) error {
		rows, err := r.passkeys(tenant, account)
		out = nil
		for _, x := range rows {
			out = append(out, passkeyOf(x))
		}
		return err
	})
	return out, err
}

func (r *reader) passkeys(tenant ident.Tenant, account string) ([]*row, error) {
	if _, err := r.live(tbPasskey, tenant, account); err != nil {
		return nil, err
	}
	return r.good(tbPasskey, "WHERE tenant = $1 AND account = $2 ORDER BY created_at, id", tenant, account)
}

// EnrolPasskey stores a new passkey and uses up what let it in; see
// identity.Passkeys.
func (s *Store) EnrolPasskey(ctx context.Context, n identity.NewPasskey, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		p := n.Row
		have, err := t.reader().passkeys(p.Tenant, p.Account)
		if err != nil {
			return err
		}
		if len(have) >= identity.MaxPasskeys {
			return fault.Newf(fault.Conflict, "an account has at most %d passkeys", identity.MaxPasskeys).WithHint("remove one that is not used any more")
		}
		for _, id := range []string{n.Pending, n.Link} {
			if err := t.spend(p.Tenant, id); err != nil {
				return err
			}
		}
		if n.By != nil {
			if err := t.countOn(*n.By); err != nil {
				return err
			}
		}
		x, err := t.insert(tbPasskey, cols{"tenant": p.Tenant, "id": p.ID, "account": p.Account, "name": p.Name, "party": p.Party, "credential": p.Credential,
			"public_key": p.Key, "algorithm": p.Algorithm, "aaguid": p.AAGUID, "synced": p.Synced, "counter": int64(p.Counter),
			"created_at": p.CreatedAt, "usable_at": p.UsableAt, "used_at": 0})
		if fault.Is(err, fault.Conflict) {
			return fault.New(fault.Conflict, "the passkey is enrolled already")
		}
		if err != nil {
			return err
		}
		return t.auditRow(ev, x, nil)
	})
}

// RemovePasskey forgets one; kind NotFound.
func (s *Store) RemovePasskey(ctx context.Context, tenant ident.Tenant, account, id string, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbPasskey, tenant, id)
		if err == nil && x.text("account") != account {
			err = fault.New(fault.NotFound, "the account has no such passkey")
		}
		if err != nil {
			return err
		}
		if err := t.remove(x); err != nil {
			return err
		}
		return t.Audit(ev)
	})
}

// forgetPasskeys removes all of an account whose owner begins anew: who was given
// its password and codes was given no passkey.
func (t *Tx) forgetPasskeys(tenant ident.Tenant, account, actor string, at time.Time) error {
	rows, err := t.reader().good(tbPasskey, "WHERE tenant = $1 AND account = $2 ORDER BY created_at, id", tenant, account)
	if err != nil {
		return err
	}
	for _, x := range rows {
		if err := t.remove(x); err != nil {
			return err
		}
		if err := t.Audit(identity.PasskeyRemoved(actor, passkeyOf(x), "the account was reset", at)); err != nil {
			return err
		}
	}
	for _, id := range t.reader().ids(tbPasskey, tenant, account) { // hidden, or refused: put back, they are worth nothing
		t.rows.change(id, nil)
	}
	return nil
}

// maxPending is how many challenges of an account are kept.
const maxPending = 8

// Pend stores what waits for a passkey; see identity.Pendings.
func (s *Store) Pend(ctx context.Context, p identity.Pending, ev *audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		old, err := t.reader().good(tbPending, "WHERE tenant = $1 AND account = $2 AND kind = $3 ORDER BY at DESC, id", p.Tenant, p.Account, p.Kind)
		if err != nil {
			return err
		}
		if err := t.removeAll(old[min(len(old), maxPending-1):]); err != nil {
			return err
		}
		if _, err := t.insert(tbPending, cols{"tenant": p.Tenant, "id": p.ID, "account": p.Account, "kind": p.Kind, "act": p.Act, "nonce": p.Nonce,
			"given_by": p.By, "at": p.At, "expires_at": p.ExpiresAt}); err != nil || ev == nil {
			return err
		}
		return t.Audit(*ev)
	})
}

// Pending reads one; kind NotFound.
func (s *Store) Pending(ctx context.Context, tenant ident.Tenant, id string) (identity.Pending, error) {
	return oneRow(ctx, s, func(x *row) (identity.Pending, error) {
		return identity.Pending{Tenant: x.tenant(), ID: x.text("id"), Account: x.text("account"), Kind: identity.PendingKind(x.text("kind")), Act: x.digest("act"),
			Nonce: x.blob("nonce"), By: x.text("given_by"), At: x.instant("at"), ExpiresAt: x.instant("expires_at")}, nil
	}, func(r *reader) (*row, error) { return r.byKey(tbPending, tenant, id) })
}

// spend uses up something that is pending: of two at the same time, the second
// finds it gone. "" is nothing.
func (t *Tx) spend(tenant ident.Tenant, id string) error {
	if id == "" {
		return nil
	}
	x, err := t.reader().byKey(tbPending, tenant, id)
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.Conflict, "the challenge or the link was used")
	}
	if err != nil {
		return err
	}
	return t.remove(x)
}

// countOn moves a passkey's count of signatures, which never goes back.
func (t *Tx) countOn(u identity.PasskeyUse) error {
	x, err := t.accountAt(u.Tenant, u.Account, u.Revision)
	if err != nil {
		return err
	}
	changed := fault.New(fault.Conflict, "the account or the passkey has changed in the meantime")
	if x.flag("disabled") {
		return changed
	}
	k, err := t.reader().byKey(tbPasskey, u.Tenant, u.Passkey)
	switch {
	case fault.Is(err, fault.NotFound):
		return changed
	case err != nil:
		return err
	case k.text("account") != u.Account, !passkey.Counts(uint32(k.number("counter")), u.Counter):
		return changed
	}
	return t.put(k, cols{"counter": int64(u.Counter), "used_at": u.At})
}

// UsePasskey stores what a good answer was for; see identity.Pendings.
func (s *Store) UsePasskey(ctx context.Context, u identity.PasskeyUse) error {
	return s.write(ctx, func(t *Tx) error {
		if err := t.spend(u.Tenant, u.Pending); err != nil {
			return err
		}
		if err := t.countOn(u); err != nil {
			return err
		}
		if _, err := t.Exec(`DELETE FROM attempt_count WHERE tenant = $1 AND key = $2`, u.Tenant, u.Attempts); err != nil {
			return err
		}
		return t.proofEffects(identity.Proof{Tenant: u.Tenant, Account: u.Account, Factor: u.Factor})
	})
}

// RefusePasskey uses a challenge up that was answered badly.
func (s *Store) RefusePasskey(ctx context.Context, tenant ident.Tenant, pending string, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		if err := t.spend(tenant, pending); err != nil && !fault.Is(err, fault.Conflict) {
			return fmt.Errorf("using up a challenge: %w", err)
		}
		return t.Audit(ev)
	})
}
