package cli

import (
	"bytes"
	"context"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// fresh asks for the proof that a change takes. What is stored changes no seal.
func (p *program) fresh(ctx context.Context, what string) (api.Fresh, error) {
	p.say("to %s, give your password and a one-time code that you have not used yet", what)
	password, code, err := p.factor(ctx)
	return api.Fresh{Password: string(password), Code: code}, err
}

// typed refuses to read a proof from a pipe unless that was asked for.
func (p *program) typed(piped bool) error {
	if p.typing() || piped {
		return nil
	}
	return &usageError{"the password and the one-time code are typed on a terminal", "to read what is asked for from stdin, one a line, give --stdin"}
}

// sealRequest is the body of a new or a renewed seal; its types on the server's
// side are api.NewSeal and api.RenewedSeal, which give a passphrase to nobody.
type sealRequest struct {
	Kind       kek.Kind `json:"kind,omitempty"`
	Passphrase string   `json:"passphrase,omitempty"`
	Public     any      `json:"public,omitempty"`
	api.Fresh
}

func (p *program) sealAdd() *cobra.Command {
	var public string
	var piped bool
	c := verb("add passphrase|recovery|key-file|transit|exec [--public FILE]", "Add a seal, which from then on unseals the vault alone",
		`  sallyport seal add passphrase
  sallyport seal add recovery --public recovery.pub
  sallyport seal add key-file          the one that the server was started with`, takes(1), func(cmd *cobra.Command, args []string) error {
			return p.addSeal(cmd.Context(), kek.Kind(args[0]), public, piped)
		})
	c.Flags().StringVar(&public, "public", "", "the public half of a recovery key")
	c.Flags().BoolVar(&piped, "stdin", false, "read from stdin, one a line: the passphrase, where one is added; password; one-time code")
	return c
}

// addable are the kinds of seals that can be added.
var addable = []kek.Kind{kek.KindPassphrase, kek.KindRecovery, kek.KindKeyFile, kek.KindTransit, kek.KindExec}

func (p *program) addSeal(ctx context.Context, kind kek.Kind, public string, piped bool) (err error) {
	if !slices.Contains(addable, kind) {
		return &usageError{"there is no such kind of seal", "give one of: " + join(addable)}
	}
	if (kind == kek.KindRecovery) != (public != "") {
		return &usageError{"a recovery key is added by its public half, and nothing else is", "sallyport seal recovery-key makes one; give --public with: add recovery"}
	}
	if err := p.typed(piped); err != nil {
		return err
	}
	in := sealRequest{Kind: kind}
	switch kind {
	case kek.KindPassphrase:
		if in.Passphrase, err = p.newPassphrase(ctx); err != nil {
			return err
		}
	case kek.KindRecovery:
		if in.Public, err = readPublic(public); err != nil {
			return err
		}
	default: // what the server was started with
	}
	if in.Fresh, err = p.fresh(ctx, "add a seal of the kind "+string(kind)); err != nil {
		return err
	}
	var s vault.SealInfo
	raw, err := p.call(ctx, "POST", "/v1/seals", in, &s)
	if err != nil {
		return err
	}
	return p.result(raw, func() { p.line("%s: %s added", s.ID, s.Kind) })
}

// newPassphrase asks for a passphrase, on a terminal twice.
func (p *program) newPassphrase(ctx context.Context) (string, error) {
	b, err := p.askHidden(ctx, "new passphrase")
	if err == nil {
		err = kek.CheckPassphrase(b) // before it is asked for again
	}
	if err != nil {
		return "", err
	}
	if p.typing() {
		again, err := p.askHidden(ctx, "new passphrase again")
		if err != nil {
			return "", err
		}
		if !bytes.Equal(b, again) {
			return "", fault.New(fault.Invalid, "the two are not the same")
		}
	}
	return string(b), nil
}

// readPublic reads what recovery-key wrote.
func readPublic(path string) (kek.RecoveryPublic, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return kek.RecoveryPublic{}, fault.New(fault.Invalid, "the file with the public half can't be read").WithHint("check what follows --public")
	}
	return kek.ParseRecoveryPublic(b)
}

func (p *program) sealRotate() *cobra.Command {
	var piped bool
	c := verb("rotate SEAL", "Give a seal a new secret: a new passphrase, a new key in the key file", "  sallyport seal rotate seal_abc", takes(1), func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		if err := p.typed(piped); err != nil {
			return err
		}
		old, err := p.seal(ctx, args[0])
		if err != nil {
			return err
		}
		var in sealRequest
		if old.Kind == kek.KindPassphrase {
			if in.Passphrase, err = p.newPassphrase(ctx); err != nil {
				return err
			}
		}
		if in.Fresh, err = p.fresh(ctx, "rotate the seal "+old.ID); err != nil {
			return err
		}
		var s vault.SealInfo
		raw, err := p.call(ctx, "POST", route("v1", "seals", old.ID, "renew"), in, &s)
		if err != nil {
			return err
		}
		p.say("what the old secret opened stays open to it in older copies of the database")
		return p.result(raw, func() { p.line("%s: %s rotated", s.ID, s.Kind) })
	})
	c.Flags().BoolVar(&piped, "stdin", false, "read from stdin, one a line: the new passphrase, of such a seal; password; one-time code")
	return c
}

// seal finds one of the vault's seals.
func (p *program) seal(ctx context.Context, id string) (vault.SealInfo, error) {
	var l api.Seals
	if _, err := p.call(ctx, "GET", "/v1/seals", nil, &l); err != nil {
		return vault.SealInfo{}, err
	}
	for _, s := range l.Seals {
		if s.ID == id {
			return s, nil
		}
	}
	return vault.SealInfo{}, fault.Newf(fault.NotFound, "there is no seal %q", fault.Quote(id)).WithHint("see: sallyport seal status")
}

func (p *program) sealRemove() *cobra.Command {
	var yes, piped bool
	c := verb("remove SEAL [--yes]", "Remove a seal: it unseals nothing that is stored from then on", "  sallyport seal remove seal_abc", takes(1), func(cmd *cobra.Command, args []string) error {
		ctx, id := cmd.Context(), args[0]
		if err := p.typed(piped); err != nil {
			return err
		}
		var l api.Seals
		if _, err := p.call(ctx, "GET", "/v1/seals", nil, &l); err != nil {
			return err
		}
		if !slices.ContainsFunc(l.AtHand, func(h api.AtHand) bool { return h.Seal != "" && h.Seal != id }) {
			p.say("warning: nothing else that the server was started with unseals it: at its next start somebody has to")
		}
		if !yes {
			if err := p.sureOfSeal(ctx, id); err != nil {
				return err
			}
		}
		f, err := p.fresh(ctx, "remove the seal "+id)
		if err != nil {
			return err
		}
		if _, err := p.call(ctx, "POST", route("v1", "seals", id, "remove"), f, nil); err != nil {
			return err
		}
		p.say("older copies of the database still open with it")
		return p.result(map[string]string{"removed": id}, func() { p.line("%s: removed", id) })
	})
	c.Flags().BoolVar(&yes, "yes", false, "don't ask for the id again; for scripts")
	c.Flags().BoolVar(&piped, "stdin", false, "read from stdin, one a line: the id again, without --yes; password; one-time code")
	return c
}

// sureOfSeal asks for the id of what is removed.
func (p *program) sureOfSeal(ctx context.Context, id string) error {
	typed, err := p.ask(ctx, "the seal's id again, to confirm")
	if err == nil && typed != id {
		err = &usageError{"that is another id: nothing was removed", ""}
	}
	return err
}
