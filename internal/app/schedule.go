package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/robfig/cron/v3"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// scheduleEvery is how often schedules are looked at; a minute is a cron
// expression's grain.
const scheduleEvery = 10 * time.Second

// schedules starts Runs when they are due.
func (a *App) schedules(ctx context.Context) {
	every(ctx, scheduleEvery, func() {
		a.startDue(ctx)
	})
}

func (a *App) startDue(ctx context.Context) {
	w, err := a.World(a.cfg.Tenant)
	if err != nil {
		return
	}
	for _, r := range w.Catalog.Resources() {
		m, ok := r.(*resource.Mission)
		if !ok {
			continue
		}
		for _, s := range m.Schedule {
			err := crash.Try(ctx, a.log, func() error { return a.startScheduled(ctx, m, s) })
			if _, stopped := errors.AsType[*intent.Stopped](err); stopped {
				continue // it is started when that is lifted: once, however many times were missed
			}
			if err != nil && ctx.Err() == nil {
				a.log.ErrorContext(ctx, "a scheduled Run could not be started", slog.String("mission", m.Name), slog.Any("kind", fault.KindOf(err)), slog.Any("error", err))
			}
		}
	}
}

// startScheduled starts one Run when the schedule's next time is past. Times
// that were missed while the server was down make one Run together. The start's
// key is the scheduled time, so that a crash between start and mark, or two
// servers, still make one.
func (a *App) startScheduled(ctx context.Context, m *resource.Mission, s resource.Schedule) error {
	spec, err := cron.ParseStandard(s.Cron)
	if err != nil {
		return fault.Wrap(fault.Invalid, "reading the schedule", err)
	}
	now := a.now().UTC()
	last, err := a.store.ScheduleMark(ctx, a.cfg.Tenant, m.Name, s.Cron)
	if fault.Is(err, fault.NotFound) {
		return a.store.MarkSchedule(ctx, a.cfg.Tenant, m.Name, s.Cron, now)
	}
	if err != nil {
		return err
	}
	due := spec.Next(last.UTC())
	if due.IsZero() || due.After(now) { // zero: a date that never comes
		return nil
	}
	for next := spec.Next(due); !next.IsZero() && !next.After(now); next = spec.Next(due) {
		due = next
	}
	input, err := json.Marshal(s.Input)
	if err != nil {
		return fault.Wrap(fault.Invalid, "encoding the schedule's input", err)
	}
	if s.Input == nil {
		input = nil
	}
	who := ident.Principal{Tenant: a.cfg.Tenant, Kind: ident.System, ID: "schedule", Name: "the schedule " + s.Cron}
	if _, err := a.Gate.StartRun(ctx, who, gate.Start{
		Mission: m.Name, Input: input, Via: "schedule", Key: "schedule:" + s.Cron + ":" + due.Format(time.RFC3339),
	}); err != nil {
		return err
	}
	return a.store.MarkSchedule(ctx, a.cfg.Tenant, m.Name, s.Cron, due)
}
