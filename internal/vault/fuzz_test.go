package vault

import (
	"encoding/json"
	"testing"

	"sallyport.dev/internal/vault/internal/plain"
)

// These see inside: what is parsed comes from the database, never from a caller.

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"erp", "erp@v1", "erp@v01", "erp@v0", "erp@", "@v1", "erp@v1@v2", "erp@v99999999999999999999", "ERP", "erp@V1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRef(s)
		if err == nil && r.String() != s {
			t.Fatalf("%q is read as %q: two texts for one reference", s, r)
		}
	})
}

func FuzzParseSecret(f *testing.F) {
	f.Add([]byte(`{"id":"sec_a","name":"erp","project":"default","active":1,"versions":[{"version":1,"state":"active","fields":["token"],"term":1,"sum":"","createdAt":"2026-11-23T00:00:00Z","createdBy":"person:a"}],"createdAt":"2026-11-23T00:00:00Z","updatedAt":"2026-11-23T00:00:00Z"}`))
	f.Add([]byte(`{"id":"sec_a","name":"erp","versions":[{"version":2,"state":"active"}],"active":2}`))
	f.Add([]byte(`{"id":"sec_a","name":"erp","versions":[{"version":1,"state":"destroyed"}],"removed":true}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSecret("erp", b)
		if err != nil {
			return
		}
		if s.Active != 0 {
			if v, ok := s.version(s.Active); !ok || v.State != Active || s.Removed {
				t.Fatal("the active version is not active")
			}
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Skip("a time that JSON can't write")
		}
		if _, err := parseSecret("erp", again); err != nil {
			t.Fatalf("what was accepted is refused when written again: %v", err)
		}
	})
}

func FuzzUnpack(f *testing.F) {
	f.Add(plain.Bytes(pack(map[string][]byte{"username": []byte("bob"), "password": []byte("x")})))
	f.Add([]byte{0, 0, 0, 1, 'a', 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		fields, err := unpack(plain.New(b))
		if err != nil {
			return
		}
		raw := map[string][]byte{}
		for k, v := range fields {
			raw[k] = plain.Bytes(v)
		}
		if got := plain.Bytes(pack(raw)); len(got) != len(b) {
			t.Fatalf("%d bytes packed again are %d", len(b), len(got))
		}
	})
}
