package app

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/engine/dbos"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/sqlite"
)

// How the outbox is worked off.
const (
	pumpBatch   = 256
	pumpIdle    = time.Second // between looks, when no commit says that there is something
	pumpSystems = 16          // calls of systems at once; one that hangs holds one of them for its timeout
	pumpRuns    = 4           // segments started at once
	pumpCeiling = time.Minute // between tries of one message
	pumpStopped = time.Minute // between looks at what a person has stopped; lifting it makes it due
	pumpTries   = 20          // before a failing message is an error in the log
	resumeEvery = time.Minute // between looks for Runs that nothing is at
)

// pump carries out what steps left in the outbox: at least once each, in no
// particular order, several at a time. Calls of systems have workers of their
// own, so that a system that hangs holds up no Run of another.
type pump struct {
	store  *sqlite.Store
	gate   *gate.Gate
	engine *dbos.Engine
	now    func() time.Time
	log    *slog.Logger
	busy   sync.Map      // of messages that a worker is at
	freed  chan struct{} // has an element when a worker has become free
	fail   func(*crash.Panic)
}

// run works until ctx ends, then waits for what is under way.
func (p *pump) run(ctx context.Context) {
	p.freed = make(chan struct{}, 1)
	systems, runs := make(chan sqlite.Due), make(chan sqlite.Due)
	var wg crash.Group
	work := func(f func()) { wg.Go(func() { crash.Guard(f, p.fail) }) }
	for range pumpSystems {
		work(func() { p.work(ctx, systems) })
	}
	for range pumpRuns {
		work(func() { p.work(ctx, runs) })
	}
	work(func() { p.resumeLost(ctx) })
	for ctx.Err() == nil {
		next, other := p.offer(ctx, runs, true), p.offer(ctx, systems, false)
		if next.IsZero() || !other.IsZero() && other.Before(next) {
			next = other
		}
		p.rest(ctx, next)
	}
	close(systems)
	close(runs)
	wg.Wait()
}

// offer hands what is due to the workers that are free: segments of Runs, or all
// else. It says when there will be more to do, if that is known.
func (p *pump) offer(ctx context.Context, to chan<- sqlite.Due, segments bool) (next time.Time) {
	due, next, err := p.store.DueMessages(ctx, p.now(), segments, pumpBatch)
	if err != nil && ctx.Err() == nil {
		p.log.ErrorContext(ctx, "the outbox can't be read", slog.Any("kind", fault.KindOf(err)))
	}
	for _, d := range due {
		if _, taken := p.busy.LoadOrStore(key(d), true); taken {
			continue
		}
		select {
		case to <- d:
		default: // every worker is busy; it is offered again when one is free
			p.busy.Delete(key(d))
			return time.Time{}
		}
	}
	if len(due) == pumpBatch {
		return time.Time{} // what comes after waits until some of these are done
	}
	return next
}

func (p *pump) work(ctx context.Context, in <-chan sqlite.Due) {
	for d := range in {
		p.handle(ctx, d)
		select {
		case p.freed <- struct{}{}:
		default: // it is known already
		}
	}
}

// rest waits until there may be something to do: next is when the next message
// is due, if there is one.
func (p *pump) rest(ctx context.Context, next time.Time) {
	wait := pumpIdle
	if !next.IsZero() {
		wait = min(wait, max(next.Sub(p.now()), time.Millisecond))
	}
	select {
	case <-ctx.Done():
	case <-p.store.Outboxed():
	case <-p.freed:
	case <-time.After(wait):
	}
}

type messageKey struct{ tenant, kind, ref string }

func key(d sqlite.Due) messageKey { return messageKey{string(d.Tenant), d.Kind, d.Ref} }

// handle carries out one message and takes it out, or makes it due again. When
// neither can be stored it waits, so that a store that takes no writes is not
// asked without a pause.
func (p *pump) handle(ctx context.Context, d sqlite.Due) {
	defer p.busy.Delete(key(d))
	var again time.Time
	err := crash.Try(ctx, p.log, func() (err error) {
		again, err = p.carry(ctx, d)
		return err
	})
	later := p.store.RetryMessage
	if _, stopped := errors.AsType[*intent.Stopped](err); stopped {
		again, err, later = p.now().Add(pumpStopped), nil, p.store.PostponeMessage
	}
	if err != nil {
		again = p.now().Add(min(time.Second<<min(d.Tries, 10), pumpCeiling))
		level := slog.LevelWarn
		if d.Tries >= pumpTries {
			level = slog.LevelError
		}
		p.log.Log(ctx, level, "a message of the outbox failed and is tried again", slog.String("message", d.Kind), slog.String("ref", d.Ref), slog.Int("tries", d.Tries), slog.Any("kind", fault.KindOf(err)))
	}
	if again.IsZero() {
		err = p.store.DoneMessage(ctx, d)
	} else {
		err = later(ctx, d, again)
	}
	if err != nil && ctx.Err() == nil {
		p.log.ErrorContext(ctx, "the outbox can't be written", slog.String("message", d.Kind), slog.String("ref", d.Ref), slog.Any("kind", fault.KindOf(err)))
		select {
		case <-ctx.Done():
		case <-time.After(pumpCeiling):
		}
	}
}

// carry carries out one message; again is when it wants to be carried out once
// more.
func (p *pump) carry(ctx context.Context, d sqlite.Due) (again time.Time, err error) {
	switch d.Kind {
	case commit.MsgDispatch:
		return again, p.gate.Dispatch(ctx, d.Tenant, d.Ref)
	case commit.MsgReconcile:
		return p.gate.Reconcile(ctx, d.Tenant, d.Ref, d.Tries)
	case commit.MsgSegment:
		return again, p.segment(ctx, d)
	}
	return again, fault.Newf(fault.Internal, "the outbox has a message of the unknown kind %q", fault.Quote(d.Kind))
}

// segment starts the next segment of a Run that waits. For one that is running
// the engine is told again, in case it was not; for one that has ended there is
// nothing to do.
func (p *pump) segment(ctx context.Context, d sqlite.Due) error {
	r, err := p.store.Run(ctx, d.Tenant, d.Ref)
	if err != nil {
		return err
	}
	if r.Worker != intent.BuiltIn || r.State == intent.RunEnded {
		return nil
	}
	n, err := p.store.NextSegment(ctx, d.Tenant, d.Ref)
	if fault.Is(err, fault.Conflict) {
		n, err = r.Segment, nil
	}
	if err != nil {
		return err
	}
	_, err = p.engine.Start(ctx, dbos.Segment{Tenant: d.Tenant, Run: d.Ref, Number: n})
	return err
}

// resume starts again what was under way when an earlier process ended: the
// engine knows most of it, and what it lost begins again from the transcript.
// Runs that wait for nothing that is open any more are taken up.
func (p *pump) resume(ctx context.Context) error {
	if err := p.store.WakeWaiting(ctx, p.now()); err != nil {
		return err
	}
	return p.reviveRunning(ctx)
}

func (p *pump) reviveRunning(ctx context.Context) error {
	runs, err := p.store.OpenRuns(ctx)
	if err != nil {
		return err
	}
	for _, r := range runs {
		if r.Worker != intent.BuiltIn || r.State != intent.RunRunning {
			continue
		}
		if err := p.revive(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// revive has the engine at a running Run: at its segment, or at the next one
// when the engine holds that for ended. A Run that has gone on by itself in the
// meantime is left alone.
func (p *pump) revive(ctx context.Context, r intent.Run) error {
	s := dbos.Segment{Tenant: r.Tenant, Run: r.ID, Number: r.Segment}
	ended, err := p.engine.Start(ctx, s)
	if err != nil || !ended {
		return err
	}
	s.Number, err = p.store.SkipSegment(ctx, r.Tenant, r.ID, r.Segment)
	if fault.Is(err, fault.Conflict) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = p.engine.Start(ctx, s)
	return err
}

// resumeLost looks, now and then, for Runs that are running and that the engine
// has given up: a segment that could neither go on nor be ended because the
// store was away.
func (p *pump) resumeLost(ctx context.Context) {
	t := time.NewTicker(resumeEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := crash.Try(ctx, p.log, func() error { return p.reviveRunning(ctx) }); err != nil && ctx.Err() == nil {
			p.log.WarnContext(ctx, "Runs that were lost can't be taken up", slog.Any("kind", fault.KindOf(err)))
		}
	}
}
