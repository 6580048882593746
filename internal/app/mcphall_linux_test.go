package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/client"
	"sallyport.dev/internal/api"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/mcpgateway"
	"sallyport.dev/internal/mcptest"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// It must see inside: the door's durations and names are changed, and the store is
// asked what became of calls.

// hall is the whole program with MCP servers behind it and agents before it, over
// HTTP at both ends.
type hall struct {
	*App
	t      testing.TB
	dir    string
	tune   func(*mcpgateway.Config)
	plus   atomic.Int64 // how far the clock was moved on
	log    safeBuffer
	people map[string]identity.Enrolment
	mu     sync.Mutex // one person types at a time
}

// hallBuilder sets everything up.
var hallBuilder = ident.Principal{Tenant: "acme", Kind: ident.Person, ID: "acc_b", Name: "bo", Roles: []ident.Role{ident.Builder}}

// newHall starts it, with a requester, and two approvers in the Team finance.
func newHall(t testing.TB, tune func(*mcpgateway.Config)) *hall {
	t.Helper()
	h := &hall{t: t, dir: t.TempDir(), tune: tune, people: map[string]identity.Enrolment{}}
	h.begin()
	for name, role := range map[string]ident.Role{"rita": ident.Requester, "fay": ident.Approver, "ann": ident.Approver} {
		_, e, err := h.Directory.CreateAccount(t.Context(), setter, identity.NewAccount{Tenant: "acme", Name: name, Roles: []ident.Role{role}, Password: adminPassword}, h.clock())
		h.must(err)
		h.people[name] = e
	}
	t.Cleanup(func() {
		h.end()
		if t.Failed() {
			t.Log(h.log.String())
		}
	})
	return h
}

func (h *hall) clock() time.Time { return time.Now().Add(time.Duration(h.plus.Load())) }

// programs are those that real servers run in, where there are some.
func (h *hall) programs() []string {
	if os.Getenv(mcptest.Variable) == "" {
		return nil
	}
	return []string{mcptest.Installed(h.t).Node(h.t)}
}

func (h *hall) begin() {
	h.t.Helper()
	var err error
	h.App, err = New(h.t.Context(), Config{Dir: filepath.Join(h.dir, "data"), Listen: "127.0.0.1:0", Tenant: "acme", LogHandler: slog.NewTextHandler(&h.log, nil), Now: h.clock, Programs: h.programs(),
		Seals: []kek.Seal{kek.NewKeyFile(filepath.Join(h.dir, "seal.key"))}})
	h.must(err)
	h.tuneMCP = h.tune
	h.must(h.Start(h.t.Context()))
}

func (h *hall) end() {
	if h.App == nil {
		return
	}
	a := h.App
	h.App = nil
	if err := a.Stop(context.WithoutCancel(h.t.Context())); err != nil {
		h.t.Error(err)
	}
}

// restart stops the program and starts it on the same data.
func (h *hall) restart() {
	h.t.Helper()
	h.end()
	h.begin()
}

func (h *hall) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// known stores a Secret.
func (h *hall) known(name, value string) {
	h.t.Helper()
	_, err := h.Vault.Set(h.t.Context(), vault.Write{Tenant: "acme", Name: name, AnyOrigin: true, Actor: setter, Fields: map[string][]byte{"token": []byte(value)}})
	h.must(err)
}

// behind puts an MCP server behind the door: asked what it has, pinned, and allowed
// in the Mission "use" with all its tools, reads as said and the rest writes that
// finance approves. With unattended nobody is asked.
func (h *hall) behind(name string, m resource.MCP, auth resource.Auth, unattended bool, reads ...string) {
	h.t.Helper()
	in := &resource.Integration{Head: headOf(resource.KindIntegration, name), MCP: &m}
	conn := &resource.Connection{Head: headOf(resource.KindConnection, name), Integration: name, Tools: []string{}, Auth: auth}
	_, err := h.Apply(h.t.Context(), hallBuilder, []resource.Resource{in, conn}, false, false)
	h.must(err)
	s, err := h.Survey(h.t.Context(), hallBuilder, name)
	if err != nil {
		h.t.Fatalf("%s can't be asked: %v\n%v", name, err, s.Last)
	}
	m.Definitions = s.Document
	next, all := *in, *conn
	next.MCP = &m
	_, err = h.Apply(h.t.Context(), hallBuilder, []resource.Resource{&next}, false, false)
	h.must(err)
	systems, err := h.Systems("acme")
	h.must(err)
	m.Tools = map[string]resource.ToolRule{}
	for _, sys := range systems {
		if sys.Name != name {
			continue
		}
		for _, why := range sys.Skipped {
			h.t.Logf("not offered by %s: %s", name, why)
		}
		for _, tool := range sys.Tools {
			all.Tools = append(all.Tools, tool.Name)
			if tool.Effect == resource.Write && (slices.Equal(reads, everyTool) || slices.Contains(reads, tool.Name)) {
				m.Tools[tool.Name] = resource.ToolRule{Effect: resource.Read}
			}
		}
	}
	rule := `@approvers("finance:1") forbid (principal, action == Action::"call_unattended", resource) when { resource.effect == "write" };`
	if unattended {
		rule = `permit (principal, action in [Action::"call", Action::"call_unattended"], resource);`
	}
	_, err = h.Apply(h.t.Context(), hallBuilder, []resource.Resource{&next, &all,
		&resource.Team{Head: headOf(resource.KindTeam, "finance"), Members: []string{"fay", "ann"}},
		&resource.Mission{Head: headOf(resource.KindMission, "use"), Goal: "Use what there is.", Connections: []string{name}, Limits: resource.Limits{Calls: 100_000, Parked: 100}},
		&resource.Policy{Head: headOf(resource.KindPolicy, name+"-rule"), Integration: name, Cedar: rule},
	}, false, false)
	h.must(err)
}

// everyTool, as the reads, says that all are.
var everyTool = []string{"*"}

// signedIn is a client of the API as somebody, and a code that they have not used.
func (h *hall) signedIn(name string) (*client.Client, string) {
	h.t.Helper()
	h.plus.Add(int64(30 * time.Second)) // a code is good once
	code, err := identity.Code(h.people[name].Secret, h.people[name].Alg, h.clock())
	h.must(err)
	_, token, err := h.Directory.SignIn(h.t.Context(), "acme", name, adminPassword, code, h.clock())
	h.must(err)
	h.plus.Add(int64(30 * time.Second))
	code, err = identity.Code(h.people[name].Secret, h.people[name].Alg, h.clock())
	h.must(err)
	c, err := client.New("http://"+h.Addr(), client.Token(token))
	h.must(err)
	return c, code
}

// agent starts a Run for an outside Worker and is its client.
func (h *hall) agent() mcptest.Client {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	c, _ := h.signedIn("rita")
	var out struct{ Token string }
	h.must(c.Call(h.t.Context(), http.MethodPost, "/v1/missions/use/runs", map[string]any{"input": map[string]any{}, "outside": true}, &out))
	return mcptest.Client{URL: "http://" + h.Addr() + "/mcp", Token: out.Token, HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 128}}}
}

// waiting gives what waits in the queue, once there are n.
func (h *hall) waiting(n int) []decision.Item {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	c, _ := h.signedIn("fay")
	for end := time.Now().Add(time.Minute); ; {
		var q api.Queue
		h.must(c.Call(h.t.Context(), http.MethodGet, "/v1/decisions?limit=200", nil, &q))
		if len(q.Items) >= n {
			return q.Items
		}
		if time.Now().After(end) {
			h.t.Fatalf("%d wait, not %d", len(q.Items), n)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// decide gives a verdict by the API, with a person's factor.
func (h *hall) decide(who string, it decision.Item, verdict string) error {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	c, code := h.signedIn(who)
	return c.Call(h.t.Context(), http.MethodPost, "/v1/decisions/"+it.Decision.ID, map[string]any{"verdict": verdict, "digest": it.Decision.Digest,
		"reason": "it was looked into", "password": adminPassword, "code": code}, nil)
}

// tool calls one, and has it answered.
func (h *hall) tool(c mcptest.Client, name string, args any) mcptest.Answer {
	h.t.Helper()
	b, err := json.Marshal(args)
	h.must(err)
	a, err := c.Tool(h.t.Context(), name, string(b))
	h.must(err)
	if a.Error != nil {
		h.t.Fatalf("%s: %+v", name, a.Error)
	}
	return a
}

// became waits until a call's Intent is in a state.
func (h *hall) became(id string, s intent.State) {
	h.t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		it, err := h.store.Intent(h.t.Context(), "acme", id)
		h.must(err)
		if it.State == s {
			return
		}
		if time.Now().After(end) {
			h.t.Fatalf("%s is %s, not %s", id, it.State, s)
		}
		<-time.After(10 * time.Millisecond)
	}
}

var noAuth = resource.Auth{Scheme: resource.SchemeNone}

var loopback = resource.Network{AllowLoopbackHTTP: true}
