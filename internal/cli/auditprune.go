package cli

import (
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
)

func (p *program) auditPrune() *cobra.Command {
	var in api.PruneAudit
	var before string
	var piped bool
	c := verb("prune --before TIME|--below N --reason TEXT", "Drop entries from the beginning of the audit log; its tree and every proof of before stay",
		`  sallyport audit prune --before 8760h --reason "a year is what we keep"
  sallyport audit prune --before 2026-01-01T00:00:00Z --erase --reason "as agreed"
  sallyport audit prune --below 100000 --reason "they are in the archive"`, takes(0), func(cmd *cobra.Command, _ []string) error {
			if (before == "") == (in.Below == 0) || in.Below < 0 {
				return &usageError{"where to is missing, or is there twice", "give --before or --below"}
			}
			if in.Erase && before == "" {
				return &usageError{"--erase needs --before", "it erases the bodies of Runs that ended before then"}
			}
			if before != "" {
				t, err := instant(before)
				if err != nil {
					return err
				}
				in.Before = t
			}
			if err := p.mayErase(in.Why, piped); err != nil {
				return err
			}
			f, err := p.fresh(cmd.Context(), "prune the audit log")
			if err != nil {
				return err
			}
			in.Fresh = f
			var out api.PrunedAudit
			raw, err := p.call(cmd.Context(), "POST", "/v1/audit/prune", in, &out)
			if err != nil {
				return err
			}
			p.say("backups that were made before, and copies, still have them")
			return p.result(raw, func() {
				p.line("%d entries dropped; the log begins at %d", out.Dropped, out.Minimum)
				if out.Stopped != "" {
					p.line("it goes no further: %s", out.Stopped)
				}
			})
		})
	c.Flags().StringVar(&before, "before", "", "what happened before: 2026-11-23T12:00:00Z, or how long ago, like 8760h")
	c.Flags().Int64Var(&in.Below, "below", 0, "entries below this index, in whole bundles of 256")
	c.Flags().BoolVar(&in.Erase, "erase", false, "erase first the bodies of the Runs that ended before then: entries of a Run stay as long as its bodies")
	c.Flags().StringVar(&in.Why, "reason", "", "one line, for the record")
	c.Flags().BoolVar(&piped, "stdin", false, "read password and one-time code from stdin, one a line")
	return c
}

func (p *program) auditForget() *cobra.Command {
	var in api.ForgetRecords
	var piped bool
	c := verb("forget-records --reason TEXT", "Destroy what private records are found by, in the audit log as it is",
		`  sallyport audit forget-records --reason "the contract has ended"`, takes(0), func(cmd *cobra.Command, _ []string) error {
			if err := p.mayErase(in.Why, piped); err != nil {
				return err
			}
			f, err := p.fresh(cmd.Context(), "forget the private records")
			if err != nil {
				return err
			}
			in.Fresh = f
			if _, err := p.call(cmd.Context(), "POST", "/v1/audit/forget-records", in, nil); err != nil {
				return err
			}
			p.say("backups that were made before still have it")
			return p.result(map[string]bool{"forgotten": true}, func() { p.line("private records of before can't be found any more") })
		})
	c.Flags().StringVar(&in.Why, "reason", "", "one line, for the record")
	c.Flags().BoolVar(&piped, "stdin", false, "read password and one-time code from stdin, one a line")
	return c
}

// instant reads a time, or how long ago it was.
func instant(s string) (time.Time, error) {
	if ago, err := time.ParseDuration(s); err == nil && ago > 0 {
		return time.Now().Add(-ago).UTC().Truncate(time.Second), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, &usageError{"--before is no time", "write it like 2026-11-23T12:00:00Z, or how long ago, like 8760h"}
	}
	return t.UTC(), nil
}
