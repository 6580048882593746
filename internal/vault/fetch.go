package vault

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
)

// External says which version of a value was used that is not in our store.
type External struct {
	Backend string // its name in the server's file
	Version string // as the backend calls it; where it has no versions, "mac-" and a keyed hash of the value
}

// printKey is the subkey of the hash that tells versions apart where a backend
// has none.
const printKey = "external print"

// resolve gives the value that a pointer points to. One question answers all uses
// that wait for it; none is asked while the value is fresh. While the backend
// doesn't answer, a value that is not older than the pointer's staleness is used;
// then there is none.
func (v *Vault) resolve(ctx context.Context, at place, name string, p *Pointer) (lent, error) {
	return v.resolveFrom(ctx, at, name, p, v.outside.wants(at))
}

// resolveFrom is resolve by the answer to a question from need on.
func (v *Vault) resolveFrom(ctx context.Context, at place, name string, p *Pointer, need int) (lent, error) {
	for {
		got, f, err := v.try(ctx, at, name, p, need)
		if f == nil {
			return got, err
		}
		enough := time.NewTimer(patience)
		select {
		case <-f.done:
		case <-enough.C:
			if got, ok := v.outside.old(at, p, v.cfg.Now()); ok {
				return got, nil
			}
			select {
			case <-f.done:
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
		enough.Stop()
		if ctx.Err() != nil {
			return lent{}, fault.New(fault.Unavailable, "the caller did not wait for the backend's answer")
		}
		if got, done, err := v.outside.after(at, f, p, need, v.cfg.Now()); done {
			return got, err
		}
	}
}

// try gives a value that can be used without a question; or else the question that
// is under way, which it begins where there is none. What a question before need has
// given is not fresh.
func (v *Vault) try(ctx context.Context, at place, name string, p *Pointer, need int) (lent, *flight, error) {
	o := &v.outside
	o.mu.Lock()
	defer o.mu.Unlock()
	now := v.cfg.Now()
	k := o.at(at)
	switch {
	case k.fresh(p, need, now):
		got, err := k.lend()
		return got, nil, err
	case k.flight != nil:
		return lent{}, k.flight, nil
	case k.failure != nil && now.Before(k.again):
		if bridges(k.failure) && k.within(p.Staleness.D(0), now) {
			got, err := k.lend()
			return got, nil, err
		}
		return lent{}, nil, k.failure
	}
	k.begun++
	f := &flight{n: k.begun, done: make(chan struct{})}
	k.flight = f
	ctx = context.WithoutCancel(ctx) // it is for whoever waits
	crash.Go(func() { v.fly(ctx, f, at, name, p) }, func(c *crash.Panic) {
		c.Log(ctx, v.cfg.Log)
		o.land(at, f, nil, "", time.Time{}, c, v.cfg.Now())
	})
	return lent{}, f, nil
}

// old gives a value that is not too old, while a question is under way.
func (o *outside) old(at place, p *Pointer, now time.Time) (lent, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.at(at)
	if !k.within(p.Staleness.D(0), now) {
		return lent{}, false
	}
	got, err := k.lend()
	return got, err == nil
}

// said is what a Worker may know of a backend's failure. The server's log has where
// the backend is, and what the connection said.
var said = map[backend.Reason]string{
	backend.Missing: "has nothing there", backend.Refused: "does not give it", backend.Throttled: "asks to be asked later",
	backend.Away: "does not answer", backend.Behind: "does not reach the system behind it", backend.Wrong: "gives an answer that can't be used",
}

// unreached is the error of a use.
func unreached(name string, err error) error {
	e, ok := errors.AsType[*backend.Error](err)
	if !ok {
		return fault.Wrap(fault.KindOf(err), "the value of the secret "+name, err)
	}
	return fault.Newf(fault.KindOf(err), "the value of the secret %s can't be had: its backend %s", name, said[e.Reason]).
		WithHint("nothing was sent; the server's log says more")
}

// after gives the outcome of a question. done is false where another has to be
// asked: the value was forgotten meanwhile, or the question began before need.
func (o *outside) after(at place, f *flight, p *Pointer, need int, now time.Time) (got lent, done bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.at(at)
	switch {
	case f.err == nil && f.n < need:
		return lent{}, false, nil
	case f.err == nil && k.value != nil:
		got, err = k.lend()
		return got, true, err
	case f.err == nil:
		return lent{}, false, nil
	case bridges(f.err) && k.within(p.Staleness.D(0), now):
		got, err = k.lend()
		return got, true, err
	}
	return lent{}, true, f.err
}

// fly asks once, and has what came scrubbed for before anybody can use it.
func (v *Vault) fly(ctx context.Context, f *flight, at place, name string, p *Pointer) {
	got, err := v.fetch(ctx, at.tenant, p)
	if err != nil {
		v.cfg.Log.WarnContext(ctx, "the value of a Secret can't be had from its backend now", slog.String("tenant", string(at.tenant)),
			slog.String("secret", name), slog.String("path", p.Path), slog.String("why", err.Error()), slog.String("hint", fault.HintOf(err)))
		v.outside.land(at, f, nil, "", time.Time{}, err, v.cfg.Now())
		return
	}
	val, err := v.keep(at, name, got)
	v.outside.land(at, f, val, got.version, got.end, err, v.cfg.Now())
}

// land ends a question.
func (o *outside) land(at place, f *flight, val *value, version string, end time.Time, err error, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.at(at)
	if k.flight != f {
		return // it was over
	}
	k.flight, k.failure, f.err = nil, err, err
	switch {
	case err == nil:
		if k.value != val {
			k.retire(now)
		}
		k.value, k.at, k.version, k.end, k.got = val, now, version, end, f.n
		k.named(version)
	default:
		k.again = now.Add(pause)
		if e, ok := errors.AsType[*backend.Error](err); ok && e.After > 0 {
			k.again = now.Add(min(e.After, maxPause))
		}
		if !bridges(err) {
			k.retire(now) // the backend says that it is no more
		}
	}
	close(f.done)
}
