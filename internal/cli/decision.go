package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/client"
	"sallyport.dev/internal/api"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

func (p *program) decisionCmd() *cobra.Command {
	return noun("decision", "See the Decision Queue, and decide",
		p.decisionList(), p.decisionShow(), p.decide(decision.Approve, "Approve an action after reading it, or several of one kind"), p.decide(decision.Reject, "Reject an action, or several of one kind"),
		p.decisionEdit(), p.decisionAsk(), p.decisionAnswer(), p.decisionGlass(), p.decisionWatch())
}

func (p *program) decisionList() *cobra.Command {
	var state, run string
	var mine bool
	c := verb("list [--state STATE] [--run RUN] [--mine]", "List the Decision Queue, the oldest first", "  sallyport decision list --mine", takes(0), func(cmd *cobra.Command, _ []string) error {
		own := ""
		if mine {
			own = "true"
		}
		var out api.Queue
		raw, err := p.call(cmd.Context(), "GET", query("/v1/decisions", "state", state, "run", run, "mine", own), nil, &out)
		if err != nil {
			return err
		}
		var stops []intent.Stop
		if !p.json {
			if stops, err = p.stopped(cmd.Context()); err != nil {
				return err
			}
		}
		return p.result(raw, func() {
			var rows [][]string
			for _, s := range stops {
				p.say("STOPPED: %s", stopText(s))
			}
			for _, i := range out.Items {
				d := i.Decision
				why := i.Intent.Reason
				if i.Held != nil {
					why = decision.HeldText
				}
				if d.Refused != "" {
					rows = append(rows, []string{d.ID, "REFUSED", "", "", "", d.Refused})
					continue
				}
				st := string(d.State)
				if holds(stops, i.Intent) && !i.Intent.State.Final() {
					st += ", stopped"
				}
				rows = append(rows, []string{d.ID, st, needed(d), i.Intent.Connection + "/" + i.Intent.Tool, when(d.ExpiresAt), why})
			}
			p.table("nothing waits", []string{"DECISION", "STATE", "NEEDS", "ACTION", "UNTIL", "REASON"}, rows)
		})
	})
	c.Flags().StringVar(&state, "state", "", "open (the default), approved, rejected, expired, withdrawn, void, or all")
	c.Flags().StringVar(&run, "run", "", "of one Run")
	c.Flags().BoolVar(&mine, "mine", false, "of your Teams")
	return c
}

func (p *program) decisionShow() *cobra.Command {
	var all bool
	c := verb("show DECISION [--evidence]", "Show the exact action that waits, or what was decided", "  sallyport decision show dec_abc", takes(1), func(cmd *cobra.Command, args []string) error {
		item, raw, err := p.item(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return p.result(raw, func() { p.action(item, all) })
	})
	c.Flags().BoolVar(&all, "evidence", false, "with all that the Run did and saw before, and the texts")
	return c
}

// item loads a Decision, and checks that what would be shown is what it is bound
// to: whoever alters the one on the way has to find the digest of the other. One
// that is held shows nothing, and can't be approved; nothing can be decided on one that
// is about an earlier revision.
func (p *program) item(ctx context.Context, id string) (api.Shown, json.RawMessage, error) {
	var item api.Shown
	raw, err := p.call(ctx, "GET", route("v1", "decisions", id), nil, &item)
	if err != nil {
		return item, nil, err
	}
	other := fault.New(fault.Conflict, "the action is not the one that the Decision is bound to").WithHint("don't decide on it, and tell an auditor")
	if item.Decision.ID != id {
		return item, nil, other
	}
	if item.Held != nil || item.Earlier() && item.Decision.State != decision.Open {
		return item, raw, nil
	}
	digest, err := item.Intent.Bound.Digest()
	if err != nil || !digest.Equal(item.Decision.Digest) {
		return item, nil, other
	}
	return item, raw, nil
}

// votable is item for who is about to give a verdict: what would be refused is, before
// a one-time code is spent on it. role is the one that the verdict takes.
func (p *program) votable(ctx context.Context, id string, v decision.Verdict, role ident.Role) (api.Shown, error) {
	item, _, err := p.item(ctx, id)
	if err != nil {
		return item, takesRole(err, role)
	}
	for _, no := range item.Cannot {
		if no.Verdict == v {
			return item, fault.New(no.Kind, no.Detail).WithHint("%s", no.Hint)
		}
	}
	if item.Decision.Passkey {
		return item, p.onThePage(id)
	}
	return item, nil
}

// takesRole names, of a refusal for want of any role that may look, the one that the
// command takes.
func takesRole(err error, role ident.Role) error {
	if no, ok := errors.AsType[*client.Problem](err); ok && strings.HasPrefix(no.Hint, "it takes the role ") {
		no.Hint = "it takes the role " + string(role)
	}
	return err
}

// decide makes approve and reject. What is stored decides nothing: password and
// one-time code are asked for, each time.
func (p *program) decide(v decision.Verdict, short string) *cobra.Command {
	var reason string
	var piped bool
	name := string(v)
	c := verb(name+" DECISION... [--reason TEXT]", short, "  sallyport decision "+name+" dec_abc", cobra.MinimumNArgs(1), func(cmd *cobra.Command, args []string) error {
		if !p.typing() && !piped {
			return &usageError{"a Decision is typed on a terminal", "to read password and code from stdin, one a line, give --stdin"}
		}
		var items []api.Shown
		for _, id := range args {
			item, err := p.votable(cmd.Context(), id, v, ident.Approver)
			if err != nil {
				return err
			}
			if len(items) > 0 && !decision.SameKind(items[0].Item, item.Item) {
				return decision.Refuse(decision.Unlike)
			}
			if !p.json {
				p.action(item, false)
			}
			items = append(items, item)
		}
		what := "exactly this"
		if len(items) > 1 {
			what = fmt.Sprintf("exactly these %d", len(items))
		}
		p.say("to %s %s, give your password and a one-time code that you have not used yet", name, what)
		password, code, err := p.factor(cmd.Context())
		if err != nil {
			return err
		}
		if len(items) > 1 {
			return p.decideAll(cmd.Context(), items, api.Verdicts{Verdict: v, Reason: reason, Password: string(password), Code: code})
		}
		var d decision.Decision
		raw, err := p.call(cmd.Context(), "POST", route("v1", "decisions", args[0]),
			api.Verdict{Verdict: v, Digest: items[0].Decision.Digest, Reason: reason, Password: string(password), Code: code}, &d)
		if err != nil {
			return err
		}
		return p.result(raw, func() { p.decided(d, len(items[0].Stops) > 0) })
	})
	c.Flags().StringVar(&reason, "reason", "", "one line; the Worker reads it")
	c.Flags().BoolVar(&piped, "stdin", false, "read password and one-time code from stdin, one a line")
	return c
}
