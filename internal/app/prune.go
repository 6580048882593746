package app

import (
	"context"
	"log/slog"
	"time"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/sqlite"
)

// PruneAudit drops the beginning of the caller's log, because somebody asks for it.
// The whole log is verified first: what somebody altered is not made to vanish.
// Conflict: it does not verify.
func (a *App) PruneAudit(ctx context.Context, who ident.Principal, in api.PruneAudit) (out api.PrunedAudit, err error) {
	why, err := a.reason(who.Tenant, in.Why)
	if err != nil {
		return out, err
	}
	if in.Before.After(a.now()) {
		return out, fault.New(fault.Invalid, "that time has not come yet")
	}
	p := sqlite.Prune{Tenant: who.Tenant, Below: in.Below, Before: in.Before, Event: audit.Event{At: a.now(), Actor: who.String(), Fields: map[string]any{"kind": "request", "why": why}}}
	if in.Erase {
		if out.Erased, err = a.eraseBefore(ctx, who.Tenant, "", in.Before, func(run string) audit.Event { return a.erased(who.Tenant, who.String(), run, "request", why) }); err != nil {
			return out, err
		}
	}
	done, err := a.pruneAll(ctx, p)
	out.Minimum, out.Dropped, out.Stopped = done.Minimum, done.Dropped, done.Stopped
	return out, err
}

// pruneAll prunes as far as may be.
func (a *App) pruneAll(ctx context.Context, p sqlite.Prune) (out sqlite.PrunedTo, err error) {
	if !a.pruning.TryLock() {
		return out, fault.New(fault.Conflict, "the audit log is being pruned already").WithHint("try again when that has ended")
	}
	defer a.pruning.Unlock()
	if err := a.verified(ctx, p.Tenant); err != nil {
		return out, err
	}
	head, err := a.store.Audit().Head(ctx, p.Tenant)
	if err != nil {
		return out, err
	}
	if p.Below == 0 || p.Below > head.Size {
		p.Below = head.Size
	}
	waits, err := a.unread(ctx, &p)
	if err != nil {
		return out, err
	}
	for {
		p.Event.At = a.now()
		to, err := a.store.PruneAudit(ctx, p)
		if err != nil {
			return out, err
		}
		out.Minimum, out.Dropped, out.Stopped = to.Minimum, out.Dropped+to.Dropped, to.Stopped
		if to.Stopped != "" {
			if waits != "" && to.Minimum+audit.PruneUnit > p.Below {
				out.Stopped = waits
			}
			return out, nil
		}
	}
}

// unread bounds what is pruned by what every export has read.
func (a *App) unread(ctx context.Context, p *sqlite.Prune) (why string, err error) {
	if p.Tenant != a.cfg.Tenant {
		return "", nil
	}
	for _, x := range a.exports {
		next, err := x.Next(ctx)
		if err != nil {
			return "", err
		}
		if next < p.Below {
			s := x.Status()
			p.Below, why = next, "the export "+s.Kind+" "+fault.Quote(s.Name)+" has not read further"
		}
	}
	return why, nil
}

// verified refuses a log that does not verify.
func (a *App) verified(ctx context.Context, t ident.Tenant) error {
	rep, err := VerifyAudit(ctx, a.cfg.Dir, audit.VerifyOptions{})
	if err != nil {
		return err
	}
	for _, l := range rep.Logs {
		if l.Tenant == t && len(l.Findings) > 0 {
			return fault.Newf(fault.Conflict, "the audit log does not verify (%s), so nothing of it is pruned", l.Findings[0].Kind).WithHint("look at what was found: sallyport audit verify --data DIR")
		}
	}
	return nil
}

// pruneEvery is how often old entries are looked for.
const pruneEvery = 24 * time.Hour

// prune drops entries that are old enough.
func (a *App) prune(ctx context.Context) {
	if a.cfg.Audit.KeepLog == 0 {
		return
	}
	every(ctx, pruneEvery, func() {
		a.round(ctx, "the audit log can't be pruned", func() error { return a.pruneOld(ctx) })
	})
}

func (a *App) pruneOld(ctx context.Context) error {
	t, before := a.cfg.Tenant, a.now().Add(-a.cfg.Audit.KeepLog)
	last, err := audit.LastPruned(ctx, a.store.Audit(), t)
	if err != nil {
		return err
	}
	// Nothing is verified while a bundle has an entry that is too young.
	rows, err := a.store.Audit().List(ctx, t, audit.Filter{}, last.Minimum+audit.PruneUnit-1, 1)
	if err != nil || len(rows) == 0 || rows[0].At >= before.UnixMilli() {
		return err
	}
	to, err := a.pruneAll(ctx, sqlite.Prune{Tenant: t, Before: before, Event: audit.Event{Actor: "system:retention", Fields: map[string]any{"kind": "retention"}}})
	if err == nil {
		a.log.InfoContext(ctx, "old entries of the audit log were looked for", slog.Int64("dropped", to.Dropped), slog.Int64("minimum", to.Minimum), slog.String("stopped", to.Stopped))
	}
	return err
}
