package cli

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
)

func (p *program) accountCmd() *cobra.Command {
	return noun("account", "Manage people's accounts", p.accountAdd(), p.accountList(), p.accountReset(), p.accountDisable(),
		p.accountPasskeys(), p.accountPasskeyLink(), p.accountPasskeyRemove())
}

func (p *program) accountAdd() *cobra.Command {
	var full string
	var roles []string
	c := verb("add NAME --role ROLE... [--display-name TEXT]", "Create an account; its password and one-time codes are shown once",
		"  sallyport account add bo --role builder --role requester --display-name 'Bo'", takes(1), func(cmd *cobra.Command, args []string) error {
			if len(roles) == 0 {
				return &usageError{"the role is missing", "give --role with one of: " + join(ident.Roles)}
			}
			in := api.NewAccount{Name: args[0], Full: full}
			for _, r := range roles {
				in.Roles = append(in.Roles, ident.Role(r))
			}
			var out api.Enrolled
			raw, err := p.call(cmd.Context(), "POST", "/v1/accounts", in, &out)
			if err != nil {
				return err
			}
			return p.enrolled(raw, out)
		})
	c.Flags().StringSliceVar(&roles, "role", nil, "one of: "+join(ident.Roles)+"; give it again for several")
	c.Flags().StringVar(&full, "display-name", "", "what people see")
	return c
}

// enrolled prints what the account's owner needs, this once.
func (p *program) enrolled(raw json.RawMessage, e api.Enrolled) error {
	p.say("shown this once: hand it to its owner, who changes the password at the first sign-in")
	return p.result(raw, func() {
		p.pairs("name", e.Account.Name, "id", e.Account.ID, "roles", join(e.Account.Roles), "password", e.Password, "otpauth", e.OTPAuth)
	})
}

func (p *program) accountList() *cobra.Command {
	return verb("list", "List the accounts", "  sallyport account list", takes(0), func(cmd *cobra.Command, _ []string) error {
		var out api.Accounts
		raw, err := p.call(cmd.Context(), "GET", "/v1/accounts", nil, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			var rows [][]string
			for _, a := range out.Accounts {
				state := "active"
				switch {
				case a.Disabled:
					state = "disabled"
				case a.MustChange:
					state = "has to change the password"
				}
				rows = append(rows, []string{a.Name, a.DisplayName, join(a.Roles), state, a.ID})
			}
			p.table("there are no accounts", []string{"NAME", "DISPLAY NAME", "ROLES", "STATE", "ID"}, rows)
		})
	})
}

// account finds the id of a name; an id is its own.
func (p *program) account(ctx context.Context, name string) (identity.Account, error) {
	var out api.Accounts
	if _, err := p.call(ctx, "GET", "/v1/accounts", nil, &out); err != nil {
		return identity.Account{}, err
	}
	for _, a := range out.Accounts {
		if a.Name == name || a.ID == name {
			return a, nil
		}
	}
	// What was typed is not repeated: people put passwords there by mistake.
	return identity.Account{}, fault.New(fault.NotFound, "there is no account of that name or id").WithHint("see: sallyport account list")
}

func (p *program) accountReset() *cobra.Command {
	return verb("reset NAME", "Give an account a new password and new one-time codes; its sessions end", "  sallyport account reset bo", takes(1), func(cmd *cobra.Command, args []string) error {
		a, err := p.account(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		var out api.Enrolled
		raw, err := p.call(cmd.Context(), "POST", route("v1", "accounts", a.ID, "reset"), nil, &out)
		if err != nil {
			return err
		}
		return p.enrolled(raw, out)
	})
}

func (p *program) accountDisable() *cobra.Command {
	return verb("disable NAME", "End an account's use; its sessions end", "  sallyport account disable bo", takes(1), func(cmd *cobra.Command, args []string) error {
		a, err := p.account(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if _, err := p.call(cmd.Context(), "POST", route("v1", "accounts", a.ID, "disable"), nil, nil); err != nil {
			return err
		}
		return p.result(map[string]string{"disabled": a.Name}, func() { p.line("%s: disabled", a.Name) })
	})
}
