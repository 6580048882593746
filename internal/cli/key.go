package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
)

func (p *program) keyCmd() *cobra.Command {
	return noun("key", "See and rotate the keys that Secrets are encrypted with", p.keyStatus(), p.keyRotate())
}

func (p *program) keyStatus() *cobra.Command {
	return verb("status", "Show the generation, term and age of the keys", "  sallyport key status", takes(0), func(cmd *cobra.Command, _ []string) error {
		var k api.Keys
		raw, err := p.call(cmd.Context(), "GET", "/v1/keys", nil, &k)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			p.showKeys(k)
			for _, h := range k.Hints {
				p.say("hint: %s", h)
			}
		})
	})
}

func (p *program) showKeys(k api.Keys) {
	term := "none yet: there are no Secrets"
	if k.Term > 0 {
		term = fmt.Sprintf("term %d, since %s", k.Term, when(k.TermSince))
	}
	p.pairs("root key", fmt.Sprintf("generation %d, since %s", k.Generation, when(k.RootSince)), "project key", term,
		"versions", fmt.Sprintf("%d, of which %d are under an older project key", k.Versions, k.Older), "rotating", k.Rotating, "failed", k.Failed)
}

// rotatable are the arguments of rotate.
var rotatable = []string{"root", "project", "data", "all"}

func (p *program) keyRotate() *cobra.Command {
	var piped bool
	c := verb("rotate root|project|data|all", "Replace keys while the server works", "  sallyport key rotate all", takes(1), func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		if !slices.Contains(rotatable, args[0]) {
			return &usageError{"there are no such keys", "give root, project, data or all"}
		}
		if err := p.typed(piped); err != nil {
			return err
		}
		f, err := p.fresh(ctx, "rotate keys ("+args[0]+")")
		if err != nil {
			return err
		}
		var out api.Rotated
		raw, err := p.call(ctx, "POST", "/v1/keys/rotate", api.Rotate{What: args[0], Fresh: f}, &out)
		if err != nil {
			return err
		}
		if out.Running {
			p.say("it takes long; it goes on at the server, also without this command")
			return p.awaitRotation(ctx)
		}
		return p.result(raw, func() {
			for _, r := range out.Rotations {
				word := "term"
				if r.What == "root" {
					word = "generation"
				}
				p.line("%s: %s %d, %d keys", r.What, word, r.Generation, r.Count)
			}
		})
	})
	c.Long = `Replaces keys while the server works; no call in flight fails because of it.

  root     a new root key, encrypted to every seal; no seal has to be at hand
  project  a new project key; the key of every version is wrapped again
  data     a new key for every version; every value is encrypted again
  all      the three, in this order`
	c.Flags().BoolVar(&piped, "stdin", false, "read password and one-time code from stdin, one a line")
	return c
}

// awaitRotation waits for the end of a rotation that took longer than an answer.
func (p *program) awaitRotation(ctx context.Context) error {
	t := time.NewTicker(2 * time.Second)
	defer t.Stop()
	for {
		var k api.Keys
		raw, err := p.call(ctx, "GET", "/v1/keys", nil, &k)
		switch {
		case err != nil:
			return err
		case k.Rotating == "" && k.Failed != "":
			return fault.New(fault.Unavailable, "the rotation did not end well: "+k.Failed).WithHint("what is done is done; doing it again does the rest")
		case k.Rotating == "":
			return p.result(raw, func() { p.showKeys(k) })
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}
