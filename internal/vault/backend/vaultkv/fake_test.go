package vaultkv_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend/backendtest"
)

// fakeVault answers as a real one does (answers_test.go compares them): the key-value
// engines, the sign-ins, tokens that live and are renewed, policies, and OpenBao's
// namespaces.
type fakeVault struct {
	bao       bool // it answers as OpenBao, where that is another answer than Vault's
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
	authority *x509.CertPool    // whose certificates sign in; nil: any
}

type kept struct {
	data      map[string]string
	deleted   time.Time // it was or will be; zero: not
	destroyed bool
	made      time.Time
}

type fakeToken struct {
	made, until time.Time // zero: it doesn't end
	can         string    // "root"; "writer" reads, and creates where nothing is; "" nothing
	from        string    // the sign-in, like "approle"
	home        string    // the namespace in which it was made; "" the root
	meta        map[string]any
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

// namespace gives the one that a request is in, and its path there: the header or the
// path begins with it.
func (f *fakeVault) namespace(r *http.Request) (name, path string, ok bool) {
	path = strings.TrimPrefix(r.URL.Path, "/v1/")
	name = strings.Trim(r.Header.Get("X-Vault-Namespace"), "/")
	for mount := range f.second {
		one, _, _ := strings.Cut(mount, "/")
		if rest, in := strings.CutPrefix(path, one+"/"); in && one != "" && name == "" {
			return one, rest, true
		}
		ok = ok || one == name
	}
	return name, path, ok
}

func (f *fakeVault) token(can, from string, meta map[string]any) string {
	name := f.words("hvs.", "s.") + rand.Text()
	t := &fakeToken{made: f.now(), can: can, from: from, meta: meta}
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

// words are Vault's, or OpenBao's where they differ.
func (f *fakeVault) words(vault, bao string) string {
	if f.bao {
		return bao
	}
	return vault
}

// whole is an answer with all its members.
func (f *fakeVault) whole(mount string, data, auth any, warnings ...string) map[string]any {
	out := map[string]any{"request_id": uuid(), "lease_id": "", "renewable": false, "lease_duration": 0, "data": data,
		"wrap_info": nil, "warnings": nil, "auth": auth}
	if !f.bao {
		out["mount_type"] = mount
	}
	if len(warnings) > 0 {
		out["warnings"] = warnings
	}
	return out
}

// uuid is an identity as the server makes them.
func uuid() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func refuse(w http.ResponseWriter, status int, words ...string) {
	say(w, status, map[string]any{"errors": append([]string{}, words...)})
}

func (f *fakeVault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	ns, path, known := f.namespace(r)
	f.seen = append(f.seen, r.Method+" "+path)
	fault := f.fault
	f.mu.Unlock()
	if strings.HasPrefix(path, "auth/") && fault != backendtest.Sealed {
		fault = backendtest.Fine
	}
	if f.misbehaves(w, r, fault) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !known:
		refuse(w, 404, "namespace not found")
		return
	case strings.HasSuffix(path, "/login"):
		f.login(w, r, ns, path)
		return
	}
	name := r.Header.Get("X-Vault-Token")
	t := f.tokens[name]
	switch {
	case name == "":
		refuse(w, 403, "permission denied")
		return
	case t == nil || !t.until.IsZero() && !f.now().Before(t.until):
		refuse(w, 403, f.words("2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n", "permission denied"))
		return
	}
	if mount, ok := strings.CutPrefix(path, "sys/internal/ui/mounts/"); ok {
		f.mount(w, r.Header.Get("X-Vault-Namespace")+"/"+mount, t)
		return
	}
	switch path {
	case "auth/token/renew-self":
		f.renew(w, name, t)
	case "auth/token/lookup-self":
		f.lookup(w, name, t)
	case "auth/token/revoke-self":
		delete(f.tokens, name)
		w.WriteHeader(204)
	default:
		f.engine(w, r, t, ns, path, fault)
	}
}

// misbehaves reports whether it has answered by a fault.
func (f *fakeVault) misbehaves(w http.ResponseWriter, r *http.Request, fault backendtest.Fault) bool {
	switch fault {
	case backendtest.Refusing:
		refuse(w, 403, "1 error occurred:\n\t* permission denied\n\n")
	case backendtest.Busy:
		w.Header().Set("Retry-After", "7") // where the operator has enabled it
		refuse(w, 429, "request path \"secret/data/x\": rate limit quota exceeded")
	case backendtest.Broken:
		refuse(w, 500, "internal error")
	case backendtest.Sealed:
		refuse(w, 503, "Vault is sealed")
	case backendtest.Garbage:
		_, _ = w.Write([]byte("<html>not JSON</html>"))
	case backendtest.Twice:
		_, _ = w.Write([]byte(`{"data":{"data":{"password":"a"},"metadata":{"version":1}},"data":{"data":{"password":"b"},"metadata":{"version":1}}}`))
	case backendtest.Stranger: // an answer to a sign-in, say
		say(w, 200, map[string]any{"auth": map[string]any{"client_token": "hvs.x"}, "data": map[string]any{"data": map[string]any{"password": "x"}, "metadata": map[string]any{"version": 1}}})
	case backendtest.Elsewhere:
		to := "https://" + r.Host + "/v1/elsewhere"
		if f.elsewhere != "" {
			to = f.elsewhere
		}
		w.Header().Set("Location", to)
		w.WriteHeader(307)
	default:
		return backendtest.Misanswer(w, r, fault, nil, `{"data":{"data":{"password":"half`)
	}
	return true
}
