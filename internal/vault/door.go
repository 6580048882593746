package vault

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/httpcred"
	"sallyport.dev/internal/vault/internal/plain"
)

// DoorSpec says which door to open.
type DoorSpec struct {
	Tenant      ident.Tenant
	Secret      string            // "NAME" or "NAME@vN"
	Version     int               // the version that was decided on; 0: by the reference
	Auth        resource.Auth     // the place of injection
	Origin      resource.Origin   // where the credential goes, and nowhere else
	Integration string            // for a usage scope that names Integrations
	Connection  string            // whose credential it is; a child belongs to it
	Stdio       *resource.Stdio   // of a server that is a child; nil: there is none
	Method      string            // of HTTP: the door refuses every other
	Mission     string            // of the Run, for a usage scope that names Missions
	Run         string            // whose use it is; what is made for a Run is made for this one. Empty: of none
	Base        http.RoundTripper // the transport, without a credential
	Resource    string            // of the OAuth schemes: the URL that a token is for
	// From is filled in where the value is not in our store; nil: nobody asks.
	From *External
}

// Meta is what a reference resolves to, without opening anything.
type Meta struct {
	Name      string
	ID        string
	Version   int
	Pinned    bool // by the reference
	State     State
	Fields    []string
	Scope     Scope
	CreatedAt time.Time
}

// Head resolves a reference: "NAME" to the active version, "NAME@vN" to that one.
// NotFound: there is no such Secret or version. Denied: it is not usable.
func (v *Vault) Head(_ context.Context, t ident.Tenant, ref string) (Meta, error) {
	s, err := v.open()
	if err != nil {
		return Meta{}, err
	}
	r, err := ParseRef(ref)
	if err != nil {
		return Meta{}, err
	}
	_, e, ver, err := s.find(t, r)
	if err != nil {
		return Meta{}, err
	}
	return Meta{Name: e.head.Name, ID: e.head.ID, Version: ver.Version, Pinned: r.Version != 0, State: ver.State,
		Fields: append([]string(nil), ver.Fields...), Scope: ver.Scope, CreatedAt: ver.CreatedAt}, nil
}

// find resolves a reference to a usable version.
func (s *state) find(t ident.Tenant, r Ref) (*tenant, *entry, Version, error) {
	ten, e, err := s.entry(t, r.Name)
	if err != nil {
		return nil, nil, Version{}, err
	}
	n := r.Version
	if n == 0 {
		n = e.head.Active
	}
	if e.head.Removed {
		return nil, nil, Version{}, fault.Newf(fault.NotFound, "the secret %s was removed", r.Name)
	}
	if n == 0 {
		return nil, nil, Version{}, fault.Newf(fault.Denied, "the secret %s has no active version", r.Name).
			WithHint("rotate it, or activate one of its versions")
	}
	ver, ok := e.head.version(n)
	if !ok {
		return nil, nil, Version{}, fault.Newf(fault.NotFound, "the secret %s has no version %d", r.Name, n)
	}
	if !ver.State.usable() {
		return nil, nil, Version{}, fault.Newf(fault.Denied, "version %d of the secret %s is %s", n, r.Name, ver.State)
	}
	return ten, e, ver, nil
}

// entry finds a Secret, and refuses one whose rows were tampered with.
func (s *state) entry(t ident.Tenant, name string) (*tenant, *entry, error) {
	ten := s.tenants[t]
	switch {
	case ten == nil:
		return nil, nil, notFound(name)
	case ten.bad != nil:
		return nil, nil, fault.Wrap(fault.Denied, "the tenant's secrets are refused", ten.bad)
	case ten.secrets[name] == nil:
		return nil, nil, notFound(name)
	}
	e := ten.secrets[name]
	if e.bad != nil {
		return nil, nil, fault.Wrap(fault.Denied, "the secret "+fault.Quote(name)+" is refused", e.bad)
	}
	return ten, e, nil
}

func notFound(name string) error {
	return fault.Newf(fault.NotFound, "there is no secret %s", fault.Quote(name))
}

// Open decrypts the version and gives a RoundTripper that authenticates requests
// to the origin with it, and scrubs the answers; see package httpcred. The
// caller lets go of it after its call. With Stdio, it leads to a child that has the
// credential instead; see package proccred.
//
// Denied: the version is not usable, or the use is outside its usage scope.
// Conflict: the reference pins another version than was decided on.
//
// Where the version is a pointer the value comes from its backend, or from memory
// while it is fresh. Unavailable: the backend does not answer and no value is left
// that is not too old. NotFound, Denied: the backend has it not, or not for us.
func (v *Vault) Open(ctx context.Context, d DoorSpec) (http.RoundTripper, error) {
	if d.Stdio != nil {
		return v.openChild(ctx, d)
	}
	switch d.Auth.Scheme { //nolint:exhaustive // all others are a field of the Secret
	case resource.SchemeNone:
		return v.openBare(d)
	case resource.SchemeOAuthClient:
		return v.openOAuth(ctx, d)
	case resource.SchemeOAuthUser:
		return v.openUser(ctx, d)
	}
	t, err := v.take(ctx, d)
	if err != nil {
		return nil, err
	}
	// The door holds the strings that it made of the fields.
	defer plain.Wipe(t.packed)
	door, err := httpcred.New(httpcred.Config{
		Auth: d.Auth, Fields: t.fields, Origin: d.Origin, Method: d.Method, Base: d.Base,
		Known: t.known, Latest: func() *scrub.Set { return v.Scrub(d.Tenant) },
	})
	if err != nil {
		return nil, err
	}
	if t.hire != nil {
		return &leaseDoor{door, &v.hires, t.hire}, nil
	}
	name, _, _ := strings.Cut(d.Secret, "@")
	return &scopeDoor{door, func(words []string) { v.heard(d.Tenant, name, Said{Version: t.version, By: SaidHeader, Words: words}) }}, nil
}

// openBare opens a door without a credential: it holds requests to the origin and
// scrubs, as every other does.
func (v *Vault) openBare(d DoorSpec) (http.RoundTripper, error) {
	if d.Secret != "" || d.Version != 0 {
		return nil, fault.New(fault.Invalid, "a door without a credential names a secret")
	}
	if _, err := v.open(); err != nil {
		return nil, err
	}
	return httpcred.New(httpcred.Config{
		Auth: d.Auth, Origin: d.Origin, Method: d.Method, Base: d.Base,
		Known: v.Scrub(d.Tenant), Latest: func() *scrub.Set { return v.Scrub(d.Tenant) },
	})
}

// taken is a version that was decrypted for a door. Who has it wipes packed.
type taken struct {
	packed plain.Value
	fields map[string]plain.Value // in packed's memory
	known  *scrub.Set             // of the tenant
	// The Secret's id and the version, and where that is a pointer, what it led to.
	id      string
	version int
	outside string
	hire    *hire // of a Run's own; else nil
}

// take gives the version that a door is for; see Open for its errors.
func (v *Vault) take(ctx context.Context, d DoorSpec) (taken, error) {
	return v.takeWithin(ctx, d, func(s Scope) error { return s.permits(d, v.cfg.Now()) })
}

// takeWithin is take with a check of the version's usage scope.
func (v *Vault) takeWithin(ctx context.Context, d DoorSpec, permits func(Scope) error) (taken, error) {
	t, found, err := v.takeOwn(d, permits)
	if err != nil || found.ver.Pointer == nil {
		return t, err
	}
	p := found.ver.Pointer
	got, hire, err := v.reach(ctx, d, found)
	if err != nil {
		return taken{}, unreached(found.e.head.Name, err)
	}
	// It may have taken seconds: what was disabled meanwhile is not used.
	if _, _, err := v.chosen(d, permits); err != nil {
		plain.Wipe(got.packed)
		v.outside.forget(d.Tenant, found.e.head.ID, v.cfg.Now(), func(n int) bool { return n == found.ver.Version })
		return taken{}, err
	}
	if d.From != nil {
		*d.From = External{Backend: p.Backend, Version: got.version}
	}
	return taken{got.packed, got.fields, v.Scrub(d.Tenant), found.e.head.ID, found.ver.Version, p.Backend + "\n" + got.version, hire}, nil
}

// reach gives the value that a pointer points to: that of everybody, or the Run's own.
func (v *Vault) reach(ctx context.Context, d DoorSpec, f found) (lent, *hire, error) {
	p := f.ver.Pointer
	if v.cfg.Backends.Lessor(p.Backend) == nil {
		got, err := v.resolve(ctx, f.place(d.Tenant), f.e.head.Name, p)
		return got, nil, err
	}
	b, err := v.cfg.Backends.Find(d.Tenant, p.Backend, p.ask())
	if err != nil {
		return lent{}, nil, err
	}
	return v.hired(ctx, d, f, b.(backend.Lessor))
}

// found is the version that a door is for.
type found struct {
	e   *entry
	ver Version
}

func (f found) place(t ident.Tenant) place {
	return place{tenant: t, secret: f.e.head.ID, version: f.ver.Version}
}

// takeOwn decrypts it, where it is in our store.
func (v *Vault) takeOwn(d DoorSpec, permits func(Scope) error) (taken, found, error) {
	v.replacing.RLock()
	defer v.replacing.RUnlock()
	ten, f, err := v.chosen(d, permits)
	if err != nil || f.ver.Pointer != nil {
		return taken{}, f, err
	}
	packed, fields, err := v.decrypt(ten, f.e, f.ver.Version)
	return taken{packed, fields, ten.set, f.e.head.ID, f.ver.Version, "", nil}, f, err
}

// chosen finds the version, and refuses a use outside of its scope.
func (v *Vault) chosen(d DoorSpec, permits func(Scope) error) (*tenant, found, error) {
	s, err := v.open()
	if err != nil {
		return nil, found{}, err
	}
	r, err := ParseRef(d.Secret)
	if err != nil {
		return nil, found{}, err
	}
	if r.Version != 0 && d.Version != 0 && r.Version != d.Version {
		return nil, found{}, fault.New(fault.Conflict, "the reference pins another version than was decided on")
	}
	if d.Version != 0 {
		r.Version = d.Version
	}
	ten, e, ver, err := s.find(d.Tenant, r)
	if err != nil {
		return nil, found{}, err
	}
	return ten, found{e, ver}, permits(ver.Scope)
}

// Carried says whether a request failed because the door met known secrets in it,
// besides its credential: their names, sorted, for the record, and the part of the
// request, "URL", "headers" or "body". The error's own text has neither.
func Carried(err error) (names []string, part string, ok bool) {
	c, ok := errors.AsType[*httpcred.Carried](err)
	if !ok {
		return nil, "", false
	}
	return c.Names(), c.Part(), true
}
