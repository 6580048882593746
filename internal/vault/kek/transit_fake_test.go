package kek_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fakeBao answers as the API reference of OpenBao and Vault says, and as their
// source does where it says nothing: status, words and order of the checks. It
// has what the contract needs: mounts, keys with versions, policies, tokens,
// AppRole, namespaces, and the state "sealed".
type fakeBao struct {
	mu       sync.Mutex
	sealed   bool
	forgets  bool // as a server before 1.13: takes associated data and ignores it
	mounts   map[string]map[string]*fakeKey
	policies map[string][]string // paths that may be updated
	tokens   map[string][]string // policies; "root" may do everything
	roles    map[string]*fakeRole
	seen     []*http.Request
}

type fakeKey struct {
	kind     string
	versions [][]byte
	min      int
}

type fakeRole struct {
	policies []string
	id       string
	secrets  []string
}

const fakeRoot = "s.root-of-the-fake"

func startFake(t *testing.T) (*fakeBao, *httptest.Server) {
	t.Helper()
	f := &fakeBao{mounts: map[string]map[string]*fakeKey{}, policies: map[string][]string{},
		tokens: map[string][]string{fakeRoot: {"root"}}, roles: map[string]*fakeRole{}}
	s := httptest.NewTLSServer(f)
	t.Cleanup(s.Close)
	return f, s
}

// reply is an answer: data, or errors.
type reply struct {
	status int
	body   any
}

func refuse(status int, msg string) reply {
	return reply{status, map[string]any{"errors": []string{msg}}}
}

func data(v map[string]any) reply { return reply{http.StatusOK, map[string]any{"data": v}} }

var done = reply{status: http.StatusNoContent}

func (f *fakeBao) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, r)
	var in map[string]any
	if r.Body != nil {
		_ = json.NewDecoder(r.Body).Decode(&in)
	}
	out := f.answer(r, strings.TrimPrefix(r.URL.Path, "/v1/"), in)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(out.status)
	if out.body != nil {
		_ = json.NewEncoder(w).Encode(out.body)
	}
}

func (f *fakeBao) answer(r *http.Request, path string, in map[string]any) reply {
	if f.sealed {
		return refuse(http.StatusServiceUnavailable, "Vault is sealed")
	}
	ns := r.Header.Get("X-Vault-Namespace")
	if strings.HasSuffix(path, "/login") {
		return f.login(ns, in)
	}
	if !f.may(r.Header.Get("X-Vault-Token"), path) {
		return refuse(http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n")
	}
	if out, ok := f.admin(r.Method, path, ns, in); ok {
		return out
	}
	part := strings.Split(path, "/")
	if len(part) < 3 || f.mounts[ns+part[0]] == nil {
		return refuse(http.StatusNotFound, fmt.Sprintf("no handler for route %q. route entry not found.", path))
	}
	keys := f.mounts[ns+part[0]]
	if part[1] == "keys" {
		return f.manage(r.Method, keys, part[2:], in)
	}
	k := keys[part[2]]
	if k == nil {
		return refuse(http.StatusBadRequest, "encryption key not found")
	}
	return f.crypt(k, part[1], in)
}

// may checks a token: a policy names the whole path.
func (f *fakeBao) may(token, path string) bool {
	for _, p := range f.tokens[token] {
		if p == "root" || slices.Contains(f.policies[p], path) {
			return true
		}
	}
	return false
}

var policyPath = regexp.MustCompile(`path "([^"]+)" \{ capabilities = \["update"\] \}`)

// admin is what an administrator calls.
func (f *fakeBao) admin(method, path, ns string, in map[string]any) (reply, bool) {
	name := path[strings.LastIndexByte(path, '/')+1:]
	strs := func(v any) (out []string) {
		list, _ := v.([]any)
		for _, e := range list {
			out = append(out, e.(string))
		}
		return out
	}
	role := func() *fakeRole { return f.roles[ns+strings.Split(path, "/")[3]] }
	switch {
	case strings.HasPrefix(path, "sys/mounts/"):
		f.mounts[ns+name] = map[string]*fakeKey{}
		if method == http.MethodDelete {
			delete(f.mounts, ns+name)
		}
	case strings.HasPrefix(path, "sys/auth/"):
	case strings.HasPrefix(path, "sys/policies/acl/"):
		f.policies[name] = nil
		for _, m := range policyPath.FindAllStringSubmatch(in["policy"].(string), -1) {
			f.policies[name] = append(f.policies[name], m[1])
		}
	case path == "auth/token/create":
		return f.issue(strs(in["policies"])), true
	case strings.HasPrefix(path, "auth/") && strings.HasSuffix(path, "/role-id"):
		return data(map[string]any{"role_id": role().id}), true
	case strings.HasPrefix(path, "auth/") && strings.HasSuffix(path, "/secret-id"):
		r := role()
		r.secrets = append(r.secrets, rand.Text())
		return data(map[string]any{"secret_id": r.secrets[len(r.secrets)-1]}), true
	case strings.HasPrefix(path, "auth/"):
		f.roles[ns+name] = &fakeRole{policies: strs(in["token_policies"]), id: rand.Text()}
	default:
		return reply{}, false
	}
	return done, true
}

func (f *fakeBao) issue(policies []string) reply {
	token := "s." + rand.Text()
	f.tokens[token] = policies
	return reply{http.StatusOK, map[string]any{"auth": map[string]any{"client_token": token}}}
}

func (f *fakeBao) login(ns string, in map[string]any) reply {
	for name, r := range f.roles {
		if strings.HasPrefix(name, ns) && r.id == in["role_id"] && slices.Contains(r.secrets, fmt.Sprint(in["secret_id"])) {
			return f.issue(r.policies)
		}
	}
	return refuse(http.StatusBadRequest, "invalid role or secret ID")
}

// manage makes, rotates and configures keys.
func (f *fakeBao) manage(method string, keys map[string]*fakeKey, path []string, in map[string]any) reply {
	version := func() []byte { b := make([]byte, 32); _, _ = rand.Read(b); return b }
	k := keys[path[0]]
	switch {
	case method == http.MethodDelete:
		delete(keys, path[0])
	case len(path) == 1 && k == nil:
		kind, _ := in["type"].(string)
		keys[path[0]] = &fakeKey{kind: kind, versions: [][]byte{version()}, min: 1}
	case len(path) == 2 && path[1] == "rotate":
		k.versions = append(k.versions, version())
	case len(path) == 2 && path[1] == "config":
		if n, ok := in["min_decryption_version"].(float64); ok {
			k.min = int(n)
		}
	}
	return done
}

// crypt encrypts, decrypts and does both at once.
func (f *fakeBao) crypt(k *fakeKey, op string, in map[string]any) reply {
	text := func(name string) []byte {
		s, _ := in[name].(string)
		b, _ := base64.StdEncoding.DecodeString(s)
		return b
	}
	ad := text("associated_data")
	if len(ad) > 0 && strings.HasPrefix(k.kind, "rsa") {
		return refuse(http.StatusBadRequest, fmt.Sprintf("'[0].associated_data' provided for non-AEAD cipher suite %s", k.kind))
	}
	if f.forgets || op == "rewrap" { // which takes associated data, and does without it
		ad = nil
	}
	if op == "encrypt" {
		return data(map[string]any{"ciphertext": k.seal(text("plaintext"), ad), "key_version": len(k.versions)})
	}
	s, _ := in["ciphertext"].(string)
	b, msg := k.open(s, ad)
	switch {
	case msg != "":
		return refuse(http.StatusBadRequest, msg)
	case op == "rewrap":
		return data(map[string]any{"ciphertext": k.seal(b, ad), "key_version": len(k.versions)})
	}
	return data(map[string]any{"plaintext": base64.StdEncoding.EncodeToString(b)})
}

func gcm(key []byte) cipher.AEAD {
	c, _ := aes.NewCipher(key)
	g, _ := cipher.NewGCMWithRandomNonce(c)
	return g
}

func (k *fakeKey) seal(b, ad []byte) string {
	n := len(k.versions)
	return fmt.Sprintf("vault:v%d:%s", n, base64.StdEncoding.EncodeToString(gcm(k.versions[n-1]).Seal(nil, nil, b, ad)))
}

func (k *fakeKey) open(s string, ad []byte) ([]byte, string) {
	rest, ok := strings.CutPrefix(s, "vault:v")
	if !ok {
		return nil, "invalid ciphertext: no prefix"
	}
	number, box, ok := strings.Cut(rest, ":")
	if !ok {
		return nil, "invalid ciphertext: wrong number of fields"
	}
	n, err := strconv.Atoi(number)
	switch {
	case err != nil:
		return nil, "invalid ciphertext: version number could not be decoded"
	case n > len(k.versions):
		return nil, "invalid ciphertext: version is too new"
	case n < k.min:
		return nil, "ciphertext or signature version is disallowed by policy (too old)"
	}
	raw, err := base64.StdEncoding.DecodeString(box)
	if err != nil {
		return nil, "invalid ciphertext: could not decode base64"
	}
	b, err := gcm(k.versions[n-1]).Open(nil, nil, raw, ad)
	if err != nil {
		return nil, "cipher: message authentication failed"
	}
	return b, ""
}
