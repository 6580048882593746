package gate

import (
	"context"
	"encoding/json"
	"time"

	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Replay is a page of what a Run's Worker saw and did, from the record alone, with
// what policy would say of each action today.
type Replay struct {
	Run       intent.Run   `json:"run"`
	At        time.Time    `json:"at"`             // when policy was asked again
	PolicySet string       `json:"policySet"`      // SHA-256 of today's policies
	Bare      bool         `json:"bare,omitempty"` // without what the Worker, people and systems wrote
	Steps     []ReplayStep `json:"steps"`
	Next      int64        `json:"next,omitempty"` // there is more after this sequence number
}

// ReplayStep is one step of it.
type ReplayStep struct {
	Step   Did                 `json:"step"`
	Record explain.Observation `json:"record"`
	Today  *Today              `json:"today,omitempty"` // of what policy judged
}

// Did says what a step is, as the Worker lived through it.
type Did string

// The steps.
const (
	DidBegin   Did = "input"    // what it was given
	DidSay     Did = "said"     // what it said of itself
	DidPropose Did = "proposed" // what it asked for
	DidRefuse  Did = "refused"  // what it was told instead of an answer
	DidDecide  Did = "decision" // what people or policy decided
	DidUse     Did = "used"     // which credential was used; the Worker saw nothing of it
	DidAnswer  Did = "answer"   // what it got back, as it got it
	DidEnd     Did = "end"      // its verdict
)

// did is the step that a record is.
func did(o explain.Observation) Did {
	switch o.Kind {
	case explain.Goal:
		return DidBegin
	case explain.Intent:
		return DidPropose
	case explain.Decision:
		return DidDecide
	case explain.Use:
		return DidUse
	case explain.Verdict:
		return DidEnd
	case explain.Retrieval, explain.ToolCall, explain.Problem, explain.Inference, explain.Plan, explain.Reasoning, explain.Check:
	}
	switch {
	case o.From == explain.FromWorker:
		return DidSay
	case o.Kind == explain.Check:
		return DidRefuse
	}
	return DidAnswer
}

// maxReplay is how many records one page has at most.
const maxReplay = 200

// Replay reads a page of a Run's record after a sequence number, and asks policy as
// it is now about each action in it. Nothing is sent, resolved, counted or written
// down. Who may ask policy about a Run may; a builder who may do nothing else sees
// the actions and the rules, without what anybody wrote. NotFound: there is none
// that the caller may ask about.
func (g *Gate) Replay(ctx context.Context, who ident.Principal, run string, after int64, limit int) (Replay, error) {
	r, err := g.asked(ctx, who, &Hypothetical{Run: run})
	if err != nil {
		return Replay{}, err
	}
	world, err := g.World(who.Tenant)
	if err != nil {
		return Replay{}, err
	}
	if limit <= 0 || limit > maxReplay {
		limit = maxReplay
	}
	obs, err := g.Rail.List(ctx, r.Tenant, r.ID, after, limit)
	if err != nil {
		return Replay{}, err
	}
	out := Replay{Run: r, At: g.Now(), PolicySet: world.Policy.Hash(), Steps: []ReplayStep{}, Bare: r.Starter != who.String() && !who.Has(ident.Auditor) && !who.Has(ident.Admin)}
	if len(obs) == limit {
		out.Next = obs[len(obs)-1].Seq
	}
	for _, o := range obs {
		st := ReplayStep{Step: did(o), Record: o}
		if o.Detail != nil && o.Detail.Intent != nil && o.Detail.Rule != nil && !(o.Kind == explain.Decision && o.Detail.Intent.Revision < 2) {
			if st.Today, err = g.today(ctx, r, world, o, obs, out.At); err != nil {
				return Replay{}, err
			}
		}
		if out.Bare {
			st.Record = bare(o)
		}
		out.Steps = append(out.Steps, st)
	}
	if out.Bare {
		out.Run.Input, out.Run.Summary = nil, ""
	}
	return out, nil
}

// bare leaves of a record what the Boundary itself says.
func bare(o explain.Observation) explain.Observation {
	o.Text, o.Data = "", nil
	if o.Kind == explain.Verdict || did(o) == DidSay || did(o) == DidDecide {
		o.Title = ""
	}
	if o.Detail == nil {
		return o
	}
	d := *o.Detail
	if d.Intent != nil {
		p := *d.Intent
		p.Reason, p.Origins = "", nil
		d.Intent = &p
	}
	if d.Decision != nil {
		v := *d.Decision
		v.Edits = nil
		d.Decision = &v
	}
	if d.Outcome != nil {
		x := *d.Outcome
		x.Edited = ""
		d.Outcome = &x
	}
	d.WhyNot = nil // it can repeat an argument
	o.Detail = &d
	return o
}

// argsOf finds the arguments of a proposal, exactly as they were: in the record
// itself, in another of the same action, or with the Intent. ok is false where none
// of them has the digest that is on the record.
func (g *Gate) argsOf(ctx context.Context, o explain.Observation, page []explain.Observation) (args json.RawMessage, ok bool, err error) {
	want := o.Detail.Intent.Args
	exact := func(b json.RawMessage) bool {
		c, err := intent.Canonical(b)
		args = c
		return len(b) > 0 && err == nil && want.Equal(intent.SHA256(c))
	}
	if exact(o.Data) {
		return args, true, nil
	}
	it, err := g.Intents.Intent(ctx, o.Tenant, o.Intent)
	switch {
	case err == nil && exact(it.Args):
		return args, true, nil
	case err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Denied) && !fault.Is(err, fault.Internal):
		return nil, false, err
	}
	for _, other := range page {
		if other.Intent == o.Intent && exact(other.Data) {
			return args, true, nil
		}
	}
	return nil, false, nil
}
