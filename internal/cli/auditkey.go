package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
)

func (p *program) auditStatus() *cobra.Command {
	return verb("status", "Show the log's size and keys, and what witnesses and anchors have of it", "  sallyport audit status", takes(0), func(cmd *cobra.Command, _ []string) error {
		var s api.AuditStatus
		raw, err := p.call(cmd.Context(), "GET", "/v1/audit/status", nil, &s)
		if err != nil {
			return err
		}
		return p.result(raw, func() { p.showAudit(s) })
	})
}

func (p *program) showAudit(s api.AuditStatus) {
	cosigned := ""
	if s.CosignedSize > 0 {
		cosigned = fmt.Sprintf("the first %d entries", s.CosignedSize)
	}
	p.pairs("entries", strconv.FormatInt(s.Size, 10), "key", s.Verifier, "generation", strconv.FormatInt(s.Generation, 10), "next key", s.NextVerifier, "cosigned", cosigned)
	for _, o := range s.Outside {
		line := fmt.Sprintf("%s %s: %s", o.Kind, o.Name, o.State)
		if o.Size > 0 {
			line += fmt.Sprintf(", has %d entries", o.Size)
		}
		if o.Lag > 0 {
			line += fmt.Sprintf(", %d behind", o.Lag)
		}
		if !o.Since.IsZero() {
			line += ", since " + when(o.Since)
		}
		if o.Why != "" {
			line += ": " + o.Why
		}
		p.line("%s", line)
	}
	if s.Quorum > 0 {
		p.line("%d witnesses are needed", s.Quorum)
	}
	if len(s.Outside) == 0 {
		p.say("no witness and no anchor is configured: who has the server and its keys can write the log anew")
	}
}

func (p *program) auditRotateKey() *cobra.Command {
	var piped bool
	var why string
	c := verb("rotate-key [--why TEXT]", "Go on with the next key of the log; the old one signs which it is", "  sallyport audit rotate-key", takes(0), func(cmd *cobra.Command, _ []string) error {
		if err := p.typed(piped); err != nil {
			return err
		}
		f, err := p.fresh(cmd.Context(), "replace the audit log's key")
		if err != nil {
			return err
		}
		var out api.AuditKey
		raw, err := p.call(cmd.Context(), "POST", "/v1/audit/rotate-key", api.RotateAuditKey{Why: why, Fresh: f}, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			p.line("the log is signed by %s from entry %d on", out.Verifier, out.Index)
			p.say("who knows an earlier key goes on with it; a witness has to be told the new one")
		})
	})
	c.Flags().StringVar(&why, "why", "", "one line for the record")
	c.Flags().BoolVar(&piped, "stdin", false, "read password and one-time code from stdin, one a line")
	return c
}
