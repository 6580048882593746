package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sallyport.dev/client"
	"sallyport.dev/examples/vendor-onboarding/company"
	"sallyport.dev/internal/api"
	"sallyport.dev/internal/app"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

const mission = "vendor-onboarding"

// runLimit is how long the demo waits for one Run's verdict.
const runLimit = 5 * time.Minute

// automatic is the demo without a person.
type automatic struct {
	*program
	d                   *demo.Demo
	requester, approver *client.Client
	hand                *authenticator // the approver's
	used                map[string]bool
}

// auto runs the suppliers through the Mission, over the API as people would,
// and verifies the audit log. An error says what was not as expected.
func (p *program) auto(ctx context.Context, d *demo.Demo, dir string, suppliers []supplier) error {
	a := &automatic{program: p, d: d, used: map[string]bool{}}
	scripted := d.Systems[company.ScriptedModel] != nil
	if err := a.tell(map[string]any{"event": "ready", "url": d.URL(), "data": dir, "scriptedModel": scripted}, func() {
		p.line("Sallyport is running with the example company at %s", d.URL())
		if scripted {
			p.line("The model is a script that speaks the OpenAI protocol, not a language model.")
		}
		p.line("Nobody is asked: the demo owns the factor of its approver, and approves as that person.")
	}); err != nil {
		return err
	}
	if err := a.signIn(ctx); err != nil {
		return err
	}
	if err := a.seen(ctx); err != nil {
		return err
	}
	var bad []error
	for _, s := range suppliers {
		err := a.one(ctx, s)
		if bad = append(bad, err); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errors.Join(append(bad, a.verifyLog(ctx, demo.ServerDir(dir)))...)
}

// tell reports what happens: an event with --json, else text.
func (a *automatic) tell(event any, text func()) error { return a.result(event, text) }

// signIn signs in as the two people that a Run takes.
func (a *automatic) signIn(ctx context.Context) (err error) {
	if a.requester, _, err = a.as(ctx, "requester"); err != nil {
		return err
	}
	a.approver, a.hand, err = a.as(ctx, "approver")
	return err
}

func (a *automatic) as(ctx context.Context, name string) (*client.Client, *authenticator, error) {
	hand := &authenticator{person: a.d.People[name], say: a.say}
	code, err := hand.next(ctx)
	if err != nil {
		return nil, nil, err
	}
	c, err := dial(a.d.URL(), "")
	if err != nil {
		return nil, nil, err
	}
	var s api.Session
	if err := c.Call(ctx, "POST", "/v1/sessions", api.SignIn{Name: name, Password: hand.person.Password, Code: code}, &s); err != nil {
		return nil, nil, fmt.Errorf("signing in as %s: %w", name, err)
	}
	c, err = dial(a.d.URL(), s.Token)
	return c, hand, err
}

// seen remembers which suppliers earlier Runs were about: onboarding one again
// would rightly find a duplicate.
func (a *automatic) seen(ctx context.Context) error {
	var out api.Runs
	if err := a.approver.Call(ctx, "GET", "/v1/runs?limit=500", nil, &out); err != nil {
		return err
	}
	for _, r := range out.Runs {
		var in struct{ Name string }
		if json.Unmarshal(r.Input, &in) == nil {
			a.used[in.Name] = true
		}
	}
	return nil
}

// one starts a Run, approves what it waits for, and compares its verdict.
func (a *automatic) one(ctx context.Context, s supplier) error {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	in, err := s.pick(a.used)
	if err != nil {
		return err
	}
	var started api.Started
	if err := a.requester.Call(ctx, "POST", route("v1", "missions", mission, "runs"), api.StartRun{Input: in}, &started); err != nil {
		return err
	}
	id := started.Run.ID
	if err := a.tell(map[string]any{"event": "run", "run": id, "input": in, "expect": s.expect}, func() {
		a.line("")
		a.line("%v: %s", in["name"], id)
	}); err != nil {
		return err
	}
	if err := a.watch(ctx, id); err != nil {
		return err
	}
	var r intent.Run
	if err := a.requester.Call(ctx, "GET", route("v1", "runs", id), nil, &r); err != nil {
		return err
	}
	if r.State != intent.RunEnded || s.expect != "" && r.Verdict != s.expect {
		return fault.Newf(fault.Conflict, "the Run %s is %s with the verdict %q, and %q was expected", id, r.State, r.Verdict, s.expect)
	}
	return a.tell(map[string]any{"event": "verdict", "run": id, "verdict": r.Verdict}, func() {})
}

// watch prints the Explain rail until the verdict.
func (a *automatic) watch(ctx context.Context, run string) error {
	ended := false
	err := a.requester.Lines(ctx, route("v1", "runs", run, "follow"), func(line []byte) error {
		var o explain.Observation
		if err := json.Unmarshal(line, &o); err != nil {
			return fault.New(fault.Internal, "the server's stream can't be read")
		}
		if err := a.tell(map[string]any{"event": "observation", "observation": json.RawMessage(line)}, func() { a.observation(o) }); err != nil {
			return err
		}
		ended = ended || o.Kind == explain.Verdict
		if o.Kind == explain.Decision {
			return a.approve(ctx, run)
		}
		return nil
	})
	if err == nil && !ended {
		err = fault.Newf(fault.Unavailable, "the Run %s ended without a verdict on its rail", run)
	}
	return err
}

// approve approves everything of a Run that waits now.
func (a *automatic) approve(ctx context.Context, run string) error {
	var q api.Queue
	if err := a.approver.Call(ctx, "GET", query("/v1/decisions", "run", run, "mine", "true"), nil, &q); err != nil {
		return err
	}
	for _, item := range q.Items {
		code, err := a.hand.next(ctx)
		if err != nil {
			return err
		}
		var d decision.Decision
		if err := a.approver.Call(ctx, "POST", route("v1", "decisions", item.Decision.ID), api.Verdict{
			Verdict: decision.Approve, Digest: item.Decision.Digest, Reason: "approved by the demo", Password: a.hand.person.Password, Code: code,
		}, &d); err != nil {
			return fmt.Errorf("approving as the demo's approver: %w", err)
		}
		if err := a.tell(map[string]any{"event": "decision", "decision": d.ID, "state": d.State, "by": strings.Join(d.By(), ", ")}, func() {}); err != nil {
			return err
		}
	}
	return nil
}

// verifyLog verifies the data directory while the server runs on it.
func (a *automatic) verifyLog(ctx context.Context, dir string) error {
	rep, err := app.VerifyAudit(ctx, dir, audit.VerifyOptions{})
	if err != nil {
		return err
	}
	if err := a.tell(map[string]any{"event": "audit", "ok": rep.OK(), "logs": rep.Logs}, func() {
		a.line("")
		for _, f := range rep.Findings() {
			a.line("%s", f)
		}
		for _, l := range rep.Logs {
			a.line("the audit log has %d entries, root %s", l.Size, l.Root)
		}
	}); err != nil {
		return err
	}
	if !rep.OK() {
		return &auditError{findings: len(rep.Findings())}
	}
	a.say("the audit log verifies")
	return nil
}
