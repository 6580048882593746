package vault

import (
	"context"
	"encoding/json"
	"maps"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// change is one change of a tenant's Secrets under way. It works on copies: the
// current state is replaced only when the store has the new one.
type change struct {
	now      time.Time
	name     ident.Tenant
	ten      *tenant // a copy
	e        *entry  // a copy, in ten, where the change is of one Secret
	touched  []*entry
	project  *ProjectRow
	versions []VersionRow
	shred    []VersionID
	drop     []int
	event    audit.Type
	fields   map[string]any // of the event
	actor    ident.Principal
}

// commit runs f on a copy of the Secret, stores what it made, and publishes it.
// create says whether a name that does not exist is made.
func (v *Vault) commit(ctx context.Context, t ident.Tenant, name string, actor ident.Principal, create bool, f func(*change) error) (Secret, error) {
	if err := checkCaller(t, actor); err != nil {
		return Secret{}, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	s, err := v.open()
	if err != nil {
		return Secret{}, err
	}
	c := &change{now: v.cfg.Now().UTC().Truncate(time.Millisecond), name: t, actor: actor, fields: map[string]any{"secret": name}}
	if err := c.copy(s, name, create); err != nil {
		return Secret{}, err
	}
	if err := f(c); err != nil {
		return Secret{}, err
	}
	stored, err := v.finish(c)
	if err != nil {
		return Secret{}, err
	}
	next, all := s.with(t, c.ten), v.holder.Load()
	switch { // otherwise no value came or went
	case len(c.shred) > 0:
		next, all, err = v.rebuild(s, t, c.ten)
	case len(c.versions) > 0:
		next, all, err = v.extend(s, c)
	}
	if err != nil {
		return Secret{}, err
	}
	if err := v.store.SaveSecrets(ctx, stored); err != nil {
		return Secret{}, fault.Wrap(fault.KindOf(err), "storing the secret "+name, err)
	}
	v.publish(next, all)
	v.hires.looked()
	v.outside.forget(t, c.e.head.ID, c.now, func(n int) bool {
		ver, _ := c.e.head.version(n)
		return !ver.State.usable()
	})
	return c.e.head.clone(), nil
}

// with is the state with one tenant replaced.
func (s *state) with(name ident.Tenant, ten *tenant) *state {
	next := *s
	next.tenants = maps.Clone(s.tenants)
	next.tenants[name] = ten
	return &next
}

// copy takes up the Secret as it is, or a new one.
func (c *change) copy(s *state, name string, create bool) error {
	_, old, err := s.entry(c.name, name)
	if err != nil && (!create || !fault.Is(err, fault.NotFound)) {
		return err
	}
	c.copyTenant(s)
	if old != nil {
		c.e = old.clone()
	} else {
		c.e = &entry{keys: map[int]VersionRow{}, head: Secret{ID: ident.New("sec"), Name: name, Project: defaultProject, CreatedAt: c.now}}
	}
	c.ten.secrets[name], c.touched = c.e, []*entry{c.e}
	return nil
}

// copyTenant takes up the tenant as it is, or a new one. The entries are shared.
func (c *change) copyTenant(s *state) {
	c.ten = &tenant{projects: map[int]ProjectRow{}, secrets: map[string]*entry{}, register: register{Names: map[string]int64{}}}
	if ten := s.tenants[c.name]; ten != nil {
		c.ten.projects = maps.Clone(ten.projects)
		c.ten.secrets = maps.Clone(ten.secrets)
		c.ten.register = ten.register
		c.ten.register.Names = maps.Clone(ten.register.Names)
		c.ten.set = ten.set
		c.ten.learned = ten.learned
	}
}

// clone copies what a change would change.
func (e *entry) clone() *entry {
	return &entry{rev: e.rev, head: e.head.clone(), keys: maps.Clone(e.keys)}
}

// finish makes the rows of the change.
func (v *Vault) finish(c *change) (Change, error) {
	var heads []Row
	for _, e := range c.touched {
		e.rev++
		e.head.UpdatedAt = c.now
		c.ten.register.Names[e.head.Name] = e.rev
		head, err := v.row(tableSecret, Row{Tenant: c.name, Name: e.head.Name, Rev: e.rev}, e.head)
		if err != nil {
			return Change{}, err
		}
		heads = append(heads, head)
	}
	c.ten.register.rev++
	reg, err := v.row(tableRegister, Row{Tenant: c.name, Rev: c.ten.register.rev}, c.ten.register)
	if err != nil {
		return Change{}, err
	}
	return Change{Secrets: heads, Register: reg, Project: c.project, Versions: c.versions, Shred: c.shred, Drop: c.drop,
		Event: audit.Event{Type: c.event, Tenant: c.name, At: c.now, Actor: c.actor.String(), Fields: c.fields}}, nil
}

// row fills in a row's body and MAC.
func (v *Vault) row(table string, r Row, body any) (_ Row, err error) {
	if r.Body, err = json.Marshal(body); err != nil {
		return Row{}, fault.New(fault.Internal, "encoding a row of the vault")
	}
	r.MAC, err = v.rowMAC(table, r)
	return r, err
}

// set gives a version another state, and keeps Active true.
func (c *change) set(n int, to State) {
	h := &c.e.head
	if h.Active == n {
		h.Active = 0
	}
	if to == Active {
		c.retire()
		h.Active = n
	}
	h.Versions[n-1].State = to
}

// retire ends the active version: it gets its grace, and the one that had it
// until now is disabled.
func (c *change) retire() {
	h := &c.e.head
	if h.Active == 0 {
		return
	}
	for i := range h.Versions {
		if h.Versions[i].State == Previous {
			h.Versions[i].State = Disabled
		}
	}
	h.Versions[h.Active-1].State = Previous
	h.Active = 0
}
