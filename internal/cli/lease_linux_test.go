package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"sallyport.dev/internal/app"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/vault/backend/baotest"
	"sallyport.dev/internal/vaulttest"
)

// database is where a Vault server makes users.
type database struct {
	url    string // of the Vault server
	trust  *x509.CertPool
	config string          // of the backend, YAML, without the address
	users  func() []string // that it has made
	knows  func(user, password string) bool
}

// short is a directory whose name does not look like a secret, as that of a test may.
func short(t *testing.T) string {
	dir, err := os.MkdirTemp("", "db") //nolint:usetesting // for its name
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// faked is a server that answers as Vault does, and a list of users.
func faked(t *testing.T) database {
	v := baotest.Start(t)
	id := filepath.Join(short(t), "secret-id")
	must(t, os.WriteFile(id, []byte(v.SecretID), 0o600))
	return database{url: v.URL, trust: authority(t, v.CAFile), users: v.Users, knows: v.Knows,
		config: fmt.Sprintf("mount: database, appRole: {roleId: %s, secretIdFile: %s}", baotest.RoleID, id)}
}

func authority(t *testing.T, file string) *x509.CertPool {
	pem, err := os.ReadFile(file)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
}

// line is between the server and its Vault: it can have the server die of the answer
// to its question for a credential.
type line struct {
	deadly atomic.Pointer[func()]
	config string // of the backend's address
}

func (d database) line(t *testing.T) *line {
	w := &line{}
	to, err := url.Parse(d.url)
	must(t, err)
	s := httptest.NewTLSServer(&httputil.ReverseProxy{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: d.trust}},
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: func(r *http.Response) error {
			if f := w.deadly.Load(); f != nil && strings.HasSuffix(r.Request.URL.Path, "/creds/app") {
				(*f)()
			}
			return nil
		}})
	t.Cleanup(s.Close)
	ca := filepath.Join(short(t), "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	w.config = fmt.Sprintf("address: %q, caFile: %s, ", s.URL, ca)
	return w
}

// realDatabase is a real Vault or OpenBao with a real PostgreSQL behind it.
func realDatabase(t *testing.T) database { return databaseOf(t, vaulttest.Shared(t)) }

// namespaced is one in a namespace of the server: its engine, sign-in and policy.
func namespaced(t *testing.T) database { return databaseOf(t, vaulttest.Shared(t).InNamespace(t)) }

func databaseOf(t *testing.T, s *vaulttest.Server) database {
	d := database{url: s.Address}
	if s.CAFile != "" {
		d.trust = authority(t, s.CAFile)
	}
	made := s.Database(t)
	pg := made.Postgres
	id := filepath.Join(short(t), "secret-id")
	must(t, os.WriteFile(id, []byte(made.SecretID), 0o600))
	d.config = fmt.Sprintf("mount: %[1]s, appRole: {mount: %[1]s, roleId: %[2]s, secretIdFile: %[3]s}", made.Mount, made.RoleID, id)
	if s.Namespace != "" {
		d.config += ", namespace: " + s.Namespace
	}
	as := func(user, password string) (*pgconn.PgConn, error) {
		c, err := pgconn.ParseConfig("sslmode=disable")
		must(t, err)
		c.Host, c.Port, c.Database, c.User, c.Password = "127.0.0.1", uint16(pg.Port), "postgres", user, password
		return pgconn.ConnectConfig(context.Background(), c)
	}
	d.users = func() (out []string) {
		c, err := as(pg.Admin, pg.Password)
		must(t, err)
		defer func() { _ = c.Close(context.Background()) }()
		rows := c.ExecParams(context.Background(), "SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%' ORDER BY 1", nil, nil, nil, nil).Read()
		must(t, rows.Err)
		for _, r := range rows.Rows {
			out = append(out, string(r[0]))
		}
		return out
	}
	d.knows = func(user, password string) bool {
		c, err := as(user, password)
		if err == nil {
			_ = c.Close(context.Background())
		}
		return err == nil
	}
	return d
}

// crm is a system that lets in whom the database does, and remembers them.
type crm struct {
	mu        sync.Mutex
	users     []string
	passwords []string
}

func (c *crm) start(t *testing.T, d database) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		c.mu.Lock()
		c.users, c.passwords = append(c.users, user), append(c.passwords, password)
		c.mu.Unlock()
		if !d.knows(user, password) {
			w.WriteHeader(401)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"you":%q}`, user+" "+password)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

const crmResources = `apiVersion: sallyport.dev/v1
kind: Integration
name: crm
http:
  baseURL: %s
  openapi: crm.json
  network: {allowLoopbackHTTP: true}
---
apiVersion: sallyport.dev/v1
kind: Connection
name: crm
integration: crm
tools: [listNotes]
auth: {scheme: basic, secret: db}
---
apiVersion: sallyport.dev/v1
kind: Connection
name: other
integration: crm
tools: [listNotes]
auth: {scheme: basic, secret: db}
---
apiVersion: sallyport.dev/v1
kind: Mission
name: notes
title: Notes
goal: Write down what the customer said.
form: [{name: topic}]
connections: [crm]
`

// serving is "sallyport serve" and the command line of somebody who is signed in.
type serving struct {
	t                  *testing.T
	dir, key, backends string
	path, url, token   string
	cmd                *exec.Cmd
}

func (s *serving) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.path, "--json", "serve", "--data", s.dir, "--key-file", s.key, "--listen", "127.0.0.1:0", "--backends", s.backends)
	s.cmd.Stderr = s.t.Output()
	out, err := s.cmd.StdoutPipe()
	must(s.t, err)
	must(s.t, s.cmd.Start())
	line, err := bufio.NewReader(out).ReadBytes('\n')
	must(s.t, err)
	var ready struct{ URL string }
	must(s.t, json.Unmarshal(line, &ready))
	s.url = ready.URL
}

func (s *serving) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// do runs a command with a token, and gives what it printed.
func (s *serving) do(token string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(s.path, args...)
	cmd.Env = append(os.Environ(), "SALLYPORT_SERVER="+s.url, "SALLYPORT_TOKEN="+token)
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("sallyport %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// try is do for a command that fails, and gives all that it says.
func (s *serving) try(token string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(s.path, args...)
	cmd.Env = append(os.Environ(), "SALLYPORT_SERVER="+s.url, "SALLYPORT_TOKEN="+token)
	out, err := cmd.CombinedOutput()
	if err == nil {
		s.t.Errorf("sallyport %v is done: %s", args, out)
	}
	return string(out)
}

// run starts a Run, and gives its id and token.
func (s *serving) run() (id, token string) {
	s.t.Helper()
	var out struct {
		Run   struct{ ID string }
		Token string
	}
	must(s.t, json.Unmarshal([]byte(s.do(s.token, "run", "start", "notes", "--outside", "--input", "topic=hello", "--json")), &out))
	return out.Run.ID, out.Token
}

// become waits until the database has so many users.
func (s *serving) become(d database, n int) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); len(d.users()) != n; {
		if time.Now().After(deadline) {
			s.t.Fatalf("after half a minute the database has %v, want %d", d.users(), n)
		}
		<-time.After(100 * time.Millisecond)
	}
}

// TestKilledWithCredentialsOfRuns is the life of dynamic credentials, with the whole
// program and its death.
func TestKilledWithCredentialsOfRuns(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) database{"a fake": faked, "a real server and PostgreSQL": realDatabase, "a namespace of it": namespaced} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, system := start(t), &crm{}
			between := d.line(t)
			work := t.TempDir()
			s := &serving{t: t, dir: filepath.Join(work, "data"), key: filepath.Join(work, "seal.key"), backends: filepath.Join(work, "backends.yaml")}
			must(t, os.WriteFile(s.backends, []byte("backends:\n  - name: pg\n    paths: [creds/app]\n    maxLeases: 2\n    vaultDynamic: {"+between.config+d.config+"}\n"), 0o600))
			var err error
			s.path, err = exec.LookPath("sallyport")
			must(t, err)
			must(t, opened(s.dir, s.key, func(a *app.App) error {
				_, e, err := a.Directory.CreateAccount(t.Context(), setup, identity.NewAccount{Tenant: "default", Name: "ada", Password: "correct horse of ada",
					Roles: []ident.Role{ident.Admin, ident.Builder, ident.Requester, ident.Auditor}}, time.Now())
				if err != nil {
					return err
				}
				now := time.Now()
				code, err := codeAt(e.URI, now.Unix()/30)
				if err == nil {
					_, s.token, err = a.Directory.SignIn(t.Context(), "default", "ada", "correct horse of ada", code, now)
				}
				return err
			}))
			must(t, os.WriteFile(filepath.Join(work, "crm.yaml"), fmt.Appendf(nil, crmResources, system.start(t, d)), 0o600))
			must(t, os.WriteFile(filepath.Join(work, "crm.json"), []byte(`{"openapi": "3.0.3", "info": {"title": "CRM", "version": "1"},
				"paths": {"/notes": {"get": {"operationId": "listNotes", "responses": {"200": {"description": "ok"}}}}}}`), 0o600))
			s.start()
			defer s.kill()
			s.do(s.token, "secret", "set", "db", "--pointer", "pg:creds/app", "--any-origin")
			if got := s.do(s.token, "secret", "show", "db"); !strings.Contains(got, "pg:creds/app, made for each Run") {
				t.Errorf("it is shown as %s", got)
			}
			s.become(d, 0) // it was tried
			s.do(s.token, "apply", "-f", filepath.Join(work, "crm.yaml"))
			leases(t, s, d, system, between)
			holdsNoPassword(t, s.dir, system)
		})
	}
}

// leases is what becomes of the credentials of Runs.
func leases(t *testing.T, s *serving, d database, system *crm, between *line) {
	t.Helper()
	one, onesToken := s.run()
	two, twosToken := s.run()
	call := func(run, token string) {
		t.Helper()
		got := s.do(token, "intent", "propose", run, "--connection", "crm", "--tool", "listNotes", "--json")
		if !strings.Contains(got, `"COMMITTED"`) {
			t.Fatalf("%s", got)
		}
		for _, p := range system.passwords {
			if strings.Contains(got, p) {
				t.Error("the answer has a password in it")
			}
		}
	}
	call(one, onesToken)
	call(one, onesToken)
	call(two, twosToken)
	s.become(d, 2)
	if u := system.users; u[0] != u[1] || u[1] == u[2] {
		t.Errorf("the calls came as %v", u)
	}
	list := s.do(s.token, "secret", "leases", "db", "--json")
	if strings.Count(list, `"state":"live"`) != 2 || !strings.Contains(list, one) || !strings.Contains(list, two) || strings.Contains(list, "creds/app/") || strings.Contains(list, system.users[0]) {
		t.Errorf("the list is %s", list)
	}
	s.do(onesToken, "run", "end", one, "--verdict", "done", "--summary", "x")
	s.become(d, 1)
	if u := d.users(); u[0] != system.users[2] {
		t.Errorf("of %v is left %v", system.users, u)
	}
	s.kill()
	s.become(d, 1)
	s.start()
	s.become(d, 0)
	call(two, twosToken)
	if u := system.users; u[3] == u[2] {
		t.Error("what was revoked was used again")
	}
	s.become(d, 1)
	s.do(s.token, "stop", "run", two, "--reason", "a test")
	s.become(d, 0)
	three, threesToken := s.run()
	call(three, threesToken)
	s.become(d, 1)
	must(t, s.cmd.Process.Signal(os.Interrupt))
	_ = s.cmd.Wait()
	s.become(d, 0) // a server that stops takes them along
	s.start()

	// It dies with the answer on its way: what was made, it has never heard of.
	four, foursToken := s.run()
	die := s.kill
	between.deadly.Store(&die)
	lost := exec.Command(s.path, "intent", "propose", four, "--connection", "crm", "--tool", "listNotes")
	lost.Env = append(os.Environ(), "SALLYPORT_SERVER="+s.url, "SALLYPORT_TOKEN="+foursToken)
	if err := lost.Run(); err == nil {
		t.Error("a call of a server that died has succeeded")
	}
	between.deadly.Store(nil)
	s.become(d, 1)
	s.start()
	s.become(d, 0)

	// A Connection is stopped: what only it could use ends, and nothing else does.
	five, fivesToken := s.run()
	call(five, fivesToken)
	s.become(d, 1)
	if got := s.do(s.token, "doctor", "backends"); !strings.Contains(got, "credentials of Runs that have not ended: 1 of 2 at most") || strings.Contains(got, "near") {
		t.Errorf("the doctor says %s", got)
	}
	six, sixesToken := s.run()
	call(six, sixesToken)
	seven, sevensToken := s.run()
	full := s.try(sevensToken, "intent", "propose", seven, "--connection", "crm", "--tool", "listNotes")
	if !strings.Contains(full, "as many credentials as it may") || len(d.users()) != 2 {
		t.Errorf("one more is answered: %s; the database has %v", full, d.users())
	}
	if got := s.do(s.token, "doctor", "backends"); !strings.Contains(got, "FULL") {
		t.Errorf("the doctor says %s", got)
	}
	s.do(s.token, "stop", "connection", "other", "--reason", "a test")
	call(five, fivesToken)
	s.become(d, 2)
	s.do(s.token, "stop", "connection", "crm", "--reason", "a test")
	s.become(d, 0)
	log := s.do(s.token, "audit", "tail", "-n", "1000", "--json")
	for kind, n := range map[string]int{"lease.asked": 7, "lease.made": 6, "lease.revoked": 7, "lease.left": 0} {
		if got := strings.Count(log, `"`+kind+`"`); got != n {
			t.Errorf("%s is on the record %d times, want %d", kind, got, n)
		}
	}
	s.do(s.token, "doctor", "secrets")
	s.kill()
}

// holdsNoPassword looks into every file of the data directory.
func holdsNoPassword(t *testing.T, dir string, system *crm) {
	t.Helper()
	if n := len(slices.Compact(slices.Sorted(slices.Values(system.passwords)))); n != 6 {
		t.Errorf("there were %d passwords", n)
	}
	must(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		for i, p := range system.passwords {
			if bytes.Contains(b, []byte(p)) {
				t.Errorf("%s has the password %s", path, strconv.Itoa(i))
			}
		}
		return err
	}))
}
