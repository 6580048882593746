package system

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What Read takes is one object without a repeated or an unknown key, and what
// it refuses is answered.
func FuzzRead(f *testing.F) {
	f.Add(`{"name":"x"}`)
	f.Add(`{"name":"x","Name":"y"}`)
	f.Add(`{"name":"x"}{}`)
	f.Add(`{"name":{"a":1,"a":2}}`)
	f.Add("null")
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		var v struct {
			Name string `json:"name"`
		}
		if !Read(w, r, &v) {
			if w.Code < 400 || w.Body.Len() == 0 {
				t.Fatalf("refused with %d", w.Code)
			}
			return
		}
		var m map[string]json.RawMessage
		if err := json.Unmarshal([]byte(body), &m); err != nil || len(m) > 1 {
			t.Fatalf("taken: %q", body)
		}
	})
}

// A credentials file that is refused is not repeated in the error, and what is
// taken can be matched.
func FuzzCredentials(f *testing.F) {
	f.Add(`{"credentials":[{"name":"a","token":"canary-0123456789"}]}`)
	f.Add(`{"credentials":[{"name":"a","username":"u","password":"canary-0123456789","scopes":["x"]}]}`)
	f.Add(`{"credentials":[{"name":"a","token":"canary-0123456789","extra":1}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := parseCredentials([]byte(text))
		if err != nil {
			if strings.Contains(err.Error(), "canary-0123456789") {
				t.Fatal("the error has the credential")
			}
			return
		}
		for _, k := range keys {
			if _, ok := match(keys, k.presented()); !ok {
				t.Fatalf("%q does not match itself", k.Name)
			}
		}
	})
}

// Whatever a crash left, a journal opens with whole records or not at all, and
// opening it a second time finds the same.
func FuzzJournal(f *testing.F) {
	f.Add("{\"n\":1}\n{\"n\":2")
	f.Add("\n\n")
	f.Add("{\"n\":1} {\"n\":2}\n")
	f.Fuzz(func(t *testing.T, text string) {
		type entry struct {
			N int `json:"n"`
		}
		path := filepath.Join(t.TempDir(), "j")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		j, first, err := OpenJournal[entry](path)
		if err != nil {
			return
		}
		_ = j.Close()
		j, again, err := OpenJournal[entry](path)
		if err != nil || len(again) != len(first) {
			t.Fatalf("%d records, then %d: %v", len(first), len(again), err)
		}
		_ = j.Close()
	})
}
