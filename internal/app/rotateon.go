package app

import (
	"context"
	"log/slog"
	"time"

	"sallyport.dev/internal/vault"
)

// maxThere is how many changes at backends wait for a look at the policies. What is
// beyond is dropped: a rotation is begun once an hour.
const maxThere = 64

// restThere is the least time between two looks at the policies: who writes what is
// watched can do so as often as it likes.
const restThere = time.Second

// changedThere takes note that something has changed at a backend.
func (a *App) changedThere(s vault.Spot) {
	select {
	case a.turning.there <- s:
	default:
	}
}

// rotateOnChange has the vault watch what policies name, and begins their rotations.
// What changes while the server is off, or a watch is lost, begins none.
func (a *App) rotateOnChange(ctx context.Context) {
	t := time.NewTicker(rotateEvery)
	defer t.Stop()
	for {
		var changed []vault.Spot
		for more := true; more; {
			select {
			case s := <-a.turning.there:
				changed = append(changed, s)
			default:
				more = false
			}
		}
		a.round(ctx, "rotations can't be begun by changes at backends", func() error { return a.rotateOn(ctx, changed) })
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case s := <-a.turning.there:
			a.changedThere(s)
			rest := time.NewTimer(restThere)
			select {
			case <-ctx.Done():
			case <-rest.C:
			}
			rest.Stop()
		}
	}
}

// rotateOn begins the rotations of policies that name what has changed.
func (a *App) rotateOn(ctx context.Context, changed []vault.Spot) error {
	policies, err := a.store.RotationPolicies(ctx, a.cfg.Tenant)
	if err != nil {
		return err
	}
	var spots []vault.Spot
	for _, p := range policies {
		if p.Spec.On == nil || a.Vault.Watchable(a.cfg.Tenant, p.Spec.On.Backend, p.Spec.On.Path) != nil {
			continue // the server's file may say otherwise than when the policy was set
		}
		at := vault.Spot{Backend: p.Spec.On.Backend, Path: p.Spec.On.Path}
		spots = append(spots, at)
		for _, c := range changed {
			if c != at {
				continue
			}
			// Why it begins none is logged there; an error says that it could later, and
			// a change does not come again.
			if begun, err := a.Rotation.Event(ctx, p); begun && err == nil {
				a.log.InfoContext(ctx, "a change at a backend begins a rotation", slog.String("secretName", p.Secret), slog.String("backend", c.Backend), slog.String("path", c.Path))
				a.Rotated()
			}
		}
	}
	a.Vault.WatchAlso(a.cfg.Tenant, spots)
	return nil
}
