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
)

// tendEvery is how often the credentials of Runs are looked at, when nobody says that
// a Run has ended.
const tendEvery = 5 * time.Second

// endings is the store as the gate has it: what ends a Run, or stops something, has the
// credentials of Runs looked at when it is durable; so has what is applied, and a change
// of a Secret. It is only quicker by that: each round asks anew what has become of all
// of them, and after a crash all that is on record is revoked.
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
			err := a.Vault.TendLeases(ctx, a.Gate.Standing)
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
