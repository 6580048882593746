package app

import (
	"context"
	"crypto/fips140"
	"log/slog"

	"sallyport.dev/internal/fault"
)

// fipsMode is the process's FIPS 140-3 mode in the words of GODEBUG: "off", "on"
// or "only".
func fipsMode() string {
	switch {
	case fips140.Enforced():
		return "only"
	case fips140.Enabled():
		return "on"
	}
	return "off"
}

// warnOutdated names the accounts that can't sign in in this mode. The sign-in
// itself says nothing of it, since it has one answer for everybody.
func (a *App) warnOutdated(ctx context.Context) {
	names, err := a.Directory.Outdated(ctx, a.cfg.Tenant)
	if err != nil {
		a.log.WarnContext(ctx, "accounts made outside FIPS 140 mode can't be listed", slog.Any("kind", fault.KindOf(err)))
		return
	}
	if len(names) > 0 {
		a.log.WarnContext(ctx, "accounts made outside FIPS 140 mode can't sign in; start once with GODEBUG=fips140=on and have an admin reset them",
			slog.Any("accounts", names))
	}
}
