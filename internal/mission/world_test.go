package mission_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/connector/model"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/mission"
	"sallyport.dev/internal/resource"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

var errDown = fault.New(fault.Unavailable, "the store does not answer")

// world is a Boundary and a store, with a model that says what it was told to.
type world struct {
	*mission.Loop
	t        *testing.T
	run      intent.Run
	brief    intent.Brief
	msgs     []json.RawMessage
	says     []model.Response // the model's next answers
	asked    []model.Request  // what it was asked
	byKey    map[string]*intent.Intent
	proposed []intent.Proposal
	// decide says what becomes of a proposal that is not a completion.
	decide   func(intent.Proposal) (intent.State, error)
	observed []string
	ended    []string // verdict, summary
	waits    int
	rests    []time.Duration
	failing  map[string]error // once, by method
	secret   string           // what has become known as one
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, run: intent.Run{Tenant: "acme", ID: "run_1", State: intent.RunRunning, Input: json.RawMessage(`{"name":"Siemens"}`)},
		byKey: map[string]*intent.Intent{}, failing: map[string]error{}}
	w.decide = func(intent.Proposal) (intent.State, error) { return intent.Committed, nil }
	tool := func(conn, name string, e resource.Effect) intent.Tool {
		return intent.Tool{Name: conn + "__" + name, Connection: conn, Tool: name, Effect: e, Schema: json.RawMessage(`{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}`)}
	}
	w.brief = intent.Brief{Run: w.run, Title: "Onboard", Goal: "Do it.", Model: "model", Tools: []intent.Tool{tool("erp-read", "find", resource.Read), tool("erp-write", "create", resource.Write)}}
	w.restart()
	return w
}

// restart is a new process over the same store.
func (w *world) restart() {
	w.Loop = mission.New(w, w, w.clean, func() time.Time { return noon }, slog.New(slog.DiscardHandler))
}

// clean takes out what the test has made known as a secret.
func (w *world) clean(_ ident.Tenant, s string) string {
	if w.secret == "" {
		return s
	}
	return strings.ReplaceAll(s, w.secret, "[secret:x]")
}

// fails gives the error that was set for a method, once.
func (w *world) fails(method string) error {
	err := w.failing[method]
	delete(w.failing, method)
	return err
}

func (w *world) Brief(context.Context, ident.Principal) (intent.Brief, error) {
	return w.brief, w.fails("Brief")
}

func (w *world) Admit(_ context.Context, who ident.Principal, p intent.Proposal) (intent.Intent, error) {
	if who.Kind != ident.Run || who.ID != w.run.ID || who.Tenant != "acme" {
		w.t.Errorf("%v proposes", who)
	}
	if p.Tool == model.Complete {
		return w.complete(p)
	}
	w.proposed = append(w.proposed, p)
	if err := w.fails("Admit " + p.Tool); err != nil {
		return intent.Intent{}, err
	}
	if it := w.byKey[p.Key]; it != nil {
		return *it, nil
	}
	state, err := w.decide(p)
	if err != nil {
		return intent.Intent{}, err
	}
	it := &intent.Intent{ID: "int_" + p.Key, Tool: p.Tool, State: state, Result: &intent.Result{State: state, Body: json.RawMessage(`{"of":"` + p.Tool + `"}`)}}
	w.byKey[p.Key] = it
	return *it, w.fails("after " + p.Tool) // it is stored, and nobody was told
}

func (w *world) complete(p intent.Proposal) (intent.Intent, error) {
	var req model.Request
	if err := json.Unmarshal(p.Args, &req); err != nil || p.Connection != "model" {
		w.t.Fatalf("the model was asked %s of %s: %v", p.Args, p.Connection, err)
	}
	if err := w.fails("complete"); err != nil {
		return intent.Intent{}, err
	}
	w.asked = append(w.asked, req)
	if len(w.says) == 0 {
		return intent.Intent{State: intent.Failed, Why: "the model has nothing to say"}, nil
	}
	body, err := json.Marshal(w.says[0])
	w.must(err)
	w.says = w.says[1:]
	return intent.Intent{State: intent.Committed, Result: &intent.Result{Body: body}}, nil
}

func (w *world) Observe(_ context.Context, _ ident.Principal, k explain.Kind, _, text string) error {
	if err := w.fails("Observe"); err != nil {
		return err
	}
	w.observed = append(w.observed, string(k)+": "+text)
	return nil
}

func (w *world) EndRun(_ context.Context, _ ident.Principal, verdict, summary string) error {
	if err := w.fails("EndRun"); err != nil {
		return err
	}
	if len(verdict) > 40 || len(summary) > intent.MaxReason {
		return fault.New(fault.Invalid, "the verdict or the summary is too long")
	}
	if w.run.State == intent.RunEnded {
		return fault.New(fault.Denied, "the Run has ended")
	}
	w.run.State, w.ended = intent.RunEnded, []string{verdict, summary}
	return nil
}

func (w *world) Run(context.Context, ident.Tenant, string) (intent.Run, error) {
	return w.run, w.fails("Run")
}

func (w *world) Transcript(context.Context, ident.Tenant, string) ([]json.RawMessage, error) {
	return slices.Clone(w.msgs), w.fails("Transcript")
}

func (w *world) AppendTranscript(_ context.Context, _ ident.Tenant, _ string, n int, msgs []json.RawMessage, _ time.Time) error {
	if err := w.fails("AppendTranscript"); err != nil {
		return err
	}
	if n != len(w.msgs) {
		return fault.New(fault.Conflict, "another process appends")
	}
	w.msgs = append(w.msgs, msgs...)
	return nil
}

func (w *world) Wait(_ context.Context, _ ident.Tenant, _ string, open []string) error {
	for _, it := range w.byKey {
		if slices.Contains(open, it.ID) && it.State.Final() {
			return fault.New(fault.Conflict, "there is something to go on with")
		}
	}
	w.waits++
	w.run.State = intent.RunWaiting
	return w.fails("Wait")
}

// Rest makes the Run wait, and says how often it has now.
func (w *world) Rest(_ context.Context, _ ident.Tenant, _ string, until func(int) time.Time) (int, error) {
	if err := w.fails("Rest"); err != nil {
		return 0, err
	}
	if w.run.State != intent.RunRunning {
		return 0, fault.New(fault.Conflict, "the run is not running")
	}
	w.run.State, w.rests = intent.RunWaiting, append(w.rests, until(len(w.rests)+1).Sub(noon))
	return len(w.rests), nil
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// turn does one turn that must not fail.
func (w *world) turn(want mission.Next) {
	w.t.Helper()
	got, err := w.Turn(w.t.Context(), "acme", w.run.ID)
	w.must(err)
	if got != want {
		w.t.Fatalf("the turn ended with %q, want %q", got, want)
	}
}

// fails makes a turn that has to fail, in a way that is worth another try.
func (w *world) failedTurn() {
	w.t.Helper()
	if next, err := w.Turn(w.t.Context(), "acme", w.run.ID); err == nil || next != "" || len(w.ended) > 0 {
		w.t.Fatalf("the turn said %q, %v", next, err)
	}
}

func (w *world) messages() []model.Message {
	w.t.Helper()
	out := make([]model.Message, len(w.msgs))
	for i, raw := range w.msgs {
		w.must(json.Unmarshal(raw, &out[i]))
	}
	return out
}

// answers are the results in the transcript, by the call's id.
func (w *world) answers() map[string]string {
	w.t.Helper()
	out := map[string]string{}
	for _, m := range w.messages() {
		if m.Role != model.ToolRole {
			continue
		}
		if _, twice := out[m.ToolCallID]; twice {
			w.t.Errorf("the call %s has two results", m.ToolCallID)
		}
		out[m.ToolCallID] = m.Content
	}
	return out
}

func call(id, name, args string) model.ToolCall {
	return model.ToolCall{ID: id, Name: name, Args: json.RawMessage(args)}
}

func calls(c ...model.ToolCall) model.Response { return model.Response{ToolCalls: c} }

func text(s string) model.Response { return model.Response{Text: s, StopReason: model.StopEnd} }

var (
	find   = call("a", "erp-read__find", `{"name":"Siemens"}`)
	create = call("b", "erp-write__create", `{"name":"Siemens","_reason":"it is new"}`)
	finish = call("c", "finish", `{"verdict":"done","summary":"It is there."}`)
)
