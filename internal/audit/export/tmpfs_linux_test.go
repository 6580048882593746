package export_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/audit/export"
	"sallyport.dev/internal/audit/outside"
)

// onTmpfs tells the child process where its file system is to be.
const onTmpfs = "SALLYPORT_TEST_TMPFS"

// TestAnExportOnADiskThatFillsUpLosesNothing runs in a process with a file system of
// its own, of 1 MiB: the kernel itself says that there is no room.
func TestAnExportOnADiskThatFillsUpLosesNothing(t *testing.T) {
	if dir := os.Getenv(onTmpfs); dir != "" {
		fillsUp(t, dir)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAnExportOnADiskThatFillsUpLosesNothing$", "-test.v")
	cmd.Env = append(os.Environ(), onTmpfs+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) || strings.Contains(string(out), "no file systems here") {
		t.Skip("this machine lets nobody make a file system")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func fillsUp(t *testing.T, dir string) {
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal("no file systems here:", err)
	}
	ballast, path := filepath.Join(dir, "ballast"), filepath.Join(dir, "audit.jsonl")
	if err := os.WriteFile(ballast, make([]byte, 900<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := export.NewFile(path, t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	l := newLog(1500)
	s := newStory(t, l, f)
	for range 3 {
		s.round()
		if st := s.Status(); st.State != outside.Failing || !strings.Contains(st.Why, "no space") && !strings.Contains(st.Why, "full") {
			t.Fatalf("%+v", st)
		}
		s.now = s.now.Add(time.Hour)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		inOrder(t, indexes(t, b), int(l.next["acmeexport-file "+path])) // whole lines, and no more than it says
	}
	if l.count(audit.ExportLost) != 1 {
		t.Errorf("it was said %d times", l.count(audit.ExportLost))
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.round()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if st := s.Status(); st.State != outside.OK || l.count(audit.ExportBack) != 1 {
		t.Errorf("%+v", st)
	}
	inOrder(t, indexes(t, b), len(l.rows))
}
