package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/intent"
)

// action prints what is decided on: only what the digest covers.
func (p *program) action(item decision.Item) {
	d, b := item.Decision, item.Intent.Bound
	if h := item.Held; h != nil {
		p.pairs("decision", d.ID, "state", string(d.State), "needs", needed(d), "until", when(d.ExpiresAt), "run", b.Run, "mission", b.Mission,
			"connection", b.Connection, "tool", b.Tool, "held since", when(d.HeldAt), "secrets", strings.Join(h.Secrets, " "))
		fmt.Fprint(p.out, block(h.Why), block(h.Hint))
		return
	}
	p.pairs("decision", d.ID, "state", string(d.State), "decided by", strings.Join(d.By(), ", "), "because", d.Reason, "needs", needed(d), "asked by", strings.Join(d.Policies, " "), "until", when(d.ExpiresAt),
		"run", b.Run, "mission", b.Mission, "connection", b.Connection, "tool", b.Tool, "secret", b.SecretRef+" ("+b.VersionRule+"), "+credential(b), "digest", string(d.Digest))
	p.votes(d)
	p.edits(item)
	p.notes(item.Notes)
	fmt.Fprint(p.out, "reason\n", block(b.Reason))
	fmt.Fprint(p.out, "arguments\n", block(indented(b.Args)))
	p.origins(d.Origins)
	fmt.Fprint(p.out, "request, without its credential\n", block(b.Request.Method+" "+b.Request.URL))
	for _, name := range sorted(b.Request.Headers) {
		fmt.Fprint(p.out, block(name+": "+b.Request.Headers[name]))
	}
	if b.Request.Body != "" {
		fmt.Fprint(p.out, block(b.Request.Body))
	}
}

// needed says who has to decide, and of an open one who is still to be asked.
func needed(d decision.Decision) string {
	s := decision.Says(d.Needs)
	if left := d.Missing(); d.State == decision.Open && len(d.Votes) > 0 {
		s += "; still " + decision.Says(left)
	}
	return s
}

// votes prints who has voted.
func (p *program) votes(d decision.Decision) {
	if len(d.Votes) == 0 {
		return
	}
	fmt.Fprintln(p.out, "votes")
	for _, v := range d.Votes {
		what := string(v.Verdict)
		if v.Glass {
			what = "BREAKS THE GLASS"
		} else if team := d.TeamName(v.TeamID); team != "" {
			what += " for " + team
		}
		if v.Self {
			what += " (self-approval)"
		}
		if v.Reason != "" {
			what += ": " + v.Reason
		}
		fmt.Fprint(p.out, block(v.Name+", "+when(v.At)+": "+what))
	}
}

// decided says what became of a Decision.
func (p *program) decided(d decision.Decision) {
	if left := d.Missing(); d.State == decision.Open {
		p.line("%s: %s, your vote counts; still needed: %s", d.ID, d.State, decision.Says(left))
		return
	}
	p.line("%s: %s", d.ID, d.State)
}

// credential says which field of the Secret goes where.
func credential(b intent.Bound) string {
	s := "field " + cmp.Or(b.Field, "token") + " as " + string(b.Scheme)
	if b.Place != "" {
		s += " " + b.Place
	}
	if b.Repeat {
		s += "; A DELIBERATE REPEAT of the same write"
	}
	if b.Again != "" {
		s += "; TO BE TRIED AGAIN: " + b.Again
	}
	return s
}

// edits prints what an action was before approvers changed it.
func (p *program) edits(item decision.Item) {
	for _, e := range item.Edits {
		why := ""
		if e.Reason != "" {
			why = ": " + e.Reason
		}
		fmt.Fprintf(p.out, "changed by %s, %s%s\n", visible(e.ByName), when(e.At), visible(why))
		for _, c := range e.Changes {
			fmt.Fprint(p.out, block("- "+c.Path+" "+orNothing(c.Was)), block("+ "+c.Path+" "+orNothing(c.Is)))
		}
	}
}

func orNothing(v json.RawMessage) string { return cmp.Or(string(v), "(nothing)") }

// notes prints questions and answers.
func (p *program) notes(notes []decision.Note) {
	for _, n := range notes {
		what := "question " + n.ID
		if n.Answers != "" {
			what = "answer to " + n.Answers
		}
		fmt.Fprintf(p.out, "%s, by %s, %s\n%s", what, visible(n.Name), when(n.At), block(n.Text))
	}
}
