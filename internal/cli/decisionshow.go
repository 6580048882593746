package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/intent"
)

// action prints what is decided on: of the action only what the digest covers. all
// prints the whole evidence.
func (p *program) action(item api.Shown, all bool) {
	d, i, b := item.Decision, item.Intent, item.Intent.Bound
	if h := item.Held; h != nil {
		p.pairs("decision", d.ID, "state", stateOf(d), "needs", needed(d), "until", when(d.ExpiresAt), "run", b.Run, "mission", b.Mission, "started by", item.StartedBy,
			"connection", b.Connection, "tool", b.Tool, "intent", i.ID, "held since", when(d.HeldAt), "secrets", strings.Join(h.Secrets, " "))
		p.stops(item.Stops)
		fmt.Fprint(p.out, block(h.Why), block(h.Hint))
		return
	}
	secret, digest := b.SecretRef+" ("+b.VersionRule+"), "+credential(b), string(d.Digest)
	if item.Earlier() {
		secret, digest = "", "" // they are of what the action is now
	}
	p.pairs("decision", d.ID, "state", stateOf(d), "decided by", strings.Join(d.By(), ", "), "because", d.Reason, "needs", needed(d), "asked by", strings.Join(d.Policies, " "), "until", when(d.ExpiresAt),
		"intent", i.ID, "the action is", became(item), "run", b.Run, "mission", b.Mission, "started by", item.StartedBy, "connection", b.Connection, "tool", b.Tool,
		"secret", secret, "digest", digest)
	p.stops(item.Stops)
	if item.Earlier() {
		p.earlier(item.Item)
		return
	}
	p.again(b)
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
	p.evidence(item, all)
}

// stateOf is a Decision's state; one that two admins made says so.
func stateOf(d decision.Decision) string {
	if d.BreakGlass {
		return string(d.State) + ": THE GLASS WAS BROKEN, in place of the Teams"
	}
	return string(d.State)
}

// became says where the action is, and when it has ended, how.
func became(item api.Shown) string {
	i := item.Intent
	s := string(i.State)
	if item.Earlier() {
		s += " at revision " + strconv.Itoa(i.Revision)
	}
	switch {
	case i.State == intent.NeedsHuman || i.State == intent.Unknown:
		s += ": whether it was applied is not known yet"
	case !i.State.Final():
		return s
	case i.Result != nil && i.Result.Status != 0:
		s += ", the system answered " + strconv.Itoa(i.Result.Status)
	}
	if i.Why != "" {
		s += ": " + i.Why
	}
	return s
}

// earlier prints what a Decision was about that is about an earlier revision: what
// was kept of it.
func (p *program) earlier(item decision.Item) {
	d := item.Decision
	p.line("this was about revision %d of the action, which is at %d now; see what waits with: sallyport decision list --run %s", d.Revision, item.Intent.Revision, d.Run)
	was, ok := item.Was()
	if ok {
		p.line("changed by %s, %s%s", was.ByName, when(was.At), becauseOf(was.Reason))
		fmt.Fprint(p.out, "arguments, as they were\n", block(indented(was.Args)))
		p.line("its request can't be shown any more")
	} else {
		p.line("its arguments and its request can't be shown any more")
	}
	if len(d.Votes) > 0 && d.State == decision.Void {
		p.line("the votes below are void")
	}
	p.votes(d)
	p.notes(item.Notes)
}

func becauseOf(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// needed says who has to decide and how, and of an open one who is still to be asked.
func needed(d decision.Decision) string {
	s := decision.Says(d.Needs)
	if d.Passkey {
		s += ", by passkey"
	}
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

// decided says what became of a Decision; stopped: a stop holds its action up.
func (p *program) decided(d decision.Decision, stopped bool) {
	if left := d.Missing(); d.State == decision.Open {
		p.line("%s: %s, your vote counts; still needed: %s", d.ID, d.State, decision.Says(left))
		return
	}
	if stopped && d.State == decision.Approved {
		p.line("%s: %s; it is stopped, and is sent when the stop is lifted", d.ID, d.State)
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
	return s
}

// again says what an approver must not miss: that the same write was sent before.
func (p *program) again(b intent.Bound) {
	if b.Repeat {
		p.line("A DELIBERATE REPEAT of the same write")
	}
	if b.Again != "" {
		p.line("TO BE TRIED AGAIN: %s", b.Again)
	}
}

// edits prints what an action was before approvers changed it.
func (p *program) edits(item api.Shown) {
	for _, e := range item.Edits {
		p.line("changed by %s, %s%s", e.ByName, when(e.At), becauseOf(e.Reason))
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
