package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/app"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

func (p *program) auditProve() *cobra.Command {
	var dir, tenant, out string
	c := verb("prove ENTRY [-o FILE] [--data DIR]", "Write the receipt of an entry: a proof that needs no server any more",
		"  sallyport audit prove 1234 -o 1234.tlog-proof\n  sallyport audit prove 1234 --data ./data > 1234.tlog-proof",
		takes(1), func(cmd *cobra.Command, args []string) error {
			i, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || i < 0 {
				return &usageError{"an entry is named by its index, a number from 0", "sallyport audit tail shows them"}
			}
			var b []byte
			if dir != "" {
				b, err = app.ProveAudit(cmd.Context(), dir, ident.Tenant(tenant), i)
				err = meant(dir, err)
			} else {
				b, err = p.fetchReceipt(cmd.Context(), i)
			}
			if err != nil {
				return err
			}
			return p.writeReceipt(b, out)
		})
	c.Flags().StringVarP(&out, "output", "o", "", "the file, like 1234.tlog-proof (default: print it)")
	c.Flags().StringVar(&dir, "data", "", "take it from the data directory itself, without a server")
	c.Flags().StringVar(&tenant, "tenant", "default", "whose log, with --data")
	return c
}

func (p *program) fetchReceipt(ctx context.Context, i int64) ([]byte, error) {
	c, err := p.signedIn()
	if err != nil {
		return nil, err
	}
	return remoteLog(c)(ctx, "receipt/"+strconv.FormatInt(i, 10))
}

// writeReceipt writes it to a file or, as it is, to stdout.
func (p *program) writeReceipt(b []byte, file string) error {
	if _, err := audit.ParseReceipt(b); err != nil {
		return err // of a server; nothing of it reaches the terminal
	}
	if file == "" {
		_, err := p.out.Write(b)
		return fault.Wrap(fault.Unavailable, "writing the receipt", err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return fault.New(fault.Unavailable, "the receipt can't be written to that file")
	}
	p.say("the receipt is in %s", file)
	return nil
}

func (p *program) auditVerifyReceipt() *cobra.Command {
	var key string
	var trusted witnessFlags
	c := verb("verify-receipt FILE --key VERIFIER [--witness KEY ... --quorum N]", "Verify a receipt, without a server or a network",
		"  sallyport audit verify-receipt 1234.tlog-proof --key KEY", takes(1), func(_ *cobra.Command, args []string) error {
			if key == "" {
				return &usageError{"a receipt can't be verified without the log's verifier key", "give the key that you know with --key"}
			}
			o := audit.ReceiptOptions{VerifierKey: key, Quorum: trusted.quorum}
			var err error
			if o.Witnesses, err = trusted.witnesses(); err != nil {
				return err
			}
			b, err := readReceipt(args[0])
			if err != nil {
				return err
			}
			proven, err := audit.VerifyReceipt(b, o)
			if err != nil {
				return err
			}
			return p.showProven(b, proven)
		})
	c.Flags().StringVar(&key, "key", "", "the log's verifier key as you know it, the one that signs or an earlier one")
	trusted.add(c)
	return c
}

func readReceipt(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fault.New(fault.NotFound, "there is no such file with a receipt that can be read")
	}
	defer func() { _ = f.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, audit.MaxReceipt+1))
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the file with the receipt can't be read")
	}
	return b, nil
}

func (p *program) showProven(b []byte, proven audit.Proven) error {
	if !proven.OK() {
		err := p.result(proven, func() {
			for _, f := range proven.Findings {
				p.line("%s", f)
			}
		})
		return errors.Join(err, audited(proven.Findings))
	}
	r, err := audit.ParseReceipt(b)
	if err != nil {
		return err
	}
	if p.json {
		return p.raw(r.Entry)
	}
	if err := p.printEntries([]json.RawMessage{r.Entry}); err != nil {
		return err
	}
	p.say("it is entry %d of %s, of which %d entries were signed by %s", r.Index, proven.Checkpoint.Origin, proven.Checkpoint.Size, proven.Verifier)
	for _, c := range proven.Cosignatures {
		p.say("seen by %s at %s", c.Witness, when(c.At))
	}
	return nil
}

func (p *program) auditSave() *cobra.Command {
	var dir, tenant string
	c := verb("save DIR [--data DIR]", "Save the whole log as C2SP tlog-tiles, for anybody's verifier",
		"  sallyport audit save ./saved\n  sallyport audit verify --tiles ./saved", takes(1), func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o700); err != nil {
				return fault.New(fault.Unavailable, "the directory to save to can't be made")
			}
			root, err := os.OpenRoot(args[0])
			if err != nil {
				return fault.New(fault.Unavailable, "the directory to save to can't be opened")
			}
			defer func() { _ = root.Close() }()
			var cp audit.Checkpoint
			if dir != "" {
				cp, err = app.SaveAudit(cmd.Context(), dir, ident.Tenant(tenant), keepIn(root))
				err = meant(dir, err)
			} else {
				cp, err = p.saveRemote(cmd.Context(), root)
			}
			if err != nil {
				return err
			}
			return p.result(map[string]any{"origin": cp.Origin, "size": cp.Size, "root": cp.Root.String()}, func() {
				p.line("%d entries of %s are saved", cp.Size, cp.Origin)
			})
		})
	c.Flags().StringVar(&dir, "data", "", "take it from the data directory itself, without a server")
	c.Flags().StringVar(&tenant, "tenant", "default", "whose log, with --data")
	return c
}

func (p *program) saveRemote(ctx context.Context, root *os.Root) (audit.Checkpoint, error) {
	c, err := p.signedIn()
	if err != nil {
		return audit.Checkpoint{}, err
	}
	return audit.SaveTiles(ctx, remoteLog(c), keepIn(root))
}

// keepIn writes files below a directory.
func keepIn(root *os.Root) func(string, []byte) error {
	return func(name string, data []byte) error {
		if err := root.MkdirAll(filepath.FromSlash(path.Dir(name)), 0o700); err != nil {
			return fault.Wrap(fault.Unavailable, "saving the log", err)
		}
		return fault.Wrap(fault.Unavailable, "saving the log", root.WriteFile(filepath.FromSlash(name), data, 0o600))
	}
}

// savedLog reads what keepIn wrote.
func savedLog(root *os.Root) audit.Getter {
	return func(_ context.Context, name string) ([]byte, error) {
		f, err := root.Open(filepath.FromSlash(name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fault.New(fault.NotFound, "the saved log has no "+fault.Quote(name))
		}
		if err != nil {
			return nil, fault.Wrap(fault.Unavailable, "reading the saved log", err)
		}
		defer func() { _ = f.Close() }() // it was only read
		b, err := io.ReadAll(io.LimitReader(f, audit.MaxKept+1))
		return b, fault.Wrap(fault.Unavailable, "reading the saved log", err)
	}
}
