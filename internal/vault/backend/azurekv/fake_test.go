package azurekv_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend/azurekv"
	"sallyport.dev/internal/vault/backend/backendtest"
)

const (
	vaultHost = "acme.vault.azure.net"
	loginHost = "login.microsoftonline.com"
	theTenant = "11111111-2222-3333-4444-555555555555"
	challenge = `Bearer authorization="https://login.microsoftonline.com/` + theTenant + `", resource="https://vault.azure.net"`
	// canary is in whatever an error of a server says.
	canary = "cnry-of-the-contract-81kq"
)

// fakeAzure answers as the REST reference of Key Vault says, and as Entra ID, under
// their hosts' names.
type fakeAzure struct {
	mu          sync.Mutex
	fault       backendtest.Fault
	secrets     map[string][]*version
	removed     map[string]bool // soft-deleted: they can be recovered
	token       string          // that is good now
	credential  string          // that Entra ID takes: a secret or an assertion
	certificate *x509.Certificate
	chain       bool            // the assertion has to have the certificate in it
	seen        map[string]bool // ids of assertions
	challenge   string
	forbids     string // a challenge beside a 403
	endpoint    string // of tokens, as Entra ID describes itself
	loginSays   int    // a status that Entra ID answers with
	signIns     int
	asked       []string       // host and path of each request
	attributes  map[string]any // beside enabled
}

type version struct{ id, value string }

func no(w http.ResponseWriter, status int, code, inner string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": code, "message": canary, "innererror": map[string]string{"code": inner}}})
}

func (f *fakeAzure) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r.Host+r.URL.Path)
	switch r.Host {
	case loginHost:
		f.entra(w, r)
	case vaultHost:
		f.vault(w, r)
	default:
		w.WriteHeader(421)
	}
}

// entra describes itself and gives tokens.
func (f *fakeAzure) entra(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if f.loginSays != 0 {
		w.Header().Set("Retry-After", "9")
		w.WriteHeader(f.loginSays)
		_, _ = w.Write([]byte(`{"error":"temporarily_unavailable","error_description":"` + canary + `"}`))
		return
	}
	base := "https://" + loginHost + "/" + theTenant
	switch r.URL.Path {
	case "/" + theTenant + "/v2.0/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": f.endpoint})
	case "/" + theTenant + "/oauth2/v2.0/token":
		_ = r.ParseForm()
		if r.Form.Get("grant_type") != "client_credentials" || r.Form.Get("client_id") != "app" || !strings.Contains(" "+r.Form.Get("scope")+" ", " https://vault.azure.net/.default ") || !f.known(r.Form) {
			w.WriteHeader(401)
			_, _ = w.Write([]byte(`{"error":"invalid_client","error_description":"AADSTS7000215: ` + canary + `"}`))
			return
		}
		f.signIns++
		f.token = rand.Text()
		_ = json.NewEncoder(w).Encode(map[string]any{"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": f.token})
	default:
		w.WriteHeader(404)
	}
}

// known reports whether a form signs the application in.
func (f *fakeAzure) known(in url.Values) bool {
	if f.certificate == nil {
		return in.Get("client_secret")+in.Get("client_assertion") == f.credential
	}
	if in.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || in.Get("client_secret") != "" {
		return false
	}
	part := strings.Split(in.Get("client_assertion"), ".")
	if len(part) != 3 {
		return false
	}
	var raw [3][]byte
	for i := range part {
		raw[i], _ = base64.RawURLEncoding.DecodeString(part[i])
	}
	var head struct {
		Alg, Typ string
		X5t      string   `json:"x5t#S256"`
		X5c      []string `json:"x5c"`
	}
	var claims struct {
		Aud, Iss, Sub, Jti string
		Exp, Nbf           int64
	}
	if json.Unmarshal(raw[0], &head) != nil || json.Unmarshal(raw[1], &claims) != nil {
		return false
	}
	sum, print := sha256.Sum256([]byte(part[0]+"."+part[1])), sha256.Sum256(f.certificate.Raw)
	key, _ := f.certificate.PublicKey.(*rsa.PublicKey)
	now := time.Now().Unix()
	if head.Alg != "PS256" || head.X5t != base64.StdEncoding.EncodeToString(print[:]) || rsa.VerifyPSS(key, crypto.SHA256, sum[:], raw[2], nil) != nil ||
		claims.Aud != "https://"+loginHost+"/"+theTenant+"/oauth2/v2.0/token" || claims.Iss != "app" || claims.Sub != "app" || claims.Exp < now || claims.Exp > now+3600 || claims.Nbf > now ||
		claims.Jti == "" || f.seen[claims.Jti] {
		return false
	}
	f.seen[claims.Jti] = true
	return !f.chain && len(head.X5c) == 0 || f.chain && len(head.X5c) == 1 && head.X5c[0] == base64.StdEncoding.EncodeToString(f.certificate.Raw)
}

func (f *fakeAzure) vault(w http.ResponseWriter, r *http.Request) {
	if misbehaves(f, w, r) {
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+f.token || f.token == "" {
		w.Header().Set("WWW-Authenticate", f.challenge)
		no(w, 401, "Unauthorized", "")
		return
	}
	part := strings.Split(r.URL.Path, "/") // "", secrets, NAME, VERSION
	if len(part) == 3 && r.Method != http.MethodGet {
		f.administer(w, r, part[2])
		return
	}
	if len(part) != 4 || part[1] != "secrets" || r.URL.Query().Get("api-version") == "" {
		no(w, 400, "BadParameter", "")
		return
	}
	if a := f.attributes; a["enabled"] == false {
		no(w, 403, "Forbidden", "SecretDisabled")
		return
	}
	list := f.secrets[part[2]]
	if f.removed[part[2]] {
		list = nil // what it says of one that is soft-deleted is in its text alone
	}
	for i := len(list) - 1; i >= 0; i-- {
		if v := list[i]; part[3] == "" || v.id == part[3] {
			name := part[2]
			if f.fault == backendtest.Older {
				v = list[(i+1)%len(list)]
			}
			if f.fault == backendtest.Stranger {
				name = "another"
			}
			a := map[string]any{"enabled": true, "created": 1, "updated": 1, "recoveryLevel": "Recoverable", "recoverableDays": 90}
			for k, x := range f.attributes {
				a[k] = x
			}
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			_ = json.NewEncoder(w).Encode(map[string]any{"value": v.value, "contentType": "text/plain", "id": "https://" + vaultHost + "/secrets/" + name + "/" + v.id, "attributes": a, "tags": map[string]string{}})
			return
		}
	}
	no(w, 404, "SecretNotFound", "")
}

// administer sets and deletes secrets: the tests' own half of the API.
func (f *fakeAzure) administer(w http.ResponseWriter, r *http.Request, name string) {
	var in struct{ Value string }
	if r.Method == http.MethodPut && json.NewDecoder(r.Body).Decode(&in) != nil {
		no(w, 400, "BadParameter", "")
		return
	}
	out := map[string]any{"attributes": map[string]any{"enabled": true}}
	if r.Method == http.MethodDelete {
		f.removed[name] = true
		out["id"] = "https://" + vaultHost + "/secrets/" + name
	} else {
		f.mu.Unlock()
		id := f.put(name, in.Value)
		f.mu.Lock()
		out["id"], out["value"] = "https://"+vaultHost+"/secrets/"+name+"/"+id, in.Value
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(out)
}

func misbehaves(f *fakeAzure, w http.ResponseWriter, r *http.Request) bool {
	switch f.fault {
	case backendtest.Refusing:
		if f.forbids != "" {
			w.Header().Set("WWW-Authenticate", f.forbids)
		}
		no(w, 403, "Forbidden", "ForbiddenByRbac")
	case backendtest.Busy:
		w.Header().Set("Retry-After", "3")
		no(w, 429, "Throttled", "")
	case backendtest.Broken:
		no(w, 503, "InternalError", "")
	case backendtest.Garbage:
		_, _ = w.Write([]byte("x"))
	case backendtest.Twice:
		_, _ = w.Write([]byte(`{"value":"a","value":"b","id":"x"}`))
	default:
		return backendtest.Misanswer(w, r, f.fault, &f.mu, `{"value":`)
	}
	return true
}

func file(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certified makes a certificate of a key for names.
func certified(t *testing.T, key crypto.Signer, names ...string) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test"}, DNSNames: names, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c
}

func inPEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// start gives a fake with the address that it is at.
func start(t *testing.T) (*fakeAzure, azurekv.Config, string) {
	t.Helper()
	f := &fakeAzure{secrets: map[string][]*version{}, removed: map[string]bool{}, credential: "client~secret.of-the-fake", seen: map[string]bool{}, challenge: challenge,
		endpoint: "https://" + loginHost + "/" + theTenant + "/oauth2/v2.0/token"}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := certified(t, key, vaultHost, loginHost)
	s := httptest.NewUnstartedServer(f)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{c.Raw}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return f, azurekv.Config{Vault: "https://" + vaultHost, Tenant: theTenant, ClientID: "app", ClientSecretFile: file(t, "secret", f.credential+"\n"), CAFile: file(t, "ca.pem", inPEM("CERTIFICATE", c.Raw))},
		s.Listener.Addr().String()
}

func (f *fakeAzure) put(name, value string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	f.removed[name] = false
	f.secrets[name] = append(f.secrets[name], &version{hex.EncodeToString(b), value})
	return hex.EncodeToString(b)
}
