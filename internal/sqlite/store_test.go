package sqlite_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/sqlite"
)

func TestThereIsNoStoreWithoutAnAuditLog(t *testing.T) {
	if _, err := sqlite.Open(t.Context(), t.TempDir(), nil, rowGuard); err == nil {
		t.Error("it was opened")
	}
}

func TestAClosedStoreTakesNoWrites(t *testing.T) {
	s := open(t, t.TempDir())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), func(*sqlite.Tx) error { return nil }); !fault.Is(err, fault.Unavailable) {
		t.Errorf("the write said %v", err)
	}
}

// lockTest names the directory to the second process.
const lockTest = "SALLYPORT_TEST_LOCKED_DIR"

func TestASecondProcessIsRefused(t *testing.T) {
	if dir := os.Getenv(lockTest); dir != "" { // the second process
		seq, err := audit.NewSequencer("", logKey)
		if err != nil {
			t.Fatal(err)
		}
		_, err = sqlite.Open(t.Context(), dir, seq, rowGuard)
		if !fault.Is(err, fault.Conflict) || fault.HintOf(err) == "" {
			t.Fatalf("the second process got %v", err)
		}
		return
	}
	dir := t.TempDir()
	open(t, dir)
	cmd := exec.Command(os.Args[0], "-test.run=^TestASecondProcessIsRefused$") // this very test
	cmd.Env = append(os.Environ(), lockTest+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestADatabaseOfAnotherProgramIsRefused(t *testing.T) {
	for name, query := range map[string]string{
		"a changed migration": "UPDATE migration SET sum = 'x' WHERE number = 1",
		"a newer migration":   "INSERT INTO migration VALUES (9999, '9999_future.sql', 'x')",
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := closed(t, 2)
			tamper(t, dir, query)
			seq, err := audit.NewSequencer("", logKey)
			if err != nil {
				t.Fatal(err)
			}
			if s, err := sqlite.Open(t.Context(), dir, seq, rowGuard); err == nil {
				_ = s.Close()
				t.Error("it was opened")
			}
		})
	}
}

func TestFilesAreForTheOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	s := open(t, dir)
	record(t, s, ended(1))
	for path, want := range map[string]os.FileMode{"": 0o700, sqlite.File: 0o600, sqlite.File + "-wal": 0o600, sqlite.File + "-shm": 0o600, "lock": 0o600} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q has mode %v, want %v (%v)", path, info.Mode().Perm(), want, err)
		}
	}
}

func TestAPanicEndsItsStepAlone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	err := s.Write(t.Context(), func(tx *sqlite.Tx) error {
		if err := tx.Audit(ended(1)); err != nil {
			return err
		}
		panic("secret-in-a-panic")
	})
	if !fault.Is(err, fault.Internal) || !strings.HasPrefix(err.Error(), "a step of the store panicked: a fault of the program, in its log as crash_") || strings.Contains(err.Error(), "secret-in") {
		t.Errorf("the step said %v", err)
	}
	record(t, s, ended(2))
	inOrder(t, dir, 2)
}

func TestACallerThatGaveUpChangesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	block, entered, held := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		held <- s.Write(context.Background(), func(*sqlite.Tx) error { close(entered); <-block; return nil })
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	ran, said := false, make(chan error)
	go func() {
		said <- s.Write(ctx, func(tx *sqlite.Tx) error { ran = true; return tx.Audit(ended(1)) })
	}()
	for s.Queued() == 0 { // a state to wait for, not a time
		select {
		case err := <-said:
			t.Fatalf("it did not wait: %v", err)
		default:
			runtime.Gosched()
		}
	}
	cancel()
	close(block)
	if err := <-said; !errors.Is(err, context.Canceled) || !fault.Is(err, fault.Unavailable) {
		t.Errorf("the caller got %v", err)
	}
	if err := <-held; err != nil {
		t.Error(err)
	}
	record(t, s, ended(2))
	inOrder(t, dir, 2)
	if ran {
		t.Error("the step ran")
	}
}
