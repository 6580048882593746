package kek

import (
	"encoding/json"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/safe"
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

func FuzzTransitAnswers(f *testing.F) {
	f.Add([]byte(`{"request_id":"a","data":{"ciphertext":"vault:v1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","key_version":1}}`), 200)
	f.Add([]byte(`{"data":{"plaintext":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},"auth":null}`), 200)
	f.Add([]byte(`{"auth":{"client_token":"s.abc"}}`), 200)
	f.Add([]byte(`{"errors":["encryption key not found"]}`), 400)
	f.Add([]byte(`{"data":{"plaintext":{}}}`), 503)
	t0 := &Transit{cfg: TransitConfig{Mount: "transit", Key: "k"}}
	f.Fuzz(func(t *testing.T, raw []byte, status int) {
		if b, err := transitCiphertext(raw); err == nil && !transitBox.Match(b) {
			t.Errorf("a ciphertext %q", b)
		}
		if v, err := transitPlaintext(raw); err == nil && len(plain.Bytes(v)) != box.KeySize {
			t.Error("a plaintext of another length")
		}
		if b, err := transitToken(raw); err == nil && !safe.Header(b) {
			t.Errorf("a token %q", b)
		}
		for _, op := range []string{"encrypt", "decrypt", "sign-in"} {
			switch err := t0.refused(op, status, raw); fault.KindOf(err) {
			case fault.Denied, fault.Invalid, fault.Unavailable:
			default:
				t.Errorf("status %d is %v", status, err)
			}
		}
	})
}

func FuzzExecAnswers(f *testing.F) {
	f.Add(`{"v":1,"id":"slot-1/key-7"}`)
	f.Add(`{"v":1,"id":"k","ciphertext":"AAAA"}`)
	f.Add(`{"v":1,"id":"k","plaintext":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`)
	f.Add(`{"v":1,"error":{"kind":"denied","message":"no"}}`)
	f.Add(`{"v":1,"id":"k","ciphertext":"AAAA","plaintext":"AAAA"}{}`)
	f.Fuzz(func(t *testing.T, s string) {
		for _, op := range []string{"id", "wrap", "unwrap"} {
			a, err := parseExec(op, []byte(s))
			if err != nil {
				if k := fault.KindOf(err); k != fault.Denied && k != fault.Unavailable && k != fault.Invalid || len(err.Error()) > 200 {
					t.Errorf("%s: %v", op, err)
				}
				continue
			}
			if a.V != 1 || !execID.MatchString(a.ID) || a.Error != nil || (len(a.Plaintext) == box.KeySize) != (op == "unwrap") || (len(a.Ciphertext) > 0) != (op == "wrap") {
				t.Errorf("%s: accepted %q", op, s)
			}
		}
	})
}

func FuzzWordsOfAProgram(f *testing.F) {
	for _, s := range []string{"no such slot", "\xff\x00", "key AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "[1 2 3 4 5 6 7 8 9]", "0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if s := tell(b); len(s) > 80 || longWord.MatchString(s) {
			t.Errorf("%q told as %q", b, s)
		}
	})
}
