// Package mcpgateway is the door for Workers that speak the Model Context
// Protocol: POST /mcp for a Run by its token, POST /mcp/{mission} for an outside
// Worker's own Runs. It serves revision 2026-07-28, which is stateless, and
// 2025-11-25 and 2025-06-18 with their sessions, from one handler.
//
// A Tool of the Mission's Connections is a tool here. What a call proposes goes
// through the Gate like every proposal; what waits for a person is told in the way
// that the client can bear: as a task, by a held answer, or as a pending result
// with tools to go on with. All of it is read from the store, so that it outlives
// connections, clients and this process. See wait.go and tasks.go.
//
// It refuses a caller without a valid token, a page of another origin, headers that
// say something else than the body, a batch, a message that could be read in two
// ways, a session that another caller began, more requests at once than one caller
// needs, and to ask a client anything: neither sampling nor elicitation leaves
// here, since who drives the client is no approver.
//
// # Security
//
// Everything that a client sends is hostile, its capabilities and progress tokens
// too. A session or a task's id is never authority: each request is authenticated,
// and what it names has to be its Run's. The id of a request is the client's own and
// no idempotency key. A denial is one text for what does not exist and for what is
// not held. What leaves is scrubbed with the secrets that are known then.
package mcpgateway

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Callers says who a bearer token is: a Run or a Worker. Kind Unauthenticated:
// nobody, or somebody for whom this door is not.
type Callers interface {
	Caller(ctx context.Context, bearer string) (ident.Principal, error)
}

// Gate takes proposals. who is always a Run; each answers NotFound or Denied for
// what is not that Run's.
type Gate interface {
	Brief(ctx context.Context, who ident.Principal) (intent.Brief, error)
	Admit(ctx context.Context, who ident.Principal, p intent.Proposal) (intent.Intent, error)
	Lookup(ctx context.Context, who ident.Principal, id string) (intent.Intent, error)
	// Withdraw takes back what waits. Conflict: it is on its way already, or final.
	Withdraw(ctx context.Context, who ident.Principal, id string) (intent.Intent, error)
	// Pending are the Run's open Intents.
	Pending(ctx context.Context, who ident.Principal) ([]intent.Intent, error)
}

// Runs are what a Worker does besides proposing.
type Runs interface {
	// Offer is what a Worker can do in a Mission, without a Run.
	Offer(ctx context.Context, who ident.Principal, mission string) (intent.Brief, error)
	// WorkerRun is a Worker's open Run of a Mission; NotFound when none is. With start
	// there is a new one then.
	WorkerRun(ctx context.Context, who ident.Principal, mission string, input json.RawMessage, start bool) (intent.Run, error)
	EndRun(ctx context.Context, who ident.Principal, verdict, summary string) error
	Observe(ctx context.Context, who ident.Principal, kind explain.Kind, title, text string) error
}

// Config is what the gateway is made of. Only Waits, Names, Issuers and Times may be
// left out.
type Config struct {
	Callers Callers
	Gate    Gate
	Runs    Runs
	// Changed is closed when the Run has something new in the store.
	Changed func(t ident.Tenant, run string) <-chan struct{}
	// Clean takes the tenant's secrets out of what leaves. An error: it can't be
	// shown at all.
	Clean func(t ident.Tenant, b []byte) ([]byte, error)
	// Waits says in words what an open Intent waits for, like "approval by finance".
	Waits func(ctx context.Context, it intent.Intent) string
	Names Naming
	// PublicURL is where clients reach the server, without a path; "": where their
	// request says, which Host has to allow.
	PublicURL string
	// Host says whether a request may name this host, without its port.
	Host func(name string) bool
	// Issuers are whose tokens are taken, for the metadata of RFC 9728.
	Issuers func() []string
	Version string
	Now     func() time.Time
	Log     *slog.Logger
	Times   Times
}

// Times are the durations of the door; a zero one has its default.
type Times struct {
	First    time.Duration // until the first byte, when there is no answer yet; 1 s
	Hold     time.Duration // for which a call that waits is held; 45 s
	Beat     time.Duration // between two signs of life; 10 s
	Look     time.Duration // between two looks into the store, besides Changed; 5 s
	Idle     time.Duration // after which a session is gone; 30 min
	Listen   time.Duration // of a subscription's stream, at most; 10 min
	PollHint time.Duration // what tasks tell their clients; 5 s
}

// orDefaults fills in what was left out.
func (t Times) orDefaults() Times {
	for _, d := range []struct {
		at  *time.Duration
		def time.Duration
	}{
		{&t.First, time.Second}, {&t.Hold, 45 * time.Second}, {&t.Beat, 10 * time.Second}, {&t.Look, 5 * time.Second},
		{&t.Idle, 30 * time.Minute}, {&t.Listen, 10 * time.Minute}, {&t.PollHint, 5 * time.Second},
	} {
		if *d.at <= 0 {
			*d.at = d.def
		}
	}
	return t
}

// Gateway is the handler of /mcp, /mcp/{mission} and of the metadata under
// /.well-known/oauth-protected-resource.
type Gateway struct {
	Config
	mux      *http.ServeMux
	sessions sessions
	open     open
}

// New makes the handler.
func New(c Config) *Gateway {
	c.Times = c.Times.orDefaults()
	if c.Names == nil {
		c.Names = Prefixed{}
	}
	if c.Waits == nil {
		c.Waits = func(context.Context, intent.Intent) string { return "a person's Decision" }
	}
	if c.Issuers == nil {
		c.Issuers = func() []string { return nil }
	}
	g := &Gateway{Config: c, mux: http.NewServeMux(), sessions: sessions{all: map[string]*session{}}, open: open{n: map[string]load{}}}
	g.mux.HandleFunc("/mcp", g.serve) // of every method: who uses a wrong one is told which there are
	g.mux.HandleFunc("/mcp/{mission}", g.serve)
	g.mux.HandleFunc("GET /.well-known/oauth-protected-resource", g.metadata)
	g.mux.HandleFunc("GET /.well-known/oauth-protected-resource/mcp", g.metadata)
	g.mux.HandleFunc("GET /.well-known/oauth-protected-resource/mcp/{mission}", g.metadata)
	return g
}

// ServeHTTP serves one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	g.mux.ServeHTTP(w, r)
}

// maxAtOnce is how many requests of one caller are served at once; agents send a
// handful. maxHeld is how many bytes of messages these have together: each is kept for
// as long as its answer is waited for.
const (
	maxAtOnce = 256
	maxHeld   = 32 << 20
)

// open counts the requests of each caller, and their bytes.
type open struct {
	mu sync.Mutex
	n  map[string]load
}

type load struct {
	requests int
	bytes    int64
}

// enter counts one more, if there is room.
func (o *open) enter(who string) bool { return o.add(who, load{requests: 1}) }

func (o *open) leave(who string) { o.add(who, load{requests: -1}) }

// add counts more, if there is room, or less.
func (o *open) add(who string, more load) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.n[who]
	l.requests, l.bytes = l.requests+more.requests, l.bytes+more.bytes
	if more.requests > 0 && l.requests > maxAtOnce || more.bytes > 0 && l.bytes > maxHeld {
		return false
	}
	if o.n[who] = l; l == (load{}) {
		delete(o.n, who)
	}
	return true
}

// key names a caller among those of all tenants.
func key(p ident.Principal) string { return string(p.Tenant) + "\n" + p.String() }
