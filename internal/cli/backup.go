package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sallyport.dev/client"
	"sallyport.dev/internal/api"
	"sallyport.dev/internal/app"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
)

func (p *program) backupCmd() *cobra.Command {
	var file, why string
	var piped bool
	c := verb("backup --to FILE [--why TEXT]", "Make a backup of the server where you are signed in, while it runs",
		"  sallyport backup --to sallyport-2026-11-23.backup", takes(0), func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return &usageError{"the backup's file is missing", "name it with --to"}
			}
			if !p.typing() && !piped {
				return &usageError{"a backup is confirmed on a terminal", "to read password and code from stdin, one a line, give --stdin"}
			}
			return p.backup(cmd.Context(), file, why)
		})
	c.Long = c.Short + `.

The file has the whole database, encrypted to the vault's seals: without one of
them (the key file, the passphrase) it is worth nothing, to you as well. The key
file is not in it; keep a copy of that elsewhere. Check what was made with
"sallyport restore FILE --verify".`
	c.Flags().StringVar(&file, "to", "", "the file that is made; one that is there is not overwritten")
	c.Flags().StringVar(&why, "why", "", "one line for the audit log")
	c.Flags().BoolVar(&piped, "stdin", false, "read password and one-time code from stdin, one a line")
	return c
}

// backupResult is what is told of a backup that was made.
type backupResult struct {
	File   string         `json:"file"`
	Bytes  int64          `json:"bytes"`
	SHA256 string         `json:"sha256"`
	Backup app.BackupInfo `json:"backup"`
}

func (p *program) backup(ctx context.Context, file, why string) error {
	c, err := p.signedIn()
	if err != nil {
		return err
	}
	if _, err := os.Lstat(file); err == nil { // before anybody types a code for nothing
		return fault.Newf(fault.Conflict, "there is a file %s already", fault.Quote(file)).WithHint("choose another name: nothing is overwritten")
	}
	p.say("to make a backup, give your password and a one-time code that you have not used yet")
	password, code, err := p.factor(ctx)
	if err != nil {
		return err
	}
	shown, done := p.progress("received", size)
	r := &receipt{sum: sha256.New(), shown: shown}
	err = app.NewFile(file, func(w io.Writer) error {
		r.w = w
		return r.download(ctx, c, api.BackupRequest{Why: why, Password: string(password), Code: code})
	})
	done()
	if err != nil {
		return err
	}
	res := backupResult{File: file, Bytes: r.n, SHA256: hex.EncodeToString(r.sum.Sum(nil)), Backup: app.InfoOf(r.of.Header)}
	return p.result(res, func() {
		p.pairs("file", file, "bytes", size(res.Bytes), "sha256", res.SHA256, "backup", res.Backup.ID, "vault", res.Backup.Vault)
		p.say("the key file and passphrases are not in it: without one of them it can't be restored")
		p.say("check it with: %s restore %s --verify --key-file FILE", p.self, file)
	})
}

// receipt is a backup while it comes. It can't be opened here, and need not: its
// header says how long it is.
type receipt struct {
	w     io.Writer
	sum   hash.Hash
	n     int64
	head  []byte        // until the header is complete
	of    *vault.Backup // from then on
	shown func(done, total int64)
}

func (r *receipt) download(ctx context.Context, c *client.Client, in api.BackupRequest) error {
	cut := fault.New(fault.Unavailable, "the backup was cut on its way").WithHint("the server's log may say why; try again")
	trailer, err := c.Download(ctx, "POST", "/v1/backup", in, r)
	switch sum := trailer.Get(api.BackupDigest); {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return cut
	case err != nil:
		return err
	case r.of == nil || r.n != r.of.Length:
		return cut
	case sum != "" && sum != hex.EncodeToString(r.sum.Sum(nil)): // a proxy may drop it
		return fault.New(fault.Invalid, "the backup is not the one that the server sent").WithHint("try again")
	}
	return nil
}

func (r *receipt) Write(b []byte) (int, error) {
	n, err := r.w.Write(b)
	r.sum.Write(b[:n])
	r.n += int64(n)
	if err != nil || r.of != nil {
		if r.of != nil {
			r.shown(r.n, r.of.Length)
		}
		return n, err
	}
	if r.head = append(r.head, b[:n]...); bytes.Count(r.head, []byte("\n")) >= 2 {
		r.of, err = vault.ReadBackup(bytes.NewReader(r.head))
		r.head = nil
	}
	return n, err
}

// progressEvery is how often it is shown how far something is.
const progressEvery = 200 * time.Millisecond

// progress shows on a terminal how far something is, in words of of; elsewhere
// nothing is shown. done ends the line.
func (p *program) progress(what string, of func(int64) string) (shown func(done, total int64), done func()) {
	f, ok := p.err.(*os.File)
	if !ok || p.json || !term.IsTerminal(int(f.Fd())) {
		return func(int64, int64) {}, func() {}
	}
	var last time.Time
	return func(n, total int64) {
			if now := time.Now(); total > 0 && (n >= total || now.Sub(last) >= progressEvery) {
				last = now
				fmt.Fprintf(p.err, "\r%s %s of %s (%d %%) ", what, of(n), of(total), n*100/total)
			}
		}, func() {
			if !last.IsZero() {
				fmt.Fprintf(p.err, "\r\x1b[K")
			}
		}
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d KiB", (n+1023)>>10)
}
