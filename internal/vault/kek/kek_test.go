package kek_test

import (
	"bytes"
	"crypto/fips140"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/kek"
)

var aad = box.Bind("root", "vault_1", "1")

func root() plain.Value { return plain.New(bytes.Repeat([]byte("r"), box.KeySize)) }

// wrap seals the root key in a new key file.
func wrap(t *testing.T) (*kek.KeyFile, string, kek.Sealed) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	k := kek.NewKeyFile(path)
	s, err := k.Wrap(t.Context(), aad, root())
	if err != nil {
		t.Fatal(err)
	}
	return k, path, s
}

func TestTheKeyFileIsMadeOnceForItsOwnerOnly(t *testing.T) {
	k, path, s := wrap(t)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Wrap(t.Context(), aad, root()); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Error("a second start made another key")
	}
	got, err := kek.NewKeyFile(path).Unwrap(t.Context(), aad, s)
	if err != nil || !bytes.Equal(plain.Bytes(got), plain.Bytes(root())) {
		t.Errorf("unwrapping: %v", err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	for _, other := range []box.AAD{box.Bind("root", "vault_2", "1"), box.Bind("root", "vault_1", "2")} {
		if _, err := k.Unwrap(t.Context(), other, s); !fault.Is(err, fault.Denied) {
			t.Errorf("as the root key of another vault or generation: %v", err)
		}
	}
}

func TestAnUnwrapNeverMakesAKeyFile(t *testing.T) {
	_, _, s := wrap(t)
	path := filepath.Join(t.TempDir(), "key")
	_, err := kek.NewKeyFile(path).Unwrap(t.Context(), aad, s)
	if !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("a new key file hides that the right one is missing")
	}
}

func TestAnUnsafeOrSpoiledKeyFileIsRefused(t *testing.T) {
	k, path, s := wrap(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		mode    os.FileMode
		content []byte
		kind    fault.Kind
	}{
		"readable by the group": {0o640, good, fault.Denied},
		"readable by all":       {0o604, good, fault.Denied},
		"writable by all":       {0o602, good, fault.Denied},
		"empty":                 {0o600, nil, fault.Invalid},
		"cut":                   {0o600, good[:len(good)/2], fault.Invalid},
		"something after it":    {0o600, append(bytes.Clone(good), "{}"...), fault.Invalid},
		"an unknown member":     {0o600, bytes.Replace(good, []byte(`"id"`), []byte(`"more":1,"id"`), 1), fault.Invalid},
		"another id":            {0o600, bytes.Replace(good, []byte(`key_`), []byte(`key_a`), 1), fault.Denied},
		"a short key":           {0o600, []byte(`{"id":"key_a","current":"AAAA"}`), fault.Invalid},
		"too long":              {0o600, bytes.Repeat([]byte(" "), 5000), fault.Invalid},
	} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := k.Unwrap(t.Context(), aad, s)
		if !fault.Is(err, c.kind) {
			t.Errorf("%s: %v, want %s", name, err, c.kind)
		}
		var f struct{ Current string }
		if json.Unmarshal(good, &f) == nil && err != nil && strings.Contains(fmt.Sprintf("%v %+v", err, err), f.Current) {
			t.Errorf("%s: the error has the key", name)
		}
	}
	if _, err := kek.NewKeyFile(t.TempDir()).Unwrap(t.Context(), aad, s); err == nil {
		t.Error("a directory as a key file")
	}
}

func TestThePreviousKeyStillOpens(t *testing.T) {
	k, path, s := wrap(t)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rotated := bytes.Replace(b, []byte(`"current":`), []byte(`"current":"`+strings.Repeat("A", 43)+`=","previous":`), 1)
	if err := os.WriteFile(path, rotated, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := k.Unwrap(t.Context(), aad, s); err != nil || !bytes.Equal(plain.Bytes(got), plain.Bytes(root())) {
		t.Errorf("%v", err)
	}
}

func phrase(t *testing.T, s string) *kek.Passphrase {
	t.Helper()
	p, err := kek.NewPassphrase([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAPassphraseOpensAfterTheSameWorkAsAWrongOneIsRefused(t *testing.T) {
	kek.Cheaper(t)
	s, err := phrase(t, "five random words or more").Wrap(t.Context(), aad, root())
	if err != nil {
		t.Fatal(err)
	}
	work := func(p string) ([]string, plain.Value, error) {
		t.Helper()
		did := kek.Derivations(t)
		got, err := phrase(t, p).Unwrap(t.Context(), aad, s)
		return *did, got, err
	}
	right, got, err := work("five random words or more")
	if err != nil || !bytes.Equal(plain.Bytes(got), plain.Bytes(root())) {
		t.Fatalf("the right one: %v", err)
	}
	for _, p := range []string{"five random words or less", "five random words or more ", strings.Repeat("x", 12)} {
		wrong, got, err := work(p)
		if !fault.Is(err, fault.Denied) || len(plain.Bytes(got)) > 0 {
			t.Errorf("a wrong one: %v", err)
		}
		if len(wrong) != 1 || !slices.Equal(right, wrong) {
			t.Errorf("the work for a wrong one was %v, for the right one %v", wrong, right)
		}
		if err == nil || err.Error() != "this is not the passphrase that the vault was sealed with" || fault.HintOf(err) == "" {
			t.Errorf("it says %q (%s)", err, fault.HintOf(err))
		}
	}
	want := `"argon2id"`
	if fips140.Enabled() {
		want = `"pbkdf2-sha256"`
	}
	if !strings.Contains(string(s.Params), want) {
		t.Errorf("derived as %s", s.Params)
	}
}

func TestFIPSModeDerivesWithPBKDF2AndSaysWhatToDoWithArgon2id(t *testing.T) {
	if fips140.Enforced() {
		t.Skip("what is derived outside FIPS mode can't be made here")
	}
	kek.Cheaper(t)
	p := phrase(t, "five random words or more")
	kek.FIPS(t, false)
	outside, err := p.Wrap(t.Context(), aad, root())
	if err != nil {
		t.Fatal(err)
	}
	kek.FIPS(t, true)
	if _, err := p.Unwrap(t.Context(), aad, outside); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "Argon2id") || !strings.Contains(fault.HintOf(err), "PBKDF2") {
		t.Errorf("an Argon2id seal in FIPS mode: %v (%s)", err, fault.HintOf(err))
	}
	inside, err := p.Wrap(t.Context(), aad, root())
	if err != nil || !strings.Contains(string(inside.Params), "pbkdf2-sha256") {
		t.Fatalf("%s, %v", inside.Params, err)
	}
	for _, on := range []bool{true, false} {
		kek.FIPS(t, on)
		if got, err := p.Unwrap(t.Context(), aad, inside); err != nil || !bytes.Equal(plain.Bytes(got), plain.Bytes(root())) {
			t.Errorf("a PBKDF2 seal, FIPS mode %v: %v", on, err)
		}
	}
}

func TestWhatADerivationCosts(t *testing.T) {
	passes, kib, lanes, iterations := kek.Costs()
	if passes < 3 || kib < 256<<10 || lanes < 4 || iterations < 600_000 {
		t.Errorf("a passphrase became cheaper to guess: %d passes, %d KiB, %d lanes; %d iterations", passes, kib, lanes, iterations)
	}
}

func TestStoredParametersAreHeldToBounds(t *testing.T) {
	p, err := kek.NewPassphrase([]byte("five random words or more"))
	if err != nil {
		t.Fatal(err)
	}
	salt := `"salt":"AAAAAAAAAAAAAAAAAAAAAA=="`
	for _, params := range []string{
		`{"kdf":"argon2id",` + salt + `,"time":1,"memory":8,"lanes":1}`,
		`{"kdf":"argon2id",` + salt + `,"time":4000000000,"memory":262144,"lanes":4}`,
		`{"kdf":"argon2id",` + salt + `,"time":3,"memory":4000000000,"lanes":4}`,
		`{"kdf":"argon2id","salt":"","time":3,"memory":262144,"lanes":4}`,
		`{"kdf":"pbkdf2-sha256",` + salt + `,"time":1000}`,
		`{"kdf":"none",` + salt + `,"time":3}`,
		`{"kdf":"argon2id",` + salt + `,"time":3,"memory":262144,"lanes":4}{}`,
		``, `null`, `[]`,
	} {
		if _, err := p.Unwrap(t.Context(), aad, kek.Sealed{Kind: kek.KindPassphrase, Params: []byte(params)}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", params, err)
		}
	}
}

func TestAPassphraseIsWipedFromItsCallerAndNotPrinted(t *testing.T) {
	b := []byte("five random words or more")
	p, err := kek.NewPassphrase(b)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("random")) {
		t.Error("the caller still has it")
	}
	if s := fmt.Sprintf("%v %+v %#v %s %x", p, p, p, p, p); strings.Contains(s, "random") || strings.Contains(s, "72616e646f6d") {
		t.Errorf("printed as %s", s)
	}
	if _, err := kek.NewPassphrase([]byte("short")); !fault.Is(err, fault.Invalid) {
		t.Errorf("a short one: %v", err)
	}
}
