// Package export carries the entries of an audit log to where others collect them: a
// file of JSON lines, syslog, a webhook. Each sink has a position of its own that is
// durable, so that it goes on where it was after a restart or an outage, and gets
// every entry at least once, in order.
//
// An [Exporter] serves one sink; nothing waits for it, and no call fails because of
// it. When a sink fails it is tried again, at ever longer intervals, and it is said:
// in the server's log, in "audit status", and in an entry of the log when it begins
// and when it ends.
//
// It refuses to move a position over an entry that the sink has not taken.
//
// # Security
//
// What is sent is the entry's own bytes, which hold no body, no argument and no
// secret. A copy proves nothing by itself: who wants proof verifies the log.
package export

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/audit/outside"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// Store is what an Exporter needs of a store.
type Store interface {
	Audit() audit.Reader
	// Exported is the index from which a sink goes on; 0 for one that is new.
	Exported(ctx context.Context, t ident.Tenant, sink string) (int64, error)
	// SetExported moves it forward, never back.
	SetExported(ctx context.Context, t ident.Tenant, sink string, next int64) error
	Record(ctx context.Context, events ...audit.Event) error
}

// Sink takes entries, in order. Send returns when they are as safe as they get
// there; after an error all of them come again.
type Sink interface {
	Kind() string
	Name() string
	Send(ctx context.Context, b Batch) error
}

// Batch is some entries that follow on each other.
type Batch struct {
	Tenant      ident.Tenant
	First, Next int64 // the index of the first, and the one after the last
	At          time.Time
	Entries     [][]byte
}

// Bounds of a batch, and of the waiting after a failure.
const (
	maxBatch  = 500
	maxBytes  = 1 << 20
	firstWait = time.Second
	maxWait   = 5 * time.Minute
	sendFor   = 30 * time.Second
)

// Exporter serves one sink. Round is called by one goroutine, Status by any.
type Exporter struct {
	Tenant ident.Tenant
	Store  Store
	Sink   Sink
	Now    func() time.Time
	Log    *slog.Logger

	fails int
	after time.Time // nothing is tried before
	mu    sync.Mutex
	state outside.State
}

// Status is how it stands with the sink; Size is how many entries it has.
func (x *Exporter) Status() outside.State {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.state
	s.Kind, s.Name = x.Sink.Kind(), x.Sink.Name()
	if s.State == "" {
		s.State = outside.Waiting
	}
	return s
}

// Next is the index from which the sink goes on: what follows must not be pruned.
func (x *Exporter) Next(ctx context.Context) (int64, error) {
	return x.Store.Exported(ctx, x.Tenant, x.id())
}

// id names the sink's position.
func (x *Exporter) id() string { return x.Sink.Kind() + " " + x.Sink.Name() }

// Round sends what the sink has not, until it has all or fails. It errors where the
// store can't be read or written.
func (x *Exporter) Round(ctx context.Context) error {
	if x.Now().Before(x.after) {
		return nil
	}
	from, err := x.Store.Exported(ctx, x.Tenant, x.id())
	if err != nil {
		return err
	}
	// What a sink that is configured has not read is not pruned: this one is new.
	pruned, err := audit.LastPruned(ctx, x.Store.Audit(), x.Tenant)
	if err != nil {
		return err
	}
	if from < pruned.Minimum {
		x.Log.WarnContext(ctx, "an export begins where the audit log does: what was before was pruned", slog.String("kind", x.Sink.Kind()), slog.String("name", audit.Short(x.Sink.Name())), slog.Int64("from", pruned.Minimum))
		from = pruned.Minimum
	}
	for ctx.Err() == nil {
		b, err := x.batch(ctx, from)
		if err != nil || len(b.Entries) == 0 {
			return err
		}
		sctx, cancel := context.WithTimeout(ctx, sendFor)
		err = x.Sink.Send(sctx, b)
		cancel()
		if err == nil {
			err = x.Store.SetExported(ctx, x.Tenant, x.id(), b.Next)
		}
		if ctx.Err() != nil { // it was the server that ended
			return nil
		}
		failed := err != nil
		if err := x.settle(ctx, b, err); err != nil || failed {
			return err
		}
		from = b.Next
	}
	return nil
}

// batch reads the next entries; none where the sink has all. Entries that are not in
// their order are not sent: verifying the log names what is missing.
func (x *Exporter) batch(ctx context.Context, from int64) (Batch, error) {
	rows, err := x.Store.Audit().List(ctx, x.Tenant, audit.Filter{}, from, maxBatch)
	if err != nil {
		return Batch{}, err
	}
	b, size := Batch{Tenant: x.Tenant, First: from, Next: from, At: x.Now()}, 0
	for _, r := range rows {
		if r.Index != b.Next {
			if len(b.Entries) == 0 {
				return b, fault.Newf(fault.Unavailable, "the audit log's entry %d is missing, so nothing after it is exported", b.Next).WithHint("verify the log: sallyport audit verify")
			}
			return b, nil
		}
		if size += len(r.Entry); size > maxBytes && len(b.Entries) > 0 {
			return b, nil
		}
		b.Entries, b.Next = append(b.Entries, r.Entry), r.Index+1
	}
	return b, nil
}

// settle notes how a batch went. Where that has changed it is said, and recorded.
func (x *Exporter) settle(ctx context.Context, b Batch, err error) error {
	x.mu.Lock()
	was := x.state.State
	now := x.Now().UTC()
	if err == nil {
		x.fails, x.after = 0, time.Time{}
		x.state.State, x.state.Size, x.state.Why = outside.OK, b.Next, ""
	} else {
		wait := min(firstWait<<min(x.fails, 20), maxWait)
		if asks, ok := errors.AsType[interface {
			error
			RetryAfter() time.Duration
		}](err); ok { // the receiver says when to come again
			wait = max(wait, asks.RetryAfter())
		}
		x.after = now.Add(wait)
		x.fails++
		x.state.State, x.state.Size, x.state.Why = outside.Failing, b.First, audit.Short(err.Error())
	}
	changed := was != x.state.State
	if changed {
		x.state.Since = now
	}
	why := x.state.Why
	x.mu.Unlock()
	if !changed || err == nil && was == "" {
		return nil
	}
	kind, name := x.Sink.Kind(), audit.Short(x.Sink.Name())
	ev := audit.Event{Type: audit.ExportBack, Tenant: x.Tenant, At: now, Actor: "system:audit", Fields: map[string]any{"kind": kind, "name": name, "count": b.Next}}
	if err == nil {
		x.Log.InfoContext(ctx, "the audit log's entries are taken again", slog.String("kind", kind), slog.String("name", name))
	} else {
		x.Log.WarnContext(ctx, "the audit log's entries are not taken", slog.String("kind", kind), slog.String("name", name), slog.String("why", why), slog.String("hint", fault.HintOf(err)))
		ev.Type, ev.Fields = audit.ExportLost, map[string]any{"kind": kind, "name": name, "why": why}
	}
	return x.Store.Record(ctx, ev)
}
