package kek

import (
	"encoding/json"
	"testing"

	"sallyport.dev/internal/vault/internal/box"
)

// These see inside: the parsers are not exported, since what they give is.

func FuzzParseKeyFile(f *testing.F) {
	key := `"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`
	f.Add([]byte(`{"id":"key_a","current":` + key + `}`))
	f.Add([]byte(`{"id":"key_a","current":` + key + `,"previous":` + key + `}`))
	f.Add([]byte(`{"id":"key_a","current":` + key + `}{}`))
	f.Add([]byte(`{"ID":"key_a","current":"AAAA"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := parseKeyFile(b)
		if err != nil {
			return
		}
		if len(k.Current) != box.KeySize || k.Previous != nil && len(k.Previous) != box.KeySize || k.ID == "" {
			t.Fatal("accepted a key file without its keys or id")
		}
		again, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseKeyFile(again); err != nil {
			t.Fatalf("what was accepted is refused when written again: %v", err)
		}
	})
}

func FuzzParseKDF(f *testing.F) {
	f.Add([]byte(`{"kdf":"argon2id","salt":"AAAAAAAAAAAAAAAAAAAAAA==","time":3,"memory":262144,"lanes":4}`))
	f.Add([]byte(`{"kdf":"pbkdf2-sha256","salt":"AAAAAAAAAAAAAAAAAAAAAA==","time":600000}`))
	f.Add([]byte(`{"kdf":"argon2id","time":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := parseKDF(b)
		if err != nil {
			return
		}
		weak := k.Name == argon2id && (k.Time < 3 || k.Memory < 256<<10) || k.Name == pbkdf2ID && k.Time < 600_000
		if weak || k.Time > 20_000_000 || k.Memory > 2<<20 || len(k.Salt) != 16 {
			t.Fatalf("accepted %+v", k)
		}
	})
}
