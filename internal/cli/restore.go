package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/app"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// restoreFlags are what restore is told.
type restoreFlags struct {
	data, kept, tmp string
	with            sealFlags
	recoveryKey     string
	verify, refused bool
}

func (p *program) restoreCmd() *cobra.Command {
	var f restoreFlags
	c := verb("restore FILE [--verify | --data NEWDIR] [--key-file FILE | --passphrase-file FILE | --recovery-key FILE]", "Check a backup, or make a data directory of it",
		`  sallyport restore last.backup --verify --key-file seal.key
  sallyport restore last.backup --data ./restored --key-file seal.key --checkpoint last.note`,
		takes(1), func(cmd *cobra.Command, args []string) error { return p.restore(cmd.Context(), args[0], f) })
	c.Long = c.Short + `.

Both check every byte, the database, the audit logs, that the vault unseals, and
that no row was changed by somebody without the vault's keys: such rows are named,
and then nothing is made unless --refused-rows says so.
With --verify nothing is kept; without a seal only the header is read and shown,
and the exit code is 1, since that proves nothing.

What came after the backup was made is gone from the new data directory, and may
have been done in the systems: so no Run that was under way goes on, every write
that was open needs a person who looks ("sallyport unknown list"), what was
approved and not used is void, and everybody signs in anew. Stop the server whose
place it takes first: two of them would both act.`
	c.Flags().BoolVar(&f.verify, "verify", false, "check only")
	c.Flags().StringVar(&f.data, "data", "", "the data directory that is made; it must not be there, or be empty")
	f.with.add(c, "what the vault was sealed with")
	c.Flags().StringVar(&f.recoveryKey, "recovery-key", "", "the offline half of a recovery key")
	c.Flags().BoolVar(&f.refused, "refused-rows", false, "make it also when rows of the backup are refused; they stay refused")
	c.Flags().StringVar(&f.kept, "checkpoint", "", "a checkpoint of the audit log that you kept: the backup has to continue it")
	c.Flags().StringVar(&f.tmp, "tmp", "", "where --verify unpacks the database (default: the system's directory for temporary files)")
	return c
}

func (p *program) restore(ctx context.Context, file string, f restoreFlags) error {
	c := app.RestoreConfig{File: file, Dir: f.data, Refused: f.refused, Tmp: f.tmp, Now: time.Now, LogHandler: slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelWarn})}
	var err error
	if c.Seals, err = f.seals(); err != nil {
		return err
	}
	switch {
	case f.verify == (f.data != ""):
		return &usageError{"it is not clear what to do with the backup", "check it with --verify, or make a data directory of it with --data NEWDIR"}
	case !f.verify && len(c.Seals) == 0:
		return &usageError{"a restore takes what the vault was sealed with", "give --key-file, --passphrase-file or --recovery-key"}
	case f.refused && f.verify:
		return &usageError{"--refused-rows is for making a data directory", "leave it out: a check names what is refused anyway"}
	case f.tmp != "" && !f.verify:
		return &usageError{"--tmp is for --verify", "a restore unpacks beside the new data directory"}
	}
	if f.kept != "" {
		if c.Checkpoint, err = os.ReadFile(f.kept); err != nil {
			return &fault.Error{Kind: fault.Invalid, Msg: "the kept checkpoint " + fault.Quote(f.kept) + " can't be read", Err: because(err), Hint: "check what follows --checkpoint"}
		}
	}
	var done func()
	c.Progress, done = p.progress("read", size)
	rep, err := app.Restore(ctx, c)
	done()
	if err != nil {
		return err
	}
	if err := p.result(rep, func() { p.restored(rep) }); err != nil {
		return err
	}
	return p.verdict(rep, f)
}

// seals are what the backup is opened with, any one of them.
func (f restoreFlags) seals() ([]kek.Seal, error) {
	local, networked, err := f.with.seals(f.with.keyFiles)
	if err != nil {
		return nil, err
	}
	out := append(local, networked...)
	if f.recoveryKey != "" {
		out = append(out, kek.NewRecoveryKey(f.recoveryKey))
	}
	return out, nil
}

// restored prints what was found and done.
func (p *program) restored(r app.RestoreReport) {
	b := r.Backup
	p.pairs("backup", b.ID, "made", when(b.CreatedAt)+", by sallyport "+b.Version, "vault", b.Vault, "tenant", b.Tenant, "database", size(b.Size), "seals", strings.Join(b.Seals, ", "))
	if r.Audit != nil {
		p.report(*r.Audit, true)
	}
	if r.Secrets != nil {
		p.line("%s", counted(*r.Secrets))
	}
	for _, x := range r.Rows {
		p.line("refused: %s %s of %s: %s", x.Table, visible(x.Name), x.Tenant, x.Why)
	}
	if e := r.Ended; e != nil {
		p.line("ended: %d writes, which need a person now; %d reads; %d Runs; %d sessions", e.Writes, e.Reads, e.Runs, e.Sessions)
	}
	if r.Dir != "" {
		p.line("%s is ready", r.Dir)
	}
}

func counted(c vault.Count) string {
	if c.Refused > 0 {
		return fmt.Sprintf("secrets: %d, of which %d are refused", c.Secrets, c.Refused)
	}
	return fmt.Sprintf("secrets: %d, and every one opens", c.Secrets)
}

// verdict says what it comes to, and what to do next.
func (p *program) verdict(r app.RestoreReport, f restoreFlags) error {
	switch {
	case !r.Opened:
		return fault.New(fault.Invalid, "only the header was read, and nothing of it is proven").
			WithHint("give --key-file, --passphrase-file, --transit-seal, --exec-seal or --recovery-key to check the rest")
	case !r.Audit.OK():
		if !f.verify {
			p.say("nothing was restored")
		}
		return &auditError{findings: len(r.Audit.Findings())}
	case len(r.Rows) > 0 && r.Dir == "":
		if !f.verify {
			p.say("nothing was restored")
		}
		return &rowsError{len(r.Rows)}
	case r.Secrets.Refused > 0 && f.verify:
		return fault.Newf(fault.Invalid, "%d secrets of the backup are refused", r.Secrets.Refused).
			WithHint("their rows were changed before it was made; a restored server's audit log names them")
	case r.Secrets.Refused > 0:
		p.say("%d secrets are refused: their rows were changed before the backup was made, and the server's audit log names them", r.Secrets.Refused)
	}
	if f.kept == "" {
		p.say("that it is the newest backup only a checkpoint that was kept elsewhere can show: give it with --checkpoint")
	}
	if r.Dir == "" {
		return nil
	}
	p.say("the key file is not in it: start the server with what its vault is sealed with")
	if r.Ended.Writes > 0 {
		p.say("find out what became of the writes: %s unknown list", p.self)
	}
	return nil
}
