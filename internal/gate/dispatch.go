package gate

import (
	"context"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Dispatch executes an Intent that was approved, or that a process which died
// had claimed without sending anything. For an Intent in any other state it does
// nothing: a message may come twice. An error means: try again later.
func (g *Gate) Dispatch(ctx context.Context, tenant ident.Tenant, id string) error {
	if err := g.Machine.Halted(); err != nil {
		return err
	}
	it, err := g.Intents.Intent(ctx, tenant, id)
	if err != nil {
		return err
	}
	if it.State != intent.Approved && it.State != intent.Claimed && it.State != intent.Sending {
		return nil
	}
	at, err := g.Intents.Attempt(ctx, tenant, id)
	if err != nil {
		return err
	}
	if it.State == intent.Sending {
		return g.underWay(ctx, it, at)
	}
	run, err := g.Runs.Run(ctx, tenant, it.Run)
	if err != nil {
		return err
	}
	_, err = g.execute(ctx, &candidate{run: run, it: it}, it.State, at)
	if !fault.Is(err, fault.Conflict) {
		return err
	}
	// Somebody else took the step. Until that has come to an end, this message is
	// what comes back should it not.
	if it, err = g.Intents.Intent(ctx, tenant, id); err == nil && (it.State == intent.Claimed || it.State == intent.Sending) {
		err = fault.New(fault.Unavailable, "another attempt is under way")
	}
	return err
}

// underWay is asked about an attempt at which something is, or nothing any more:
// SENDING was written, and the store said that it was not. Nobody else would come
// back to that one. An error means: ask again later.
func (g *Gate) underWay(ctx context.Context, it intent.Intent, at commit.Attempt) error {
	switch {
	case at.Claimant != g.Machine.Claimant():
		return nil // it was closed at the start
	case !g.Machine.Abandoned(it.Tenant, it.ID, at):
		return fault.New(fault.Unavailable, "an attempt is under way")
	}
	// Nothing has left, but the record says that it may have: it is found out.
	return g.Recover(ctx, []commit.Left{{Intent: it, Fence: at.Fence}})
}

// execute runs the attempt; what does not pass the recheck is closed, so that
// the Worker learns of it and nothing waits for ever.
func (g *Gate) execute(ctx context.Context, c *candidate, from intent.State, at commit.Attempt) (intent.Intent, error) {
	approved, fence := c.it, at.Fence
	defer g.Rail.Wake(c.it.Tenant, c.it.Run)
	it, err := g.attempt(ctx, c, g.plan(c, from, at))
	if err == nil || g.Machine.Halted() != nil {
		return it, err
	}
	switch {
	case fault.Is(err, fault.Unavailable), fault.Is(err, fault.Internal):
		return it, err
	case fault.Is(err, fault.Pending):
		return g.repark(ctx, c, approved, from, fence, err)
	}
	c.it = approved
	return g.void(ctx, c, from, fence, err)
}

// void closes an Intent that may not be executed any more.
func (g *Gate) void(ctx context.Context, c *candidate, from intent.State, fence int64, cause error) (intent.Intent, error) {
	to := intent.Failed
	switch {
	case from != intent.Approved:
		// It was claimed once, so it ends as an attempt that sent nothing.
	case decision.CodeOf(cause) == decision.TooLate:
		to = intent.Expired
	case fault.Is(cause, fault.Denied):
		to = intent.Denied
	}
	at := g.Now()
	unsent, _ := c.whyNot(cause)
	why := c.clip(g, cause.Error())
	res := intent.Result{State: to, Note: "Nothing was sent: " + why}
	if h := fault.HintOf(cause); h != "" {
		res.Note += " (" + h + ")"
	}
	_, err := g.Intents.Step(ctx, commit.Step{
		Tenant: c.it.Tenant, Intent: c.it.ID, Run: c.it.Run, From: from, To: to, Fence: fence, Why: why, Result: &res,
		Events:  []audit.Event{g.event(c, audit.IntentDenied, map[string]any{"verdict": fault.KindOf(cause), "state": to, "digest": c.it.Digest, "why": why})},
		Observe: []explain.Observation{g.record(c, explain.Check, action(c.it)+" was not sent", res.Note, nil, unsent)},
		Outbox:  []commit.Message{{Kind: commit.MsgSegment, Ref: c.it.Run, Due: at}}, At: at,
	})
	it := c.it
	if err == nil {
		it.State, it.Why, it.Result = to, why, &res
	}
	return it, err
}

// repark asks again, for what is asked for now: a new revision of the Intent,
// bound anew, under a new Decision. One that was claimed before can't go back.
func (g *Gate) repark(ctx context.Context, c *candidate, was intent.Intent, from intent.State, fence int64, cause error) (intent.Intent, error) {
	c.it = was
	c.it.Revision++
	err := c.bind(c.pins())
	var d decision.Decision
	if err == nil {
		d, err = g.ask(c)
	}
	if err == nil && from != intent.Approved {
		err = cause
	}
	if err != nil {
		c.it = was
		return g.void(ctx, c, from, fence, err)
	}
	c.it.State = intent.Parked
	fields := parkedFields(c, d)
	g.traced(ctx, c, &d, fields)
	err = g.Intents.Repark(ctx, commit.Step{
		Tenant: c.it.Tenant, Intent: c.it.ID, Run: c.it.Run, From: from, To: intent.Parked, Fence: fence, At: g.Now(),
		Events:  []audit.Event{g.event(c, audit.IntentParked, fields)},
		Observe: []explain.Observation{g.record(c, explain.Decision, waitsFor(c, d), cause.Error(), c.it.Args, c.asked(d))},
	}, c.it, d, c.verdict.Uses)
	if fault.Is(err, fault.Invalid) { // nobody is there who could be asked
		c.it = was
		return g.void(ctx, c, from, fence, err)
	}
	return c.it, err
}

// Recover closes what an earlier process left behind. It is called once, after
// the start and before anything is admitted.
func (g *Gate) Recover(ctx context.Context, left []commit.Left) error {
	return g.Machine.Sweep(ctx, left,
		func(it intent.Intent, to intent.State) audit.Event {
			c := &candidate{it: it}
			ev := g.event(c, audit.IntentSwept, map[string]any{"state": to, "digest": it.Digest, "why": "the process that was at it has ended; it was " + string(it.State)})
			ev.Actor = "system:recovery"
			return ev
		},
		func(it intent.Intent, to intent.State) explain.Observation {
			text := "The process stopped before anything was sent; it goes on."
			if it.State == intent.Sending {
				text = "The process stopped while the request was under way. Whether it was applied is looked up now."
			}
			return g.clean(&candidate{it: it}, explain.Problem, action(it)+": "+string(to)+" after a restart", text, nil)
		})
}
