package app

import (
	"context"
	"log/slog"
	"slices"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/vault"
)

// searched is how much of a tenant's recorded traffic a new Secret's value is
// looked for in, in bytes, the newest first.
const searched = 64 << 20

// recorded looks for a value that is to be stored; see vault.Config.
func (a *App) recorded(ctx context.Context, t ident.Tenant, contains func([]byte) bool) (vault.Trace, error) {
	found, err := a.store.Recorded(ctx, t, searched, contains)
	if err == nil && found.Partly {
		a.log.InfoContext(ctx, "a new value was looked for in the newest of what was recorded, and not in all of it",
			slog.String("tenant", string(t)), slog.Int("bytes", searched))
	}
	return found, err
}

// known names the tenant's Secrets that stand in texts; see decision.Config. A
// sealed vault can't tell one tenant's from another's.
func (a *App) known(t ident.Tenant, texts ...[]byte) ([]string, error) {
	set := a.Vault.Scrub(t)
	if a.Vault.Sealed() {
		return nil, fault.New(fault.Unavailable, "the vault is sealed, so nobody can say whether a Secret's value stands in the action")
	}
	var names []string
	for _, text := range texts {
		names = append(names, set.Contains(text)...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// altered opens an incident about a Decision that is held; see decision.Config.
func (a *App) altered(ctx context.Context, d decision.Decision, i intent.Intent, secrets []string) error {
	in := incident.New(incident.Altered, d.Tenant, "system:desk", "Decision "+d.ID, a.now()).Of(secrets)
	in.Run, in.Mission, in.Intent = d.Run, d.Mission, d.Intent
	in.Connection, in.Tool = a.clean(d.Tenant, i.Connection), a.clean(d.Tenant, i.Tool)
	_, err := a.store.Incident(ctx, in, audit.Event{Type: audit.IncidentOpened, Tenant: d.Tenant, At: in.At, Actor: in.Actor, Run: d.Run, Mission: d.Mission, Intent: d.Intent,
		Fields: map[string]any{"kind": in.Kind, "place": in.Place, "secret": in.Secret}}, explain.Observation{})
	return err
}

// holdAltered looks at all that waits in a tenant whose Secrets are others than at
// the last look: what a new one stands in is held, and on the record, also when
// nobody opens the queue. It is the sweep's alone.
func (a *App) holdAltered(ctx context.Context) error {
	tenants, err := a.store.Tenants(ctx)
	if err != nil {
		return err
	}
	for _, t := range tenants {
		set := a.Vault.Scrub(t)
		if a.looked[t] == set {
			continue
		}
		f, missed := decision.Filter{State: decision.Open, Limit: 200}, false
		for {
			items, err := a.Desk.Queue(ctx, t, f)
			if err != nil {
				return err
			}
			if len(items) == 0 {
				break
			}
			for _, it := range items {
				missed = missed || it.Decision.Refused == decision.Unrecorded
			}
			f.After = items[len(items)-1].Decision.ID
		}
		if missed { // it is looked at again with the next sweep
			return fault.New(fault.Unavailable, "a Decision that is held could not be recorded")
		}
		a.looked[t] = set
	}
	return nil
}
