package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/vault"
)

// secretVersion makes activate and disable.
func (p *program) secretVersion(name, short string) *cobra.Command {
	return verb(name+" NAME VERSION", short, "  sallyport secret "+name+" crm-token 2", named(2), func(cmd *cobra.Command, args []string) error {
		n, err := versionOf(args[1])
		if err != nil {
			return err
		}
		var s vault.Secret
		raw, err := p.call(cmd.Context(), "POST", route("v1", "secrets", args[0], name), api.VersionOf{Version: n}, &s)
		if err != nil {
			return err
		}
		return p.result(raw, func() { p.stateOf(s, n) })
	})
}

func versionOf(s string) (int, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(s, "v"))
	if err != nil || n < 1 {
		return 0, &usageError{"the version is not a number", "sallyport secret show lists the versions"}
	}
	return n, nil
}

func (p *program) stateOf(s vault.Secret, n int) {
	for _, v := range s.Versions {
		if v.Version == n {
			p.line("%s: version %d is %s", s.Name, n, v.State)
		}
	}
}

func (p *program) secretRollback() *cobra.Command {
	return verb("rollback NAME", "Make the version before the active one the active one again", "  sallyport secret rollback crm-token", named(1), func(cmd *cobra.Command, args []string) error {
		var s vault.Secret
		raw, err := p.call(cmd.Context(), "POST", route("v1", "secrets", args[0], "rollback"), api.Rollback{}, &s)
		if err != nil {
			return err
		}
		return p.result(raw, func() { p.stateOf(s, s.Active) })
	})
}

func (p *program) secretDestroy() *cobra.Command {
	var yes bool
	c := verb("destroy NAME [VERSION] [--yes]", "Destroy a version for good, or with none named the whole Secret", `  sallyport secret destroy crm-token 1
  sallyport secret destroy crm-token`, func(cmd *cobra.Command, args []string) error {
		return named(max(1, min(len(args), 2)))(cmd, args)
	}, func(cmd *cobra.Command, args []string) error {
		name, n := args[0], 0
		if len(args) == 2 {
			var err error
			if n, err = versionOf(args[1]); err != nil {
				return err
			}
		}
		if !yes {
			if err := p.confirmDestroy(cmd.Context(), name, n); err != nil {
				return err
			}
		}
		return p.destroy(cmd.Context(), name, n)
	})
	c.Flags().BoolVar(&yes, "yes", false, "don't ask; for scripts")
	return c
}

// confirmDestroy says who would miss it, and asks.
func (p *program) confirmDestroy(ctx context.Context, name string, n int) error {
	what := "version " + strconv.Itoa(n) + " of " + name
	if n == 0 {
		what = "every version of " + name
		var s api.SecretShown
		if p.typing() {
			if _, err := p.call(ctx, "GET", route("v1", "secrets", name), nil, &s); err != nil {
				return err
			}
		}
		if len(s.Connections) > 0 {
			p.warn("these Connections use it: " + strings.Join(s.Connections, " "))
		}
	}
	return p.sure(ctx, what, name)
}

func (p *program) destroy(ctx context.Context, name string, n int) error {
	if n == 0 {
		if _, err := p.call(ctx, "DELETE", route("v1", "secrets", name), nil, nil); err != nil {
			return err
		}
		return p.result(map[string]string{"destroyed": name}, func() { p.line("%s: destroyed", name) })
	}
	var s vault.Secret
	raw, err := p.call(ctx, "DELETE", route("v1", "secrets", name, "versions", strconv.Itoa(n)), nil, &s)
	if err != nil {
		return err
	}
	return p.result(raw, func() { p.stateOf(s, n) })
}

func (p *program) secretEdit() *cobra.Command {
	var description, owner string
	var labels, unlabel []string
	c := verb("edit NAME [--description TEXT] [--owner WHO] [--label NAME=VALUE]... [--remove-label NAME]...", "Change what people read about a Secret; its value stays",
		`  sallyport secret edit crm-token --owner crm-team --label env=prod
  sallyport secret edit crm-token --description ''`, named(1), func(cmd *cobra.Command, args []string) (err error) {
			ed := vault.Edit{Unlabel: unlabel}
			if ed.Labels, err = labelsOf(labels); err != nil {
				return err
			}
			if cmd.Flags().Changed("description") {
				ed.Description = &description
			}
			if cmd.Flags().Changed("owner") {
				ed.Owner = &owner
			}
			if ed.Description == nil && ed.Owner == nil && len(labels)+len(unlabel) == 0 {
				return &usageError{"nothing to change was given", "see: " + cmd.CommandPath() + " --help"}
			}
			var s vault.Secret
			raw, err := p.call(cmd.Context(), "PATCH", route("v1", "secrets", args[0]), ed, &s)
			if err != nil {
				return err
			}
			return p.result(raw, func() { p.line("%s: changed", s.Name) })
		})
	c.Flags().StringVar(&description, "description", "", "what it is for; '' takes it away")
	c.Flags().StringVar(&owner, "owner", "", "whom to ask about it; '' takes it away")
	c.Flags().StringArrayVar(&labels, "label", nil, "add or change a label, NAME=VALUE; give it again for several")
	c.Flags().StringArrayVar(&unlabel, "remove-label", nil, "take a label away; give it again for several")
	return c
}
