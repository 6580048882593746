package vault

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/internal/plain"
)

// termAge is how long new versions are put under one term of a project key. Its
// other end, 2^30 wrapped keys, is beyond what a tenant can store.
const termAge = 90 * 24 * time.Hour

// rekeyBatch is how many Secrets are rekeyed in one change: doors are opened and
// other changes are made between two.
const rekeyBatch = 256

// currentTerm makes sure that there is a project key for a new version, and that
// it is not an old one.
func (v *Vault) currentTerm(c *change) error {
	reg := &c.ten.register
	p, ok := c.ten.projects[reg.Term]
	if reg.Term > 0 && !ok {
		// An older one would open too, and could be one that was to be left behind.
		return fault.New(fault.Denied, "the row of the tenant's project key was removed")
	}
	if ok && c.now.Sub(p.CreatedAt) < termAge {
		return nil
	}
	return v.nextTerm(c)
}

// nextTerm makes the project key of the next term.
func (v *Vault) nextTerm(c *change) error {
	p, err := v.newProject(c.name, c.ten.register.Term+1, c.now)
	if err != nil {
		return err
	}
	c.ten.projects[p.Term], c.project, c.ten.register.Term = p, &p, p.Term
	return nil
}

// newTerms starts a new term of every tenant's project key: what is stored from
// now on is under keys that no older copy of the database has.
func (v *Vault) newTerms(ctx context.Context, actor ident.Principal) error {
	s, err := v.open()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.tenants)) {
		if err := v.newTerm(ctx, name, actor); err != nil {
			return fault.Wrap(fault.KindOf(err), "the seal is changed; starting new project keys, which \"sallyport key rotate project\" does too", err)
		}
	}
	return nil
}

func (v *Vault) newTerm(ctx context.Context, name ident.Tenant, actor ident.Principal) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, err := v.open()
	if err != nil {
		return err
	}
	if ten := s.tenants[name]; ten == nil || ten.bad != nil || ten.register.Term == 0 {
		return nil // nothing new is stored there
	}
	c := &change{now: v.cfg.Now().UTC().Truncate(time.Millisecond), name: name, actor: actor, event: audit.SecretRekeyed}
	c.copyTenant(s)
	if err := v.nextTerm(c); err != nil {
		return err
	}
	c.fields = map[string]any{"kind": "project", "generation": c.ten.register.Term, "count": 0}
	stored, err := v.finish(c)
	if err != nil {
		return err
	}
	if err := v.store.SaveSecrets(ctx, stored); err != nil {
		return err
	}
	v.state.Store(s.with(name, c.ten))
	return nil
}

// RotateProject gives a tenant a new project key and wraps every data key again
// under it, while doors are open. The older project keys are destroyed, unless a
// Secret that is refused is still under them. When it is interrupted, every
// version is under a key that there is; doing it again does the rest.
func (v *Vault) RotateProject(ctx context.Context, t ident.Tenant, actor ident.Principal) (Rotation, error) {
	return v.rekey(ctx, t, actor, "project", v.rewrapVersion)
}

// RotateData gives every version a new data key and encrypts its value again, on
// top of what RotateProject does.
func (v *Vault) RotateData(ctx context.Context, t ident.Tenant, actor ident.Principal) (Rotation, error) {
	return v.rekey(ctx, t, actor, "data", v.recryptVersion)
}

// rekeyed makes a version's ciphertexts under the project key of ver.Term; its
// old ones are under that of was.
type rekeyed func(ten *tenant, e *entry, was, ver Version) (VersionRow, error)

func (v *Vault) rekey(ctx context.Context, t ident.Tenant, actor ident.Principal, what string, f rekeyed) (Rotation, error) {
	if err := checkCaller(t, actor); err != nil {
		return Rotation{}, err
	}
	out := Rotation{What: what}
	done := map[string]bool{}
	for first := true; ; first = false {
		if err := ctx.Err(); err != nil {
			return out, fault.Wrap(fault.Unavailable, "rotating keys; what is done is done, and doing it again does the rest", err)
		}
		n, more, err := v.rekeySome(ctx, t, actor, first, done, &out, f)
		out.Count += n
		if err != nil || !more {
			return out, err
		}
	}
}

// rekeySome is one change of up to rekeyBatch Secrets. It reports whether there
// are more.
func (v *Vault) rekeySome(ctx context.Context, t ident.Tenant, actor ident.Principal, first bool, done map[string]bool, out *Rotation, f rekeyed) (n int, more bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, err := v.open()
	if err != nil {
		return 0, false, err
	}
	if ten := s.tenants[t]; ten == nil || ten.bad != nil || len(ten.projects) == 0 {
		if ten != nil && ten.bad != nil {
			return 0, false, fault.Wrap(fault.Denied, "the tenant's secrets are refused", ten.bad)
		}
		return 0, false, fault.New(fault.NotFound, "there are no Secrets whose keys could be rotated")
	}
	c := &change{now: v.cfg.Now().UTC().Truncate(time.Millisecond), name: t, actor: actor, event: audit.SecretRekeyed}
	c.copyTenant(s)
	if first {
		if err := v.nextTerm(c); err != nil {
			return 0, false, err
		}
		out.Generation = c.ten.register.Term
	}
	if n, more, err = v.takeBatch(c, out.Generation, done, f); err != nil {
		return 0, false, err
	}
	if !more {
		c.dropOld()
	}
	c.fields = map[string]any{"kind": out.What, "generation": out.Generation, "count": n}
	stored, err := v.finish(c)
	if err != nil {
		return 0, false, err
	}
	if err := v.store.SaveSecrets(ctx, stored); err != nil {
		return 0, false, fault.Wrap(fault.KindOf(err), "storing the rotated keys", err)
	}
	v.state.Store(s.with(t, c.ten)) // the values are the same, and so are the scrub sets
	return n, more, nil
}

// takeBatch takes up the next Secrets that were not done yet.
func (v *Vault) takeBatch(c *change, term int, done map[string]bool, f rekeyed) (n int, more bool, err error) {
	for _, name := range slices.Sorted(maps.Keys(c.ten.secrets)) {
		e := c.ten.secrets[name]
		if done[name] || e.bad != nil || e.head.Removed {
			continue
		}
		if len(c.touched) == rekeyBatch {
			return n, true, nil
		}
		done[name] = true
		e = e.clone()
		for i, was := range e.head.Versions {
			if was.State == Destroyed || was.Term > term {
				continue
			}
			ver := was
			ver.Term = term
			row, err := f(c.ten, e, was, ver)
			if err != nil {
				return 0, false, fault.Wrap(fault.KindOf(err), fmt.Sprintf("rotating the keys of version %d of the secret %s", ver.Version, name), err)
			}
			ver.Sum = sum(row.Key, row.Value)
			e.head.Versions[i], e.keys[ver.Version] = ver, row
			c.versions = append(c.versions, row)
			n++
		}
		c.ten.secrets[name] = e
		c.touched = append(c.touched, e)
	}
	return n, false, nil
}

// dropOld ends the project keys that no version is under any more.
func (c *change) dropOld() {
	used := map[int]bool{c.ten.register.Term: true}
	for _, e := range c.ten.secrets {
		if e.bad != nil {
			return // which term it is under is not known
		}
		for _, ver := range e.head.Versions {
			if ver.State != Destroyed {
				used[ver.Term] = true
			}
		}
	}
	for _, term := range slices.Sorted(maps.Keys(c.ten.projects)) {
		if !used[term] {
			c.drop = append(c.drop, term)
			delete(c.ten.projects, term)
		}
	}
}

// rewrapVersion wraps a version's data key under another project key.
func (v *Vault) rewrapVersion(ten *tenant, e *entry, was, ver Version) (VersionRow, error) {
	row, from, to, err := v.bothKeys(ten, e, was, ver)
	if err != nil {
		return VersionRow{}, err
	}
	defer plain.Wipe(from)
	defer plain.Wipe(to)
	oldAAD, err := keyAAD(row.Tenant, &e.head, was)
	if err != nil {
		return VersionRow{}, err
	}
	newAAD, err := keyAAD(row.Tenant, &e.head, ver)
	if err != nil {
		return VersionRow{}, err
	}
	plain.Do(func() { row.Key, err = rewrap(plain.Bytes(from), plain.Bytes(to), oldAAD, newAAD, row.Key) })
	return row, err
}

// bothKeys gives a version's row and the project keys of its old and new term.
func (v *Vault) bothKeys(ten *tenant, e *entry, was, ver Version) (row VersionRow, from, to plain.Value, err error) {
	row, ok := e.keys[was.Version]
	if _, known := ten.projects[was.Term]; !ok || !known {
		return row, from, to, fault.New(fault.Denied, "the version's keys are gone")
	}
	if from, err = v.projectKey(ten.projects[was.Term]); err != nil {
		return row, from, to, err
	}
	if to, err = v.projectKey(ten.projects[ver.Term]); err != nil {
		plain.Wipe(from)
	}
	return row, from, to, err
}

// recryptVersion encrypts a version's value under a new data key.
func (v *Vault) recryptVersion(ten *tenant, e *entry, _, ver Version) (VersionRow, error) {
	packed, fields, err := v.decrypt(ten, e, ver.Version)
	if err != nil {
		return VersionRow{}, err
	}
	defer plain.Wipe(packed)
	lent := make(map[string][]byte, len(fields))
	for name, value := range fields {
		lent[name] = plain.Bytes(value)
	}
	return v.encrypt(ten.projects[ver.Term], &e.head, ver, lent)
}
