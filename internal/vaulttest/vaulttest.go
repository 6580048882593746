// Package vaulttest gives tests a real HashiCorp Vault or OpenBao: the one whose
// address is in the environment, or one of their own, started from the program of
// tools/vault or tools/openbao.
//
// Where neither is named the test is skipped: building one takes minutes, so it is
// not part of every run. "make real-backends" builds both, and runs the tests with
// each of them.
//
//	SALLYPORT_TEST_VAULT_ADDR   the address of one that runs
//	SALLYPORT_TEST_VAULT_TOKEN  a token of its administrator
//	SALLYPORT_TEST_VAULT_CA     a file with its authority; without it the system's
//	SALLYPORT_TEST_VAULT_NAME   "vault" or "openbao"; without it, it is not known
//	SALLYPORT_TEST_VAULT_BIN    the program, to start more
//
// A test makes its own mounts, roles and policies with names that nobody else has,
// so that tests share one server. One that seals, stops or redirects starts its own.
package vaulttest

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Names of the programs.
const (
	Vault   = "vault"
	OpenBao = "openbao"
)

// Server is one that runs.
type Server struct {
	Address   string // with its scheme
	CAFile    string // "" for plain HTTP
	Token     string // of its administrator
	Namespace string // in which all is asked; "" the root
	Standby   string // the address of a second node, on standby; "" where there is none
	Name      string // [Vault] or [OpenBao]; "" of one that is not ours, where nobody says
	Version   string // of one that Start started

	unsealKey string
	client    *http.Client
	cmd       *exec.Cmd
}

// Shared gives the server that the environment names.
func Shared(t testing.TB) *Server {
	t.Helper()
	s := &Server{Address: os.Getenv("SALLYPORT_TEST_VAULT_ADDR"), Token: os.Getenv("SALLYPORT_TEST_VAULT_TOKEN"), CAFile: os.Getenv("SALLYPORT_TEST_VAULT_CA"),
		Name: os.Getenv("SALLYPORT_TEST_VAULT_NAME")}
	if s.Address == "" || s.Token == "" {
		t.Skip("SALLYPORT_TEST_VAULT_ADDR and SALLYPORT_TEST_VAULT_TOKEN name no server: make real-backends")
	}
	s.connect(t)
	return s
}

// Start starts a server that is the test's own, with flags of tools/vaultserver. It
// ends with the test.
func Start(t testing.TB, flags ...string) *Server {
	t.Helper()
	bin := os.Getenv("SALLYPORT_TEST_VAULT_BIN")
	if bin == "" {
		t.Skip("SALLYPORT_TEST_VAULT_BIN names no program: make real-backends")
	}
	cmd := exec.Command(bin, append([]string{"-dir", t.TempDir()}, flags...)...) //nolint:gosec,noctx // the test's own program; the cleanup ends it
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe() // it ends when this is closed, also when the test is killed
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill() // it may be stopped, or have ended
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	must(t, err)
	var ready struct{ Address, CAFile, TokenFile, UnsealKeyFile, StandbyAddress, Name, Version string }
	must(t, json.Unmarshal(line, &ready))
	s := &Server{Address: ready.Address, CAFile: ready.CAFile, Standby: ready.StandbyAddress, Name: ready.Name, Version: ready.Version, cmd: cmd,
		Token: read(t, ready.TokenFile), unsealKey: read(t, ready.UnsealKeyFile)}
	s.connect(t)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	return strings.TrimSpace(string(b))
}

func (s *Server) connect(t testing.TB) {
	t.Helper()
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CAFile != "" {
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AppendCertsFromPEM([]byte(read(t, s.CAFile)))
	}
	tr := &http.Transport{TLSClientConfig: c}
	t.Cleanup(tr.CloseIdleConnections)
	s.client = &http.Client{Transport: tr, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Answer is what the server said.
type Answer struct {
	Status int
	Header http.Header
	Raw    []byte
	Body   map[string]any // nil where it is no object
}

// Ask sends a request as it is: path is below /v1/, headers are pairs, in is made
// JSON where it is not nil.
func (s *Server) Ask(t testing.TB, method, path string, in any, headers ...string) Answer {
	t.Helper()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		must(t, err)
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequest(method, s.Address+"/v1/"+path, body) //nolint:noctx // the client has a time-out, and cleanups ask too
	must(t, err)
	if s.Namespace != "" {
		r.Header.Set("X-Vault-Namespace", s.Namespace)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := s.client.Do(r)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	out := Answer{Status: res.StatusCode, Header: res.Header}
	out.Raw, err = io.ReadAll(res.Body)
	must(t, err)
	_ = json.Unmarshal(out.Raw, &out.Body)
	return out
}

// Do asks as the administrator, and the server has to do it. It gives the answer's
// "data", or "auth" where it has that, or nil.
func (s *Server) Do(t testing.TB, method, path string, in any) map[string]any {
	t.Helper()
	a := s.Ask(t, method, path, in, "X-Vault-Token", s.Token)
	if a.Status >= 300 {
		t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Raw)
	}
	for _, part := range []string{"auth", "data"} {
		if m, ok := a.Body[part].(map[string]any); ok {
			return m
		}
	}
	return nil
}

// Name makes a name that nobody else has.
func Name() string { return "t" + strings.ToLower(rand.Text()) }

// InNamespace makes a namespace below that of s, and gives the server as one in whose
// requests it is named. HashiCorp's Vault has none without Enterprise: the test is
// skipped then.
func (s *Server) InNamespace(t testing.TB) *Server {
	t.Helper()
	in, name := *s, Name()
	a := s.Ask(t, "POST", "sys/namespaces/"+name, nil, "X-Vault-Token", s.Token)
	if a.Status == http.StatusNotFound && s.Name != OpenBao {
		t.Skip("the server has no namespaces")
	}
	if a.Status != http.StatusOK {
		t.Fatalf("a namespace: %d %s", a.Status, a.Raw)
	}
	s.undo(t, "sys/namespaces/"+name)
	in.Namespace = strings.TrimPrefix(s.Namespace+"/"+name, "/")
	return &in
}

// KV makes a key-value engine, version 1 or 2, and gives its mount.
func (s *Server) KV(t testing.TB, engine int) string {
	t.Helper()
	mount := Name()
	s.KVAt(t, mount, engine)
	return mount
}

// KVAt makes a key-value engine at a mount. Version 2 upgrades itself after it is
// made, and takes nothing until it has.
func (s *Server) KVAt(t testing.TB, mount string, engine int) {
	t.Helper()
	s.Do(t, "POST", "sys/mounts/"+mount, map[string]any{"type": "kv", "options": map[string]string{"version": strconv.Itoa(engine)}})
	s.undo(t, "sys/mounts/"+mount)
	for until := time.Now().Add(20 * time.Second); engine == 2; <-time.After(20 * time.Millisecond) {
		a := s.Ask(t, "GET", mount+"/config", nil, "X-Vault-Token", s.Token)
		if a.Status == http.StatusOK {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("the engine is not ready: %d %s", a.Status, a.Raw)
		}
	}
}

// undo removes what a test made; a server of its own goes away with it.
func (s *Server) undo(t testing.TB, path string) {
	if s.cmd == nil {
		t.Cleanup(func() { s.Ask(t, "DELETE", path, nil, "X-Vault-Token", s.Token) })
	}
}

// Auth makes a sign-in of a kind, and gives its mount.
func (s *Server) Auth(t testing.TB, kind string) string {
	t.Helper()
	mount := Name()
	s.Do(t, "POST", "sys/auth/"+mount, map[string]any{"type": kind})
	s.undo(t, "sys/auth/"+mount)
	return mount
}

// Policy writes a policy in HCL, and gives its name.
func (s *Server) Policy(t testing.TB, hcl string) string {
	t.Helper()
	name := Name()
	s.Do(t, "PUT", "sys/policies/acl/"+name, map[string]any{"policy": hcl})
	s.undo(t, "sys/policies/acl/"+name)
	return name
}

// TokenOf makes a token with policies; more are members of the request.
func (s *Server) TokenOf(t testing.TB, policies []string, more map[string]any) string {
	t.Helper()
	in := map[string]any{"policies": policies}
	for k, v := range more {
		in[k] = v
	}
	token, _ := s.Do(t, "POST", "auth/token/create", in)["client_token"].(string)
	if token == "" {
		t.Fatal("there is no token")
	}
	return token
}

// Seal seals a server that [Start] started.
func (s *Server) Seal(t testing.TB) { t.Helper(); s.Do(t, "PUT", "sys/seal", nil) }

// Unseal unseals it, and waits until it answers.
func (s *Server) Unseal(t testing.TB) {
	t.Helper()
	s.Do(t, "PUT", "sys/unseal", map[string]any{"key": s.unsealKey})
	for until := time.Now().Add(20 * time.Second); ; <-time.After(20 * time.Millisecond) {
		if s.Ask(t, "GET", "sys/health", nil).Status == http.StatusOK {
			return
		}
		if time.Now().After(until) {
			t.Fatal("it does not become the active node")
		}
	}
}

// Stop ends the process of a server that [Start] started, as a crash would.
func (s *Server) Stop(t testing.TB) { t.Helper(); must(t, s.cmd.Process.Kill()) }

// Pause stops it in its tracks until the result is called: it listens, and says
// nothing. A signal takes its time, so every thread is waited for.
func (s *Server) Pause(t testing.TB) (resume func()) {
	t.Helper()
	must(t, s.cmd.Process.Signal(syscall.SIGSTOP))
	running := func() bool {
		threads, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "task", "*", "stat"))
		must(t, err)
		for _, file := range threads {
			b, err := os.ReadFile(file)
			if _, state, _ := strings.Cut(string(b), ") "); err == nil && !strings.HasPrefix(state, "T") {
				return true
			}
		}
		return false
	}
	for until := time.Now().Add(20 * time.Second); running(); <-time.After(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("it does not stop")
		}
	}
	return func() { must(t, s.cmd.Process.Signal(syscall.SIGCONT)) }
}
