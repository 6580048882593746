package vault_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

// Each attack has write access to everything that is stored, and no key. After
// it the server starts again. refused names what must not be usable; intact,
// what must be.
var attacks = map[string]struct {
	do      func(m *memory, old vault.Snapshot)
	refused map[ident.Tenant]string
	why     string
	intact  map[ident.Tenant]string
}{
	"ciphertexts swapped between names": {
		do: func(m *memory, _ vault.Snapshot) {
			a, b := m.version(acme, "erp-read", 1), m.version(acme, "erp-write", 1)
			a.Key, b.Key, a.Value, b.Value = b.Key, a.Key, b.Value, a.Value
		},
		refused: map[ident.Tenant]string{acme: "erp-read"}, why: "version 1 was changed", intact: map[ident.Tenant]string{globex: "erp-read"},
	},
	"whole rows renamed": {
		do: func(m *memory, _ vault.Snapshot) {
			m.head(acme, "erp-read").Name, m.version(acme, "erp-read", 1).Name = "erp-spare", "erp-spare"
		},
		refused: map[ident.Tenant]string{acme: "erp-spare"}, why: "without the key", intact: map[ident.Tenant]string{acme: "erp-write"},
	},
	"rows moved to another tenant": {
		do: func(m *memory, _ vault.Snapshot) {
			h, v := m.head(globex, "erp-read"), m.version(globex, "erp-read", 1)
			mine, mineV := m.head(acme, "erp-read"), m.version(acme, "erp-read", 1)
			mine.Body, mine.MAC, mine.Rev = h.Body, h.MAC, h.Rev
			mineV.Key, mineV.Value = v.Key, v.Value
		},
		refused: map[ident.Tenant]string{acme: "erp-read"}, why: "without the key", intact: map[ident.Tenant]string{globex: "erp-read"},
	},
	"usage scope widened": {
		do: func(m *memory, _ vault.Snapshot) {
			h := m.head(acme, "erp-write")
			h.Body = bytes.Replace(h.Body, []byte("erp.example"), []byte("evil.example"), 1)
		},
		refused: map[ident.Tenant]string{acme: "erp-write"}, why: "without the key", intact: map[ident.Tenant]string{acme: "erp-read"},
	},
	"an old version's ciphertext replayed as the new one": {
		do: func(m *memory, _ vault.Snapshot) {
			a, b := m.version(acme, "erp-read", 1), m.version(acme, "erp-read", 2)
			b.Key, b.Value = a.Key, a.Value
		},
		refused: map[ident.Tenant]string{acme: "erp-read"}, why: "version 2 was changed", intact: map[ident.Tenant]string{acme: "erp-write"},
	},
	"an old head put back, which was genuine": {
		do: func(m *memory, old vault.Snapshot) {
			i := slices.IndexFunc(old.Secrets, func(r vault.Row) bool { return r.Tenant == acme && r.Name == "erp-read" })
			*m.head(acme, "erp-read") = old.Secrets[i]
		},
		refused: map[ident.Tenant]string{acme: "erp-read"}, why: "old row", intact: map[ident.Tenant]string{acme: "erp-write"},
	},
	"a head removed": {
		do: func(m *memory, _ vault.Snapshot) {
			m.snap.Secrets = slices.DeleteFunc(m.snap.Secrets, func(r vault.Row) bool { return r.Tenant == acme && r.Name == "erp-read" })
		},
		refused: map[ident.Tenant]string{acme: "erp-read"}, why: "removed", intact: map[ident.Tenant]string{acme: "erp-write"},
	},
	"a ciphertext removed": {
		do: func(m *memory, _ vault.Snapshot) {
			m.snap.Versions = slices.DeleteFunc(m.snap.Versions, func(r vault.VersionRow) bool { return r.Tenant == acme && r.Name == "erp-read" })
		},
		refused: map[ident.Tenant]string{acme: "erp-read"}, why: "removed", intact: map[ident.Tenant]string{acme: "erp-write"},
	},
	"the register removed": {
		do: func(m *memory, _ vault.Snapshot) {
			m.snap.Registers = slices.DeleteFunc(m.snap.Registers, func(r vault.Row) bool { return r.Tenant == acme })
		},
		refused: map[ident.Tenant]string{acme: "erp-read"}, why: "register", intact: map[ident.Tenant]string{globex: "erp-read"},
	},
	"everything put back as it was before the rotation, but for the log": {
		do: func(m *memory, old vault.Snapshot) {
			m.snap.Secrets, m.snap.Registers, m.snap.Versions = old.Secrets, old.Registers, old.Versions
		},
		refused: map[ident.Tenant]string{acme: "erp-read"}, why: "the audit log has", intact: map[ident.Tenant]string{globex: "erp-read"},
	},
	"everything of a tenant removed": {
		do: func(m *memory, _ vault.Snapshot) {
			m.snap.Secrets = slices.DeleteFunc(m.snap.Secrets, func(r vault.Row) bool { return r.Tenant == acme })
			m.snap.Registers = slices.DeleteFunc(m.snap.Registers, func(r vault.Row) bool { return r.Tenant == acme })
		},
		refused: map[ident.Tenant]string{acme: "erp-read"}, why: "removed", intact: map[ident.Tenant]string{globex: "erp-read"},
	},
	"a project key swapped with another tenant's": {
		do: func(m *memory, _ vault.Snapshot) {
			p := m.snap.Ring.Projects
			p[0].Wrapped, p[1].Wrapped = p[1].Wrapped, p[0].Wrapped
		},
		refused: map[ident.Tenant]string{acme: "erp-read", globex: "erp-read"}, why: "keys are gone",
	},
}

func TestWhoCanWriteTheDatabaseButHasNoKeyIsRefused(t *testing.T) {
	for name, a := range attacks {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			f.set(acme, "erp-read", canary1)
			f.set(globex, "erp-read", canary2)
			w := f.write(acme, "erp-write", canary3)
			w.Scope = &vault.Scope{Origins: []string{"https://erp.example"}}
			if _, err := f.Set(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			old := clone(f.store.snap, nil)
			f.rotate(acme, "erp-read", canary1+"-rotated")
			f.restart()
			for _, ref := range []string{"erp-read", "erp-write"} {
				if err := f.opens(acme, ref); err != nil {
					t.Fatalf("before the attack: %v", err)
				}
			}
			a.do(f.store, old)
			f.restart()
			for tenant, ref := range a.refused {
				err := f.opens(tenant, ref)
				if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), a.why) {
					t.Errorf("%s of %s: %v, want denied with %q", ref, tenant, err, a.why)
				}
				if f.refusal(tenant, ref) == nil && f.refusal(tenant, "") == nil {
					t.Errorf("the audit log of %s does not name %s", tenant, ref)
				}
				if _, err := f.Rotate(t.Context(), f.write(tenant, ref, "cnry-another-0815-value")); !fault.Is(err, fault.Denied) {
					t.Errorf("a refused secret was rotated: %v", err)
				}
			}
			for tenant, ref := range a.intact {
				if err := f.opens(tenant, ref); err != nil {
					t.Errorf("%s of %s is not usable any more: %v", ref, tenant, err)
				}
			}
		})
	}
}

func TestAShreddedVersionThatIsPutBackStaysDestroyed(t *testing.T) {
	f := start(t)
	f.set(acme, "erp-read", canary1)
	old := clone(f.store.snap, nil)
	if err := f.Remove(t.Context(), acme, "erp-read", admin(acme)); err != nil {
		t.Fatal(err)
	}
	if len(f.store.snap.Versions) != 0 {
		t.Fatal("the wrapped keys are still stored")
	}
	f.store.snap.Versions = old.Versions
	f.restart()
	for _, ref := range []string{"erp-read", "erp-read@v1"} {
		if err := f.opens(acme, ref); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestARootKeyWhoseRowsAreGoneIsNotMadeAgain(t *testing.T) {
	f := start(t)
	f.set(acme, "erp-read", canary1)
	f.store.snap.Ring.Root, f.store.snap.Ring.Seals = vault.RootRow{}, nil
	if err := f.sealed().Unseal(t.Context(), f.store, f.seal); !fault.Is(err, fault.Denied) {
		t.Errorf("unsealing: %v", err)
	}
	if len(f.store.snap.Ring.Seals) != 0 {
		t.Error("a new root key was stored over secrets of another")
	}
}

func TestARefusalIsNoChange(t *testing.T) {
	f := start(t)
	f.set(acme, "erp-read", canary1)
	f.set(acme, "erp-write", canary2)
	f.store.version(acme, "erp-read", 1).Value[0] ^= 1
	f.restart()
	f.restart() // the refusals of the first start are in the log now
	if err := f.opens(acme, "erp-write"); err != nil {
		t.Errorf("another secret after a refusal: %v", err)
	}
	n := 0
	for _, ev := range f.store.events {
		if ev.Type == audit.RowRefused {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d refusals on the record, want one for each start", n)
	}
}
