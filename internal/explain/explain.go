// Package explain is the Explain rail: the Observations of a Run in order, from
// the plan to the verdict, live and afterwards.
//
// It refuses what was not scrubbed: the one way to make an Observation that can
// be stored is [Rail.Clean], which scrubs every text of it with the tenant's
// current set, and masks what looks like a secret that nobody told us. A reader
// gets the bytes that were stored, without what became a secret since.
//
// # Security
//
// Observations hold what a model wrote and what systems answered: untrusted
// text. They are data for whoever shows them, never markup.
package explain

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/scrub/unknown"
)

// Kind is what an Observation records.
type Kind string

// The kinds.
const (
	Goal      Kind = "goal"      // what the Run is for, who started it, with which input
	Plan      Kind = "plan"      // what the Worker says that it means to do
	Reasoning Kind = "reasoning" // what the model says about why: no proof of anything
	Inference Kind = "inference" // the model was asked, or what the Worker says that it concluded
	Intent    Kind = "intent"    // an action that the Worker proposed, and the rule that judged it
	Use       Kind = "use"       // a credential is used: its name, version and place
	Retrieval Kind = "retrieval" // a read of a system
	ToolCall  Kind = "tool_call" // a write to a system
	Check     Kind = "check"     // a refusal, a limit, a schema, a policy
	Decision  Kind = "decision"  // parked, approved, rejected, expired
	Verdict   Kind = "verdict"   // the Run's end
	Problem   Kind = "problem"   // something did not work
)

// Kinds lists all of them; docs/explain.md has a line for each.
var Kinds = []Kind{Goal, Plan, Reasoning, Inference, Intent, Use, Retrieval, ToolCall, Check, Decision, Verdict, Problem}

// WorkerKinds are those that a Worker may put on its own Run's rail.
var WorkerKinds = []Kind{Plan, Reasoning, Retrieval, Inference, Check}

// Observation is one structured record of what a Run did or concluded.
type Observation struct {
	Tenant ident.Tenant    `json:"tenant"`
	Run    string          `json:"run"`
	Seq    int64           `json:"seq"` // from 1, in the Run; given by the store
	At     time.Time       `json:"at"`
	Kind   Kind            `json:"kind"`
	Title  string          `json:"title"`            // one line
	Text   string          `json:"text,omitempty"`   // reasoning, a reason, an explanation
	Intent string          `json:"intent,omitempty"` // "int_…"
	Data   json.RawMessage `json:"data,omitempty"`   // arguments, an answer
	// Entry is the index of its entry in the tenant's audit log: of the last one that
	// was written in the same transaction; given by the store, nil where there is none.
	Entry  *int64  `json:"entry,omitempty"`
	Detail *Detail `json:"detail,omitempty"`
	// From is whose words it has, and Trusted whether people of the company or the
	// Boundary wrote them: never stored, [Rail.Clean] says it.
	From    Source `json:"from,omitempty"`
	Trusted bool   `json:"trusted"`
}

// Store reads Observations. They are written in the transaction of what they
// record, so writing is part of the stores of gate, commit and decision.
type Store interface {
	// Observations lists those of a Run with Seq > after, at most limit, in order.
	Observations(ctx context.Context, tenant ident.Tenant, run string, after int64, limit int) ([]Observation, error)
	// Latest lists the last ones with Seq < before, or of all where before is 0, at
	// most limit, in order: what there is costs nothing, however long the rail.
	Latest(ctx context.Context, tenant ident.Tenant, run string, before int64, limit int) ([]Observation, error)
	// Observe appends one.
	Observe(ctx context.Context, o Observation) error
}

// Rail scrubs, stores and follows Observations.
type Rail struct {
	store Store
	set   func(ident.Tenant) *scrub.Set

	mu   sync.Mutex
	wake map[key]chan struct{} // closed and removed when the Run has something new
}

type key struct {
	tenant ident.Tenant
	run    string
}

// New makes a rail. set gives a tenant's current scrub set.
func New(store Store, set func(ident.Tenant) *scrub.Set) *Rail {
	return &Rail{store: store, set: set, wake: map[key]chan struct{}{}}
}

// maxData bounds what one Observation keeps of an answer, in bytes.
const maxData = 64 << 10

// Clean scrubs an Observation, then bounds it. Scrubbing comes first: a cut
// secret is harder to find.
func (r *Rail) Clean(o Observation) Observation {
	s := r.set(o.Tenant)
	o.Title, _ = s.String(o.Title)
	o.Text, _ = s.String(o.Text)
	o.Title, o.Text = unknown.String(o.Title), unknown.String(o.Text)
	data, known := s.Bytes(o.Data)
	data, looks := unknown.Mask(data)
	if (known.Found() || len(looks) > 0) && !json.Valid(data) {
		data, _ = json.Marshal(string(data))
	}
	if len(data) > maxData {
		data, _ = json.Marshal(map[string]any{"truncated": true, "bytes": len(data)})
	}
	o.Data = data
	o.Detail = o.Detail.clean(func(t string) string {
		t, _ = s.String(t)
		return unknown.String(t)
	})
	o.From = o.Source()
	o.Trusted = o.From.Trusted()
	return o
}

// Append scrubs, stores and announces one Observation that belongs to no other
// step's transaction.
func (r *Rail) Append(ctx context.Context, o Observation) error {
	if err := r.store.Observe(ctx, r.Clean(o)); err != nil {
		return err
	}
	r.Wake(o.Tenant, o.Run)
	return nil
}

// maxRail is how long a rail may be for its Worker to add to it. What the Boundary
// records is added however long it is.
const maxRail = 10_000

// HasRoom refuses a Worker's words on a rail that is too long; kind Limit.
func (r *Rail) HasRoom(ctx context.Context, tenant ident.Tenant, run string) error {
	last, err := r.store.Latest(ctx, tenant, run, 0, 1)
	if err == nil && len(last) > 0 && last[0].Seq >= maxRail {
		err = fault.Newf(fault.Limit, "the Run's rail has %d entries already, so nothing more of its Worker's is put there", last[0].Seq)
	}
	return err
}

// Wake tells who follows the Run that there is something new in the store.
func (r *Rail) Wake(tenant ident.Tenant, run string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range []key{{tenant, run}, {tenant, ""}} {
		if c, ok := r.wake[k]; ok {
			close(c)
			delete(r.wake, k)
		}
	}
}

// Any is closed when some Run of a tenant has something new.
func (r *Rail) Any(tenant ident.Tenant) <-chan struct{} { return r.changed(key{tenant, ""}) }

// Changed is closed when a Run has something new.
func (r *Rail) Changed(tenant ident.Tenant, run string) <-chan struct{} {
	return r.changed(key{tenant, run})
}

// changed is closed at the next Wake.
func (r *Rail) changed(k key) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.wake[k]
	if !ok {
		c = make(chan struct{})
		r.wake[k] = c
	}
	return c
}

// List reads a page of a Run's rail, without what became a secret since.
func (r *Rail) List(ctx context.Context, tenant ident.Tenant, run string, after int64, limit int) ([]Observation, error) {
	obs, err := r.store.Observations(ctx, tenant, run, after, limit)
	for i, o := range obs {
		obs[i] = r.Clean(o)
	}
	return obs, err
}

// Latest reads the last ones before a sequence number, 0: of all, in order, without
// what became a secret since.
func (r *Rail) Latest(ctx context.Context, tenant ident.Tenant, run string, before int64, limit int) ([]Observation, error) {
	obs, err := r.store.Latest(ctx, tenant, run, before, limit)
	for i, o := range obs {
		obs[i] = r.Clean(o)
	}
	return obs, err
}

// page is how many Observations one read takes.
const page = 200

// Follow hands out the Observations after a sequence number, first those that
// exist, then as they come, until ctx ends or yield returns false. It misses
// none and repeats none: the store is the source, Wake only says when to look.
func (r *Rail) Follow(ctx context.Context, tenant ident.Tenant, run string, after int64, yield func(Observation) bool) error {
	for {
		changed := r.changed(key{tenant, run})
		for {
			obs, err := r.store.Observations(ctx, tenant, run, after, page)
			if err != nil {
				return err
			}
			for _, o := range obs {
				if after = o.Seq; !yield(r.Clean(o)) {
					return nil
				}
			}
			if len(obs) < page {
				break
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}
