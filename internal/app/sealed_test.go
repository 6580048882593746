package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/app"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// The table is the whole server's: what is added to it later is walked too.
func TestASealedServerServesHealthAndUnsealingAlone(t *testing.T) {
	s := sealed(t, nil)
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	s.must(json.Unmarshal(api.New(api.Config{}).OpenAPI(), &doc))
	here := map[string]int{"GET /healthz": 200, "GET /readyz": 503, "GET /v1/seal": 200, "POST /v1/unseal": 409}
	walked := 0
	for path, methods := range doc.Paths {
		for method := range methods {
			walked++
			method = strings.ToUpper(method)
			want, served := here[method+" "+path]
			if !served {
				want = 503
			}
			code, body, h := s.ask(method, strings.NewReplacer("{", "", "}", "").Replace(path), strings.NewReader(`{"name":"ada"}`))
			if method+" "+path == "POST /v1/unseal" {
				want = 400 // with a field that it does not have
			}
			if code != want || code >= 400 && h.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s %s: %d %s", method, path, code, body)
			}
			if !served && (!strings.Contains(body, "sallyport seal unseal") || h.Get("Cache-Control") != "no-store") {
				t.Errorf("%s %s: %s", method, path, body)
			}
		}
	}
	if walked < 30 {
		t.Fatalf("only %d routes were walked", walked)
	}
	for _, r := range []string{"GET /", "GET /signin", "POST /signin", "GET /decisions", "GET /assets/x/y.js", "GET /v1/audit/log/checkpoint", "GET /v1/openapi.json", "PUT /v1/unseal", "GET /v1/seal/", "POST /v1/seal", "GET /nothing", "OPTIONS /"} {
		method, path, _ := strings.Cut(r, " ")
		code, body, h := s.ask(method, path, nil, "Accept", "text/html,*/*")
		page := !strings.HasPrefix(path, "/v1/")
		if code != 503 || page != strings.HasPrefix(h.Get("Content-Type"), "text/html") || !strings.Contains(body, "sallyport seal unseal") || len(h["Set-Cookie"]) > 0 {
			t.Errorf("%s: %d %s %v", r, code, body, h)
		}
		if page && !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %v", r, h)
		}
	}
	if code, body, _ := s.ask("GET", "/healthz", nil); code != 200 || !strings.Contains(body, `"sealed"`) {
		t.Errorf("%d %s", code, body)
	}
	code, body := s.unseal(s.with(s.key()))
	if code != 200 || !strings.Contains(body, `"sealed":false`) {
		t.Fatalf("%d %s", code, body)
	}
	s.open()
}

func TestAPassphraseUnsealsAndAWrongOneIsOnTheRecord(t *testing.T) {
	s := sealed(t, addPassphrase)
	state := s.unsealKey()
	if !state.Passphrase || len(state.Offers) != 1 {
		t.Errorf("it offers %+v", state)
	}
	req := s.withPhrase("a passphrase of somebody else")
	if bytes.Contains([]byte(req), []byte("somebody")) {
		t.Error("it travels in clear")
	}
	code, body := s.unseal(req)
	if code != 403 || strings.Contains(body, "somebody") || !strings.Contains(body, "passphrase") {
		t.Errorf("%d %s", code, body)
	}
	if !s.app.Sealed() {
		t.Fatal("it is open")
	}
	if code, body = s.unseal(s.withPhrase(phrase)); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	s.open()
	if l := s.entries(audit.VaultRefused); len(l) != 1 || !strings.Contains(l[0], `"count":1`) || !strings.Contains(l[0], "127.0.0.1") {
		t.Errorf("on the record: %v", l)
	}
	for _, private := range []string{phrase, "somebody else"} {
		if strings.Contains(s.log.String(), private) {
			t.Error("the log has it")
		}
	}
}

func TestARecoveryKeyUnseals(t *testing.T) {
	var s *site
	path := filepath.Join(t.TempDir(), "recovery.json")
	s = sealed(t, func(v *vault.Vault) error {
		public, err := kek.NewRecovery(path)
		if err == nil {
			_, err = v.AddRecovery(t.Context(), public, me)
		}
		return err
	})
	req := s.with(kek.NewRecoveryKey(path))
	if code, body := s.unseal(req); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	s.open()
	if code, body := s.unseal(req); code != 409 {
		t.Errorf("unsealing twice: %d %s", code, body)
	}
	s.stop()

	// What was captured is worth nothing at another start.
	s.restart()
	s.unsealKey()
	if code, body := s.unseal(req); code != 409 || !s.app.Sealed() {
		t.Errorf("replayed: %d %s", code, body)
	}
	other := strings.Replace(req, `"kind":"root"`, `"kind":"passphrase"`, 1)
	if code, body := s.unseal(other); code != 409 {
		t.Errorf("replayed as another kind: %d %s", code, body)
	}
}

func TestTwoUnsealAtOnce(t *testing.T) {
	s := sealed(t, nil)
	reqs := []string{s.with(s.key()), s.with(s.key())}
	codes := make([]int, len(reqs))
	var wg sync.WaitGroup
	for i, r := range reqs {
		wg.Go(func() { codes[i], _ = s.unseal(r) })
	}
	wg.Wait()
	slices.Sort(codes)
	if codes[0] != 200 || codes[1] != 200 && codes[1] != 409 && codes[1] != 429 {
		t.Errorf("they got %v", codes)
	}
	s.open()
	if n := len(s.entries(audit.VaultUnsealed)); n != 2 { // the first start's, and one of these
		t.Errorf("it was unsealed %d times", n)
	}
}

// endless is a body of n bytes.
type endless struct{ n atomic.Int64 } // what is left

func (e *endless) Read(b []byte) (int, error) {
	n := min(int64(len(b)), e.n.Load())
	if n == 0 {
		return 0, io.EOF
	}
	e.n.Add(-n)
	for i := range b[:n] {
		b[i] = 'A'
	}
	return int(n), nil
}

func TestAHugeBodyAndASlowClientKeepNobodyFromUnsealing(t *testing.T) {
	s := sealed(t, nil)
	var body endless
	body.n.Store(100 << 20)
	code, answer, _ := s.ask("POST", "/v1/unseal", io.MultiReader(strings.NewReader(`{"key":"`), &body))
	if left := body.n.Load(); code == 200 || code > 400 || left < 90<<20 {
		t.Errorf("%d %s, and %d bytes were left", code, answer, left)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.app.Addr())
	s.must(err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /v1/unseal HTTP/1.1\r\nHost: %s\r\nContent-Length: 200\r\n\r\n{\"key\":", s.app.Addr())
	s.must(err)
	if code, answer := s.unseal(s.with(s.key())); code != 200 {
		t.Errorf("while another is slow: %d %s", code, answer)
	}
	s.open()
}

// A proxy on this machine forwards strangers: they use up their own budget.
func TestStrangersDoNotLockOutThisMachine(t *testing.T) {
	s := sealed(t, nil)
	k := s.unsealKey()
	k.ID = "unseal_other"
	b, err := vault.BringPassphrase(k, []byte(phrase))
	s.must(err)
	limited := 0
	for i := range 40 {
		code, _ := s.unseal(request(b), "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i))
		if code == 429 {
			limited++
		} else if code != 409 {
			t.Fatalf("attempt %d: %d", i, code)
		}
	}
	if limited < 20 {
		t.Errorf("only %d of 40 were limited", limited)
	}
	if code, body := s.unseal(s.with(s.key())); code != 200 {
		t.Errorf("the operator: %d %s", code, body)
	}
	s.open()
}

func TestASealOutOfReachIsTriedAgain(t *testing.T) {
	s := sealed(t, nil)
	s.stop()
	s.must(os.Rename(s.file("seal.key"), s.file("away.key")))
	s.must(s.start(func(c *app.Config) { c.Networked = []kek.Seal{s.key()} }))
	if !s.app.Sealed() || !strings.Contains(s.log.String(), "out of reach") {
		t.Fatalf("it does not wait: %s", &s.log)
	}
	if code, body, _ := s.ask("GET", "/v1/me", nil); code != 503 {
		t.Errorf("%d %s", code, body)
	}
	s.must(os.Rename(s.file("away.key"), s.file("seal.key")))
	s.open()
}

// The first start waits for a key service as any other.
func TestAFirstStartWaitsForItsSeal(t *testing.T) {
	s := newSite(t)
	late := kek.NewKeyFile(s.file("later/seal.key"))
	s.must(s.start(func(c *app.Config) { c.Networked = []kek.Seal{late} }))
	if _, body, _ := s.ask("GET", "/v1/seal", nil); !s.app.Sealed() || !strings.Contains(body, `"sealed":true`) {
		t.Fatalf("it does not wait: %s", body)
	}
	s.must(os.Mkdir(s.file("later"), 0o700))
	s.must(s.app.Opened(t.Context()))
	if l, err := s.app.Vault.Seals(); err != nil || len(l) != 1 {
		t.Errorf("%v, %v", l, err)
	}
}

func TestAStartThatCannotWaitSaysWhatToDo(t *testing.T) {
	s := sealed(t, func(v *vault.Vault) error {
		public, err := kek.NewRecovery(filepath.Join(t.TempDir(), "r"))
		if err == nil {
			_, err = v.AddRecovery(t.Context(), public, me)
		}
		return err
	})
	s.stop()
	s.must(os.Rename(s.file("seal.key"), s.file("away.key")))
	_, err := kek.NewRecovery(s.file("stranger.json"))
	s.must(err)
	for name, c := range map[string]struct {
		change func(*app.Config)
		kind   fault.Kind
		hint   string
	}{
		"a missing key file":     {func(c *app.Config) { c.Seals = []kek.Seal{s.key()} }, fault.Unavailable, "--sealed"},
		"a seal of another kind": {func(c *app.Config) { c.Seals = []kek.Seal{kek.NewRecoveryKey(s.file("stranger.json"))} }, fault.Denied, ""},
		"no vault to wait for":   {func(c *app.Config) { c.Sealed, c.Dir = true, s.file("empty") }, fault.Invalid, "--sealed"},
		"a service that refuses": {func(c *app.Config) { c.Networked = []kek.Seal{kek.NewRecoveryKey(s.file("stranger.json"))} }, fault.Denied, ""},
	} {
		err := s.start(c.change)
		if !fault.Is(err, c.kind) || !strings.Contains(fault.HintOf(err), c.hint) {
			t.Errorf("%s: %v (hint: %s)", name, err, fault.HintOf(err))
		}
		s.stop()
	}
}

// The vault is unsealed, and the rest of the start fails: the client and whoever
// started the server learn why, and nothing is served.
func TestAStartThatFailsAfterTheUnsealingEnds(t *testing.T) {
	s := sealed(t, nil)
	s.must(os.RemoveAll(s.file("data/engine.db")))
	for _, f := range []string{"", "-wal", "-shm"} {
		s.must(os.RemoveAll(s.file("data/engine.db" + f)))
	}
	s.must(os.Mkdir(s.file("data/engine.db"), 0o700))
	code, body := s.unseal(s.with(s.key()))
	if code < 500 {
		t.Errorf("%d %s", code, body)
	}
	if err := s.app.Opened(t.Context()); err == nil {
		t.Error("it opened")
	}
	if code, body, _ := s.ask("GET", "/v1/me", nil); code != 503 || !strings.Contains(body, "starting") {
		t.Errorf("%d %s", code, body)
	}
}

func TestAStopEndsTheWait(t *testing.T) {
	s := sealed(t, nil)
	a := s.app
	s.stop()
	if err := a.Opened(t.Context()); err == nil {
		t.Error("it opened")
	}
}
