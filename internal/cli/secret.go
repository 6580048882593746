package cli

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/client"
	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

func (p *program) secretCmd() *cobra.Command {
	c := noun("secret", "Store Secrets; none can be read back",
		p.secretWrite("set", "PUT", "Store a value: the first of a name is active at once, a later one is pending"),
		p.secretWrite("rotate", "POST", "Store a value as the next version, and make it the active one"),
		p.secretImport(),
		p.secretList(), p.secretShow(), p.secretLeases(), p.secretEdit(),
		p.secretVersion("activate", "Make a version the active one"),
		p.secretRollback(),
		p.secretVersion("disable", "End the use of a version"),
		p.secretPolicy(), p.secretRotation(),
		p.secretDestroy(), p.secretMove(), p.secretIntakeKey(), p.secretGet(),
	)
	c.SetFlagErrorFunc(func(cmd *cobra.Command, _ error) error { // whose text could repeat a value
		return &usageError{"a flag is unknown or incomplete", "see: " + cmd.CommandPath() + " --help; " + valuesGo}
	})
	return c
}

// secretWrite makes set and rotate.
func (p *program) secretWrite(name, method, short string) *cobra.Command {
	var fields, labels []string
	var file, pin string
	var scope scopeFlags
	var pointer string
	var place pointerFlags
	var body api.SecretValue
	var now, piped bool
	c := verb(name+" NAME [--origin URL]... [--field FIELD]... [--from-file FILE] [--expires WHEN]", short, strings.ReplaceAll(`  sallyport secret VERB crm-token --origin https://crm.example.com           asks for the value
  sallyport secret VERB crm-token --origin https://crm.example.com < token.txt
  sallyport secret VERB crm-token --origin https://crm.example.com --method GET --mission report --expires 90d
  sallyport secret VERB erp-login --origin https://erp.example.com --field username --field password`, "VERB", name),
		noValues, func(cmd *cobra.Command, args []string) (err error) {
			if now {
				return p.rotateNow(cmd.Context(), args[0], piped)
			}
			v := values{fields: fields, file: file}
			if body.Labels, err = labelsOf(labels); err != nil {
				return err
			}
			if err = scope.into(&body, time.Now()); err != nil {
				return err
			}
			if pointer != "" {
				return p.point(cmd.Context(), method, args[0], pointer, place, body)
			}
			got, err := v.read(cmd.Context(), p)
			if err != nil {
				return err
			}
			raw, s, err := p.store(cmd.Context(), sending{name: args[0], method: method, rotate: name == "rotate", pin: pin, body: body}, asBytes(got))
			if err != nil {
				return unnamed(err)
			}
			return p.result(raw, func() { p.stored(s) })
		})
	c.Flags().StringArrayVar(&fields, "field", []string{"token"}, "the name of a field; give it again for several")
	c.Flags().StringVar(&file, "from-file", "", "read the value from a file; several fields as one JSON object")
	c.Flags().StringVar(&body.Description, "description", "", "what it is for, for people")
	c.Flags().StringVar(&body.Owner, "owner", "", "whom to ask about it")
	c.Flags().StringArrayVar(&labels, "label", nil, "a label, NAME=VALUE; give it again for several (they replace those of a known name)")
	if name == "rotate" {
		c.Flags().BoolVar(&now, "now", false, "have its system make the next version, by the Secret's rotation policy: no value is given")
		c.Flags().BoolVar(&piped, "stdin", false, "with --now, read from stdin, one a line: password; one-time code")
	}
	scope.add(c)
	c.Flags().StringVar(&pointer, "pointer", "", "the value is in a backend, BACKEND:PATH, and stays there")
	place.add(c)
	for _, other := range []string{"field", "from-file"} {
		c.MarkFlagsMutuallyExclusive("pointer", other)
	}
	if name == "rotate" {
		c.MarkFlagsMutuallyExclusive("pointer", "now")
	}
	meantFlag(c, &body.AlthoughRecorded)
	pinFlag(c, &pin)
	return c
}

// point stores a version whose value is in a backend.
func (p *program) point(ctx context.Context, method, name, at string, f pointerFlags, body api.SecretValue) (err error) {
	if body.Pointer, err = f.pointer(at); err != nil {
		return err
	}
	var s vault.Secret
	raw, err := p.call(ctx, method, pointRoute(method, name), body, &s)
	if err != nil {
		return unnamed(err)
	}
	return p.result(raw, func() { p.stored(s) })
}

func asBytes(m map[string]string) map[string][]byte {
	out := make(map[string][]byte, len(m))
	for k, v := range m {
		out[k] = []byte(v)
	}
	return out
}

const valuesGo = "values come from stdin, from --from-file or from a prompt; one that was typed as an argument is in the shell's history and in the process list now: rotate it where it was issued"

// noValues refuses a value as an argument, and does not repeat it.
func noValues(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return &usageError{"a secret's value is never an argument", valuesGo}
	}
	return named(1)(cmd, args)
}

// named is takes, where the first argument names a Secret. What can't be a name may
// be a value: it is not repeated, and goes nowhere.
func named(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := takes(n)(cmd, args); err != nil {
			return err
		}
		if ident.CheckName(args[0]) != nil {
			return &usageError{"the first argument is no Secret's name: that has lower-case letters, digits and single hyphens, like crm-token", valuesGo}
		}
		return nil
	}
}

// unnamed takes what was typed as a name out of a refusal: there is no such Secret,
// so it may be a value. What is said of a backend stays.
func unnamed(err error) error {
	no, ok := errors.AsType[*client.Problem](err)
	if ok && no.Kind == string(fault.NotFound) && !strings.HasPrefix(no.Detail, "there is no backend ") && !strings.HasPrefix(no.Detail, "the backend ") {
		no.Detail, no.Hint = "there is no Secret of this name", "see: sallyport secret list; if it was a value: "+valuesGo
	}
	return err
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

// secretGet is what people look for first, so it says why there is none.
func (p *program) secretGet() *cobra.Command {
	c := verb("get", "", "", cobra.ArbitraryArgs, func(*cobra.Command, []string) error {
		return &usageError{"there is no way to read a Secret back: values go in, and are used by the Boundary alone",
			"to see what is known of one: sallyport secret show NAME; to change it: sallyport secret rotate NAME"}
	})
	c.Hidden, c.DisableFlagParsing = true, true
	return c
}

// labelsOf reads NAME=VALUE; nil where there is none.
func labelsOf(in []string) (map[string]string, error) {
	if len(in) == 0 {
		return nil, nil
	}
	out := map[string]string{}
	for _, l := range in {
		k, v, ok := strings.Cut(l, "=")
		if _, twice := out[k]; !ok || k == "" || twice {
			return nil, &usageError{"a label is not of the form NAME=VALUE, or is given twice", ""}
		}
		out[k] = v
	}
	return out, nil
}

// sure asks for the name of what is destroyed for good.
func (p *program) sure(ctx context.Context, what, name string) error {
	if !p.typing() {
		return &usageError{what + " would be destroyed, and there is no terminal to ask on", "give --yes"}
	}
	p.say("this destroys %s, and nothing brings it back", what)
	typed, err := p.ask(ctx, "the name again, to confirm")
	if err == nil && typed != name {
		err = &usageError{"that is another name: nothing was destroyed", ""}
	}
	return err
}
