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

func (p *program) auditVerify() *cobra.Command {
	var dir, kept, save, key string
	c := verb("verify [--data DIR] [--checkpoint FILE] [--save-checkpoint FILE] [--key VERIFIER]", "Verify the audit log from its first byte; exit code 9 with a finding",
		`  sallyport audit verify --data ./data       offline, also while a server runs on it
  sallyport audit verify                     the log of the server where you are signed in
  sallyport audit verify --checkpoint last.note --save-checkpoint last.note`,
		takes(0), func(cmd *cobra.Command, _ []string) error {
			opts := audit.VerifyOptions{VerifierKey: key}
			if kept != "" {
				b, err := os.ReadFile(kept)
				if err != nil {
					return fault.Newf(fault.Invalid, "the kept checkpoint %s can't be read", fault.Quote(kept))
				}
				opts.KeptCheckpoint = b
			}
			rep, err := p.verify(cmd.Context(), dir, opts)
			if err != nil {
				return err
			}
			if err := p.result(rep, func() { p.report(rep, save != "") }); err != nil {
				return err
			}
			if !rep.OK() {
				return &auditError{len(rep.Findings())}
			}
			return p.saveCheckpoint(rep, save)
		})
	c.Flags().StringVar(&dir, "data", "", "verify the data directory itself, without a server")
	c.Flags().StringVar(&kept, "checkpoint", "", "a checkpoint of an earlier verification: the log has to continue it")
	c.Flags().StringVar(&save, "save-checkpoint", "", "when all is well, keep the checkpoint in a file, out of reach of whoever runs the server")
	c.Flags().StringVar(&key, "key", "", "the log's verifier key as you know it; without it the log vouches for itself")
	return c
}

// database is the file that a server's data directory has.
const database = "sallyport.db"

func (p *program) verify(ctx context.Context, dir string, opts audit.VerifyOptions) (audit.Report, error) {
	if dir != "" {
		rep, err := app.VerifyAudit(ctx, dir, opts)
		if fault.Is(err, fault.NotFound) {
			// People name the demo's directory, and the server's is in it.
			if _, there := os.Stat(filepath.Join(demo.ServerDir(dir), database)); there == nil {
				err = fault.Newf(fault.NotFound, "there is no database in %s", fault.Quote(dir)).WithHint("did you mean %s?", demo.ServerDir(dir))
			}
		}
		return rep, err
	}
	c, err := p.signedIn()
	if err != nil {
		return audit.Report{}, err
	}
	l, err := openLog(ctx, c)
	if err != nil {
		return audit.Report{}, err
	}
	return audit.Verify(ctx, l, opts)
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
		return fault.Newf(fault.Unavailable, "the checkpoint can't be written to %s", fault.Quote(file))
	}
	p.say("the checkpoint is kept in %s", file)
	return nil
}
