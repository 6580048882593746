package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/vault"
)

func (p *program) secretCmd() *cobra.Command {
	c := noun("secret", "Store Secrets; none can be read back",
		p.secretWrite("set", "PUT", "Store a value: the first of a name is active at once, a later one is pending"),
		p.secretWrite("rotate", "POST", "Store a value as the next version, and make it the active one"),
		p.secretList(), p.secretShow(),
		p.secretVersion("activate", "Make a version the active one"),
		p.secretVersion("disable", "End the use of a version"),
		p.secretRemove(), p.secretGet(),
	)
	c.SetFlagErrorFunc(func(cmd *cobra.Command, _ error) error { // whose text could repeat a value
		return &usageError{"a flag is unknown or incomplete", "see: " + cmd.CommandPath() + " --help; " + valuesGo}
	})
	return c
}

// secretWrite makes set and rotate.
func (p *program) secretWrite(name, method, short string) *cobra.Command {
	var fields []string
	var origins []string
	var anyOrigin bool
	var file, description, owner string
	c := verb(name+" NAME [--origin URL]... [--field FIELD]... [--from-file FILE]", short, strings.ReplaceAll(`  sallyport secret VERB crm-token --origin https://crm.example.com           asks for the value
  sallyport secret VERB crm-token --origin https://crm.example.com < token.txt
  sallyport secret VERB erp-login --origin https://erp.example.com --field username --field password`, "VERB", name),
		noValues, func(cmd *cobra.Command, args []string) error {
			v := values{fields: fields, file: file}
			got, err := v.read(cmd.Context(), p)
			if err != nil {
				return err
			}
			body := map[string]any{"fields": got, "description": description, "owner": owner}
			if len(origins) > 0 {
				body["scope"] = vault.Scope{Origins: origins}
			}
			if anyOrigin {
				body["scope"], body["anyOrigin"] = vault.Scope{}, true
			}
			path := route("v1", "secrets", args[0])
			if name == "rotate" {
				path += "/rotate"
			}
			var s vault.Secret
			raw, err := p.call(cmd.Context(), method, path, body, &s)
			if err != nil {
				return err
			}
			return p.result(raw, func() { p.stored(s) })
		})
	c.Flags().StringArrayVar(&fields, "field", []string{"token"}, "the name of a field; give it again for several")
	c.Flags().StringVar(&file, "from-file", "", "read the value from a file; several fields as one JSON object")
	c.Flags().StringArrayVar(&origins, "origin", nil, "where it may be sent, like https://crm.example.com; give it again for several (a known name keeps its own)")
	c.Flags().BoolVar(&anyOrigin, "any-origin", false, "it may be sent wherever a Connection says: whoever applies Connections can then send it to themselves")
	c.MarkFlagsMutuallyExclusive("origin", "any-origin")
	c.Flags().StringVar(&description, "description", "", "what it is for, for people")
	c.Flags().StringVar(&owner, "owner", "", "whom to ask about it")
	return c
}

const valuesGo = "values come from stdin, from --from-file or from a prompt; one that was typed as an argument is in the shell's history and in the process list now: rotate it where it was issued"

// noValues refuses a value as an argument, and does not repeat it.
func noValues(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return &usageError{"a secret's value is never an argument", valuesGo}
	}
	return takes(1)(cmd, args)
}

// stored says what became of the value: the last version is the new one.
func (p *program) stored(s vault.Secret) {
	if len(s.Versions) == 0 {
		return // of a server that is not ours
	}
	last := s.Versions[len(s.Versions)-1]
	p.line("%s: version %d is %s", s.Name, last.Version, last.State)
	if last.State == vault.Pending {
		p.say("version %d goes on being used; to use the new one: sallyport secret activate %s %d", s.Active, s.Name, last.Version)
	}
}

func (p *program) secretList() *cobra.Command {
	return verb("list", "List the Secrets, without values", "  sallyport secret list", takes(0), func(cmd *cobra.Command, _ []string) error {
		var out api.Secrets
		raw, err := p.call(cmd.Context(), "GET", "/v1/secrets", nil, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			var rows [][]string
			for _, s := range out.Secrets {
				rows = append(rows, []string{s.Name, active(s), strconv.Itoa(len(s.Versions)), when(s.UpdatedAt), s.Description})
			}
			p.table("there are no Secrets", []string{"NAME", "ACTIVE", "VERSIONS", "CHANGED", "DESCRIPTION"}, rows)
		})
	})
}

func active(s vault.Secret) string {
	if s.Active == 0 {
		return "none"
	}
	return "v" + strconv.Itoa(s.Active)
}

func (p *program) secretShow() *cobra.Command {
	return verb("show NAME", "Show a Secret and its versions, without a value", "  sallyport secret show crm-token", takes(1), func(cmd *cobra.Command, args []string) error {
		var s vault.Secret
		raw, err := p.call(cmd.Context(), "GET", route("v1", "secrets", args[0]), nil, &s)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			p.pairs("name", s.Name, "id", s.ID, "description", s.Description, "owner", s.Owner, "active", active(s))
			var rows [][]string
			for _, v := range s.Versions {
				rows = append(rows, []string{"v" + strconv.Itoa(v.Version), string(v.State), strings.Join(v.Fields, " "), goesTo(v), when(v.CreatedAt), v.CreatedBy})
			}
			p.table("it has no version", []string{"VERSION", "STATE", "FIELDS", "GOES TO", "CREATED", "BY"}, rows)
		})
	})
}

func goesTo(v vault.Version) string {
	if len(v.Scope.Origins) == 0 {
		return "anywhere"
	}
	return strings.Join(v.Scope.Origins, " ")
}

// secretVersion makes activate and disable.
func (p *program) secretVersion(name, short string) *cobra.Command {
	return verb(name+" NAME VERSION", short, "  sallyport secret "+name+" crm-token 2", takes(2), func(cmd *cobra.Command, args []string) error {
		n, err := strconv.Atoi(strings.TrimPrefix(args[1], "v"))
		if err != nil || n < 1 {
			return &usageError{"the version is not a number", "sallyport secret show lists the versions"}
		}
		var s vault.Secret
		raw, err := p.call(cmd.Context(), "POST", route("v1", "secrets", args[0], name), api.VersionOf{Version: n}, &s)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			for _, v := range s.Versions {
				if v.Version == n {
					p.line("%s: version %d is %s", s.Name, n, v.State)
				}
			}
		})
	})
}

func (p *program) secretRemove() *cobra.Command {
	var yes bool
	c := verb("rm NAME [--yes]", "Destroy every version of a Secret", "  sallyport secret rm crm-token", takes(1), func(cmd *cobra.Command, args []string) error {
		if !yes {
			if err := p.sure(cmd.Context(), args[0]); err != nil {
				return err
			}
		}
		_, err := p.call(cmd.Context(), "DELETE", route("v1", "secrets", args[0]), nil, nil)
		if err != nil {
			return err
		}
		return p.result(map[string]string{"removed": args[0]}, func() { p.line("%s: removed", args[0]) })
	})
	c.Flags().BoolVar(&yes, "yes", false, "don't ask; for scripts")
	return c
}

// sure asks for the name of what is destroyed for good.
func (p *program) sure(ctx context.Context, name string) error {
	if !p.typing() {
		return &usageError{"every version would be destroyed, and there is no terminal to ask on", "give --yes"}
	}
	p.say("this destroys every version of %s, and nothing brings it back", name)
	typed, err := p.ask(ctx, "the name again, to confirm")
	if err == nil && typed != name {
		err = &usageError{"that is another name: nothing was removed", ""}
	}
	return err
}

// secretGet is what people look for first, so it says why there is none.
func (p *program) secretGet() *cobra.Command {
	c := verb("get", "", "", cobra.ArbitraryArgs, func(*cobra.Command, []string) error {
		return &usageError{"there is no way to read a Secret back: values go in, and are used by the Boundary alone",
			"to see what is known of one: sallyport secret show NAME; to change it: sallyport secret rotate NAME"}
	})
	c.Hidden, c.DisableFlagParsing = true, true
	return c
}
