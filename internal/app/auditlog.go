package app

import (
	"context"
	"time"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/audit/outside"
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
	cosigned, err := a.store.Audit().Cosigned(ctx, t)
	if err != nil {
		return api.AuditStatus{}, err
	}
	out := api.AuditStatus{Size: head.Size, Verifier: head.Verifier, Generation: head.Generation, NextVerifier: next, Outside: []api.Outside{}}
	out.CosignedSize = audit.SizeOf(cosigned)
	out.Quorum = a.notes.Quorum()
	for _, s := range a.notes.Status() {
		out.Outside = append(out.Outside, api.Outside{Kind: s.Kind, Name: s.Name, State: s.State, Size: s.Size, Since: s.Since, Why: s.Why})
	}
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

// AuditConfig says where the audit log's checkpoints go. Nothing is needed.
type AuditConfig struct {
	Origin    string // begins the name of a log that begins; "" is audit.DefaultHost
	Witnesses []*outside.Witness
	Quorum    int
	Visit     time.Duration // how often witnesses are visited; 0 is a default
	Sinks     []outside.Sink
	Every     time.Duration // how often anchors get a checkpoint; 0 is a default
	Entries   int64         // or after how many entries; 0: never
}

// Where nothing else is configured.
const (
	visitEvery  = 15 * time.Second
	anchorEvery = 5 * time.Minute
)

// outside makes what carries checkpoints out.
func (a *App) outside() (*outside.Keeper, error) {
	c := a.cfg.Audit
	if c.Every == 0 {
		c.Every = anchorEvery
	}
	return outside.New(outside.Config{Tenant: a.cfg.Tenant, Store: a.store, Witnesses: c.Witnesses, Quorum: c.Quorum,
		Sinks: c.Sinks, Every: c.Every, Entries: c.Entries, Now: a.now, Log: a.log})
}

// carryOut visits witnesses and anchors as long as the server runs.
func (a *App) carryOut(ctx context.Context) {
	c := a.cfg.Audit
	if len(c.Witnesses)+len(c.Sinks) == 0 {
		return
	}
	every := c.Visit
	if every == 0 {
		every = visitEvery
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		a.round(ctx, "the audit log's checkpoints can't be carried out", func() error { return a.notes.Round(ctx) })
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
