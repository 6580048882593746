package gate

import (
	"encoding/json"
	"strconv"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
)

// maxRecorded bounds the arguments that a record keeps, in bytes: those of a read
// are kept nowhere else.
const maxRecorded = 8 << 10

// record makes an Observation about the candidate with its typed part.
func (g *Gate) record(c *candidate, kind explain.Kind, title, text string, data json.RawMessage, d *explain.Detail) explain.Observation {
	return g.Rail.Clean(explain.Observation{
		Tenant: c.it.Tenant, Run: c.it.Run, At: g.Now(), Kind: kind, Title: title, Text: text, Intent: c.it.ID, Data: data, Detail: d,
	})
}

// proposes is the record of what a Worker proposed and what judged it: with its
// arguments where the Intent's row does not have them. Of a completion, which is
// asked for at every turn, only the use of the credential is worth one.
func (g *Gate) proposes(c *candidate) []explain.Observation {
	if c.own || c.match.Model() {
		return nil
	}
	d := &explain.Detail{Intent: c.proposal(), Rule: c.rule()}
	var args json.RawMessage
	if c.it.State != intent.Parked { // what waits has them in the record of its Decision
		args = c.recorded()
	}
	if c.it.State == intent.Claimed { // it is used with this very step
		d.Use = c.use()
	}
	return []explain.Observation{g.record(c, explain.Intent, action(c.it)+" was proposed", c.it.Reason, args, d)}
}

// proposalRecords are those of a candidate that is stored: what was proposed, the
// Decision that it waits for or that policy made, and what observed policies say.
func (g *Gate) proposalRecords(c *candidate, d *decision.Decision) []explain.Observation {
	out := g.proposes(c)
	switch {
	case d == nil:
	case d.AutoBy == "": // the Worker's reason is with what it proposed: these are our words
		out = append(out, g.record(c, explain.Decision, waitsFor(c, *d), c.verdict.Why, c.it.Args, c.asked(*d)))
	case len(out) > 0:
		out[0].Detail.Decision = &explain.Decided{ID: d.ID, State: string(d.State), By: d.AutoBy, Verdict: string(decision.Approve), Digest: d.Digest, Revision: d.Revision}
	}
	return append(out, g.wouldHave(c)...)
}

// proposal is what the Worker proposed, but for its arguments.
func (c *candidate) proposal() *explain.Proposal {
	p := &explain.Proposal{Connection: fault.Quote(c.it.Connection), Tool: fault.Quote(c.it.Tool), Effect: string(c.it.Effect), Revision: c.it.Revision,
		Reason: c.it.Reason, Repeat: c.it.Repeat, Args: intent.SHA256(c.it.Args), Source: c.it.Source}
	if r := c.origins; r != nil {
		p.Traced, p.Cut, p.Origins = true, r.Cut, r.Flagged()
	}
	return p
}

// recorded are the arguments as a record has them.
func (c *candidate) recorded() json.RawMessage {
	if len(c.it.Args) <= maxRecorded {
		return c.it.Args
	}
	b, _ := json.Marshal(map[string]any{"truncated": true, "bytes": len(c.it.Args)})
	return b
}

// rule is what judged it; nil where nothing has.
func (c *candidate) rule() *explain.Rule {
	v := c.verdict
	if v.Effect == "" {
		return nil
	}
	r := &explain.Rule{Effect: string(v.Effect), Why: v.Why, PolicySet: v.Hash}
	for _, id := range v.Reasons {
		r.Statements = append(r.Statements, explain.Statement{ID: id, Title: c.world.Policy.Title(id)})
	}
	if v.Effect == policy.Ask {
		needs := needsOf(v)
		if d := c.match.Decision; len(needs) == 0 && d != nil {
			needs = []decision.Need{{Team: d.Team, Count: max(d.Count, 1)}}
		}
		for _, n := range needs {
			r.Approvers = append(r.Approvers, policy.Approver{Team: n.Team, Count: n.Count}.String())
		}
	}
	return r
}

// use names the credential, and where it is put.
func (c *candidate) use() *explain.KeyUse {
	a := c.match.Connection.Auth
	place, field := a.Place()
	u := &explain.KeyUse{Secret: c.meta.Name, Version: c.meta.Version, Connection: c.it.Connection, Scheme: string(a.Scheme), Place: place, Field: field}
	if a.Scheme == resource.SchemeBearer || a.Scheme == resource.SchemeBasic {
		u.Place = "Authorization"
	}
	return u
}

// uses is the record of the use of a credential for what was approved.
func (g *Gate) uses(c *candidate) explain.Observation {
	u := c.use()
	return g.record(c, explain.Use, action(c.it)+": the credential "+u.Secret+" is used, version "+strconv.Itoa(u.Version), "", nil, &explain.Detail{Use: u})
}

// asked is the typed part of a Decision that is asked for.
func (c *candidate) asked(d decision.Decision) *explain.Detail {
	out := &explain.Decided{ID: d.ID, State: string(d.State), Digest: d.Digest, Revision: d.Revision, AskedAt: d.CreatedAt, Expires: d.ExpiresAt}
	for _, n := range d.Needs {
		out.Needs = append(out.Needs, decision.Says([]decision.Need{n}))
	}
	return &explain.Detail{Intent: c.proposal(), Rule: c.rule(), Decision: out}
}

// whyNot is the typed part of a refusal. What policy denied has the rule, and its
// arguments, so that it can be judged again.
func (c *candidate) whyNot(err error) (*explain.Detail, json.RawMessage) {
	d := &explain.Detail{WhyNot: &explain.WhyNot{Kind: string(fault.KindOf(err)), Why: err.Error(), Hint: fault.HintOf(err)}}
	if c.it.ID != "" {
		d.Intent, d.Rule = c.proposal(), c.rule()
	}
	if d.Rule == nil {
		return d, nil
	}
	switch {
	case d.Rule.Effect == string(policy.Deny) && len(d.Rule.Statements) == 0:
		d.WhyNot.Hint = "no statement of a policy permits it: a builder adds one that does, if it is meant to happen (sallyport policy explain says what is missing)"
	case d.Rule.Effect == string(policy.Deny):
		d.WhyNot.Hint = "the statements that are named decided it; sallyport policy explain shows their text"
	}
	return d, c.recorded()
}

// outcome is the typed part of an attempt's end.
func (c *candidate) outcome(to intent.State, res intent.Result) *explain.Detail {
	d := &explain.Detail{Outcome: &explain.Outcome{State: string(to), Status: res.Status, Redactions: res.Redactions, Truncated: res.Truncated, Edited: res.Edited}}
	if c.match != nil && c.match.Model() { // its use has no record of its own
		d.Use = c.use()
	}
	return d
}
