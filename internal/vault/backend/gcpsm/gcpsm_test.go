package gcpsm_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/backendtest"
	"sallyport.dev/internal/vault/backend/gcpsm"
)

// fakeGoogle answers as the REST reference of Secret Manager says, and as the token
// endpoint of service accounts, whose assertions it checks.
type fakeGoogle struct {
	mu      sync.Mutex
	fault   backendtest.Fault
	secrets map[string][]string
	gone    map[string]bool // versions that are destroyed, "name/1"
	token   string
	key     *rsa.PrivateKey
	url     string
	corrupt bool
}

func no(w http.ResponseWriter, code int, status string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": code, "message": "no", "status": status}})
}

func (f *fakeGoogle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.URL.Path == "/token" {
		f.sign(w, r)
		return
	}
	if f.misbehaves(w, r) {
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+f.token || f.token == "" {
		no(w, 401, "UNAUTHENTICATED")
		return
	}
	part := strings.Split(strings.TrimSuffix(r.URL.Path, ":access"), "/") // "", v1, projects, P, secrets, S, versions, V
	if len(part) != 8 || part[3] != "acme-prod" || !strings.HasSuffix(r.URL.Path, ":access") {
		no(w, 403, "PERMISSION_DENIED")
		return
	}
	list := f.secrets[part[5]]
	n, err := strconv.Atoi(part[7])
	if part[7] == "latest" {
		n, err = len(list), nil
	}
	if err != nil || n < 1 || n > len(list) {
		no(w, 404, "NOT_FOUND")
		return
	}
	if f.gone[part[5]+"/"+strconv.Itoa(n)] {
		no(w, 400, "FAILED_PRECONDITION")
		return
	}
	name := part[5]
	if f.fault == backendtest.Older {
		n = n%len(list) + 1
	}
	if f.fault == backendtest.Stranger {
		name = "another"
	}
	value := []byte(list[n-1])
	sum := crc32.Checksum(value, crc32.MakeTable(crc32.Castagnoli))
	if f.corrupt {
		sum++
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"name": "projects/123456789/secrets/" + name + "/versions/" + strconv.Itoa(n),
		"payload": map[string]any{"data": value, "dataCrc32c": strconv.FormatUint(uint64(sum), 10)}})
}

// sign gives a token for an assertion that the account's key has signed.
func (f *fakeGoogle) sign(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	part := strings.Split(r.Form.Get("assertion"), ".")
	if len(part) == 3 && r.Form.Get("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		sum := sha256.Sum256([]byte(part[0] + "." + part[1]))
		sig, _ := base64.RawURLEncoding.DecodeString(part[2])
		raw, _ := base64.RawURLEncoding.DecodeString(part[1])
		var c struct {
			Iss, Aud, Scope string
			Iat, Exp        int64
		}
		_ = json.Unmarshal(raw, &c)
		if rsa.VerifyPKCS1v15(&f.key.PublicKey, crypto.SHA256, sum[:], sig) == nil && c.Iss == "sallyport@acme-prod.iam.gserviceaccount.com" &&
			c.Aud == f.url+"/token" && c.Scope != "" && c.Exp-c.Iat <= 3600 {
			f.token = rand.Text()
			_ = json.NewEncoder(w).Encode(map[string]any{"access_token": f.token, "expires_in": 3599, "token_type": "Bearer"})
			return
		}
	}
	w.WriteHeader(400)
	_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
}

func (f *fakeGoogle) misbehaves(w http.ResponseWriter, r *http.Request) bool {
	switch f.fault {
	case backendtest.Refusing:
		no(w, 403, "PERMISSION_DENIED")
	case backendtest.Busy:
		no(w, 429, "RESOURCE_EXHAUSTED")
	case backendtest.Broken:
		no(w, 500, "INTERNAL")
	case backendtest.Garbage:
		_, _ = w.Write([]byte("x"))
	case backendtest.Twice:
		_, _ = w.Write([]byte(`{"name":"a","name":"b"}`))
	default:
		return backendtest.Misanswer(w, r, f.fault, &f.mu, `{"name":`)
	}
	return true
}

func file(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var accountKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func start(t *testing.T) (*fakeGoogle, gcpsm.Config) {
	t.Helper()
	f := &fakeGoogle{secrets: map[string][]string{}, gone: map[string]bool{}, key: accountKey()}
	s := httptest.NewTLSServer(f)
	t.Cleanup(s.Close)
	f.url = s.URL
	der, err := x509.MarshalPKCS8PrivateKey(f.key)
	if err != nil {
		t.Fatal(err)
	}
	account, err := json.Marshal(map[string]string{"type": "service_account", "project_id": "acme-prod", "private_key_id": "k1", "token_uri": s.URL + "/token",
		"client_email": "sallyport@acme-prod.iam.gserviceaccount.com", "private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	if err != nil {
		t.Fatal(err)
	}
	return f, gcpsm.Config{Project: "acme-prod", ProjectNumber: 123456789, Endpoint: s.URL, KeyFile: file(t, "key.json", account),
		CAFile: file(t, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))}
}

func open(t *testing.T, c gcpsm.Config, now func() time.Time) backend.Backend {
	t.Helper()
	b, err := gcpsm.New(c, now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSecretManagerKeepsTheContract(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.World {
		f, c := start(t)
		now := time.Now()
		return backendtest.World{Backend: open(t, c, func() time.Time { return now }), Pins: true, Path: func(word string) string { return word },
			Put: func(_ *testing.T, path string, fields map[string]string) string {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.secrets[path] = append(f.secrets[path], fields[backend.Whole])
				return strconv.Itoa(len(f.secrets[path]))
			},
			Remove: func(_ *testing.T, path string) { delete(f.secrets, path) },
			Fault:  func(x backendtest.Fault) { f.mu.Lock(); f.fault = x; f.mu.Unlock() },
			Knows: []backendtest.Fault{backendtest.Refusing, backendtest.Busy, backendtest.Broken, backendtest.Garbage, backendtest.Twice, backendtest.Endless,
				backendtest.Cut, backendtest.Elsewhere, backendtest.Silent, backendtest.Stranger, backendtest.Older},
			End: func() { f.mu.Lock(); f.token = ""; now = now.Add(time.Minute); f.mu.Unlock() }, // it was revoked
		}
	})
}

// The contract against the project that SALLYPORT_TEST_GCP_PROJECT names, as the
// account whose key is in SALLYPORT_TEST_GCP_KEY_FILE. It may make and delete secrets
// there.
func TestARealSecretManagerKeepsTheContract(t *testing.T) {
	c := gcpsm.Config{Project: os.Getenv("SALLYPORT_TEST_GCP_PROJECT"), KeyFile: os.Getenv("SALLYPORT_TEST_GCP_KEY_FILE")}
	if c.Project == "" {
		t.Skip("SALLYPORT_TEST_GCP_PROJECT names no project")
	}
	b, ctx := open(t, c, time.Now), context.WithoutCancel(t.Context())
	backendtest.Run(t, func(t *testing.T) backendtest.World {
		run := strings.ToLower(rand.Text()[:8])
		do := func(t *testing.T, method, below, body string) string {
			out, err := gcpsm.DoForTest(ctx, b, method, below, body)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		return backendtest.World{Backend: b, Pins: true, Path: func(word string) string { return "sallyport-test-" + run + "-" + word },
			Put: func(t *testing.T, path string, fields map[string]string) string {
				do(t, "POST", "?secretId="+path, `{"replication":{"automatic":{}}}`) // or it is there
				return do(t, "POST", "/"+path+":addVersion", `{"payload":{"data":"`+base64.StdEncoding.EncodeToString([]byte(fields[backend.Whole]))+`"}}`)
			},
			Remove: func(t *testing.T, path string) { do(t, "DELETE", "/"+path, "") },
		}
	})
}

func TestAValueThatIsNotTheOneOfItsChecksumIsRefused(t *testing.T) {
	f, c := start(t)
	f.secrets["crm"] = []string{"cnry-of-the-fake"}
	b := open(t, c, time.Now)
	ask := func(a backend.Ask) error {
		got, err := b.Fetch(t.Context(), a)
		got.Wipe()
		return err
	}
	if err := ask(backend.Ask{Path: "crm"}); err != nil {
		t.Fatal(err)
	}
	f.corrupt = true
	if err := ask(backend.Ask{Path: "crm"}); backend.ReasonOf(err) != backend.Wrong {
		t.Errorf("a wrong checksum: %v", err)
	}
	f.corrupt, f.gone["crm/1"] = false, true
	if err := ask(backend.Ask{Path: "crm"}); backend.ReasonOf(err) != backend.Missing {
		t.Errorf("a version that was destroyed: %v", err)
	}
	c.ProjectNumber = 1
	delete(f.gone, "crm/1")
	if got, err := open(t, c, time.Now).Fetch(t.Context(), backend.Ask{Path: "crm"}); backend.ReasonOf(err) != backend.Wrong {
		t.Errorf("another project's: %v, %v", got.Version, err)
	}
}

func TestAConfigurationThatIsNoneIsRefused(t *testing.T) {
	_, c := start(t)
	for name, spoil := range map[string]func(*gcpsm.Config){
		"a project climbs": func(c *gcpsm.Config) { c.Project = "../x" },
		"plain HTTP":       func(c *gcpsm.Config) { c.Endpoint = "http://secretmanager.example.com" },
	} {
		c := c
		spoil(&c)
		if _, err := gcpsm.New(c, time.Now); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	for name, key := range map[string]string{"nothing": "", "no key": `{"type":"service_account","token_uri":"https://a/token"}`,
		"plain HTTP": `{"type":"service_account","token_uri":"http://a/token"}`, "another type": `{"type":"external_account"}`} {
		c := c
		c.KeyFile = file(t, "key", []byte(key))
		if _, err := open(t, c, time.Now).Fetch(t.Context(), backend.Ask{Path: "crm"}); backend.ReasonOf(err) != backend.Refused {
			t.Errorf("a key with %s: %v", name, err)
		}
	}
}

func FuzzAnAnswer(f *testing.F) {
	f.Add([]byte(`{"name":"projects/1/secrets/crm/versions/1","payload":{"data":"YQ==","dataCrc32c":"1"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if a, err := gcpsm.Read(raw, backend.Ask{Path: "crm"}); err == nil && (a.Fields == nil || a.Version == "") {
			t.Error("an answer without a version")
		}
	})
}
