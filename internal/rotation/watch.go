package rotation

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// What calls say of a version, and what a jump is. It is kept in memory alone: a
// restart forgets it, and counts anew.
const (
	maxWatched = 4096 // Secrets that are counted; then those that were used longest ago go
	window     = 200  // calls of a version; beyond twice as many, older ones count half
	minRefused = 5
	minShare   = 0.5 // of the calls with the new version
	minRise    = 0.3 // above the share of the version before
)

// tally counts the calls of one version.
type tally struct {
	version       int
	good, refused int
}

func (t tally) share() float64 {
	if t.good+t.refused == 0 {
		return 0
	}
	return float64(t.refused) / float64(t.good+t.refused)
}

// watched has the two versions of a Secret that were used last.
type watched struct {
	last time.Time
	now  tally
	then tally
}

// watch counts by Secret. Its zero value is ready.
type watch struct {
	mu sync.Mutex
	m  map[key]*watched
}

// Used counts the answer to a call: 401 and 403 against its version. Other errors
// say nothing about a credential.
func (m *Machine) Used(t ident.Tenant, secret string, version, status int) {
	refused := status == http.StatusUnauthorized || status == http.StatusForbidden
	if status == 0 || status >= 400 && !refused {
		return
	}
	m.watch.count(key{t, secret}, version, refused, m.Now())
}

func (w *watch) count(k key, version int, refused bool, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.m == nil {
		w.m = map[key]*watched{}
	}
	c := w.m[k]
	if c == nil {
		if len(w.m) >= maxWatched {
			w.evict()
		}
		c = &watched{now: tally{version: version}}
		w.m[k] = c
	}
	c.last = now
	if version != c.now.version && version != c.then.version {
		c.then, c.now = c.now, tally{version: version}
	}
	a := &c.now
	if version != a.version {
		a = &c.then
	}
	if refused {
		a.refused++
	} else {
		a.good++
	}
	if a.good+a.refused > 2*window {
		a.good, a.refused = a.good/2, a.refused/2
	}
}

// evict forgets the Secret that was used longest ago.
func (w *watch) evict() {
	var oldest key
	var at time.Time
	for k, c := range w.m {
		if at.IsZero() || c.last.Before(at) {
			oldest, at = k, c.last
		}
	}
	delete(w.m, oldest)
}

// of gives the counts of two versions.
func (w *watch) of(k key, after, before int) (a, b tally) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.m[k]
	if c == nil {
		return a, b
	}
	for _, t := range []tally{c.now, c.then} {
		switch t.version {
		case after:
			a = t
		case before:
			b = t
		}
	}
	return a, b
}

// jumped says that calls with the new version are refused more often than those
// with the one before. Where that one has ended at its system there is no way back.
func (m *Machine) jumped(r *Rotation) bool {
	a, b := m.watch.of(key{r.Tenant, r.Secret}, r.Version, r.Was)
	return !r.Policy.Rotator.Ends() && a.refused >= minRefused && a.share() >= minShare && a.share() >= b.share()+minRise
}

func (m *Machine) figures(r *Rotation) string {
	a, b := m.watch.of(key{r.Tenant, r.Secret}, r.Version, r.Was)
	return fmt.Sprintf("%d of %d, and of the one before %d of %d", a.refused, a.refused+a.good, b.refused, b.refused+b.good)
}

// maxAwait bounds how long a call that was refused waits for a switch.
const maxAwait = 15 * time.Second

// mark notes that from here on the version before may be refused at any moment.
func (m *Machine) mark(r Rotation) {
	rot := &r.Policy.Rotator
	if !rot.Ends() || r.State != Applying && r.State != Trying && r.State != Switching && (r.State != Making || !rot.Chooses()) {
		return
	}
	k := key{r.Tenant, r.Secret}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.changing[k] == nil {
		m.changing[k] = make(chan struct{})
	}
}

// unmark ends that.
func (m *Machine) unmark(r Rotation) {
	switch r.State {
	case Applying, Trying, Switching, Making:
		return
	case Grace, Disabling, Deleting, Returning, Discarding, NeedsPerson, Done, Failed, RolledBack:
	}
	k := key{r.Tenant, r.Secret}
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.changing[k]; c != nil {
		close(c)
		delete(m.changing, k)
	}
}

// Successor gives the version that a call which was refused with version may be
// made with instead: the one that is active now, or will be in a moment. 0: there
// is none, and the refusal is about something else.
func (m *Machine) Successor(ctx context.Context, t ident.Tenant, secret string, version int) int {
	for waited := false; ; waited = true {
		m.mu.Lock()
		c := m.changing[key{t, secret}]
		m.mu.Unlock()
		s, err := m.Vault.Show(ctx, t, secret)
		switch {
		case err != nil:
			return 0
		case s.Active != 0 && s.Active != version: // a later one, or after a roll-back the one before
			return s.Active
		case c == nil || waited:
			return 0
		}
		timer := time.NewTimer(maxAwait)
		select {
		case <-ctx.Done():
		case <-c:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// errStopped says that nothing is begun while all is stopped.
func errStopped(err error) error {
	return fault.Wrap(fault.KindOf(err), "beginning a rotation", err)
}
