package cli

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/ident"
)

// decideAll gives one verdict on several.
func (p *program) decideAll(ctx context.Context, items []api.Shown, v api.Verdicts) error {
	for _, it := range items {
		v.Decisions = append(v.Decisions, decision.Seen{Decision: it.Decision.ID, Digest: it.Decision.Digest})
	}
	var out api.Decided
	raw, err := p.call(ctx, "POST", "/v1/decisions", v, &out)
	if err != nil {
		return err
	}
	return p.result(raw, func() {
		for n, d := range out.Decisions {
			p.decided(d, n < len(items) && len(items[n].Stops) > 0)
		}
	})
}

func (p *program) decisionGlass() *cobra.Command {
	var reason string
	var piped bool
	c := verb("break-glass DECISION --reason TEXT", "Approve an action in place of the Teams, as one of two admins", `  sallyport decision break-glass dec_abc --reason "the plant stands still, and finance can't be reached"`, takes(1), func(cmd *cobra.Command, args []string) error {
		if !p.typing() && !piped {
			return &usageError{"a Decision is typed on a terminal", "to read password and code from stdin, one a line, give --stdin"}
		}
		if reason == "" {
			return &usageError{decision.Refuse(decision.NoReason).Error(), "give --reason; it is on the record"}
		}
		item, err := p.votable(cmd.Context(), args[0], decision.Glass, ident.Admin)
		if err != nil {
			return err
		}
		if !p.json {
			p.action(item, false)
		}
		p.say("this is on the record, loudly: to approve exactly this in place of the Teams, give your password and a one-time code that you have not used yet")
		password, code, err := p.factor(cmd.Context())
		if err != nil {
			return err
		}
		var d decision.Decision
		raw, err := p.call(cmd.Context(), "POST", route("v1", "decisions", args[0], "break-glass"),
			api.Glass{Digest: item.Decision.Digest, Reason: reason, Password: string(password), Code: code}, &d)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			if d.State == decision.Open {
				p.line("%s: %s, it takes another admin", d.ID, d.State)
				return
			}
			p.decided(d, len(item.Stops) > 0)
		})
	})
	c.Flags().StringVar(&reason, "reason", "", "one line, on the record")
	c.Flags().BoolVar(&piped, "stdin", false, "read password and one-time code from stdin, one a line")
	return c
}

func (p *program) decisionEdit() *cobra.Command {
	var args, reason string
	c := verb("edit DECISION --args JSON [--reason TEXT]", "Change the arguments of what waits; it is voted on anew", `  sallyport decision edit dec_abc --args '{"amount": 50}' --reason "the invoice says 50"`, takes(1), func(cmd *cobra.Command, at []string) error {
		if !json.Valid([]byte(args)) {
			return &usageError{"--args is not JSON", "give all the arguments, as they are to be"}
		}
		item, _, err := p.item(cmd.Context(), at[0])
		if err != nil {
			return takesRole(err, ident.Approver)
		}
		var d decision.Decision
		raw, err := p.call(cmd.Context(), "POST", route("v1", "decisions", at[0], "edit"), api.Edit{Digest: item.Decision.Digest, Args: json.RawMessage(args), Reason: reason}, &d)
		if err != nil {
			return err
		}
		return p.result(raw, func() { p.line("%s: %s, needs %s", d.ID, d.State, decision.Says(d.Needs)) })
	})
	c.Flags().StringVar(&args, "args", "", "all the arguments, as they are to be")
	c.Flags().StringVar(&reason, "reason", "", "one line")
	return c
}

func (p *program) decisionAsk() *cobra.Command {
	return verb("ask DECISION TEXT", "Ask who started the Run about what waits", `  sallyport decision ask dec_abc "is this the new bank account?"`, takes(2), func(cmd *cobra.Command, args []string) error {
		item, _, err := p.item(cmd.Context(), args[0])
		if err != nil {
			return takesRole(err, ident.Approver)
		}
		var n decision.Note
		raw, err := p.call(cmd.Context(), "POST", route("v1", "decisions", args[0], "questions"), api.Question{Digest: item.Decision.Digest, Text: args[1]}, &n)
		if err != nil {
			return err
		}
		return p.result(raw, func() { p.line("%s: asked", n.ID) })
	})
}

func (p *program) decisionAnswer() *cobra.Command {
	var run string
	c := verb("answer --run RUN [QUESTION TEXT]", "See the questions about a Run that you started, and answer one", `  sallyport decision answer --run run_abc
  sallyport decision answer --run run_abc note_abc "yes, they have changed banks"`, cobra.MaximumNArgs(2), func(cmd *cobra.Command, args []string) error {
		var all api.Notes
		raw, err := p.call(cmd.Context(), "GET", route("v1", "runs", run, "questions"), nil, &all)
		if err != nil {
			return err
		}
		if len(args) == 0 {
			return p.result(raw, func() { p.notes(all.Notes) })
		}
		if len(args) == 1 {
			return &usageError{"the answer is missing", "give the question's id, and the answer"}
		}
		at := args[0] // of no question: the server says so
		for _, n := range all.Notes {
			if n.ID == args[0] {
				at = n.Decision
			}
		}
		var n decision.Note
		raw, err = p.call(cmd.Context(), "POST", route("v1", "decisions", at, "questions", args[0], "answer"), api.Answer{Text: args[1]}, &n)
		if err != nil {
			return err
		}
		return p.result(raw, func() { p.line("%s: answered", args[0]) })
	})
	c.Flags().StringVar(&run, "run", "", "the Run")
	return c
}
