package gate

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub/unknown"
)

// maxWhy bounds a reason that a person gives, in bytes.
const maxWhy = 300

// event begins an audit entry about the candidate. Connection and tool are
// scrubbed and bounded: until they were matched they are a Worker's words.
func (g *Gate) event(c *candidate, t audit.Type, fields map[string]any) audit.Event {
	if attributed[t] {
		g.attribute(c, fields)
	}
	return audit.Event{
		Type: t, Tenant: c.it.Tenant, At: g.Now(), Actor: "run:" + c.it.Run, Run: c.it.Run, Mission: c.it.Mission, Intent: c.it.ID,
		Connection: c.clip(g, c.it.Connection), Tool: c.clip(g, c.it.Tool), Fields: fields,
	}
}

// clip scrubs, also of what looks like a secret, then bounds to what the audit
// log takes.
func (c *candidate) clip(g *Gate, s string) string {
	s, _ = g.Vault.Scrub(c.it.Tenant).String(s)
	return audit.Short(unknown.String(s))
}

// versionRule is how the Secret's version is bound by the digest.
func (c *candidate) versionRule(pin bool) string {
	if pin || c.meta.Pinned {
		return "v" + strconv.Itoa(c.meta.Version)
	}
	return "active"
}

// claimEvent is the entry that has to be durable before the credential is
// resolved: who does what with which version of which Secret, and why it may.
// fence is the attempt's own, one above the stored one.
func (g *Gate) claimEvent(c *candidate, d *decision.Decision, fence int64) audit.Event {
	f := map[string]any{
		"effect": c.it.Effect, "digest": c.it.Digest, "args": intent.Salted(c.it.Salt, c.it.Args), "fence": fence,
		"secret": c.meta.Name, "secretVersion": c.meta.Version, "verdict": c.verdict.Effect,
		"policies": c.verdict.Reasons, "policySet": c.verdict.Hash, "observed": c.observed(),
	}
	if d != nil {
		c.decision, c.approvers = d.ID, d.Approvers()
		f["decision"], f["approvers"], f["selfApproval"] = d.ID, c.approvers, d.SelfApproval()
	}
	f["revision"] = c.it.Revision
	return g.event(c, audit.IntentClaimed, f)
}

// outcomeEvent is the entry of the end.
func (g *Gate) outcomeEvent(c *candidate) func(intent.State, intent.Result, connector.Answer) audit.Event {
	return func(to intent.State, res intent.Result, ans connector.Answer) audit.Event {
		f := map[string]any{
			"state": to, "status": res.Status, "effect": c.it.Effect, "result": intent.Salted(c.it.Salt, res.Body), "redactions": res.Redactions,
			"digest": c.it.Digest, "secret": c.meta.Name, "secretVersion": c.meta.Version, "redacted": redacted(ans.Body, res.Body),
		}
		if c.external.Backend != "" {
			f["backend"], f["backendVersion"] = c.external.Backend, c.external.Version
		}
		if c.decision != "" {
			f["decision"], f["approvers"] = c.decision, c.approvers
		}
		if p, there := strings.CutPrefix(c.match.Tool.Record, resource.InAnswer); there {
			g.nameRecord(c, f, res.Body, p)
		}
		if ans.Err != nil {
			f["why"] = c.why(g, ans)
		}
		return g.event(c, audit.IntentOutcome, f)
	}
}

// mark is what is written in a secret's place, with its name.
var mark = regexp.MustCompile(`\[secret:([a-z0-9-]{1,80})\]`)

// maxRedacted bounds how many names an outcome's entry has.
const maxRedacted = 20

// redacted names the Secrets whose marks are in an answer: what the door has taken
// out, and what the second pass has. A system can write such a mark itself, so it
// is a hint for who looks into an incident, and proves nothing.
func redacted(bodies ...[]byte) (names []string) {
	for _, b := range bodies {
		for _, m := range mark.FindAllSubmatch(b, -1) {
			if name := string(m[1]); ident.CheckName(name) == nil && len(names) < maxRedacted && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}
