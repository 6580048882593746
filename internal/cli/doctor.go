package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
)

func (p *program) doctorCmd() *cobra.Command {
	return noun("doctor", "Look for what is wrong, or will be",
		verb("secrets", "List Secrets that are shared, unused, old, expiring, wider than needed or not revoked", "  sallyport doctor secrets", takes(0), p.doctorSecrets),
		p.doctorBackendsCmd())
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

func (p *program) doctorBackendsCmd() *cobra.Command {
	var ask bool
	c := verb("backends [NAME --ask]", "List the vaults that Secrets can point to: do they answer, and tell of changes", `  sallyport doctor backends
  sallyport doctor backends --ask
  sallyport doctor backends corp-vault --ask`, cobra.MaximumNArgs(1), func(cmd *cobra.Command, args []string) error {
		switch {
		case ask:
			return p.askBackends(cmd, args)
		case len(args) > 0:
			return &usageError{"a backend's name goes with --ask", "usage: sallyport doctor backends NAME --ask"}
		}
		return p.doctorBackends(cmd)
	})
	c.Flags().BoolVar(&ask, "ask", false, "sign in at each anew, or at NAME, without reading a value, and say what it answers")
	return c
}

// askedBackends is the answer of several.
type askedBackends struct {
	Backends []vault.Asked `json:"backends"`
}

// askBackends has backends asked, one after the other.
func (p *program) askBackends(cmd *cobra.Command, names []string) error {
	if len(names) == 0 {
		var all api.Backends
		if _, err := p.call(cmd.Context(), "GET", "/v1/doctor/backends", nil, &all); err != nil {
			return err
		}
		for _, b := range all.Backends {
			names = append(names, b.Name)
		}
	}
	out, bad := askedBackends{Backends: []vault.Asked{}}, 0
	for _, name := range names {
		var one vault.Asked
		if _, err := p.call(cmd.Context(), "POST", route("v1", "doctor", "backends", name, "ask"), nil, &one); err != nil {
			return err
		}
		if !one.OK {
			bad++
		}
		out.Backends = append(out.Backends, one)
	}
	err := p.result(out, func() {
		for _, b := range out.Backends {
			if b.OK {
				p.line("%s: %s", b.Name, b.Did)
				continue
			}
			p.line("%s: %s: %s", b.Name, b.Why, b.Said)
			p.hintLine(b.Hint)
		}
		if len(out.Backends) == 0 {
			p.line("the server has no backends")
		}
	})
	if err == nil && bad > 0 {
		err = fault.Newf(fault.Conflict, "%d of %d backends do not work as they are", bad, len(out.Backends))
	}
	return err
}

func (p *program) hintLine(hint string) {
	if hint != "" {
		p.line("  hint: %s", hint)
	}
}

func (p *program) doctorBackends(cmd *cobra.Command) error {
	var out api.Backends
	raw, err := p.call(cmd.Context(), "GET", "/v1/doctor/backends", nil, &out)
	if err != nil {
		return err
	}
	return p.result(raw, func() {
		for _, b := range out.Backends {
			p.line("%s (%s): %s; %s", b.Name, b.Kind, answering(b), telling(b))
			if b.State == "fails" && b.Said != "" {
				p.line("  %s", b.Said)
				p.hintLine(b.Hint)
			}
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
