package app

import (
	"context"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/ident"
)

// AuditStatus says where a tenant's log is, and what witnesses and anchors have of it.
func (a *App) AuditStatus(ctx context.Context, t ident.Tenant) (api.AuditStatus, error) {
	head, err := a.store.Audit().Head(ctx, t)
	if err != nil {
		return api.AuditStatus{}, err
	}
	next, err := a.seq.NextKey(t, head)
	if err != nil {
		return api.AuditStatus{}, err
	}
	out := api.AuditStatus{Size: head.Size, Verifier: head.Verifier, Generation: head.Generation, NextVerifier: next, Outside: []api.Outside{}}
	return out, nil
}

// RotateAuditKey goes on with the next key of the caller's log.
func (a *App) RotateAuditKey(ctx context.Context, who ident.Principal, why string) (api.AuditKey, error) {
	why = a.clean(who.Tenant, why)
	index, err := a.store.RotateAuditKey(ctx, audit.Event{Tenant: who.Tenant, At: a.now(), Actor: who.String(), Fields: map[string]any{"why": audit.Short(why)}})
	if err != nil {
		return api.AuditKey{}, err
	}
	head, err := a.store.Audit().Head(ctx, who.Tenant)
	return api.AuditKey{Index: index, Verifier: head.Verifier}, err
}
