package vaultlease_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/vaultlease"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vaulttest"
)

// inEach runs a test with the server that the environment names, in the root and in a
// namespace.
func inEach(t *testing.T, test func(*testing.T, *vaulttest.Server)) {
	t.Helper()
	s := vaulttest.Shared(t)
	t.Run("the root", func(t *testing.T) { test(t, s) })
	t.Run("a namespace", func(t *testing.T) { test(t, s.InNamespace(t)) })
}

// realLessor is a real engine, asked with the policy of the documentation.
func realLessor(t *testing.T, s *vaulttest.Server, d vaulttest.Database) (backend.Backend, backend.Lessor) {
	t.Helper()
	var c vaultlease.Config
	c.Address, c.CAFile, c.Namespace, c.Mount = s.Address, s.CAFile, s.Namespace, d.Mount
	c.AppRole = &vaultlease.AppRole{Mount: d.Mount, RoleID: d.RoleID, SecretIDFile: filepath.Join(t.TempDir(), "secret-id")}
	if err := os.WriteFile(c.AppRole.SecretIDFile, []byte(d.SecretID), 0o600); err != nil {
		t.Fatal(err)
	}
	return open(t, c)
}

// letsIn reports whether the database takes what was made.
func letsIn(t *testing.T, d vaulttest.Database, a backend.Answer) bool {
	t.Helper()
	c, err := pgconn.ParseConfig("sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	c.Host, c.Port, c.Database = "127.0.0.1", uint16(d.Postgres.Port), "postgres"
	c.User, c.Password = string(plain.Bytes(a.Fields["username"])), string(plain.Bytes(a.Fields["password"]))
	conn, err := pgconn.ConnectConfig(t.Context(), c)
	if err == nil {
		_ = conn.Close(t.Context())
	}
	return err == nil
}

// gone waits until the database does not take it any more: what was made with a token
// follows the token in a moment.
func gone(t *testing.T, d vaulttest.Database, a backend.Answer) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); letsIn(t, d, a); <-time.After(50 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the database still takes it")
		}
	}
}

func TestARealLeaseLivesAndEnds(t *testing.T) {
	inEach(t, func(t *testing.T, s *vaulttest.Server) {
		d := s.Database(t)
		b, l := realLessor(t, s, d)
		if a, err := b.Fetch(t.Context(), ask); err != nil || len(a.Fields) != 2 || letsIn(t, d, a) {
			t.Errorf("a trial: %d fields, %v", len(a.Fields), err)
		}
		for name, revoke := range map[string]func(handle, lease string) (string, string){
			"both":       func(h, l string) (string, string) { return h, l },
			"the lease":  func(_, l string) (string, string) { return "", l },
			"the handle": func(h, _ string) (string, string) { return h, "" },
		} {
			h := engaged(t, l)
			a := made(t, h)
			if !letsIn(t, d, a) {
				t.Fatal("the database does not take it")
			}
			again, err := h.Renew(t.Context(), a.Lease)
			if err != nil || again.Lease.ID != a.Lease.ID {
				t.Errorf("renewed: %v", err)
			}
			if err := h.Look(t.Context(), a.Lease); err != nil {
				t.Errorf("looked at: %v", err)
			}
			handle, _ := h.Handle()
			for range 2 { // it can be repeated
				by, what := revoke(handle, a.Lease.ID)
				if err := l.Revoke(t.Context(), by, what); err != nil {
					t.Errorf("by %s: %v", name, err)
				}
			}
			gone(t, d, a)
			if err := h.Look(t.Context(), a.Lease); backend.ReasonOf(err) != backend.Missing {
				t.Errorf("looked at after it was ended by %s: %v", name, err)
			}
			if _, err := h.Renew(t.Context(), a.Lease); backend.ReasonOf(err) != backend.Missing {
				t.Errorf("renewed after it was ended by %s: %v", name, err)
			}
		}
	})
}

// Each failure is the reason that the fake has taught us.
func TestARealEnginesFailuresAreSorted(t *testing.T) {
	inEach(t, func(t *testing.T, s *vaulttest.Server) {
		d := s.Database(t)
		b, l := realLessor(t, s, d)
		is := func(what string, err error, want backend.Reason) {
			t.Helper()
			if want == "" && err != nil || want != "" && backend.ReasonOf(err) != want {
				t.Errorf("%s: %v, want %q", what, err, want)
			}
		}
		_, err := b.Fetch(t.Context(), backend.Ask{Path: "creds/app2"})
		is("a role that the policy does not have", err, backend.Refused)
		h := engaged(t, l)
		a := made(t, h)
		is("a lease that there never was", h.Look(t.Context(), backend.Lease{ID: d.Mount + "/creds/app/nothing"}), backend.Missing)

		dead, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts: it is closed at once
		if err != nil {
			t.Fatal(err)
		}
		_ = dead.Close()
		s.Connect(t, d, dead.Addr().(*net.TCPAddr).Port)
		_, err = h.Make(t.Context(), ask)
		is("made while the database is away", err, backend.Behind)
		_, err = h.Renew(t.Context(), a.Lease)
		is("renewed while the database is away", err, backend.Behind)
		is("looked at while the database is away", h.Look(t.Context(), a.Lease), "")
		is("revoked while the database is away", l.Revoke(t.Context(), "", a.Lease.ID), backend.Behind)
		if !letsIn(t, d, a) {
			t.Error("what could not be revoked does not work any more")
		}
		s.Connect(t, d, d.Postgres.Port)
		handle, _ := h.Handle()
		is("revoked when it is back", l.Revoke(t.Context(), handle, a.Lease.ID), "")
		gone(t, d, a)

		s.Do(t, "DELETE", d.Mount+"/roles/app", nil)
		_, err = engaged(t, l).Make(t.Context(), ask)
		is("a role that was deleted", err, backend.Missing)
	})
}
