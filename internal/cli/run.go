package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/intent"
)

func (p *program) runCmd() *cobra.Command {
	return noun("run", "Start Runs of Missions, and see where they stand",
		p.runStart(), p.runList(), p.runShow(), p.runFollow(), p.runReplay(), p.runIntents(), p.runStop(), p.runEnd(), p.runErase())
}

func (p *program) runList() *cobra.Command {
	return verb("list", "List the Runs that you may see, the newest first", "  sallyport run list", takes(0), func(cmd *cobra.Command, _ []string) error {
		var out api.Runs
		raw, err := p.call(cmd.Context(), "GET", "/v1/runs", nil, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			var rows [][]string
			for _, r := range out.Runs {
				rows = append(rows, []string{r.ID, r.Mission, string(r.State), r.Verdict, r.StarterName, when(r.CreatedAt)})
			}
			p.table("there are no Runs", []string{"RUN", "MISSION", "STATE", "VERDICT", "STARTED BY", "AT"}, rows)
		})
	})
}

func (p *program) runShow() *cobra.Command {
	return verb("show RUN", "Show a Run", "  sallyport run show run_abc", takes(1), func(cmd *cobra.Command, args []string) error {
		var r api.RunShown
		raw, err := p.call(cmd.Context(), "GET", route("v1", "runs", args[0]), nil, &r)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			p.pairs("run", r.ID, "mission", r.Mission, "state", string(r.State), "verdict", r.Verdict, "summary", r.Summary,
				"started by", r.StarterName, "via", r.Via, "worker", r.Worker, "at", when(r.CreatedAt), "ended", when(r.EndedAt), "input", string(r.Input), "questions", p.asks(cmd.Context(), r.ID))
			p.stops(r.Stops)
		})
	})
}

// asks says that approvers' questions about a Run wait for an answer; empty where
// none does, or it can't be asked.
func (p *program) asks(ctx context.Context, run string) string {
	var all api.Notes
	if _, err := p.call(ctx, "GET", route("v1", "runs", run, "questions"), nil, &all); err != nil {
		return ""
	}
	open := map[string]bool{}
	for _, n := range all.Notes {
		if n.Answers == "" {
			open[n.ID] = true
		}
	}
	for _, n := range all.Notes {
		delete(open, n.Answers)
	}
	if len(open) == 0 {
		return ""
	}
	return fmt.Sprintf("%d without an answer; see: sallyport decision answer --run %s", len(open), run)
}

func (p *program) runIntents() *cobra.Command {
	return verb("intents RUN", "List what the Run's Worker proposed, and what became of it", "  sallyport run intents run_abc", takes(1), func(cmd *cobra.Command, args []string) error {
		var out api.Intents
		raw, err := p.call(cmd.Context(), "GET", route("v1", "runs", args[0], "intents"), nil, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() { p.intents("the Run has no Intents", out.Intents) })
	})
}

func (p *program) intents(none string, l []intent.Intent) {
	var rows [][]string
	for _, it := range l {
		rows = append(rows, []string{it.ID, it.Connection, it.Tool, string(it.Effect), string(it.State), it.Why})
	}
	p.table(none, []string{"INTENT", "CONNECTION", "TOOL", "EFFECT", "STATE", "WHY"}, rows)
}

func (p *program) runStop() *cobra.Command {
	return verb("stop RUN", "End a Run; what waits for a Decision is withdrawn (to hold it up instead: sallyport stop run)", "  sallyport run stop run_abc", takes(1), func(cmd *cobra.Command, args []string) error {
		if _, err := p.call(cmd.Context(), "POST", route("v1", "runs", args[0], "stop"), nil, nil); err != nil {
			return err
		}
		return p.result(map[string]string{"stopped": args[0]}, func() { p.line("%s: stopped", args[0]) })
	})
}

// runEnd is a Worker's, with its Run's token.
func (p *program) runEnd() *cobra.Command {
	var verdict, summary string
	c := verb("end RUN --verdict VERDICT [--summary TEXT]", "End a Run with its verdict; for a Worker outside, with the Run's token",
		`  SALLYPORT_TOKEN=spr_… sallyport run end run_abc --verdict done --summary "filed"`,
		takes(1), func(cmd *cobra.Command, args []string) error {
			if verdict == "" {
				return &usageError{"the verdict is missing", "give --verdict"}
			}
			if _, err := p.call(cmd.Context(), "POST", route("v1", "runs", args[0], "end"), api.End{Verdict: verdict, Summary: summary}, nil); err != nil {
				return err
			}
			return p.result(map[string]string{"ended": args[0], "verdict": verdict}, func() { p.line("%s: %s", args[0], verdict) })
		})
	c.Flags().StringVar(&verdict, "verdict", "", "one word that says how it went")
	c.Flags().StringVar(&summary, "summary", "", "what was done, in a sentence")
	return forWorkers(c)
}
