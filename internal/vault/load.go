package vault

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/internal/plain"
)

// Tables, as row MACs name them.
const (
	tableSecret   = "vault_secret"
	tableRegister = "vault_register"
	tableSeal     = "vault_seal"
	tableRoot     = "vault_root"
	tableProject  = "vault_project"
)

// verify makes the state of what was stored. A Secret whose rows are not the
// ones that were written last is kept as refused, with the reason; nothing of
// one row's damage reaches another Secret, but for a register's, which is about
// all of a tenant's. The root key has to be there.
func (v *Vault) verify(snap Snapshot, last Changes, refused map[string]error) *state {
	s := &state{root: snap.Ring.Root, seals: snap.Ring.Seals, refused: refused, tenants: map[ident.Tenant]*tenant{}}
	of := func(t ident.Tenant) *tenant {
		if s.tenants[t] == nil {
			s.tenants[t] = &tenant{projects: map[int]ProjectRow{}, secrets: map[string]*entry{}}
		}
		return s.tenants[t]
	}
	for _, p := range snap.Ring.Projects {
		if why := v.checkProject(p); why != nil {
			s.strays = append(s.strays, stray{p, why})
			continue
		}
		of(p.Tenant).projects[p.Term] = p
	}
	heads := make([]*entry, len(snap.Secrets))
	beside(len(heads), func(i int) { heads[i] = v.loadHead(snap.Secrets[i]) })
	for i, r := range snap.Secrets {
		of(r.Tenant).secrets[r.Name] = heads[i]
	}
	for _, r := range snap.Versions {
		if e := of(r.Tenant).secrets[r.Name]; e != nil {
			e.keys[r.Version] = r
		}
	}
	registers := map[ident.Tenant]Row{}
	for _, r := range snap.Registers {
		of(r.Tenant)
		registers[r.Tenant] = r
	}
	for t := range last.Secrets {
		of(t)
	}
	for name, t := range s.tenants {
		v.verifyTenant(t, registers[name], last.Secrets[name])
	}
	return s
}

// stray is a project key's row that nobody with the root key wrote. It is left
// out, and gone after the next change of the ring.
type stray struct {
	row ProjectRow
	why error
}

// checkProject says why a project key's row is not one of the vault's, or nil.
func (v *Vault) checkProject(p ProjectRow) error {
	if p.Project != defaultProject {
		return fault.New(fault.Denied, "there is no such project")
	}
	key, err := v.projectKey(p)
	plain.Wipe(key)
	return err
}

// loadHead checks a Secret's head row.
func (v *Vault) loadHead(r Row) *entry {
	e := &entry{rev: r.Rev, head: Secret{Name: r.Name}, keys: map[int]VersionRow{}}
	if e.bad = v.checkMAC(tableSecret, r); e.bad != nil {
		return e
	}
	if head, err := parseSecret(r.Name, r.Body); err != nil {
		e.bad = err
	} else {
		e.head = head
	}
	return e
}

// verifyTenant holds a tenant's Secrets against its register, the register
// against the audit log, and every ciphertext against its head.
func (v *Vault) verifyTenant(t *tenant, row Row, changes int64) {
	t.register, t.bad = v.loadRegister(t, row, changes)
	if t.bad != nil {
		return
	}
	var good []*entry
	for name, e := range t.secrets {
		want, listed := t.register.Names[name]
		switch {
		case e.bad != nil:
		case !listed:
			e.bad = fault.New(fault.Denied, "its row was put in by somebody without the key")
		case want != e.rev:
			e.bad = fault.New(fault.Denied, "an old row of it was put back")
		default:
			good = append(good, e)
		}
	}
	beside(len(good), func(i int) { good[i].bad = v.verifyVersions(t, good[i]) })
	for name := range t.register.Names {
		if t.secrets[name] == nil {
			t.secrets[name] = &entry{head: Secret{Name: name}, bad: fault.New(fault.Denied, "its row was removed")}
		}
	}
}

// loadRegister checks a register. Its revision is the number of changes; when
// the audit log has counted others, everything was put back as it once was.
func (v *Vault) loadRegister(t *tenant, row Row, changes int64) (register, error) {
	if row.Rev == 0 {
		if len(t.secrets) == 0 && changes == 0 {
			return register{Names: map[string]int64{}}, nil
		}
		return register{}, fault.New(fault.Denied, "the tenant's register of secrets was removed")
	}
	if err := v.checkMAC(tableRegister, row); err != nil {
		return register{}, err
	}
	reg, err := parseRegister(row)
	if err != nil {
		return register{}, err
	}
	if changes < 0 {
		return reg, errLog
	}
	if reg.rev != changes {
		return reg, fault.Newf(fault.Denied, "the stored secrets are of change %d, and the audit log has %d", reg.rev, changes)
	}
	return reg, nil
}

// verifyVersions opens every ciphertext once, so that what is wrong is known at
// the start and not at the call that needs it.
func (v *Vault) verifyVersions(t *tenant, e *entry) error {
	for _, ver := range e.head.Versions {
		if ver.State == Destroyed {
			delete(e.keys, ver.Version) // put back after a shredding: never used
			continue
		}
		row, ok := e.keys[ver.Version]
		if !ok {
			return fault.Newf(fault.Denied, "the row of its version %d was removed", ver.Version)
		}
		if sum(row.Key, row.Value) != ver.Sum {
			return fault.Newf(fault.Denied, "the ciphertext of its version %d was changed", ver.Version)
		}
		packed, fields, err := v.decrypt(t, e, ver.Version)
		if err == nil && ver.Pointer != nil && !ver.Pointer.is(fields) {
			err = fault.New(fault.Denied, "it points elsewhere than what was encrypted")
		}
		plain.Wipe(packed)
		if err != nil {
			return fault.Wrap(fault.Denied, fmt.Sprintf("opening its version %d", ver.Version), err)
		}
	}
	return nil
}

// refusals records what is refused, in its tenant's log.
func (v *Vault) refusals(s *state) []audit.Event {
	var evs []audit.Event
	for _, id := range slices.Sorted(maps.Keys(s.refused)) {
		evs = append(evs, v.refusal(v.cfg.Tenant, tableSeal, id, s.refused[id]))
	}
	for _, p := range s.strays {
		evs = append(evs, v.refusal(v.cfg.Tenant, tableProject, fmt.Sprintf("%s/%s/%d", p.row.Tenant, p.row.Project, p.row.Term), p.why))
	}
	for _, t := range slices.Sorted(maps.Keys(s.tenants)) {
		ten := s.tenants[t]
		if ten.bad != nil {
			evs = append(evs, v.refusal(t, tableRegister, "", ten.bad)) // all of them
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(ten.secrets)) {
			if e := ten.secrets[name]; e.bad != nil {
				evs = append(evs, v.refusal(t, tableSecret, name, e.bad))
			}
		}
	}
	return evs
}

// refusal is the record of one row that is refused.
func (v *Vault) refusal(t ident.Tenant, table, name string, why error) audit.Event {
	v.cfg.Log.Error("what the vault has stored is refused", slog.String("tenant", string(t)), slog.String("table", table),
		slog.String("name", fault.Quote(name)), slog.String("why", why.Error()))
	fields := map[string]any{"kind": table, "name": fault.Quote(name), "why": audit.Short(why.Error())}
	if table == tableSecret {
		fields["secret"] = fault.Quote(name)
	}
	return audit.Event{Type: audit.RowRefused, Tenant: t, At: v.cfg.Now(), Actor: SystemActor, Fields: fields}
}

// SystemActor is who the audit log says did what the vault does by itself.
const SystemActor = "system:vault"
