package app

import (
	"context"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// EraseRun takes away the bodies of a Run, because somebody asks for it; see
// sqlite.EraseBodies.
func (a *App) EraseRun(ctx context.Context, who ident.Principal, run, why string) (int64, error) {
	why, err := a.reason(who.Tenant, why)
	if err != nil {
		return 0, err
	}
	return a.store.EraseBodies(ctx, who.Tenant, run, a.now(), a.erased(who.Tenant, who.String(), run, "request", why))
}

func (a *App) erased(t ident.Tenant, actor, run, kind, why string) audit.Event {
	return audit.Event{Type: audit.BodiesErased, Tenant: t, At: a.now(), Actor: actor, Run: run, Fields: map[string]any{"kind": kind, "why": why}}
}

// reason is what a person gives, for the record.
func (a *App) reason(t ident.Tenant, why string) (string, error) {
	why = audit.Short(a.clean(t, why))
	if strings.TrimSpace(why) == "" {
		return "", fault.New(fault.Invalid, "the reason is missing").WithHint("it is on the record")
	}
	return why, nil
}

// Holds lists legal holds, the oldest first.
func (a *App) Holds(ctx context.Context, t ident.Tenant) ([]intent.Hold, error) {
	return a.store.Holds(ctx, t)
}

// SetHold keeps the bodies of a Run, a Mission's Runs, or what was done to a record.
func (a *App) SetHold(ctx context.Context, who ident.Principal, kind intent.HoldKind, name, why string) (intent.Hold, error) {
	var none intent.Hold
	why, err := a.reason(who.Tenant, why)
	if err != nil {
		return none, err
	}
	if err := holdable(kind, name); err != nil {
		return none, err
	}
	if clean := a.clean(who.Tenant, name); clean != name {
		return none, fault.New(fault.Denied, "the name holds a known secret")
	}
	h := intent.Hold{Tenant: who.Tenant, Kind: kind, Name: name, Since: a.now(), By: who.ID, Reason: why}
	return h, a.store.SetHold(ctx, h, audit.Event{Type: audit.HoldSet, Tenant: who.Tenant, At: h.Since, Actor: who.String(),
		Fields: map[string]any{"kind": kind, "name": name, "why": why}})
}

// LiftHold lets them be erased again.
func (a *App) LiftHold(ctx context.Context, who ident.Principal, kind intent.HoldKind, name, why string) error {
	why, err := a.reason(who.Tenant, why)
	if err != nil {
		return err
	}
	if err := holdable(kind, name); err != nil {
		return err
	}
	return a.store.LiftHold(ctx, who.Tenant, kind, name, audit.Event{Type: audit.HoldLifted, Tenant: who.Tenant, At: a.now(), Actor: who.String(),
		Fields: map[string]any{"kind": kind, "name": a.clean(who.Tenant, name), "why": why}})
}

func holdable(kind intent.HoldKind, name string) error {
	if kind != intent.HoldRun && kind != intent.HoldMission && kind != intent.HoldRecord {
		return fault.New(fault.Invalid, "a hold is on a run, a mission or a record")
	}
	if name == "" || len(name) > 200 || audit.Short(name) != name {
		return fault.New(fault.Invalid, "that is no name of a Run, a Mission or a record")
	}
	return nil
}

// retainEvery is how often old bodies are looked for.
const retainEvery = time.Hour

// retain erases the bodies of Runs that ended long enough ago. What is held, or has an
// action that is still open, is passed over.
func (a *App) retain(ctx context.Context) {
	if a.cfg.Audit.KeepBodies == 0 {
		return
	}
	every(ctx, retainEvery, func() {
		a.round(ctx, "old bodies can't be erased", func() error { return a.eraseOld(ctx) })
	})
}

func (a *App) eraseOld(ctx context.Context) error {
	before, after := a.now().Add(-a.cfg.Audit.KeepBodies), time.Time{}
	for {
		ids, ended, err := a.store.Erasable(ctx, a.cfg.Tenant, before, after, 100)
		if err != nil || len(ids) == 0 {
			return err
		}
		for i, id := range ids {
			_, err := a.store.EraseBodies(ctx, a.cfg.Tenant, id, a.now(), a.erased(a.cfg.Tenant, "system:retention", id, "retention", ""))
			if err != nil && !fault.Is(err, fault.Conflict) {
				return err
			}
			after = ended[i]
		}
	}
}
