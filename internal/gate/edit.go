package gate

import (
	"context"
	"encoding/json"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/policy"
)

// Editors says who may change an action that waits, or take it back.
type Editors interface {
	// Editable gives the Decision with its Intent, whole; an error is a refusal that
	// is on the record.
	Editable(ctx context.Context, who ident.Principal, id string, seen intent.Digest, now time.Time) (decision.Item, error)
	// Withdraw takes an open Decision out of the queue, for the Run whose action it is.
	Withdraw(ctx context.Context, who ident.Principal, tenant ident.Tenant, id, reason string, now time.Time) (decision.Decision, error)
}

// Edits stores changes of what waits.
type Edits interface {
	// Edit stores a changed Intent; see [Edited]. What it finds changed is a
	// decision.Refusal.
	Edit(ctx context.Context, e Edited) error
	// Refused appends the entry of what a person tried, and what does not count.
	Refused(ctx context.Context, ev audit.Event) error
}

// Edit is an approver's change of an action that waits.
type Edit struct {
	Decision string
	Seen     intent.Digest   // of the page that it was changed on
	Args     json.RawMessage // all of them, as they are to be
	Reason   string          // one line; may be empty
}

// Edited is a changed Intent, to be stored with what becomes true with it. The store
// compares that the Decision is open and not expired, and that the Intent is parked
// at the revision before; it keeps what the Intent was, and voids the Decision with
// its votes.
type Edited struct {
	Was      decision.Item
	Now      intent.Intent
	Decision decision.Decision
	Uses     []policy.Use // to be counted again in the transaction
	By       ident.Principal
	Reason   string
	Event    audit.Event
	Observe  explain.Observation
	At       time.Time
}

// Edit changes the arguments of an action that waits. What it then is goes through
// schema, known secrets and policy like a proposal, is bound anew, and waits for a
// new Decision: earlier votes are void, and the change approves nothing, also where
// policy would let it through. It waits no longer than the old one would have. What
// is refused leaves the action as it was. Errors: a decision.Refusal; Invalid,
// Denied, NotFound, Unavailable.
func (g *Gate) Edit(ctx context.Context, who ident.Principal, e Edit) (decision.Decision, error) {
	var none decision.Decision
	if err := g.Machine.Halted(); err != nil {
		return none, err
	}
	reason, err := decision.CleanReason(e.Reason)
	if err != nil {
		return none, err
	}
	item, err := g.Editors.Editable(ctx, who, e.Decision, e.Seen, g.Now())
	if err != nil {
		return none, err
	}
	c, err := g.changed(ctx, item, e.Args, reason)
	if err != nil {
		return none, err
	}
	if err := g.fits(ctx, c); err != nil {
		return none, g.notEdited(ctx, who, c, item.Decision, err)
	}
	d, err := g.askAnew(c, item.Decision)
	if err != nil {
		return none, g.notEdited(ctx, who, c, item.Decision, err)
	}
	defer g.Rail.Wake(c.it.Tenant, c.it.Run)
	fields := parkedFields(c, d)
	g.traced(ctx, c, &d, fields)
	fields["decision"], fields["from"], fields["revision"], fields["why"] = d.ID, item.Decision.ID, c.it.Revision, c.clip(g, reason)
	fields["result"] = intent.Salted(item.Intent.Salt, item.Intent.Args) // what they were
	delete(fields, "repeat")
	ev := g.event(c, audit.IntentEdited, fields)
	ev.Actor = who.String()
	changed := c.asked(d)
	changed.Decision.By, changed.Decision.Account, changed.Decision.Edits = who.Name, who.ID, intent.Diff(item.Intent.Args, c.it.Args)
	changed.Decision.Waited = int64(g.Now().Sub(item.Decision.CreatedAt).Seconds())
	err = g.Edits.Edit(ctx, Edited{Was: item, Now: c.it, Decision: d, Uses: c.verdict.Uses, By: who, Reason: c.clip(g, reason), Event: ev, At: g.Now(),
		Observe: g.record(c, explain.Decision, who.Name+" changed what waits: "+waitsFor(c, d), c.it.Edited, c.it.Args, changed)})
	return d, err
}

// changed is the candidate that the Intent becomes.
func (g *Gate) changed(ctx context.Context, item decision.Item, args json.RawMessage, reason string) (*candidate, error) {
	run, err := g.Runs.Run(ctx, item.Intent.Tenant, item.Intent.Run)
	if err != nil {
		return nil, err
	}
	p := intent.Proposal{Connection: item.Intent.Connection, Tool: item.Intent.Tool, Args: args, Reason: item.Intent.Reason}
	bad := p.Check()
	set := g.Vault.Scrub(item.Intent.Tenant)
	if len(set.Contains(p.Args)) > 0 || len(set.Contains([]byte(reason))) > 0 { // before anything of it is repeated
		return nil, fault.New(fault.Denied, "what was written holds a known secret, so it was not taken").
			WithHint("a credential is never part of the arguments: the Connection has it")
	}
	if bad != nil {
		return nil, bad
	}
	if item.Intent.Bound.Again != "" { // a system that knows its key would answer for what was sent then
		return nil, fault.New(fault.Conflict, "what is tried again is what was sent before, and can't be changed").
			WithHint("reject it; the Worker can propose another action")
	}
	if item.Intent.Edits >= decision.MaxEdits {
		return nil, fault.Newf(fault.Limit, "it was changed %d times already", decision.MaxEdits).WithHint("reject it, and say what is wanted")
	}
	if len(intent.Diff(item.Intent.Args, p.Args)) == 0 {
		return nil, fault.New(fault.Invalid, "nothing was changed")
	}
	c := &candidate{run: run, it: item.Intent}
	c.it.Args, c.it.Revision = p.Args, item.Intent.Revision+1
	c.it.UpdatedAt = g.Now()
	c.it.Edits++
	c.it.Edited = c.clip(g, differs(original(item), c.it.Args))
	c.it.Theirs, err = theirs(original(item), c.it.Args)
	return c, err
}

// fits takes what an edited action is through what a proposal goes through.
func (g *Gate) fits(ctx context.Context, c *candidate) error {
	if c.run.State == intent.RunEnded {
		return fault.New(fault.Denied, "the Run has ended")
	}
	if err := g.resolve(ctx, c); err != nil {
		return err
	}
	if err := g.withinLimits(c); err != nil {
		return err
	}
	if g.judge(ctx, c); c.verdict.Effect == policy.Deny {
		return denied(c.verdict)
	}
	return nil
}

// askAnew makes the Decision on a changed action. Where nobody is named for what it
// now is, who was asked before is asked, and in the same way.
func (g *Gate) askAnew(c *candidate, was decision.Decision) (d decision.Decision, err error) {
	if c.verdict.Effect != policy.Ask {
		c.verdict.Effect, c.verdict.Why = policy.Ask, "an approver changed it, so it waits for a person"
	}
	if err := c.bind(c.pins()); err != nil {
		return d, err
	}
	if d, err = g.ask(c); fault.Is(err, fault.Denied) {
		d, err = decision.New(c.it, was.Needs, 0, g.Now())
		d.Policies, d.PolicySet, d.Note, d.Passkey = c.verdict.Reasons, c.verdict.Hash, c.verdict.Why, was.Passkey
	}
	if d.ExpiresAt.After(was.ExpiresAt) {
		d.ExpiresAt = was.ExpiresAt
	}
	return d, err
}

// notEdited records that a change was refused, and gives why.
func (g *Gate) notEdited(ctx context.Context, who ident.Principal, c *candidate, d decision.Decision, why error) error {
	ev := g.event(c, audit.VerdictRefused, map[string]any{"decision": d.ID, "digest": d.Digest, "verdict": "edit", "why": c.clip(g, why.Error())})
	ev.Actor = who.String()
	if err := g.Edits.Refused(ctx, ev); err != nil {
		return fault.Wrap(fault.Unavailable, "recording a refused change", err)
	}
	return why
}

// original are the arguments as the Worker proposed them.
func original(item decision.Item) json.RawMessage {
	if len(item.Edits) > 0 {
		return item.Edits[0].Args
	}
	return item.Intent.Args
}

// theirs are the values that approvers gave, and the names that they added. What they
// took out is not theirs.
func theirs(was, is json.RawMessage) (json.RawMessage, error) {
	list := []any{}
	for _, d := range intent.Diff(was, is) {
		if d.Was == nil {
			list = append(list, d.Path)
		}
		if d.Is != nil {
			list = append(list, d.Is)
		}
	}
	return intent.Marshal(list)
}

// differs is a difference in words, for who proposed it.
func differs(was, is json.RawMessage) string {
	out := "an approver changed the arguments: "
	for i, d := range intent.Diff(was, is) {
		if i > 0 {
			out += "; "
		}
		switch {
		case d.Was == nil:
			out += d.Path + " is new: " + string(d.Is)
		case d.Is == nil:
			out += d.Path + " is left out"
		default:
			out += d.Path + " is " + string(d.Is) + " and not " + string(d.Was)
		}
	}
	return out
}
