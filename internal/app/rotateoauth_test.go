package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/resource"
)

// It must see inside: its clients are no requests.

// issuing is an authorization server with the API that it protects. A client's
// secrets are made and taken away; the tokens that were got with one end with it.
type issuing struct {
	*httptest.Server
	ends    bool // a new secret ends the others at once
	life    int  // of a token, in seconds
	mu      sync.Mutex
	secrets map[string]string // to id
	tokens  map[string]string // to the secret that it was got with
	all     []string          // every secret and token that there was
	tried   map[string]bool   // tokens that nobody got: the answer to a rotator's try
	late    int               // calls with a token of a secret that was taken away
	n, used int
}

const issuingFirst = "cs-first-Zq83mPw0vXr5"

func newIssuing(t *testing.T, ends bool, life int) *issuing {
	s := &issuing{ends: ends, life: life, secrets: map[string]string{issuingFirst: "c-0"}, tokens: map[string]string{}, tried: map[string]bool{}, all: []string{issuingFirst}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *issuing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	id, password, _ := r.BasicAuth()
	switch {
	case strings.HasPrefix(r.URL.Path, "/.well-known/oauth-authorization-server"):
		fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":%q,"token_endpoint_auth_methods_supported":["client_secret_basic"]}`, s.URL, s.URL+"/token")
	case strings.HasPrefix(r.URL.Path, "/.well-known/"):
		w.WriteHeader(http.StatusNotFound)
	case strings.HasPrefix(r.URL.Path, "/secrets"):
		s.manage(w, r)
	case r.URL.Path == "/token" || r.URL.Path == "/me":
		if id != "client-7" || s.secrets[password] == "" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"invalid_client"}`)
			return
		}
		s.n++
		token := fmt.Sprintf("at-%d-Kp47vLm2wQz9", s.n)
		s.tokens[token], s.all, s.tried[token] = password, append(s.all, token), r.URL.Path == "/me"
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer","expires_in":%d}`, token, s.life)
	default:
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if of, ok := s.tokens[token]; !ok || s.secrets[of] == "" {
			s.late++
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.rpc(w, r, token)
	}
}

const issuingTools = `{"name":"change","description":"Changes.","inputSchema":{"type":"object","properties":{"n":{"type":"string"}}}},` +
	`{"name":"look","description":"Looks.","inputSchema":{"type":"object","properties":{"n":{"type":"string"}}}}`

// rpc is the MCP server. It repeats the token, which nobody may see.
func (s *issuing) rpc(w http.ResponseWriter, r *http.Request, token string) {
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
	}
	_ = json.NewDecoder(r.Body).Decode(&m)
	result := `{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"crm","version":"1"}}}`
	switch m.Method {
	case "tools/list":
		result = `{"resultType":"complete","ttlMs":0,"tools":[` + issuingTools + `]}`
	case "tools/call":
		s.used++
		result = fmt.Sprintf(`{"resultType":"complete","content":[{"type":"text","text":%q}]}`, "with "+token)
	}
	_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"result":`+result+`}`)
}

func (s *issuing) manage(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Admin") != soakAdmin {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if r.Method == http.MethodDelete {
		for secret, id := range s.secrets {
			if "/secrets/"+id == r.URL.Path {
				delete(s.secrets, secret)
			}
		}
		return
	}
	if s.ends {
		clear(s.secrets)
	}
	s.n++
	secret, id := fmt.Sprintf("cs-%d-Zq83mPw0vXr5", s.n), fmt.Sprint("c-", s.n)
	s.secrets[secret], s.all = id, append(s.all, secret)
	fmt.Fprintf(w, `{"id":%q,"value":%q}`, id, secret)
}

// serve stores the client, its Connection and its policy.
func (s *soakApp) serve(i *issuing) {
	s.t.Helper()
	s.secret("crm", i.URL, map[string]string{"client_id": "client-7", "client_secret": issuingFirst})
	s.secret("crm-admin", i.URL, map[string]string{"token": soakAdmin})
	local := resource.Network{AllowLoopbackHTTP: true}
	_, err := s.Apply(s.t.Context(), soakAs, []resource.Resource{
		&resource.Integration{Head: headOf(resource.KindIntegration, "crm"), MCP: &resource.MCP{URL: i.URL + "/mcp", Network: local,
			Tools:       map[string]resource.ToolRule{"look": {Effect: resource.Read}, "change": {Effect: resource.Write, Errors: resource.Definite}},
			Definitions: json.RawMessage(`{"protocolVersion":"2026-07-28","server":{"name":"crm","version":"1"},"tools":[` + issuingTools + `],"resources":false,"prompts":false}`)}},
		&resource.Connection{Head: headOf(resource.KindConnection, "crm"), Integration: "crm", Tools: []string{"look", "change"},
			Auth: resource.Auth{Scheme: resource.SchemeOAuthClient, Secret: "crm", Issuer: i.URL}},
		&resource.Mission{Head: headOf(resource.KindMission, "soak"), Goal: "call", Connections: []string{"crm"}, Limits: resource.Limits{Calls: 100_000}},
		&resource.Policy{Head: headOf(resource.KindPolicy, "free"), Integration: "crm", Cedar: `@id("free") permit (principal, action, resource);`},
	}, false, false)
	s.must(err)
	h := &resource.HTTPRotator{BaseURL: i.URL, Network: local, Auth: resource.Auth{Scheme: resource.SchemeHeader, Name: "X-Admin"}, TryAuth: resource.Auth{Scheme: resource.SchemeBasic},
		Create: resource.HTTPStep{Method: "POST", Path: "/secrets"}, Try: resource.HTTPStep{Method: "GET", Path: "/me"},
		Delete: &resource.HTTPStep{Method: "DELETE", Path: "/secrets/{id}"}, Fields: map[string]string{"client_secret": "/value"}, ID: "/id", CurrentID: "c-0", Ends: i.ends}
	s.policy("crm", resource.Rotation{Grace: resource.Duration(200 * time.Millisecond), Rotator: resource.Rotator{Kind: resource.RotatorHTTP, Admin: "crm-admin", HTTP: h}})
}

// A token that the vault got with a client's secret belongs to that version: it is
// used no more after the switch, and no call fails for it. Secrets and tokens of both
// versions are taken out of answers.
func TestATokenEndsWithTheClientsSecretThatItWasGotWith(t *testing.T) {
	for when, c := range map[string]struct {
		ends bool
		life int
	}{
		"refused at once":                        {true, 3600},
		"refused at once, with tokens of no age": {true, 1},
		"after a grace":                          {false, 3600},
	} {
		t.Run(when, func(t *testing.T) {
			s, i := newSoak(t), newIssuing(t, c.ends, c.life)
			s.serve(i)
			n := soakRotations()
			s.during(s.run(), func() { s.rotate("crm", n) })
			rows, err := s.store.Audit().List(t.Context(), "acme", audit.Filter{Type: audit.IntentReopened}, 0, 1_000_000)
			s.must(err)
			i.mu.Lock()
			defer i.mu.Unlock()
			t.Logf("%d calls by %d clients, %d rotations, %d answers of 401, %d calls made again, %d secrets and tokens", s.calls.Load(), soakClients, n, i.late, len(rows), len(i.all))
			if !c.ends && i.late > 0 {
				t.Errorf("%d calls were made with a token after its secret had ended", i.late)
			}
			if len(i.secrets) != 1 || i.used == 0 {
				t.Errorf("the server has %d secrets; %d calls", len(i.secrets), i.used)
			}
			seen := s.Vault.Scrub("acme")
			for _, value := range i.all {
				if !i.tried[value] && seen.Contains([]byte(value)) == nil {
					t.Errorf("%s is taken out of no answer", value)
				}
			}
			s.hidden(i)
		})
	}
}

// hidden looks for tokens in what Workers were told.
func (s *soakApp) hidden(i *issuing) {
	s.t.Helper()
	runs, err := s.store.Runs(s.t.Context(), "acme", "", 100)
	s.must(err)
	looked := 0
	for _, r := range runs {
		its, err := s.store.Intents(s.t.Context(), "acme", r.ID)
		s.must(err)
		for _, it := range its[max(0, len(its)-50):] {
			b, err := json.Marshal(it)
			s.must(err)
			if looked++; strings.Contains(string(b), "Kp47vLm2wQz9") || strings.Contains(string(b), "Zq83mPw0") {
				s.t.Fatalf("a Worker is told a credential: %s", b)
			}
		}
	}
	if looked == 0 {
		s.t.Error("nothing was looked at")
	}
}
