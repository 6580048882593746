package gate_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

const (
	acme   = ident.Tenant("acme")
	canary = "cnry-8k30Vf6NzT1w94-gate"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// world is a gate over the real store and the real vault, and a system that the
// test plays. Every part can be made to fail.
type world struct {
	*gate.Gate
	t         *testing.T
	dir       string
	store     *sqlite.Store
	realVault *vault.Vault
	now       time.Time
	mission   *resource.Mission
	policies  []resource.Policy
	noPolicy  bool
	compiled  gate.World
	worldErr  error
	tools     map[string]connector.Tool
	ann       string // who may decide, by account id
	desk      *decision.Desk
	teams     map[string][]string // more of them
	outside   []*resource.Worker  // that are applied
	unlisted  []string            // of them, by the Mission
	owner     string              // of all of them, by account id
	counted   int                 // times that the store was told what was denied

	mu       sync.Mutex
	opened   int      // doors
	waited   int      // before the same call again
	arrived  []string // requests at the system: tool and body
	answer   func(tool, body string) connector.Answer
	broken   map[string]error // by the name of a store's method
	approved map[string]func(*decision.Decision)

	panics       bool // what reads answers
	inQuarantine map[string]bool
	looked       int // times that the vault was asked what is known
	beforeOpen   func()
	joins        bool // the system's requests put the arguments a and b together
}

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel() // most of a test's time is waiting for the disk
	w := &world{t: t, dir: t.TempDir(), now: noon, broken: map[string]error{}, approved: map[string]func(*decision.Decision){}, inQuarantine: map[string]bool{}}
	w.answer = func(string, string) connector.Answer {
		return connector.Answer{Outcome: connector.Done, Status: 200, Type: "application/json", Body: json.RawMessage(`{"items":[]}`)}
	}
	lookup := &resource.Lookup{Connection: "erp-read", Tool: "findVendors", Args: map[string]any{"reference": "$reference"}, Found: "/items"}
	w.tools = map[string]connector.Tool{
		"findVendors":  {Name: "findVendors", Effect: resource.Read, Digest: "d1"},
		"createVendor": {Name: "createVendor", Effect: resource.Write, Digest: "d2", Lookup: lookup},
		"dropVendor":   {Name: "dropVendor", Effect: resource.Write, Digest: "d3"},
		"complete":     {Name: "complete", Effect: resource.Read, Digest: "d4"},
	}
	w.mission = &resource.Mission{Head: head(resource.KindMission, "onboard"), Goal: "Do it.", Model: "model", Connections: []string{"erp-read", "erp-write"},
		Decisions: []resource.DecisionRule{{Connection: "erp-write", Team: "finance"}}}
	w.open()
	w.people()
	w.apply()
	return w
}

// open makes the parts over the data directory.
func (w *world) open() {
	w.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	v, err := vault.New(vault.Config{Tenant: acme, Now: w.clock, Log: quiet})
	w.must(err)
	seq, err := audit.NewSequencer("", v.AuditKey)
	w.must(err)
	w.store, err = sqlite.Open(w.t.Context(), filepath.Join(w.dir, "data"), seq, sqlite.Guard{Keys: v, Now: w.clock, Log: quiet})
	w.must(err)
	w.t.Cleanup(func() { _ = w.store.Close() })
	w.realVault = v
	w.unseal()
	for _, name := range []string{"erp-key", "model-key"} {
		_, err = v.Set(w.t.Context(), vault.Write{Tenant: acme, Name: name, Fields: map[string][]byte{"token": []byte(canary + "-" + name)},
			Actor: ident.Principal{Tenant: acme, Kind: ident.System, ID: "setup"}})
		w.must(err)
	}
	rail := explain.New(w.store, v.Scrub)
	w.desk, err = decision.NewDesk(decision.Config{Store: w.store, Papers: w.store, Facts: w.store, Involved: starters{w}, Hold: w.store.Hold, Now: w.clock, Wake: rail.Wake,
		Clean: func(_ ident.Tenant, s string) string { return s }, Known: func(ident.Tenant, ...[]byte) ([]string, error) { return nil, nil },
		Attribute: func(ctx context.Context, t ident.Tenant, ids []string) (map[string]decision.About, error) {
			return w.Attributes(ctx, t, ids)
		}})
	w.must(err)
	machine := commit.New(intents{w.store, w}, ident.New("proc"), w.clock, quiet)
	machine.Wait = func(context.Context, time.Duration) { w.waited++ }
	w.Gate = gate.New(gate.Config{
		Intents: intents{w.store, w}, Earlier: earlier{w.store, w}, Runs: runs{w.store, w}, Decisions: decisions{w.store, w}, Editors: w.desk, Edits: w.store, Vault: doors{v, w},
		Machine: machine, Rail: rail, Stops: w.store,
		World:     func(ident.Tenant) (gate.World, error) { return w.compiled, w.worldErr },
		Transport: func(*catalog.Match) http.RoundTripper { return line{w} },
		Now:       w.clock, Log: quiet,
		Workers: outsiders{w}, WorkerRuns: workerRuns{w.store, w},
	})
}

func (w *world) unseal() {
	w.t.Helper()
	w.must(w.realVault.Unseal(w.t.Context(), w.store, kek.NewKeyFile(filepath.Join(w.dir, "key"))))
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// people are ann, who is in the Team finance, for an hour when the story begins.
func (w *world) people() {
	w.t.Helper()
	r := identity.Record{Account: identity.Account{Tenant: acme, ID: ident.New("acc"), Name: "ann", DisplayName: "Ann", CreatedAt: w.now, Roles: []ident.Role{ident.Approver}},
		Password: "none", TOTPSalt: []byte("none"), Algorithm: identity.SHA1}
	w.must(w.store.InsertAccount(w.t.Context(), r, audit.Event{Type: audit.AccountCreated, Tenant: acme, At: w.now, Actor: "system:setup"}))
	_, err := w.store.ApplyTeam(w.t.Context(), acme, resource.Team{Head: head(resource.KindTeam, "finance"), Members: []string{"ann"}}, "system:setup", w.now)
	w.must(err)
	w.ann = r.ID
	w.pass(time.Hour)
}

func head(k resource.Kind, name string) resource.Head {
	return resource.Head{APIVersion: resource.APIVersion, Kind: k, Name: name}
}

// apply compiles the configuration as it is now.
func (w *world) apply() {
	w.t.Helper()
	conn := func(name, integration, secret string, tools ...string) *resource.Connection {
		return &resource.Connection{Head: head(resource.KindConnection, name), Integration: integration, Tools: tools,
			Auth: resource.Auth{Scheme: resource.SchemeBearer, Secret: secret}}
	}
	mission := *w.mission
	mission.Workers = nil
	for _, o := range w.outside {
		if !slices.Contains(w.unlisted, o.Name) {
			mission.Workers = append(mission.Workers, o.Name)
		}
	}
	ids, names, more := map[string]string{"finance": w.teamID()}, []string{"finance"}, []resource.Resource{}
	for name, members := range w.teams {
		team, err := w.store.Team(w.t.Context(), acme, name)
		w.must(err)
		ids[name], names, more = team.ID, append(names, name), append(more, &resource.Team{Head: head(resource.KindTeam, name), Members: members})
	}
	for _, o := range w.outside {
		more = append(more, o)
	}
	snap, err := catalog.Build(catalog.Source{
		Resources: append(more,
			&resource.Team{Head: head(resource.KindTeam, "finance"), Members: []string{"ann"}},
			&resource.Integration{Head: head(resource.KindIntegration, "erp"), HTTP: &resource.HTTP{BaseURL: "https://erp.example", OpenAPI: json.RawMessage(`{}`)}},
			&resource.Integration{Head: head(resource.KindIntegration, "llm"), Model: &resource.Model{Provider: "openai", Model: "m"}},
			conn("erp-read", "erp", "erp-key", "findVendors"), conn("erp-write", "erp", "erp-key", "createVendor", "dropVendor"),
			conn("erp-other", "erp", "erp-key", "findVendors"), conn("model", "llm", "model-key", "complete"), &mission),
		NewKind:   func(i *resource.Integration) (connector.Kind, error) { return &system{w, i.Model != nil}, nil },
		Revisions: map[catalog.Key]int64{{Kind: resource.KindIntegration, Name: "erp"}: 3},
		TeamIDs:   ids,
	})
	w.must(err)
	pw := policy.World{Connections: []string{"erp-read", "erp-write", "erp-other", "model"}, Missions: []string{"onboard"}, Teams: names}
	for name, t := range w.tools {
		in := "erp"
		if name == "complete" {
			in = "llm"
		}
		pw.Tools = append(pw.Tools, policy.Tool{Integration: in, Name: name, Effect: t.Effect,
			Schema: json.RawMessage(`{"type":"object","properties":{"name":{"type":"string"},"count":{"type":"integer"}}}`)})
	}
	set, err := policy.Compile(w.policies, pw)
	w.must(err)
	if w.compiled = (gate.World{Catalog: snap, Policy: set}); w.noPolicy {
		w.compiled.Policy = nil
	}
}

func (w *world) teamID() string {
	w.t.Helper()
	team, err := w.store.Team(w.t.Context(), acme, "finance")
	w.must(err)
	return team.ID
}

// policy replaces the Policies; unattended lets every write through.
func (w *world) policy(cedar string) {
	w.t.Helper()
	w.policies = nil
	if cedar != "" {
		w.policies = []resource.Policy{{Head: head(resource.KindPolicy, "test"), Integration: "erp", Cedar: cedar}}
	}
	w.apply()
}

const unattended = `@id("free") permit (principal, action, resource);`

// system is the connector of both Integrations.
type system struct {
	w     *world
	model bool
}

func (s *system) Tools() []connector.Tool {
	names := []string{"createVendor", "dropVendor", "findVendors"}
	if s.model {
		names = []string{"complete"}
	}
	var out []connector.Tool
	for _, n := range names {
		out = append(out, s.w.tools[n])
	}
	return out
}
func (s *system) Origin() resource.Origin {
	return resource.Origin{Scheme: "https", Host: "erp.example:443"}
}
func (s *system) Network() resource.Network { return resource.Network{} }
func (s *system) Check(_ string, args json.RawMessage) error {
	if strings.Contains(string(args), "does-not-fit") {
		return fault.New(fault.Invalid, "the arguments do not fit the Tool's schema")
	}
	return nil
}
func (s *system) Render(tool string, args json.RawMessage, reference string) (intent.Request, error) {
	method := http.MethodPost
	if s.w.tools[tool].Effect == resource.Read {
		method = http.MethodGet
	}
	url := "https://erp.example/" + tool
	if s.w.joins {
		var a struct{ A, B string }
		if json.Unmarshal(args, &a) == nil {
			url += "?q=" + a.A + a.B
		}
	}
	return intent.Request{Method: method, URL: url, Headers: map[string]string{"X-Reference": reference}, Body: string(args)}, nil
}
func (s *system) Do(ctx context.Context, door http.RoundTripper, call connector.Call) connector.Answer {
	tool, req := call.Tool, call.Request
	r, err := http.NewRequestWithContext(ctx, req.Method, req.URL, strings.NewReader(req.Body))
	if err != nil {
		return connector.Answer{Outcome: connector.NotSent, Err: err}
	}
	resp, err := door.RoundTrip(r)
	if err != nil {
		return connector.Answer{Outcome: connector.NotSent, Err: err}
	}
	_ = resp.Body.Close()
	return s.w.answer(tool, req.Body)
}

// line is what is between the door and the system.
type line struct{ w *world }

func (l line) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil || !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "+canary) {
		return nil, errors.New("it came without a credential")
	}
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.w.arrived = append(l.w.arrived, strings.TrimPrefix(r.URL.Path, "/")+" "+string(body))
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// starters says that who starts a Run is no judge of it, nor who answers for them.
type starters struct{ w *world }

func (s starters) Parties(_ context.Context, i intent.Intent) (decision.Parties, error) {
	p := decision.Parties{Starter: i.Starter, AllowSelfApproval: s.w.mission.AllowSelfApproval}
	if ident.WorkerName(i.Starter) != "" {
		p.Owner = s.w.owner
	}
	return p, nil
}

// outsiders are the outside Workers as they are applied.
type outsiders struct{ w *world }

func (o outsiders) Standing(_ context.Context, _ ident.Tenant, name string) (*resource.Worker, string, error) {
	if err := o.w.broken["Standing"]; err != nil {
		return nil, "", err
	}
	w, ok := o.w.compiled.Catalog.Worker(name)
	if !ok || w.Disabled {
		return nil, "", fault.New(fault.Denied, "there is no such Worker")
	}
	return w, o.w.owner, nil
}

// workerRuns is their store.
type workerRuns struct {
	*sqlite.Store
	w *world
}

func (r workerRuns) CountExcess(ctx context.Context, more []gate.Excess) error {
	if err := r.w.broken["CountExcess"]; err != nil {
		return err
	}
	r.w.counted++
	return r.Store.CountExcess(ctx, more)
}

// The stores, each with its mishaps.
type intents struct {
	*sqlite.Store
	w *world
}

func (i intents) Propose(ctx context.Context, p gate.Proposed) (intent.Intent, bool, error) {
	if err := i.w.broken["Propose"]; err != nil {
		return intent.Intent{}, false, err
	}
	return i.Store.Propose(ctx, p)
}

func (i intents) Step(ctx context.Context, s commit.Step) (int64, error) {
	if err := i.w.broken["Step "+string(s.To)]; err != nil {
		return 0, err
	}
	return i.Store.Step(ctx, s)
}

type earlier struct {
	*sqlite.Store
	w *world
}

func (e earlier) Answered(ctx context.Context, t ident.Tenant, run, except string, most int) ([]intent.Intent, bool, error) {
	if err := e.w.broken["Answered"]; err != nil {
		return nil, false, err
	}
	if e.w.panics {
		panic("an answer that nobody thought of")
	}
	return e.Store.Answered(ctx, t, run, except, most)
}

type runs struct {
	*sqlite.Store
	w *world
}

func (r runs) Run(ctx context.Context, t ident.Tenant, id string) (intent.Run, error) {
	if err := r.w.broken["Run"]; err != nil {
		return intent.Run{}, err
	}
	return r.Store.Run(ctx, t, id)
}

func (r runs) Refuse(ctx context.Context, run string, ev audit.Event, o explain.Observation) (int, error) {
	if err := r.w.broken["Refuse"]; err != nil {
		return 0, err
	}
	return r.Store.Refuse(ctx, run, ev, o)
}

func (r runs) Incident(ctx context.Context, in incident.Incident, ev audit.Event, o explain.Observation) (int, error) {
	if err := r.w.broken["Incident"]; err != nil {
		return 0, err
	}
	return r.Store.Incident(ctx, in, ev, o)
}

type decisions struct {
	*sqlite.Store
	w *world
}

func (d decisions) DecisionOf(ctx context.Context, t ident.Tenant, id string) (decision.Decision, error) {
	if err := d.w.broken["DecisionOf"]; err != nil {
		return decision.Decision{}, err
	}
	out, err := d.Store.DecisionOf(ctx, t, id)
	if change := d.w.approved[id]; change != nil {
		out.State = decision.Approved
		out.Votes = []decision.Vote{{Account: d.w.ann, TeamID: out.Needs[0].TeamID, Verdict: decision.Approve, Factor: "fac_1"}}
		change(&out)
	}
	return out, err
}

func (d decisions) MemberSince(ctx context.Context, t ident.Tenant, team, account string) (time.Time, error) {
	if err := d.w.broken["MemberSince"]; err != nil {
		return time.Time{}, err
	}
	return d.Store.MemberSince(ctx, t, team, account)
}

type doors struct {
	*vault.Vault
	w *world
}

func (d doors) Head(ctx context.Context, t ident.Tenant, ref string) (vault.Meta, error) {
	if err := d.w.broken["Head"]; err != nil {
		return vault.Meta{}, err
	}
	return d.Vault.Head(ctx, t, ref)
}

func (d doors) Scrub(t ident.Tenant) *scrub.Set {
	d.w.mu.Lock()
	d.w.looked++
	d.w.mu.Unlock()
	return d.Vault.Scrub(t)
}

func (d doors) Open(ctx context.Context, s vault.DoorSpec) (http.RoundTripper, error) {
	d.w.mu.Lock()
	d.w.opened++
	d.w.mu.Unlock()
	if d.w.beforeOpen != nil {
		d.w.beforeOpen()
	}
	return d.Vault.Open(ctx, s)
}

func (d doors) Quarantine(ctx context.Context, f vault.Found) (string, error) {
	if err := d.w.broken["Quarantine"]; err != nil {
		return "", err
	}
	name, err := d.Vault.Quarantine(ctx, f)
	if err == nil {
		d.w.mu.Lock()
		d.w.inQuarantine[name] = true
		d.w.mu.Unlock()
	}
	return name, err
}

// kept are the names of what went into quarantine.
func (w *world) kept() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.inQuarantine))
}
