package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/sqlite"
)

// crashTest and crashDir tell the child process what it is for, and where.
const crashTest, crashDir = "SALLYPORT_TEST_CRASH", "SALLYPORT_TEST_CRASH_DIR"

// children are what a test runs in a process of its own: limits, capabilities and
// kill -9 would reach every other test.
var children = map[string]func(t *testing.T, dir string){
	"killed after three writes": killedAfterThree,
	"on a full disk":            onAFullDisk,
	"in a read-only directory":  inAReadOnlyDirectory,
}

// TestChildProcess does nothing by itself.
func TestChildProcess(t *testing.T) {
	if f := children[os.Getenv(crashTest)]; f != nil {
		f(t, os.Getenv(crashDir))
	}
}

// child runs one of them. What it printed is shown when it failed.
func child(t *testing.T, name, dir string) error {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChildProcess$", "-test.v")
	cmd.Env = append(os.Environ(), crashTest+"="+name, crashDir+"="+dir)
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Sys().(syscall.WaitStatus).Signal() == unix.SIGKILL {
		return nil // it killed itself, as it was meant to
	}
	if err != nil {
		t.Logf("%s", out)
	}
	return err
}

func killedAfterThree(t *testing.T, dir string) {
	s := open(t, dir)
	for i := range 3 {
		record(t, s, ended(i))
	}
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
}

// The log of a killed process has what was committed last. SQLite would go on
// without it and say nothing.
func TestAWriteAheadLogThatWasTakenAwayIsNoticed(t *testing.T) {
	dir := t.TempDir()
	if err := child(t, "killed after three writes", dir); err != nil {
		t.Fatal(err)
	}
	wal := sqlite.File + "-wal"
	log, err := os.ReadFile(filepath.Join(dir, wal))
	if err != nil || len(log) < 8<<10 {
		t.Fatalf("the killed process left a log of %d bytes, %v", len(log), err)
	}
	other := append([]byte(nil), log...)
	other[16] ^= 1 // its salt
	for name, content := range map[string][]byte{
		"removed": nil, "emptied": {}, "cut in its header": log[:20], "cut in the middle": log[:len(log)/2],
		"cut by a byte": log[:len(log)-1], "another one": other,
	} {
		t.Run(name, func(t *testing.T) {
			at := copied(t, dir)
			if content == nil {
				if err := os.Remove(filepath.Join(at, wal)); err != nil {
					t.Fatal(err)
				}
			} else if err := os.WriteFile(filepath.Join(at, wal), content, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // a second start is no way around it
				s, err := opened(t, at)
				if err == nil {
					_ = s.Close()
					t.Fatal("it was opened")
				}
				if !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "" || !strings.Contains(err.Error(), wal) {
					t.Errorf("it said %v (%s)", err, fault.HintOf(err))
				}
			}
			if err := os.WriteFile(filepath.Join(at, wal), log, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := opened(t, at)
			if err != nil {
				t.Fatalf("with the log put back: %v", err)
			}
			defer s.Close()
			inOrder(t, at, 4)
		})
	}
	// And whoever accepts the loss can go on, as the hint says.
	at := copied(t, dir)
	if err := errors.Join(os.Remove(filepath.Join(at, wal)), os.Remove(filepath.Join(at, sqlite.File+"-shm"))); err != nil {
		t.Fatal(err)
	}
	if s, err := opened(t, at); err == nil {
		_ = s.Close()
	} else if !strings.Contains(err.Error(), "gone or empty") { // all of the database was in the log
		t.Errorf("without both files: %v", err)
	}
}

func opened(t *testing.T, dir string) (*sqlite.Store, error) {
	t.Helper()
	seq, err := audit.NewSequencer("", logKey)
	if err != nil {
		t.Fatal(err)
	}
	return sqlite.Open(t.Context(), dir, seq, rowGuard)
}

// copied copies the files of a data directory.
func copied(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestAFullDiskRefusesTheWriteAndKeepsWhatWasConfirmed(t *testing.T) {
	dir := t.TempDir()
	if err := child(t, "on a full disk", dir); err != nil {
		t.Fatal(err)
	}
	n, err := os.ReadFile(filepath.Join(dir, "confirmed"))
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, dir) // there is room again
	rows, err := s.Audit().List(t.Context(), "acme", audit.Filter{}, 1, 10_000)
	if err != nil || fmt.Sprint(len(rows)) != string(n) {
		t.Fatalf("%d writes are there, and %s were confirmed: %v", len(rows), n, err)
	}
	inOrder(t, dir, int64(len(rows))+1)
	record(t, s, ended(1_000_000))
}

// onAFullDisk writes until a limit on the size of files refuses it, which comes
// from the kernel where a full disk's error would.
func onAFullDisk(t *testing.T, dir string) {
	s := open(t, dir)
	record(t, s, ended(0))
	confirmed := 1
	info, err := os.Stat(filepath.Join(dir, sqlite.File+"-wal"))
	if err != nil {
		t.Fatal(err)
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	limit := unix.Rlimit{Cur: uint64(info.Size()) + 100_000, Max: was.Max}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	for err = nil; err == nil; confirmed++ {
		if confirmed > 10_000 {
			t.Fatal("the limit refuses nothing")
		}
		err = s.Write(t.Context(), func(tx *sqlite.Tx) error { return tx.Audit(ended(confirmed)) })
	}
	confirmed-- // the last one was not
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "full") || !strings.Contains(fault.HintOf(err), "room") {
		t.Errorf("the write said %v (%s)", err, fault.HintOf(err))
	}
	if rows, err := s.Audit().List(t.Context(), "acme", audit.Filter{}, 1, 10_000); err != nil || len(rows) != confirmed {
		t.Errorf("on the full disk %d of %d confirmed writes can be read: %v", len(rows), confirmed, err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "confirmed"), fmt.Append(nil, confirmed), 0o600); err != nil {
		t.Fatal(err)
	}
}

// SQLite's own limit gives the other error that a full disk has.
func TestADatabaseThatCantGrowSaysSo(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	record(t, s, ended(0))
	err := s.Write(t.Context(), func(tx *sqlite.Tx) error {
		if _, err := tx.Exec("PRAGMA max_page_count = 1"); err != nil { // as many as it has
			return err
		}
		_, err := tx.Exec("INSERT INTO transcript (tenant, run, seq, body, at) VALUES ('acme', 'run_1', 0, $1, 0)", strings.Repeat("x", 100_000))
		return err
	})
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "full") || fault.HintOf(err) == "" {
		t.Errorf("the write said %v (%s)", err, fault.HintOf(err))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	record(t, s, ended(1))
	inOrder(t, dir, 3)
}

func TestADirectoryThatCantBeWrittenSaysSo(t *testing.T) {
	for name, prepare := range map[string]func(dir string) error{
		"empty":       func(string) error { return nil },
		"of a server": func(dir string) error { return open(t, dir).Close() },
		"with a read-only file": func(dir string) error {
			return errors.Join(open(t, dir).Close(), os.Chmod(filepath.Join(dir, sqlite.File), 0o400))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(prepare(dir), os.Chmod(dir, 0o500)); err != nil {
				t.Fatal(err)
			}
			before := listed(t, dir)
			if err := child(t, "in a read-only directory", dir); err != nil {
				t.Error(err)
			}
			if after := listed(t, dir); after != before {
				t.Errorf("the directory had %s, and has %s", before, after)
			}
		})
	}
}

func listed(t *testing.T, dir string) (names string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names += f.Name() + " "
	}
	return names
}

// inAReadOnlyDirectory gives up what lets root write everywhere, for the one
// thread that opens the store.
func inAReadOnlyDirectory(t *testing.T, dir string) {
	runtime.LockOSThread()
	header, none := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Fatal(err)
	}
	seq, err := audit.NewSequencer("", logKey)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(context.Background(), dir, seq, rowGuard)
	if err == nil {
		_ = s.Close()
		t.Fatal("it was opened")
	}
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.HintOf(err), "own") {
		t.Errorf("it said %v (%s)", err, fault.HintOf(err))
	}
}
