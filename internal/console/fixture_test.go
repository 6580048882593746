package console_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/html"

	"sallyport.dev/internal/app"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/console"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

const (
	tenant   ident.Tenant = "acme"
	password string       = "correct horse battery"
	canary   string       = "canary-8c1f0e7ab35d49e2"
)

var setup = ident.Principal{Tenant: tenant, Kind: ident.System, ID: "setup", Name: "the set-up"}

// office is the real program over a system of the test's own, with the console
// in front of it.
type office struct {
	t       *testing.T
	app     *app.App
	dir     string // the server's data
	handler http.Handler
	passed  atomic.Int64                       // nanoseconds by which the clock is ahead
	created atomic.Int64                       // vendors that the system has made
	between atomic.Pointer[func(commit.Point)] // what happens between the steps of an attempt
}

// consoleOf is what the console of a running program is made of.
func consoleOf(a *app.App, tenant ident.Tenant, now func() time.Time, secure bool) console.Config {
	c := a.API().Config
	return console.Config{Tenant: tenant, Directory: a.Directory, Gate: a.Gate, Desk: a.Desk, Incidents: a.Incidents, Rotation: a.Rotation, Vault: a.Vault, Rail: a.Rail,
		Audit: c.Audit, Store: c.Store.(console.Store), Systems: a, Ask: a.QueryAudit, Now: now, Log: slog.New(slog.DiscardHandler), Secure: secure}
}

func open(t *testing.T) *office {
	t.Helper()
	return openWith(t, func(*app.Config) {})
}

// openWith is open with another configuration.
func openWith(t *testing.T, change func(*app.Config)) *office {
	t.Helper()
	dir := t.TempDir()
	o := &office{t: t, dir: filepath.Join(dir, "data")}
	var err error
	c := app.Config{Dir: o.dir, Listen: "127.0.0.1:0", Tenant: tenant, LogHandler: slog.DiscardHandler,
		Now: o.now, Seals: []kek.Seal{kek.NewKeyFile(filepath.Join(dir, "seal.key"))},
		Crash: func(_ intent.Intent, p commit.Point) {
			if f := o.between.Load(); f != nil {
				(*f)(p)
			}
		}}
	change(&c)
	o.app, err = app.New(t.Context(), c)
	o.must(err)
	o.must(o.app.Start(t.Context()))
	t.Cleanup(func() { o.must(o.app.Stop(context.Background())) })
	o.handler = console.New(consoleOf(o.app, tenant, o.now, false))
	return o
}

func (o *office) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) now() time.Time       { return time.Now().Add(time.Duration(o.passed.Load())) }
func (o *office) pass(d time.Duration) { o.passed.Add(int64(d)) }

// erp is the system's document.
const erp = `{"openapi":"3.0.3","info":{"title":"ERP","version":"1"},"paths":{"/vendors":{"post":{"operationId":"createVendor",
	"requestBody":{"required":true,"content":{"application/json":{"schema":{"type":"object","properties":{"name":{"type":"string"},"note":{"type":"string"}},"required":["name"]}}}},
	"responses":{"201":{"description":"made","content":{"application/json":{"schema":{"type":"object"}}}}}}}}}`

// furnish applies a system, two Missions and the Team finance with the people
// named, or somebody else. The Mission "onboarding" has a form and a model that never answers,
// "by-hand" is for Workers outside.
func (o *office) furnish(members ...string) {
	o.t.Helper()
	if members == nil {
		o.hire("fin", ident.Approver)
		members = []string{"fin"}
	}
	system := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == "/vendors" {
			o.created.Add(1)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"id":"V-1"}`)
			return
		}
		w.WriteHeader(http.StatusTeapot)
	}))
	o.t.Cleanup(system.Close)
	for _, name := range []string{"erp", "model"} {
		_, err := o.app.Vault.Set(o.t.Context(), vault.Write{Tenant: tenant, Name: name, Actor: setup, Fields: map[string][]byte{"token": []byte(canary + name)}})
		o.must(err)
	}
	head := func(k resource.Kind, name string) resource.Head {
		return resource.Head{APIVersion: resource.APIVersion, Kind: k, Name: name}
	}
	net := resource.Network{AllowLoopbackHTTP: true}
	auth := func(secret string) resource.Auth { return resource.Auth{Scheme: resource.SchemeBearer, Secret: secret} }
	rules := []resource.DecisionRule{{Connection: "erp", Team: "finance"}}
	_, err := o.app.Apply(o.t.Context(), setup, []resource.Resource{
		&resource.Team{Head: head(resource.KindTeam, "finance"), Members: members},
		&resource.Integration{Head: head(resource.KindIntegration, "erp"), HTTP: &resource.HTTP{BaseURL: system.URL, OpenAPI: json.RawMessage(erp), OpenAPIFile: "erp.json", Network: net}},
		&resource.Integration{Head: head(resource.KindIntegration, "model"), Model: &resource.Model{Provider: "openai", BaseURL: system.URL, Model: "m", Network: net}},
		&resource.Connection{Head: head(resource.KindConnection, "erp"), Integration: "erp", Tools: []string{"createVendor"}, Auth: auth("erp")},
		&resource.Connection{Head: head(resource.KindConnection, "model"), Integration: "model", Tools: []string{"complete"}, Auth: auth("model")},
		&resource.Mission{Head: head(resource.KindMission, "by-hand"), Goal: "create a vendor", Connections: []string{"erp"}, Decisions: rules},
		&resource.Mission{Head: head(resource.KindMission, "onboarding"), Goal: "create a vendor", Model: "model", Connections: []string{"erp", "model"}, Decisions: rules, Form: []resource.Field{
			{Name: "name", Label: "Registered name", Required: true, MaxLen: 20},
			{Name: "country", Type: "select", Options: []string{"DE", "FR"}},
			{Name: "amount", Type: "number"},
			{Name: "contact", Type: "email", Help: "who takes orders"},
			{Name: "since", Type: "date"},
			{Name: "notes", Type: "textarea"},
			{Name: "code", Pattern: "[A-Z]{2}"},
		}},
	}, false, false)
	o.must(err)
}

// person is somebody with a browser.
type person struct {
	o      *office
	acc    identity.Account
	factor identity.Enrolment
	cookie string
}

// hire makes an account. A person signs in with enter.
func (o *office) hire(name string, roles ...ident.Role) *person {
	o.t.Helper()
	a, e, err := o.app.Directory.CreateAccount(o.t.Context(), setup, identity.NewAccount{Tenant: tenant, Name: name, Roles: roles, Password: password}, o.now())
	o.must(err)
	return &person{o: o, acc: a, factor: e}
}

// code is the next one that the authenticator shows.
func (p *person) code() string {
	p.o.t.Helper()
	p.o.pass(30 * time.Second)
	c, err := identity.Code(p.factor.Secret, p.factor.Alg, p.o.now())
	p.o.must(err)
	return c
}

// enter signs in on the page.
func (p *person) enter() *person {
	p.o.t.Helper()
	if a := p.post("/signin", url.Values{"name": {p.acc.Name}, "password": {password}, "code": {p.code()}}); a.status != http.StatusSeeOther {
		p.o.t.Fatalf("signing in answers %d", a.status)
	}
	return p
}

// answer is what a page answered.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

func (p *person) get(path string) answer { return p.send(http.MethodGet, path, nil, nil) }

func (p *person) post(path string, form url.Values) answer {
	return p.send(http.MethodPost, path, form, map[string]string{"Sec-Fetch-Site": "same-origin"})
}

func (p *person) send(method, path string, form url.Values, header map[string]string) answer {
	p.o.t.Helper()
	r := httptest.NewRequestWithContext(p.o.t.Context(), method, "http://console.example"+path, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	if p.cookie != "" {
		r.AddCookie(&http.Cookie{Name: "sallyport", Value: p.cookie})
	}
	w := httptest.NewRecorder()
	p.o.handler.ServeHTTP(w, r)
	for _, k := range w.Result().Cookies() {
		p.cookie = k.Value
	}
	return answer{p.o.t, w.Code, w.Header(), w.Body.String()}
}

// want fails unless the page has the status and all of the texts, unescaped.
func (a answer) want(status int, texts ...string) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Errorf("the status is %d, want %d: %s", a.status, status, a.words())
	}
	for _, s := range texts {
		if !strings.Contains(a.words(), s) {
			a.t.Errorf("the page does not say %q: %s", s, a.words())
		}
	}
	return a
}

func (a answer) wantNot(texts ...string) answer {
	a.t.Helper()
	for _, s := range texts {
		if strings.Contains(a.body, s) {
			a.t.Errorf("the page has %q", s)
		}
	}
	return a
}

// words is the page's text with single spaces.
func (a answer) words() string {
	var b strings.Builder
	for n := range parse(a.t, a.body).Descendants() {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// value is that of the form's element of a name.
func (a answer) value(name string) string {
	a.t.Helper()
	for n := range parse(a.t, a.body).Descendants() {
		if attribute(n, "name") == name {
			return attribute(n, "value")
		}
	}
	a.t.Fatalf("the page has no field %q: %s", name, a.words())
	return ""
}

func parse(t *testing.T, s string) *html.Node {
	t.Helper()
	n, err := html.Parse(strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// park has a Worker outside propose a write that waits for finance.
func (o *office) park(starter *person, args, reason string) decision.Item {
	o.t.Helper()
	r, err := o.app.Gate.StartRun(o.t.Context(), starter.acc.Principal(), gate.Start{Mission: "by-hand", Via: "api", Outside: true})
	o.must(err)
	worker := ident.Principal{Tenant: tenant, Kind: ident.Run, ID: r.ID, Name: r.ID}
	_, _ = o.app.Gate.Admit(o.t.Context(), worker, intent.Proposal{Connection: "erp", Tool: "createVendor", Args: json.RawMessage(args), Reason: reason}) // Pending
	items, err := o.app.Desk.Queue(o.t.Context(), tenant, decision.Filter{Run: r.ID})
	o.must(err)
	if len(items) != 1 {
		o.t.Fatalf("%d Decisions wait, want 1", len(items))
	}
	return items[0]
}

// until waits for an Observation of a kind on a Run's rail.
func (o *office) until(run string, kind explain.Kind) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), 20*time.Second)
	defer cancel()
	if err := o.app.Rail.Follow(ctx, tenant, run, 0, func(x explain.Observation) bool { return x.Kind != kind }); err != nil {
		o.t.Fatalf("no %s on the rail: %v", kind, err)
	}
}
