package vault_test

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/baotest"
	"sallyport.dev/internal/vault/backend/vaultlease"
)

func (m *memory) Leases(_ context.Context, t ident.Tenant) (out []vault.Lease, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.leases {
		if l.Tenant == t {
			out = append(out, l)
		}
	}
	return out, nil
}

func (m *memory) at(l vault.Lease) int {
	return slices.IndexFunc(m.leases, func(o vault.Lease) bool { return o.Tenant == l.Tenant && o.ID == l.ID })
}

func (m *memory) SaveLease(_ context.Context, l vault.Lease, ev audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.record(ev); err != nil {
		return err
	}
	if i := m.at(l); i >= 0 {
		m.leases[i] = l
	} else {
		m.leases = append(m.leases, l)
	}
	return m.late()
}

func (m *memory) ProlongLease(_ context.Context, l vault.Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leases[m.at(l)].Expires = l.Expires
	return nil
}

func (m *memory) EndLease(_ context.Context, l vault.Lease, ev audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.at(l)
	if i < 0 {
		return fault.New(fault.NotFound, "no lease")
	}
	m.leases = slices.Delete(m.leases, i, i+1)
	return m.record(ev)
}

// bank is a vault with a Secret whose value a database makes for each Run.
type bank struct {
	*fixture
	*baotest.Vault
	over map[string]string // why, by the Run
}

// openBank points the Secret db of acme to the fake server's role.
func openBank(t *testing.T, change func(*vaultlease.Config)) *bank {
	t.Helper()
	return openBankFor(t, change, func(*backend.Entry) {})
}

// openBankFor is openBank with another entry of the server's file.
func openBankFor(t *testing.T, change func(*vaultlease.Config), entry func(*backend.Entry)) *bank {
	t.Helper()
	b := &bank{Vault: baotest.Start(t), over: map[string]string{}}
	var c vaultlease.Config
	c.Address, c.CAFile = b.URL, b.CAFile
	c.AppRole = &vaultlease.AppRole{RoleID: baotest.RoleID, SecretIDFile: filepath.Join(t.TempDir(), "secret-id")}
	if err := os.WriteFile(c.AppRole.SecretIDFile, []byte(b.SecretID), 0o600); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&c)
	}
	clock := func() time.Time {
		b.ticking.Lock()
		defer b.ticking.Unlock()
		return b.now
	}
	made, err := vaultlease.New(c, clock)
	if err != nil {
		t.Fatal(err)
	}
	e := backend.Entry{Name: "pg", Tenants: []ident.Tenant{acme, globex}, Backend: made}
	entry(&e)
	r, err := backend.NewRegistry(e)
	if err != nil {
		t.Fatal(err)
	}
	b.fixture = startWith(t, r)
	b.Now = clock
	b.mustPoint("db", creds())
	if n := b.Users(); len(n) != 0 {
		t.Fatalf("after the trial the database has %v", n)
	}
	return b
}

func creds() *vault.Pointer {
	return &vault.Pointer{Backend: "pg", Path: "creds/app", Fields: map[string]string{"username": "username", "password": "password"}}
}

func dbUse(t ident.Tenant, run string) vault.DoorSpec {
	d := spec(t, "db")
	d.Auth = resource.Auth{Scheme: resource.SchemeBasic, Secret: "db"}
	d.Run = run
	return d
}

// as gives with which user and password a Run's call arrives.
func (b *bank) as(t ident.Tenant, run string) (user, password string) {
	b.t.Helper()
	got, ok := strings.CutPrefix(b.call(dbUse(t, run)), "Basic ")
	pair, err := base64.StdEncoding.DecodeString(got)
	if !ok || err != nil {
		b.t.Fatal("the call has no login")
	}
	user, password, _ = strings.Cut(string(pair), ":")
	if !b.Knows(user, password) {
		b.t.Errorf("the database doesn't know %s", user)
	}
	return user, password
}

func (b *bank) refused(run string) error {
	_, err := b.Open(b.t.Context(), dbUse(acme, run))
	return err
}

// tend is one round.
func (b *bank) tend() {
	b.t.Helper()
	err := b.TendLeases(b.t.Context(), func(_ context.Context, l vault.Lease) (string, error) { return b.over[l.Run], nil })
	if err != nil {
		b.t.Error(err)
	}
}

func (b *bank) pass(d time.Duration) {
	b.ticking.Lock()
	defer b.ticking.Unlock()
	b.fixture.now = b.fixture.now.Add(d)
}

func (b *bank) entries(typ audit.Type) (out []audit.Event) {
	for _, ev := range b.store.events {
		if ev.Type == typ {
			out = append(out, ev)
		}
	}
	return out
}

func (b *bank) want(users, children, rows int) {
	b.t.Helper()
	if u, c, r := b.Users(), b.Children(), b.store.leases; len(u) != users || c != children || len(r) != rows {
		b.t.Errorf("the database has %v, there are %d tokens of Runs and on record %+v; want %d, %d, %d", u, c, r, users, children, rows)
	}
}
