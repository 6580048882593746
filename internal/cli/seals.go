package cli

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/app"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/kek"
)

// sealFlags are the seals that a server is started with: what is at hand.
type sealFlags struct {
	keyFiles       []string
	passphraseFile string
	transit, exec  string
	sealed         bool
}

func (f *sealFlags) add(c *cobra.Command, keyFile string) {
	c.Flags().StringArrayVar(&f.keyFiles, "key-file", nil, keyFile+"; give it again for several")
	c.Flags().StringVar(&f.passphraseFile, "passphrase-file", "", "file with a passphrase that the vault is sealed with, instead of a key file or beside one")
	c.Flags().StringVar(&f.transit, "transit-seal", "", "file that says which key of OpenBao's or Vault's transit engine seals the vault (docs/seals.md)")
	c.Flags().StringVar(&f.exec, "exec-seal", "", "file that says which program seals the vault, for an HSM, a cloud's keys or a TPM (docs/seals.md)")
}

// into makes the seals of a server; a new vault is sealed with all of them.
func (f *sealFlags) into(c *app.Config) (err error) {
	c.Sealed = f.sealed
	files := f.keyFiles
	if len(files) == 0 && f.passphraseFile == "" && f.transit == "" && f.exec == "" && !f.sealed {
		files = []string{filepath.Join(c.Dir, "seal.key")}
	}
	for _, path := range append(append([]string{}, files...), f.passphraseFile, f.transit, f.exec, c.TLSKey) {
		if path != "" {
			c.Guarded = append(c.Guarded, path)
		}
	}
	c.Seals, c.Networked, err = f.seals(files)
	return err
}

// seals makes them. Here, and nowhere else, a flag becomes a seal. Those that
// reach over a network or to a program are networked: a start without one waits
// instead of failing.
func (f *sealFlags) seals(files []string) (local, networked []kek.Seal, err error) {
	for _, path := range files {
		local = append(local, kek.NewKeyFile(path, kek.Credentials(os.Getenv("CREDENTIALS_DIRECTORY"))))
	}
	if f.passphraseFile != "" {
		phrase, err := readPassphrase(f.passphraseFile)
		if err != nil {
			return nil, nil, err
		}
		seal, err := kek.NewPassphrase(phrase)
		if err != nil {
			return nil, nil, err
		}
		local = append(local, seal)
	}
	networked, err = f.networked()
	return local, networked, err
}

// networked makes the seals that may be out of reach.
func (f *sealFlags) networked() (out []kek.Seal, err error) {
	if f.transit != "" {
		conf, err := kek.ReadTransitConfig(f.transit)
		if err != nil {
			return nil, err
		}
		seal, err := kek.NewTransit(conf)
		if err != nil {
			return nil, err
		}
		out = append(out, seal)
	}
	if f.exec != "" {
		conf, err := kek.ReadExecConfig(f.exec)
		if err != nil {
			return nil, err
		}
		seal, err := kek.NewExec(conf)
		if err != nil {
			return nil, err
		}
		out = append(out, seal)
	}
	return out, nil
}

// maxPassphrase bounds a passphrase, in bytes.
const maxPassphrase = 4 << 10

// readPassphrase reads a file without the end of its line. What is no regular
// file, a pipe say, has no readers to fear.
func readPassphrase(path string) ([]byte, error) {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return nil, fault.New(fault.Invalid, "others can read the passphrase file "+fault.Quote(path)).WithHint("chmod 600 it")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Unavailable, Msg: "the passphrase file " + fault.Quote(path) + " can't be read", Err: because(err),
			Hint: "check what follows --passphrase-file"}
	}
	if len(b) > maxPassphrase {
		clear(b)
		return nil, fault.Newf(fault.Invalid, "the passphrase is longer than %d bytes", maxPassphrase)
	}
	return trimEnd(b), nil
}
