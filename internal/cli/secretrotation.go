package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/config"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/rotation"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// secretPolicy are the commands on how a Secret is rotated.
func (p *program) secretPolicy() *cobra.Command {
	return noun("policy", "How Secrets are rotated: set by an admin, with password and one-time code", p.policySet(), p.policyRemove())
}

func (p *program) policySet() *cobra.Command {
	var file string
	var piped bool
	c := verb("set NAME --file FILE", "Set how a Secret is rotated (docs/rotation.md)", "  sallyport secret policy set crm-token --file crm-rotation.yaml", named(1), func(cmd *cobra.Command, args []string) error {
		if file == "" {
			return &usageError{"the policy's file is missing", "name it with --file; docs/rotation.md has examples"}
		}
		spec, err := config.LoadRotation(file)
		if err != nil {
			return err
		}
		if err := p.typed(piped); err != nil {
			return err
		}
		if err := p.inStore(cmd.Context(), args[0]); err != nil {
			return err
		}
		f, err := p.fresh(cmd.Context(), "set how "+args[0]+" is rotated")
		if err != nil {
			return err
		}
		var out rotation.Policy
		raw, err := p.call(cmd.Context(), "POST", route("v1", "secrets", args[0], "rotation-policy"), api.SetRotation{Policy: spec, Fresh: f}, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() { p.line("%s: %s", out.Secret, policyText(out)) })
	})
	c.Flags().StringVar(&file, "file", "", "the policy, YAML or JSON")
	c.Flags().BoolVar(&piped, "stdin", false, "read from stdin, one a line: password; one-time code")
	return c
}

func (p *program) policyRemove() *cobra.Command {
	var piped bool
	c := verb("remove NAME", "Take a Secret's rotation policy away", "  sallyport secret policy remove crm-token", named(1), func(cmd *cobra.Command, args []string) error {
		if err := p.typed(piped); err != nil {
			return err
		}
		f, err := p.fresh(cmd.Context(), "end the rotation of "+args[0])
		if err != nil {
			return err
		}
		if _, err := p.call(cmd.Context(), "POST", route("v1", "secrets", args[0], "rotation-policy", "remove"), f, nil); err != nil {
			return err
		}
		return p.result(map[string]string{"removed": args[0]}, func() { p.line("%s: has no rotation policy any more", args[0]) })
	})
	c.Flags().BoolVar(&piped, "stdin", false, "read from stdin, one a line: password; one-time code")
	return c
}

func policyText(o rotation.Policy) string {
	every := "by hand or event"
	if o.Spec.Every != 0 {
		every = "every " + spanText(o.Spec.Every.D(0))
	}
	return "rotated by " + string(o.Spec.Rotator.Kind) + ", " + every + ", grace " + spanText(o.Spec.Grace.D(0))
}

// spanText writes a duration for people.
func spanText(d time.Duration) string {
	if d >= 48*time.Hour && d%(24*time.Hour) == 0 {
		return strconv.Itoa(int(d.Hours()/24)) + " days"
	}
	return d.String()
}

// rotateNow is "secret rotate NAME --now".
func (p *program) rotateNow(ctx context.Context, name string, piped bool) error {
	if err := p.typed(piped); err != nil {
		return err
	}
	if err := p.rotatable(ctx, name); err != nil {
		return err
	}
	f, err := p.fresh(ctx, "rotate "+name+" now")
	if err != nil {
		return err
	}
	var out rotation.Rotation
	raw, err := p.call(ctx, "POST", route("v1", "secrets", name, "rotation"), f, &out)
	if err != nil {
		return err
	}
	return p.result(raw, func() {
		p.line("%s: rotation %s has begun; sallyport secret rotation list shows how far it is", out.Secret, out.ID)
	})
}

// rotatable refuses to rotate what has no policy, or has its value elsewhere, before
// somebody spends a one-time code on it. The server looks again.
func (p *program) rotatable(ctx context.Context, name string) error {
	var out api.Rotations
	if _, err := p.call(ctx, "GET", "/v1/rotations", nil, &out); err != nil {
		return err
	}
	if !slices.ContainsFunc(out.Policies, func(o api.RotationPolicy) bool { return o.Secret == name }) {
		return rotation.NoPolicy(name)
	}
	return p.inStore(ctx, name)
}

// inStore refuses a Secret that there is not, or whose value is in a backend.
func (p *program) inStore(ctx context.Context, name string) error {
	var s vault.Secret
	if _, err := p.call(ctx, "GET", route("v1", "secrets", name), nil, &s); err != nil {
		return err
	}
	return s.InStore()
}

// secretRotation are the commands on rotations.
func (p *program) secretRotation() *cobra.Command {
	return noun("rotation", "Rotations of Secrets: how far they are, and a person's word where one is needed", p.rotationList(), p.rotationResolve())
}

func (p *program) rotationList() *cobra.Command {
	return verb("list", "List policies, rotations that go on, and the last of each Secret", "  sallyport secret rotation list", takes(0), func(cmd *cobra.Command, _ []string) error {
		var out api.Rotations
		raw, err := p.call(cmd.Context(), "GET", "/v1/rotations", nil, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			for _, o := range out.Policies {
				p.policy(o)
			}
			for _, r := range out.Rotations {
				p.rotation(r)
			}
		})
	})
}

// policy shows one, with what it comes to now.
func (p *program) policy(o api.RotationPolicy) {
	text := o.Secret + ": " + policyText(o.Policy)
	if !o.Next.IsZero() {
		text += ", next " + when(o.Next)
	}
	p.line("%s", text)
	if o.Idle != "" {
		p.line("  does nothing: %s", o.Idle)
	}
	if u := o.Unbegun; u != nil {
		p.line("  an event of %s began no rotation (%d since the last that did): %s", when(u.At), u.Times, u.Why)
	}
}

// rotation shows one.
func (p *program) rotation(r rotation.Rotation) {
	versions := "version " + strconv.Itoa(r.Was)
	if r.Version != 0 {
		versions += " to " + strconv.Itoa(r.Version)
	}
	p.line("%s", strings.TrimSpace(fmt.Sprintf("%s  %s  %s  %s  %s", r.ID, r.Secret, r.State, versions, strings.TrimSpace(r.Why))))
	if r.State == rotation.NeedsPerson {
		p.line("  %s", rotation.ResolveHint(r.ID))
	}
}

func (p *program) rotationResolve() *cobra.Command {
	var piped bool
	c := verb("resolve ROTATION again|give-up|settled", "Say how a rotation goes on that waits for a person",
		`  sallyport secret rotation resolve rot_abc again      what stood in the way is mended
  sallyport secret rotation resolve rot_abc give-up    the new version is not to be used
  sallyport secret rotation resolve rot_abc settled    what was left to do at the system was done by hand`, takes(2), func(cmd *cobra.Command, args []string) error {
			if err := p.typed(piped); err != nil {
				return err
			}
			f, err := p.fresh(cmd.Context(), "say how the rotation goes on")
			if err != nil {
				return err
			}
			var out rotation.Rotation
			in := api.ResolveRotation{Word: rotation.Word(strings.ReplaceAll(args[1], "-", "_")), Fresh: f}
			raw, err := p.call(cmd.Context(), "POST", route("v1", "rotations", args[0], "resolve"), in, &out)
			if err != nil {
				return err
			}
			return p.result(raw, func() { p.line("%s: %s", out.Secret, out.State) })
		})
	c.Flags().BoolVar(&piped, "stdin", false, "read from stdin, one a line: password; one-time code")
	return c
}

// rotators reads the programs that rotate, NAME=FILE each: absolute paths, which
// nobody but root or the server's user can change.
func rotators(flags []string) (map[string]vault.RotationProgram, error) {
	out := map[string]vault.RotationProgram{}
	for _, f := range flags {
		name, file, ok := strings.Cut(f, "=")
		if !ok || file == "" {
			return nil, &usageError{"a rotator is NAME=FILE", "docs/rotation.md has an example"}
		}
		conf, err := kek.ReadExecConfig(file)
		if err == nil {
			_, err = kek.NewExec(conf) // its checks of the path, the environment and the file
		}
		if err != nil {
			return nil, fault.Wrap(fault.KindOf(err), "the rotator "+fault.Quote(name), err)
		}
		out[name] = vault.RotationProgram{Path: conf.Path, Args: conf.Args, Env: conf.Env}
	}
	return out, nil
}
