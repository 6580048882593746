package gate

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
)

// Reconciling: how often a system that doesn't answer is asked before a person
// is, and how long a write may take effect after its request when the Tool
// doesn't say.
const (
	maxLookups    = 6
	defaultSettle = 30 * time.Second
)

// Reconcile finds out what became of a write whose outcome is unknown. tries is
// how often it was called already. It returns when to call again, or zero when the
// question is closed: COMMITTED when the system has it, NOT_APPLIED when it has
// not after the time that it may still take. Where the system can't be asked, the
// same request is sent again under its key, if the Integration declares that;
// else a person is asked: NEEDS_HUMAN. An [intent.Stopped] means: later, and it
// is not counted.
func (g *Gate) Reconcile(ctx context.Context, tenant ident.Tenant, id string, tries int) (again time.Time, err error) {
	if err := g.Machine.Halted(); err != nil {
		return again, err
	}
	it, err := g.Intents.Intent(ctx, tenant, id)
	if err != nil || it.State != intent.Unknown && it.State != intent.Sending {
		return again, err
	}
	at, err := g.Intents.Attempt(ctx, tenant, id)
	if err != nil {
		return again, err
	}
	if it.State == intent.Sending {
		return again, g.underWay(ctx, it, at)
	}
	run, err := g.Runs.Run(ctx, tenant, it.Run)
	if err != nil {
		return again, err
	}
	c := &candidate{run: run, it: it}
	asked := g.Now()
	var found json.RawMessage
	var settle time.Duration
	err = crash.Try(ctx, g.Log, func() (err error) { // what a hostile answer brings about is for a person, not for another try
		found, settle, err = g.lookup(ctx, c)
		return err
	})
	_, stopped := errors.AsType[*intent.Stopped](err)
	switch {
	case stopped:
		return again, err
	case err != nil && tries < maxLookups && fault.Is(err, fault.Unavailable):
		return g.Now().Add(time.Second << min(tries, 6)), nil
	case err != nil:
		return g.resend(ctx, c, at, err)
	case found != nil:
		return again, g.closeUnknown(ctx, c, at.Fence, closing{to: intent.Committed, why: "the system was asked and has it", body: found})
	}
	// Since when no byte of ours was under way any more: UNKNOWN was recorded
	// after the call had ended. The system may still be at it for a while.
	over := at.Sent
	if it.UpdatedAt.After(over) {
		over = it.UpdatedAt
	}
	if asked.Before(over.Add(settle)) {
		return over.Add(settle), nil
	}
	return again, g.closeUnknown(ctx, c, at.Fence, closing{to: intent.NotApplied, why: "the system was asked and does not have it"})
}

// lookup makes the Tool's lookup call, as a read of its own with its own audit
// entry. found is the record, or nil when the system has none.
func (g *Gate) lookup(ctx context.Context, c *candidate) (found json.RawMessage, settle time.Duration, err error) {
	world, err := g.World(c.it.Tenant)
	if err != nil {
		return nil, 0, err
	}
	m, err := world.Catalog.Match(c.run.Mission, c.it.Connection, c.it.Tool)
	if err != nil {
		return nil, 0, fault.Wrap(fault.Denied, "the Mission no longer holds the Connection", err)
	}
	l := m.Tool.Lookup
	if l == nil {
		return nil, 0, fault.New(fault.NotFound, "the Tool has no lookup")
	}
	settle = l.Settle.D(defaultSettle)
	args, err := lookupArgs(l.Args, c.it.ID)
	if err != nil {
		return nil, 0, err
	}
	now := g.Now()
	lc := &candidate{run: c.run, own: true, it: intent.Intent{
		Tenant: c.it.Tenant, ID: ident.At("int", now), Revision: 1, Run: c.it.Run, Mission: c.it.Mission, Starter: c.it.Starter,
		Connection: l.Connection, Tool: l.Tool, Args: args, Salt: rand.Text(), CreatedAt: now,
		Reason: fmt.Sprintf("looking up what became of %s", c.it.ID), // without a key: an earlier answer says nothing about now
	}}
	res, err := g.read(ctx, lc)
	if err != nil {
		return nil, settle, err
	}
	if res.Truncated {
		return nil, settle, errNoAnswer
	}
	found, err = pointer(res.Body, l.Found)
	return found, settle, err
}

// read admits one read of the Boundary's own, in the name of the Run.
func (g *Gate) read(ctx context.Context, c *candidate) (*intent.Result, error) {
	if err := g.resolve(ctx, c); err != nil {
		return nil, err
	}
	if g.judge(ctx, c); c.it.Effect != resource.Read || c.verdict.Effect != policy.Allow {
		return nil, fault.New(fault.Denied, "the lookup is not a read that policy allows")
	}
	it, err := g.propose(ctx, c)
	if err != nil {
		return nil, err
	}
	if it.State != intent.Committed || it.Result == nil {
		return nil, fault.New(fault.Unavailable, "the lookup had no answer")
	}
	return it.Result, nil
}

// lookupArgs puts the Intent's id where the lookup's arguments say "$reference".
func lookupArgs(in map[string]any, reference string) (json.RawMessage, error) {
	args := make(map[string]any, len(in))
	for k, v := range in {
		if v == "$reference" {
			v = reference
		}
		args[k] = v
	}
	return intent.Marshal(args)
}

// errNoAnswer: what came back says neither that the system has it nor that it
// has not.
var errNoAnswer = fault.New(fault.Unavailable, "the lookup's answer is not one that its Found pointer can be followed in")

// pointer follows a JSON pointer (RFC 6901). nil without an error means that the
// answer says no: the place is there and null or an empty array, or it is beyond
// the end of an array that is there. Anything else that leads nowhere is no
// answer, and no reason to believe that a write was not applied.
func pointer(doc json.RawMessage, ptr string) (json.RawMessage, error) {
	cur := doc
	if ptr != "" {
		for tok := range strings.SplitSeq(strings.TrimPrefix(ptr, "/"), "/") {
			next, err := child(cur, strings.NewReplacer("~1", "/", "~0", "~").Replace(tok))
			if err != nil || next == nil {
				return nil, err
			}
			cur = next
		}
	} else if s := strings.TrimSpace(string(doc)); s == "" || s == "null" {
		return nil, errNoAnswer
	}
	var list []json.RawMessage
	if json.Unmarshal(cur, &list) == nil && len(list) == 0 { // null too
		return nil, nil
	}
	return cur, nil
}

func child(doc json.RawMessage, tok string) (json.RawMessage, error) {
	switch s := strings.TrimSpace(string(doc)); {
	case strings.HasPrefix(s, "["):
		var list []json.RawMessage
		i, err := strconv.Atoi(tok)
		if json.Unmarshal(doc, &list) != nil || err != nil || i < 0 || strconv.Itoa(i) != tok {
			return nil, errNoAnswer
		}
		if i >= len(list) {
			return nil, nil
		}
		return list[i], nil
	case strings.HasPrefix(s, "{"):
		var obj map[string]json.RawMessage
		if json.Unmarshal(doc, &obj) != nil || obj[tok] == nil {
			return nil, errNoAnswer
		}
		return obj[tok], nil
	}
	return nil, errNoAnswer
}

// closing is how the question ends of what became of a write.
type closing struct {
	to     intent.State
	actor  string // empty: the Boundary itself
	why    string
	factor string // of a person: what they confirmed it with
	body   json.RawMessage
}

// closeUnknown ends the question.
func (g *Gate) closeUnknown(ctx context.Context, c *candidate, fence int64, end closing) error {
	at := g.Now()
	why := c.clip(g, end.why)
	res := intent.Result{State: end.to, Body: end.body, Edited: c.it.Edited}
	switch end.to {
	case intent.Committed:
		res.Note = "Whether it was applied was unknown for a while; it was: " + why
	case intent.NotApplied:
		res.Note = "It was not applied: " + why + ". Propose it again if it is still wanted."
	default:
		res.Note = "Whether it was applied is not known, and " + why + ". A person has to find out. Do not repeat it."
	}
	msgs := []commit.Message{{Kind: commit.MsgSegment, Ref: c.it.Run, Due: at}}
	if end.to == intent.NeedsHuman {
		msgs = nil
	}
	_, err := g.Intents.Step(ctx, commit.Step{
		Tenant: c.it.Tenant, Intent: c.it.ID, Run: c.it.Run, From: c.it.State, To: end.to, Fence: fence, Why: why, Result: &res,
		Events: []audit.Event{g.resolvedEvent(c, end, why)}, Observe: []explain.Observation{g.record(c, explain.ToolCall, action(c.it)+": "+string(end.to), res.Note, end.body, c.outcome(end.to, res))},
		Outbox: msgs, At: at,
	})
	g.Rail.Wake(c.it.Tenant, c.it.Run)
	return err
}

func (g *Gate) resolvedEvent(c *candidate, end closing, why string) audit.Event {
	ev := g.event(c, audit.IntentResolved, map[string]any{"state": end.to, "digest": c.it.Digest, "why": why, "method": "lookup"})
	ev.Actor = "system:reconcile"
	if end.actor != "" {
		ev.Actor, ev.Fields["method"], ev.Fields["factor"] = end.actor, "person", end.factor
	}
	return ev
}
