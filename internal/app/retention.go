package app

import (
	"context"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
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

// retain erases the bodies of Runs that ended long enough ago, by the server's setting
// or by their Mission's. What is held, or has an action that is still open, is passed
// over.
func (a *App) retain(ctx context.Context) {
	every(ctx, retainEvery, func() {
		a.round(ctx, "old bodies can't be erased", func() error { return a.eraseOld(ctx) })
	})
}

func (a *App) eraseOld(ctx context.Context) error {
	ev := func(run string) audit.Event {
		return a.erased(a.cfg.Tenant, "system:retention", run, "retention", "")
	}
	if keep := a.cfg.Audit.KeepBodies; keep > 0 {
		if _, err := a.eraseBefore(ctx, a.cfg.Tenant, "", a.now().Add(-keep), ev); err != nil {
			return err
		}
	}
	w, err := a.World(a.cfg.Tenant)
	if err != nil {
		return nil //nolint:nilerr // sealed, or what is stored is refused, which others say: no Mission's setting is known
	}
	for _, r := range w.Catalog.Resources() {
		m, ok := r.(*resource.Mission)
		if !ok || m.Retention.Days == 0 {
			continue
		}
		if _, err := a.eraseBefore(ctx, a.cfg.Tenant, m.Name, a.now().Add(-time.Duration(m.Retention.Days)*24*time.Hour), ev); err != nil {
			return err
		}
	}
	return nil
}

// eraseBefore erases what Runs said that ended before a time, of one Mission or all.
// It gives how many there were.
func (a *App) eraseBefore(ctx context.Context, t ident.Tenant, mission string, before time.Time, ev func(run string) audit.Event) (n int64, err error) {
	after := time.Time{}
	for {
		ids, ended, err := a.store.Erasable(ctx, t, mission, before, after, 100)
		if err != nil || len(ids) == 0 {
			return n, err
		}
		for i, id := range ids {
			_, err := a.store.EraseBodies(ctx, t, id, a.now(), ev(id))
			if err != nil && !fault.Is(err, fault.Conflict) {
				return n, err
			}
			if err == nil {
				n++
			}
			after = ended[i]
		}
	}
}
