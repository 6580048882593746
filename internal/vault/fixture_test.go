package vault_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/kek"
)

// memory is a store in memory, and the attacker's way to write to it.
type memory struct {
	mu     sync.Mutex
	snap   vault.Snapshot
	events []audit.Event
	leases []vault.Lease
	fail   error // of the next write, which does not happen
	lost   error // of the next write, which happens
}

func (m *memory) LoadVault(context.Context) (vault.Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return clone(m.snap, m.events), nil
}

func clone(in vault.Snapshot, events []audit.Event) vault.Snapshot {
	out := vault.Snapshot{Ring: cloneRing(in.Ring), Registers: slices.Clone(in.Registers),
		Secrets: slices.Clone(in.Secrets), Versions: slices.Clone(in.Versions), Logged: len(events) > 0}
	return out
}

func (m *memory) LastChanges(context.Context) (vault.Changes, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := vault.Changes{Secrets: map[ident.Tenant]int64{}}
	for _, ev := range m.events {
		if slices.Contains(audit.SecretChanges, ev.Type) {
			out.Secrets[ev.Tenant]++
		}
		if slices.Contains(audit.RingChanges, ev.Type) {
			out.Ring++
		}
	}
	return out, nil
}

func cloneRing(r vault.Ring) vault.Ring {
	r.Seals, r.Projects = slices.Clone(r.Seals), slices.Clone(r.Projects)
	return r
}

func (m *memory) record(evs ...audit.Event) error {
	if err := m.fail; err != nil {
		m.fail = nil
		return err
	}
	for i, ev := range evs {
		if _, err := audit.Encode(int64(i), ev); err != nil {
			return err
		}
	}
	m.events = append(m.events, evs...)
	return nil
}

func (m *memory) SaveRing(_ context.Context, was int64, next vault.Ring, evs []audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.snap.Ring.Root.Rev != was {
		return fault.New(fault.Conflict, "the ring")
	}
	if err := m.record(evs...); err != nil {
		return err
	}
	m.snap.Ring = cloneRing(next)
	return m.late()
}

func (m *memory) RecordVault(_ context.Context, evs []audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.record(evs...)
}

func (m *memory) SaveSecrets(_ context.Context, c vault.Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.record(c.Event); err != nil {
		return err
	}
	if c.Project != nil {
		m.snap.Ring.Projects = append(m.snap.Ring.Projects, *c.Project)
	}
	put := func(rows []vault.Row, r vault.Row) []vault.Row {
		rows = slices.DeleteFunc(rows, func(o vault.Row) bool { return o.Tenant == r.Tenant && o.Name == r.Name })
		return append(rows, r)
	}
	for _, r := range c.Secrets {
		m.snap.Secrets = put(m.snap.Secrets, r)
	}
	tenant := c.Register.Tenant
	m.snap.Registers = put(m.snap.Registers, c.Register)
	m.snap.Versions = slices.DeleteFunc(m.snap.Versions, func(v vault.VersionRow) bool {
		again := slices.ContainsFunc(c.Versions, func(n vault.VersionRow) bool { return n.Name == v.Name && n.Version == v.Version })
		return v.Tenant == tenant && (again || slices.Contains(c.Shred, vault.VersionID{Name: v.Name, Version: v.Version}))
	})
	m.snap.Versions = append(m.snap.Versions, c.Versions...)
	m.snap.Ring.Projects = slices.DeleteFunc(m.snap.Ring.Projects, func(p vault.ProjectRow) bool {
		return p.Tenant == tenant && slices.Contains(c.Drop, p.Term)
	})
	return m.late()
}

// late is the error of a write that happened all the same.
func (m *memory) late() error {
	err := m.lost
	m.lost = nil
	return err
}

func (m *memory) head(t ident.Tenant, name string) *vault.Row {
	for i, r := range m.snap.Secrets {
		if r.Tenant == t && r.Name == name {
			return &m.snap.Secrets[i]
		}
	}
	return nil
}

func (m *memory) version(t ident.Tenant, name string, n int) *vault.VersionRow {
	for i, r := range m.snap.Versions {
		if r.Tenant == t && r.Name == name && r.Version == n {
			return &m.snap.Versions[i]
		}
	}
	return nil
}

// fixture is an unsealed vault over a store in memory.
type fixture struct {
	*vault.Vault
	t       testing.TB
	store   *memory
	seal    kek.Seal
	log     *bytes.Buffer
	now     time.Time
	ticking sync.Mutex       // now, where a child has its end by it
	clock   func() time.Time // in place of now; nil: now
	// recorded is what the vault asks about a new value.
	recorded vault.Recorded
	backends *backend.Registry
	kicks    atomic.Int32 // times that the vault asked for its leases to be looked at
}

const acme, globex ident.Tenant = "acme", "globex"

func admin(t ident.Tenant) ident.Principal {
	return ident.Principal{Tenant: t, Kind: ident.Person, ID: "acc_1", Roles: []ident.Role{ident.Admin}}
}

func start(t testing.TB) *fixture { return startWith(t, nil) }

// startWith is a vault with backends.
func startWith(t testing.TB, r *backend.Registry) *fixture {
	t.Helper()
	f := &fixture{t: t, backends: r, store: &memory{}, seal: kek.NewKeyFile(filepath.Join(t.TempDir(), "key")), log: &bytes.Buffer{},
		now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	f.restart()
	return f
}

// sealed makes a new vault over the same store.
func (f *fixture) sealed() *vault.Vault {
	f.t.Helper()
	self, err := os.Executable()
	if err != nil {
		f.t.Fatal(err)
	}
	v, err := vault.New(vault.Config{Tenant: acme, Now: f.time, Log: slog.New(slog.NewTextHandler(f.log, nil)), Backends: f.backends, Programs: []string{self},
		Recorded: func(ctx context.Context, t ident.Tenant, contains func([]byte) bool) (vault.Trace, error) {
			if f.recorded == nil {
				return vault.Trace{}, nil
			}
			return f.recorded(ctx, t, contains)
		}})
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

func (f *fixture) time() time.Time {
	if f.clock != nil {
		return f.clock()
	}
	f.ticking.Lock()
	defer f.ticking.Unlock()
	return f.now
}

// restart unseals what is stored with the key file.
func (f *fixture) restart() {
	f.t.Helper()
	f.Vault = f.sealed()
	f.KeepLeases(f.store, func() { f.kicks.Add(1) })
	if err := f.Unseal(f.t.Context(), f.store, f.seal); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) write(t ident.Tenant, name, token string) vault.Write {
	return vault.Write{Tenant: t, Name: name, Fields: map[string][]byte{"token": []byte(token)}, AnyOrigin: true, Actor: admin(t)}
}

func (f *fixture) set(t ident.Tenant, name, token string) {
	f.t.Helper()
	if _, err := f.Set(f.t.Context(), f.write(t, name, token)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) rotate(t ident.Tenant, name, token string) {
	f.t.Helper()
	if _, err := f.Rotate(f.t.Context(), f.write(t, name, token)); err != nil {
		f.t.Fatal(err)
	}
}

// refusal is the last entry by which the vault refused a row, or nil.
func (f *fixture) refusal(t ident.Tenant, name string) map[string]any {
	for _, ev := range slices.Backward(f.store.events) {
		if ev.Type == audit.RowRefused && ev.Tenant == t && ev.Fields["name"] == name {
			return ev.Fields
		}
	}
	return nil
}

var system = resource.Origin{Scheme: "https", Host: "erp.example:443"}

func spec(t ident.Tenant, ref string) vault.DoorSpec {
	return vault.DoorSpec{Tenant: t, Secret: ref, Auth: resource.Auth{Scheme: resource.SchemeBearer, Secret: ref}, Origin: system, Method: "GET", Base: nowhere{}}
}

// opens says which error a door is refused with; nil where it opens.
func (f *fixture) opens(t ident.Tenant, ref string) error {
	_, err := f.Open(f.t.Context(), spec(t, ref))
	return err
}

// knows is a set of values to search for, in every encoding.
func knows(t testing.TB, values ...string) *scrub.Set {
	t.Helper()
	var list []scrub.Secret
	for _, v := range values {
		list = append(list, scrub.Secret{Name: "canary", Value: []byte(v)})
	}
	set, err := scrub.Build(list)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Canaries: what must never be seen.
const (
	canary1 = "cnry-9f27Kq0ZxW4v81-one"
	canary2 = "cnry-3b81Lm5YpT7d46-two"
	canary3 = "cnry-6d90Rt2QsB8h13-three"
)
