package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/secretfile"
	"sallyport.dev/internal/vault"
)

// pointerFlags say what there is to say about a value that is in a backend.
type pointerFlags struct {
	picks     []string
	version   string
	staleness time.Duration
}

// defaultStaleness bridges a restart of a backend, and notices a rotation soon.
const defaultStaleness = 5 * time.Minute

func (f *pointerFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.picks, "pick", nil, "what a field is called at the backend, FIELD=NAME, like password=db_password; FIELD= is all that is there; give it again for several")
	c.Flags().StringVar(&f.version, "backend-version", "", "the version at the backend, as it calls it (default the newest at each use)")
	c.Flags().DurationVar(&f.staleness, "staleness", defaultStaleness, "how old a value may be when it is used: how long a rotation there may go unnoticed, and an outage there is bridged")
}

// pointer reads BACKEND:PATH with the flags.
func (f *pointerFlags) pointer(at string) (*vault.Pointer, error) {
	name, path, ok := strings.Cut(at, ":")
	if !ok || name == "" || path == "" {
		return nil, &usageError{"that is no place in a backend", "write it like BACKEND:PATH, with the backend's name in the server's file: corp-vault:team/crm"}
	}
	out := &vault.Pointer{Backend: name, Path: path, Version: f.version, Staleness: resource.Duration(f.staleness)}
	for _, p := range f.picks {
		ours, theirs, ok := strings.Cut(p, "=")
		if _, twice := out.Fields[ours]; !ok || ours == "" || twice {
			return nil, &usageError{"a pick is not of the form FIELD=NAME, or is given twice", ""}
		}
		if out.Fields == nil {
			out.Fields = map[string]string{}
		}
		out.Fields[ours] = theirs
	}
	return out, nil
}

// pointed reads a pointer of a file.
func pointed(in *secretfile.Pointer) (*vault.Pointer, error) {
	f := pointerFlags{version: in.Version, staleness: defaultStaleness}
	if in.Staleness != "" {
		d, err := time.ParseDuration(in.Staleness)
		if err != nil {
			return nil, fault.New(fault.Invalid, "the pointer's staleness is not a duration").WithHint("write it like 30s or 15m")
		}
		f.staleness = d
	}
	out, err := f.pointer(in.At)
	if err == nil {
		out.Fields = in.Fields
	}
	return out, err
}

// pointRoute is where a version is stored: as "set", or as "rotate" does.
func pointRoute(method, name string) string {
	if method == "POST" {
		return route("v1", "secrets", name, "rotate")
	}
	return route("v1", "secrets", name)
}

func (p *program) secretMove() *cobra.Command {
	var to string
	var piped bool
	var f pointerFlags
	c := verb("move NAME --to BACKEND:PATH|store", "Put a Secret's value into a backend, or back into the store; its reference stays",
		`  sallyport secret move crm-token --to corp-vault:team/crm
  sallyport secret move crm-token --to store`, named(1), func(cmd *cobra.Command, args []string) (err error) {
			var in api.SecretMove
			if to != "store" {
				if in.To, err = f.pointer(to); err != nil {
					return err
				}
			}
			if err := p.typed(piped); err != nil {
				return err
			}
			if in.Fresh, err = p.fresh(cmd.Context(), "move it"); err != nil {
				return err
			}
			var s vault.Secret
			raw, err := p.call(cmd.Context(), "POST", route("v1", "secrets", args[0], "move"), in, &s)
			if err != nil {
				return unnamed(err)
			}
			return p.result(raw, func() {
				p.stateOf(s, s.Active)
				p.say("the version before is in its grace; when nothing goes wrong, destroy it: sallyport secret destroy %s VERSION", s.Name)
			})
		})
	c.Flags().StringVar(&to, "to", "", "BACKEND:PATH, or store")
	_ = c.MarkFlagRequired("to") // there is such a flag
	c.Flags().BoolVar(&piped, "stdin", false, "read password and one-time code from stdin, one a line")
	f.add(c)
	return c
}

// placeOf is where a version's value is.
func placeOf(v vault.Version, dynamic bool) string {
	if v.Pointer == nil {
		return "store"
	}
	at := v.Pointer.Backend + ":" + v.Pointer.Path
	if dynamic {
		return at + ", made for each Run"
	}
	if v.Pointer.Version != "" {
		at += ", version " + v.Pointer.Version
	}
	return at + ", at most " + v.Pointer.Staleness.D(0).String() + " old"
}
