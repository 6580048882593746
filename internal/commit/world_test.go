package commit_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

var (
	noon    = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	errDisk = fault.New(fault.Unavailable, "the disk is full")
)

// row is an Intent as the store has it.
type row struct {
	state    intent.State
	fence    int64
	claimant string
}

// mishap is what happens to a step of the store.
type mishap string

const (
	fine    mishap = ""
	lost    mishap = "lost"    // nothing was written, and the caller is told
	written mishap = "written" // it was written, and the caller is told that it was not
)

// world is a store and a system, which write down what is done in which order.
type world struct {
	t       *testing.T
	mu      sync.Mutex
	rows    map[string]row
	steps   []commit.Step // that were made
	trace   []string
	mishaps map[intent.State]mishap // by the state that a step leads to
	ctxs    map[string]error        // ctx.Err() as each part saw it
	log     bytes.Buffer
	*commit.Machine
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, rows: map[string]row{}, mishaps: map[intent.State]mishap{}, ctxs: map[string]error{}}
	w.Machine = commit.New(w, "proc_1", func() time.Time { return noon }, slog.New(slog.NewTextHandler(&w.log, nil)))
	return w
}

func (w *world) note(ctx context.Context, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, what)
	w.ctxs[what] = ctx.Err()
}

// Step is the store: a compare-and-swap on state and fence.
func (w *world) Step(ctx context.Context, s commit.Step) (int64, error) {
	w.note(ctx, string(s.To))
	if err := ctx.Err(); err != nil {
		return 0, fault.Wrap(fault.Unavailable, "waiting for the store", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mishaps[s.To] == lost {
		return 0, errDisk
	}
	r := w.rows[s.Intent]
	if r.state != s.From || r.fence != s.Fence || !s.From.Can(s.To) {
		return 0, fault.Newf(fault.Conflict, "it is %s/%d", r.state, r.fence)
	}
	if r.state = s.To; s.To == intent.Claimed {
		r.fence++
		r.claimant = s.Claimant
	}
	w.rows[s.Intent], w.steps = r, append(w.steps, s)
	if w.mishaps[s.To] == written {
		return 0, errDisk
	}
	return r.fence, nil
}

// do is an action that the system answers in some way.
type do struct {
	effect resource.Effect
	from   intent.State
	fence  int64
	answer connector.Answer
	open   error
}

func (w *world) plan(d do) commit.Plan {
	it := intent.Intent{Tenant: "acme", ID: "int_1", Run: "run_1", Effect: d.effect, State: d.from}
	w.rows[it.ID] = row{state: d.from, fence: d.fence}
	if d.from == intent.Proposed { // the claim was part of the proposal
		w.rows[it.ID] = row{state: intent.Claimed, fence: d.fence}
	}
	return commit.Plan{
		Intent: it, From: d.from, Fence: d.fence,
		Recheck: func(ctx context.Context) (audit.Event, error) {
			w.note(ctx, "recheck")
			return audit.Event{Type: audit.IntentClaimed, Intent: it.ID}, nil
		},
		Open: func(ctx context.Context) (http.RoundTripper, error) {
			w.note(ctx, "open")
			return http.NewFileTransport(nil), d.open
		},
		Send: func(ctx context.Context, door http.RoundTripper) connector.Answer {
			w.note(ctx, "send")
			if door == nil {
				w.t.Error("it is sent without a door")
			}
			return d.answer
		},
		Why: func(a connector.Answer) string {
			if a.Err == nil {
				return ""
			}
			return a.Err.Error()
		},
		Clean: func(a connector.Answer) intent.Result {
			w.note(w.t.Context(), "clean")
			return intent.Result{Status: a.Status, Body: a.Body}
		},
		Outcome: func(to intent.State, _ intent.Result, _ connector.Answer) audit.Event {
			return audit.Event{Type: audit.IntentOutcome, Intent: it.ID, Fields: map[string]any{"state": to}}
		},
		Observe: func(to intent.State, res intent.Result) explain.Observation {
			return explain.Observation{Title: string(to), Data: res.Body}
		},
		Follow: func(to intent.State, at time.Time) []commit.Message {
			return []commit.Message{{Kind: "after " + string(to), Ref: it.ID, Due: at}}
		},
	}
}

func (w *world) wantTrace(want string) {
	w.t.Helper()
	if got := strings.Join(w.trace, " "); got != want {
		w.t.Errorf("the order was\n%s, want\n%s", got, want)
	}
}

func (w *world) did(what string) bool { return slices.Contains(w.trace, what) }

func (w *world) wantRow(state intent.State, fence int64) {
	w.t.Helper()
	if r := w.rows["int_1"]; r.state != state || r.fence != fence {
		w.t.Errorf("the store has %s with fence %d, want %s with %d", r.state, r.fence, state, fence)
	}
}

// write is an approved write that succeeds.
func write() do {
	return do{effect: resource.Write, from: intent.Approved, answer: connector.Answer{Outcome: connector.Done, Status: 201, Body: []byte(`{"id":7}`)}}
}

// read is one whose claim was part of the proposal.
func read() do {
	return do{effect: resource.Read, from: intent.Proposed, fence: 1, answer: connector.Answer{Outcome: connector.Done, Status: 200, Body: []byte(`[]`)}}
}
