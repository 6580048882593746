package azurekv_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/azurekv"
	"sallyport.dev/internal/vault/backend/backendtest"
)

// fakeAzure answers as the REST reference of Key Vault says, and as Entra ID's token
// endpoint.
type fakeAzure struct {
	mu         sync.Mutex
	fault      backendtest.Fault
	url        string
	secrets    map[string][]*version
	token      string // that is good now
	credential string
	signIns    int
	attributes map[string]any // beside enabled
}

type version struct{ id, value string }

func no(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": code, "message": "no"}})
}

func (f *fakeAzure) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.URL.Path == "/tenant-id/oauth2/v2.0/token" {
		_ = r.ParseForm()
		if r.Form.Get("client_secret")+r.Form.Get("client_assertion") != f.credential || r.Form.Get("client_id") != "app" || r.Form.Get("scope") != "https://vault.azure.net/.default" {
			w.WriteHeader(401)
			_, _ = w.Write([]byte(`{"error":"invalid_client"}`))
			return
		}
		f.signIns++
		f.token = rand.Text()
		_ = json.NewEncoder(w).Encode(map[string]any{"token_type": "Bearer", "expires_in": 3599, "access_token": f.token})
		return
	}
	if misbehaves(f, w, r) {
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+f.token || f.token == "" {
		w.Header().Set("WWW-Authenticate", `Bearer authorization="https://login.microsoftonline.com/x"`)
		no(w, 401, "Unauthorized")
		return
	}
	part := strings.Split(r.URL.Path, "/") // "", secrets, NAME, VERSION
	if len(part) != 4 || part[1] != "secrets" || r.URL.Query().Get("api-version") == "" {
		no(w, 400, "BadParameter")
		return
	}
	list := f.secrets[part[2]]
	for i := len(list) - 1; i >= 0; i-- {
		if v := list[i]; part[3] == "" || v.id == part[3] {
			name := part[2]
			if f.fault == backendtest.Older {
				v = list[(i+1)%len(list)]
			}
			if f.fault == backendtest.Stranger {
				name = "another"
			}
			a := map[string]any{"enabled": true, "created": 1, "updated": 1, "recoveryLevel": "Recoverable"}
			for k, x := range f.attributes {
				a[k] = x
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"value": v.value, "id": f.url + "/secrets/" + name + "/" + v.id, "attributes": a})
			return
		}
	}
	no(w, 404, "SecretNotFound")
}

func misbehaves(f *fakeAzure, w http.ResponseWriter, r *http.Request) bool {
	switch f.fault {
	case backendtest.Refusing:
		no(w, 403, "Forbidden")
	case backendtest.Busy:
		w.Header().Set("Retry-After", "3")
		no(w, 429, "Throttled")
	case backendtest.Broken:
		no(w, 503, "InternalError")
	case backendtest.Garbage:
		_, _ = w.Write([]byte("x"))
	case backendtest.Twice:
		_, _ = w.Write([]byte(`{"value":"a","value":"b","id":"x"}`))
	case backendtest.Endless:
		for range 1 << 10 {
			if _, err := w.Write([]byte(strings.Repeat(" ", 4<<10))); err != nil {
				break
			}
		}
	case backendtest.Cut:
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"value":`))
	case backendtest.Elsewhere:
		w.Header().Set("Location", "/x")
		w.WriteHeader(302)
	case backendtest.Silent:
		f.mu.Unlock()
		<-r.Context().Done()
		f.mu.Lock()
	default:
		return false
	}
	return true
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func start(t *testing.T) (*fakeAzure, azurekv.Config) {
	t.Helper()
	f := &fakeAzure{secrets: map[string][]*version{}, credential: "client~secret.of-the-fake"}
	s := httptest.NewTLSServer(f)
	t.Cleanup(s.Close)
	f.url = s.URL
	return f, azurekv.Config{Vault: s.URL, Authority: s.URL, Tenant: "tenant-id", ClientID: "app", ClientSecretFile: file(t, "secret", f.credential+"\n"),
		CAFile: file(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))}
}

func (f *fakeAzure) put(name, value string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	f.secrets[name] = append(f.secrets[name], &version{hex.EncodeToString(b), value})
	return hex.EncodeToString(b)
}

func open(t *testing.T, c azurekv.Config, now func() time.Time) backend.Backend {
	t.Helper()
	b, err := azurekv.New(c, now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAKeyVaultKeepsTheContract(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.World {
		f, c := start(t)
		now := time.Now()
		return backendtest.World{Backend: open(t, c, func() time.Time { return now }), Pins: true, Path: func(word string) string { return word },
			Put: func(_ *testing.T, path string, fields map[string]string) string {
				return f.put(path, fields[backend.Whole])
			},
			Remove: func(_ *testing.T, path string) { delete(f.secrets, path) },
			Fault:  func(x backendtest.Fault) { f.mu.Lock(); f.fault = x; f.mu.Unlock() },
			Knows: []backendtest.Fault{backendtest.Refusing, backendtest.Busy, backendtest.Broken, backendtest.Garbage, backendtest.Twice, backendtest.Endless,
				backendtest.Cut, backendtest.Elsewhere, backendtest.Silent, backendtest.Stranger, backendtest.Older},
			End: func() { f.mu.Lock(); f.token = ""; now = now.Add(time.Minute); f.mu.Unlock() }, // it was revoked
		}
	})
}

// The contract against a key vault that SALLYPORT_TEST_AZURE_VAULT_URL names, as the
// application AZURE_CLIENT_ID of AZURE_TENANT_ID whose secret is in the file
// SALLYPORT_TEST_AZURE_SECRET_FILE. It may set and delete secrets there.
func TestARealKeyVaultKeepsTheContract(t *testing.T) {
	c := azurekv.Config{Vault: os.Getenv("SALLYPORT_TEST_AZURE_VAULT_URL"), Tenant: os.Getenv("AZURE_TENANT_ID"), ClientID: os.Getenv("AZURE_CLIENT_ID"),
		ClientSecretFile: os.Getenv("SALLYPORT_TEST_AZURE_SECRET_FILE")}
	if c.Vault == "" {
		t.Skip("SALLYPORT_TEST_AZURE_VAULT_URL names no key vault")
	}
	b, ctx := open(t, c, time.Now), context.WithoutCancel(t.Context())
	backendtest.Run(t, func(t *testing.T) backendtest.World {
		run := strings.ToLower(rand.Text()[:8])
		do := func(t *testing.T, method, path, value string) string {
			id, err := azurekv.DoForTest(ctx, b, method, path, value)
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		return backendtest.World{Backend: b, Pins: true, Path: func(word string) string { return "sallyport-test-" + run + "-" + word },
			Put: func(t *testing.T, path string, fields map[string]string) string {
				return do(t, "PUT", path, fields[backend.Whole])
			},
			Remove: func(t *testing.T, path string) { do(t, "DELETE", path, "") },
		}
	})
}

func ask(t *testing.T, b backend.Backend, version string) (backend.Answer, error) {
	t.Helper()
	got, err := b.Fetch(t.Context(), backend.Ask{Path: "crm", Version: version})
	got.Wipe()
	return got, err
}

func TestAnAssertionSignsInAndATokenIsKept(t *testing.T) {
	f, c := start(t)
	f.put("crm", "cnry-of-the-fake")
	f.credential = "eyJ.a.b"
	c.ClientSecretFile, c.AssertionFile = "", file(t, "jwt", "eyJ.a.b")
	b := open(t, c, time.Now)
	for range 5 {
		if _, err := ask(t, b, ""); err != nil {
			t.Fatal(err)
		}
	}
	if f.signIns != 1 {
		t.Errorf("signed in %d times", f.signIns)
	}
	f.credential = "another"
	if _, err := ask(t, open(t, c, time.Now), ""); backend.ReasonOf(err) != backend.Refused {
		t.Errorf("a wrong assertion: %v", err)
	}
}

func TestASecretThatIsDisabledOrNotValidIsRefused(t *testing.T) {
	f, c := start(t)
	f.put("crm", "cnry-of-the-fake")
	b := open(t, c, time.Now)
	for name, a := range map[string]map[string]any{"disabled": {"enabled": false}, "not valid yet": {"nbf": time.Now().Add(time.Hour).Unix()}} {
		f.attributes = a
		if _, err := ask(t, b, ""); err == nil {
			t.Errorf("%s: it was given", name)
		}
	}
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	f.attributes = map[string]any{"exp": end.Unix()}
	if got, err := ask(t, b, ""); err != nil || !got.NotAfter.Equal(end) {
		t.Errorf("it ends at %s, %v", got.NotAfter, err)
	}
}

func TestAManagedIdentityIsOfTheMachine(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata") != "true" || r.URL.Path != "/metadata/identity/oauth2/token" || r.URL.Query().Get("resource") != "https://vault.azure.net" || r.URL.Query().Get("client_id") != "app" {
			w.WriteHeader(400)
			return
		}
		_, _ = w.Write([]byte(`{"access_token":"eyJ","expires_in":"86399","resource":"https://vault.azure.net","token_type":"Bearer"}`))
	}))
	defer s.Close()
	if err := azurekv.ManagedForTest(t.Context(), s.URL, "app"); err != nil {
		t.Error(err)
	}
	f, c := start(t)
	_ = f
	for name, spoil := range map[string]func(*azurekv.Config){
		"two ways":         func(c *azurekv.Config) { c.ManagedIdentity = true },
		"no way":           func(c *azurekv.Config) { c.ClientSecretFile = "" },
		"a tenant climbs":  func(c *azurekv.Config) { c.Tenant = "../x" },
		"no client":        func(c *azurekv.Config) { c.ClientID = "" },
		"plain HTTP":       func(c *azurekv.Config) { c.Vault = "http://x.vault.azure.net" },
		"a plain sign-in":  func(c *azurekv.Config) { c.Authority = "http://login.example.com" },
		"a vault's secret": func(c *azurekv.Config) { c.Vault += "/secrets/x" },
	} {
		c := c
		spoil(&c)
		if _, err := azurekv.New(c, time.Now); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func FuzzAnAnswer(f *testing.F) {
	f.Add([]byte(`{"value":"x","id":"https://a.vault.azure.net/secrets/crm/0123456789abcdef0123456789abcdef","attributes":{"enabled":true,"exp":1}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if a, err := azurekv.Read(raw, "https://a.vault.azure.net", backend.Ask{Path: "crm"}, time.Unix(0, 0)); err == nil && (a.Fields == nil || len(a.Version) != 32) {
			t.Error("an answer without a version")
		}
	})
}
