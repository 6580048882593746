package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/dbtest"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/rotation"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/kek"
)

// It must see inside: its clients are no requests, and it drives the rotations.

const soakClients = 32

// soakRotations is how many rotations each kind of credential goes through:
// "make rotation-soak" makes 100.
func soakRotations() int {
	if n, err := strconv.Atoi(os.Getenv("SALLYPORT_TEST_ROTATIONS")); err == nil && n > 0 {
		return n
	}
	return 3
}

// keyring is a system whose credentials are issued: by bearer token or as an OAuth
// client's secret.
type keyring struct {
	*httptest.Server
	basic bool
	ends  bool // a new one ends the others at once
	mu    sync.Mutex
	live  map[string]string // credential to id
	n     int
	said  atomic.Int64   // 401s
	good  map[string]int // calls by credential
}

const soakAdmin = "soak-admin-Zq83mPw0vXr5"

func newKeyring(t *testing.T, basic, ends bool) *keyring {
	k := &keyring{basic: basic, ends: ends, live: map[string]string{"soak-first-Zq83mPw0vXr5": "k-0"}, good: map[string]int{}}
	k.Server = httptest.NewServer(k)
	t.Cleanup(k.Close)
	return k
}

func (k *keyring) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if user, password, ok := r.BasicAuth(); ok && k.basic && user == "client-7" {
		key = password
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if strings.HasPrefix(r.URL.Path, "/keys") {
		if r.Header.Get("X-Admin") != soakAdmin {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		k.manage(w, r)
		return
	}
	if k.live[key] == "" {
		k.said.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{}`)
		return
	}
	k.good[key]++
	_, _ = io.WriteString(w, `{"ok":true}`)
}

// manage makes and deletes credentials.
func (k *keyring) manage(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodDelete {
		for key, id := range k.live {
			if "/keys/"+id == r.URL.Path {
				delete(k.live, key)
			}
		}
		return
	}
	if k.ends {
		clear(k.live)
	}
	k.n++
	key, id := fmt.Sprintf("soak-%d-Zq83mPw0vXr5", k.n), fmt.Sprint("k-", k.n)
	k.live[key] = id
	fmt.Fprintf(w, `{"id":%q,"value":%q}`, id, key)
}

// soakApp is a program with a Mission over the systems.
type soakApp struct {
	*App
	t     *testing.T
	calls atomic.Int64
	bad   atomic.Int64
	first atomic.Pointer[string]
}

var soakAs = ident.Principal{Tenant: "acme", Kind: ident.Person, ID: "acc_soak", Roles: []ident.Role{ident.Admin, ident.Builder, ident.Requester}}

func newSoak(t *testing.T, backends ...backend.Entry) *soakApp {
	t.Helper()
	dir := t.TempDir()
	reg, err := backend.NewRegistry(backends...)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), Config{Dir: filepath.Join(dir, "data"), Tenant: "acme", LogHandler: slog.DiscardHandler, Seals: []kek.Seal{kek.NewKeyFile(filepath.Join(dir, "seal.key"))}, Backends: reg})
	if err != nil {
		t.Fatal(err)
	}
	s := &soakApp{App: a, t: t}
	t.Cleanup(func() { s.must(a.Stop(context.WithoutCancel(t.Context()))) })
	s.must(a.Vault.Unseal(t.Context(), a.store, a.cfg.Seals...))
	s.must(a.store.VerifyRows(t.Context()))
	s.must(a.loadWorlds(t.Context()))
	return s
}

func (s *soakApp) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *soakApp) secret(name, origin string, fields map[string]string) {
	s.t.Helper()
	w := vault.Write{Tenant: "acme", Name: name, Fields: map[string][]byte{}, Scope: &vault.Scope{Origins: []string{origin}}, Actor: soakAs}
	for k, v := range fields {
		w.Fields[k] = []byte(v)
	}
	_, err := s.Vault.Set(s.t.Context(), w)
	s.must(err)
}

// web stores a system's Secrets, Connection and policy.
func (s *soakApp) web(k *keyring, grace time.Duration) {
	s.t.Helper()
	field, auth := "token", resource.Auth{Scheme: resource.SchemeBearer}
	first := map[string]string{"token": "soak-first-Zq83mPw0vXr5"}
	if k.basic {
		field, auth = "password", resource.Auth{Scheme: resource.SchemeBasic}
		first = map[string]string{"username": "client-7", "password": first["token"]}
	}
	s.secret("crm", k.URL, first)
	s.secret("crm-admin", k.URL, map[string]string{"token": soakAdmin})
	s.connect(k, auth)
	h := &resource.HTTPRotator{BaseURL: k.URL, Network: soakNetwork, Auth: resource.Auth{Scheme: resource.SchemeHeader, Name: "X-Admin"}, TryAuth: auth,
		Create: resource.HTTPStep{Method: "POST", Path: "/keys"}, Try: resource.HTTPStep{Method: "GET", Path: "/v/me"},
		Delete: &resource.HTTPStep{Method: "DELETE", Path: "/keys/{id}"}, Fields: map[string]string{field: "/value"}, ID: "/id", CurrentID: "k-0", Ends: k.ends}
	s.policy("crm", resource.Rotation{Grace: resource.Duration(grace), Rotator: resource.Rotator{Kind: resource.RotatorHTTP, Admin: "crm-admin", HTTP: h}})
}

var soakNetwork = resource.Network{AllowLoopbackHTTP: true}

// connect stores a Connection to a system, with the Secret "crm".
func (s *soakApp) connect(k *keyring, use resource.Auth) {
	s.t.Helper()
	use.Secret = "crm"
	_, err := s.Apply(s.t.Context(), soakAs, []resource.Resource{
		&resource.Integration{Head: headOf(resource.KindIntegration, "crm"), HTTP: &resource.HTTP{BaseURL: k.URL, Network: soakNetwork, OpenAPI: json.RawMessage(
			`{"openapi":"3.1.0","info":{"title":"CRM","version":"1"},"paths":{"/v/{n}":{"parameters":[{"name":"n","in":"path","required":true,"schema":{"type":"string"}}],
			"get":{"operationId":"look","responses":{"200":{"description":"ok"}}},"post":{"operationId":"change","responses":{"200":{"description":"ok"}}}}}}`)}},
		&resource.Connection{Head: headOf(resource.KindConnection, "crm"), Integration: "crm", Tools: []string{"look", "change"}, Auth: use},
		&resource.Mission{Head: headOf(resource.KindMission, "soak"), Goal: "call", Connections: []string{"crm"}, Limits: resource.Limits{Calls: 100_000}},
		&resource.Policy{Head: headOf(resource.KindPolicy, "free"), Integration: "crm", Cedar: `@id("free") permit (principal, action, resource);`},
	}, false, false)
	s.must(err)
}

func (s *soakApp) policy(name string, p resource.Rotation) {
	s.t.Helper()
	_, err := s.Rotation.SetPolicy(s.t.Context(), soakAs, name, p, "")
	s.must(err)
}

// rotate makes n rotations, one after the other, while calls are made.
func (s *soakApp) rotate(name string, n int) {
	s.t.Helper()
	for range n {
		r, err := s.Rotation.Start(s.t.Context(), soakAs, name, "")
		s.must(err)
		look := time.NewTicker(10 * time.Millisecond)
		for !r.State.Final() && r.State != rotation.NeedsPerson {
			<-look.C
			s.must(s.Rotation.Advance(s.t.Context(), "acme"))
			r, err = s.store.Rotation(s.t.Context(), "acme", r.ID)
			s.must(err)
		}
		look.Stop()
		if r.State != rotation.Done {
			s.t.Fatalf("the rotation is %s: %s", r.State, r.Why)
		}
	}
}

// during has clients call until f has ended, and holds that no call failed.
func (s *soakApp) during(call func(client, n int) error, f func()) {
	s.t.Helper()
	var wg sync.WaitGroup
	var stop atomic.Bool
	for c := range soakClients {
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				s.calls.Add(1)
				if err := call(c, n); err != nil {
					s.bad.Add(1)
					text := err.Error()
					s.first.CompareAndSwap(nil, &text)
				}
			}
		})
	}
	defer func() {
		stop.Store(true)
		wg.Wait()
		if s.bad.Load() > 0 {
			s.t.Errorf("%d of %d calls failed, the first: %s", s.bad.Load(), s.calls.Load(), *s.first.Load())
		}
	}()
	f()
}

// run starts a Run for each client, and gives what makes a call: reads and writes in
// turn, none like another.
func (s *soakApp) run() func(client, n int) error {
	s.t.Helper()
	runs := make([]ident.Principal, soakClients)
	for i := range runs {
		r, err := s.Gate.StartRun(s.t.Context(), soakAs, gate.Start{Mission: "soak", Via: "api", Outside: true})
		s.must(err)
		runs[i] = ident.Principal{Tenant: "acme", Kind: ident.Run, ID: r.ID}
	}
	return func(c, n int) error {
		tool := []string{"look", "change"}[n%2]
		it, err := s.Gate.Admit(s.t.Context(), runs[c], intent.Proposal{Connection: "crm", Tool: tool, Args: json.RawMessage(fmt.Sprintf(`{"n":"%d-%d"}`, c, n)), Reason: "soak"})
		if err == nil && it.State != intent.Committed {
			err = fault.Newf(fault.Internal, "%s is %s: %s", tool, it.State, it.Why)
		}
		return err
	}
}

// Clients call while the credential is rotated under them, by a system that refuses
// the old one at once and by one that takes it for a while: no call fails.
func TestNoCallFailsWhileACredentialIsRotatedUnderIt(t *testing.T) {
	for name, basic := range map[string]bool{"a bearer token": false, "an OAuth client's secret": true} {
		for when, ends := range map[string]bool{"refused at once": true, "after a grace": false} {
			t.Run(name+", "+when, func(t *testing.T) {
				s, k := newSoak(t), newKeyring(t, basic, ends)
				s.web(k, 200*time.Millisecond)
				n := soakRotations()
				s.during(s.run(), func() { s.rotate("crm", n) })
				rows, err := s.store.Audit().List(t.Context(), "acme", audit.Filter{Type: audit.IntentReopened}, 0, 1_000_000)
				s.must(err)
				t.Logf("%d calls by %d clients, %d rotations, %d answers of 401, %d calls made again", s.calls.Load(), soakClients, n, k.said.Load(), len(rows))
				if len(k.live) != 1 {
					t.Errorf("the system has %d credentials", len(k.live))
				}
				if !ends && k.said.Load() > 0 {
					t.Errorf("the old credential was used %d times after its end", k.said.Load())
				}
			})
		}
	}
}

// The same of a password: clients sign in to a real PostgreSQL with the version that
// is active when they begin.
func TestNoLoginFailsWhileAPasswordIsRotatedUnderIt(t *testing.T) {
	for when, users := range map[string][]string{"refused at once": nil, "two users who take turns": {"app_a", "app_b"}} {
		t.Run(when, func(t *testing.T) {
			db := dbtest.Postgres(t, "CREATE ROLE app_a LOGIN PASSWORD 'the-first-of-app-a-17'", "CREATE ROLE app_b LOGIN")
			s := newSoak(t)
			origin := "postgres://127.0.0.1:" + strconv.Itoa(db.Port)
			s.secret("app-db", origin, map[string]string{"username": "app_a", "password": "the-first-of-app-a-17"})
			s.secret("db-admin", origin, map[string]string{"username": db.Admin, "password": db.Password})
			r := resource.Rotator{Kind: resource.RotatorPostgres, Admin: "db-admin", SQL: &resource.SQLRotator{Host: "127.0.0.1", Port: db.Port, Database: "postgres",
				Network: resource.Network{AllowLoopbackHTTP: true}, Users: users}}
			s.policy("app-db", resource.Rotation{Grace: resource.Duration(500 * time.Millisecond), Rotator: r})
			ways, err := s.ways(r)
			s.must(err)
			n := soakRotations()
			s.during(func(int, int) error { return s.login(r, ways) }, func() { s.rotate("app-db", n) })
			t.Logf("%d logins by %d clients, %d rotations", s.calls.Load(), soakClients, n)
		})
	}
}

// login is one sign-in, as a door makes it: with the version that is active when it
// begins, and with its successor where that one was replaced meanwhile.
func (s *soakApp) login(r resource.Rotator, ways vault.Ways) error {
	head, err := s.Vault.Show(s.t.Context(), "acme", "app-db")
	version := head.Active
	for range 4 {
		if err != nil {
			return err
		}
		j := vault.RotationJob{Tenant: "acme", Secret: "app-db", Was: version, Rotator: r, Ways: ways, Actor: soakAs}
		if err = s.Vault.TryVersion(s.t.Context(), j, version); !fault.Is(err, fault.Denied) {
			return err
		}
		next := s.Rotation.Successor(s.t.Context(), "acme", "app-db", version)
		if next == 0 {
			return err
		}
		version, err = next, nil
	}
	return fault.New(fault.Denied, "four versions were refused")
}
