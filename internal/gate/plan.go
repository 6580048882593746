package gate

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
)

// maxShown bounds an answer as a Worker sees it, in bytes of JSON.
const maxShown = 64 << 10

// plan makes the attempt on a candidate. Match, rendered request, Secret version
// and door are those of the candidate, which Recheck has just compared.
func (g *Gate) plan(c *candidate, from intent.State, at commit.Attempt) commit.Plan {
	return commit.Plan{
		Intent: c.it, From: from, Fence: at.Fence, Earlier: !at.Sent.IsZero(),
		Seen:    c.seen,
		Stopped: func(ctx context.Context) error { return g.stopped(ctx, c, c.it.Connection) },
		Outcome: g.outcomeEvent(c),
		Recheck: func(ctx context.Context) (audit.Event, error) {
			d, err := g.recheck(ctx, c)
			if err != nil {
				return audit.Event{}, err
			}
			ev := g.claimEvent(c, &d, at.Fence+1)
			if from == intent.Unknown {
				ev.Fields["count"] = at.Resent + 1
			}
			return ev, nil
		},
		Using: func() explain.Observation { return g.uses(c) },
		Open:  func(ctx context.Context) (http.RoundTripper, error) { return g.open(ctx, c) },
		Renew: func(ctx context.Context, a connector.Answer) http.RoundTripper { return g.renew(ctx, c, a.Status) },
		Send: func(ctx context.Context, door http.RoundTripper) connector.Answer {
			a := g.carried(ctx, c, c.match.Kind.Do(ctx, door, connector.Call{Tool: c.it.Tool, Request: c.it.Bound.Request, Credential: c.credential()}))
			if a.Notice != nil {
				g.notice(ctx, c.it.Tenant, "run:"+c.run.ID, c.match.Integration.Name, c.match.Connection.Name, *a.Notice)
			}
			if fault.Is(a.Err, fault.Internal) {
				g.Log.ErrorContext(ctx, "a call ended with an error that nobody classified", slog.String("intent", c.it.ID), slog.Any("error", a.Err))
			}
			if g.Credentials != nil {
				g.Credentials.Used(c.it.Tenant, c.meta.Name, c.meta.Version, a.Status)
			}
			return g.seen(ctx, c, a)
		},
		Clean:   func(a connector.Answer) intent.Result { return g.result(c, a) },
		Why:     func(a connector.Answer) string { return c.why(g, a) },
		Observe: func(to intent.State, res intent.Result) explain.Observation { return g.observed(c, to, res) },
		Follow:  g.follow(c, from),
	}
}

// credential names whose credential the door of this attempt puts in.
func (c *candidate) credential() string {
	name := fmt.Sprintf("%s/%s/%s@%d", c.it.Tenant, c.match.Connection.Name, c.meta.ID, c.meta.Version)
	if c.external.Backend != "" { // what was said with one value is said again with another; a Run's own is one
		name += " " + c.external.Backend + " " + c.external.Version
	}
	return name
}

// follow lists what a final state, or an unknown one, makes necessary. A read
// that nobody was asked about is answered to whoever waits for it.
func (g *Gate) follow(c *candidate, from intent.State) func(intent.State, time.Time) []commit.Message {
	return func(to intent.State, at time.Time) []commit.Message {
		switch {
		case to == intent.Unknown && from == intent.Unknown:
			return nil // the message that led here is still there
		case to == intent.Unknown:
			return []commit.Message{{Kind: commit.MsgReconcile, Ref: c.it.ID, Due: at}}
		case from == intent.Proposed:
			return nil
		}
		return []commit.Message{{Kind: commit.MsgSegment, Ref: c.it.Run, Due: at}}
	}
}

// scrubMark begins what the door has put in a secret's place. A system that
// writes it itself is counted too.
const scrubMark = "[secret:"

// result is the answer as Worker, rail and store see it, bounded.
func (g *Gate) result(c *candidate, a connector.Answer) intent.Result {
	res := intent.Result{Status: a.Status, ContentType: a.Type, Redactions: c.redactions, Edited: c.it.Edited}
	switch {
	case len(a.Body) > maxShown && !c.match.Model():
		res.Truncated = true
		res.Note = fmt.Sprintf("The answer has %d bytes, more than the %d that are shown. Ask for less.", len(a.Body), maxShown)
	default:
		res.Body = a.Body
	}
	if a.Err != nil {
		res.Note = c.why(g, a)
		if h := fault.HintOf(a.Err); h != "" {
			res.Note += " (" + c.clip(g, h) + ")"
		}
	}
	return res
}

// why is an answer's error as the record has it: scrubbed and bounded.
func (c *candidate) why(g *Gate, a connector.Answer) string {
	switch {
	case a.Err == nil:
		return ""
	case fault.KindOf(a.Err) == fault.Internal:
		return "an internal error; the server's log has it"
	}
	return c.clip(g, a.Err.Error())
}

// observed is the Observation of the end of an attempt.
func (g *Gate) observed(c *candidate, to intent.State, res intent.Result) explain.Observation {
	kind := explain.Retrieval
	if c.it.Effect == resource.Write {
		kind = explain.ToolCall
	}
	if to == intent.Failed || to == intent.Unknown {
		kind = explain.Problem
	}
	title := fmt.Sprintf("%s: %s", action(c.it), to)
	if res.Status != 0 {
		title += fmt.Sprintf(" (HTTP %d)", res.Status)
	}
	data := res.Body
	if c.match.Model() {
		kind, data = explain.Problem, nil // the Worker's loop shows what the model said
		if to == intent.Committed {
			kind, title = explain.Inference, "The model was asked, through "+c.it.Connection
		}
	}
	return g.record(c, kind, title, res.Note, data, c.outcome(to, res))
}

// recheck evaluates everything again right before the claim: the Run goes on; the
// Decision is there, not expired, for this digest; the
// Mission still holds the Connection; the rendered request, the Tool, the
// arguments and the Secret's version rule are those that were approved, and hold no
// secret that is known by now; policy does not deny, and asks for no more than was
// given, by people who may still give it.
func (g *Gate) recheck(ctx context.Context, c *candidate) (decision.Decision, error) {
	if c.run.State == intent.RunEnded {
		return decision.Decision{}, fault.New(fault.Denied, "the Run has ended")
	}
	var err error
	if c.outside, err = g.outsiderOf(ctx, c.run); err != nil {
		return decision.Decision{}, err
	}
	approved := c.it.Digest
	d, err := g.Decisions.DecisionOf(ctx, c.it.Tenant, c.it.ID)
	if err != nil {
		return d, fault.Wrap(fault.KindOf(err), "reading the Decision", err)
	}
	if err := d.Holds(c.it, g.Now()); err != nil {
		return d, err
	}
	if err := g.resolve(ctx, c); err != nil {
		return d, err
	}
	if err := c.bind(c.it.Bound.VersionRule != "active"); err != nil {
		return d, err
	}
	if !c.it.Digest.Equal(approved) {
		return d, fault.New(fault.Conflict, "the action is no longer the one that was approved, so nothing was sent").
			WithHint("the Tool, its Integration, the Connection or a pinned Secret changed; propose it again")
	}
	if err := g.free(ctx, c); err != nil {
		return d, err
	}
	if g.judge(ctx, c); c.verdict.Effect == policy.Deny {
		return d, denied(c.verdict)
	}
	if err := g.enough(ctx, c, d); err != nil {
		return d, err
	}
	// Last, so that what can't be sent any more is closed meanwhile. The store looks
	// once more, in the transaction of the claim.
	return d, g.stopped(ctx, c, c.it.Connection)
}

// seen is the status by which the system says that it knows the Intent's key; 0:
// it never says so.
func (c *candidate) seen() int {
	if c.match == nil || c.match.Tool.Idempotency == nil {
		return 0
	}
	return c.match.Tool.Idempotency.Status
}

// pins says whether an approval is bound to the Secret's version.
func (c *candidate) pins() bool {
	return c.verdict.PinSecret || c.match.Decision != nil && c.match.Decision.PinSecret
}
