package proccred_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault/proccred"
)

// sandboxed skips where the kernel has no sandbox: there such a child is not
// started at all, which another test holds.
func sandboxed(t *testing.T) {
	t.Helper()
	if abi, _, no := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION); no != 0 || abi < 3 {
		t.Skip("this kernel has no Landlock, or an old one")
	}
}

func file(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAChildReadsAndWritesItsOwnPathsAlone(t *testing.T) {
	sandboxed(t)
	w := newWorld(t)
	readable, writable, other := t.TempDir(), t.TempDir(), t.TempDir()
	in, out := file(t, readable, "in", "for you"), file(t, writable, "out", "old")
	forbidden := file(t, other, "key", "not for you")
	if err := os.Symlink(forbidden, filepath.Join(readable, "link")); err != nil {
		t.Fatal(err)
	}
	d := w.door(t, w.spec(t, resource.SchemeNone, func(s *proccred.Spec) {
		s.Stdio.Read, s.Stdio.Write = []string{readable}, []string{writable}
	}))
	try := func(what, path string) string { return call(t, d, what, map[string]any{"path": path}).text(t) }
	for _, ok := range []string{try("read", in), try("read", out), try("write", out), try("write", filepath.Join(writable, "new")), try("truncate", out)} {
		if strings.HasPrefix(ok, "refused") {
			t.Error(ok)
		}
	}
	for _, no := range []string{
		try("read", forbidden), try("read", filepath.Join(readable, "link")), try("read", "/etc/passwd"), try("read", "/etc/shadow"), try("read", "/proc/self/environ"),
		try("read", fmt.Sprintf("/proc/%d/environ", os.Getpid())), try("read", "/proc/self/root/etc/passwd"), try("read", w.data),
		try("write", in), try("write", forbidden), try("write", filepath.Join(other, "new")), try("write", "/tmp/sallyport-child-was-here"),
		try("truncate", forbidden), try("truncate", in), try("write", "/usr/was-here"),
	} {
		if !strings.HasPrefix(no, "refused") {
			t.Error(no)
		}
	}
	if b, err := os.ReadFile(forbidden); err != nil || string(b) != "not for you" {
		t.Errorf("%s %v", b, err)
	}
}

func TestAChildDoesNotExecuteWhatItWrote(t *testing.T) {
	sandboxed(t)
	w := newWorld(t)
	dir := t.TempDir()
	path := file(t, dir, "program", "#!/bin/sh\necho it ran\n")
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	d := w.door(t, w.spec(t, resource.SchemeNone, func(s *proccred.Spec) { s.Stdio.Write = []string{dir} }))
	if got := call(t, d, "exec", map[string]any{"path": path}).text(t); !strings.Contains(got, "permission denied") {
		t.Error(got)
	}
	d = w.door(t, w.spec(t, resource.SchemeNone, func(s *proccred.Spec) { s.Stdio.Read = []string{dir} }))
	if got := call(t, d, "exec", map[string]any{"path": path}).text(t); !strings.Contains(got, "it ran") {
		t.Error(got)
	}
}

func TestAChildWithoutNetworkHasNoSocketOfAnyKind(t *testing.T) {
	sandboxed(t)
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket := filepath.Join(t.TempDir(), "socket")
	u, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	dial := func(network bool, kind, address string) string {
		d := w.door(t, w.spec(t, resource.SchemeNone, func(s *proccred.Spec) { s.Stdio.Network = network }))
		return call(t, d, "dial", map[string]any{"network": kind, "address": address}).text(t)
	}
	for _, to := range [][2]string{{"tcp", l.Addr().String()}, {"udp", "127.0.0.1:53"}, {"unix", socket}, {"ip4:icmp", "127.0.0.1"}} {
		if got := dial(false, to[0], to[1]); !strings.HasPrefix(got, "refused") {
			t.Errorf("%v: %s", to, got)
		}
	}
	if got := dial(true, "tcp", l.Addr().String()); got != "done" {
		t.Errorf("with network: %s", got)
	}
}

func TestAChildCanNeitherSignalTheServerNorLeaveItsGroup(t *testing.T) {
	sandboxed(t)
	w := newWorld(t)
	d := w.door(t, w.spec(t, resource.SchemeNone))
	if abi, _, _ := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION); abi >= 6 {
		if got := call(t, d, "signal", nil).text(t); !strings.HasPrefix(got, "refused") {
			t.Error("it may signal the server")
		}
	}
	if got := call(t, d, "leave", nil).text(t); !strings.HasPrefix(got, "refused") {
		t.Error("it may leave its group")
	}
}

func TestAChildHasThreeDescriptorsAndTheCredentials(t *testing.T) {
	// One that everything inherits which does not take care.
	fd, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	w := newWorld(t)
	for scheme, want := range map[resource.Scheme]string{resource.SchemeEnv: "[0 1 2]", resource.SchemeFile: "[0 1 2 3]"} {
		if got := call(t, w.door(t, w.spec(t, scheme)), "descriptors", nil).text(t); got != want {
			t.Errorf("%s: %s", scheme, got)
		}
	}
}

func TestAChildsEnvironmentIsWhatTheResourceLists(t *testing.T) {
	t.Setenv("SALLYPORT_TEST_INHERITED", "must not be there")
	w := newWorld(t)
	d := w.door(t, w.spec(t, resource.SchemeFile, func(s *proccred.Spec) { s.Stdio.Env = map[string]string{"LANG": "C.UTF-8"} }))
	list, _ := call(t, d, "environment", nil).result(t).([]any)
	var names []string
	for _, e := range list {
		name, value, _ := strings.Cut(fmt.Sprint(e), "=")
		names = append(names, name)
		if name == "TOKEN" && value != "/dev/fd/3" {
			t.Errorf("TOKEN is %s", value)
		}
	}
	if got := strings.Join(names, " "); got != "HOME LANG TMPDIR TOKEN" {
		t.Errorf("it has %s", got)
	}
}

func TestAChildHasItsLimits(t *testing.T) {
	w := newWorld(t)
	d := w.door(t, w.spec(t, resource.SchemeNone, func(s *proccred.Spec) { s.Stdio.Memory, s.Stdio.OpenFiles = 256<<20, 77 }))
	got, _ := call(t, d, "limits", nil).result(t).(map[string]any)
	if fmt.Sprint(got["core"], got["data"], got["files"], got["size"]) != fmt.Sprint(float64(1), float64(256<<20), float64(77), float64(256<<20)) {
		t.Errorf("%v", got)
	}
	if g := call(t, d, "memory", map[string]any{"bytes": 1 << 20}); g.err != nil {
		t.Error(g.everything())
	}
	if g := call(t, d, "memory", map[string]any{"bytes": 1 << 30}); g.err == nil {
		t.Error("it has more memory than its limit")
	}
}

func TestWhatAChildCanReachOfTheServersOwnStopsItsStart(t *testing.T) {
	sandboxed(t)
	w := newWorld(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(w.data, link); err != nil {
		t.Fatal(err)
	}
	inside := filepath.Join(w.data, "inside")
	if err := os.Mkdir(inside, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{w.data, filepath.Dir(w.data), link, inside} {
		for name, change := range map[string]func(*proccred.Spec){
			"read": func(s *proccred.Spec) { s.Stdio.Read = []string{path} }, "write": func(s *proccred.Spec) { s.Stdio.Write = []string{path} },
			"dir": func(s *proccred.Spec) { s.Stdio.Dir = path },
		} {
			if g := call(t, w.door(t, w.spec(t, resource.SchemeNone, change)), "echo", nil); !fault.Is(g.err, fault.Denied) || g.sent {
				t.Errorf("%s %s: %s", name, path, g.everything())
			}
		}
	}
}

func TestAPathThatIsNotThereStopsTheStart(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*proccred.Spec){
		"command": func(s *proccred.Spec) { s.Stdio.Command = []string{"/nowhere/server"} },
		"read":    func(s *proccred.Spec) { s.Stdio.Read = []string{"/nowhere"} },
		"dir":     func(s *proccred.Spec) { s.Stdio.Dir = "/nowhere" },
		"root":    func(s *proccred.Spec) { s.Stdio.Read = []string{"/"} },
	} {
		g := call(t, w.door(t, w.spec(t, resource.SchemeNone, change)), "echo", nil)
		if g.err == nil || g.sent || name != "root" && !strings.Contains(g.err.Error(), "/nowhere") {
			t.Errorf("%s: %s", name, g.everything())
		}
	}
}

// A grandchild that does not end with its input is killed with its group.
func TestNothingOfAChildIsLeftWhenItEnds(t *testing.T) {
	sandboxed(t)
	w := newWorld(t)
	d := w.door(t, w.spec(t, resource.SchemeNone))
	pid, err := strconv.Atoi(call(t, d, "pid", nil).text(t))
	if err != nil {
		t.Fatal(err)
	}
	grandchild, err := strconv.Atoi(call(t, d, "grandchild", nil).text(t))
	if err != nil {
		t.Fatal(err)
	}
	if g := call(t, d, "die", nil); g.err == nil {
		t.Fatal(g.everything())
	}
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range []int{pid, grandchild} {
		waitFor(t, func() bool { return !running(p) }) // it is killed, and may take a moment to be gone
	}
}

// running says whether a process runs; one that nobody has waited for is dead.
func running(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(after, "Z") && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
