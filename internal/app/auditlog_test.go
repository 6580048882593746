package app_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/app"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/audit/outside"
	"sallyport.dev/internal/vault/kek"
)

// vkeyOf is a witness's verifier key.
func vkeyOf(name string) string {
	seed := sha256.Sum256([]byte(name))
	raw := append([]byte{4}, ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(name+"\n"), raw...))
	return fmt.Sprintf("%s+%x+%s", name, sum[:4], base64.StdEncoding.EncodeToString(raw))
}

// A witness that does not know the log and an anchor that can be written: the server
// starts and works, says how it stands with each, and has it on the record; and
// whoever has the anchor verifies against it when the server is gone.
func TestWitnessesAndAnchorsHoldNothingUpAndAreSeen(t *testing.T) {
	s := newSite(t)
	asked := make(chan string, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r.URL.Path:
		default: // it was asked often enough
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(srv.Close)
	w, err := outside.NewWitness(srv.URL, vkeyOf("w.example"))
	s.must(err)
	anchor := filepath.Join(t.TempDir(), "own", "anchor.jsonl")
	file, err := outside.NewFile(anchor, s.file("data"))
	s.must(err)
	s.must(s.start(func(c *app.Config) {
		c.Seals = []kek.Seal{s.key()}
		c.Audit = app.AuditConfig{Origin: "audit.example.com", Witnesses: []*outside.Witness{w}, Quorum: 1, Sinks: []outside.Sink{file}, Visit: 5 * time.Millisecond, Every: time.Millisecond}
	}))
	if got := <-asked; got != "/add-checkpoint" {
		t.Errorf("the witness was asked for %s", got)
	}
	<-asked // the first round has ended
	st, err := s.app.AuditStatus(t.Context(), "acme")
	s.must(err)
	if len(st.Outside) != 2 || st.Quorum != 1 || st.CosignedSize != 0 || !strings.HasPrefix(st.Verifier, "audit.example.com/log/acme+") || st.NextVerifier == st.Verifier {
		t.Fatalf("%+v", st)
	}
	for i, want := range []api.Outside{{Kind: "witness", Name: "w.example", State: outside.Failing}, {Kind: "file", Name: anchor, State: outside.OK}} {
		if got := st.Outside[i]; got.Kind != want.Kind || got.Name != want.Name || got.State != want.State {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	s.stop()
	if !strings.Contains(s.log.String(), "the audit log's checkpoints are not taken") {
		t.Error("the server's log says nothing of the witness")
	}
	b, err := os.ReadFile(anchor)
	s.must(err)
	rep, err := app.VerifyAudit(t.Context(), s.file("data"), audit.VerifyOptions{VerifierKey: st.Verifier, Anchors: audit.ParseAnchor(b)})
	s.must(err)
	if !rep.OK() || !rep.Logs[0].Against {
		t.Errorf("%+v", rep)
	}
}
