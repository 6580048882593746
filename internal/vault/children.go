package vault

import (
	"context"
	"net/http"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/httpcred"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/proccred"
)

// openChild opens a door to a server that is a child of this process, with the
// credential; see package proccred. It is httpcred's door, which puts nothing in,
// over a transport that is the child: all that a request and an answer go through
// elsewhere, they go through here.
func (v *Vault) openChild(ctx context.Context, d DoorSpec) (http.RoundTripper, error) {
	if !d.Origin.Stdio() || d.Connection == "" {
		return nil, fault.New(fault.Internal, "a door to a child without its Connection, or to somewhere else")
	}
	if err := v.MayRun(d.Stdio); err != nil {
		return nil, err
	}
	latest := func() *scrub.Set { return v.Scrub(d.Tenant) }
	spec := proccred.Spec{Key: proccred.Key{Tenant: d.Tenant, Connection: d.Connection}, Stdio: d.Stdio, Auth: d.Auth, Known: latest}
	known := latest()
	if d.Auth.Scheme == resource.SchemeNone {
		if d.Secret != "" || d.Version != 0 {
			return nil, fault.New(fault.Invalid, "a door without a credential names a secret")
		}
		if _, err := v.open(); err != nil {
			return nil, err
		}
	} else {
		t, err := v.take(ctx, d)
		if err != nil {
			return nil, err
		}
		defer plain.Wipe(t.packed) // the door has a copy of the one field
		spec.Fields, known = t.fields, t.known
		spec.Key.Secret, spec.Key.Version, spec.Key.Outside = t.id, t.version, t.outside
		if t.hire != nil {
			spec.Key.Run, spec.Good = d.Run, func() bool { return v.hires.good(t.hire) }
		}
	}
	child, err := v.children.Door(spec)
	if err != nil {
		return nil, err
	}
	return httpcred.New(httpcred.Config{Auth: resource.Auth{Scheme: resource.SchemeNone}, Origin: d.Origin, Method: d.Method,
		Base: child, Known: known, Latest: latest})
}

// reviewChildren ends the children whose credential is not the one that a door
// would be opened with now: after a rotation, those of the version before. Calls
// in flight end first.
func (v *Vault) reviewChildren(s *state) {
	v.children.Keep(func(k proccred.Key) bool {
		if s == nil {
			return false
		}
		if k.Secret == "" {
			return true
		}
		ten := s.tenants[k.Tenant]
		if ten == nil || ten.bad != nil {
			return false
		}
		for _, e := range ten.secrets {
			if e.head.ID == k.Secret {
				ver, ok := e.head.version(k.Version)
				return ok && e.bad == nil && !e.head.Removed && (ver.State == Active || ver.State == Pending)
			}
		}
		return false
	})
}

// parting is how long the calls of a child have to end when its credential is to be
// revoked. Nobody waits longer: a Run that was stopped loses what it has.
const parting = 30 * time.Second

// leave ends the children that have a Run's own credential, and says how many calls
// they still have. The credential is good no more, so none is started after it.
func (v *Vault) leave(h *hire, now bool) (calls int) {
	out := h.lease.Backend + "\n" + h.lease.ID
	return v.children.Leave(func(k proccred.Key) bool {
		return k.Run == h.at.run && k.Tenant == h.at.tenant && k.Secret == h.at.secret && k.Outside == out
	}, now)
}

// parted takes a credential from whoever would begin with it, and says whether the
// calls of its children have ended, or had their time.
func (v *Vault) parted(h *hire, why string) bool {
	now := v.cfg.Now()
	since, ok := v.hires.part(h, why, now)
	return ok && (v.leave(h, false) == 0 || !now.Before(since.Add(parting)))
}

// KeepChildren ends the children of a tenant's Connections that are not to be kept,
// each when its calls have ended.
func (v *Vault) KeepChildren(t ident.Tenant, keep func(connection string) bool) {
	v.children.Keep(func(k proccred.Key) bool { return k.Tenant != t || keep(k.Connection) })
}

// ChildTail gives the last lines, scrubbed, that the children of a Connection wrote
// to their standard error: for people who look for why one does not answer.
func (v *Vault) ChildTail(t ident.Tenant, connection string) []string {
	return v.children.Tail(t, connection)
}

// CloseChildren ends all children, and returns when they are gone; what is left of
// them when ctx ends is killed.
func (v *Vault) CloseChildren(ctx context.Context) error { return v.children.Close(ctx) }
