package app

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault/kek"
)

// restoreTest tells the process that is killed what to restore, where, and with
// which key file, and what time it is.
const restoreTest = "SALLYPORT_TEST_RESTORE"

// restorer is a process that restores a backup.
func (o *office) restorer(file, dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestKillARestore$") // the test below
	cmd.Env = append(os.Environ(), restoreTest+"="+strings.Join([]string{file, dir, filepath.Join(o.dir, "seal.key"), o.now().Format(time.RFC3339Nano)}, "\n"))
	return cmd
}

func TestKillARestore(t *testing.T) {
	if args := strings.Split(os.Getenv(restoreTest), "\n"); len(args) == 4 { // the process that is killed
		now, err := time.Parse(time.RFC3339Nano, args[3])
		if err != nil {
			t.Fatal(err)
		}
		_, err = Restore(t.Context(), RestoreConfig{File: args[0], Dir: args[1], Seals: []kek.Seal{kek.NewKeyFile(args[2])}, LogHandler: slog.DiscardHandler,
			Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	o := newOffice(t, t.TempDir())
	file := o.backup("b")
	o.killedWhileItReads(file)
	begin := time.Now()
	o.must(o.restorer(file, filepath.Join(t.TempDir(), "new")).Run())
	whole := time.Since(begin)
	parent := t.TempDir() // what one leaves behind the next one finds
	for i := range 12 {
		dir := filepath.Join(parent, "new")
		cmd := o.restorer(file, dir)
		o.must(cmd.Start())
		<-time.After(whole * time.Duration(i) / 10)
		o.kill(cmd)
		o.wholeOrNothing(dir)
	}
	c := o.config(file)
	c.Dir = filepath.Join(parent, "new")
	_, err := Restore(t.Context(), c)
	o.must(err)
	if entries, err := os.ReadDir(parent); err != nil || len(entries) != 1 {
		t.Errorf("%v: what was left behind is still there, %v", entries, err)
	}
	o.wholeOrNothing(c.Dir)
}

// killedWhileItReads feeds a process half of a backup and kills it in the middle.
func (o *office) killedWhileItReads(file string) {
	o.t.Helper()
	b, err := os.ReadFile(file)
	o.must(err)
	parent := o.t.TempDir()
	pipe, dir := filepath.Join(o.dir, "pipe"), filepath.Join(parent, "new")
	o.must(unix.Mkfifo(pipe, 0o600))
	cmd := o.restorer(pipe, dir)
	o.must(cmd.Start())
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits for the process
	o.must(err)
	_, err = w.Write(b[:len(b)*2/3]) // returns when nearly all of it was read
	o.must(err)
	o.kill(cmd)
	o.must(w.Close())
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		o.t.Errorf("half a directory is there: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(parent, ".new.restoring-*")); err != nil || len(left) != 1 {
		o.t.Errorf("it was not killed in the middle: %v, %v", left, err)
	}
}

func (o *office) kill(cmd *exec.Cmd) {
	o.t.Helper()
	o.must(cmd.Process.Kill())
	_ = cmd.Wait() // how a killed process ended says nothing
}

// wholeOrNothing: the directory is not there, or is complete; it is taken away for
// the next one.
func (o *office) wholeOrNothing(dir string) {
	o.t.Helper()
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return
	}
	if faults, err := sqlite.Inspect(o.t.Context(), dir); err != nil || len(faults) > 0 {
		o.t.Errorf("half a database is there: %v, %v", faults, err)
	}
	rep, err := VerifyAudit(o.t.Context(), dir, audit.VerifyOptions{})
	if err != nil || !rep.OK() {
		o.t.Errorf("half an audit log is there: %v, %v", rep.Findings(), err)
	}
	a := o.restored(dir)
	rows, err := a.store.Audit().List(o.t.Context(), "acme", audit.Filter{Type: audit.BackupRestored}, 0, 10)
	if err != nil || len(rows) != 1 {
		o.t.Errorf("what was open goes on: %v", err)
	}
	if _, err := a.Directory.Authenticate(o.t.Context(), o.session, o.time); !fault.Is(err, fault.Unauthenticated) {
		o.t.Errorf("somebody is signed in: %v", err)
	}
	o.must(os.Rename(dir, filepath.Join(o.t.TempDir(), "seen")))
}
