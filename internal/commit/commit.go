// Package commit takes one admitted Intent to the system and records what came
// of it: the attempt state machine. An approved write happens at most once; when
// the outcome is not known it says so, and it never repeats silently.
//
// It refuses to open a credential before the attempt is claimed and its audit
// entry is durable, to let a byte of a write leave before SENDING is durable,
// and to hand out an answer whose outcome could not be recorded. After such a
// failure it refuses everything until the process is started again.
//
// What is tried again, and nothing else: a connection that could not be made, so
// that not one byte was written; a read that was cut before its answer began, or
// that the system asks for later; a call that was refused with 401 because its
// credential was replaced under it; and a write whose outcome is unknown, under the
// key that it was sent with, where the operator has declared that the system knows
// such keys. See docs/commit.md.
//
// # Security
//
// The fence is a number that each claim raises. A claimant that was taken for
// dead and comes back fails at its next step: its fence is too low.
package commit

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// Step is one durable step of an Intent: from a state to a state, with
// everything that becomes true at the same instant.
type Step struct {
	Tenant   ident.Tenant
	Intent   string
	Run      string
	From, To intent.State
	Fence    int64 // compared; a claim raises it by one, and so does a resend
	// Uses says that from this step on a credential is used or bytes leave: it is
	// refused, with an [intent.Stopped], while a person has stopped that.
	Uses     bool
	Claimant string // of a claim: this process
	Why      string
	Result   *intent.Result
	Used     *connector.Usage // added to the Run's usage, with one turn
	Events   []audit.Event
	Observe  []explain.Observation // cleaned
	Outbox   []Message
	At       time.Time
}

// Attempt is how far the attempts at an Intent have come.
type Attempt struct {
	Fence int64
	// Sent is when bytes of this revision could leave for the first time; zero:
	// never.
	Sent time.Time
	// Resent is how often it was sent again under its key.
	Resent   int
	Claimant string // whose attempt the last one was
}

// Message is work that has to follow a step, at least once, even when the
// process dies right after it.
type Message struct {
	Kind string // "dispatch", "reconcile", "segment"
	Ref  string // an Intent's or a Run's id
	Due  time.Time
}

// The kinds of message.
const (
	MsgDispatch  = "dispatch"  // an approved Intent is to be executed
	MsgReconcile = "reconcile" // a system is to be asked what became of a write
	MsgSegment   = "segment"   // a Run of the built-in Worker can go on
)

// Store makes steps durable. A step whose From or Fence is not the stored one
// is a Conflict and changes nothing.
type Store interface {
	Step(ctx context.Context, s Step) (fence int64, err error)
}

// Plan is what one attempt needs, made by the gate for exactly one Intent.
type Plan struct {
	Intent intent.Intent
	// From is PROPOSED (the claim was part of the proposal), APPROVED, CLAIMED, or
	// UNKNOWN: then it is sent again, under the key of the earlier attempts.
	From  intent.State
	Fence int64
	// Earlier says that bytes of this Intent may have left before this attempt.
	Earlier bool
	// Seen is the status by which the system says that it has carried out a
	// request with this key before; 0: it never says so.
	Seen func() int
	// Renew gives another door after an answer that refuses the credential (HTTP
	// 401), where the credential was replaced in the meantime; it has made that
	// durable. nil: there is none, and the answer stands.
	Renew func(ctx context.Context, ans connector.Answer) http.RoundTripper
	// Outcome makes the audit entry of the end.
	Outcome func(to intent.State, res intent.Result, ans connector.Answer) audit.Event
	// Recheck evaluates policy, grant, expiry, membership and digest again,
	// right before the claim, and makes the audit entry that has to be durable
	// before Open. An error ends the attempt before it begins.
	Recheck func(ctx context.Context) (audit.Event, error)
	// Using makes the Observation of the claim: which credential is used; nil: none.
	Using func() explain.Observation
	// Open resolves the Secret and opens the door.
	Open func(ctx context.Context) (http.RoundTripper, error)
	// Send makes the one call.
	Send func(ctx context.Context, door http.RoundTripper) connector.Answer
	// Stopped says whether a person has stopped what the attempt is about. It is
	// asked between tries; before the claim Recheck asks it, and with it the store.
	Stopped func(ctx context.Context) error
	// Clean scrubs and bounds an answer's body as the Worker will see it.
	Clean func(connector.Answer) intent.Result
	// Why is an answer's error, scrubbed and bounded; "" when there is none.
	Why func(connector.Answer) string
	// Observe makes the Observation of the end.
	Observe func(to intent.State, res intent.Result) explain.Observation
	// Follow lists what has to happen after the end.
	Follow func(to intent.State, at time.Time) []Message
}

// Machine runs attempts.
type Machine struct {
	store    Store
	claimant string
	now      func() time.Time
	log      *slog.Logger
	halted   atomic.Pointer[fault.Error]
	mu       sync.Mutex
	under    map[attemptKey]int // the attempts under way
	// Crash is called between the steps. Tests kill the process there; it is
	// nil otherwise.
	Crash func(intent.Intent, Point)
	// Wait passes the time between tries; nil: it really passes.
	Wait func(context.Context, time.Duration)
}

// Point is a moment between two steps of an attempt.
type Point string

// The points, in order.
const (
	BeforeClaim Point = "before-claim" // of an approved Intent
	AfterClaim  Point = "after-claim"  // CLAIMED is durable, the Secret is not resolved
	BeforeBytes Point = "before-bytes" // SENDING is durable, nothing has left
	AfterAnswer Point = "after-answer" // the system has answered, nothing is recorded
	AfterRecord Point = "after-record" // the outcome is durable
)

// Points lists them.
var Points = []Point{BeforeClaim, AfterClaim, BeforeBytes, AfterAnswer, AfterRecord}

// New makes a machine. claimant names this process's life: a new one at every start.
func New(store Store, claimant string, now func() time.Time, log *slog.Logger) *Machine {
	return &Machine{store: store, claimant: claimant, now: now, log: log, under: map[attemptKey]int{}}
}

// Halted is why nothing is admitted any more, or nil.
func (m *Machine) Halted() error {
	if e := m.halted.Load(); e != nil {
		return e
	}
	return nil
}

// Claimant names this process's life.
func (m *Machine) Claimant() string { return m.claimant }

func (m *Machine) halt(ctx context.Context, err error) error {
	f := fault.Newf(fault.Unavailable, "the outcome of a call could not be recorded, so nothing more is admitted; restart when the store is well")
	f.Err = err
	m.halted.CompareAndSwap(nil, f)
	m.log.ErrorContext(ctx, "an outcome could not be recorded; the Boundary stops admitting", slog.Any("kind", fault.KindOf(err)))
	return f
}

// Execute takes an Intent through one attempt. It returns the Intent as it then
// is; an error means that the attempt did not begin, or that its outcome could
// not be recorded.
func (m *Machine) Execute(ctx context.Context, p Plan) (intent.Intent, error) {
	it := p.Intent
	if err := m.Halted(); err != nil {
		return it, err
	}
	defer m.begin(it.Tenant, it.ID)()
	fence := p.Fence
	if p.From != intent.Proposed {
		m.crash(it, BeforeClaim)
		entry, err := p.Recheck(ctx)
		if err != nil {
			return it, err
		}
		if fence, err = m.claim(ctx, p, entry); err != nil {
			return it, err
		}
	}
	// From here on the caller's patience counts only for making a call again: what
	// was claimed ends in a recorded state.
	caller, ctx := ctx, context.WithoutCancel(ctx)
	from := intent.Claimed
	if p.From == intent.Unknown {
		from = intent.Sending
	}
	var ans connector.Answer
	var err error
	crash.Guard(func() { ans, err = m.attempt(ctx, caller, p, fence, &from) }, func(c *crash.Panic) {
		c.Log(ctx, m.log)
		ans, err = connector.Answer{Outcome: connector.NotSent, Err: c}, nil
		if from == intent.Sending {
			ans.Outcome = connector.Unclear
		}
	})
	if err != nil {
		return it, err
	}
	return m.finish(ctx, p, fence, from, ans)
}

// attempt opens the door and makes the call; from becomes SENDING when that is
// durable. An error is one of making it so: nothing was sent.
func (m *Machine) attempt(ctx, caller context.Context, p Plan, fence int64, from *intent.State) (connector.Answer, error) {
	it := p.Intent
	m.crash(it, AfterClaim)
	door, err := p.Open(ctx)
	if err != nil {
		return connector.Answer{Outcome: connector.NotSent, Err: err}, nil
	}
	if it.Effect == resource.Write && *from == intent.Claimed {
		if err := m.sending(ctx, p, fence); err != nil {
			return connector.Answer{}, err
		}
		*from = intent.Sending
	}
	if *from == intent.Sending {
		m.crash(it, BeforeBytes)
	}
	ans := m.send(ctx, caller, p, door)
	m.crash(it, AfterAnswer)
	return ans, nil
}

type attemptKey struct {
	tenant ident.Tenant
	intent string
}

// begin notes that an attempt is under way, until what it returns is called.
func (m *Machine) begin(tenant ident.Tenant, id string) (end func()) {
	k := attemptKey{tenant, id}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.under[k]++
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.under[k]--; m.under[k] == 0 {
			delete(m.under, k)
		}
	}
}

// Abandoned says that an attempt is this process's and that nothing is at it any
// more: SENDING was written, and the store said that it was not.
func (m *Machine) Abandoned(tenant ident.Tenant, id string, at Attempt) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.under[attemptKey{tenant, id}] == 0 && at.Claimant == m.claimant
}

func (m *Machine) crash(it intent.Intent, p Point) {
	if m.Crash != nil {
		m.Crash(it, p)
	}
}

// claim takes the attempt, with the audit entry, in one transaction. A write that
// is sent again goes to SENDING in the same one: were it ever CLAIMED, the next
// process would take it for one of which nothing has left.
func (m *Machine) claim(ctx context.Context, p Plan, entry audit.Event) (int64, error) {
	s := Step{
		Tenant: p.Intent.Tenant, Intent: p.Intent.ID, Run: p.Intent.Run,
		From: p.From, To: intent.Claimed, Fence: p.Fence, Claimant: m.claimant,
		Events: []audit.Event{entry}, At: m.now(), Uses: true,
	}
	if p.Using != nil {
		s.Observe = []explain.Observation{p.Using()}
	}
	if p.From == intent.Unknown {
		s.To = intent.Sending
		s.Events = append(s.Events, m.sendingEvent(p.Intent, p.Fence+1, s.At))
	}
	return m.store.Step(ctx, s)
}

// sending makes it durable that bytes may leave from now on, and has it on the
// record: who puts the row back as it was before finds the log ahead of it.
func (m *Machine) sending(ctx context.Context, p Plan, fence int64) error {
	it, at := p.Intent, m.now()
	_, err := m.store.Step(ctx, Step{
		Tenant: it.Tenant, Intent: it.ID, Run: it.Run,
		From: intent.Claimed, To: intent.Sending, Fence: fence, At: at, Uses: true,
		Events: []audit.Event{m.sendingEvent(it, fence, at)},
	})
	return err
}

func (m *Machine) sendingEvent(it intent.Intent, fence int64, at time.Time) audit.Event {
	return audit.Event{
		Type: audit.IntentSending, Tenant: it.Tenant, At: at, Actor: "run:" + it.Run, Run: it.Run, Mission: it.Mission, Intent: it.ID,
		Connection: it.Connection, Tool: it.Tool, Fields: map[string]any{"attempt": m.claimant, "digest": it.Digest, "fence": fence,
			"system": it.Bound.Integration, "secret": it.Bound.SecretRef, "starter": it.Starter},
	}
}

// finish records the outcome; only then is the answer handed out. What panics in
// it is an outcome that could not be recorded.
func (m *Machine) finish(ctx context.Context, p Plan, fence int64, from intent.State, ans connector.Answer) (it intent.Intent, err error) {
	crash.Guard(func() { it, err = m.record(ctx, p, fence, from, ans) }, func(c *crash.Panic) {
		c.Log(ctx, m.log)
		it, err = p.Intent, m.halt(ctx, c)
	})
	return it, err
}

// clean is what the Worker sees of an answer, and why it is one. What panics here
// does so by what the system sent, which must not stop everything: it is not shown.
func (m *Machine) clean(ctx context.Context, p Plan, ans connector.Answer) (res intent.Result, why string) {
	crash.Guard(func() { res, why = p.Clean(ans), p.Why(ans) }, func(c *crash.Panic) {
		c.Log(ctx, m.log)
		res, why = intent.Result{Status: ans.Status, Note: "The answer is not shown: what reads it has " + c.Error() + "."}, c.Error()
	})
	return res, why
}

func (m *Machine) record(ctx context.Context, p Plan, fence int64, from intent.State, ans connector.Answer) (intent.Intent, error) {
	it := p.Intent
	to := settle(p, from, ans)
	res, reason := m.clean(ctx, p, ans)
	res.State = to
	if res.Body != nil && !json.Valid(res.Body) {
		res.Body, res.Note = nil, "The answer is not shown: it can't be recorded as JSON."
	}
	if res.Note == "" {
		res.Note = note(to, it.Effect, ans)
		if p.From == intent.Unknown && to == intent.Committed {
			res.Note = "Whether it was applied was unknown for a while; the same request was sent again under the same key, and it is applied once."
		}
	}
	at := m.now()
	_, err := m.store.Step(ctx, Step{
		Tenant: it.Tenant, Intent: it.ID, Run: it.Run,
		From: from, To: to, Fence: fence, Why: reason, Result: &res, Used: ans.Usage,
		Events:  []audit.Event{p.Outcome(to, res, ans)},
		Observe: []explain.Observation{p.Observe(to, res)},
		Outbox:  p.Follow(to, at), At: at,
	})
	if err != nil && from == intent.Claimed && it.Effect == resource.Write && fault.Is(err, fault.Conflict) {
		return it, err // nothing of this attempt has left, and somebody else has taken it over
	}
	if err != nil {
		return it, m.halt(ctx, err)
	}
	it.State, it.Result, it.Why, it.UpdatedAt = to, &res, reason, at
	m.crash(it, AfterRecord)
	return it, nil
}

// settle decides the state that an answer leads to.
func settle(p Plan, from intent.State, ans connector.Answer) intent.State {
	seen := p.Earlier && p.Seen != nil && ans.Outcome == connector.Refused && ans.Status != 0 && ans.Status == p.Seen()
	switch {
	case ans.Outcome == connector.Done, seen:
		return intent.Committed
	case p.From == intent.Unknown:
		// Whatever this attempt came to, it says nothing about the one before: a
		// refusal may be of the credential, of the rate, or of the day.
		return intent.Unknown
	case ans.Outcome == connector.Refused, ans.Outcome == connector.NotSent:
		return intent.Failed
	case p.Intent.Effect == resource.Read, from == intent.Claimed:
		return intent.Failed
	}
	// Unclear, or an answer that nobody classified: that is not a yes.
	return intent.Unknown
}

// note tells the Worker what the state means. UNKNOWN is neither an error nor a
// success.
func note(to intent.State, effect resource.Effect, ans connector.Answer) string {
	switch {
	case to == intent.Unknown:
		return "The request was sent and its outcome is not known. It is being looked up. Do not repeat it."
	case to == intent.Failed && effect == resource.Write && ans.Outcome == connector.NotSent:
		return "Nothing was sent: the system was not changed."
	case to == intent.Failed && effect == resource.Write:
		return "The system refused: it was not changed."
	}
	return ""
}
