// Package outside puts an audit log's checkpoints where who runs the server can't
// take them back: to witnesses, which cosign what continues what they saw before
// (C2SP tlog-witness), and to anchors, an append-only file or syslog. Against them
// a log that was cut, or written anew with the right key, is found.
//
// A [Keeper] visits them; nothing waits for it. When one of them fails, calls go on,
// and it is said: in the server's log, in "audit status", and in an entry of the
// audit log when it begins and when it ends.
//
// It refuses a witness whose answer is not signed by the key that is configured,
// and to send a checkpoint that the log's own tree does not continue.
//
// # Security
//
// What is sent is public by design: origin, size and root. Witnesses are reached at
// configured URLs alone, over TLS except on this machine; redirects are not
// followed, and answers are bounded. A witness that knows more of the log than the
// server has is told apart from one that is out of reach: it is the sign of a log
// that was put back.
package outside

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// Store is what a Keeper needs of a store.
type Store interface {
	Audit() audit.Reader
	SetCosigned(ctx context.Context, t ident.Tenant, size int64, checkpoint []byte) error
	Record(ctx context.Context, events ...audit.Event) error
}

// Sink takes lines of an anchor. Put returns when the line is as safe as it gets
// there.
type Sink interface {
	Kind() string
	Name() string
	Put(ctx context.Context, at time.Time, line []byte) error
}

// Config is what a Keeper works with.
type Config struct {
	Tenant    ident.Tenant
	Store     Store
	Witnesses []*Witness
	Quorum    int // witnesses that have to cosign
	Sinks     []Sink
	// A changed checkpoint goes to the sinks after Every, or when Entries have
	// come; it goes to the witnesses in each round.
	Every   time.Duration
	Entries int64
	Now     func() time.Time
	Log     *slog.Logger
}

// States of a witness or a sink.
const (
	Waiting = "waiting" // it has not been visited
	OK      = "ok"
	Failing = "failing"
)

// State is how it stands with a witness or a sink.
type State struct {
	Kind, Name, State string
	Size              int64     // of the last checkpoint that it has
	Since             time.Time // in this state
	Why               string
}

// Keeper visits witnesses and sinks. Round is called by one goroutine, Status by any.
type Keeper struct {
	cfg      Config
	anchored time.Time // when the sinks were visited last
	mu       sync.Mutex
	states   []State // of the witnesses, then of the sinks
}

// New makes a Keeper. Invalid: more witnesses are needed than there are, or one is
// there twice.
func New(c Config) (*Keeper, error) {
	var keys []audit.Witness
	k := &Keeper{cfg: c}
	for _, w := range c.Witnesses {
		keys = append(keys, w.key)
		k.states = append(k.states, State{Kind: "witness", Name: w.key.Name(), State: Waiting})
	}
	if err := audit.CheckWitnesses(keys, c.Quorum); err != nil {
		return nil, err
	}
	for _, s := range c.Sinks {
		k.states = append(k.states, State{Kind: s.Kind(), Name: s.Name(), State: Waiting})
	}
	return k, nil
}

// Status says how it stands with each.
func (k *Keeper) Status() []State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]State(nil), k.states...)
}

// Quorum is how many witnesses have to cosign.
func (k *Keeper) Quorum() int { return k.cfg.Quorum }

// Round visits those that have not the log's last checkpoint. It errors where the
// log itself can't be read or written; that a witness or a sink fails is in Status.
func (k *Keeper) Round(ctx context.Context) error {
	head, err := k.cfg.Store.Audit().Head(ctx, k.cfg.Tenant)
	if fault.Is(err, fault.NotFound) {
		return nil // there is no log yet
	}
	if err != nil {
		return err
	}
	cp, err := audit.OpenCheckpoint(head.Checkpoint, head.Verifier)
	if err != nil {
		return err
	}
	var events []audit.Event
	events, err = k.visitWitnesses(ctx, head, cp)
	if err == nil && k.due(head.Size) {
		events = append(events, k.visitSinks(ctx, head)...)
	}
	if ctx.Err() != nil { // it was the server that ended, and not they
		return nil
	}
	if len(events) > 0 {
		if rerr := k.cfg.Store.Record(ctx, events...); rerr != nil {
			return rerr
		}
	}
	return err
}

// visitWitnesses asks each witness that has not cosigned this size.
func (k *Keeper) visitWitnesses(ctx context.Context, head audit.Head, cp audit.Checkpoint) (events []audit.Event, err error) {
	if len(k.cfg.Witnesses) == 0 || k.all(0, len(k.cfg.Witnesses), head.Size) {
		return nil, nil
	}
	note := append([]byte(nil), head.Checkpoint...)
	cosigned := 0
	for i, w := range k.cfg.Witnesses {
		line, err := w.cosign(ctx, k.cfg.Store.Audit(), k.cfg.Tenant, head, cp)
		if err == nil {
			note, cosigned = append(note, line...), cosigned+1
		}
		events = append(events, k.settle(ctx, i, head.Size, err)...)
	}
	if cosigned > 0 && cosigned >= k.cfg.Quorum {
		err = k.cfg.Store.SetCosigned(ctx, k.cfg.Tenant, head.Size, note)
	}
	return events, err
}

// due says whether it is time for the sinks.
func (k *Keeper) due(size int64) bool {
	first := len(k.cfg.Witnesses)
	if len(k.cfg.Sinks) == 0 || k.all(first, len(k.states), size) {
		return false
	}
	if k.cfg.Now().Sub(k.anchored) >= k.cfg.Every || k.cfg.Now().Before(k.anchored) {
		return true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.states[first:] {
		if k.cfg.Entries > 0 && s.State == OK && size-s.Size >= k.cfg.Entries {
			return true
		}
	}
	return false
}

// visitSinks gives each sink the last checkpoint, with its cosignatures where they
// are of the same.
func (k *Keeper) visitSinks(ctx context.Context, head audit.Head) (events []audit.Event) {
	now, msg := k.cfg.Now().UTC(), head.Checkpoint
	cosigned, err := k.cfg.Store.Audit().Cosigned(ctx, k.cfg.Tenant)
	if c, oerr := audit.OpenCheckpoint(cosigned, head.Verifier); err == nil && oerr == nil && c.Size == head.Size {
		msg = cosigned
	}
	line := audit.AnchorLine(now.Format(time.RFC3339), msg)
	for i, s := range k.cfg.Sinks {
		events = append(events, k.settle(ctx, len(k.cfg.Witnesses)+i, head.Size, s.Put(ctx, now, line))...)
	}
	k.anchored = now
	return events
}

// all says whether those from one place to another are well and have the size.
func (k *Keeper) all(from, to int, size int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.states[from:to] {
		if s.State != OK || s.Size < size {
			return false
		}
	}
	return true
}

// settle notes how a visit went. Where that has changed it is said, and to be
// recorded.
func (k *Keeper) settle(ctx context.Context, i int, size int64, err error) []audit.Event {
	if ctx.Err() != nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s := &k.states[i]
	was, now := s.State, k.cfg.Now().UTC()
	if err == nil {
		*s = State{Kind: s.Kind, Name: s.Name, State: OK, Size: size, Since: s.Since}
	} else {
		*s = State{Kind: s.Kind, Name: s.Name, State: Failing, Size: s.Size, Since: s.Since, Why: audit.Short(err.Error())}
	}
	if s.State == was {
		return nil
	}
	s.Since = now
	ev := audit.Event{Tenant: k.cfg.Tenant, At: now, Actor: "system:audit", Fields: map[string]any{"name": s.Name}}
	if s.State == OK {
		if was == Waiting {
			return nil
		}
		k.cfg.Log.InfoContext(ctx, "the audit log's checkpoints are taken again", slog.String("kind", s.Kind), slog.String("name", s.Name))
		ev.Type, ev.Fields["count"] = audit.CosigningBack, size
	} else {
		k.cfg.Log.WarnContext(ctx, "the audit log's checkpoints are not taken", slog.String("kind", s.Kind), slog.String("name", s.Name),
			slog.String("why", s.Why), slog.String("hint", fault.HintOf(err)))
		ev.Type, ev.Fields["why"] = audit.CosigningLost, s.Why
	}
	if s.Kind != "witness" {
		ev.Type = map[audit.Type]audit.Type{audit.CosigningBack: audit.AnchorBack, audit.CosigningLost: audit.AnchorLost}[ev.Type]
		ev.Fields["kind"] = s.Kind
	}
	return []audit.Event{ev}
}
