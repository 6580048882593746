package sqlite_test

import (
	"testing"

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
	s.tamper("DELETE FROM audit_entry WHERE type = 'secret.described'")
	if _, err := s.sends("acme", "erp"); err == nil {
		t.Error("a change that is missing from the audit log was not noticed")
	}
}
