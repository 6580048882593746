package cli

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/intent"
)

func (p *program) intentCmd() *cobra.Command {
	return noun("intent", "Propose actions as a Worker outside, with the Run's token in SALLYPORT_TOKEN; settle unknown outcomes", p.intentPropose(), p.intentShow(), p.intentResolve())
}

func (p *program) intentPropose() *cobra.Command {
	var in intent.Proposal
	var args, file string
	c := verb("propose RUN --connection NAME --tool NAME --args JSON [--reason TEXT]", "Propose an action; exit code 8 when it waits for a Decision",
		`  sallyport intent propose run_abc --connection crm --tool addNote --args '{"text":"called"}' --reason "asked by the customer"`,
		takes(1), func(cmd *cobra.Command, pos []string) error {
			if in.Connection == "" || in.Tool == "" {
				return &usageError{"the Connection or the tool is missing", "give --connection and --tool"}
			}
			in.Args = json.RawMessage(args)
			if file != "" {
				b, err := p.file(cmd.Context(), file)
				if err != nil {
					return err
				}
				in.Args = b
			}
			if !json.Valid(in.Args) {
				return &usageError{"the arguments are not JSON", `give an object like --args '{"name":"value"}'`}
			}
			var it intent.Intent
			raw, err := p.call(cmd.Context(), "POST", route("v1", "runs", pos[0], "intents"), in, &it)
			if err != nil {
				return err
			}
			return p.outcome(raw, api.IntentShown{Intent: it})
		})
	c.Flags().StringVar(&in.Connection, "connection", "", "one that the Mission holds")
	c.Flags().StringVar(&in.Tool, "tool", "", "one of the Connection's tools")
	c.Flags().StringVar(&args, "args", "{}", "the arguments, a JSON object")
	c.Flags().StringVar(&file, "args-file", "", "the arguments from a file; - is stdin")
	c.Flags().StringVar(&in.Reason, "reason", "", "why; the approver reads it")
	c.Flags().StringVar(&in.Key, "key", "", "the same key gives the same Intent, so that a repeated command proposes one")
	c.Flags().BoolVar(&in.Repeat, "repeat", false, "doing the same write a second time is meant")
	return forWorkers(c)
}

func (p *program) intentShow() *cobra.Command {
	return forWorkers(verb("show RUN INTENT", "Show what became of an Intent, with the same exit codes", "  sallyport intent show run_abc int_xyz", takes(2),
		func(cmd *cobra.Command, args []string) error {
			var it api.IntentShown
			raw, err := p.call(cmd.Context(), "GET", route("v1", "runs", args[0], "intents", args[1]), nil, &it)
			if err != nil {
				return err
			}
			return p.outcome(raw, it)
		}))
}

// outcome prints an Intent, and says by the error what became of it.
func (p *program) outcome(raw json.RawMessage, it api.IntentShown) error {
	if err := p.result(raw, func() {
		p.pairs("intent", it.ID, "state", string(it.State), "why", it.Why)
		switch {
		case it.Result == nil:
		case it.State == intent.Parked || it.State == intent.Approved: // it is tried again
			p.pairs("of the attempt before", string(it.Result.State))
		default:
			p.pairs("note", it.Result.Note, "answer", string(it.Result.Body))
		}
		p.stops(it.Stops)
	}); err != nil {
		return err
	}
	switch it.State {
	case intent.Committed:
		return nil
	case intent.Denied, intent.Rejected:
		return fault.New(fault.Denied, "the action was refused: "+it.Why)
	case intent.Failed, intent.NotApplied, intent.Expired, intent.Withdrawn:
		return fault.New(fault.Conflict, "the action was not applied")
	case intent.Unknown, intent.NeedsHuman:
		return fault.New(fault.Unknown, "whether the action was applied is not known").WithHint("don't repeat it: an admin finds out, with: sallyport unknown list")
	case intent.Parked:
		return &waitingError{"the action waits for a Decision; nothing was executed", "an approver finds it with: sallyport decision list"}
	case intent.Proposed, intent.Approved, intent.Claimed, intent.Sending:
	}
	if len(it.Stops) > 0 {
		return &waitingError{"the action waits, because this is stopped: " + stopText(it.Stops[0]), "it goes on when an admin resumes it; wait, and don't propose it again"}
	}
	return &waitingError{"the action is under way; nothing is known about its outcome yet", "look again with: sallyport intent show " + it.Run + " " + it.ID}
}

// findings are the verdicts as they are typed.
var findings = map[string]gate.Finding{"applied": gate.Applied, "not-applied": gate.NotApplied, "again": gate.TryAgain}

// intentResolve is an admin's. What is stored settles nothing: password and
// one-time code are asked for, each time.
func (p *program) intentResolve() *cobra.Command {
	var why string
	var revision int
	var piped bool
	c := verb("resolve INTENT applied|not-applied|again --why TEXT", "Say what became of a write, after looking at the system itself",
		`  sallyport intent resolve int_xyz applied --why "vendor V-100123 is in the ERP"
  sallyport intent resolve int_xyz not-applied --why "it is not there"
  sallyport intent resolve int_xyz again --why "it is not there"    and ask the approvers anew`, takes(2), func(cmd *cobra.Command, args []string) error {
			finding, ok := findings[args[1]]
			switch {
			case !ok:
				return &usageError{"say what became of it", "give applied, not-applied or again"}
			case why == "":
				return &usageError{"how you know is missing", "give --why; it is on the record"}
			case !p.typing() && !piped:
				return &usageError{"this is typed on a terminal", "to read password and code from stdin, one a line, give --stdin"}
			}
			r, err := p.looked(cmd.Context(), args[0], api.Resolution{Revision: revision, Finding: finding, Why: why})
			if err != nil {
				return err
			}
			r.Fresh, err = p.fresh(cmd.Context(), "put this on the record")
			if err != nil {
				return err
			}
			var it intent.Intent
			raw, err := p.call(cmd.Context(), "POST", route("v1", "intents", args[0], "resolution"), r, &it)
			if err != nil {
				return err
			}
			return p.result(raw, func() { p.line("%s: %s", it.ID, it.State) })
		})
	c.Flags().StringVar(&why, "why", "", "how you know")
	c.Flags().IntVar(&revision, "revision", 0, "the revision that you looked for; the one of now unless said")
	c.Flags().BoolVar(&piped, "stdin", false, "read password and one-time code from stdin, one a line")
	return c
}
