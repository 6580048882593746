package mcpgateway_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/mcpgateway"
	"sallyport.dev/internal/resource"
)

// desk stands for the Gate and its store: what was proposed stays, whatever becomes of
// gateways and connections.
type desk struct {
	mu       sync.Mutex
	tools    []intent.Tool
	act      map[string]func(it *intent.Intent) // by Tool; nil: it is parked
	rows     map[string]*intent.Intent
	order    []string
	executed map[string]int // by Tool and arguments
	denied   []string       // what was refused, as it was proposed
	ended    map[string]string
	noted    []string
	wake     chan struct{}
	open     map[string]string // a Worker's Run, by name and Mission
}

func newDesk(tools ...intent.Tool) *desk {
	return &desk{tools: tools, act: map[string]func(*intent.Intent){}, rows: map[string]*intent.Intent{}, executed: map[string]int{},
		ended: map[string]string{}, wake: make(chan struct{}), open: map[string]string{}}
}

const tenant = ident.Tenant("acme")

// Caller knows "run-NAME" and "worker-NAME".
func (d *desk) Caller(_ context.Context, bearer string) (ident.Principal, error) {
	kind, name, ok := strings.Cut(bearer, "-")
	switch {
	case bearer == "broken":
		return ident.Principal{}, fault.New(fault.Unavailable, "the store does not answer")
	case !ok || kind != "run" && kind != "worker":
		return ident.Principal{}, fault.New(fault.Unauthenticated, "the token is not one of ours")
	}
	return ident.Principal{Tenant: tenant, Kind: ident.Kind(kind), ID: name, Name: name}, nil
}

func (d *desk) Brief(_ context.Context, who ident.Principal) (intent.Brief, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, over := d.ended[who.ID]; over {
		return intent.Brief{}, fault.New(fault.Denied, "the Run has ended")
	}
	return intent.Brief{Run: intent.Run{Tenant: tenant, ID: who.ID, Mission: "onboard", Input: json.RawMessage(`{"vendor":"ACME"}`)},
		Title: "Onboarding", Goal: "Onboard the vendor.", Tools: slices.Clone(d.tools)}, nil
}

func (d *desk) Admit(ctx context.Context, who ident.Principal, p intent.Proposal) (intent.Intent, error) {
	if err := p.Check(); err != nil {
		return intent.Intent{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.tools, func(t intent.Tool) bool { return t.Connection == p.Connection && t.Tool == p.Tool })
	if i < 0 {
		d.denied = append(d.denied, p.Connection+"/"+p.Tool)
		return intent.Intent{}, fault.New(fault.Denied, "the Mission does not hold this tool")
	}
	now := time.Now()
	it := &intent.Intent{Tenant: tenant, ID: ident.New("int"), Run: who.ID, Mission: "onboard", Connection: p.Connection, Tool: p.Tool, Effect: d.tools[i].Effect,
		Args: p.Args, Reason: p.Reason, Repeat: p.Repeat, State: intent.Parked, CreatedAt: now, UpdatedAt: now}
	if it.Effect == resource.Write && !p.Repeat { // the same again is the same
		for _, id := range d.order {
			if o := d.rows[id]; o.Run == who.ID && o.Connection == it.Connection && o.Tool == it.Tool && string(o.Args) == string(it.Args) && (o.State.Open() || o.State == intent.Committed) {
				return *o, nil
			}
		}
	}
	d.rows[it.ID], d.order = it, append(d.order, it.ID)
	if act := d.act[p.Tool]; act != nil {
		act(it)
	}
	d.changed()
	return *it, nil
}

// changed wakes who waits; the caller holds the lock.
func (d *desk) changed() {
	close(d.wake)
	d.wake = make(chan struct{})
}

func (d *desk) Changed(ident.Tenant, string) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.wake
}

func (d *desk) Lookup(_ context.Context, who ident.Principal, id string) (intent.Intent, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	it := d.rows[id]
	if it == nil || it.Run != who.ID {
		return intent.Intent{}, fault.New(fault.NotFound, "this Run has no such intent")
	}
	return *it, nil
}

func (d *desk) Withdraw(ctx context.Context, who ident.Principal, id string) (intent.Intent, error) {
	if _, err := d.Lookup(ctx, who, id); err != nil {
		return intent.Intent{}, err
	}
	if !d.end(id, intent.Withdrawn, "", nil) {
		return intent.Intent{}, fault.New(fault.Conflict, "it can't be withdrawn any more")
	}
	return d.Lookup(ctx, who, id)
}

func (d *desk) Pending(_ context.Context, who ident.Principal) (out []intent.Intent, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range d.order {
		if it := d.rows[id]; it.Run == who.ID && it.State.Open() {
			out = append(out, *it)
		}
	}
	return out, nil
}

func (d *desk) Offer(context.Context, ident.Principal, string) (intent.Brief, error) {
	return intent.Brief{Title: "Onboarding", Tools: slices.Clone(d.tools), Form: json.RawMessage(`{"type":"object","required":["vendor"]}`)}, nil
}

func (d *desk) WorkerRun(_ context.Context, who ident.Principal, mission string, input json.RawMessage, start bool) (intent.Run, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := who.ID + "/" + mission
	if d.open[k] == "" {
		if !start {
			return intent.Run{}, fault.New(fault.NotFound, "no Run of this Mission is open")
		}
		if len(input) == 0 {
			return intent.Run{}, fault.New(fault.Invalid, "the field vendor is missing")
		}
		d.open[k] = "of-" + who.ID
	}
	return intent.Run{Tenant: tenant, ID: d.open[k], Mission: mission, Input: input}, nil
}

func (d *desk) EndRun(_ context.Context, who ident.Principal, verdict, _ string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended[who.ID] = verdict
	return nil
}

func (d *desk) Observe(_ context.Context, _ ident.Principal, kind explain.Kind, title, _ string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.noted = append(d.noted, string(kind)+": "+title)
	return nil
}

// end takes an open Intent to its end, once.
func (d *desk) end(id string, to intent.State, why string, res *intent.Result) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	it := d.rows[id]
	if it == nil || it.State.Final() {
		return false
	}
	it.State, it.Why, it.Result, it.UpdatedAt = to, why, res, time.Now()
	if to == intent.Committed {
		d.executed[it.Tool+string(it.Args)]++
	}
	d.changed()
	return true
}

// approve executes what waits.
func (d *desk) approve(id string) bool {
	return d.end(id, intent.Committed, "", &intent.Result{State: intent.Committed, Status: 201, ContentType: "application/json", Body: json.RawMessage(`{"created":true}`)})
}

// only waits until just one Intent is there, and gives its id.
func (d *desk) only(t *testing.T) string {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		d.mu.Lock()
		wake, ids := d.wake, slices.Clone(d.order)
		d.mu.Unlock()
		if len(ids) == 1 {
			return ids[0]
		}
		select {
		case <-wake:
		case <-deadline:
			t.Fatalf("there are %d intents", len(ids))
		}
	}
}

func tool(connection, name string, effect resource.Effect, schema string) intent.Tool {
	return intent.Tool{Name: connection + "__" + name, Connection: connection, Tool: name, Description: "Does " + name + ".", Effect: effect, Schema: json.RawMessage(schema)}
}

// quick are times with which nothing is waited for long.
var quick = mcpgateway.Times{First: 5 * time.Millisecond, Hold: 150 * time.Millisecond, Beat: 20 * time.Millisecond, Look: 50 * time.Millisecond, PollHint: 100 * time.Millisecond}

// config is a gateway's before a desk.
func config(d *desk, times mcpgateway.Times) mcpgateway.Config {
	return mcpgateway.Config{
		Callers: d, Gate: d, Runs: d, Changed: d.Changed, Times: times, Host: mcpgateway.Hosts("", false), Version: "test", Now: time.Now,
		Clean: func(_ ident.Tenant, b []byte) ([]byte, error) {
			return []byte(strings.ReplaceAll(string(b), "canary-7f3a", "[scrubbed]")), nil
		},
		Waits: func(context.Context, intent.Intent) string { return "approval by finance" },
		Log:   slog.New(slog.DiscardHandler),
	}
}

// serve starts a server of a gateway.
func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}
