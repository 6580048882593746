package app

import (
	"os"
	"path/filepath"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// A backup is opened by each seal that there was when it was made, whatever became
// of the seals and the root key since, and by no other.
func TestABackupOpensWithTheSealsOfItsTime(t *testing.T) {
	o := newOffice(t, t.TempDir())
	old := kek.NewKeyFile(filepath.Join(o.dir, "old.key"))
	added, err := o.Vault.AddSeal(t.Context(), old, o.who())
	o.must(err)
	recovery := filepath.Join(o.dir, "recovery.json")
	public, err := kek.NewRecovery(recovery)
	o.must(err)
	_, err = o.Vault.AddRecovery(t.Context(), public, o.who())
	o.must(err)
	before := o.backup("before")
	o.must(o.Vault.RemoveSeal(t.Context(), added.ID, o.who()))
	_, err = o.Vault.RotateRoot(t.Context(), o.who())
	o.must(err)
	_, err = o.Vault.RotateProject(t.Context(), "acme", o.who())
	o.must(err)
	_, err = o.Vault.RotateData(t.Context(), "globex", ident.Principal{Tenant: "globex", Kind: ident.System, ID: "setup"})
	o.must(err)
	after := o.backup("after")
	key, rec := kek.NewKeyFile(filepath.Join(o.dir, "seal.key")), kek.NewRecoveryKey(recovery)
	for _, c := range []struct {
		what, file string
		seal       kek.Seal
		opens      bool
	}{
		{"the key file, before", before, key, true},
		{"the recovery key, before", before, rec, true},
		{"the seal that was removed, before", before, old, true},
		{"the key file, after", after, key, true},
		{"the recovery key, after", after, rec, true},
		{"the seal that was removed, after", after, old, false},
	} {
		cfg := o.config(c.file)
		cfg.Seals = []kek.Seal{c.seal}
		rep, err := Restore(t.Context(), cfg)
		if opened := err == nil && rep.Audit.OK() && *rep.Secrets == (vault.Count{Secrets: 3}); opened != c.opens {
			t.Errorf("%s: %+v, %v", c.what, rep, err)
		}
		if !c.opens {
			if !fault.Is(err, fault.Denied) {
				t.Errorf("%s: %v", c.what, err)
			}
			nothingLeft(t, cfg)
		}
	}
}

// A seal's row that somebody wrote into the database is not written into backups.
func TestABackupIsNotEncryptedToAPlantedSeal(t *testing.T) {
	o := newOffice(t, t.TempDir())
	o.tamper("UPDATE vault_seal SET key_id = 'planted'")
	file := filepath.Join(o.dir, "b")
	f, err := os.Create(file)
	o.must(err)
	if err := o.Backup(t.Context(), o.who(), adminPassword, o.code(), "", f); !fault.Is(err, fault.Conflict) {
		t.Error(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() > 0 {
		t.Errorf("%d bytes were written: %v", info.Size(), err)
	}
	o.must(f.Close())
}

// A Secret whose row was changed in the running server's database is counted.
func TestARefusedSecretOfABackupIsCounted(t *testing.T) {
	o := newOffice(t, t.TempDir())
	o.tamper("UPDATE vault_secret SET body = replace(body, 'erp', 'crm') WHERE tenant = 'globex'")
	rep, err := Restore(t.Context(), o.config(o.backup("b")))
	if o.must(err); *rep.Secrets != (vault.Count{Secrets: 3, Refused: 1}) {
		t.Errorf("%+v", *rep.Secrets)
	}
}
