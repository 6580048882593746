package gate

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
)

// Limits on one Run.
const (
	maxRefusals    = 200 // of proposals, before the Run is stopped: each is written down
	maxIncidents   = 3   // known secrets met in what a Worker sent, before the Run is stopped
	inlineDispatch = 2 * time.Minute
)

// Admit takes a Worker's proposal as far as it goes now: it returns the Intent
// as COMMITTED, FAILED or UNKNOWN when it was executed, as PARKED when a person
// has to decide, or an error when it was refused. The same proposal again
// returns the same Intent.
func (g *Gate) Admit(ctx context.Context, who ident.Principal, p intent.Proposal) (intent.Intent, error) {
	if err := g.Machine.Halted(); err != nil {
		return intent.Intent{}, err
	}
	run, err := g.run(ctx, who)
	if err != nil {
		return intent.Intent{}, err
	}
	if err := g.metered(ctx, run); err != nil {
		return intent.Intent{}, err
	}
	now := g.Now()
	c := &candidate{run: run, it: intent.Intent{
		Tenant: who.Tenant, ID: ident.At("int", now), Revision: 1, Run: run.ID, Mission: run.Mission, Starter: run.Starter,
		Connection: p.Connection, Tool: p.Tool, Reason: p.Reason, Repeat: p.Repeat, Key: p.Key, Source: sourceOf(run, p), Salt: rand.Text(), CreatedAt: now, UpdatedAt: now,
	}}
	bad := p.Check()
	// Also what is malformed is searched: the refusal must not hide the incident,
	// nor repeat a part of what the Worker wrote that is too short to be found.
	if err := g.incident(ctx, c, p.Args, texts(p.Reason, p.Key, p.Connection, p.Tool)...); err != nil {
		return c.it, err
	}
	if bad != nil {
		return c.it, g.refuse(ctx, c, bad)
	}
	c.it.Args = p.Args
	if it, err := g.earlier(ctx, c); err == nil || !fault.Is(err, fault.NotFound) {
		return it, err
	}
	// What a person has stopped is neither refused nor counted: it waits. Of the
	// Connection it is said only to who holds it.
	if err := g.stopped(ctx, c, ""); err != nil {
		return c.it, err
	}
	if err := g.resolve(ctx, c); err != nil {
		return c.it, g.refuse(ctx, c, err)
	}
	if err := g.stopped(ctx, c, c.it.Connection); err != nil {
		return c.it, err
	}
	if err := g.withinLimits(c); err != nil {
		return c.it, g.refuse(ctx, c, err)
	}
	return g.judged(ctx, c)
}

// earlier is the Intent that the proposal's key stands for already. It comes
// before grant and policy: what was committed stays committed, whatever they say
// now, and to call it denied would invite a second write.
func (g *Gate) earlier(ctx context.Context, c *candidate) (intent.Intent, error) {
	if c.it.Key == "" {
		return c.it, errNoKey
	}
	it, args, err := g.Earlier.IntentByKey(ctx, c.it.Tenant, c.it.Run, c.it.Key)
	if err != nil {
		return c.it, err
	}
	if it.Connection != c.it.Connection || it.Tool != c.it.Tool || !args.Equal(intent.SHA256(c.it.Args)) {
		return c.it, g.refuse(ctx, c, errKeyUsed)
	}
	return it, nil
}

var (
	errNoKey   = fault.New(fault.NotFound, "the proposal has no key")
	errKeyUsed = fault.New(fault.Conflict, "the key was used for another proposal of this Run").WithHint("use a new key for each action")
)

// propose stores the Intent in the state that policy gave it, and executes it
// when nobody has to be asked.
func (g *Gate) propose(ctx context.Context, c *candidate) (intent.Intent, error) {
	if !c.own { // what became of a write is found out, whoever may not act any more
		var err error
		if c.outside, err = g.outsiderOf(ctx, c.run); err != nil {
			return c.it, err
		}
	}
	if c.outside != nil {
		c.it.Owner = c.outside.owner
	}
	prop, err := g.proposed(c)
	if err != nil {
		return c.it, g.refuse(ctx, c, err)
	}
	if c.it.State == intent.Parked {
		g.traced(ctx, c, prop.Decision, prop.Events[0].Fields)
	}
	prop.Observe = g.proposalRecords(c, prop.Decision)
	if c.outside != nil && c.it.State == intent.Parked {
		prop.Quotas = c.outside.parked()
	}
	it, fresh, err := g.Intents.Propose(ctx, prop)
	if over, ok := errors.AsType[*OverLimit](err); ok {
		c.it.State = intent.Denied // nothing was stored
		return c.it, g.exceeded(ctx, c.it.Tenant, ident.WorkerName(c.run.Starter), over)
	}
	if errors.Is(err, ErrUsedUp) {
		return c.it, err // it is judged once more
	}
	switch fault.KindOf(err) {
	case "":
	case fault.Unavailable, fault.Internal:
		return c.it, fault.Wrap(fault.KindOf(err), "recording the intent", err)
	default:
		c.it.State = intent.Denied // nothing was stored
		return c.it, g.refuse(ctx, c, err)
	}
	defer g.Rail.Wake(it.Tenant, it.Run)
	if !fresh {
		return it, nil
	}
	switch it.State {
	case intent.Claimed:
		return g.attempt(ctx, c, g.plan(c, intent.Proposed, commit.Attempt{Fence: 1}))
	case intent.Approved:
		return g.execute(ctx, c, intent.Approved, commit.Attempt{})
	default:
		return it, nil
	}
}

// proposed makes the row, the Decision, and the first entries of a candidate.
func (g *Gate) proposed(c *candidate) (Proposed, error) {
	l := c.match.Mission.Limits
	p := Proposed{MaxParked: orDefault(l.Parked, 20), MaxCalls: orDefault(l.Calls, 1000), Own: c.own,
		Turn: c.match.Model(), Limits: resource.Limits{Turns: orDefault(l.Turns, 30), Tokens: orDefault(l.Tokens, 200_000), CostUSD: l.CostUSD}, ArgsDigest: intent.SHA256(c.it.Args)}
	if err := c.bind(c.pins()); err != nil {
		return p, err
	}
	switch {
	case c.verdict.Effect == policy.Ask:
		d, err := g.ask(c)
		if err != nil {
			return p, err
		}
		c.it.State, p.Decision = intent.Parked, &d
		p.Events = []audit.Event{g.event(c, audit.IntentParked, parkedFields(c, d))}
	case c.it.Effect == resource.Write:
		d := decision.ByPolicy(c.it, c.verdict.Reasons, c.verdict.Hash, g.Now())
		c.it.State, p.Decision = intent.Approved, &d
		p.Events = []audit.Event{g.event(c, audit.IntentDecided, map[string]any{
			"decision": d.ID, "verdict": "approved", "approvers": d.Approvers(), "policies": c.verdict.Reasons, "policySet": c.verdict.Hash, "digest": c.it.Digest, "observed": c.observed(),
		})}
		// Should the process die before the execution that follows, the outbox does it.
		p.Outbox = []commit.Message{{Kind: commit.MsgDispatch, Ref: c.it.ID, Due: g.Now().Add(inlineDispatch)}}
	default:
		c.it.State, p.Claimant = intent.Claimed, g.Machine.Claimant()
		p.Events = []audit.Event{g.claimEvent(c, nil, 1)}
	}
	p.Uses = c.verdict.Uses
	p.Intent = c.it
	if c.it.State == intent.Claimed {
		p.Intent = slim(c.it)
	}
	return p, nil
}

func parkedFields(c *candidate, d decision.Decision) map[string]any {
	return map[string]any{
		"teams": d.Teams(), "expires": d.ExpiresAt, "policies": c.verdict.Reasons, "policySet": c.verdict.Hash, "verdict": c.verdict.Effect,
		"digest": c.it.Digest, "args": intent.Salted(c.it.Salt, c.it.Args), "why": c.verdict.Why, "repeat": c.it.Repeat, "observed": c.observed(),
		"passkey": d.Passkey,
	}
}

// slim leaves the bodies out of a read's row that nobody is asked about: it is read
// again rather than resumed, and a completion's arguments are the transcript.
func slim(it intent.Intent) intent.Intent {
	it.Args, it.Bound.Args, it.Bound.Request.Body = nil, nil, ""
	return it
}

// refuse writes a refusal into the audit log and onto the rail. When that can't
// be done the error says so instead: a refusal that nobody can see is no refusal.
func (g *Gate) refuse(ctx context.Context, c *candidate, err error) error {
	kind := fault.KindOf(err)
	title := action(c.it) + " was refused"
	if c.it.ID == "" {
		title = "What the Worker says was refused"
	}
	ev := g.event(c, audit.IntentDenied, map[string]any{"verdict": kind, "why": c.clip(g, err.Error()), "policies": c.verdict.Reasons, "policySet": c.verdict.Hash, "observed": c.observed()})
	d, args := c.whyNot(err)
	n, e := g.Runs.Refuse(ctx, c.it.Run, ev, g.record(c, explain.Check, title, err.Error(), args, d))
	if e != nil {
		return fault.Wrap(fault.Unavailable, "recording a refusal", e)
	}
	return g.stopAfter(ctx, c, n, maxRefusals, "too many of its proposals were refused", err)
}

// stopAfter ends the Run when something was counted against it for the last time
// that is tolerated; until then, err is the answer.
func (g *Gate) stopAfter(ctx context.Context, c *candidate, n, most int, why string, err error) error {
	g.Rail.Wake(c.it.Tenant, c.it.Run)
	if n < most {
		return err
	}
	if e := g.endRun(ctx, c.run, "system:gate", "stopped", why); e != nil && !fault.Is(e, fault.Conflict) {
		return e
	}
	return fault.New(fault.Denied, "the Run was stopped: "+why)
}

// clean makes an Observation about the candidate.
func (g *Gate) clean(c *candidate, kind explain.Kind, title, text string, data json.RawMessage) explain.Observation {
	return g.record(c, kind, title, text, data, nil)
}

// action names what is proposed, as people read it. Connection and Tool are the
// Worker's words until they were matched, so they are quoted.
func action(it intent.Intent) string {
	return fault.Quote(it.Connection) + " / " + fault.Quote(it.Tool)
}
