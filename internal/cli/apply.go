package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/config"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

func (p *program) applyCmd() *cobra.Command {
	var f from
	var dry, prune bool
	c := verb("apply -f DIR|FILE... [--set NAME=VALUE]... [--dry-run] [--prune]", "Check resources and store them: all of them, or none",
		`  sallyport apply -f ./resources
  sallyport apply -f crm.yaml -f policies/
  sallyport apply -f crm.yaml --set CRM_URL=https://crm.example --dry-run`,
		takes(0), func(cmd *cobra.Command, _ []string) error {
			if len(f.files) == 0 {
				return &usageError{"what to apply is missing", "name a file or a directory with -f"}
			}
			vars, err := variables(f.sets)
			if err != nil {
				return err
			}
			return p.apply(cmd.Context(), f.files, vars, prune, dry)
		})
	f.flags(c)
	c.Flags().BoolVar(&dry, "dry-run", false, "only say what would change")
	c.Flags().BoolVar(&prune, "prune", false, "also remove what is applied and not in the files")
	return c
}

func variables(sets []string) (map[string]string, error) {
	vars := map[string]string{}
	for _, s := range sets {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return nil, &usageError{"--set takes NAME=VALUE", ""}
		}
		vars[name] = value
	}
	return vars, nil
}

func (p *program) apply(ctx context.Context, files []string, vars map[string]string, prune, dry bool) error {
	known := applied{ask: func(out any) error {
		_, err := p.call(ctx, "GET", "/v1/resources", nil, out)
		return err
	}, prune: prune}
	bundle, err := config.Load(config.Options{Vars: vars, Known: known.has}, files...)
	if err != nil {
		return err
	}
	if known.err != nil {
		return known.err
	}
	in := api.Apply{Prune: prune, DryRun: dry}
	for _, r := range bundle.Resources {
		b, err := json.Marshal(r)
		if err != nil {
			return fault.Wrap(fault.Internal, "encoding a resource", err)
		}
		in.Resources = append(in.Resources, b)
	}
	var out api.Applied
	raw, err := p.call(ctx, "POST", "/v1/resources", in, &out)
	if err != nil {
		return err
	}
	return p.result(raw, func() {
		for _, c := range out.Changes {
			what := c.Change
			if dry && what != "unchanged" {
				what = "would be " + what
			}
			p.line("%-9s %s %s", what, strings.ToLower(string(c.Kind)), c.Name)
			if c.Warning != "" {
				p.say("warning: the %s %s: %s", c.Kind, c.Name, c.Warning)
			}
		}
	})
}

// applied asks the server, when the first reference leads out of the files, what
// is there already.
type applied struct {
	ask   func(out any) error
	prune bool
	names map[catalog.Key]bool
	err   error
}

// has says whether a resource is applied. While the server can't be asked, the
// answer is yes: the files' own mistakes come first, then the server's answer.
func (a *applied) has(k resource.Kind, name string) bool {
	if a.prune {
		return false // what is not in the files will be removed
	}
	if a.names == nil && a.err == nil {
		a.err = a.load()
	}
	return a.err != nil || a.names[catalog.Key{Kind: k, Name: name}]
}

func (a *applied) load() error {
	var out struct {
		Resources []resource.Head `json:"resources"`
	}
	if err := a.ask(&out); err != nil {
		return fmt.Errorf("asking the server what is applied: %w", err)
	}
	a.names = map[catalog.Key]bool{}
	for _, h := range out.Resources {
		a.names[catalog.Key{Kind: h.Kind, Name: h.Name}] = true
	}
	return nil
}
