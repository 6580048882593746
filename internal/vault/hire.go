package vault

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/plain"
)

// hires are credentials that backends have made for Runs, each for one Run and one
// version of a Secret. They are in memory alone; what is on record is a [Lease].
type hires struct {
	mu    sync.Mutex
	store LeaseStore
	look  func()                 // has all of them looked at soon
	now   map[place]*hire        // what a Run's next use gets
	all   map[string]*hire       // by the lease's id of ours; also those that were replaced
	again map[string]again       // of those that could not be revoked
	wait  map[place]*hireError   // of a Run, after a failure
	shut  map[shutKey]*hireError // of all Runs: the backend, or the system behind a path of it, is away
	swaps map[place][]time.Time  // when one was found to have ended; those within swapTime

	counting map[ident.Tenant]*sync.Mutex // held while one of a tenant's gets its place; none is taken with mu held
}

// hire is one credential, or the question for it.
type hire struct {
	at     place
	lease  Lease
	by     backend.Lessor
	holder backend.Holder
	theirs backend.Lease

	value    *value // nil: it is asked for
	end      time.Time
	due      time.Time // to be renewed; zero: it can't be
	used     time.Time
	replaced time.Time // since when another is in its place
	doubted  bool      // its system has refused it
	parting  time.Time // since when no use begins with it
	why      string    // of parting
	looked   time.Time // when the backend was asked about it last
	flight   *flight   // the question under way, or nil
	placed   bool      // it counts among those that the backend may make
}

// hireError is why there is none, and until when nobody asks again.
type hireError struct {
	err   error
	until time.Time
}

// shutKey is a backend, or with a path, the system behind that.
type shutKey struct{ backend, path string }

// shutFor says whom a failure keeps from asking, and how long; false: the Run alone.
func shutFor(l Lease, err error) (shutKey, time.Duration, bool) {
	e, ok := errors.AsType[*backend.Error](err)
	if !ok {
		return shutKey{}, pause, false
	}
	rest := min(max(pause, e.After), maxPause)
	switch e.Reason {
	case backend.Away, backend.Throttled:
		return shutKey{l.Backend, ""}, rest, true
	case backend.Behind:
		return shutKey{l.Backend, l.Path}, rest, true
	case backend.Missing, backend.Refused, backend.Wrong, backend.Taken:
	}
	return shutKey{}, rest, false
}

// closed is why no Run asks now, or nil. After the wait one asks, and the others when
// that is answered, or a while later. The lock is held.
func (h *hires) closed(p *Pointer, now time.Time) error {
	keys := []shutKey{{p.Backend, ""}, {p.Backend, p.Path}}
	for _, k := range keys {
		if w := h.shut[k]; w != nil && now.Before(w.until) {
			return w.err
		}
	}
	for _, k := range keys {
		if w := h.shut[k]; w != nil {
			w.until = now.Add(pause)
		}
	}
	return nil
}

// kept is where leases are kept.
func (h *hires) kept() LeaseStore {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.store
}

// looked has all looked at soon: what they are made of has changed.
func (h *hires) looked() {
	h.mu.Lock()
	look := h.look
	h.mu.Unlock()
	if look != nil {
		look()
	}
}

// margin is what a credential still lives when a call begins with it, so that the call
// ends with what it began with.
func margin(l backend.Lease) time.Duration { return min(l.For/4, 30*time.Second) }

// usable reports whether a use can begin.
func (h *hire) usable(now time.Time) bool {
	return h.value != nil && (!h.doubted || now.Before(h.looked.Add(lookRest))) && now.Before(h.end.Add(-margin(h.theirs)))
}

// copied gives a copy of the value.
func (h *hire) copied(now time.Time) (lent, error) {
	h.used = now
	packed := plain.New(bytes.Clone(plain.Bytes(h.value.packed)))
	fields, err := unpack(packed)
	return lent{packed, fields, h.lease.ID}, err
}

// hired gives a Run its own credential: the one that it has, or a new one, which any
// number of uses wait for.
func (v *Vault) hired(ctx context.Context, d DoorSpec, f found, by backend.Lessor) (lent, *hire, error) {
	at := f.place(d.Tenant)
	at.run = d.Run
	switch {
	case d.Run == "":
		return lent{}, nil, fault.New(fault.Denied, "the secret's value is made for a Run, and this is no use by one").
			WithHint("use a value that is there for good: in the store, or where a backend keeps one")
	case d.Auth.Scheme.OAuth():
		return lent{}, nil, fault.New(fault.Denied, "the secret's value ends with its Run, and an access token would outlive it").
			WithHint("use a value that is there for good with this kind of Connection")
	}
	for {
		got, h, fl, err := v.tryHire(ctx, at, f, by)
		if fl == nil {
			return got, h, err
		}
		select {
		case <-fl.done:
		case <-ctx.Done():
			return lent{}, nil, fault.New(fault.Unavailable, "the caller did not wait for the backend's answer")
		}
		if fl.err != nil {
			return lent{}, nil, fl.err
		}
	}
}

// tryHire gives what can be used without a question; or else the question that is
// under way, which it begins where there is none.
func (v *Vault) tryHire(ctx context.Context, at place, f found, by backend.Lessor) (lent, *hire, *flight, error) {
	v.hires.mu.Lock()
	defer v.hires.mu.Unlock()
	now := v.cfg.Now()
	h := v.hires.now[at]
	switch w := v.hires.wait[at]; {
	case v.hires.store == nil:
		return lent{}, nil, nil, fault.New(fault.Unavailable, "there is nowhere to keep leases")
	case h != nil && h.flight != nil:
		return lent{}, nil, h.flight, nil
	case h != nil && h.usable(now):
		got, err := h.copied(now)
		return got, h, nil, err
	case w != nil && now.Before(w.until):
		return lent{}, nil, nil, w.err
	}
	old := h
	if err := v.hires.closed(f.ver.Pointer, now); err != nil {
		return lent{}, nil, nil, err
	}
	fl := &flight{done: make(chan struct{})}
	if old == nil || !old.doubted || old.value == nil || !now.Before(old.end.Add(-margin(old.theirs))) {
		h = &hire{at: at, by: by, lease: Lease{Tenant: at.tenant, ID: ident.New("les"), Run: at.run, Secret: f.e.head.Name, Version: at.version,
			Backend: f.ver.Pointer.Backend, Path: f.ver.Pointer.Path, Where: leaseDigest(by.Where()), State: LeaseAsked, Issued: now}}
		v.hires.take(h)
	}
	h.flight = fl
	ctx = context.WithoutCancel(ctx) // it is for whoever waits
	p := f.ver.Pointer
	crash.Go(func() { v.hires.land(h, old, fl, v.hire(ctx, h, old, p), v.cfg.Now()) }, func(c *crash.Panic) {
		c.Log(ctx, v.cfg.Log)
		v.hires.land(h, old, fl, c, v.cfg.Now())
	})
	return lent{}, nil, fl, nil
}

// take makes one known. The lock is held.
func (h *hires) take(x *hire) {
	if h.now == nil {
		h.now, h.all, h.again, h.wait = map[place]*hire{}, map[string]*hire{}, map[string]again{}, map[place]*hireError{}
		h.shut = map[shutKey]*hireError{}
	}
	h.now[x.at], h.all[x.lease.ID] = x, x
	delete(h.wait, x.at)
}

// land ends a question. What it has replaced is revoked a while later.
func (h *hires) land(x, old *hire, fl *flight, err error, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x.flight != fl {
		return
	}
	x.flight, fl.err = nil, err
	if err == nil && old != nil && old != x {
		old.replaced = now
	}
	if err != nil && h.now[x.at] == x {
		// Its row, where it has one, is of no use: the next round revokes it.
		if delete(h.now, x.at); old != nil && old != x {
			old.replaced = now
		}
		delete(h.all, x.lease.ID)
		k, rest, all := shutFor(x.lease, err)
		if h.wait[x.at] = (&hireError{err, now.Add(rest)}); all {
			h.shut[k] = &hireError{err, now.Add(rest)}
		}
	}
	if err == nil && x != old { // one was made
		delete(h.shut, shutKey{x.lease.Backend, ""})
		delete(h.shut, shutKey{x.lease.Backend, x.lease.Path})
	}
	close(fl.done)
}

// leaseDoor notes that the system has refused a credential, so that the next use asks
// the backend whether it is still good. The call itself is not sent again.
type leaseDoor struct {
	http.RoundTripper
	all *hires
	h   *hire
}

// RoundTrip is the door's.
func (d *leaseDoor) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := d.RoundTripper.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		d.all.mu.Lock()
		d.h.doubted = true
		d.all.mu.Unlock()
	}
	return resp, err
}
