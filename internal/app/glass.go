package app

import (
	"context"
	"log/slog"
	"strings"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/incident"
)

// glass says loudly that an admin approved in place of the Teams: in the log, and by
// an incident that stays open until somebody has looked into it. The audit log has it
// already, and Channels tell of that entry; so what fails here is one voice of three.
func (a *App) glass(ctx context.Context, d decision.Decision, v decision.Vote) {
	ctx = context.WithoutCancel(ctx) // who broke the glass does not silence it by leaving
	a.log.ErrorContext(ctx, "an admin breaks the glass", slog.String("decision", d.ID), slog.String("intent", d.Intent),
		slog.String("account", v.Account), slog.String("state", string(d.State)))
	in := incident.New(incident.BreakGlass, d.Tenant, "person:"+v.Account, "Decision "+d.ID, a.now())
	in.Run, in.Mission, in.Intent = d.Run, d.Mission, d.Intent
	if i, err := a.store.Intent(ctx, d.Tenant, d.Intent); err == nil {
		in.Connection, in.Tool = a.clean(d.Tenant, i.Connection), a.clean(d.Tenant, i.Tool)
	}
	if r, err := a.store.Run(ctx, d.Tenant, d.Run); err == nil {
		in.Worker = r.Worker
	}
	if _, err := a.store.Incident(ctx, in, audit.Event{Type: audit.IncidentOpened, Tenant: d.Tenant, At: in.At, Actor: in.Actor, Run: d.Run, Mission: d.Mission, Intent: d.Intent,
		Fields: map[string]any{"kind": in.Kind, "place": in.Place}}, explain.Observation{}); err != nil {
		a.log.ErrorContext(ctx, "the incident of a broken glass can't be opened", slog.String("decision", d.ID), slog.Any("kind", fault.KindOf(err)))
	}
}

// nameOf is what people call a person, by the principal; "" for every other.
func (a *App) nameOf(ctx context.Context, t ident.Tenant, principal string) string {
	id, person := strings.CutPrefix(principal, string(ident.Person)+":")
	if !person {
		return ""
	}
	acc, err := a.Directory.Account(ctx, t, id)
	if err != nil { // it is shown by its id then
		return ""
	}
	return acc.Name
}
