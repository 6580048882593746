// Package proccred runs servers that speak MCP over their standard input and
// output, as children of this process, each with one credential. A Door to one is
// an http.RoundTripper that behaves like a server of streamable HTTP without
// session ids (revision 2025-11-25): a POST of one JSON-RPC message becomes one
// line of the child's input, and what answers it comes back as JSON, or with other
// messages before it as a stream of events.
//
// It refuses batches, anything but POST, messages over 16 MiB in either direction,
// a child whose confinement could not be made (package confine), and more children
// than its limit. It never answers for a person: a request of the child's goes up
// in the stream of the one call that it can belong to, and nowhere when there are
// several; only pings it answers itself.
//
// # Security
//
// A child belongs to one credential, and its answers go only to callers who opened
// a door with that one. Ids and progress tokens are replaced by our own, so that
// two callers with the same id can't get each other's answers. A Door scrubs
// nothing: package vault puts httpcred's before it, which looks through what goes
// in and scrubs all that comes out. What a child writes to its standard error is
// scrubbed here, bounded, and kept in lines. The credential is never in arguments:
// it is in the child's environment, or in memory that a descriptor is open on. What
// a child then does with it, see docs/mcp-stdio.md.
package proccred

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/internal/plain"
)

// Defaults of Config, and limits that are not to be chosen.
const (
	defaultIdle     = 10 * time.Minute
	defaultChildren = 32
	maxMessage      = 16 << 20         // bytes of a message, in either direction
	drainTime       = 10 * time.Minute // of calls in flight to a child that is to end; no call may last longer
	startTime       = 20 * time.Second // until a process has become the program
	steady          = 30 * time.Second // a child that lived for so long did not fail at its start
	maxBackoff      = time.Minute
)

// Config is what all children have in common.
type Config struct {
	Log     *slog.Logger // scrubbed by its handler
	Now     func() time.Time
	Temp    string        // where their directories are made; empty: the system's
	Guarded []string      // paths that no child may have within reach: the data directory, key files
	Idle    time.Duration // a child without a call is ended after it; 0: ten minutes
	Most    int           // children at a time; 0: 32
}

// Key names whose child it is. It is no secret.
type Key struct {
	Tenant     ident.Tenant
	Connection string
	Secret     string // its id; empty: no credential
	Version    int
	Outside    string // of a version that is a pointer: what it has led to
	Run        string // whose own credential it is; empty: it is everybody's
}

// Spec is the child that a door leads to.
type Spec struct {
	Key    Key
	Stdio  *resource.Stdio
	Auth   resource.Auth          // env, file or none
	Fields map[string]plain.Value // of one version of the Secret; copied
	Known  func() *scrub.Set      // the tenant's secrets, at the time of asking
	// Good says whether a call may still begin with the credential; nil: it may. It is
	// asked under the lock, so that no call begins after a Leave that follows its no.
	Good func() bool
}

// Children are all of them. Its methods are safe for concurrent use.
type Children struct {
	cfg   Config
	minds crash.Group // one for each child, until it is gone

	mu     sync.Mutex
	slots  map[place]*slot
	live   map[*child]struct{} // started, starting, or ending
	closed bool
}

// place is a Key, and the SHA-256 of what the child is.
type place struct {
	key  Key
	spec [sha256.Size]byte
}

// New has no children yet.
func New(c Config) (*Children, error) {
	if c.Log == nil || c.Now == nil {
		return nil, fault.New(fault.Internal, "children without a log or a clock")
	}
	guarded := make([]string, 0, len(c.Guarded))
	for _, p := range c.Guarded { // who looks for them has another working directory
		at, err := filepath.Abs(p)
		if err != nil {
			return nil, fault.New(fault.Unavailable, "the working directory can't be found")
		}
		guarded = append(guarded, at)
	}
	c.Guarded = guarded
	if c.Idle == 0 {
		c.Idle = defaultIdle
	}
	if c.Most == 0 {
		c.Most = defaultChildren
	}
	return &Children{cfg: c, slots: map[place]*slot{}, live: map[*child]struct{}{}}, nil
}

// Door gives the way to a child. Nothing is started before its first request.
// Invalid: the Secret has not the field that the scheme needs, or the value can't
// be given to a process.
func (c *Children) Door(s Spec) (http.RoundTripper, error) {
	if s.Stdio == nil || s.Known == nil || len(s.Stdio.Command) == 0 {
		return nil, fault.New(fault.Internal, "a door to a child without a command or scrubbing")
	}
	value, err := credential(s)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(struct {
		Stdio *resource.Stdio
		Auth  resource.Auth
	}{s.Stdio, s.Auth})
	if err != nil {
		return nil, fault.New(fault.Internal, "a child's description can't be encoded")
	}
	s.Fields = nil
	return &door{all: c, at: place{s.Key, sha256.Sum256(b)}, spec: s, value: value}, nil
}

// Keep ends the children whose keys are not to be kept: no call reaches them any
// more, and each ends when those in flight have.
func (c *Children) Keep(keep func(Key) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at, s := range c.slots {
		if !keep(at.key) {
			c.retire(s)
		}
	}
}

// Leave ends the children of these keys as Keep does, and says how many calls they
// still have. With now, they end at once, and their calls with them.
func (c *Children) Leave(of func(Key) bool, now bool) (calls int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at, s := range c.slots {
		if of(at.key) {
			c.retire(s)
		}
	}
	for ch := range c.live { // also those that were out of use before
		if !of(ch.slot.at.key) {
			continue
		}
		if now {
			ch.stop(stopNow)
		}
		calls += ch.busy()
	}
	return calls
}

// retire takes a slot out of use. It is called under the lock.
func (c *Children) retire(s *slot) {
	delete(c.slots, s.at)
	if s.child != nil {
		s.child.drain()
	}
}

// Tail gives the last lines that the children of a Connection wrote to their
// standard error, or to standard output without being messages; scrubbed.
func (c *Children) Tail(t ident.Tenant, connection string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for at, s := range c.slots {
		if at.key.Tenant == t && at.key.Connection == connection {
			out = append(out, s.tail.lines()...)
		}
	}
	return out
}

// Close ends all children and waits for their end, or for ctx's: then they are
// killed. Nothing is started afterwards.
func (c *Children) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	for ch := range c.live {
		ch.stop(stopNow)
	}
	c.mu.Unlock()
	done := make(chan struct{})
	crash.Go(func() { defer close(done); c.minds.Wait() }, func(p *crash.Panic) { p.Log(ctx, c.cfg.Log) })
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	for ch := range c.live {
		ch.stop(stopKill)
	}
	c.mu.Unlock()
	<-done
	return nil
}
