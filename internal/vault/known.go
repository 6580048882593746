package vault

import (
	"bytes"
	"encoding/base64"
	"errors"
	"maps"
	"slices"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/internal/plain"
)

// known decrypts all that a tenant has, as what to scrub: values, their parts,
// and what is derived from them. wipe is called when the set is built.
func (v *Vault) known(name ident.Tenant, ten *tenant) (list []scrub.Secret, wipe func(), err error) {
	wipe = func() {
		for _, s := range list {
			clear(s.Value)
		}
	}
	type use struct {
		e *entry
		n int
	}
	var uses []use
	for _, name := range slices.Sorted(maps.Keys(ten.secrets)) {
		e := ten.secrets[name]
		if ten.bad != nil || e.bad != nil {
			continue // can't be opened, so nothing of it can come back
		}
		for _, ver := range e.head.Versions {
			if ver.State != Destroyed {
				uses = append(uses, use{e, ver.Version})
			}
		}
	}
	lists, errs := make([][]scrub.Secret, len(uses)), make([]error, len(uses))
	beside(len(uses), func(i int) { lists[i], errs[i] = v.knownOf(ten, uses[i].e, uses[i].n) })
	list = slices.Concat(append(lists, ten.remembered(), v.outside.known(name, v.cfg.Now()))...)
	if err = errors.Join(errs...); err != nil {
		wipe()
		return nil, nil, err
	}
	return list, wipe, nil
}

// knownOf decrypts one version.
func (v *Vault) knownOf(ten *tenant, e *entry, n int) ([]scrub.Secret, error) {
	if q := e.head.Quarantined; q != nil {
		return v.knownInQuarantine(ten, e, n)
	}
	if ver, _ := e.head.version(n); ver.Pointer != nil {
		return nil, nil // what was fetched is known apart from it
	}
	packed, fields, err := v.decrypt(ten, e, n)
	if err != nil {
		return nil, err
	}
	defer plain.Wipe(packed)
	return derive(e.head.Name, fields), nil
}

// derive lists copies of what has to be found of one version.
func derive(name string, fields map[string]plain.Value) []scrub.Secret {
	var out []scrub.Secret
	add := func(b []byte) {
		if len(b) <= scrub.MaxLen {
			out = append(out, scrub.Secret{Name: name, Value: bytes.Clone(b)})
		}
	}
	for field, value := range fields {
		if public(field) {
			continue
		}
		b := plain.Bytes(value)
		add(b)
		_, list := parts(bytes.TrimSpace(b))
		for _, p := range list {
			add(p)
		}
	}
	for _, at := range [][2]string{{userField, "password"}, {clientField, "client_secret"}} {
		user, password := plain.Bytes(fields[at[0]]), plain.Bytes(fields[at[1]])
		if len(user) == 0 || len(password) == 0 {
			continue
		}
		pair := bytes.Join([][]byte{user, password}, []byte(":")) // basic authentication's
		add(pair)
		// A system that repeats the header repeats this, in any encoding.
		coded := base64.StdEncoding.AppendEncode(nil, pair)
		add(bytes.TrimRight(coded, "="))
		clear(pair)
		clear(coded)
	}
	return out
}

// extend is rebuild where versions came and none went: it costs what they cost,
// not what there is.
func (v *Vault) extend(s *state, c *change) (*state, *scrub.Set, error) {
	var list []scrub.Secret
	defer func() {
		for _, s := range list {
			clear(s.Value)
		}
	}()
	for _, row := range c.versions {
		derived, err := v.knownOf(c.ten, c.ten.secrets[row.Name], row.Version)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, derived...)
	}
	next := s.with(c.name, c.ten)
	var err error
	if c.ten.set, err = scrub.Extend(c.ten.set, list); err != nil || len(next.tenants) == 1 {
		return next, c.ten.set, err
	}
	all, err := scrub.Extend(v.holder.Load(), list)
	return next, all, err
}

// rebuild gives the state with one tenant replaced, its set, and the set of all
// tenants. Nothing is published.
func (v *Vault) rebuild(s *state, name ident.Tenant, ten *tenant) (*state, *scrub.Set, error) {
	next := s
	if name != "" {
		next = s.with(name, ten)
	}
	var all []scrub.Secret
	for n, t := range next.tenants {
		list, wipe, err := v.known(n, t)
		if err != nil {
			return nil, nil, err
		}
		defer wipe() // when both sets are built
		if n == name || t.set == nil {
			if t.set, err = scrub.Build(list); err != nil {
				return nil, nil, err
			}
		}
		if len(next.tenants) == 1 {
			return next, t.set, nil // it is the set of all
		}
		all = append(all, list...)
	}
	set, err := scrub.Build(all)
	return next, set, err
}

// publish makes a state the current one. The process-wide set goes first: what a
// door can bring back is scrubbed before a door can be opened.
func (v *Vault) publish(s *state, all *scrub.Set) {
	v.holder.Store(all)
	v.state.Store(s)
	v.reviewChildren(s)
}
