package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/scrub/unknown"
	"sallyport.dev/internal/vault"
)

// maxMet is how many values of one answer go into quarantine. All are taken out.
const maxMet = 20

// met is a place in a system's answer that a rule takes for a secret which
// nobody told us.
type met struct {
	unknown.Finding
	pointer string // of where in the answer it is; empty: across several
	value   []byte
}

// seen makes of a system's answer what may be seen of it: scrubbed again, as the
// exact bytes, and without what looks like a secret. A model's answer keeps the
// latter: it is the Worker's own words, and an action in them must stay exact.
func (g *Gate) seen(ctx context.Context, c *candidate, a connector.Answer) connector.Answer {
	set := g.Vault.Scrub(c.it.Tenant)
	body, events := streamed(set, a)
	body, rep := set.Bytes(body)
	rep.Add(events)
	c.redactions = rep.Total() + bytes.Count(a.Body, []byte(scrubMark))
	if !c.match.Model() {
		body = spelled(body)
		found := g.unsaid(c, body)
		body = unknown.Replace(body, findings(found))
		c.redactions += len(found)
		g.quarantine(ctx, c, found)
	}
	if c.redactions > 0 && !json.Valid(body) { // a mark where a number was, say
		body, _ = json.Marshal(string(body))
	}
	a.Body = body
	return a
}

// unsaid finds what looks like a secret, but for what the Tool's rule says is
// none and what a person called none.
func (g *Gate) unsaid(c *candidate, body []byte) []met {
	var out []met
	var list []leaf
	for _, f := range unknown.Find(body) {
		if list == nil {
			list = leaves(body)
		}
		m := locate(f, body, list)
		public := slices.ContainsFunc(c.match.Tool.NotSecret, func(p string) bool { return fits(p, m.pointer) })
		if !public && !g.Vault.Dismissed(c.it.Tenant, m.value) {
			out = append(out, m)
		}
	}
	return out
}

// locate says where in the JSON a finding is, and what its value is without the
// JSON's escapes.
func locate(f unknown.Finding, body []byte, list []leaf) met {
	m := met{Finding: f, value: bytes.Clone(body[f.Start:f.End])}
	i, _ := slices.BinarySearchFunc(list, f.Start, func(l leaf, at int) int { return l.end - at - 1 })
	if i >= len(list) || f.Start < list[i].start || f.End > list[i].end {
		return m
	}
	m.pointer = list[i].pointer
	if raw := bytes.Trim(m.value, `"`); bytes.IndexByte(raw, '\\') >= 0 {
		var text string
		if json.Unmarshal(slices.Concat([]byte(`"`), raw, []byte(`"`)), &text) == nil {
			m.value = []byte(text)
		}
	}
	return m
}

func findings(list []met) []unknown.Finding {
	var out []unknown.Finding
	for _, m := range list {
		out = append(out, m.Finding)
	}
	return out
}

// quarantine keeps what was met, for a person to judge. What can't be kept was
// taken out all the same, and the call has happened: nothing fails here.
func (g *Gate) quarantine(ctx context.Context, c *candidate, found []met) {
	defer wipe(found)
	for i, m := range found {
		kept, why := "", "the answer has too many"
		if i < maxMet {
			kept, why = g.keep(ctx, vault.Found{
				Tenant: c.it.Tenant, Value: m.value, Note: "met in an answer of " + c.it.Connection + " / " + c.it.Tool + " in the Run " + c.it.Run,
				What: whatOf(m.Finding), Actor: ident.Principal{Tenant: c.it.Tenant, Kind: ident.System, ID: "gate"},
			})
		}
		if i <= maxMet { // the last of these stands for all that were too many
			g.report(ctx, c, m, kept, why, i == 0)
		}
	}
}

// report puts what was met on the record, as an incident; first: of this answer.
func (g *Gate) report(ctx context.Context, c *candidate, m met, kept, why string, first bool) {
	place := "answer"
	if m.pointer != "" {
		place = "answer: " + spellOut(m.pointer)
	}
	in := g.about(c, incident.Met, place)
	in.Rule, in.Family, in.Confidence, in.Quarantine, in.NotKept = m.Rule, m.Family, m.Confidence.String(), kept, why
	ev := g.event(c, audit.IncidentOpened, map[string]any{"kind": in.Kind, "place": in.Place, "rule": m.Rule, "name": kept, "why": why})
	var o explain.Observation
	if first {
		o = g.clean(c, explain.Check, "What looks like a secret was taken out of the answer", "", nil)
	}
	if _, err := g.Runs.Incident(ctx, in, ev, o); err != nil {
		g.Log.ErrorContext(ctx, "an incident could not be recorded", slog.String("intent", c.it.ID), slog.Any("error", err))
	}
}

// handedIn puts it on the record that a person handed in what looks like a secret.
func (g *Gate) handedIn(ctx context.Context, who ident.Principal, mission string, m met, kept, why string) error {
	place := "input"
	if m.pointer != "" {
		place = audit.Short("input: " + spellOut(m.pointer))
	}
	in := incident.New(incident.HandedIn, who.Tenant, who.String(), place, g.Now())
	in.Mission, in.Rule, in.Family, in.Confidence, in.Quarantine, in.NotKept = mission, m.Rule, m.Family, m.Confidence.String(), kept, why
	ev := audit.Event{Type: audit.IncidentOpened, Tenant: who.Tenant, At: in.At, Actor: in.Actor, Mission: mission,
		Fields: map[string]any{"kind": in.Kind, "place": in.Place, "rule": m.Rule, "name": kept, "why": why}}
	_, err := g.Runs.Incident(ctx, in, ev, explain.Observation{})
	return fault.Wrap(fault.Unavailable, "recording an incident", err)
}
