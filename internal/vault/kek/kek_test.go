package kek_test

import (
	"bytes"
	"crypto/fips140"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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
}

// Each is refused at once and with what to do: nothing waits, and nothing is made.
func TestWhatIsNoFileIsNoKeyFile(t *testing.T) {
	k, path, s := wrap(t)
	dir := filepath.Dir(path)
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"a directory": dir, "a device": "/dev/zero", "a pipe": pipe, "below a file": filepath.Join(path, "key")} {
		_, err := kek.NewKeyFile(path).Unwrap(t.Context(), aad, s)
		if fault.HintOf(err) == "" || !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v (%s)", name, err, fault.HintOf(err))
		}
		if _, err := kek.NewKeyFile(path).Wrap(t.Context(), aad, root()); fault.HintOf(err) == "" {
			t.Errorf("%s, sealing: %v", name, err)
		}
	}
	if _, err := k.Unwrap(t.Context(), aad, s); err != nil {
		t.Errorf("the right one, after all of them: %v", err)
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

func TestAPassphraseOpensAfterTheSameWorkAsAWrongOneIsRefused(t *testing.T) {
	kek.Cheaper(t)
	phrase := func(s string) *kek.Passphrase {
		p, err := kek.NewPassphrase([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	s, err := phrase("five random words or more").Wrap(t.Context(), aad, root())
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	got, err := phrase("five random words or more").Unwrap(t.Context(), aad, s)
	right := time.Since(begin)
	if err != nil || !bytes.Equal(plain.Bytes(got), plain.Bytes(root())) {
		t.Fatalf("the right one: %v", err)
	}
	begin = time.Now()
	_, err = phrase("five random words or less").Unwrap(t.Context(), aad, s)
	if wrong := time.Since(begin); !fault.Is(err, fault.Denied) || wrong < right/4 {
		t.Errorf("the wrong one: %v, after %s where the right one took %s", err, wrong, right)
	}
	want := `"argon2id"`
	if fips140.Enabled() {
		want = `"pbkdf2-sha256"`
	}
	if !strings.Contains(string(s.Params), want) {
		t.Errorf("derived as %s", s.Params)
	}
}

// The passphrase itself is right: what refuses is the mode, and it says so.
func TestAPassphraseOfTheOtherModeIsRefusedWithAHint(t *testing.T) {
	kek.Cheaper(t)
	p, err := kek.NewPassphrase([]byte("five random words or more"))
	if err != nil {
		t.Fatal(err)
	}
	s := kek.Sealed{Kind: kek.KindPassphrase, ID: "pass_1", Params: []byte(`{"kdf":"argon2id","salt":"AAAAAAAAAAAAAAAAAAAAAA==","time":3,"memory":16384,"lanes":4}`), Box: make([]byte, 60)}
	_, err = p.Unwrap(t.Context(), aad, s)
	if fips140.Enforced() {
		if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.HintOf(err), "fips140=on") {
			t.Errorf("FIPS 140-only mode says %v (%s)", err, fault.HintOf(err))
		}
		return
	}
	if !fault.Is(err, fault.Denied) {
		t.Errorf("another box: %v", err)
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
