package vault_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

const phrase = "correct horse battery staple"

// passphrase is the seal; each value of it is one prompt.
func passphrase(t *testing.T, text string) kek.Seal {
	t.Helper()
	p, err := kek.NewPassphrase([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// recovery adds a recovery key to the vault and names its offline half.
func (f *fixture) recovery() string {
	f.t.Helper()
	path := filepath.Join(f.t.TempDir(), "recovery.key")
	public, err := kek.NewRecovery(path)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.AddRecovery(f.t.Context(), public, admin(acme)); err != nil {
		f.t.Fatal(err)
	}
	return path
}

// key is the unseal key of a sealed start, as a client reads it.
func (f *fixture) key(v *vault.Vault) vault.UnsealKey {
	f.t.Helper()
	k, err := v.UnsealKey(f.t.Context(), f.store)
	if err != nil {
		f.t.Fatal(err)
	}
	b, err := json.Marshal(k)
	if err != nil {
		f.t.Fatal(err)
	}
	var back vault.UnsealKey
	if err := json.Unmarshal(b, &back); err != nil {
		f.t.Fatal(err)
	}
	return back
}

func TestASealedServerIsUnsealedFromElsewhere(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	f.add(passphrase(t, phrase))
	path := f.recovery()
	if _, err := f.RotateRoot(t.Context(), admin(acme)); err != nil { // which neither had to be at hand for
		t.Fatal(err)
	}
	bring := map[string]func(vault.UnsealKey) (vault.Brought, error){
		"with the recovery key": func(k vault.UnsealKey) (vault.Brought, error) {
			return vault.Bring(t.Context(), k, kek.NewRecoveryKey(path))
		},
		"with the key file":   func(k vault.UnsealKey) (vault.Brought, error) { return vault.Bring(t.Context(), k, f.seal) },
		"with the passphrase": func(k vault.UnsealKey) (vault.Brought, error) { return vault.BringPassphrase(k, []byte(phrase)) },
	}
	for name, by := range bring {
		t.Run(name, func(t *testing.T) {
			v := f.sealed()
			b, err := by(f.key(v))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b.Sealed, []byte(phrase)) {
				t.Error("the passphrase travels as it is")
			}
			other := f.sealed()
			f.key(other)
			if err := other.UnsealWith(t.Context(), f.store, b); !fault.Is(err, fault.Conflict) || !other.Sealed() {
				t.Errorf("another start of the server took it: %v", err)
			}
			b.Source = "192.0.2.7"
			if err := v.UnsealWith(t.Context(), f.store, b); err != nil {
				t.Fatal(err)
			}
			f.Vault = v
			if f.call(spec(acme, "erp")) != "Bearer "+canary1 {
				t.Error("the secret does not work")
			}
			last := f.store.events[len(f.store.events)-1]
			if last.Type != audit.VaultUnsealed || last.Fields["source"] != "192.0.2.7" {
				t.Errorf("on the record: %+v", last)
			}
			if err := v.UnsealWith(t.Context(), f.store, b); !fault.Is(err, fault.Conflict) {
				t.Errorf("a second time: %v", err)
			}
			if _, err := v.UnsealKey(t.Context(), f.store); !fault.Is(err, fault.Conflict) {
				t.Errorf("an unsealed vault offers a key: %v", err)
			}
		})
	}
}

func TestWhatDoesNotUnsealIsOnTheRecordLater(t *testing.T) {
	f := start(t)
	f.add(passphrase(t, phrase))
	v := f.sealed()
	k := f.key(v)
	for _, text := range []string{"not the right one at all", "nor is this the right one"} {
		b, err := vault.BringPassphrase(k, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		b.Source = "192.0.2.7"
		if err := v.UnsealWith(t.Context(), f.store, b); !fault.Is(err, fault.Denied) || !v.Sealed() {
			t.Fatalf("a wrong passphrase: %v", err)
		}
	}
	stranger := start(t)
	if _, err := vault.Bring(t.Context(), k, stranger.seal); !fault.Is(err, fault.Denied) {
		t.Errorf("a stranger's key file: %v", err)
	}
	if err := v.Unseal(t.Context(), f.store, f.seal); err != nil {
		t.Fatal(err)
	}
	for _, ev := range f.store.events {
		if ev.Type == audit.VaultRefused && ev.Fields["count"] == 2 && ev.Fields["source"] == "192.0.2.7" {
			return
		}
	}
	t.Error("the audit log does not have the attempts")
}

func TestAMeetingTakesNothingThatWasChanged(t *testing.T) {
	f := start(t)
	v := f.sealed()
	good, err := vault.Bring(t.Context(), f.key(v), f.seal)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*vault.Brought){
		"the other kind":  func(b *vault.Brought) { b.Kind = vault.BroughtPassphrase },
		"an unknown kind": func(b *vault.Brought) { b.Kind = "seal" },
		"no ciphertext":   func(b *vault.Brought) { b.Sealed = nil },
		"a flipped bit":   func(b *vault.Brought) { b.Sealed[len(b.Sealed)-1] ^= 1 },
		"another meeting": func(b *vault.Brought) { b.Key = "unseal_other" },
	} {
		b := good
		b.Sealed = bytes.Clone(good.Sealed)
		change(&b)
		if err := v.UnsealWith(t.Context(), f.store, b); err == nil || !v.Sealed() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := v.UnsealWith(t.Context(), f.store, good); err != nil {
		t.Errorf("the unchanged one, afterwards: %v", err)
	}
}

// Offers are public: of what a person knows, nothing is offered to guess at.
func TestAPassphrasesRowIsNotOffered(t *testing.T) {
	f := start(t)
	f.add(passphrase(t, phrase))
	f.recovery()
	k := f.key(f.sealed())
	if !k.Passphrase || len(k.Offers) != 2 {
		t.Fatalf("%d offers", len(k.Offers))
	}
	for _, o := range k.Offers {
		if o.Sealed.Kind == kek.KindPassphrase {
			t.Error("the passphrase's row is offered")
		}
	}
}

func TestARecoveryKeyIsOfOneVaultAndKeptApart(t *testing.T) {
	f, g := start(t), start(t)
	mine, theirs := f.recovery(), g.recovery()
	if _, err := vault.Bring(t.Context(), f.key(f.sealed()), kek.NewRecoveryKey(theirs)); !fault.Is(err, fault.Denied) {
		t.Errorf("another vault's recovery key: %v", err)
	}
	if err := f.opensBy(kek.NewRecoveryKey(mine)); err != nil { // at the server itself, in an emergency
		t.Errorf("the recovery key: %v", err)
	}
	if _, err := f.AddSeal(t.Context(), kek.NewRecoveryKey(mine), admin(acme)); !fault.Is(err, fault.Invalid) {
		t.Errorf("its offline half as a seal: %v", err)
	}
	if err := os.Chmod(mine, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := f.opensBy(kek.NewRecoveryKey(mine)); !fault.Is(err, fault.Denied) {
		t.Errorf("a recovery key that others can read: %v", err)
	}
}
