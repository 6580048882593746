package kek_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/kek"
)

func TestARootKeyIsEncryptedToASealThatIsNotAtHand(t *testing.T) {
	secret, other := kek.NewSecret(), kek.NewSecret()
	public, tag, err := kek.Public(secret)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := kek.Encrypt(public, tag, aad, root())
	if err != nil {
		t.Fatal(err)
	}
	got, err := kek.Decrypt(secret, aad, sealed)
	if err != nil || !bytes.Equal(plain.Bytes(got), plain.Bytes(root())) {
		t.Fatalf("decrypting: %v", err)
	}
	_, wrongTag, err := kek.Public(other)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := kek.Encrypt(public, wrongTag, aad, root())
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]struct {
		secret plain.Value
		aad    box.AAD
		sealed []byte
	}{
		"another seal's secret":                  {other, aad, sealed},
		"another place":                          {secret, box.Bind("root", "vault_2", "1"), sealed},
		"nothing":                                {secret, aad, nil},
		"too short":                              {secret, aad, sealed[:20]},
		"a flipped bit of the key":               {secret, aad, flip(sealed, 0)},
		"a flipped bit of the tag":               {secret, aad, flip(sealed, len(sealed)-1)},
		"by who knows the public key, not a tag": {secret, aad, forged},
	} {
		if _, err := kek.Decrypt(try.secret, try.aad, try.sealed); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func flip(b []byte, i int) []byte {
	out := bytes.Clone(b)
	out[i] ^= 1
	return out
}

func TestARecoveryKeyIsNeverWrittenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recovery.key")
	if _, err := kek.NewRecovery(path); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kek.NewRecovery(path); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second recovery key in the same file: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func FuzzTheRecoveryKeysPublicHalf(f *testing.F) {
	public, err := kek.NewRecovery(filepath.Join(f.TempDir(), "recovery.key"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(public)
	f.Add([]byte(`{"id":"rec_1","public":"","tag":""}`))
	f.Add([]byte(`{"id":"rec_1"} {}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := kek.ParseRecoveryPublic(b)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%v", err)
			}
			return
		}
		if _, err := kek.Encrypt(p.Public, plain.New(p.Tag), aad, root()); err != nil {
			t.Errorf("what was taken is of no use: %v", err)
		}
	})
}

func FuzzARootKeyThatSomebodyElseStored(f *testing.F) {
	secret := kek.NewSecret()
	public, tag, err := kek.Public(secret)
	if err != nil {
		f.Fatal(err)
	}
	good, err := kek.Encrypt(public, tag, aad, root())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:40])
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := kek.Decrypt(secret, aad, b); err == nil && !bytes.Equal(b, good) {
			t.Error("a root key that was not encrypted with the tag key")
		}
	})
}
