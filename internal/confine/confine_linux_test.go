package confine_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/confine"
	"sallyport.dev/internal/fault"
)

// envOld makes the process one on a kernel without Landlock.
const envOld = "SALLYPORT_TEST_OLD_KERNEL"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == confine.Command {
		runtime.LockOSThread()
		if os.Getenv(envOld) != "" {
			without(unix.SYS_LANDLOCK_CREATE_RULESET)
		}
		_ = confine.Become()
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// without has the kernel say of a call that it doesn't know it.
func without(nr uint32) {
	p := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	if unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != nil || unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0) != nil {
		os.Exit(9)
	}
}

// become starts a process that becomes what s says, and gives its report and output.
func become(t *testing.T, s confine.Spec, env ...string) (confine.Report, string, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	specR, specW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	repR, repW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), self, confine.Command)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = env, &out, &out, []*os.File{nil, specR, repW}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = specR.Close()
	_ = repW.Close()
	if err := confine.Write(specW, s); err != nil {
		t.Fatal(err)
	}
	_ = specW.Close()
	r, err := confine.ReadReport(repR)
	_ = repR.Close()
	_ = cmd.Wait() // its code is the program's
	return r, out.String(), err
}

// shell is a Spec that runs a script of the system's shell.
func shell(t *testing.T, script string) confine.Spec {
	t.Helper()
	sh, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Skip("no /bin/sh")
	}
	dir := t.TempDir()
	return confine.Spec{Command: []string{sh, "-c", script}, Dir: dir, Env: [][]byte{[]byte("PATH=/usr/bin:/bin")}, Write: []string{dir}, Demand: true}
}

// Fails closed: what has to be confined and can't be is not started.
func TestAKernelWithoutLandlockRunsNothingThatHasToBeConfined(t *testing.T) {
	s := shell(t, "echo it ran")
	if _, out, err := become(t, s, envOld+"=1"); !fault.Is(err, fault.Denied) || strings.Contains(out, "it ran") || fault.HintOf(err) == "" {
		t.Errorf("%q %v", out, err)
	}
	s.Demand = false
	r, out, err := become(t, s, envOld+"=1")
	if err != nil || !strings.Contains(out, "it ran") || r.Whole() || r.Landlock != 0 {
		t.Errorf("best effort: %q %+v %v", out, r, err)
	}
}

func TestAProgramIsConfined(t *testing.T) {
	s := shell(t, "cat /etc/passwd && echo read; echo x > /tmp/sallyport-confine && echo wrote; echo x > mine && echo own; ulimit -c; umask; grep NoNewPrivs /proc/self/status")
	r, out, err := become(t, s)
	if fault.Is(err, fault.Denied) {
		t.Skip("this kernel has no whole sandbox")
	}
	if err != nil || !r.Whole() || strings.Contains(out, "read") || strings.Contains(out, "wrote") || !strings.Contains(out, "own\n0\n0077\n") {
		t.Errorf("%+v %v\n%s", r, err, out)
	}
}

func TestASpecThatCantBeGivenToAProcessIsRefused(t *testing.T) {
	for name, change := range map[string]func(*confine.Spec){
		"no command":        func(s *confine.Spec) { s.Command = nil },
		"a relative path":   func(s *confine.Spec) { s.Command[0] = "sh" },
		"a path with dots":  func(s *confine.Spec) { s.Read = []string{"/usr/../etc"} },
		"the whole machine": func(s *confine.Spec) { s.Write = []string{"/"} },
		"a zero byte":       func(s *confine.Spec) { s.Command = append(s.Command, "a\x00b") },
		"a nameless value":  func(s *confine.Spec) { s.Env = [][]byte{[]byte("=x")} },
		"no directory":      func(s *confine.Spec) { s.Dir = "/nowhere" },
		"no program":        func(s *confine.Spec) { s.Command[0] = "/nowhere" },
		"what is guarded":   func(s *confine.Spec) { s.Guarded = []string{s.Dir} },
		"guarded above":     func(s *confine.Spec) { s.Guarded = []string{"/usr/bin"} },
	} {
		s := shell(t, "echo it ran")
		change(&s)
		if _, out, err := become(t, s); !fault.Is(err, fault.Denied) || strings.Contains(out, "it ran") {
			t.Errorf("%s: %q %v", name, out, err)
		}
	}
}

func FuzzReport(f *testing.F) {
	for _, s := range []string{"", "{}", `{"landlock":7,"filter":true}`, `{"landlock":7}{"error":"no","hint":"h"}`, `{"landlock":"x"}`, "[", `{"landlock":7} x`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := confine.ReadReport(bytes.NewReader(b))
		if (r.Error != "") != fault.Is(err, fault.Denied) {
			t.Errorf("%+v %v", r, err)
		}
		if err != nil && fault.KindOf(err) != fault.Denied && fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%v", err)
		}
	})
}
