package sqlite_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/storetest"
)

// openIn opens a store with an audit log of its own.
func openIn(t *testing.T, dir string) *sqlite.Store {
	t.Helper()
	seq, err := audit.NewSequencer("", func(tenant ident.Tenant, generation int64) (crypto.Signer, error) {
		seed := sha256.Sum256([]byte(tenant))
		return ed25519.NewKeyFromSeed(seed[:]), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(context.Background(), dir, seq, rowGuard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.Healthy() == nil {
			_ = s.Close() // it may have been closed by its test
		}
	})
	return s
}

func openStore(t *testing.T) storetest.Store { return openIn(t, t.TempDir()) }

func TestIdentityOnSQLite(t *testing.T) { storetest.Identity(t, openStore) }

func TestOutsideWorkersOnSQLite(t *testing.T) {
	storetest.Outsider(t, func(t *testing.T) (storetest.Store, storetest.Apply) {
		s := openIn(t, t.TempDir())
		return s, applyTo(t, s)
	})
}

// applyTo applies one resource at a time.
func applyTo(t *testing.T, s *sqlite.Store) storetest.Apply {
	return func(tenant ident.Tenant, kind resource.Kind, name string, r resource.Resource) error {
		c := sqlite.ResourceChange{Kind: kind, Name: name, Resource: r, Event: audit.Event{Type: audit.ResourceApplied, Tenant: tenant, At: storetest.Start, Actor: "system:setup"}}
		if r == nil {
			c.Was, c.Event.Type = 1, audit.ResourceRemoved
		}
		return s.Apply(t.Context(), tenant, "system:setup", []sqlite.ResourceChange{c}, storetest.Start)
	}
}

func TestUsesOfLimitsOnSQLite(t *testing.T) { storetest.Uses(t, openStore) }

func TestPasskeysOnSQLite(t *testing.T) {
	storetest.Passkeys(t, func(t *testing.T) (storetest.Store, func() (audit.Source, error)) {
		dir := t.TempDir()
		return openIn(t, dir), func() (audit.Source, error) { return sqlite.OpenAudit(t.Context(), dir) }
	})
}

// The same stories, and then everything that can be pruned is: what the log still has
// of passkeys and their verdicts proves what it did before.
func TestPasskeysInAPrunedLog(t *testing.T) {
	storetest.Passkeys(t, func(t *testing.T) (storetest.Store, func() (audit.Source, error)) {
		dir := t.TempDir()
		s := openIn(t, dir)
		return s, func() (audit.Source, error) {
			if err := s.Write(t.Context(), func(tx *sqlite.Tx) error {
				for range audit.PruneUnit {
					if err := tx.Audit(audit.Event{Type: audit.SessionFailed, Tenant: "acme", At: noon, Actor: "system:test"}); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				return nil, err
			}
			if err := s.PruneRegardless(t.Context(), sqlite.Prune{Tenant: "acme", Event: audit.Event{At: noon, Actor: "person:acc_adm"}}); err != nil {
				return nil, err
			}
			return sqlite.OpenAudit(t.Context(), dir)
		}
	})
}

func TestRowsOnSQLite(t *testing.T) {
	storetest.Rows(t, func(t *testing.T) storetest.Besieged {
		dir := t.TempDir()
		s := openIn(t, dir)
		db := foreign(t, dir)
		return storetest.Besieged{Store: s, Apply: applyTo(t, s),
			Write: func(query string) int64 {
				t.Helper()
				res, err := db.Exec(query)
				if err != nil {
					t.Fatalf("%s: %v", query, err)
				}
				n, _ := res.RowsAffected()
				return n
			},
			Again: func() storetest.Store {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = openIn(t, dir)
				if err := s.VerifyRows(t.Context()); err != nil {
					t.Fatal(err)
				}
				return s
			}}
	})
}

// foreign is the database as somebody has it who can write the file, and has no
// key.
func foreign(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, sqlite.File)+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1) // its temporary tables are those of one connection
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestRotationOnSQLite(t *testing.T) { storetest.Rotation(t, openStore) }

func TestIncidentOnSQLite(t *testing.T) { storetest.Incident(t, openStore) }

func TestDecisionOnSQLite(t *testing.T) { storetest.Decision(t, openStore) }

func TestQuorumOnSQLite(t *testing.T) { storetest.Quorum(t, openStore) }

// Who can write the database but has no key can't make one person another.
func TestRowsThatWereMovedAuthenticateNobody(t *testing.T) {
	dir := t.TempDir()
	w := storetest.NewWorld(t, openIn(t, dir))
	ann, eve := w.Human("acme", "ann", ident.Admin), w.Human("acme", "eve")
	_, token := eve.SignIn()
	w.Run("acme", "run_eve")
	w.Run("acme", "run_ann")
	run, err := w.Dir.MintRun(context.Background(), "acme", "run_eve", w.Now.Add(time.Hour), w.Now)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, sqlite.File))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, attack := range []struct{ what, text string }{
		{"pointing a session at another account", `UPDATE session SET account = '` + ann.Account.ID + `'`},
		{"giving a Run's token another Run", `UPDATE run_token SET run = 'run_ann'`},
		{"copying a password and its codes to another account", `UPDATE account SET (password, totp_salt) =
			(SELECT password, totp_salt FROM account WHERE name = 'eve') WHERE name = 'ann'`},
	} {
		if _, err := db.Exec(attack.text); err != nil {
			t.Fatalf("%s: %v", attack.what, err)
		}
	}
	for _, tok := range []string{token, run} {
		if p, err := w.Dir.Authenticate(context.Background(), tok, w.Now); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("a moved row authenticates as %v (%v)", p, err)
		}
	}
	w.Pass(time.Hour)
	if _, _, err := w.Dir.SignIn(context.Background(), "acme", "ann", eve.Password, eve.NextCode(), w.Now); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a copied password signs in: %v", err)
	}
}
