package vault

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/plain"
)

// Bounds of watches. A watch that ends is begun again later each time; one that the
// backend refuses, seldom.
const (
	maxWatches  = 200 // of one backend; what is beyond is asked for as without
	lookEvery   = 2 * time.Second
	watchFirst  = time.Second
	watchMost   = time.Minute
	refusedMost = 10 * time.Minute
	lostFor     = time.Minute // then the log says so
	atMostEvery = time.Second // a change is asked about
)

// Spot is what is watched: several Secrets can point to it.
type Spot struct{ Backend, Path string }

// watches are those that go on.
type watches struct {
	mu   sync.Mutex
	m    map[Spot]*watched
	also map[ident.Tenant][]Spot
	more bool // also was changed
}

// watched is one of them.
type watched struct {
	end   context.CancelFunc
	kick  chan struct{}
	up    bool
	since time.Time      // it is up, or down
	why   backend.Reason // it is down
	said  bool           // in the log, that it is down
}

// Watch watches what active pointers point to, where the backend can be watched, and
// asks again at each change, until ctx ends. A watch makes the vault ask earlier and
// never later: one that is lost, or lies, changes nothing about what staleness says.
func (v *Vault) Watch(ctx context.Context) {
	var g crash.Group
	defer g.Wait()
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for last := (*state)(nil); ; {
		if s := v.state.Load(); v.watches.changed() || s != last {
			v.watchAll(ctx, &g, s)
			last = s
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// WatchAlso sets what is watched of a tenant's backends besides what its pointers
// point to: for Config.Changed.
func (v *Vault) WatchAlso(t ident.Tenant, also []Spot) {
	v.watches.mu.Lock()
	defer v.watches.mu.Unlock()
	if slices.Equal(v.watches.also[t], also) {
		return
	}
	v.watches.also, v.watches.more = maps.Clone(v.watches.also), true
	if v.watches.also == nil {
		v.watches.also = map[ident.Tenant][]Spot{}
	}
	v.watches.also[t] = also
}

// changed says, once, that there is something else to watch.
func (w *watches) changed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	more := w.more
	w.more = false
	return more
}

// watchAll begins what is missing, and ends what nobody points to any more.
func (v *Vault) watchAll(ctx context.Context, g *crash.Group, s *state) {
	want := v.spots(s)
	v.watches.mu.Lock()
	defer v.watches.mu.Unlock()
	if v.watches.m == nil {
		v.watches.m = map[Spot]*watched{}
	}
	for sp, w := range v.watches.m {
		if want[sp] == nil {
			w.end()
			delete(v.watches.m, sp)
		}
	}
	for sp, b := range want {
		if v.watches.m[sp] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		w := &watched{end: cancel, kick: make(chan struct{}, 1), since: v.cfg.Now()}
		v.watches.m[sp] = w
		g.Go(func() { v.keepWatch(ctx, sp, w, b) })
		g.Go(func() { v.askAtChange(ctx, sp, w) })
	}
}

// spots are what is to be watched.
func (v *Vault) spots(s *state) map[Spot]backend.Watcher {
	out := map[Spot]backend.Watcher{}
	add := func(t ident.Tenant, sp Spot) {
		b, err := v.cfg.Backends.Find(t, sp.Backend, backend.Ask{Path: sp.Path})
		if w, ok := b.(backend.Watcher); ok && err == nil {
			out[sp] = w
		}
	}
	v.watches.mu.Lock()
	also := v.watches.also
	v.watches.mu.Unlock()
	for t, list := range also {
		for _, sp := range list {
			if s != nil {
				add(t, sp)
			}
		}
	}
	for p := range v.pointers(s, func(p Pointer) bool { return p.Version == "" }) {
		add(p.at.tenant, Spot{p.ver.Pointer.Backend, p.ver.Pointer.Path})
	}
	of := map[string]int{}
	for _, sp := range slices.SortedFunc(maps.Keys(out), func(a, b Spot) int { return cmp.Compare(a.Path, b.Path) }) {
		if of[sp.Backend]++; of[sp.Backend] > maxWatches {
			delete(out, sp)
		}
	}
	return out
}

// pointed is an active version that is a pointer.
type pointed struct {
	at   place
	name string
	ver  Version
}

// pointers are the active versions that are one, as far as they can be used.
func (v *Vault) pointers(s *state, take func(Pointer) bool) func(func(pointed) bool) {
	return func(yield func(pointed) bool) {
		if s == nil {
			return
		}
		for t, ten := range s.tenants {
			for name, e := range ten.secrets {
				ver, ok := e.head.version(e.head.Active)
				if ten.bad != nil || e.bad != nil || e.head.Removed || !ok || ver.Pointer == nil || !take(*ver.Pointer) {
					continue
				}
				if !yield(pointed{found{e, ver}.place(t), name, ver}) {
					return
				}
			}
		}
	}
}

// keepWatch watches until ctx ends.
func (v *Vault) keepWatch(ctx context.Context, sp Spot, w *watched, b backend.Watcher) {
	for wait := watchFirst; ctx.Err() == nil; {
		began := v.cfg.Now()
		err := crash.Try(ctx, v.cfg.Log, func() error { return b.Watch(ctx, sp.Path, func(x backend.Sight) { v.saw(ctx, sp, w, x) }) })
		if ctx.Err() != nil {
			return
		}
		if v.cfg.Now().Sub(began) > watchMost {
			wait = watchFirst
		}
		v.lost(ctx, sp, w, err)
		d := wait
		if e, ok := errors.AsType[*backend.Error](err); ok {
			d = max(d, min(e.After, maxPause))
		}
		again := time.NewTimer(d/2 + backend.Jitter(d))
		select {
		case <-ctx.Done():
		case <-again.C:
		}
		again.Stop()
		wait = min(2*wait, map[bool]time.Duration{true: refusedMost, false: watchMost}[backend.ReasonOf(err) == backend.Refused])
	}
}

// saw takes what a watch tells.
func (v *Vault) saw(ctx context.Context, sp Spot, w *watched, x backend.Sight) {
	v.watches.mu.Lock()
	said := w.said
	if !w.up {
		w.up, w.since, w.why, w.said = true, v.cfg.Now(), "", false
	}
	v.watches.mu.Unlock()
	if said {
		v.cfg.Log.InfoContext(ctx, "a backend tells of changes again", slog.String("backend", sp.Backend), slog.String("path", sp.Path))
	}
	select {
	case w.kick <- struct{}{}:
	default: // it will be asked about
	}
	if x == backend.Changed && v.cfg.Changed != nil {
		v.cfg.Changed(sp)
	}
}

// lost notes that a watch has ended. The log has it once, when it was away for long,
// or where the backend does not let us.
func (v *Vault) lost(ctx context.Context, sp Spot, w *watched, err error) {
	v.watches.mu.Lock()
	if w.up {
		w.up, w.since = false, v.cfg.Now()
	}
	w.why = backend.ReasonOf(err)
	say := !w.said && (w.why == backend.Refused || v.cfg.Now().Sub(w.since) >= lostFor)
	w.said = w.said || say
	v.watches.mu.Unlock()
	if say {
		v.cfg.Log.WarnContext(ctx, "a backend can't be watched; changes there are seen when it is asked", slog.String("backend", sp.Backend),
			slog.String("path", sp.Path), slog.String("why", err.Error()), slog.String("hint", fault.HintOf(err)))
	}
}

// askAtChange asks after each change, and not more often than it may: whatever comes
// meanwhile is one change.
func (v *Vault) askAtChange(ctx context.Context, sp Spot, w *watched) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.kick:
		}
		for p := range v.pointers(v.state.Load(), func(p Pointer) bool { return p.Backend == sp.Backend && p.Path == sp.Path && p.Version == "" }) {
			v.outside.stale(p.at)
			got, err := v.resolve(ctx, p.at, p.name, p.ver.Pointer)
			plain.Wipe(got.packed)
			if ctx.Err() != nil || err != nil && backend.ReasonOf(err) == backend.Away {
				break // the next use asks
			}
		}
		rest := time.NewTimer(atMostEvery)
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
		rest.Stop()
	}
}

// BackendChanged is told that something has changed at a backend, without what: its
// values are asked for again when they are used next, if they are not of this moment.
func (v *Vault) BackendChanged(name string) {
	for p := range v.pointers(v.state.Load(), func(p Pointer) bool { return p.Backend == name && p.Version == "" }) {
		v.outside.hooked(p.at)
	}
}

// Watchable says whether a tenant's backend tells of changes at a path; see
// backend.Registry.Find for the errors, and Invalid.
func (v *Vault) Watchable(t ident.Tenant, name, path string) error {
	b, err := v.cfg.Backends.Find(t, name, backend.Ask{Path: path})
	if err != nil {
		return err
	}
	if _, ok := b.(backend.Watcher); !ok {
		return fault.Newf(fault.Invalid, "the backend %s does not tell of changes", name).WithHint("Kubernetes and files do; for others let a message begin the rotation: hook")
	}
	return nil
}
