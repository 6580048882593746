package vault

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// Set stores a value. Under a new name it is version 1, and active; under a name
// that exists it is the next version, and pending: it can be tried by its number,
// and is used when it is activated. The bytes of w.Fields are wiped, and so is
// what w.Sealed was decrypted to. Conflict: w.Sealed was sent before, or is too
// old. Invalid: also a value that stands in recorded traffic, see Config.
func (v *Vault) Set(ctx context.Context, w Write) (Secret, error) {
	return v.write(ctx, w, true, func(c *change, n int) {
		c.event = audit.SecretSet
		c.activateFirst(n)
	})
}

// activateFirst makes a version active where its name is new, or was removed.
func (c *change) activateFirst(n int) {
	if n == 1 || c.e.head.Removed {
		c.set(n, Active)
	}
	c.e.head.Removed = false
}

// Rotate stores a value as the next version of a name that exists, and makes it
// the active one. The version that was active gets its grace: calls that were
// decided on with it go on, and answers are scrubbed of it.
func (v *Vault) Rotate(ctx context.Context, w Write) (Secret, error) {
	return v.write(ctx, w, false, func(c *change, n int) {
		c.event = audit.SecretRotated
		c.set(n, Active)
	})
}

// write adds a version; then decides on its state.
func (v *Vault) write(ctx context.Context, w Write, create bool, then func(*change, int)) (Secret, error) {
	defer func() { w.wipe() }() // w changes until then
	if err := v.reveal(ctx, &w); err != nil {
		return Secret{}, err
	}
	at, err := v.lookThere(ctx, &w)
	if err != nil {
		return Secret{}, err
	}
	if err := w.check(); err != nil {
		return Secret{}, err
	}
	if strings.HasPrefix(w.Name, quarantinePrefix) {
		return Secret{}, errReserved()
	}
	if err := w.checkShown(v.Scrub(w.Tenant)); err != nil {
		return Secret{}, err
	}
	trace, err := v.traced(ctx, &w)
	if err != nil {
		return Secret{}, err
	}
	return v.commit(ctx, w.Tenant, w.Name, w.Actor, create, func(c *change) error {
		if c.e.head.Removed && !create {
			return fault.Newf(fault.NotFound, "the secret %s was removed", w.Name)
		}
		n, err := v.addVersion(c, &w)
		if err != nil {
			return err
		}
		then(c, n)
		maps.Copy(c.fields, trace.fields(&w))
		maps.Copy(c.fields, w.Pointer.event(at))
		return c.describeVersion(n)
	})
}

// describeVersion puts into the entry what was stored.
func (c *change) describeVersion(n int) error {
	ver, _ := c.e.head.version(n)
	scope, err := ver.Scope.digest()
	if err != nil {
		return err
	}
	maps.Copy(c.fields, map[string]any{"secretVersion": n, "fields": ver.Fields, "scope": scope, "state": string(ver.State)})
	return nil
}

// addVersion encrypts w as the next version, pending.
func (v *Vault) addVersion(c *change, w *Write) (int, error) {
	h := &c.e.head
	n := len(h.Versions) + 1
	if n > maxVersion {
		return 0, fault.Newf(fault.Limit, "the secret %s has %d versions, the most that one can have", h.Name, maxVersion)
	}
	if err := v.currentTerm(c); err != nil {
		return 0, err
	}
	h.describe(w)
	term := c.ten.register.Term
	ver := Version{Version: n, State: Pending, Fields: slices.Sorted(maps.Keys(w.Fields)), Term: term, CreatedAt: c.now, CreatedBy: w.Actor.String()}
	fields := w.Fields
	if w.Pointer != nil {
		ver.Pointer, ver.Fields = w.Pointer.clone(), w.Pointer.names()
		var err error
		if fields, err = w.Pointer.sealed(); err != nil {
			return 0, err
		}
	}
	switch {
	case w.Scope != nil:
		ver.Scope = *w.Scope
	case n > 1:
		ver.Scope = h.Versions[n-2].Scope
		ver.Scope.NotAfter = time.Time{} // a version's own
	}
	if !w.Expires.IsZero() {
		ver.Scope.NotAfter = expiry(w.Expires)
	}
	if ver.Scope.Expired(c.now) {
		return 0, fault.New(fault.Invalid, "the version would have expired already")
	}
	// Who builds is not who holds the keys: without an origin, a Connection to a
	// system of the builder's own would hand them the value.
	if inherited := w.Scope == nil && n > 1; w.Actor.Kind == ident.Person && len(ver.Scope.Origins) == 0 && !w.AnyOrigin && !inherited {
		return 0, fault.New(fault.Invalid, "the secret is not bound to an origin").
			WithHint("say where it may go, like https://erp.example.com (--origin), or that it may go anywhere (--any-origin)")
	}
	row, err := v.encrypt(c.ten.projects[term], h, ver, fields)
	if err != nil {
		return 0, err
	}
	ver.Sum = sum(row.Key, row.Value)
	h.Versions = append(h.Versions, ver)
	c.e.keys[n], c.versions = row, []VersionRow{row}
	return n, nil
}

// describe takes over what w says about the Secret.
func (s *Secret) describe(w *Write) {
	if w.Description != "" {
		s.Description = w.Description
	}
	if w.Owner != "" {
		s.Owner = w.Owner
	}
	if w.Labels != nil {
		s.Labels = maps.Clone(w.Labels)
	}
}

// List gives what is known of a tenant's Secrets, by name, without those that
// were removed or are in quarantine. One that is refused has its name and no
// version.
func (v *Vault) List(_ context.Context, t ident.Tenant) ([]Secret, error) {
	s, err := v.open()
	if err != nil {
		return nil, err
	}
	ten := s.tenants[t]
	if ten == nil {
		return nil, nil
	}
	var out []Secret
	for _, e := range ten.secrets {
		switch {
		case ten.bad != nil || e.bad != nil:
			out = append(out, Secret{Name: e.head.Name})
		case !e.head.Removed && e.head.Quarantined == nil:
			out = append(out, e.head.clone())
		}
	}
	slices.SortFunc(out, func(a, b Secret) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Show gives what is known of one Secret, a tombstone included.
func (v *Vault) Show(_ context.Context, t ident.Tenant, name string) (Secret, error) {
	s, err := v.open()
	if err != nil {
		return Secret{}, err
	}
	_, e, err := s.entry(t, name)
	if err != nil {
		return Secret{}, err
	}
	return e.head.clone(), nil
}
