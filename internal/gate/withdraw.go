package gate

import (
	"context"
	"strconv"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Pending lists the open Intents of the caller's own Run, the oldest first: what waits
// for a person or is being carried out, and what nobody knows the outcome of.
func (g *Gate) Pending(ctx context.Context, who ident.Principal) ([]intent.Intent, error) {
	r, err := g.run(ctx, who)
	if err != nil {
		return nil, err
	}
	return g.WorkerRuns.UnderWay(ctx, r.Tenant, r.ID)
}

// maxRaces is how often a withdrawal is tried that others come between.
const maxRaces = 5

// Withdraw takes back an action of the caller's own Run that has not begun: one that
// waits for a Decision, or was approved and not claimed. What was withdrawn stays so,
// and is given. Errors: NotFound; Conflict, with the Intent, when it has begun or ended.
func (g *Gate) Withdraw(ctx context.Context, who ident.Principal, id string) (intent.Intent, error) {
	r, err := g.run(ctx, who)
	if err != nil {
		return intent.Intent{}, err
	}
	if err := g.Machine.Halted(); err != nil {
		return intent.Intent{}, err
	}
	if err := g.metered(ctx, r); err != nil {
		return intent.Intent{}, err
	}
	var it intent.Intent
	for range maxRaces {
		if it, err = g.Lookup(ctx, who, id); err != nil {
			return intent.Intent{}, err
		}
		switch it.State {
		case intent.Withdrawn:
			return it, nil
		case intent.Parked:
			err = g.unask(ctx, who, it)
		case intent.Approved:
			err = g.takeBack(ctx, r, it)
		default:
			return it, fault.Newf(fault.Conflict, "it is %s and can't be withdrawn any more", it.State).
				WithHint("what has begun is carried out; look at it again for its outcome")
		}
		if err == nil {
			return g.Lookup(ctx, who, id)
		}
		if code := decision.CodeOf(err); code == "" && !fault.Is(err, fault.Conflict) {
			return it, err
		} // somebody decided, or it was claimed: it is looked at again
	}
	return it, err
}

// unask takes an action out of the Decision Queue.
func (g *Gate) unask(ctx context.Context, who ident.Principal, it intent.Intent) error {
	d, err := g.Decisions.DecisionOf(ctx, it.Tenant, it.ID)
	if err != nil {
		return err
	}
	_, err = g.Editors.Withdraw(ctx, who, it.Tenant, d.ID, "", g.Now())
	return err
}

// takeBack ends an action that was approved, before its attempt is claimed: of the two
// one comes first.
func (g *Gate) takeBack(ctx context.Context, r intent.Run, it intent.Intent) error {
	d, err := g.Decisions.DecisionOf(ctx, it.Tenant, it.ID)
	if err != nil {
		return err
	}
	at, err := g.Intents.Attempt(ctx, it.Tenant, it.ID)
	if err != nil {
		return err
	}
	c := &candidate{run: r, it: it}
	const why = "it was withdrawn after it was approved"
	now := g.Now()
	_, err = g.Intents.Step(ctx, commit.Step{
		Tenant: it.Tenant, Intent: it.ID, Run: it.Run, From: intent.Approved, To: intent.Withdrawn, Fence: at.Fence, Why: why, At: now,
		Result: &intent.Result{State: intent.Withdrawn, Note: "Nothing was sent: " + why},
		Events: []audit.Event{g.event(c, audit.IntentDecided, map[string]any{"decision": d.ID, "digest": it.Digest, "revision": it.Revision,
			"verdict": string(decision.Withdrawn), "state": string(intent.Withdrawn), "why": why})},
		Observe: []explain.Observation{g.clean(c, explain.Decision, action(it)+" was withdrawn", "It was approved (revision "+strconv.Itoa(it.Revision)+"), and nothing was sent.", nil)},
		Outbox:  []commit.Message{{Kind: commit.MsgSegment, Ref: it.Run, Due: now}},
	})
	g.Rail.Wake(it.Tenant, it.Run)
	return err
}
