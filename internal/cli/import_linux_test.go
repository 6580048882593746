package cli_test

import (
	"bytes"
	"crypto/hpke"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/intake"
	"sallyport.dev/internal/vault"
)

// TestAnImportOnATerminalShowsItsProgress: and what the server gets opens with its
// key alone, with a fresh nonce for each value.
func TestAnImportOnATerminalShowsItsProgress(t *testing.T) {
	t.Setenv("SALLYPORT_TOKEN", "sps_x")
	kem, kdf, aead := intake.Suite()
	private, err := kem.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	keys := 0
	got := map[string]string{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		switch name := filepath.Base(r.URL.Path); {
		case name == "intake-key":
			keys++
			_ = json.NewEncoder(w).Encode(intake.NewKey("acme", private.PublicKey().Bytes(), bytes.Repeat([]byte{byte(keys)}, intake.NonceSize), time.Now()))
		case r.Method == http.MethodGet:
			_, _ = io.WriteString(w, `{"secrets":[]}`)
		case name == "c":
			http.Error(w, "no", http.StatusInternalServerError)
		default:
			var in api.SecretValue
			if err := json.Unmarshal(body, &in); err != nil || len(in.Fields) != 0 {
				t.Errorf("%v: %s", err, body)
			}
			about, err := vault.About{Scope: in.Scope, Expires: in.Expires, AnyOrigin: in.AnyOrigin}.Text()
			nonce, box, err2 := intake.Split(in.Sealed)
			text, err3 := hpke.Open(private, kdf, aead, intake.Info(intake.Target{Tenant: "acme", Name: name, About: about}, nonce), box)
			fields, err4 := intake.Unpack(text)
			if err != nil || err2 != nil || err3 != nil || err4 != nil || nonce[0] != byte(keys) {
				t.Errorf("%s: %v %v %v %v", name, err, err2, err3, err4)
			}
			got[name] = string(fields["token"])
			fmt.Fprintf(w, `{"name":%q,"versions":[{"version":1,"state":"active"}]}`, name)
		}
	}))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(file, []byte("A=k3v9x1m7q5w2z8b4\nB=p3v9x1m7q5w2z8b5\nC=r3v9x1m7q5w2z8b6\nD=s3v9x1m7q5w2z8b7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := onTerminal(t, "secret", "import", file, "--any-origin", "--server", srv.URL)
	code, screen := s.ends()
	for _, want := range []string{"stored 1 of 4", "stored 4 of 4", "a     v1       created     A", "c              not stored  C", "d              not stored  D", "two places"} {
		if !strings.Contains(screen, want) {
			t.Errorf("the screen does not have %q:\n%s", want, screen)
		}
	}
	if code != 1 || got["a"] != "k3v9x1m7q5w2z8b4" || got["b"] != "p3v9x1m7q5w2z8b5" || len(got) != 2 || strings.Contains(screen, "x1m7q5") {
		t.Errorf("it ended with %d, and the server has %d values:\n%s", code, len(got), screen)
	}
}
