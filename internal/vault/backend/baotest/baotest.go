// Package baotest is a Vault server for tests, with the parts that make dynamic
// credentials: tokens with children and accessors, leases, a database engine. It
// answers as Vault 1.21 does, by its source: statuses, what an empty answer means,
// what is revoked at once and what later. OpenBao 2.4 does the same: the real tests of
// package vaultlease hold both to it.
package baotest

import (
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// RoleID is the AppRole's.
const RoleID = "role-of-the-fake"

// Role is one of the database engine.
type Role struct {
	TTL, MaxTTL time.Duration
	Fixed       bool // its leases can't be renewed
}

// Vault is the fake. Its fields are set before it is asked; its methods are safe for
// concurrent use.
type Vault struct {
	URL      string
	CAFile   string // of its certificate
	SecretID string // of the AppRole
	// Namespace is where all of it is, as in OpenBao; in any other there is nothing.
	Namespace string
	Now       func() time.Time
	Roles     map[string]Role
	// TokenTTL and TokenMax are of tokens that a sign-in gives.
	TokenTTL, TokenMax time.Duration
	// Lost is a path whose answer is lost, and after which the server can't be reached.
	Lost string
	// Down is a path of the engine whose database takes no revocation.
	Down string
	// Before is called with each request before it is answered; After, with the answer
	// before it is sent, which it can change. nil: nothing.
	Before func(path string)
	After  func(path string, answer map[string]any)

	mu     sync.Mutex
	tokens map[string]*token // by the token
	leases map[string]*lease // by id
	users  map[string]string // of the database: passwords
	counts map[string]int    // of requests, by path
	denied map[string]bool   // paths that the policy doesn't allow
	status int               // of every answer, where it is set
	dbDown bool
}

type token struct {
	accessor, parent, meta string
	made, until, most      time.Time // zero: it doesn't end
	ttl                    time.Duration
}

type lease struct {
	token, user string
	role        Role
	made, until time.Time
	revoked     bool // asked for, and the database was down
}

// Start starts one.
func Start(t testing.TB) *Vault {
	t.Helper()
	v := &Vault{SecretID: rand.Text(), Now: time.Now, Roles: map[string]Role{"app": {TTL: time.Hour, MaxTTL: 24 * time.Hour}}, TokenTTL: time.Hour, TokenMax: 30 * 24 * time.Hour,
		tokens: map[string]*token{}, leases: map[string]*lease{}, users: map[string]string{}, counts: map[string]int{}, denied: map[string]bool{}}
	s := httptest.NewTLSServer(v)
	t.Cleanup(s.Close)
	v.URL, v.CAFile = s.URL, filepath.Join(t.TempDir(), "vault-ca.pem")
	if err := os.WriteFile(v.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return v
}

// Users are those that the database has, sorted.
func (v *Vault) Users() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.expire()
	return slices.Sorted(maps.Keys(v.users))
}

// Knows says whether the database takes a user's password.
func (v *Vault) Knows(user, password string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.expire()
	return password != "" && v.users[user] == password
}

// Passwords are all that work.
func (v *Vault) Passwords() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.expire()
	return slices.Sorted(maps.Values(v.users))
}

// Children are how many tokens live that were made from others.
func (v *Vault) Children() (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.expire()
	for _, t := range v.tokens {
		if t.parent != "" {
			n++
		}
	}
	return n
}

// Count is how often a path was asked; one that ends with a slash, all below it.
func (v *Vault) Count(path string) (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for p, k := range v.counts {
		if p == path || strings.HasSuffix(path, "/") && strings.HasPrefix(p, path) {
			n += k
		}
	}
	return n
}

// Deny takes a path out of the policy.
func (v *Vault) Deny(path string) { v.mu.Lock(); v.denied[path] = true; v.mu.Unlock() }

// Answer has every request answered with a status; 0: as usual.
func (v *Vault) Answer(status int) { v.mu.Lock(); v.status = status; v.mu.Unlock() }

// DatabaseDown says that the engine does not reach its database.
func (v *Vault) DatabaseDown(down bool) { v.mu.Lock(); v.dbDown = down; v.mu.Unlock() }

// RevokeAll is an operator's hand: all leases end, and no token does.
func (v *Vault) RevokeAll() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for id := range v.leases {
		v.end(id)
	}
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

// ServeHTTP answers as the server does.
func (v *Vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	if v.Before != nil {
		v.Before(path)
	}
	var in map[string]any
	_ = json.NewDecoder(r.Body).Decode(&in)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.expire()
	v.counts[path]++
	if v.status != 0 {
		refuse(w, v.status, "as the test says")
		return
	}
	if strings.Trim(r.Header.Get("X-Vault-Namespace"), "/") != v.Namespace {
		refuse(w, 404, "namespace not found")
		return
	}
	if path == "auth/approle/login" {
		if in["role_id"] != RoleID || in["secret_id"] != v.SecretID {
			refuse(w, 400, "invalid role or secret ID")
			return
		}
		v.answer(w, path, map[string]any{"auth": v.make("", v.TokenTTL, v.TokenMax, "")})
		return
	}
	name := r.Header.Get("X-Vault-Token")
	if v.tokens[name] == nil || v.denied[path] {
		refuse(w, 403, "1 error occurred:\n\t* permission denied\n\n")
		return
	}
	switch {
	case path == "auth/token/create" || strings.HasPrefix(path, "auth/token/create/"):
		ttl, _ := time.ParseDuration(word(in, "ttl"))
		most, _ := time.ParseDuration(word(in, "explicit_max_ttl"))
		meta, _ := in["meta"].(map[string]any)
		v.answer(w, path, map[string]any{"auth": v.make(name, ttl, most, word(meta, "sallyport"))})
	case path == "auth/token/renew-self":
		v.renewSelf(w, path, name)
	case path == "auth/token/lookup-self":
		say(w, 200, map[string]any{"data": map[string]any{"ttl": v.left(v.tokens[name]), "renewable": true}})
	case path == "auth/token/revoke-self":
		v.drop(name)
		w.WriteHeader(204)
	case path == "sys/internal/ui/mounts/database":
		say(w, 200, map[string]any{"data": map[string]any{"type": "database", "options": nil, "path": "database/"}})
	case strings.HasPrefix(path, "sys/internal/ui/mounts/"):
		refuse(w, 403, "preflight capability check returned 403")
	case path == "auth/token/revoke-accessor":
		for id, t := range v.tokens {
			if t.accessor == word(in, "accessor") {
				v.drop(id)
				w.WriteHeader(204)
				return
			}
		}
		say(w, 200, map[string]any{"warnings": []string{"No token found with this accessor"}})
	case path == "sys/leases/renew":
		v.renew(w, path, word(in, "lease_id"))
	case path == "sys/leases/lookup":
		v.look(w, path, word(in, "lease_id"))
	case path == "sys/leases/revoke":
		if v.leases[word(in, "lease_id")] != nil && !v.end(word(in, "lease_id")) {
			refuse(w, 400, "failed to revoke entry: resp: (*logical.Response)(nil) err: dial tcp: connection refused")
			return
		}
		w.WriteHeader(204)
	case strings.HasPrefix(path, "database/creds/"):
		v.creds(w, path, name)
	case path == "database/static-creds/app":
		v.answer(w, path, map[string]any{"lease_id": "", "renewable": false, "lease_duration": 0, "data": map[string]any{"username": "static", "password": "static-" + v.SecretID,
			"last_vault_rotation": v.Now().Format(time.RFC3339Nano), "rotation_period": 86400, "ttl": 86000}})
	default:
		refuse(w, 404, "no handler for route \""+path+"\". route entry not found.")
	}
}

// inside is an id as it is in a namespace, which has an id of its own.
func (v *Vault) inside(id string) string {
	if v.Namespace != "" {
		id += ".aBc123"
	}
	return id
}

func word(in map[string]any, name string) string {
	s, _ := in[name].(string)
	return s
}

func (v *Vault) answer(w http.ResponseWriter, path string, body map[string]any) {
	if v.After != nil {
		v.After(path, body)
	}
	if path == v.Lost {
		clear(body)
		v.status = 503
	}
	say(w, 200, body)
}

// make makes a token.
func (v *Vault) make(parent string, ttl, most time.Duration, meta string) map[string]any {
	t := &token{accessor: v.inside(rand.Text()), parent: parent, ttl: ttl, made: v.Now(), until: v.Now().Add(ttl), meta: meta}
	if most > 0 {
		if t.most = v.Now().Add(most); t.until.After(t.most) {
			t.until = t.most
		}
	}
	name := "hvs." + rand.Text()
	v.tokens[name] = t
	return v.auth(name, t)
}

func (v *Vault) auth(name string, t *token) map[string]any {
	return map[string]any{"client_token": name, "accessor": t.accessor, "lease_duration": v.left(t), "renewable": true, "token_type": "service", "orphan": t.parent == ""}
}

func (v *Vault) left(t *token) int { return int(t.until.Sub(v.Now()).Seconds()) }

func (v *Vault) renewSelf(w http.ResponseWriter, path, name string) {
	t := v.tokens[name]
	t.until = v.Now().Add(t.ttl)
	if !t.most.IsZero() && t.until.After(t.most) {
		t.until = t.most
	}
	v.answer(w, path, map[string]any{"auth": v.auth(name, t)})
}

// creds makes a user.
func (v *Vault) creds(w http.ResponseWriter, path, by string) {
	name := strings.TrimPrefix(path, "database/creds/")
	role, ok := v.Roles[name]
	switch {
	case !ok:
		refuse(w, 400, "unknown role: "+name)
		return
	case v.dbDown:
		refuse(w, 500, "1 error occurred:\n\t* dial tcp: connection refused\n\n")
		return
	}
	l := &lease{token: by, role: role, user: "v-token-sal-" + name + "-" + strings.ToLower(rand.Text()[:8]), made: v.Now(), until: v.Now().Add(role.TTL)}
	id, password := path+"/"+v.inside(rand.Text()), "A1a-"+rand.Text()
	v.leases[id], v.users[l.user] = l, password
	v.answer(w, path, map[string]any{"request_id": "x", "lease_id": id, "renewable": !role.Fixed, "lease_duration": int(role.TTL.Seconds()),
		"data": map[string]any{"username": l.user, "password": password}, "wrap_info": nil, "warnings": nil, "auth": nil})
}

func (v *Vault) renew(w http.ResponseWriter, path, id string) {
	l := v.leases[id]
	if l == nil || l.revoked {
		refuse(w, 400, "lease not found")
		return
	}
	switch {
	case l.role.Fixed:
		refuse(w, 400, "lease is not renewable")
		return
	case v.dbDown:
		refuse(w, 400, "failed to renew entry: resp: (*logical.Response)(nil) err: dial tcp: connection refused")
		return
	}
	l.until = v.Now().Add(l.role.TTL)
	if end := l.made.Add(l.role.MaxTTL); l.until.After(end) {
		l.until = end
	}
	v.answer(w, path, map[string]any{"lease_id": id, "renewable": true, "lease_duration": int(l.until.Sub(v.Now()).Seconds()), "data": nil})
}

func (v *Vault) look(w http.ResponseWriter, path, id string) {
	l := v.leases[id]
	if l == nil {
		refuse(w, 400, "invalid lease")
		return
	}
	v.answer(w, path, map[string]any{"data": map[string]any{"id": id, "ttl": int(l.until.Sub(v.Now()).Seconds()), "renewable": !l.role.Fixed}})
}

// drop ends a token, its children, and what was made with them.
func (v *Vault) drop(name string) {
	delete(v.tokens, name)
	for id, l := range v.leases {
		if l.token == name {
			v.end(id)
		}
	}
	for id, t := range v.tokens {
		if t.parent == name {
			v.drop(id)
		}
	}
}

// end revokes a lease; false: the database doesn't answer, and it is tried again.
func (v *Vault) end(id string) bool {
	l := v.leases[id]
	if v.dbDown || v.Down != "" && strings.HasPrefix(id, v.Down+"/") {
		l.revoked = true
		return false
	}
	delete(v.leases, id)
	delete(v.users, l.user)
	return true
}

// expire ends what has come to its end.
func (v *Vault) expire() {
	now := v.Now()
	for id, t := range v.tokens {
		if !t.until.IsZero() && !now.Before(t.until) {
			v.drop(id)
		}
	}
	for id, l := range v.leases {
		if l.revoked || !now.Before(l.until) {
			v.end(id)
		}
	}
}
