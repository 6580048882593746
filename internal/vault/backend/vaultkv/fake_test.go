package vaultkv_test

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend/backendtest"
)

// fakeVault answers as the API reference of Vault and OpenBao says: the key-value
// engines, the sign-ins, tokens that live and are renewed, namespaces, policies.
type fakeVault struct {
	mu        sync.Mutex
	fault     backendtest.Fault
	elsewhere string                        // where it points, when it does
	second    map[string]map[string][]*kept // by namespace and mount; by path; a version each
	first     map[string]map[string]map[string]string
	tokens    map[string]*fakeToken
	ttl       time.Duration // of new tokens; 0: they don't end
	most      time.Duration // that a token lives, renewed
	now       func() time.Time
	seen      []string
	logins    int
	shown     string            // the name of the certificate that was shown at the last sign-in
	denied    map[string]bool   // paths that the policy doesn't allow
	jwts      map[string]string // role by JWT
	secret    string            // the secret id that is good
}

type kept struct {
	data    map[string]string
	deleted bool
	made    time.Time
}

type fakeToken struct {
	made, until time.Time // zero: it doesn't end
}

func startVault(t *testing.T) (*fakeVault, *httptest.Server) {
	t.Helper()
	f := &fakeVault{second: map[string]map[string][]*kept{"/secret": {}, "team/secret": {}}, first: map[string]map[string]map[string]string{"/kv": {}},
		tokens: map[string]*fakeToken{}, now: time.Now, denied: map[string]bool{}, jwts: map[string]string{}, secret: rand.Text()}
	s := httptest.NewUnstartedServer(f)
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	return f, s
}

func (f *fakeVault) token() string {
	name := "hvs." + rand.Text()
	t := &fakeToken{made: f.now()}
	if f.ttl > 0 {
		t.until = f.now().Add(f.ttl)
	}
	f.tokens[name] = t
	return name
}

func say(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if body != nil {
		_ = json.NewEncoder(w).Encode(body)
	}
}

func refuse(w http.ResponseWriter, status int, words ...string) {
	say(w, status, map[string]any{"errors": append([]string{}, words...)})
}

func (f *fakeVault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	f.seen = append(f.seen, r.Method+" "+path)
	fault := f.fault
	f.mu.Unlock()
	if strings.HasPrefix(path, "auth/") {
		fault = backendtest.Fine
	}
	if f.misbehaves(w, r, fault) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasSuffix(path, "/login") {
		f.login(w, r, path)
		return
	}
	name := r.Header.Get("X-Vault-Token")
	t := f.tokens[name]
	if t == nil || !t.until.IsZero() && !f.now().Before(t.until) || f.denied[path] {
		refuse(w, 403, "1 error occurred:\n\t* permission denied\n\n")
		return
	}
	switch path {
	case "auth/token/renew-self":
		f.renew(w, name, t)
	case "auth/token/lookup-self":
		say(w, 200, map[string]any{"data": map[string]any{"ttl": f.left(t), "renewable": !t.until.IsZero(), "id": name}})
	default:
		f.engine(w, r, path, fault)
	}
}

// misbehaves reports whether it has answered by a fault.
func (f *fakeVault) misbehaves(w http.ResponseWriter, r *http.Request, fault backendtest.Fault) bool {
	switch fault {
	case backendtest.Refusing:
		refuse(w, 403, "permission denied")
	case backendtest.Busy:
		w.Header().Set("Retry-After", "7")
		refuse(w, 429, "request path \"secret/data/x\": rate limit quota exceeded")
	case backendtest.Broken:
		refuse(w, 500, "internal error")
	case backendtest.Sealed:
		refuse(w, 503, "Vault is sealed")
	case backendtest.Garbage:
		_, _ = w.Write([]byte("<html>not JSON</html>"))
	case backendtest.Twice:
		_, _ = w.Write([]byte(`{"data":{"data":{"password":"a"},"metadata":{"version":1}},"data":{"data":{"password":"b"},"metadata":{"version":1}}}`))
	case backendtest.Endless:
		for range 1 << 10 {
			if _, err := w.Write([]byte(strings.Repeat(" ", 4<<10))); err != nil {
				break
			}
		}
	case backendtest.Cut:
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"data":{"data":{"password":"half`))
	case backendtest.Stranger: // an answer to a sign-in, say
		say(w, 200, map[string]any{"auth": map[string]any{"client_token": "hvs.x"}, "data": map[string]any{"data": map[string]any{"password": "x"}, "metadata": map[string]any{"version": 1}}})
	case backendtest.Elsewhere:
		to := "https://" + r.Host + "/v1/elsewhere"
		if f.elsewhere != "" {
			to = f.elsewhere
		}
		w.Header().Set("Location", to)
		w.WriteHeader(307)
	case backendtest.Silent:
		<-r.Context().Done()
	default:
		return false
	}
	return true
}

func (f *fakeVault) left(t *fakeToken) int {
	if t.until.IsZero() {
		return 0
	}
	return int(t.until.Sub(f.now()).Seconds())
}

func (f *fakeVault) renew(w http.ResponseWriter, name string, t *fakeToken) {
	t.until = f.now().Add(f.ttl)
	if end := t.made.Add(f.most); f.most > 0 && t.until.After(end) {
		t.until = end
	}
	say(w, 200, map[string]any{"auth": map[string]any{"client_token": name, "lease_duration": f.left(t), "renewable": true}})
}

func (f *fakeVault) login(w http.ResponseWriter, r *http.Request, path string) {
	f.logins++
	var in map[string]string
	_ = json.NewDecoder(r.Body).Decode(&in)
	ok := false
	switch path {
	case "auth/approle/login":
		ok = in["role_id"] == "role-of-the-fake" && in["secret_id"] == f.secret
	case "auth/kubernetes/login", "auth/jwt/login":
		ok = in["jwt"] != "" && f.jwts[in["jwt"]] == in["role"]
	case "auth/cert/login":
		if ok = len(r.TLS.PeerCertificates) == 1; ok {
			f.shown = r.TLS.PeerCertificates[0].Subject.CommonName
		}
	default:
		refuse(w, 403, "permission denied")
		return
	}
	if !ok {
		refuse(w, 400, "invalid role or secret ID")
		return
	}
	say(w, 200, map[string]any{"lease_id": "", "data": nil, "wrap_info": nil, "auth": map[string]any{
		"client_token": f.token(), "accessor": "acc", "policies": []string{"default"}, "lease_duration": int(f.ttl.Seconds()), "renewable": f.ttl > 0}})
}

// engine is a key-value engine's answer.
func (f *fakeVault) engine(w http.ResponseWriter, r *http.Request, path string, fault backendtest.Fault) {
	ns := r.Header.Get("X-Vault-Namespace")
	mount, rest, _ := strings.Cut(path, "/")
	if m, ok := f.first[ns+"/"+mount]; ok {
		there, ok := m[rest]
		if !ok {
			refuse(w, 404)
			return
		}
		say(w, 200, map[string]any{"request_id": "x", "lease_id": "", "renewable": false, "lease_duration": 2764800, "data": there, "wrap_info": nil, "warnings": nil, "auth": nil})
		return
	}
	m, ok := f.second[ns+"/"+mount]
	name, data := strings.CutPrefix(rest, "data/")
	if !ok || !data {
		refuse(w, 404, fmt.Sprintf("no handler for route %q. route entry not found.", path))
		return
	}
	if r.Method == http.MethodPost {
		f.write(w, r, m, name)
		return
	}
	list := m[name]
	n := len(list)
	if v := r.URL.Query().Get("version"); v != "" {
		n, _ = strconv.Atoi(v)
	}
	if fault == backendtest.Older && n < len(list) {
		n++
	}
	if n < 1 || n > len(list) {
		refuse(w, 404)
		return
	}
	v := list[n-1]
	meta := map[string]any{"created_time": v.made.Format(time.RFC3339Nano), "custom_metadata": nil, "deletion_time": "", "destroyed": false, "version": n}
	body := map[string]any{"data": v.data, "metadata": meta}
	status := 200
	if v.deleted {
		meta["deletion_time"], body["data"], status = v.made.Format(time.RFC3339Nano), nil, 404
	}
	say(w, status, map[string]any{"request_id": "x", "lease_id": "", "renewable": false, "lease_duration": 0, "data": body, "wrap_info": nil, "warnings": nil, "auth": nil, "mount_type": "kv"})
}

func (f *fakeVault) write(w http.ResponseWriter, r *http.Request, m map[string][]*kept, name string) {
	var in struct {
		Options struct {
			CAS *int `json:"cas"`
		} `json:"options"`
		Data map[string]string `json:"data"`
	}
	if json.NewDecoder(r.Body).Decode(&in) != nil {
		refuse(w, 400, "error parsing JSON")
		return
	}
	if in.Options.CAS != nil && *in.Options.CAS != len(m[name]) {
		refuse(w, 400, "check-and-set parameter did not match the current version")
		return
	}
	m[name] = append(m[name], &kept{data: in.Data, made: f.now()})
	say(w, 200, map[string]any{"data": map[string]any{"version": len(m[name])}})
}
