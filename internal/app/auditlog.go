package app

import (
	"context"
	"slices"
	"time"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/audit/export"
	"sallyport.dev/internal/audit/outside"
	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
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
	for _, x := range a.exports {
		s := x.Status()
		out.Outside = append(out.Outside, api.Outside{Kind: s.Kind, Name: s.Name, State: s.State, Size: s.Size, Since: s.Since, Why: s.Why, Lag: head.Size - s.Size})
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
	Exports   []export.Sink // that get every entry
	Webhooks  []AuditWebhook
	// KeepBodies is how long arguments, answers and transcripts are kept after the end
	// of a Run; 0: for ever.
	KeepBodies time.Duration
	// KeepLog is how long entries of the log are kept; 0: for ever.
	KeepLog time.Duration
}

// AuditWebhook is a receiver of entries.
type AuditWebhook struct {
	Hook    resource.Webhook
	Network resource.Network
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
	often := c.Visit
	if often == 0 {
		often = visitEvery
	}
	every(ctx, often, func() {
		a.round(ctx, "the audit log's checkpoints can't be carried out", func() error { return a.notes.Round(ctx) })
	})
}

// exportEvery is how often an export looks for new entries.
const exportEvery = time.Second

// exporters makes what carries entries out. Invalid: two sinks have one name, and so
// would have one position.
func (a *App) exporters() error {
	sinks := slices.Clone(a.cfg.Audit.Exports)
	for _, w := range a.cfg.Audit.Webhooks {
		sinks = append(sinks, export.Webhook{URL: w.Hook.URL, Post: func(ctx context.Context, id string, body []byte) error {
			return a.Notifier.Post(ctx, a.cfg.Tenant, w.Hook, w.Network, id, body)
		}})
	}
	seen := map[string]bool{}
	for _, s := range sinks {
		if seen[s.Kind()+s.Name()] {
			return fault.Newf(fault.Invalid, "the sink %s is there twice", fault.Quote(s.Name()))
		}
		seen[s.Kind()+s.Name()] = true
		a.exports = append(a.exports, &export.Exporter{Tenant: a.cfg.Tenant, Store: a.store, Sink: s, Now: a.now, Log: a.log})
	}
	return nil
}

// exportAll carries entries out as long as the server runs, each sink at its own
// pace: one that hangs keeps no other waiting.
func (a *App) exportAll(ctx context.Context) {
	var wg crash.Group
	for _, x := range a.exports {
		wg.Go(func() {
			every(ctx, exportEvery, func() {
				a.round(ctx, "the audit log's entries can't be exported", func() error { return x.Round(ctx) })
			})
		})
	}
	wg.Wait()
}
