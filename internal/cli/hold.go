package cli

import (
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/intent"
)

func (p *program) runErase() *cobra.Command {
	var why string
	var piped bool
	c := verb("erase RUN --reason TEXT", "Erase what a Run's form, arguments, answers and transcript said; the audit log stays as it is",
		`  sallyport run erase run_abc --reason "the vendor asked for it"`, takes(1), func(cmd *cobra.Command, args []string) error {
			if err := p.mayErase(why, piped); err != nil {
				return err
			}
			f, err := p.fresh(cmd.Context(), "erase the Run's bodies")
			if err != nil {
				return err
			}
			var out api.Erased
			raw, err := p.call(cmd.Context(), "POST", "/v1/runs/"+url.PathEscape(args[0])+"/erase", api.EraseRun{Why: why, Fresh: f}, &out)
			if err != nil {
				return err
			}
			p.say("backups that were made before still have it")
			return p.result(raw, func() { p.line("%s: erased, with %s actions", out.Run, strconv.FormatInt(out.Actions, 10)) })
		})
	c.Flags().StringVar(&why, "reason", "", "one line, for the record")
	c.Flags().BoolVar(&piped, "stdin", false, "read password and one-time code from stdin, one a line")
	return c
}

func (p *program) mayErase(why string, piped bool) error {
	if why == "" {
		return &usageError{"why is missing", "give --reason; it is on the record"}
	}
	return p.typed(piped)
}

func (p *program) holdCmd() *cobra.Command {
	return noun("hold", "Legal holds: keep from being erased what was done", p.holdSet(), p.holdList(), p.holdLift())
}

func (p *program) holdSet() *cobra.Command {
	var why string
	c := verb("set run|mission|record NAME --reason TEXT", "Keep what a Run, a Mission's Runs, or the Runs that touched a record have",
		`  sallyport hold set record V-1017 --reason "case 12 O 34/26"`, takes(2), func(cmd *cobra.Command, args []string) error {
			if why == "" {
				return &usageError{"why is missing", "give --reason; it is on the record"}
			}
			var out intent.Hold
			raw, err := p.call(cmd.Context(), "POST", "/v1/holds", api.SetHold{Kind: intent.HoldKind(args[0]), Name: args[1], Why: why}, &out)
			if err != nil {
				return err
			}
			return p.result(raw, func() { p.line("%s %s: held since %s", out.Kind, out.Name, when(out.Since)) })
		})
	c.Flags().StringVar(&why, "reason", "", "one line, for the record")
	return c
}

func (p *program) holdList() *cobra.Command {
	return verb("list", "List legal holds", "  sallyport hold list", takes(0), func(cmd *cobra.Command, _ []string) error {
		var out api.Holds
		raw, err := p.call(cmd.Context(), "GET", "/v1/holds", nil, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			var rows [][]string
			for _, h := range out.Holds {
				rows = append(rows, []string{string(h.Kind), h.Name, when(h.Since), h.By, h.Reason})
			}
			p.table("nothing is held", []string{"WHAT", "NAME", "SINCE", "BY", "REASON"}, rows)
		})
	})
}

func (p *program) holdLift() *cobra.Command {
	var why string
	var piped bool
	c := verb("lift run|mission|record NAME --reason TEXT", "Lift a legal hold, with password and one-time code",
		`  sallyport hold lift record V-1017 --reason "the case is closed"`, takes(2), func(cmd *cobra.Command, args []string) error {
			if err := p.mayErase(why, piped); err != nil {
				return err
			}
			f, err := p.fresh(cmd.Context(), "lift the hold")
			if err != nil {
				return err
			}
			in := api.LiftHold{SetHold: api.SetHold{Kind: intent.HoldKind(args[0]), Name: args[1], Why: why}, Fresh: f}
			if _, err := p.call(cmd.Context(), "POST", "/v1/holds/lift", in, nil); err != nil {
				return err
			}
			return p.result(map[string]string{"lifted": args[0], "name": args[1]}, func() { p.line("%s %s: no longer held", args[0], args[1]) })
		})
	c.Flags().StringVar(&why, "reason", "", "one line, for the record")
	c.Flags().BoolVar(&piped, "stdin", false, "read password and one-time code from stdin, one a line")
	return c
}
