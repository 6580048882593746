package vaultkv_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/backendtest"
	"sallyport.dev/internal/vault/backend/vaultkv"
	"sallyport.dev/internal/vault/internal/plain"
)

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func ca(t *testing.T, s *httptest.Server) string {
	return file(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
}

// config is one that signs in with an AppRole.
func config(t *testing.T, f *fakeVault, s *httptest.Server) (c vaultkv.Config) {
	c.Address, c.CAFile = s.URL, ca(t, s)
	c.AppRole = &vaultkv.AppRole{RoleID: "role-of-the-fake", SecretIDFile: file(t, "secret-id", f.secret+"\n")}
	return c
}

func open(t *testing.T, c vaultkv.Config, now func() time.Time) backend.Backend {
	t.Helper()
	b, err := vaultkv.New(c, now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// known are the faults of a server of this kind; those that are about versions are
// of engine 2 alone.
var known = []backendtest.Fault{backendtest.Refusing, backendtest.Busy, backendtest.Broken, backendtest.Sealed, backendtest.Garbage, backendtest.Twice,
	backendtest.Endless, backendtest.Cut, backendtest.Stranger, backendtest.Elsewhere, backendtest.Silent}

func TestTheSecondEngineKeepsTheContract(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.World {
		f, s := startVault(t)
		c := config(t, f, s)
		c.Namespace, c.Write = "team", true
		now := time.Now()
		f.now = func() time.Time { return now }
		f.ttl = time.Hour
		return backendtest.World{
			Backend: open(t, c, func() time.Time { return now }), Pins: true, Path: func(word string) string { return "sallyport/" + word },
			Put: func(_ *testing.T, path string, fields map[string]string) string {
				f.mu.Lock()
				defer f.mu.Unlock()
				m := f.second["team/secret"]
				m[path] = append(m[path], &kept{data: fields, made: now})
				return strconv.Itoa(len(m[path]))
			},
			Remove: func(_ *testing.T, path string) { f.second["team/secret"][path][0].deleted = now },
			Fault:  func(x backendtest.Fault) { f.mu.Lock(); f.fault = x; f.mu.Unlock() },
			Knows:  append(slices.Clone(known), backendtest.Older),
			End: func() { // the token is revoked
				f.mu.Lock()
				defer f.mu.Unlock()
				clear(f.tokens)
				now = now.Add(time.Minute)
			},
		}
	})
}

func TestTheFirstEngineKeepsTheContract(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.World {
		f, s := startVault(t)
		c := config(t, f, s)
		c.Mount, c.Engine = "kv", 1
		return backendtest.World{
			Backend: open(t, c, time.Now), Path: func(word string) string { return "sallyport/" + word },
			Put: func(_ *testing.T, path string, fields map[string]string) string {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.first["/kv"][path] = fields
				return ""
			},
			Remove: func(_ *testing.T, path string) { delete(f.first["/kv"], path) },
			Fault:  func(x backendtest.Fault) { f.mu.Lock(); f.fault = x; f.mu.Unlock() },
			Knows:  known,
		}
	})
}

func ask(b backend.Backend) error {
	got, err := b.Fetch(context.Background(), backend.Ask{Path: "crm"})
	got.Wipe()
	return err
}

func TestEachWayToSignInWorks(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := file(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	private := file(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk})))
	for name, with := range map[string]func(*fakeVault, *vaultkv.Config){
		"token": func(f *fakeVault, c *vaultkv.Config) { c.TokenFile = file(t, "token", f.token("writer", "token", nil)) },
		"kubernetes": func(f *fakeVault, c *vaultkv.Config) {
			f.jwts["eyJ.a.b"] = "sallyport"
			c.Kubernetes = &vaultkv.JWT{Role: "sallyport", JWTFile: file(t, "jwt", "eyJ.a.b")}
		},
		"jwt": func(f *fakeVault, c *vaultkv.Config) {
			f.jwts["eyJ.c.d"] = "sallyport"
			c.JWT = &vaultkv.JWT{Role: "sallyport", JWTFile: file(t, "jwt", "eyJ.c.d")}
		},
		"certificate": func(_ *fakeVault, c *vaultkv.Config) {
			c.Certificate = &vaultkv.Certificate{CertFile: cert, KeyFile: private}
		},
	} {
		f, s := startVault(t)
		f.second["/secret"]["crm"] = []*kept{{data: map[string]string{"password": "x"}}}
		c := config(t, f, s)
		c.AppRole = nil
		with(f, &c)
		if err := ask(open(t, c, time.Now)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACertificateIsReadAtEachSignInAndNotShownAfterItsEnd(t *testing.T) {
	f, s := startVault(t)
	f.second["/secret"]["crm"] = []*kept{{data: map[string]string{"password": "x"}}}
	ca, now := newAuthority(t), time.Now()
	c := config(t, f, s)
	cert, key := ca.client(t, "first", now.Add(time.Minute))
	c.AppRole, c.Certificate = nil, &vaultkv.Certificate{CertFile: cert, KeyFile: key}
	b := open(t, c, func() time.Time { return now })
	if err := ask(b); err != nil || f.shown != "first" {
		t.Fatalf("%q was shown: %v", f.shown, err)
	}
	next, nextKey := ca.client(t, "second", now.Add(time.Hour))
	for from, to := range map[string]string{next: cert, nextKey: key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	clear(f.tokens) // and the connection is kept
	now = now.Add(2 * time.Minute)
	if err := ask(b); err != nil || f.shown != "second" {
		t.Fatalf("%q was shown: %v", f.shown, err)
	}
	clear(f.tokens)
	now = now.Add(2 * time.Hour)
	if err := ask(b); backend.ReasonOf(err) != backend.Refused || !strings.Contains(err.Error(), "ended at") || f.logins != 2 {
		t.Errorf("after its end there were %d sign-ins: %v", f.logins, err)
	}
}

func TestASignInThatIsRefusedSaysSo(t *testing.T) {
	f, s := startVault(t)
	c := config(t, f, s)
	f.secret = "another"
	if err := ask(open(t, c, time.Now)); backend.ReasonOf(err) != backend.Refused || !fault.Is(err, fault.Denied) {
		t.Errorf("a wrong secret id: %v", err)
	}
	c.AppRole = &vaultkv.AppRole{RoleID: "x", SecretIDFile: "/nowhere"}
	if err := ask(open(t, c, time.Now)); backend.ReasonOf(err) != backend.Refused {
		t.Errorf("no secret id: %v", err)
	}
}

func TestATokenIsRenewedBeforeItEndsAndThenGotAnew(t *testing.T) {
	f, s := startVault(t)
	f.second["/secret"]["crm"] = []*kept{{data: map[string]string{"password": "x"}}}
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	f.now, f.ttl, f.most = clock, time.Hour, 3*time.Hour
	b := open(t, config(t, f, s), clock)
	for range 20 { // five hours
		if err := ask(b); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		now = now.Add(15 * time.Minute)
		mu.Unlock()
	}
	renewals := 0
	for _, r := range f.seen {
		if strings.HasSuffix(r, "renew-self") {
			renewals++
		}
	}
	if f.logins != 2 || renewals < 4 {
		t.Errorf("signed in %d times and renewed %d times", f.logins, renewals)
	}
}

func TestAHundredQuestionsSignInOnce(t *testing.T) {
	f, s := startVault(t)
	f.second["/secret"]["crm"] = []*kept{{data: map[string]string{"password": "x"}}}
	b := open(t, config(t, f, s), time.Now)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if err := ask(b); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if f.logins != 1 {
		t.Errorf("signed in %d times", f.logins)
	}
}

func TestAPolicyThatSaysNoIsNotAskedByNewSignIns(t *testing.T) {
	f, s := startVault(t)
	f.denied["secret/data/crm"] = true
	b := open(t, config(t, f, s), time.Now)
	for range 20 {
		if err := ask(b); backend.ReasonOf(err) != backend.Refused {
			t.Fatal(err)
		}
	}
	if f.logins != 1 {
		t.Errorf("signed in %d times", f.logins)
	}
}

func TestNoTokenFollowsARedirect(t *testing.T) {
	f, s := startVault(t)
	f.second["/secret"]["crm"] = []*kept{{data: map[string]string{"password": "x"}}}
	got := 0
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got++ }))
	defer other.Close()
	b := open(t, config(t, f, s), time.Now)
	if err := ask(b); err != nil {
		t.Fatal(err)
	}
	f.fault, f.elsewhere = backendtest.Elsewhere, other.URL+"/v1/secret/data/crm"
	if err := ask(b); backend.ReasonOf(err) != backend.Away || got != 0 {
		t.Errorf("the other server got %d requests: %v", got, err)
	}
}

func TestAVersionThatEndsByItselfSaysWhen(t *testing.T) {
	end := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		say(w, 200, map[string]any{"data": map[string]any{"data": map[string]any{"password": "x", "n": 1}, "metadata": map[string]any{"version": 3, "destroyed": false, "deletion_time": end.Format(time.RFC3339)}}})
	}))
	defer s.Close()
	var c vaultkv.Config
	c.Address, c.CAFile, c.TokenFile = s.URL, ca(t, s), file(t, "token", "hvs.x")
	got, err := open(t, c, time.Now).Fetch(t.Context(), backend.Ask{Path: "crm"})
	if err != nil || !got.NotAfter.Equal(end) || got.Version != "3" || len(got.Fields) != 1 || string(plain.Bytes(got.Fields["password"])) != "x" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAConfigurationThatCouldLeakIsRefused(t *testing.T) {
	f, s := startVault(t)
	for name, spoil := range map[string]func(*vaultkv.Config){
		"plain HTTP":           func(c *vaultkv.Config) { c.Address = "http://bao.example.com:8200" },
		"a path":               func(c *vaultkv.Config) { c.Address += "/v1" },
		"a password":           func(c *vaultkv.Config) { c.Address = "https://a:b@bao.example.com" },
		"two ways":             func(c *vaultkv.Config) { c.TokenFile = "/x" },
		"no way":               func(c *vaultkv.Config) { c.AppRole = nil },
		"a mount that climbs":  func(c *vaultkv.Config) { c.Mount = "../sys" },
		"a login that climbs":  func(c *vaultkv.Config) { c.AppRole.Mount = "../../sys" },
		"a namespace of lines": func(c *vaultkv.Config) { c.Namespace = "a\nb" },
		"a role of quotes":     func(c *vaultkv.Config) { c.AppRole.RoleID = `a","x":"b` },
		"engine 3":             func(c *vaultkv.Config) { c.Engine = 3 },
		"engine 1 written":     func(c *vaultkv.Config) { c.Engine, c.Write = 1, true },
		"no such authority":    func(c *vaultkv.Config) { c.CAFile = "/nowhere" },
		"no such certificate": func(c *vaultkv.Config) {
			c.AppRole, c.Certificate = nil, &vaultkv.Certificate{CertFile: "/x", KeyFile: "/y"}
		},
	} {
		c := config(t, f, s)
		spoil(&c)
		if _, err := vaultkv.New(c, time.Now); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func FuzzAnAnswer(f *testing.F) {
	for _, s := range []string{`{"data":{"data":{"a":"b"},"metadata":{"version":1}}}`, `{"data":{"a":"b"}}`, `{"data":{"data":null,"metadata":{"version":1,"deletion_time":"x"}}}`, `{"auth":{}}`, `[]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, engine := range []int{1, 2} {
			if a, err := vaultkv.Read(engine, raw); err == nil && (a.Fields == nil || engine == 2 && a.Version == "") {
				t.Errorf("%q was taken as %+v", raw, a)
			}
		}
	})
}
