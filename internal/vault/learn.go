package vault

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/plain"
)

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
		v.outside.hear(hearer{t, p.Backend}, err, v.cfg.Now())
		return answer{}, v.failed(p, err)
	}
	defer got.Wipe()
	out, err := v.accept(t, p, got)
	if v.outside.hear(hearer{t, p.Backend}, err, v.cfg.Now()); err != nil {
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
			return out, unpicked(ours, p.Fields[ours])
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
			return out, unprotected(ours)
		}
	}
	if out.version == "" {
		out.version, err = v.print(t, out.fields)
	}
	return out, err
}

// unpicked is the error of a field that is not there. The name is the pointer's.
func unpicked(ours, theirs string) error {
	if theirs == backend.Whole {
		return backend.Fail(backend.Wrong, "what is at the path has named fields, and the pointer says of none that it is its field "+ours).
			WithHint("say which: --pick " + ours + "=NAME")
	}
	return backend.Fail(backend.Wrong, "what is at the path has no text named "+fault.Quote(theirs)+", which is the pointer's field "+ours).
		WithHint("--pick " + ours + "=NAME says what it is called there: our name comes first; a number, a list or an object is no text")
}

// unprotected is the error of a value that would not be found in answers.
func unprotected(field string) error {
	return backend.Fail(backend.Wrong, "the value of the field "+field+" there can't be protected: it is too short, too long, an ordinary word, or easy to guess").
		WithHint("where it is no secret, leave it out: --pick FIELD=NAME for each field that is to be used; a user's name is the field username")
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

// keep makes what came a value that is scrubbed for, everywhere. Where it is the
// one that is there already, it is that one. The answer is wiped.
func (v *Vault) keep(at place, name string, got answer) (*value, error) {
	packed := pack(got.fields)
	got.wipe()
	v.mu.Lock()
	defer v.mu.Unlock()
	if old := v.outside.same(at, packed); old != nil {
		plain.Wipe(packed)
		return old, nil
	}
	return v.adopt(at, name, packed)
}

// adopt has a value scrubbed for, which it takes over. The vault's lock is held.
func (v *Vault) adopt(at place, name string, packed plain.Value) (*value, error) {
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
	if err := v.outside.hold(val, v.cfg.Now()); err != nil {
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
