package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/intent"
)

// stopped are what the kill switch takes: what it is called with, and what it
// does.
var stopped = []struct {
	kind       intent.StopKind
	use, short string
	name       string // of the example
}{
	{intent.StopRun, "RUN", "a Run", "run_abc"},
	{intent.StopMission, "MISSION", "every Run of a Mission", "vendor-onboarding"},
	{intent.StopConnection, "CONNECTION", "every use of a Connection", "erp-write"},
	{intent.StopWorker, "WORKER", "every Run that an outside Worker started", "claude-code-ada"},
	{intent.StopAll, "", "everything", ""},
}

func (p *program) stopCmd() *cobra.Command {
	c := noun("stop", "The kill switch: hold up all uses of credentials, until an admin resumes them", p.stopList())
	c.Long = `The kill switch. What is stopped uses no credential until an admin resumes it:
nothing is read, written, asked of a model or looked up. Nothing is lost: what
was approved waits, and goes on then if its Decision still holds.

Who owns an outside Worker may stop it; what else may be stopped by whom is in
docs/commit.md. To end a Run for good, and withdraw what it waits for: sallyport run stop RUN.`
	for _, s := range stopped {
		c.AddCommand(p.halt(s.kind, s.use, "Stop "+s.short, "stop", s.name))
	}
	return c
}

func (p *program) resumeCmd() *cobra.Command {
	c := noun("resume", "Lift a stop, with password and one-time code")
	for _, s := range stopped {
		c.AddCommand(p.halt(s.kind, s.use, "Let "+s.short+" go on", "resume", s.name))
	}
	return c
}

// halt makes "stop KIND NAME" and "resume KIND NAME".
func (p *program) halt(kind intent.StopKind, use, short, verbName, example string) *cobra.Command {
	var reason string
	var piped bool
	n := 1
	if use == "" {
		n = 0
	} else {
		use, example = " "+use, " "+example
	}
	c := verb(string(kind)+use+" --reason TEXT", short, "  sallyport "+verbName+" "+string(kind)+example+` --reason "it pays twice"`, takes(n), func(cmd *cobra.Command, args []string) error {
		in := api.Lift{Halt: gate.Halt{Kind: kind, Reason: reason}}
		if n == 1 {
			in.Name = args[0]
		}
		if reason == "" {
			return &usageError{"the reason is missing", "give --reason; it is on the record"}
		}
		if verbName == "stop" {
			return p.stop(cmd, in.Halt)
		}
		if !p.typing() && !piped {
			return &usageError{"to resume is typed on a terminal", "to read password and code from stdin, one a line, give --stdin"}
		}
		var err error
		if in.Fresh, err = p.fresh(cmd.Context(), "resume it"); err != nil {
			return err
		}
		if _, err := p.call(cmd.Context(), "POST", "/v1/stops/resume", in, nil); err != nil {
			return err
		}
		err = p.result(map[string]string{"resumed": string(kind), "name": in.Name}, func() { p.line("%s%s: resumed", kind, spaced(in.Name)) })
		p.stillStopped(cmd.Context())
		return err
	})
	c.Flags().StringVar(&reason, "reason", "", "one line, for the record and for who waits")
	if verbName == "resume" {
		c.Flags().BoolVar(&piped, "stdin", false, "read password and one-time code from stdin, one a line")
	}
	return c
}

func (p *program) stop(cmd *cobra.Command, h gate.Halt) error {
	var s intent.Stop
	raw, err := p.call(cmd.Context(), "POST", "/v1/stops", h, &s)
	if err != nil {
		return err
	}
	p.say("what was claimed before may still end; nothing more is begun")
	return p.result(raw, func() { p.line("%s%s: stopped since %s", s.Kind, spaced(s.Name), when(s.Since)) })
}

// stillStopped says which other stops hold after one was lifted. It is only talk:
// that it can't be asked takes nothing from what was done.
func (p *program) stillStopped(ctx context.Context) {
	var out api.Stops
	if _, err := p.call(ctx, "GET", "/v1/stops", nil, &out); err != nil || len(out.Stops) == 0 {
		return
	}
	var names []string
	for _, s := range out.Stops {
		names = append(names, string(s.Kind)+spaced(s.Name))
	}
	p.say("still stopped: %s", strings.Join(names, ", "))
}

func spaced(name string) string {
	if name == "" {
		return ""
	}
	return " " + name
}

func (p *program) stopList() *cobra.Command {
	return verb("list", "List what is stopped", "  sallyport stop list", takes(0), func(cmd *cobra.Command, _ []string) error {
		var out api.Stops
		raw, err := p.call(cmd.Context(), "GET", "/v1/stops", nil, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			var rows [][]string
			for _, s := range out.Stops {
				rows = append(rows, []string{string(s.Kind), s.Name, when(s.Since), s.ByName, s.Reason})
			}
			p.table("nothing is stopped", []string{"WHAT", "NAME", "SINCE", "BY", "REASON"}, rows)
		})
	})
}
