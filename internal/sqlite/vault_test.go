package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

var _ identity.Keys = (*vault.Vault)(nil)

const vaultCanary = "cnry-4c55Wd8PzG6m09-file"

// shelf is a vault on a data directory, which can be closed and opened again.
type shelf struct {
	*vault.Vault
	t     *testing.T
	dir   string
	store *sqlite.Store
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{t: t, dir: t.TempDir()}
	s.open()
	t.Cleanup(func() { _ = s.store.Close() })
	return s
}

func (s *shelf) open() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
}

// start is a start of the server, which what is stored can refuse.
func (s *shelf) start() error {
	s.t.Helper()
	v, err := vault.New(vault.Config{Tenant: "acme", Now: clock, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		s.t.Fatal(err)
	}
	seq, err := audit.NewSequencer("", v.AuditKey)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.store, err = sqlite.Open(s.t.Context(), filepath.Join(s.dir, "data"), seq, sqlite.Guard{Keys: v, Now: clock, Log: slog.New(slog.DiscardHandler)}); err != nil {
		s.t.Fatal(err)
	}
	s.Vault = v
	return v.Unseal(s.t.Context(), s.store, kek.NewKeyFile(filepath.Join(s.dir, "key")))
}

// tamper closes the store, runs SQL on its file, and opens it again.
func (s *shelf) tamper(query string, args ...any) {
	s.t.Helper()
	if err := s.spoil(query, args...); err != nil {
		s.t.Fatal(err)
	}
}

// spoil is tamper where the start may be refused.
func (s *shelf) spoil(query string, args ...any) error {
	s.t.Helper()
	if err := s.store.Close(); err != nil {
		s.t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "data", sqlite.File))
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	if r, err := db.Exec(query, args...); err != nil {
		s.t.Fatal(err)
	} else if n, err := r.RowsAffected(); err != nil || n == 0 {
		s.t.Fatalf("the attack changed nothing: %v", err)
	}
	return s.start()
}

func vaultAdmin(t ident.Tenant) ident.Principal {
	return ident.Principal{Tenant: t, Kind: ident.Person, ID: "acc_1"}
}

func (s *shelf) put(f func(context.Context, vault.Write) (vault.Secret, error), t ident.Tenant, name, value string) {
	s.t.Helper()
	_, err := f(s.t.Context(), vault.Write{Tenant: t, Name: name, Fields: map[string][]byte{"token": []byte(value)}, AnyOrigin: true, Actor: vaultAdmin(t)})
	if err != nil {
		s.t.Fatal(err)
	}
}

// sends opens a door and gives the credential that leaves by it.
func (s *shelf) sends(t ident.Tenant, ref string) (string, error) {
	got := ""
	door, err := s.Open(s.t.Context(), vault.DoorSpec{Tenant: t, Secret: ref, Auth: resource.Auth{Scheme: resource.SchemeBearer},
		Origin: resource.Origin{Scheme: "https", Host: "erp.example:443"}, Method: "GET",
		Base: transport(func(r *http.Request) (*http.Response, error) {
			got = r.Header.Get("Authorization")
			return nil, errors.New("enough")
		})})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(s.t.Context(), "GET", "https://erp.example/", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = door.RoundTrip(req) // there is none
	return got, nil
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestVaultSurvivesARestart(t *testing.T) {
	s := newShelf(t)
	s.put(s.Set, "acme", "erp", vaultCanary)
	s.put(s.Rotate, "acme", "erp", vaultCanary+"-2")
	s.put(s.Set, "globex", "erp", vaultCanary+"-3")
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	s.open()
	for ref, want := range map[string]string{"erp": vaultCanary + "-2", "erp@v1": vaultCanary} {
		if got, err := s.sends("acme", ref); err != nil || got != "Bearer "+want {
			t.Errorf("%s: another credential left, or %v", ref, err)
		}
	}
	s.put(s.Rotate, "globex", "erp", vaultCanary+"-4")
}

func TestVaultFilesHoldNoValue(t *testing.T) {
	s := newShelf(t)
	s.put(s.Set, "acme", "erp", vaultCanary)
	s.put(s.Rotate, "acme", "erp", vaultCanary)
	if err := s.Remove(t.Context(), "acme", "erp", vaultAdmin("acme")); err != nil {
		t.Fatal(err)
	}
	s.put(s.Set, "acme", "crm", vaultCanary)
	searched := 0
	err := filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		searched += len(b)
		enc := base64.StdEncoding
		for _, form := range []string{vaultCanary, hex.EncodeToString([]byte(vaultCanary)), enc.EncodeToString([]byte(vaultCanary))[:16],
			enc.EncodeToString([]byte("x" + vaultCanary))[4:20], enc.EncodeToString([]byte("xx" + vaultCanary))[4:20]} {
			if bytes.Contains(bytes.ToLower(b), bytes.ToLower([]byte(form))) {
				t.Errorf("%s holds the value as %s", filepath.Base(path), form)
			}
		}
		return nil
	})
	if err != nil || searched < 10_000 {
		t.Errorf("searched %d bytes: %v", searched, err)
	}
}

func TestVaultRowsThatWereTamperedWithAreRefused(t *testing.T) {
	for name, attack := range map[string]string{
		"ciphertext of another name":   "UPDATE vault_version SET (data_key, value) = (SELECT data_key, value FROM vault_version WHERE name = 'crm') WHERE name = 'erp' AND tenant = 'acme'",
		"ciphertext of another tenant": "UPDATE vault_version SET (data_key, value) = (SELECT data_key, value FROM vault_version WHERE tenant = 'globex') WHERE name = 'erp' AND tenant = 'acme'",
		"state changed":                "UPDATE vault_secret SET body = replace(body, '\"active\"', '\"disabled\"') WHERE name = 'erp' AND tenant = 'acme'",
		"revision changed":             "UPDATE vault_secret SET rev = rev + 1 WHERE name = 'erp' AND tenant = 'acme'",
		"row removed":                  "DELETE FROM vault_secret WHERE name = 'erp' AND tenant = 'acme'",
		"register removed":             "DELETE FROM vault_register WHERE tenant = 'acme'",
		"project key spoiled":          "UPDATE vault_project SET wrapped = zeroblob(60) WHERE tenant = 'acme'",
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t)
			s.put(s.Set, "acme", "erp", vaultCanary)
			s.put(s.Set, "acme", "crm", vaultCanary+"-2")
			s.put(s.Set, "globex", "erp", vaultCanary+"-3")
			s.tamper(attack)
			if _, err := s.sends("acme", "erp"); !fault.Is(err, fault.Denied) {
				t.Errorf("opened, or %v", err)
			}
			if _, err := s.sends("globex", "erp"); err != nil {
				t.Errorf("another tenant's: %v", err)
			}
		})
	}
}

func TestVaultRefusesSealsThatWereSpoiled(t *testing.T) {
	s := newShelf(t)
	s.put(s.Set, "acme", "erp", vaultCanary)
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	other := kek.NewKeyFile(filepath.Join(t.TempDir(), "key"))
	v, err := vault.New(vault.Config{Tenant: "acme", Now: clock, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	seq, err := audit.NewSequencer("", v.AuditKey)
	if err != nil {
		t.Fatal(err)
	}
	if s.store, err = sqlite.Open(t.Context(), filepath.Join(s.dir, "data"), seq, sqlite.Guard{Keys: v, Now: clock, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	if err := v.Unseal(t.Context(), s.store, other); err == nil || strings.Contains(err.Error(), vaultCanary) {
		t.Errorf("with another key file: %v", err)
	}
	if err := v.Unseal(t.Context(), s.store, kek.NewKeyFile(filepath.Join(s.dir, "key"))); err != nil {
		t.Errorf("with the right one, after the wrong one: %v", err)
	}
}
