package gate

import (
	"context"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
)

// Today is what policy as it is now says of an action of the record.
type Today struct {
	// Evaluated is false where policy could not be asked; Says then says why.
	Evaluated bool `json:"evaluated"`
	// Says is one line for people: "as then", "today this would ask finance:2".
	Says string        `json:"says"`
	Same bool          `json:"same"` // effect, statements and who is asked are what they were
	Then *explain.Rule `json:"then"`
	Now  *explain.Rule `json:"now,omitempty"`
	// AtThen is the effect of today's policies at the time of then, where it is
	// another than at the time of now.
	AtThen policy.Effect `json:"atThen,omitempty"`
	// Notes say which facts are not those of then.
	Notes []string `json:"notes,omitempty"`
}

// today asks policy about the action of a record: its Run's Mission, starter, Worker
// and the address, and its exact arguments are those of then; the policies, the
// Tool, the limits' use and the time are those of now.
func (g *Gate) today(ctx context.Context, r intent.Run, world World, o explain.Observation, page []explain.Observation, now time.Time) (*Today, error) {
	p := o.Detail.Intent
	t := &Today{Then: o.Detail.Rule}
	c := &candidate{run: r, world: world, it: intent.Intent{Tenant: r.Tenant, ID: o.Intent, Run: r.ID, Mission: r.Mission, Starter: r.Starter,
		Connection: p.Connection, Tool: p.Tool, Source: p.Source, Repeat: p.Repeat}}
	var err error
	if c.match, err = world.Catalog.Match(r.Mission, p.Connection, p.Tool); err != nil {
		t.Says = "can't be judged today: " + gone(world, r.Mission, p.Connection) + "; it would be refused before policy is asked"
		return t, nil
	}
	args, exact, err := g.argsOf(ctx, o, page)
	if err != nil {
		return nil, err
	}
	if !exact {
		t.Says = "can't be judged today: its exact arguments are not on the record (too long, or something in them was taken out)"
		return t, nil
	}
	c.it.Args, c.it.Effect = args, c.match.Tool.Effect
	if err := c.match.Kind.Check(p.Tool, args); err != nil {
		t.Says = "can't be judged today: its arguments no longer fit the Tool; it would be refused before policy is asked"
		return t, nil
	}
	if string(c.it.Effect) != p.Effect {
		t.Notes = append(t.Notes, "the Tool was a "+p.Effect+" then, and is a "+string(c.it.Effect)+" today")
	}
	t.Evaluated = true
	asked := g.judgeAgain(ctx, c, o, now, t)
	t.Now = c.rule()
	if then := g.judgeAgain(ctx, c, o, o.At, &Today{}); then != asked {
		t.AtThen = then
	}
	t.compare()
	return t, nil
}

// gone says what of an action's way is not there any more.
func gone(w World, mission, connection string) string {
	if _, ok := w.Catalog.Mission(mission); !ok {
		return "its Mission has been removed"
	}
	if _, ok := w.Catalog.Connection(connection); !ok {
		return "its Connection has been removed"
	}
	return "the Mission does not hold the Connection with this Tool any more"
}

// judgeAgain asks policy at a time, and leaves the verdict in c.
func (g *Gate) judgeAgain(ctx context.Context, c *candidate, o explain.Observation, at time.Time, t *Today) policy.Effect {
	q := c.question()
	q.Now = at
	counted, traced := false, false
	q.Used = func(u policy.Use) (int64, error) { // always as of now: what was used then may be forgotten
		counted = true
		used, _, err := g.Earlier.PolicyUse(ctx, q.Tenant, u, c.it.ID, g.Now())
		return used, err
	}
	q.Untrusted = func() []string {
		if p := o.Detail.Intent; p.Traced && !p.Cut {
			var at []string
			for _, x := range p.Origins {
				at = append(at, x.At)
			}
			return at
		}
		traced = true
		return g.trace(ctx, c).Pointers()
	}
	c.verdict = c.world.Policy.Evaluate(q)
	forced := o.Kind == explain.Decision || c.it.Repeat && c.it.Effect == resource.Write
	if forced && c.verdict.Effect == policy.Allow {
		c.verdict.Effect, c.verdict.Why = policy.Ask, "it is a change or a repeat, which a person always decides"
	}
	if counted {
		t.Notes = append(t.Notes, "rates and budgets are counted as of now")
	}
	if traced {
		t.Notes = append(t.Notes, "where its values come from was not looked for then: also later answers count")
	}
	return c.verdict.Effect
}

// compare puts into words how the two rules differ.
func (t *Today) compare() {
	then, now := t.Then, t.Now
	same := then.Effect == now.Effect && slices.Equal(then.Approvers, now.Approvers)
	t.Same = same && slices.EqualFunc(then.Statements, now.Statements, func(a, b explain.Statement) bool { return a.ID == b.ID })
	switch {
	case t.Same:
		t.Says = "as then"
	case same:
		t.Says = "as then, by other rules: " + named(now)
	case now.Effect == string(policy.Ask):
		t.Says = "today this would ask " + strings.Join(now.Approvers, ", ")
		if len(now.Approvers) == 0 {
			t.Says = "today this would ask, and nobody is named to decide: it would be refused"
		}
	case now.Effect == string(policy.Allow):
		t.Says = "today this would be allowed without a person"
	default:
		t.Says = "today this would be denied: " + named(now)
	}
	if t.AtThen != "" {
		t.Notes = append(t.Notes, "at the time of then, today's policies would say: "+string(t.AtThen))
	}
}

// named lists what determined a verdict.
func named(r *explain.Rule) string {
	if len(r.Statements) == 0 {
		return r.Why
	}
	ids := make([]string, len(r.Statements))
	for i, s := range r.Statements {
		if ids[i] = s.ID; s.Title != "" {
			ids[i] += " (" + s.Title + ")"
		}
	}
	return strings.Join(ids, ", ")
}
