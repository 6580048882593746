package cli

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/resource"
)

func (p *program) workerCmd() *cobra.Command {
	return noun("worker", "See the outside Workers, and give them tokens", p.workerList(), p.workerShow(),
		noun("token", "Make, list and revoke a Worker's tokens", p.workerTokenCreate(), p.workerTokenList(), p.workerTokenRevoke()))
}

func (p *program) workerList() *cobra.Command {
	return verb("list", "List the outside Workers that you may see", "  sallyport worker list", takes(0), func(cmd *cobra.Command, _ []string) error {
		var out api.Workers
		raw, err := p.call(cmd.Context(), "GET", "/v1/workers", nil, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			var rows [][]string
			for _, w := range out.Workers {
				rows = append(rows, []string{w.Worker.Name, w.Worker.Owner, strings.Join(w.Missions, ", "), cmp.Or(w.Why, "ready")})
			}
			p.table("there are no outside Workers", []string{"WORKER", "OWNER", "MISSIONS", "STATE"}, rows)
		})
	})
}

func (p *program) workerShow() *cobra.Command {
	return verb("show WORKER", "Show an outside Worker, its limits, and whether it can act", "  sallyport worker show night-agent", takes(1), func(cmd *cobra.Command, args []string) error {
		var w api.Worker
		raw, err := p.call(cmd.Context(), "GET", route("v1", "workers", args[0]), nil, &w)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			issuer, subject := "", ""
			if j := w.Worker.JWT; j != nil {
				issuer, subject = j.Issuer, j.Subject
			}
			p.pairs("worker", w.Worker.Name, "title", w.Worker.Title, "owner", w.Worker.Owner, "missions", strings.Join(w.Missions, ", "), "state", cmp.Or(w.Why, "ready"),
				"issuer", issuer, "subject", subject, "limits", limitsText(w.Worker.Limits.Or(resource.DefaultWorkerLimits)),
				"with its owner's others", limitsText(w.Worker.OwnerLimits.Or(resource.DefaultOwnerLimits)))
		})
	})
}

func limitsText(l resource.WorkerLimits) string {
	return strconv.Itoa(l.OpenRuns) + " open Runs, " + strconv.Itoa(l.CallsPerHour) + " calls an hour, " + strconv.Itoa(l.Parked) + " parked Intents"
}

func (p *program) workerTokenCreate() *cobra.Command {
	var piped bool
	var expires string
	c := verb("create WORKER [--expires 90d]", "Make a token with which a Worker authenticates; it is shown once", "  sallyport worker token create night-agent --expires 30d", takes(1),
		func(cmd *cobra.Command, args []string) error {
			life, err := days(expires)
			if err != nil {
				return err
			}
			if !p.typing() && !piped {
				return &usageError{"a Worker's token is confirmed on a terminal", "to read password and code from stdin, one a line, give --stdin"}
			}
			f, err := p.fresh(cmd.Context(), "make a Worker's token")
			if err != nil {
				return err
			}
			var out api.MintedWorkerToken
			raw, err := p.call(cmd.Context(), "POST", route("v1", "workers", args[0], "tokens"), api.NewWorkerToken{Expires: resource.Duration(life), Fresh: f}, &out)
			if err != nil {
				return err
			}
			p.say("shown this once: the Worker sends it as Authorization: Bearer")
			return p.result(raw, func() {
				p.pairs("token", out.Token, "id", out.Entry.ID, "fingerprint", out.Entry.Fingerprint, "until", when(out.Entry.ExpiresAt))
			})
		})
	c.Flags().StringVar(&expires, "expires", "90d", "how long it is good for, such as 12h or 30d; 366d at most")
	c.Flags().BoolVar(&piped, "stdin", false, "read password and one-time code from stdin, one a line")
	return c
}

// days reads a duration, with d for days beside Go's own units.
func days(s string) (time.Duration, error) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		if k, err := strconv.Atoi(n); err == nil && k > 0 && k <= 10_000 {
			return time.Duration(k) * 24 * time.Hour, nil
		}
	} else if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return d, nil
	}
	return 0, &usageError{"--expires is no duration", "write it like 12h or 30d"}
}

func (p *program) workerTokenList() *cobra.Command {
	return verb("list WORKER", "List a Worker's tokens, by fingerprint", "  sallyport worker token list night-agent", takes(1), func(cmd *cobra.Command, args []string) error {
		var out api.WorkerTokens
		raw, err := p.call(cmd.Context(), "GET", route("v1", "workers", args[0], "tokens"), nil, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			var rows [][]string
			for _, t := range out.Tokens {
				used := "never"
				if !t.UsedAt.IsZero() {
					used = when(t.UsedAt)
				}
				rows = append(rows, []string{t.ID, "spw_… " + t.Fingerprint, when(t.CreatedAt), t.By, when(t.ExpiresAt), used})
			}
			p.table("the Worker has no tokens", []string{"TOKEN", "FINGERPRINT", "MADE", "BY", "UNTIL", "USED, TO THE HOUR"}, rows)
		})
	})
}

func (p *program) workerTokenRevoke() *cobra.Command {
	return verb("revoke WORKER TOKEN", "Revoke a Worker's token at once, with the Runs' tokens that it was exchanged for", "  sallyport worker token revoke night-agent wtk_abc", takes(2),
		func(cmd *cobra.Command, args []string) error {
			if _, err := p.call(cmd.Context(), "POST", route("v1", "workers", args[0], "tokens", args[1], "revoke"), nil, nil); err != nil {
				return err
			}
			return p.result(map[string]string{"revoked": args[1]}, func() { p.line("%s: revoked", args[1]) })
		})
}
