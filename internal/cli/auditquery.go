package cli

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/audit"
)

// askedFor is what a query names, by the name of its flag, which is the API's too.
var askedFor = []struct{ name, help string }{
	{"record", "the record in the system, as its Tool says where its name stands"}, {"secret", "the Secret's name"}, {"run", "of one Run"},
	{"mission", "of one Mission"}, {"person", "an account's name or id: who acted, started the Run, or approved"}, {"worker", "built-in or outside"},
	{"connection", "through one Connection"}, {"system", "at one Integration"}, {"tool", "by one Tool"}, {"type", "a type of entry, like intent.denied"},
	{"intent", "of one Intent"}, {"decision", "of one Decision"}, {"since", "not before: 2026-11-23T12:00:00Z, or how long ago, like 24h"},
	{"until", "not after, as --since"}, {"after", "go on where an earlier answer has ended: the entry that it named"},
}

func (p *program) auditQuery() *cobra.Command {
	values := make([]string, len(askedFor))
	limit := 0
	c := verb("query [--record NAME] [--secret NAME] [--run RUN] [--person NAME] [--system NAME] [--since TIME] …",
		"Ask which Worker used which credential for what, the newest first",
		"  sallyport audit query --record V-1017\n  sallyport audit query --secret erp-write --since 24h\n  sallyport audit query --person ann --type intent.decided --json", takes(0),
		func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return &usageError{"--limit takes a number from 1", ""}
			}
			kv := []string{}
			for i, f := range askedFor {
				v, name := values[i], f.name
				switch name {
				case "since", "until":
					if ago, err := time.ParseDuration(v); err == nil {
						v = time.Now().Add(-ago).UTC().Format(time.RFC3339)
					}
				case "after":
					name = "before" // the newest come first
				}
				kv = append(kv, name, v)
			}
			return p.askAudit(cmd.Context(), kv, limit)
		})
	for i, f := range askedFor {
		c.Flags().StringVar(&values[i], f.name, "", f.help)
	}
	c.Flags().IntVar(&limit, "limit", 50, "how many calls at most")
	return c
}

// askAudit reads pages until there are as many as are wanted.
func (p *program) askAudit(ctx context.Context, kv []string, limit int) error {
	out := audit.Answer{Uses: []audit.Use{}}
	for len(out.Uses) < limit {
		var page audit.Answer
		kv := append(slices.Clone(kv), "limit", strconv.Itoa(min(limit-len(out.Uses), audit.MaxUses)))
		if out.Next > 0 {
			kv = append(kv, "before", strconv.FormatInt(out.Next, 10))
		}
		if _, err := p.call(ctx, "GET", query("/v1/audit/query", kv...), nil, &page); err != nil {
			return err
		}
		out.Uses, out.Next = append(out.Uses, page.Uses...), page.Next
		if page.Next == 0 {
			break
		}
	}
	return p.result(out, func() {
		var rows [][]string
		for _, u := range out.Uses {
			rows = append(rows, useRow(u))
		}
		p.table("nothing of that is on the record", []string{"TIME", "WHO", "MISSION/RUN", "CONNECTION", "SECRET", "SYSTEM TOOL", "RECORD", "DECISION", "OUTCOME", "ENTRY"}, rows)
		if out.Next > 0 {
			p.say("there may be more: --after %d", out.Next)
		}
	})
}

func useRow(u audit.Use) []string {
	who := u.Actor
	if u.Worker != "" {
		who = u.Worker
		if u.Auth != "" {
			who += " (" + u.Auth + ")"
		}
		if u.Starter != "" {
			who += " for " + u.Starter
		}
	}
	secret := u.Secret
	if u.Version > 0 {
		secret += "@v" + strconv.FormatInt(u.Version, 10)
	}
	by := strings.Join(u.Approvers, ", ")
	if by == "" && len(u.Policies) > 0 {
		by = "rule " + strings.Join(u.Policies, ", ")
	}
	outcome := u.Outcome
	if outcome == "" {
		outcome = string(u.Type)
	}
	return []string{when(u.At), who, strings.Trim(u.Mission+"/"+u.Run, "/"), u.Connection, secret, strings.TrimSpace(u.System + " " + u.Tool), u.Record, by,
		outcome, strconv.FormatInt(u.Entry, 10)}
}

func (p *program) auditReindex() *cobra.Command {
	return verb("reindex", "Make anew what the log is searched by, when \"audit verify\" says index-altered", "  sallyport audit reindex", takes(0), func(cmd *cobra.Command, _ []string) error {
		_, err := p.call(cmd.Context(), "POST", "/v1/audit/reindex", nil, nil)
		if err == nil {
			p.say("the log can be searched again")
		}
		return err
	})
}
