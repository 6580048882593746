package sqlite

import (
	"context"
	"crypto/rand"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// theKey is the id of the one row that a tenant has.
const theKey = "current"

// RecordNonce is what a tenant's private records' names are hashed with, besides a key
// of the vault's; it is made at the first use. A row that was changed, removed or put
// back is Denied: with another nonce nothing would be found, and nobody be told.
func (s *Store) RecordNonce(ctx context.Context, tenant ident.Tenant) (nonce string, err error) {
	err = s.read(ctx, func(r *reader) error {
		x, err := r.byKey(tbRecordKey, tenant, theKey)
		if err == nil {
			nonce = x.text("nonce")
		}
		return err
	})
	if !fault.Is(err, fault.NotFound) {
		return nonce, err
	}
	err = s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbRecordKey, tenant, theKey)
		if err == nil { // somebody was faster
			nonce = x.text("nonce")
			return nil
		}
		if !fault.Is(err, fault.NotFound) {
			return err
		}
		nonce, err = t.newRecordNonce(tenant, audit.Event{Tenant: tenant, At: s.guard.Now(), Actor: "system:store", Fields: map[string]any{"kind": "first"}})
		return err
	})
	return nonce, err
}

func (t *Tx) newRecordNonce(tenant ident.Tenant, ev audit.Event) (string, error) {
	nonce := rand.Text() + rand.Text()
	x, err := t.insert(tbRecordKey, cols{"tenant": tenant, "id": theKey, "nonce": nonce, "since": ev.At})
	if err != nil {
		return "", err
	}
	ev.Type = audit.RecordsKeyed
	return nonce, t.auditRow(ev, x, cols{"name": theKey})
}

// ForgetRecords destroys it and makes another one: nobody, with whatever keys, finds
// out any more which private record an entry of before is about. Conflict: a legal
// hold is on one.
func (s *Store) ForgetRecords(ctx context.Context, tenant ident.Tenant, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		holds, err := t.reader().holds(tenant)
		if err != nil {
			return err
		}
		for _, h := range holds {
			if audit.IsHiddenRecord(h.Name) {
				return fault.Newf(fault.Conflict, "a legal hold on the record %s needs it", fault.Quote(h.Name)).WithHint("an admin lifts it: sallyport hold lift")
			}
		}
		x, err := t.reader().byKey(tbRecordKey, tenant, theKey)
		switch {
		case err == nil:
			if err := t.remove(x); err != nil {
				return err
			}
		case !fault.Is(err, fault.NotFound):
			return err
		}
		*t.shred = true
		_, err = t.newRecordNonce(tenant, ev)
		return err
	})
}
