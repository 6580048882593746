package sqlite_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/sqlite"
)

func init() { children["on a disk that fills up"] = onADiskThatFillsUp }

// TestADiskThatFillsUpRefusesAndGoesOnWhenThereIsRoom has a file system of its own, of
// 16 MiB, so that the kernel itself says that there is no room (ENOSPC), also to what
// SQLite does beside writing the log.
func TestADiskThatFillsUpRefusesAndGoesOnWhenThereIsRoom(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChildProcess$", "-test.v")
	cmd.Env = append(os.Environ(), crashTest+"=on a disk that fills up", crashDir+"="+t.TempDir())
	cmd.SysProcAttr = alone()
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) || strings.Contains(string(out), "no file systems here") {
		t.Skip("this machine lets nobody make a file system")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// alone is a process that mounts what no other sees.
func alone() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
}

func onADiskThatFillsUp(t *testing.T, dir string) {
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Fatal("no file systems here:", err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 13<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	s := open(t, data)
	confirmed := 0
	fails := func() {
		t.Helper()
		for n := range 20_000 {
			err := s.Write(t.Context(), func(tx *sqlite.Tx) error { return tx.Audit(ended(n)) })
			if err == nil {
				confirmed++
				continue
			}
			if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "full") {
				t.Fatalf("the write said %v (%s)", err, fault.HintOf(err))
			}
			return
		}
		t.Fatal("the disk is never full")
	}
	fails()
	first := confirmed
	for range 3 { // it stays so
		fails()
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if s.Healthy() != nil { // it could not say whether the last one is on the disk: a restart decides from there
		_ = s.Close()
		s = open(t, data)
	}
	was := confirmed
	for n := range 100 {
		if err := s.Write(t.Context(), func(tx *sqlite.Tx) error { return tx.Audit(ended(n)) }); err != nil {
			t.Fatalf("there is room again: %v", err)
		}
		confirmed++
	}
	rows, err := s.Audit().List(t.Context(), "acme", audit.Filter{}, 1, 50_000)
	if err != nil || len(rows) != confirmed || was < first {
		t.Errorf("%d of %d confirmed entries are there: %v", len(rows), confirmed, err)
	}
	inOrder(t, data, int64(confirmed)+1)
}
