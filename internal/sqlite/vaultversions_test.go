package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault"
)

// The number of a tenant's changes, as the register has it, is what the store
// counts of the audit log: of every kind of change.
func TestEveryKindOfChangeIsCountedByTheStore(t *testing.T) {
	s := newShelf(t)
	ctx, who, text := t.Context(), vaultAdmin("acme"), "of the ERP"
	s.put(s.Set, "acme", "erp", vaultCanary)
	s.put(s.Rotate, "acme", "erp", vaultCanary+"-2")
	for name, do := range map[string]func() error{
		"rollback": func() error { _, err := s.Rollback(ctx, "acme", "erp", 0, who); return err },
		"describe": func() error {
			_, err := s.Describe(ctx, "acme", "erp", vault.Edit{Description: &text}, who)
			return err
		},
	} {
		if err := do(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if _, err := s.Disable(ctx, "acme", "erp", 2, who); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Destroy(ctx, "acme", "erp", 2, who); err != nil {
		t.Fatal(err)
	}
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	s.open()
	if got, err := s.sends("acme", "erp"); err != nil || got != "Bearer "+vaultCanary {
		t.Errorf("after a restart another credential leaves: %v", err)
	}
	s.tamper("DELETE FROM row_head") // now the log is counted, entry by entry
	if got, err := s.sends("acme", "erp"); err != nil || got != "Bearer "+vaultCanary {
		t.Errorf("as the log has it, another credential leaves: %v", err)
	}
}

// Whoever can write the file can write the columns of the audit log too, beside
// the entries that were signed.
func TestAnOldSecretIsRefusedWhateverTheLogsColumnsSay(t *testing.T) {
	tables := []string{"vault_secret", "vault_register", "vault_version"}
	for name, lie := range map[string]string{
		"with the log as it is":          "SELECT 1",
		"with its columns changed":       "UPDATE audit_entry SET type = 'secret.opened' WHERE type IN ('secret.rotated', 'secret.removed')",
		"with entries removed":           "DELETE FROM audit_entry WHERE type IN ('secret.rotated', 'secret.removed')",
		"with what guards it removed":    "DELETE FROM row_head",
		"with all of these":              "DELETE FROM row_head; DELETE FROM audit_entry WHERE type IN ('secret.rotated', 'secret.removed')",
		"with columns and guard changed": "DELETE FROM row_head; UPDATE audit_entry SET type = 'secret.opened' WHERE type IN ('secret.rotated', 'secret.removed')",
	} {
		for change, do := range map[string]func(s *shelf) error{
			"rotated": func(s *shelf) error { s.put(s.Rotate, "acme", "erp", vaultCanary+"-2"); return nil },
			"removed": func(s *shelf) error { return s.Remove(t.Context(), "acme", "erp", vaultAdmin("acme")) },
		} {
			t.Run(change+" "+name, func(t *testing.T) {
				s := newShelf(t)
				s.put(s.Set, "acme", "erp", vaultCanary)
				old := s.keep(tables)
				if err := do(s); err != nil {
					t.Fatal(err)
				}
				err := s.spoil(old + lie + "; UPDATE vault_version SET version = version") // which counts as a change
				if fault.Is(err, fault.Denied) && strings.Contains(lie, "row_head") {
					return // the log itself is not the one that was signed
				}
				if err != nil {
					t.Fatal(err)
				}
				if got, err := s.sends("acme", "erp"); !fault.Is(err, fault.Denied) {
					t.Errorf("%q was sent, %v", got, err)
				}
			})
		}
	}
}

func TestAnOldRingIsRefusedWhateverTheLogsColumnsSay(t *testing.T) {
	for name, lie := range map[string]string{
		"with the log as it is":    "SELECT 1",
		"with its columns changed": "UPDATE audit_entry SET type = 'run.ended' WHERE type = 'root.rotated'",
		"with the guard removed":   "DELETE FROM row_head; UPDATE audit_entry SET type = 'run.ended' WHERE type = 'root.rotated'",
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t)
			s.put(s.Set, "acme", "erp", vaultCanary)
			old := s.keep([]string{"vault_root", "vault_seal", "vault_project"})
			if _, err := s.RotateRoot(t.Context(), vaultAdmin("acme")); err != nil {
				t.Fatal(err)
			}
			if err := s.spoil(old + lie + "; UPDATE vault_seal SET kind = kind"); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "old ring") {
				t.Errorf("%v", err)
			}
		})
	}
}

// keep copies tables aside, and gives the SQL that puts them back as they were.
func (s *shelf) keep(tables []string) (back string) {
	s.t.Helper()
	if err := s.store.Close(); err != nil {
		s.t.Fatal(err)
	}
	aside := filepath.Join(s.t.TempDir(), "aside.db")
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "data", sqlite.File))
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("VACUUM INTO '" + aside + "'"); err != nil {
		s.t.Fatal(err)
	}
	s.open()
	back = "ATTACH '" + aside + "' AS aside; "
	for _, tb := range tables {
		back += "DELETE FROM " + tb + "; INSERT INTO " + tb + " SELECT * FROM aside." + tb + "; "
	}
	return back
}
