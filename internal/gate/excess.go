package gate

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// Excess is what an outside Worker was denied beyond its limits within a minute.
type Excess struct {
	Tenant ident.Tenant
	Worker string
	Minute time.Time // its beginning, UTC
	Denied int
	Why    string // the limit that was met first
}

// Told is the entry of an Excess.
type Told = audit.Event

// excesses counts what is denied. Who is beyond a limit can call as often as they
// like, so each of these calls does a bounded and small thing: the first of a minute is
// stored at once, the others are kept here until the next [Gate.KeepExcess].
type excesses struct {
	mu    sync.Mutex
	m     map[excessKey]*Excess // not stored yet
	quiet bool                  // the store has none either
}

type excessKey struct {
	tenant ident.Tenant
	worker string
	minute int64
}

// exceeded counts a call that a limit was in the way of, and gives the refusal.
// Nothing else of the call is kept.
func (g *Gate) exceeded(ctx context.Context, tenant ident.Tenant, worker string, over *OverLimit) error {
	e := &g.excess
	e.mu.Lock()
	minute := g.Now().UTC().Truncate(time.Minute) // read under the lock: a minute that was told is over for everybody
	k := excessKey{tenant, worker, minute.Unix()}
	x, first := e.m[k], false
	if x == nil {
		if e.m == nil {
			e.m = map[excessKey]*Excess{}
		}
		x, first = &Excess{Tenant: tenant, Worker: worker, Minute: minute, Why: over.Quota.What}, true
		e.m[k] = x
	}
	x.Denied++
	e.quiet = false
	e.mu.Unlock()
	if first {
		// When it can't be stored now, it is kept, and stored with the next round.
		_ = g.countExcess(ctx)
	}
	return over
}

// orExceeded counts what a store says is over a limit; every other error is passed on.
func (g *Gate) orExceeded(ctx context.Context, tenant ident.Tenant, worker string, err error) error {
	if over, ok := errors.AsType[*OverLimit](err); ok {
		return g.exceeded(ctx, tenant, worker, over)
	}
	return err
}

// countExcess stores what was counted since the last time.
func (g *Gate) countExcess(ctx context.Context) error {
	e := &g.excess
	e.mu.Lock()
	defer e.mu.Unlock() // held while it is stored, so that no count is stored twice or told without its end
	var more []Excess
	for _, x := range e.m {
		if x.Denied > 0 {
			more = append(more, *x)
		}
	}
	if len(more) == 0 {
		return nil
	}
	if err := g.WorkerRuns.CountExcess(context.WithoutCancel(ctx), more); err != nil {
		return err
	}
	now := g.Now().UTC().Truncate(time.Minute).Unix()
	for _, x := range e.m {
		x.Denied = 0 // and it stays known that the minute has begun
	}
	maps.DeleteFunc(e.m, func(k excessKey, _ *Excess) bool { return k.minute < now })
	return nil
}

// KeepExcess stores what outside Workers were denied since the last time, and puts
// every minute that is over on the record: one entry for each Worker. It is called
// every second, so that a process that dies loses a second of a count, and of a minute
// that was over for a second nothing.
func (g *Gate) KeepExcess(ctx context.Context) error {
	e := &g.excess
	e.mu.Lock()
	quiet := e.quiet
	e.mu.Unlock()
	if quiet || g.WorkerRuns == nil {
		return nil
	}
	if err := g.countExcess(ctx); err != nil {
		return err
	}
	left, err := g.WorkerRuns.TellExcess(ctx, g.Now().UTC().Truncate(time.Minute), func(x Excess) Told {
		return Told{Type: audit.WorkerLimited, Tenant: x.Tenant, At: g.Now(), Actor: principalOf(x.Worker),
			Fields: map[string]any{"worker": x.Worker, "count": x.Denied, "why": "denied " + strconv.Itoa(x.Denied) + " more in the minute from " + x.Minute.Format(time.RFC3339) + ": " + x.Why}}
	})
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := g.Now().UTC().Truncate(time.Minute).Unix()
	maps.DeleteFunc(e.m, func(k excessKey, x *Excess) bool { return k.minute < now && x.Denied == 0 })
	e.quiet = left == 0 && len(e.m) == 0
	return nil
}

// meter counts calls within the last hour, by the minute.
type meter struct {
	mu sync.Mutex
	m  map[string]*calls
}

type calls struct {
	last int64   // the minute of the last one
	by   [60]int // a ring, by minute
}

// sum forgets what is older than an hour, and counts the rest.
func (c *calls) sum(minute int64) (n int) {
	for m := max(c.last+1, minute-59); m <= minute; m++ {
		c.by[m%60] = 0
	}
	c.last = max(c.last, minute)
	for _, k := range c.by {
		n += k
	}
	return n
}

// take counts one call against the Worker's, its owner's and the Mission's hour. What
// was called before this process began is in the store.
func (g *Gate) take(ctx context.Context, tenant ident.Tenant, o *outsider) error {
	quotas := o.quotas("calls in an hour", func(l resource.WorkerLimits) int { return l.CallsPerHour })
	for _, q := range quotas {
		if err := g.meter.know(q.key(tenant), g.Now(), func() (int, error) {
			return g.WorkerRuns.WorkerCalls(ctx, tenant, q, g.Now().Add(-time.Hour))
		}); err != nil {
			return err
		}
	}
	if full := g.meter.take(quotas, tenant, g.Now()); full != nil {
		return g.exceeded(ctx, tenant, o.worker.Name, &OverLimit{*full})
	}
	return nil
}

// know begins to count under a key, with what was before.
func (t *meter) know(key string, now time.Time, before func() (int, error)) error {
	t.mu.Lock()
	known := t.m[key] != nil
	t.mu.Unlock()
	if known {
		return nil
	}
	n, err := before()
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		t.m = map[string]*calls{}
	}
	minute := now.Unix() / 60
	if len(t.m) >= maxTallies {
		maps.DeleteFunc(t.m, func(_ string, c *calls) bool { return c.sum(minute) == 0 })
	}
	if t.m[key] == nil {
		c := &calls{last: minute}
		c.by[minute%60] = n
		t.m[key] = c
	}
	return nil
}

// take counts a call under each key, or says which has no room: then under none.
func (t *meter) take(quotas []Quota, tenant ident.Tenant, now time.Time) *Quota {
	t.mu.Lock()
	defer t.mu.Unlock()
	minute := now.Unix() / 60
	at := slices.IndexFunc(quotas, func(q Quota) bool { return t.m[q.key(tenant)] == nil || t.m[q.key(tenant)].sum(minute) >= q.Most })
	if at >= 0 {
		return &quotas[at]
	}
	for _, q := range quotas {
		t.m[q.key(tenant)].by[minute%60]++
	}
	return nil
}

// metered counts a call of a Run that an outside Worker has started.
func (g *Gate) metered(ctx context.Context, r intent.Run) error {
	o, err := g.outsiderOf(ctx, r)
	if err != nil || o == nil {
		return err
	}
	return g.take(ctx, r.Tenant, o)
}
