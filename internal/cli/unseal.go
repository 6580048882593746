package cli

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"sallyport.dev/client"
	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// unsealFlags say with what.
type unsealFlags struct{ passphraseFile, recoveryKey, keyFile string }

func (p *program) sealUnseal() *cobra.Command {
	var f unsealFlags
	c := verb("unseal [--passphrase-file FILE | --recovery-key FILE | --key-file FILE]", "Unseal a server that was started sealed",
		`  sallyport seal unseal --server http://127.0.0.1:7411                      asks for the passphrase
  sallyport seal unseal --server https://sallyport.example --recovery-key /media/usb/recovery.json`, takes(0),
		func(cmd *cobra.Command, _ []string) error { return p.unseal(cmd.Context(), f) })
	c.Long = `Unseals a server that was started sealed. It takes no sign-in: the seal is the
proof. A key file or a recovery key is used on this machine and does not travel;
what is sent, the root key or the passphrase, is encrypted to a key that the
server made for this start. Be sure that it is your server: use TLS, or its own
machine.`
	c.Flags().StringVar(&f.passphraseFile, "passphrase-file", "", "read the passphrase from a file")
	c.Flags().StringVar(&f.recoveryKey, "recovery-key", "", "the offline half of a recovery key")
	c.Flags().StringVar(&f.keyFile, "key-file", "", "a copy of the vault's key file")
	return c
}

func (p *program) unseal(ctx context.Context, f unsealFlags) error {
	if f.recoveryKey != "" && f.keyFile != "" || f.passphraseFile != "" && f.recoveryKey+f.keyFile != "" {
		return &usageError{"one seal unseals the vault, and several were given", "give --passphrase-file, --recovery-key or --key-file, or none to be asked for the passphrase"}
	}
	c, server, err := p.stranger()
	if err != nil {
		return err
	}
	var s api.SealState
	if err := c.Call(ctx, "GET", "/v1/seal", nil, &s); err != nil {
		return err
	}
	if s.Sealed && s.Key == nil {
		return fault.New(fault.Internal, "the server gives no key to encrypt to")
	}
	if s.Sealed {
		if s, err = p.bring(ctx, c, *s.Key, f); err != nil {
			return err
		}
	} else {
		p.say("it was not sealed")
	}
	return p.result(s, func() { p.line("%s: unsealed", server) })
}

// bring encrypts the seal to the server's key, and hands it over.
func (p *program) bring(ctx context.Context, c *client.Client, k vault.UnsealKey, f unsealFlags) (s api.SealState, err error) {
	var b vault.Brought
	switch {
	case f.recoveryKey != "":
		b, err = vault.Bring(ctx, k, kek.NewRecoveryKey(f.recoveryKey))
	case f.keyFile != "":
		b, err = vault.Bring(ctx, k, kek.NewKeyFile(f.keyFile))
	default:
		b, err = p.bringPassphrase(ctx, k, f.passphraseFile)
	}
	if err != nil {
		return s, err
	}
	err = c.Call(ctx, "POST", "/v1/unseal", api.Unsealing{Key: b.Key, Kind: b.Kind, Sealed: b.Sealed}, &s)
	return s, err
}

func (p *program) bringPassphrase(ctx context.Context, k vault.UnsealKey, file string) (vault.Brought, error) {
	if !k.Passphrase {
		return vault.Brought{}, fault.New(fault.Denied, "the vault was not sealed with a passphrase").
			WithHint("unseal it with --recovery-key or --key-file")
	}
	var phrase []byte
	var err error
	if file == "" {
		phrase, err = p.askHidden(ctx, "passphrase")
	} else {
		phrase, err = readPassphrase(file)
	}
	if err != nil {
		return vault.Brought{}, err
	}
	return vault.BringPassphrase(k, phrase)
}

// sealRecoveryKey needs no server, and is best done on a machine without one.
func (p *program) sealRecoveryKey() *cobra.Command {
	var out, public string
	c := verb("recovery-key --out FILE [--public FILE]", "Make a recovery key, without a server",
		"  sallyport seal recovery-key --out /media/usb/recovery.json --public recovery.pub", takes(0), func(*cobra.Command, []string) error {
			if out == "" {
				return &usageError{"the file is missing", "name it with --out"}
			}
			half, err := kek.NewRecovery(out)
			if err != nil {
				return err
			}
			if public == "" {
				_, err = p.out.Write(half)
			} else {
				err = writeNew(public, half)
			}
			if err != nil {
				return fault.Wrap(fault.Unavailable, "writing the public half", err)
			}
			p.say("%s alone unseals the vault and every backup of it: keep it offline, with a copy elsewhere, and off the server", out)
			p.say("then give the server its public half: %s seal add recovery --public FILE", p.self)
			return nil
		})
	c.Flags().StringVar(&out, "out", "", "where the recovery key goes; never over another file")
	c.Flags().StringVar(&public, "public", "", "where the public half goes (default stdout)")
	return c
}

// writeNew writes a file that was not there.
func writeNew(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err != nil {
		_ = f.Close() // the first error says more
		return err
	}
	return f.Close()
}
