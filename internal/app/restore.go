package app

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// RestoreConfig says what is done with a backup.
type RestoreConfig struct {
	File  string     // the backup
	Seals []kek.Seal // of which one opens it; without any, only its header is read
	// Dir is the data directory that is made: it must not be there, or be empty.
	// Without one the backup is only checked.
	Dir string
	// Refused lets a directory be made although rows of the backup are refused: they
	// stay so. Without it such a backup is only reported.
	Refused    bool
	Tmp        string // where a check unpacks the database; default: the system's
	Checkpoint []byte // of the audit log, kept elsewhere, or nil
	LogHandler slog.Handler
	Now        func() time.Time
	Progress   func(done, total int64) // of reading the backup; may be nil
}

// RestoreReport is what was found in a backup, and what was done with it.
type RestoreReport struct {
	Backup  BackupInfo          `json:"backup"`
	Opened  bool                `json:"opened"` // with a seal; without one nothing below was checked
	Audit   *audit.Report       `json:"audit,omitempty"`
	Secrets *vault.Count        `json:"secrets,omitempty"`
	Rows    []sqlite.RefusedRow `json:"refusedRows,omitempty"`
	Ended   *Ended              `json:"ended,omitempty"`
	Dir     string              `json:"dir,omitempty"` // what was made
}

// BackupInfo is what a backup says of itself.
type BackupInfo struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"createdAt"`
	Version   string    `json:"version"`
	Vault     string    `json:"vault"`
	Tenant    string    `json:"tenant"`
	Schema    int       `json:"schema"`
	Size      int64     `json:"size"`
	Seals     []string  `json:"seals"` // kinds, of which one is needed
}

// InfoOf is what is told of a backup's header.
func InfoOf(h vault.BackupHeader) BackupInfo {
	i := BackupInfo{ID: h.ID, CreatedAt: h.CreatedAt, Version: h.Version, Vault: h.Vault, Tenant: string(h.Tenant), Schema: h.Schema, Size: h.Size}
	for _, s := range h.Ring.Seals {
		i.Seals = append(i.Seals, string(s.Sealed.Kind))
	}
	return i
}

// Restore checks a backup and, when it is told a directory, makes a data
// directory of it: all of it, or nothing. What is checked is every byte of the
// stream, the database's structure, each audit log from its first entry against
// the backup's checkpoint and the one that was kept elsewhere, and that the vault
// unseals.
//
// An audit log that has findings is in the report, and so is each row that is not the
// one that was written last; then nothing is made. Invalid:
// it is no backup, or not as it was written. Denied: no seal is the right one.
// Conflict: the directory is in use. Unavailable: a disk.
func Restore(ctx context.Context, c RestoreConfig) (rep RestoreReport, err error) {
	if err := c.checkTarget(); err != nil {
		return rep, err
	}
	f, err := os.Open(c.File)
	if err != nil {
		kind := fault.NotFound
		if !errors.Is(err, fs.ErrNotExist) {
			kind = fault.Unavailable
		}
		if no, ok := errors.AsType[syscall.Errno](err); ok {
			err = no // without the path, which is there already
		}
		return rep, &fault.Error{Kind: kind, Msg: "the backup " + fault.Quote(c.File) + " can't be read", Err: err}
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b, err := vault.ReadBackup(&progress{ctx: ctx, r: f, f: c.Progress, total: sizeOf(f)})
	if err != nil {
		return rep, err
	}
	rep.Backup = InfoOf(b.Header)
	if len(c.Seals) == 0 {
		return rep, c.checkLength(b, f)
	}
	s, err := c.scratch()
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, diskErr("removing what was unpacked", s.remove())) }()
	return rep, c.restore(ctx, b, filepath.Join(s.path, "data"), &rep)
}

// restore unpacks into a directory that it makes, checks, and puts it in place.
func (c RestoreConfig) restore(ctx context.Context, b *vault.Backup, dir string, rep *RestoreReport) error {
	if err := c.unpack(ctx, b, dir); err != nil {
		return err
	}
	rep.Opened = true
	faults, err := sqlite.Inspect(ctx, dir)
	if err != nil {
		return err
	}
	if len(faults) > 0 {
		return fault.Newf(fault.Invalid, "the database was damaged, or changed by somebody else, already when it was backed up: %s", strings.Join(faults, "; ")).
			WithHint("restore an earlier backup")
	}
	log, err := checkLogs(ctx, dir, b.Header, c.Checkpoint)
	if err != nil {
		return err
	}
	rep.Audit = &log
	if !log.OK() {
		return nil
	}
	if err := c.bring(ctx, b, dir, rep); err != nil || rep.Ended == nil {
		return err
	}
	if err := c.place(dir); err != nil {
		return err
	}
	rep.Dir = c.Dir
	return nil
}

// scratch is where it is unpacked: for a restore beside the directory that is
// made, since only there it can be put in place at one instant.
func (c RestoreConfig) scratch() (*scratch, error) {
	if c.Dir == "" {
		tmp := c.Tmp
		if tmp == "" {
			tmp = os.TempDir()
		}
		return newScratch(tmp, "sallyport-verify-")
	}
	return newScratch(filepath.Dir(c.Dir), "."+filepath.Base(c.Dir)+".restoring-")
}

// checkTarget makes Dir absolute and refuses one that has something in it.
func (c *RestoreConfig) checkTarget() (err error) {
	if c.Dir == "" {
		return nil
	}
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return fault.Wrap(fault.Unavailable, "finding the data directory", err)
	}
	entries, err := os.ReadDir(c.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(c.Dir); err == nil {
			return fault.Newf(fault.Invalid, "%s is a link that leads nowhere", fault.Quote(c.Dir))
		}
		return nil
	case err != nil:
		return diskErr("looking into "+fault.Quote(c.Dir), err)
	case held(c.Dir):
		return fault.Newf(fault.Conflict, "a server uses the data directory %s", fault.Quote(c.Dir)).
			WithHint("stop it, and restore to another directory")
	case len(entries) > 0:
		return fault.Newf(fault.Conflict, "%s is not empty", fault.Quote(c.Dir)).
			WithHint("restore to a directory that is not there yet: what is in this one may still be needed")
	}
	c.Dir, err = filepath.EvalSymlinks(c.Dir)
	return diskErr("finding the data directory", err)
}

// held says whether a server has the directory's lock.
func held(dir string) bool {
	f, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // it was only looked at
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// checkLength is all that can be said of the stream without a seal.
func (c RestoreConfig) checkLength(b *vault.Backup, f *os.File) error {
	if n := sizeOf(f); n != 0 && n != b.Length {
		return fault.Newf(fault.Invalid, "the backup has %d bytes, and %d by its header: it was cut short, or something was added", n, b.Length)
	}
	return nil
}

// sizeOf is a file's length, or 0 where it has none, like a pipe.
func sizeOf(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

// unpack decrypts the database into a directory.
func (c RestoreConfig) unpack(ctx context.Context, b *vault.Backup, dir string) error {
	r, err := b.Open(ctx, vault.Config{Now: c.Now, Log: slog.New(c.LogHandler)}, c.Seals...)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return diskErr("unpacking the backup", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, sqlite.File), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return diskErr("unpacking the backup", err)
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, r, make([]byte, 1<<20))
	if err = errors.Join(err, f.Close()); err != nil {
		return diskErr("unpacking the backup", err)
	}
	return nil
}

// place puts the directory where it was asked for, at one instant, and durably.
func (c RestoreConfig) place(dir string) error {
	if err := syncTree(dir); err != nil {
		return diskErr("writing the data directory", err)
	}
	// The system's own call: it takes the place of a directory that is empty, and
	// refuses one that is not, also when that became so a moment ago.
	if err := unix.Rename(dir, c.Dir); err != nil {
		return diskErr("putting the data directory in place at "+fault.Quote(c.Dir), err)
	}
	return diskErr("writing the data directory", syncPath(filepath.Dir(c.Dir)))
}

// progress counts what is read, and ends with ctx.
type progress struct {
	ctx         context.Context
	r           io.Reader
	f           func(done, total int64)
	done, total int64
}

func (p *progress) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.r.Read(b)
	if p.done += int64(n); p.f != nil {
		p.f(p.done, p.total)
	}
	return n, err
}
