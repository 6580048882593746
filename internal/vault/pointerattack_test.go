package vault_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
)

// Each attack has write access to everything that is stored, and no key.
func TestAPointerCantBeRedirectedByWhoWritesTheDatabase(t *testing.T) {
	for name, do := range map[string]func(m *memory, old vault.Snapshot){
		"its path in the head": func(m *memory, _ vault.Snapshot) {
			h := m.head(acme, "crm")
			h.Body = bytes.Replace(h.Body, []byte("team/crm"), []byte("team/erp"), 1)
		},
		"its ciphertext": func(m *memory, _ vault.Snapshot) {
			a, b := m.version(acme, "crm", 2), m.version(acme, "erp", 1)
			a.Key, b.Key, a.Value, b.Value = b.Key, a.Key, b.Value, a.Value
		},
		"a value's ciphertext in its place": func(m *memory, _ vault.Snapshot) {
			a, b := m.version(acme, "crm", 2), m.version(acme, "plain", 1)
			a.Key, a.Value = b.Key, b.Value
		},
		"the version before": func(m *memory, _ vault.Snapshot) {
			a, b := m.version(acme, "crm", 1), m.version(acme, "crm", 2)
			b.Key, b.Value = a.Key, a.Value
		},
		"the head of the version before, which was genuine": func(m *memory, old vault.Snapshot) {
			i := slices.IndexFunc(old.Secrets, func(r vault.Row) bool { return r.Tenant == acme && r.Name == "crm" })
			*m.head(acme, "crm") = old.Secrets[i]
		},
		"the pointer taken out of the head": func(m *memory, _ vault.Snapshot) {
			h := m.head(acme, "crm")
			i := bytes.Index(h.Body, []byte(`,"pointer":`))
			end := i + bytes.IndexByte(h.Body[i:], '}') + 1
			h.Body = slices.Concat(h.Body[:i], h.Body[end+1:])
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, s := withShelf(t)
			s.put("team/erp", canary2)
			f.set(acme, "plain", canary3)
			f.mustPoint("crm", to("corp", "team/crm", 0))
			f.mustPoint("erp", to("corp", "team/erp", 0))
			old := clone(f.store.snap, nil)
			if _, err := f.Rotate(t.Context(), vault.Write{Tenant: acme, Name: "crm", Pointer: to("corp", "team/crm", time.Minute), AnyOrigin: true, Actor: admin(acme)}); err != nil {
				t.Fatal(err)
			}
			f.restart()
			if err := f.opens(acme, "crm"); err != nil {
				t.Fatalf("before the attack: %v", err)
			}
			do(f.store, old)
			f.restart()
			s.asked = 0
			if err := f.opens(acme, "crm"); !fault.Is(err, fault.Denied) || s.asked != 0 {
				t.Errorf("opened: %v, asked %d times", err, s.asked)
			}
			if f.refusal(acme, "crm") == nil {
				t.Error("the audit log does not name it")
			}
			if err := f.opens(acme, "plain"); err != nil {
				t.Errorf("another secret: %v", err)
			}
		})
	}
}
