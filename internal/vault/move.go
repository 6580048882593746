package vault

import (
	"bytes"
	"context"
	"crypto/subtle"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/plain"
)

// lookThere reads, once, what w's pointer points to: it has to be there and fit to
// be protected before anybody relies on it. w has the values until it is stored.
func (v *Vault) lookThere(ctx context.Context, w *Write) (version string, err error) {
	if w.Pointer == nil {
		return "", nil
	}
	if len(w.Fields) > 0 || w.Sealed != nil {
		return "", fault.New(fault.Invalid, "a version is a value or a pointer, not both")
	}
	if err := checkCaller(w.Tenant, w.Actor); err != nil {
		return "", err
	}
	if v.Sealed() {
		return "", errSealed
	}
	if err := v.fields(ctx, w); err != nil {
		return "", err
	}
	if err := w.Pointer.check(); err != nil {
		return "", err
	}
	got, err := v.fetch(ctx, w.Tenant, w.Pointer)
	w.Fields = got.fields
	return got.version, err
}

// fields chooses a pointer's fields where it names none, by what is there: one value
// is the token, and several keep their names.
func (v *Vault) fields(ctx context.Context, w *Write) error {
	if len(w.Pointer.Fields) > 0 {
		return nil
	}
	p := w.Pointer.clone()
	b, err := v.cfg.Backends.Find(w.Tenant, p.Backend, p.ask())
	if err != nil {
		return err
	}
	p.Fields = map[string]string{defaultField: backend.Whole}
	if b.Named() {
		ctx, cancel := context.WithTimeout(ctx, asking)
		defer cancel()
		got, err := b.Fetch(ctx, p.ask())
		if v.outside.hear(hearer{w.Tenant, p.Backend}, err, v.cfg.Now()); err != nil {
			return v.failed(p, err)
		}
		defer got.Wipe()
		if n := len(got.Fields); n == 0 || n > maxFields {
			return v.failed(p, misfit(n))
		}
		if p.Fields = map[string]string{}; len(got.Fields) == 1 {
			for theirs := range got.Fields {
				p.Fields[defaultField] = theirs
			}
		} else {
			for theirs := range got.Fields {
				p.Fields[theirs] = theirs
			}
		}
	}
	w.Pointer = p
	return nil
}

// misfit is the error of what has no fields for a pointer, or too many.
func misfit(n int) error {
	if n == 0 {
		return backend.Fail(backend.Wrong, "what is at the path has no texts").
			WithHint("a number, a list or an object is not used: put the value there as a text")
	}
	return backend.Fail(backend.Wrong, fmt.Sprintf("what is at the path has %d texts, and a pointer has at most %d fields", n, maxFields)).
		WithHint("say which: --pick FIELD=NAME")
}

// defaultField is what most doors take.
const defaultField = "token"

// namedAs chooses a pointer's fields for those that a version has: one goes to the one
// value that is there, whatever that is called, and several keep their names.
func (v *Vault) namedAs(ctx context.Context, t ident.Tenant, p *Pointer, ours []string) (*Pointer, error) {
	if len(p.Fields) > 0 {
		return p, nil
	}
	b, err := v.cfg.Backends.Find(t, p.Backend, p.ask())
	if err != nil {
		return nil, err
	}
	p = p.clone()
	p.Fields = map[string]string{}
	for _, name := range ours {
		p.Fields[name] = name
	}
	switch {
	case len(ours) == 1 && !b.Named():
		p.Fields[ours[0]] = backend.Whole
	case len(ours) == 1:
		p.Fields[ours[0]], err = v.onlyName(ctx, b, t, p, ours[0])
	}
	return p, err
}

// onlyName is the name of the one value at a path; where nothing or more is there, ours.
func (v *Vault) onlyName(ctx context.Context, b backend.Backend, t ident.Tenant, p *Pointer, ours string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	got, err := b.Fetch(ctx, p.ask())
	defer got.Wipe()
	v.outside.hear(hearer{t, p.Backend}, err, v.cfg.Now())
	if err != nil && backend.ReasonOf(err) != backend.Missing {
		return "", v.failed(p, err)
	}
	if len(got.Fields) == 1 {
		for theirs := range got.Fields {
			return theirs, nil
		}
	}
	return ours, nil
}

// event is what an entry says of a pointer; nothing of a value.
func (p *Pointer) event(version string) map[string]any {
	if p == nil {
		return nil
	}
	return map[string]any{"backend": p.Backend, "path": p.Path, "backendVersion": version}
}

// Move says where the value of a Secret's active version is to be from now on.
type Move struct {
	Tenant ident.Tenant
	Name   string
	To     *Pointer // nil: our own store
	Actor  ident.Principal
	Method string // by which factors it was confirmed, for the record
}

// Move puts the value of the active version elsewhere, under the same reference:
// to a backend, or back into our store. The value is read once. At a backend the
// same value has to be there, or nothing, where the backend takes one: what is
// there is never overwritten. A new version takes its place, with the same usage
// scope; the one before gets its grace.
//
// Conflict: another value is there, or the Secret has changed meanwhile. Errors of
// the backend are as with Open.
func (v *Vault) Move(ctx context.Context, m Move) (Secret, error) {
	if err := checkCaller(m.Tenant, m.Actor); err != nil {
		return Secret{}, err
	}
	s, err := v.open()
	if err != nil {
		return Secret{}, err
	}
	_, e, ver, err := s.find(m.Tenant, Ref{Name: m.Name})
	if err != nil {
		return Secret{}, err
	}
	for _, p := range []*Pointer{m.To, ver.Pointer} {
		if p != nil && v.cfg.Backends.Lessor(p.Backend) != nil {
			return Secret{}, fault.Newf(fault.Invalid, "the backend %s makes a value for each Run, so there is none to be moved", p.Backend).
				WithHint("to change where the values are from: sallyport secret rotate NAME, with a value or --pointer")
		}
	}
	if m.To == nil && ver.Pointer == nil {
		return Secret{}, fault.Newf(fault.Conflict, "the value of the secret %s is in the store already", m.Name)
	}
	// The expiry moves too.
	w := Write{Tenant: m.Tenant, Name: m.Name, Scope: &ver.Scope, AnyOrigin: true, Actor: m.Actor}
	defer func() { w.wipe() }()
	if err := v.recordMove(ctx, m, ver); err != nil {
		return Secret{}, err
	}
	if w.Fields, err = v.valueNow(ctx, m.Tenant, found{e, ver}); err != nil {
		return Secret{}, err
	}
	if err := w.check(); err != nil {
		return Secret{}, err
	}
	at := ""
	if m.To != nil {
		if w.Pointer, err = v.namedAs(ctx, m.Tenant, m.To, ver.Fields); err != nil {
			return Secret{}, err
		}
		if at, err = v.settleThere(ctx, &w); err != nil {
			return Secret{}, err
		}
	}
	out, err := v.commit(ctx, m.Tenant, m.Name, m.Actor, false, func(c *change) error {
		if c.e.head.ID != e.head.ID || c.e.head.Active != ver.Version || c.e.head.Removed {
			return fault.Newf(fault.Conflict, "the secret %s has changed meanwhile, so nothing was switched", m.Name)
		}
		n, err := v.addVersion(c, &w)
		if err != nil {
			return err
		}
		c.set(n, Active)
		c.event = audit.SecretMoved
		c.fields["from"], c.fields["method"], c.fields["kind"] = home(ver.Pointer), m.Method, home(w.Pointer)
		maps.Copy(c.fields, w.Pointer.event(at))
		return c.describeVersion(n)
	})
	if err != nil && m.To != nil {
		return Secret{}, fault.Wrap(fault.KindOf(err), "the value is at the backend now, and the secret was not switched; moving it again does the rest", err)
	}
	return out, err
}

// recordMove has it on disk that a value is read to be moved, before it is.
func (v *Vault) recordMove(ctx context.Context, m Move, ver Version) error {
	v.mu.Lock()
	store := v.store
	v.mu.Unlock()
	scope, err := ver.Scope.digest()
	if err != nil {
		return err
	}
	err = store.RecordVault(ctx, []audit.Event{{Type: audit.SecretOpened, Tenant: m.Tenant, At: v.cfg.Now(), Actor: m.Actor.String(),
		Fields: map[string]any{"secret": m.Name, "secretVersion": ver.Version, "scope": scope, "why": "to move its value to: " + home(m.To)}}})
	if err != nil {
		return fault.Wrap(fault.KindOf(err), "recording that a value is to be moved", err)
	}
	return nil
}

// home names where a value is, for the record.
func home(p *Pointer) string {
	if p == nil {
		return "store"
	}
	return "backend " + p.Backend
}

// valueNow gives a copy of a version's value; from a backend as it is there now.
func (v *Vault) valueNow(ctx context.Context, t ident.Tenant, f found) (map[string][]byte, error) {
	if f.ver.Pointer == nil {
		return v.ownValue(t, f)
	}
	got, err := v.fetch(ctx, t, f.ver.Pointer)
	return got.fields, err
}

func (v *Vault) ownValue(t ident.Tenant, f found) (map[string][]byte, error) {
	v.replacing.RLock()
	defer v.replacing.RUnlock()
	s, err := v.open()
	if err != nil {
		return nil, err
	}
	ten, e, ver, err := s.find(t, Ref{Name: f.e.head.Name, Version: f.ver.Version})
	if err != nil {
		return nil, err
	}
	packed, fields, err := v.decrypt(ten, e, ver.Version)
	if err != nil {
		return nil, err
	}
	defer plain.Wipe(packed)
	out := make(map[string][]byte, len(fields))
	for name, value := range fields {
		out[name] = bytes.Clone(plain.Bytes(value))
	}
	return out, nil
}

// settleThere makes sure that w's value is where its pointer points, and gives the
// version that it has there.
func (v *Vault) settleThere(ctx context.Context, w *Write) (string, error) {
	p := w.Pointer
	if err := p.check(); err != nil {
		return "", err
	}
	if !slices.Equal(p.names(), slices.Sorted(maps.Keys(w.Fields))) {
		return "", fault.New(fault.Invalid, "the pointer's fields are not those of the secret's active version").
			WithHint("it has %s: say of each what it is called there, our name first: --pick FIELD=NAME", strings.Join(slices.Sorted(maps.Keys(w.Fields)), ", "))
	}
	got, err := v.fetch(ctx, w.Tenant, p)
	if err != nil && backend.ReasonOf(err) == backend.Missing && p.Version == "" {
		if err := v.create(ctx, w); err != nil {
			return "", err
		}
		got, err = v.fetch(ctx, w.Tenant, p)
	}
	defer got.wipe()
	if err != nil {
		return "", err
	}
	for name, b := range w.Fields {
		if subtle.ConstantTimeCompare(b, got.fields[name]) != 1 {
			return "", fault.New(fault.Conflict, "another value is there already, so nothing was moved").
				WithHint("to use that one: sallyport secret rotate NAME --pointer BACKEND:PATH; or name a path where nothing is")
		}
	}
	return got.version, nil
}

// create gives the value to a backend that takes one.
func (v *Vault) create(ctx context.Context, w *Write) error {
	p := w.Pointer
	b, err := v.cfg.Backends.Find(w.Tenant, p.Backend, p.ask())
	if err != nil {
		return err
	}
	to, ok := b.(backend.Writer)
	if !ok {
		return fault.Newf(fault.NotFound, "nothing is at the path, and the backend %s takes no value", p.Backend).
			WithHint("put the same value there yourself, then move it")
	}
	theirs := make(map[string]plain.Value, len(w.Fields))
	for ours, b := range w.Fields {
		theirs[p.Fields[ours]] = plain.New(b) // lent; w wipes it
	}
	if len(theirs) != len(w.Fields) {
		return fault.New(fault.Invalid, "two fields have one name at the backend")
	}
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	if err := to.Create(ctx, p.Path, theirs); err != nil {
		return v.failed(p, err)
	}
	return nil
}

// Warm asks for the value of every active pointer once, so that it is scrubbed for
// before it is used; a server does so when it starts. What can't be had is logged; a
// backend that is away is not asked again.
func (v *Vault) Warm(ctx context.Context) {
	s := v.state.Load()
	if s == nil {
		return
	}
	away := map[string]bool{}
	for t, ten := range s.tenants {
		for name, e := range ten.secrets {
			ver, ok := e.head.version(e.head.Active)
			if ten.bad != nil || e.bad != nil || !ok || ver.Pointer == nil || v.Dynamic(ver) || away[ver.Pointer.Backend] || ctx.Err() != nil {
				continue
			}
			got, err := v.resolve(ctx, found{e, ver}.place(t), name, ver.Pointer)
			plain.Wipe(got.packed)
			away[ver.Pointer.Backend] = err != nil && backend.ReasonOf(err) == backend.Away
		}
	}
}
