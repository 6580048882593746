package gate

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
)

// ErrUsedUp says that a rate or a budget that policy let the call through by has
// no room for it any more: another call was first. The call is judged once more.
var ErrUsedUp error = fault.New(fault.Limit, "a limit of policy was reached by another call in the meantime").WithHint("try again")

// maxJudged is how often a call is judged that finds a limit used up each time: a
// call can be let through by several permits, each with a limit of its own.
const maxJudged = 5

// judged asks policy, and stores what it lets through or asks about. Where the
// last place within a limit was taken in between, policy is asked again.
func (g *Gate) judged(ctx context.Context, c *candidate) (it intent.Intent, err error) {
	fresh := c.it
	for range maxJudged {
		c.it = fresh
		if g.judge(ctx, c); c.verdict.Effect == policy.Deny {
			return c.it, g.refuse(ctx, c, denied(c.verdict))
		}
		if c.it.Repeat && c.it.Effect == resource.Write {
			c.verdict.Effect = policy.Ask // a second write of the same is never let through unattended
		}
		if it, err = g.propose(ctx, c); !errors.Is(err, ErrUsedUp) {
			return it, err
		}
	}
	c.it = fresh
	return c.it, g.refuse(ctx, c, err)
}

// judge asks policy.
func (g *Gate) judge(ctx context.Context, c *candidate) {
	q := c.question()
	q.Now = g.Now()
	q.Used = func(u policy.Use) (int64, error) {
		if c.own {
			return 0, nil // what became of a write is found out, whatever the Worker has used up
		}
		used, held, err := g.Earlier.PolicyUse(ctx, c.it.Tenant, u, c.it.ID, q.Now)
		if held { // its place was taken when it was proposed
			used = 0
		}
		return used, err
	}
	q.Untrusted = func() []string { return g.trace(ctx, c).Pointers() }
	if c.verdict = c.world.Policy.Evaluate(q); c.own {
		c.verdict.Uses = nil
	}
}

// question is what policy is asked, but for the time and what is used.
func (c *candidate) question() policy.Question {
	it := c.it
	q := policy.Question{
		Tenant: it.Tenant, Run: it.Run, Mission: c.run.Mission, Starter: strings.TrimPrefix(c.run.Starter, string(ident.Person)+":"), Worker: c.run.Worker,
		Connection: it.Connection, Integration: c.match.Integration.Name,
		Tool: it.Tool, Effect: it.Effect, Args: it.Args,
	}
	if name := ident.WorkerName(c.run.Starter); name != "" {
		q.Name = name
		if w, ok := c.world.Catalog.Worker(name); ok {
			q.Owner = w.Owner
		}
	}
	q.Source, _ = netip.ParseAddr(it.Source) // what is no address is not known
	return q
}

func denied(v policy.Verdict) error {
	return fault.New(fault.Denied, "policy denies this action").WithHint("%s", v.Why)
}

// observed is what the audit log has of policies in observe mode: "policy/id:
// effect", of those that would have changed the verdict.
func (c *candidate) observed() []string {
	var out []string
	for _, o := range c.verdict.Observed {
		out = append(out, o.ID+": "+string(o.Effect))
	}
	return out
}

// wouldHave is the same for the rail.
func (g *Gate) wouldHave(c *candidate) []explain.Observation {
	if len(c.verdict.Observed) == 0 {
		return nil
	}
	var text strings.Builder
	for _, o := range c.verdict.Observed {
		text.WriteString(o.ID + ": " + o.Why + "\n")
	}
	return []explain.Observation{g.clean(c, explain.Check, action(c.it)+": policies in observe mode would have decided otherwise", text.String(), nil)}
}

// sourceOf is where a proposal comes from: of an outside Worker its own request, of
// the built-in one the request of who started its Run.
func sourceOf(r intent.Run, p intent.Proposal) string {
	if r.Worker == intent.Outside {
		return address(p.Source)
	}
	return r.Source
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().WithZone("").String()
}

// forwarded are headers that a proxy adds, or somebody who wants to be taken for
// one.
var forwarded = []string{"X-Forwarded-For", "Forwarded", "Via", "X-Real-Ip"}

// Source is the address that a request came from, for policy; invalid when that is
// not known. Of what says that it was forwarded nothing is believed: whoever is on
// this machine can say so, and the address would be the proxy's.
func Source(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	for _, h := range forwarded {
		if len(r.Header.Values(h)) > 0 {
			return netip.Addr{}
		}
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}
