package gate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/policy"
)

// Finding is what a person found out about a write.
type Finding string

// The findings.
const (
	Applied    Finding = "applied"     // it happened
	NotApplied Finding = "not_applied" // it did not, and will not
	TryAgain   Finding = "again"       // it did not, and is wanted: approvers are asked anew
)

// Resolution is a person's word on a write whose outcome nothing could find out.
type Resolution struct {
	Finding Finding
	// Revision is the one that they looked for: of a later one, sent since, they
	// know nothing.
	Revision int
	Why      string // how they know; one line, at most 300 bytes
	Factor   decision.Factor
}

// Question is an Intent that a person is asked about.
type Question struct {
	Intent intent.Intent
	at     commit.Attempt
}

// Act is what a person confirms with a fresh proof: this word on this attempt.
func (q Question) Act(r Resolution, account string) intent.Digest {
	b, err := intent.Marshal(map[string]any{"tenant": q.Intent.Tenant, "intent": q.Intent.ID, "digest": q.Intent.Digest, "fence": q.at.Fence,
		"finding": r.Finding, "why": r.Why, "account": account})
	if err != nil {
		return "" // equals no digest
	}
	sum := sha256.Sum256(append([]byte("sallyport resolution v1\n"), b...))
	return intent.Digest(hex.EncodeToString(sum[:]))
}

// Ask says whether the caller may give this word now, before a proof is spent on
// it: an admin, and never who started the Run. A Run never can.
func (g *Gate) Ask(ctx context.Context, who ident.Principal, id string, r Resolution) (Question, error) {
	var q Question
	if !who.Valid() || who.Kind != ident.Person || !who.Has(ident.Admin) {
		return q, fault.New(fault.Denied, "only an admin says what became of a write whose outcome is unknown")
	}
	var err error
	if q.Intent, err = g.Intents.Intent(ctx, who.Tenant, id); err != nil {
		if fault.Is(err, fault.NotFound) {
			return q, fault.Newf(fault.NotFound, "there is no Intent %q", fault.Quote(id)).
				WithHint("the ids of Intents begin with int_; sallyport unknown list has those that wait for a word")
		}
		return q, err
	}
	if q.at, err = g.Intents.Attempt(ctx, who.Tenant, id); err != nil {
		return q, err
	}
	switch {
	case q.Intent.Starter == who.String():
		return q, fault.New(fault.Denied, "who started the Run can't say what became of its write")
	case q.Intent.State != intent.NeedsHuman:
		return q, fault.Newf(fault.Conflict, "the intent is %s: there is nothing to find out", q.Intent.State)
	case r.Revision != q.Intent.Revision:
		return q, fault.Newf(fault.Conflict, "what is unknown now is revision %d of the intent, and the word is on revision %d", q.Intent.Revision, r.Revision).
			WithHint("it may have been sent again since you looked: look once more")
	case r.Finding != Applied && r.Finding != NotApplied && r.Finding != TryAgain:
		return q, fault.Newf(fault.Invalid, "%q is nothing that can be found out", fault.Quote(string(r.Finding))).WithHint("say applied, not_applied (not-applied on the command line) or again")
	case strings.TrimSpace(r.Why) == "" || len(r.Why) > maxWhy:
		return q, fault.Newf(fault.Invalid, "say how you found out, in at most %d bytes", maxWhy)
	}
	return q, nil
}

// Resolve takes a person's word, with a fresh proof of it. TryAgain makes a new
// revision, which the approvers see with the word on the first, and which nobody
// but them lets out. Errors: those of [Gate.Ask], and Denied for a proof that is
// not of this.
func (g *Gate) Resolve(ctx context.Context, who ident.Principal, id string, r Resolution) (intent.Intent, error) {
	q, err := g.Ask(ctx, who, id, r)
	if err != nil {
		return q.Intent, err
	}
	f, now := r.Factor, g.Now()
	if f.ID == "" || f.Tenant != who.Tenant || f.Account != who.ID || !f.For.Equal(q.Act(r, who.ID)) || now.Sub(f.At) > decision.FactorLife || f.At.After(now) {
		return q.Intent, fault.New(fault.Denied, "this word takes a fresh proof of who gives it").WithHint("give your password and a one-time code with it")
	}
	run, err := g.Runs.Run(ctx, who.Tenant, q.Intent.Run)
	if err != nil {
		return q.Intent, err
	}
	c := &candidate{run: run, it: q.Intent}
	end := closing{to: intent.NotApplied, actor: who.String(), why: r.Why, factor: f.ID}
	switch r.Finding {
	case TryAgain:
		err = g.tryAgain(ctx, c, q.at, end, now)
	case Applied:
		end.to = intent.Committed
		err = g.closeUnknown(ctx, c, q.at.Fence, end)
	case NotApplied:
		err = g.closeUnknown(ctx, c, q.at.Fence, end)
	}
	if err != nil {
		return q.Intent, err
	}
	return g.Intents.Intent(ctx, who.Tenant, id)
}

// tryAgain asks the approvers for a new revision. Policy is judged as for what is
// proposed now, but lets nothing through by itself: that it happened already is
// only one person's word.
func (g *Gate) tryAgain(ctx context.Context, c *candidate, at commit.Attempt, end closing, now time.Time) error {
	if c.run.State == intent.RunEnded {
		return fault.New(fault.Conflict, "the Run has ended, so nothing of it is tried again").WithHint("say that it was not applied, and start another Run")
	}
	if err := g.resolve(ctx, c); err != nil {
		return err
	}
	if g.judge(ctx, c); c.verdict.Effect == policy.Deny {
		return denied(c.verdict)
	}
	c.verdict.Effect = policy.Ask
	why := c.clip(g, end.why)
	c.it.Revision++
	c.it.Bound.Again = "An earlier attempt had no answer. It was not applied, says " + end.actor + ": " + why
	if err := c.bind(c.pins()); err != nil {
		return err
	}
	d, err := g.ask(c)
	if err != nil {
		return err
	}
	end.to, c.it.State = intent.Parked, intent.Parked
	fields := parkedFields(c, d)
	g.traced(ctx, c, &d, fields)
	err = g.Intents.Repark(ctx, commit.Step{
		Tenant: c.it.Tenant, Intent: c.it.ID, Run: c.it.Run, From: intent.NeedsHuman, To: intent.Parked, Fence: at.Fence, Why: c.it.Bound.Again, At: now,
		Events:  []audit.Event{g.resolvedEvent(c, end, why), g.event(c, audit.IntentParked, fields)},
		Observe: []explain.Observation{g.record(c, explain.Decision, "To be tried again: "+waitsFor(c, d), c.it.Bound.Again, c.it.Args, c.asked(d))},
	}, c.it, d, c.verdict.Uses)
	g.Rail.Wake(c.it.Tenant, c.it.Run)
	return err
}
