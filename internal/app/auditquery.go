package app

import (
	"context"
	"encoding/hex"
	"strings"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

// QueryAudit asks a tenant's log who used what for what. A person may be named by the
// name of their account. NotFound: there is no such account.
func (a *App) QueryAudit(ctx context.Context, t ident.Tenant, q audit.Query) (audit.Answer, error) {
	if q.Person != "" && !strings.HasPrefix(q.Person, "acc_") {
		acc, err := a.Directory.AccountNamed(ctx, t, q.Person)
		if fault.Is(err, fault.NotFound) {
			return audit.Answer{}, fault.New(fault.NotFound, "there is no account of that name").WithHint("name it as it signs in, or by its id: acc_...")
		}
		if err != nil {
			return audit.Answer{}, err
		}
		q.Person = acc.ID
	}
	if q.Record != "" {
		hash, err := a.recordKey(ctx, t, q.Record)
		if err != nil {
			return audit.Answer{}, err
		}
		q.HiddenRecord = hash
	}
	x, ok := a.store.Audit().(audit.Index)
	if !ok {
		return audit.Answer{}, fault.New(fault.Internal, "the store can't search the audit log")
	}
	return audit.Ask(ctx, x, t, q)
}

// ReindexAudit makes anew what a tenant's log is searched by.
func (a *App) ReindexAudit(ctx context.Context, t ident.Tenant) error {
	return a.store.ReindexAudit(ctx, t)
}

// recordKey is the keyed hash that stands for a private record's name.
// It is made with a nonce of the tenant's, so that it can be destroyed alone.
func (a *App) recordKey(ctx context.Context, t ident.Tenant, name string) (string, error) {
	nonce, err := a.store.RecordNonce(ctx, t)
	if err != nil {
		return "", err
	}
	sum, err := a.Vault.MAC(vault.AuditValue, t, "record", nonce, name)
	return hex.EncodeToString(sum), err
}

// ForgetRecords makes it impossible to find out which private records the entries of
// before are about.
func (a *App) ForgetRecords(ctx context.Context, who ident.Principal, why string) error {
	why, err := a.reason(who.Tenant, why)
	if err != nil {
		return err
	}
	return a.store.ForgetRecords(ctx, who.Tenant, audit.Event{Tenant: who.Tenant, At: a.now(), Actor: who.String(), Fields: map[string]any{"kind": "forgotten", "why": why}})
}
