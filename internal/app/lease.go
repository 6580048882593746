package app

import (
	"context"
	"log/slog"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault"
)

// tendEvery is how often the credentials of Runs are looked at, when nobody says that
// a Run has ended.
const tendEvery = 5 * time.Second

// endings is the store as the gate has it: what ends or stops a Run has the Run's
// credentials looked at. It is only quicker by that; what has become of Runs is asked
// of the store in each round.
type endings struct {
	*sqlite.Store
	kick chan struct{}
}

// EndRun ends a Run.
func (e endings) EndRun(ctx context.Context, t ident.Tenant, id, verdict, summary string, at time.Time, ev audit.Event, o explain.Observation) error {
	defer e.look()
	return e.Store.EndRun(ctx, t, id, verdict, summary, at, ev, o)
}

// SetStop throws the kill switch.
func (e endings) SetStop(ctx context.Context, s intent.Stop, ev audit.Event, o []explain.Observation) (intent.Stop, error) {
	defer e.look()
	return e.Store.SetStop(ctx, s, ev, o)
}

func (e endings) look() {
	select {
	case e.kick <- struct{}{}:
	default: // it is known already
	}
}

// tendLeases renews and revokes what Runs hold.
func (a *App) tendLeases(ctx context.Context) {
	t := time.NewTicker(tendEvery)
	defer t.Stop()
	for {
		a.round(ctx, "the credentials of Runs can't be tended", func() error {
			err := a.Vault.TendLeases(ctx, a.standing)
			if fault.KindOf(err) == fault.Unavailable {
				return nil // sealed, or the store waits: it goes on by itself
			}
			return err
		})
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-a.endings.kick:
		}
	}
}

// endLeases revokes what Runs hold, when the server stops. What it can't do in time,
// the next start does.
func (a *App) endLeases(ctx context.Context) {
	if err := a.Vault.EndLeases(ctx); err != nil {
		a.log.WarnContext(ctx, "credentials of Runs could not be revoked at the end; the next start does it", slog.Any("kind", fault.KindOf(err)))
	}
}

// standing says why a Run's credentials are to end now, or "": the Run has ended, or a
// person has stopped it or its Mission. A stop of a Connection ends nothing here: the
// Secret may be another's too, and no door of the Connection is opened.
func (a *App) standing(ctx context.Context, l vault.Lease) (string, error) {
	r, err := a.store.Run(ctx, l.Tenant, l.Run)
	switch {
	case fault.Is(err, fault.NotFound), fault.Is(err, fault.Denied):
		return "its Run is not on record", nil
	case err != nil:
		return "", err
	case r.State == intent.RunEnded:
		return "its Run has ended", nil
	}
	stops, err := a.store.Stops(ctx, l.Tenant)
	if err != nil {
		return "", err
	}
	for _, s := range stops {
		if s.Holds(r.ID, r.Mission, "") {
			return "its Run was stopped", nil
		}
	}
	return "", nil
}
