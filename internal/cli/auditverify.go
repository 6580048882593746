package cli

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/app"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/fault"
)

// verifyFlags are what verify is told.
type verifyFlags struct {
	dir, tiles         string
	kept, anchor, save string
	key                string
	trusted            witnessFlags
}

// witnessFlags are the witnesses that are known.
type witnessFlags struct {
	keys   []string
	quorum int
}

func (w *witnessFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&w.keys, "witness", nil, "the verifier key of a witness that you know; more than once for several")
	c.Flags().IntVar(&w.quorum, "quorum", 0, "how many of them have to have cosigned")
}

func (w witnessFlags) witnesses() (out []audit.Witness, err error) {
	for _, key := range w.keys {
		k, err := audit.ParseWitness(key)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, nil
}

func (p *program) auditVerify() *cobra.Command {
	var f verifyFlags
	c := verb("verify [--data DIR | --tiles DIR] [--key VERIFIER] [--checkpoint FILE] [--anchor FILE] [--save-checkpoint FILE]",
		"Verify the audit log from its first byte; what is found has an exit code of its own",
		`  sallyport audit verify --data ./data       offline, also while a server runs on it
  sallyport audit verify --tiles ./saved     offline, what "sallyport audit save" wrote
  sallyport audit verify                     the log of the server where you are signed in
  sallyport audit verify --checkpoint last.note --save-checkpoint last.note
  sallyport audit verify --data ./data --anchor /mnt/elsewhere/anchor.jsonl`,
		takes(0), func(cmd *cobra.Command, _ []string) error {
			if f.dir != "" && f.tiles != "" {
				return &usageError{"--data and --tiles are two places", "give one"}
			}
			opts, err := f.options()
			if err != nil {
				return err
			}
			rep, err := p.verify(cmd.Context(), f, opts)
			if err != nil {
				return err
			}
			if err := p.result(rep, func() { p.report(rep, f.save != "") }); err != nil {
				return err
			}
			if !rep.OK() {
				return audited(rep.Findings())
			}
			return p.saveCheckpoint(rep, f.save)
		})
	c.Flags().StringVar(&f.dir, "data", "", "verify the data directory itself, without a server")
	c.Flags().StringVar(&f.tiles, "tiles", "", "verify a directory that \"sallyport audit save\" wrote")
	c.Flags().StringVar(&f.kept, "checkpoint", "", "a checkpoint of an earlier verification: the log has to continue it")
	c.Flags().StringVar(&f.anchor, "anchor", "", "the anchor file: the log has to continue every checkpoint in it")
	c.Flags().StringVar(&f.save, "save-checkpoint", "", "when all is well, keep the checkpoint in a file, out of reach of whoever runs the server")
	c.Flags().StringVar(&f.key, "key", "", "the log's verifier key as you know it, today's or an earlier one; without it the log vouches for itself")
	f.trusted.add(c)
	return c
}

// options reads what the verifier knows by itself.
func (f verifyFlags) options() (o audit.VerifyOptions, err error) {
	o = audit.VerifyOptions{VerifierKey: f.key, Quorum: f.trusted.quorum}
	if o.Witnesses, err = f.trusted.witnesses(); err != nil {
		return o, err
	}
	if f.kept != "" {
		if o.KeptCheckpoint, err = readKept("kept checkpoint", f.kept); err != nil {
			return o, err
		}
	}
	if f.anchor != "" {
		b, err := readKept("anchor", f.anchor)
		if err != nil {
			return o, err
		}
		o.Anchors = audit.ParseAnchor(b)
	}
	return o, nil
}

func readKept(what, file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "the file with the %s can't be read", what)
	}
	return b, nil
}

// database is the file that a server's data directory has.
const database = "sallyport.db"

func (p *program) verify(ctx context.Context, f verifyFlags, opts audit.VerifyOptions) (audit.Report, error) {
	if f.dir != "" {
		rep, err := app.VerifyAudit(ctx, f.dir, opts)
		return rep, meant(f.dir, err)
	}
	get, closed, err := p.logFiles(f.tiles)
	if err != nil {
		return audit.Report{}, err
	}
	defer closed()
	l, err := audit.OpenTiles(ctx, get)
	if err != nil {
		return audit.Report{}, err
	}
	return audit.Verify(ctx, l, opts)
}

// meant adds to what is not found in a directory where it is.
func meant(dir string, err error) error {
	if fault.Is(err, fault.NotFound) {
		// People name the demo's directory, and the server's is in it.
		if _, there := os.Stat(filepath.Join(demo.ServerDir(dir), database)); there == nil {
			return fault.Newf(fault.NotFound, "there is no database in %s", fault.Quote(dir)).WithHint("did you mean %s?", demo.ServerDir(dir))
		}
	}
	return err
}

// logFiles are the files of a log: of a directory, or of the server.
func (p *program) logFiles(tiles string) (audit.Getter, func(), error) {
	if tiles == "" {
		c, err := p.signedIn()
		if err != nil {
			return nil, nil, err
		}
		return remoteLog(c), func() {}, nil
	}
	root, err := os.OpenRoot(tiles)
	if err != nil {
		return nil, nil, fault.New(fault.NotFound, "there is no such directory with saved tiles")
	}
	return savedLog(root), func() { _ = root.Close() }, nil
}

// report prints what was verified, and every finding. Whoever saves the checkpoint
// is not told to.
func (p *program) report(rep audit.Report, saves bool) {
	for _, l := range rep.Logs {
		for _, f := range l.Findings {
			p.line("%s", f)
		}
		if l.More > 0 {
			p.line("%s: and %d more", l.Tenant, l.More)
		}
		if len(l.Findings) > 0 {
			continue
		}
		p.line("%s: %d entries verified, root %s", l.Tenant, l.Size, l.Root)
		if l.Minimum > 0 {
			p.line("%s: those below %d were pruned, but for %d: entry %d says so", l.Tenant, l.Minimum, l.Kept, l.Pruned)
		}
		for _, c := range l.Cosignatures {
			p.line("%s: its first %d entries were seen by %s at %s", l.Tenant, l.Cosigned, c.Witness, when(c.At))
		}
		if !l.Pinned {
			p.say("this key was read from the log itself: compare it with one that you kept (--key): %s", l.Verifier)
		}
		if !l.Against && !saves {
			p.say("that nothing was cut off at the end only an earlier checkpoint can show: keep one with --save-checkpoint")
		}
	}
}

func (p *program) saveCheckpoint(rep audit.Report, file string) error {
	if file == "" {
		return nil
	}
	if len(rep.Logs) != 1 {
		return fault.Newf(fault.Invalid, "there are %d logs, and a file keeps the checkpoint of one", len(rep.Logs))
	}
	if err := os.WriteFile(file, []byte(rep.Logs[0].Checkpoint), 0o600); err != nil {
		return fault.New(fault.Unavailable, "the checkpoint can't be written to that file")
	}
	p.say("the checkpoint is kept in %s", file)
	return nil
}
