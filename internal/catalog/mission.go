package catalog

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// completeTool is a model's one Tool.
const completeTool = "complete"

// mission makes the Mission's matches and its offer.
func (b *builder) mission(m *resource.Mission) {
	held := slices.Clone(m.Connections)
	if m.Model != "" {
		b.model(m)
		if !slices.Contains(held, m.Model) {
			held = append(held, m.Model)
		}
	}
	b.decisions(m)
	for _, name := range held {
		c, _ := find[*resource.Connection](b.s, resource.KindConnection, name)
		for _, tool := range c.Tools {
			b.match(m, c, tool)
		}
	}
	slices.SortFunc(b.s.offers[m.Name], func(x, y MissionTool) int { return strings.Compare(x.Name, y.Name) })
	b.reconcilable(m)
}

func (b *builder) model(m *resource.Mission) {
	c, _ := find[*resource.Connection](b.s, resource.KindConnection, m.Model)
	if b.s.integrations[c.Integration].Model == nil || !slices.Contains(c.Tools, completeTool) {
		b.fail(m, "model", fault.Newf(fault.Invalid, "the Connection %q is not to a model, or does not allow %s", m.Model, completeTool))
	}
}

// decisions refuses rules about Tools that the Connection does not allow, and
// two rules about one thing: which of them holds would be anybody's guess.
func (b *builder) decisions(m *resource.Mission) {
	type what struct{ connection, tool string }
	seen := map[what]bool{}
	for i, d := range m.Decisions {
		path := fmt.Sprintf("decisions[%d]", i)
		if c, ok := find[*resource.Connection](b.s, resource.KindConnection, d.Connection); ok && d.Tool != "" && !slices.Contains(c.Tools, d.Tool) {
			b.fail(m, path+".tool", fault.Newf(fault.Invalid, "the Connection %q does not allow the tool %q", d.Connection, fault.Quote(d.Tool)).
				WithHint("%s", resource.DidYouMean(d.Tool, c.Tools)))
		}
		if w := (what{d.Connection, d.Tool}); seen[w] {
			b.fail(m, path, fault.New(fault.Invalid, "there is another rule for the same action"))
		} else {
			seen[w] = true
		}
	}
}

func (b *builder) match(m *resource.Mission, c *resource.Connection, name string) {
	in := b.s.integrations[c.Integration]
	tool, ok := toolOf(in.Kind.Tools(), name)
	secret, version, err := c.Auth.Ref()
	if !ok || err != nil {
		return // reported with the Connection; the whole snapshot is refused
	}
	b.s.matches[triple{m.Name, c.Name, name}] = &Match{
		Mission: m, Connection: c, Integration: in.Integration, Revision: in.Revision, Kind: in.Kind, Tool: tool,
		Origin: in.Kind.Origin(), Secret: secret, Version: version, Decision: decisionRule(m.Decisions, c.Name, name),
	}
	if c.Name != m.Model {
		b.s.offers[m.Name] = append(b.s.offers[m.Name], MissionTool{Name: ToolName(c.Name, name), Connection: c.Name, Tool: tool})
	}
}

// decisionRule joins the rule for the Tool and the one for its Connection: the
// Tool's names the Team; the shorter wait and either pin hold, and of two rules
// for the same Team the higher count.
func decisionRule(rules []resource.DecisionRule, connection, tool string) *resource.DecisionRule {
	var out *resource.DecisionRule
	join := func(r resource.DecisionRule) {
		if out == nil {
			r.Tool = tool
			out = &r
			return
		}
		const week = 7 * 24 * time.Hour // what 0 means
		if r.Expires.D(week) < out.Expires.D(week) {
			out.Expires = r.Expires
		}
		out.PinSecret = out.PinSecret || r.PinSecret
		if r.Team == out.Team {
			out.Count = max(out.Count, r.Count)
		}
	}
	for _, r := range rules {
		if r.Connection == connection && r.Tool == tool {
			join(r)
		}
	}
	for _, r := range rules {
		if r.Connection == connection && r.Tool == "" {
			join(r)
		}
	}
	return out
}

// reconcilable refuses a Mission whose write names a lookup that the Mission
// could not make: every unknown outcome would end with a person.
func (b *builder) reconcilable(m *resource.Mission) {
	for i, name := range m.Connections {
		c, _ := find[*resource.Connection](b.s, resource.KindConnection, name)
		for _, tool := range c.Tools {
			match := b.s.matches[triple{m.Name, name, tool}]
			if match == nil || match.Tool.Lookup == nil {
				continue
			}
			l := match.Tool.Lookup
			if b.s.matches[triple{m.Name, l.Connection, l.Tool}] == nil {
				b.fail(m, fmt.Sprintf("connections[%d]", i), fault.Newf(fault.Invalid, "what became of %s would be looked up through %q, which the Mission does not hold", ToolName(name, tool), l.Connection).
					WithHint("add %s to the Mission's connections", l.Connection))
			}
		}
	}
}
