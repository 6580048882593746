package gate

import (
	"context"
	"slices"
	"time"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/policy"
)

// waitsFor is the rail's line about a Decision that is asked for.
func waitsFor(c *candidate, d decision.Decision) string {
	return action(c.it) + " waits for a Decision: " + decision.Says(d.Needs)
}

// ask makes the Decision that the Intent waits for.
func (g *Gate) ask(c *candidate) (decision.Decision, error) {
	needs, expires, err := whom(c)
	if err != nil {
		return decision.Decision{}, err
	}
	d, err := decision.New(c.it, needs, expires, g.Now())
	d.Policies, d.PolicySet, d.Note, d.Passkey = c.verdict.Reasons, c.verdict.Hash, c.verdict.Why, c.verdict.Passkey
	return d, err
}

// needsOf is who has to approve, as policy says it: each of its Teams.
func needsOf(v policy.Verdict) (needs []decision.Need) {
	for _, a := range v.Approvers {
		needs = append(needs, decision.Need{Team: a.Team, Count: max(a.Count, 1)})
	}
	return needs
}

// whom names who decides, how many of them, and how long it may take. Policy's
// Teams go before the Mission's; of the two waits the shorter holds.
func whom(c *candidate) (needs []decision.Need, expires time.Duration, err error) {
	needs = needsOf(c.verdict)
	if r := c.match.Decision; r != nil {
		expires = time.Duration(r.Expires)
		if len(needs) == 0 {
			needs = []decision.Need{{Team: r.Team, Count: max(r.Count, 1)}}
		}
	}
	if len(needs) == 0 {
		return nil, 0, fault.New(fault.Denied, "this action needs a Decision, and nobody is named to make it").
			WithHint("name a team under the Mission's decisions, or with @approvers in a policy")
	}
	if e := c.verdict.Expires; e != 0 && (expires == 0 || e < expires) {
		expires = e
	}
	return needs, expires, nil
}

// What sends an approved Intent back into the queue.
var (
	errAsksMore = fault.New(fault.Pending, "policy or the Mission now asks for another Decision")
	errLeft     = fault.New(fault.Pending, "somebody who approved may not decide any more, so it is asked again")
)

// enough says whether the Decision is still all that is asked for: by people who
// may still decide, as many as were needed then and are needed now, bound to the
// Secret's version where that is wanted, and not by the starter where the Mission
// no longer allows it. Two admins who broke the glass stand for every Team.
func (g *Gate) enough(ctx context.Context, c *candidate, d decision.Decision) error {
	var barred []string
	if c.outside != nil && !c.match.Mission.AllowSelfApproval {
		barred = []string{c.outside.owner, c.it.Owner}
	}
	votes, err := g.standing(ctx, d, c.it, barred)
	if err != nil {
		return err
	}
	asks := c.verdict.Effect == policy.Ask
	switch {
	case d.AutoBy != "" && asks:
		return errAsksMore
	case d.AutoBy != "":
		return nil
	case d.BreakGlass && !decision.Broken(votes), !d.BreakGlass && !decision.Met(d.Needs, votes):
		return errLeft
	case !asks:
		return nil
	case c.verdict.Passkey && !d.Passkey, c.pins() && c.it.Bound.VersionRule == "active", d.SelfApproval() && !c.match.Mission.AllowSelfApproval:
		return errAsksMore
	case d.BreakGlass:
		return nil
	}
	needs, _, err := whom(c)
	if err != nil {
		return err
	}
	for i := range needs {
		needs[i].TeamID = c.world.Catalog.TeamID(needs[i].Team)
	}
	if !decision.Met(needs, votes) {
		return errAsksMore
	}
	return nil
}

// standing are the votes of people who may still give them: who left the Team
// since may not, also when they came back, nor who is no admin any more.
// barred are who answers for the outside Worker now, and who did when it proposed
// this: they do not decide on what it does.
func (g *Gate) standing(ctx context.Context, d decision.Decision, it intent.Intent, barred []string) ([]decision.Vote, error) {
	var failed error
	votes := slices.DeleteFunc(slices.Clone(d.Counted()), func(v decision.Vote) bool {
		var since time.Time
		var err error
		if v.Glass {
			since, err = g.Decisions.AdminSince(ctx, d.Tenant, v.Account)
		} else {
			since, err = g.Decisions.MemberSince(ctx, d.Tenant, v.TeamID, v.Account)
		}
		if err != nil && !fault.Is(err, fault.NotFound) && failed == nil {
			failed = fault.Wrap(fault.KindOf(err), "checking who approved", err)
		}
		return err != nil || !since.Before(it.CreatedAt) || slices.Contains(barred, v.Account)
	})
	return votes, failed
}
