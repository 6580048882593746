package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/app"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

const (
	phrase = "a passphrase that is long enough"
	canary = "cnry-7c1k2q9s4v8x-sealed"
)

var me = ident.Principal{Tenant: "acme", Kind: ident.System, ID: "test", Name: "the test"}

// site is a server on a data directory, started again and again.
type site struct {
	*testing.T
	dir   string
	app   *app.App
	log   journal
	token string // of a person who signed in while it was unsealed
}

// journal is a log that is read while it is written.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

func newSite(t *testing.T) *site {
	t.Helper()
	return &site{T: t, dir: t.TempDir()}
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *site) file(name string) string { return filepath.Join(s.dir, name) }
func (s *site) key() *kek.KeyFile       { return kek.NewKeyFile(s.file("seal.key")) }

// start starts the server, which the test's end stops.
func (s *site) start(change func(*app.Config)) error {
	s.Helper()
	c := app.Config{Dir: s.file("data"), Listen: "127.0.0.1:0", Tenant: "acme", LogHandler: slog.NewTextHandler(&s.log, nil)}
	change(&c)
	var err error
	s.app, err = app.New(s.Context(), c)
	s.must(err)
	a := s.app
	s.Cleanup(func() {
		if s.app == a {
			s.stop()
		}
	})
	return a.Start(s.Context())
}

func (s *site) stop() {
	s.Helper()
	a := s.app
	s.app = nil
	if err := a.Stop(context.WithoutCancel(s.Context())); err != nil {
		s.Error(err)
	}
}

// sealed is a site whose vault has a Secret, a person and the seals that add
// adds, and that was started again without a seal.
func sealed(t *testing.T, add func(*vault.Vault) error) *site {
	t.Helper()
	s := newSite(t)
	s.must(s.start(func(c *app.Config) { c.Seals = []kek.Seal{s.key()} }))
	_, err := s.app.Vault.Set(t.Context(), vault.Write{Tenant: "acme", Name: "erp", Actor: me, Fields: map[string][]byte{"token": []byte(canary)}})
	s.must(err)
	_, e, err := s.app.Directory.CreateAccount(t.Context(), me, identity.NewAccount{Tenant: "acme", Name: "ada", Roles: []ident.Role{ident.Admin}, Password: "correct horse of ada"}, time.Now())
	s.must(err)
	code, err := identity.Code(e.Secret, e.Alg, time.Now())
	s.must(err)
	_, s.token, err = s.app.Directory.SignIn(t.Context(), "acme", "ada", "correct horse of ada", code, time.Now())
	s.must(err)
	if add != nil {
		s.must(add(s.app.Vault))
	}
	s.stop()
	s.restart()
	return s
}

func (s *site) restart() {
	s.Helper()
	s.must(s.start(func(c *app.Config) { c.Sealed = true }))
	if !s.app.Sealed() {
		s.Fatal("it is not sealed")
	}
}

func addPassphrase(v *vault.Vault) error {
	p, err := kek.NewPassphrase([]byte(phrase))
	if err == nil {
		_, err = v.AddSeal(context.Background(), p, me)
	}
	return err
}

// ask makes a request with a person's token.
func (s *site) ask(method, path string, body io.Reader, headers ...string) (int, string, http.Header) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, "http://"+s.app.Addr()+path, body)
	s.must(err)
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Cookie", "sallyport="+s.token)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer w.Body.Close()
	b, err := io.ReadAll(w.Body)
	s.must(err)
	return w.StatusCode, string(b), w.Header
}

func (s *site) unsealKey() vault.UnsealKey {
	s.Helper()
	code, body, _ := s.ask("GET", "/v1/seal", nil)
	var st api.SealState
	if err := json.Unmarshal([]byte(body), &st); err != nil || code != 200 || !st.Sealed || st.Key == nil {
		s.Fatalf("%d %s", code, body)
	}
	return *st.Key
}

func request(b vault.Brought) string {
	j, _ := json.Marshal(api.Unsealing{Key: b.Key, Kind: b.Kind, Sealed: b.Sealed})
	return string(j)
}

// withPhrase is the request that unseals with a passphrase.
func (s *site) withPhrase(p string) string {
	s.Helper()
	b, err := vault.BringPassphrase(s.unsealKey(), []byte(p))
	s.must(err)
	return request(b)
}

// with is the request that unseals with a seal of the client's.
func (s *site) with(seal kek.Seal) string {
	s.Helper()
	b, err := vault.Bring(s.Context(), s.unsealKey(), seal)
	s.must(err)
	return request(b)
}

func (s *site) unseal(req string, headers ...string) (int, string) {
	s.Helper()
	code, body, _ := s.ask("POST", "/v1/unseal", strings.NewReader(req), headers...)
	return code, body
}

// open checks that the whole server is there.
func (s *site) open() {
	s.Helper()
	s.must(s.app.Opened(s.Context()))
	for path, has := range map[string]string{"/readyz": `"ok"`, "/v1/me": `"ada"`, "/v1/seal": `{"sealed":false}`, "/signin": "<form"} {
		if code, body, _ := s.ask("GET", path, nil); code != 200 || !strings.Contains(body, has) {
			s.Errorf("GET %s: %d %s", path, code, body)
		}
	}
	if len(s.app.Vault.Scrub("acme").Contains([]byte("it is "+canary))) == 0 {
		s.Error("the Secret was lost")
	}
}

// entries are the audit log's entries of a type.
func (s *site) entries(t audit.Type) []string {
	s.Helper()
	src, err := sqlite.OpenAudit(s.Context(), s.file("data"))
	s.must(err)
	defer src.Close()
	rows, err := src.Rows(s.Context(), "acme", 0, 1000)
	s.must(err)
	var out []string
	for _, r := range rows {
		if r.Type == t {
			out = append(out, string(r.Entry))
		}
	}
	return out
}
