package incident

import (
	"context"
	"fmt"
	"time"

	"sallyport.dev/internal/audit"
)

// GlassVote is one admin's approval in place of the Teams, as the audit log has it.
type GlassVote struct {
	Audit    int64 // index of its entry
	At       time.Time
	Actor    string
	Name     string // what people call the actor; "" where nobody knows
	Method   string // of the proof
	Why      string
	Decision string
	State    string // of the Decision after it: "open", or "approved" by the second
}

// maxGlass is how many are read: two are what it takes, and a changed action begins
// anew.
const maxGlass = 20

// glass reads who broke it.
func (k *Desk) glass(ctx context.Context, i Incident) (out []GlassVote, err error) {
	rows, err := k.Audit.List(ctx, i.Tenant, audit.Filter{Type: audit.DecisionBreakGlass, Intent: i.Intent}, 0, maxGlass)
	for _, r := range rows {
		e, err := audit.ParseEntry(r.Entry)
		if err != nil {
			continue // verifying the log names it
		}
		text := func(field string) string { s, _ := e.Fields[field].(string); return s }
		out = append(out, GlassVote{e.Index, e.At, e.Actor, k.name(ctx, i.Tenant, e.Actor), text("method"), text("why"), text("decision"), text("state")})
	}
	return out, err
}

// glassBroken: who did it, and why they said so.
func glassBroken(f Facts) (Hypothesis, bool) {
	h := Hypothesis{Code: "glass_begun", Sure: Certain, Says: "An admin approved in place of the Teams. It takes another one, so nothing was carried out for it."}
	for _, v := range f.Glass {
		who := v.Actor
		if v.Name != "" {
			who = v.Name + " (" + v.Actor + ")"
		}
		h.Evidence = append(h.Evidence, Evidence{Says: fmt.Sprintf("%s, with %s: %s", who, v.Method, v.Why), At: v.At, Run: f.Incident.Run, Intent: f.Incident.Intent, Audit: at(v.Audit)})
		if v.State == "approved" {
			h.Code, h.Says = "glass_broken", "Two admins approved the action in place of the Teams, and it was carried out if nothing else forbade it."
		}
	}
	return h, len(f.Glass) > 0
}

// glassNext lists what to do about it.
func glassNext(f Facts) []Step {
	i := f.Incident
	out := []Step{{Says: "Ask both why it could not wait for the Teams, and whether it was they who did it"}}
	if i.Intent != "" {
		out = append(out, Step{"Read the action, and what became of it", "sallyport intent show " + i.Run + " " + i.Intent, "/runs/" + i.Run + "#" + i.Intent})
	}
	return append(out, Step{Says: "If it was somebody else with their factors, disable that account", Command: "sallyport account disable ACCOUNT"})
}
