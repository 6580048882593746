package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

func (p *program) decisionCmd() *cobra.Command {
	return noun("decision", "See the Decision Queue, and decide",
		p.decisionList(), p.decisionShow(), p.decide(decision.Approve, "Approve an action after reading it"), p.decide(decision.Reject, "Reject an action"))
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
		return p.result(raw, func() {
			var rows [][]string
			for _, i := range out.Items {
				d := i.Decision
				why := i.Intent.Reason
				if i.Held != nil {
					why = decision.HeldText
				}
				rows = append(rows, []string{d.ID, string(d.State), d.Team, i.Intent.Connection + "/" + i.Intent.Tool, when(d.ExpiresAt), why})
			}
			p.table("nothing waits", []string{"DECISION", "STATE", "TEAM", "ACTION", "UNTIL", "REASON"}, rows)
		})
	})
	c.Flags().StringVar(&state, "state", "", "open (the default), approved, rejected, expired, withdrawn, void, or all")
	c.Flags().StringVar(&run, "run", "", "of one Run")
	c.Flags().BoolVar(&mine, "mine", false, "of your Teams")
	return c
}

func (p *program) decisionShow() *cobra.Command {
	return verb("show DECISION", "Show the exact action that waits, or what was decided", "  sallyport decision show dec_abc", takes(1), func(cmd *cobra.Command, args []string) error {
		item, raw, err := p.item(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return p.result(raw, func() { p.action(item) })
	})
}

// item loads a Decision, and checks that what would be shown is what it is bound
// to: whoever alters the one on the way has to find the digest of the other. One
// that is held shows nothing, and can't be approved.
func (p *program) item(ctx context.Context, id string) (decision.Item, json.RawMessage, error) {
	var item decision.Item
	raw, err := p.call(ctx, "GET", route("v1", "decisions", id), nil, &item)
	if err != nil {
		return item, nil, err
	}
	if item.Held != nil && item.Decision.ID == id {
		return item, raw, nil
	}
	digest, err := item.Intent.Bound.Digest()
	if err != nil || !digest.Equal(item.Decision.Digest) || item.Decision.ID != id {
		return item, nil, fault.New(fault.Conflict, "the action is not the one that the Decision is bound to").WithHint("don't decide on it, and tell an auditor")
	}
	return item, raw, nil
}

// action prints what is decided on: only what the digest covers.
func (p *program) action(item decision.Item) {
	d, b := item.Decision, item.Intent.Bound
	if h := item.Held; h != nil {
		p.pairs("decision", d.ID, "state", string(d.State), "team", d.Team, "until", when(d.ExpiresAt), "run", b.Run, "mission", b.Mission,
			"connection", b.Connection, "tool", b.Tool, "held since", when(d.HeldAt), "secrets", strings.Join(h.Secrets, " "))
		fmt.Fprint(p.out, block(h.Why), block(h.Hint))
		return
	}
	p.pairs("decision", d.ID, "state", string(d.State), "decided by", d.ByName, "because", d.Reason, "team", d.Team, "until", when(d.ExpiresAt),
		"run", b.Run, "mission", b.Mission, "connection", b.Connection, "tool", b.Tool, "secret", b.SecretRef+" ("+b.VersionRule+"), "+credential(b), "digest", string(d.Digest))
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

// decide makes approve and reject. What is stored decides nothing: password and
// one-time code are asked for, each time.
func (p *program) decide(v decision.Verdict, short string) *cobra.Command {
	var reason string
	var piped bool
	name := string(v)
	c := verb(name+" DECISION [--reason TEXT]", short, "  sallyport decision "+name+" dec_abc", takes(1), func(cmd *cobra.Command, args []string) error {
		if !p.typing() && !piped {
			return &usageError{"a Decision is typed on a terminal", "to read password and code from stdin, one a line, give --stdin"}
		}
		item, _, err := p.item(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if item.Held != nil && v == decision.Approve {
			return decision.Refuse(decision.Altered)
		}
		if !p.json {
			p.action(item)
		}
		p.say("to %s exactly this, give your password and a one-time code that you have not used yet", name)
		password, code, err := p.factor(cmd.Context())
		if err != nil {
			return err
		}
		var d decision.Decision
		raw, err := p.call(cmd.Context(), "POST", route("v1", "decisions", args[0]),
			api.Verdict{Verdict: v, Digest: item.Decision.Digest, Reason: reason, Password: string(password), Code: code}, &d)
		if err != nil {
			return err
		}
		return p.result(raw, func() { p.line("%s: %s", d.ID, d.State) })
	})
	c.Flags().StringVar(&reason, "reason", "", "one line; the Worker reads it")
	c.Flags().BoolVar(&piped, "stdin", false, "read password and one-time code from stdin, one a line")
	return c
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
	return s
}
