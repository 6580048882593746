package vault

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/plain"
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
	for {
		got, f, err := v.try(ctx, at, name, p)
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
		if got, done, err := v.outside.after(at, f, p, v.cfg.Now()); done {
			return got, err
		}
	}
}

// try gives a value that can be used without a question; or else the question that
// is under way, which it begins where there is none.
func (v *Vault) try(ctx context.Context, at place, name string, p *Pointer) (lent, *flight, error) {
	o := &v.outside
	o.mu.Lock()
	defer o.mu.Unlock()
	now := v.cfg.Now()
	k := o.at(at)
	switch {
	case k.within(p.fresh(), now):
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
	f := &flight{done: make(chan struct{})}
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
	backend.Away: "does not answer", backend.Wrong: "gives an answer that can't be used",
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
// asked: the value was forgotten meanwhile.
func (o *outside) after(at place, f *flight, p *Pointer, now time.Time) (got lent, done bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.at(at)
	switch {
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
			slog.String("secret", name), slog.String("path", p.Path), slog.String("why", err.Error()))
		v.outside.land(at, f, nil, "", time.Time{}, err, v.cfg.Now())
		return
	}
	val, err := v.learn(at, name, got)
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
		k.value, k.at, k.version, k.end = val, now, version, end
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

// answer is what a backend gave, by our names.
type answer struct {
	fields  map[string][]byte
	version string
	end     time.Time
}

func (a answer) wipe() {
	for _, b := range a.fields {
		clear(b)
	}
}

// fetch asks the backend, and refuses an answer that could not be used safely.
func (v *Vault) fetch(ctx context.Context, t ident.Tenant, p *Pointer) (answer, error) {
	b, err := v.cfg.Backends.Find(t, p.Backend, p.ask())
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	got, err := b.Fetch(ctx, p.ask())
	if err != nil {
		return answer{}, v.failed(p, err)
	}
	defer got.Wipe()
	out, err := v.accept(t, p, got)
	if err != nil {
		out.wipe()
		return answer{}, v.failed(p, err)
	}
	return out, nil
}

// failed says whose error it is. The reason stays in it.
func (v *Vault) failed(p *Pointer, err error) error {
	return fault.Wrap(fault.KindOf(err), "the backend "+p.Backend, err)
}

// accept takes a pointer's fields out of an answer.
func (v *Vault) accept(t ident.Tenant, p *Pointer, got backend.Answer) (out answer, err error) {
	wrong := func(msg string) error { return backend.Fail(backend.Wrong, msg) }
	if err := backend.CheckVersion(got.Version); err != nil {
		return out, wrong("what it calls the version is not a plain word")
	}
	if got.Lease != (backend.Lease{}) {
		return out, wrong("the value there was made for this question alone, and nothing would end its lease")
	}
	if !got.NotAfter.IsZero() && !v.cfg.Now().Before(got.NotAfter) {
		return out, backend.Fail(backend.Refused, "the value there has expired")
	}
	out = answer{fields: map[string][]byte{}, version: got.Version, end: got.NotAfter}
	for _, ours := range p.names() {
		there, ok := got.Fields[p.Fields[ours]]
		if !ok {
			return out, wrong("what is at the path has no text under the name that the pointer's field " + ours + " has there")
		}
		b := bytes.Clone(plain.Bytes(there))
		out.fields[ours] = b
		switch {
		case ours == userField:
			if len(b) == 0 || len(b) > maxText {
				return out, wrong(fmt.Sprintf("the user name there has not from 1 to %d bytes", maxText))
			}
		case bytes.Contains([]byte(got.Version), b):
			return out, wrong("what it calls the version has the value in it")
		case scrub.Check(b) != nil:
			return out, wrong("the value there can't be protected: it is too short, too long, an ordinary word, or easy to guess")
		}
	}
	if out.version == "" {
		out.version, err = v.print(t, out.fields)
	}
	return out, err
}

// print tells a value from another, and nothing of it.
func (v *Vault) print(t ident.Tenant, fields map[string][]byte) (out string, err error) {
	packed := pack(fields)
	defer plain.Wipe(packed)
	err = v.subkey(printKey, t, func(key []byte) {
		m := hmac.New(sha256.New, key)
		m.Write(plain.Bytes(packed))
		out = "mac-" + hex.EncodeToString(m.Sum(nil)[:10])
	})
	return out, err
}

// learn makes what came a value that is scrubbed for, everywhere. Where it is the
// one that is there already, it is that one. The answer is wiped.
func (v *Vault) learn(at place, name string, got answer) (*value, error) {
	packed := pack(got.fields)
	got.wipe()
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.cfg.Now()
	if old := v.outside.same(at, packed); old != nil {
		plain.Wipe(packed)
		return old, nil
	}
	s, err := v.open()
	if err != nil {
		plain.Wipe(packed)
		return nil, err
	}
	ten := s.tenants[at.tenant]
	if ten == nil {
		plain.Wipe(packed)
		return nil, notFound(name)
	}
	val := &value{place: at, name: name, packed: packed}
	if err := v.outside.hold(val, now); err != nil {
		plain.Wipe(packed)
		return nil, err
	}
	if err := v.scrubFor(s, at.tenant, ten, val); err != nil {
		v.outside.drop(val)
		return nil, err
	}
	return val, nil
}

// same finds the value of a version that is there already, bit for bit.
func (o *outside) same(at place, packed plain.Value) *value {
	o.mu.Lock()
	defer o.mu.Unlock()
	if k := o.at(at); k.value != nil && hmac.Equal(plain.Bytes(k.value.packed), plain.Bytes(packed)) {
		return k.value
	}
	return nil
}

// scrubFor publishes sets that know the value too. The vault's lock is held.
func (v *Vault) scrubFor(s *state, t ident.Tenant, ten *tenant, val *value) error {
	fields, err := unpack(val.packed)
	if err != nil {
		return err
	}
	list := derive(val.name, fields)
	defer func() {
		for _, s := range list {
			clear(s.Value)
		}
	}()
	more := *ten
	if v.outside.full() {
		next, all, err := v.rebuild(s, t, &more)
		if err == nil {
			v.publish(next, all)
		}
		return err
	}
	if more.set, err = scrub.Extend(ten.set, list); err != nil {
		return err
	}
	next, all := s.with(t, &more), more.set
	if len(next.tenants) > 1 {
		if all, err = scrub.Extend(v.holder.Load(), list); err != nil {
			return err
		}
	}
	v.publish(next, all)
	return nil
}
