package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/vault"
)

func (p *program) doctorCmd() *cobra.Command {
	return noun("doctor", "Look for what is wrong, or will be",
		verb("secrets", "List Secrets that are shared, unused, old, expiring, wider than needed or not revoked", "  sallyport doctor secrets", takes(0), p.doctorSecrets),
		verb("backends", "List the vaults that Secrets can point to: do they answer, and tell of changes", "  sallyport doctor backends", takes(0), p.doctorBackends))
}

func (p *program) doctorSecrets(cmd *cobra.Command, _ []string) error {
	var out api.Findings
	raw, err := p.call(cmd.Context(), "GET", "/v1/doctor/secrets", nil, &out)
	if err != nil {
		return err
	}
	return p.result(raw, func() {
		for _, f := range out.Findings {
			p.line("%s: %s: %s", f.Secret, f.Kind, f.Text)
		}
		if len(out.Findings) == 0 {
			p.line("nothing was found")
		}
	})
}

func (p *program) doctorBackends(cmd *cobra.Command, _ []string) error {
	var out api.Backends
	raw, err := p.call(cmd.Context(), "GET", "/v1/doctor/backends", nil, &out)
	if err != nil {
		return err
	}
	return p.result(raw, func() {
		for _, b := range out.Backends {
			p.line("%s (%s): %s; %s", b.Name, b.Kind, answering(b), telling(b))
			paths := "all (set paths in the server's file to bound them)"
			if len(b.Paths) > 0 {
				paths = strings.Join(b.Paths, ", ")
			}
			p.line("  Secrets that point to it: %d; paths that they may: %s", b.Pointers, paths)
			if b.MaxLeases > 0 {
				p.line("  credentials of Runs that have not ended: %d of %d at most%s", b.Leases, b.MaxLeases, nearing(b))
			}
		}
		if len(out.Backends) == 0 {
			p.line("the server has no backends")
		}
	})
}

func answering(b vault.BackendState) string {
	switch b.State {
	case "answers":
		return "answered at " + b.Answered.UTC().Format(time.RFC3339)
	case "fails":
		return "gave no value at " + b.Failed.UTC().Format(time.RFC3339) + ": " + string(b.Why)
	}
	return "not asked since the start"
}

func nearing(b vault.BackendState) string {
	switch {
	case b.Leases >= b.MaxLeases:
		return ": FULL, and Runs that have none get none (maxLeases, in the server's file)"
	case b.NearMax:
		return ": near the bound (maxLeases, in the server's file)"
	}
	return ""
}

func telling(b vault.BackendState) string {
	out := map[string]string{"no": "tells of no changes by itself", "waits": "nothing to watch", "watching": "tells of changes",
		"lost": "its watch is lost since " + b.LostSince.UTC().Format(time.RFC3339) + ": " + string(b.LostWhy)}[b.Watch]
	if b.Hook {
		out += "; takes messages"
	}
	return out
}
