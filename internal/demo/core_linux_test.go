package demo_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/leaktest"
)

// dumping starts a program in a directory of its own, which may write a core file
// of any size there.
func dumping(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", `ulimit -c unlimited && exec "$@"`, "sh"}, args...)...)
	cmd.Dir = dir
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

// writesCores says whether this machine writes the core file of an ordinary
// program into its directory: elsewhere the limit alone can be looked at.
func writesCores(t *testing.T) bool {
	t.Helper()
	dir := t.TempDir()
	cmd := dumping(t, dir, "sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for { // until it is sleep: the shell has begun with another name
		if name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "comm")); err != nil || strings.TrimSpace(string(name)) == "sleep" {
			break
		}
	}
	_ = cmd.Process.Signal(syscall.SIGABRT)
	_ = cmd.Wait()
	left, err := os.ReadDir(dir)
	return err == nil && len(left) > 0
}

var noCores = regexp.MustCompile(`(?m)^Max core file size +1 +1 `)

// TestLeakAServerThatIsKilledLeavesNoSecret kills the real program while a call is
// in flight, in the ways in which programs leave dumps: it leaves no core file, and
// what it says of its end has no secret.
func TestLeakAServerThatIsKilledLeavesNoSecret(t *testing.T) {
	t.Parallel()
	dumps := writesCores(t)
	for _, c := range []struct {
		signal syscall.Signal
		level  string // of GOTRACEBACK
	}{{syscall.SIGABRT, "crash"}, {syscall.SIGQUIT, "all"}, {syscall.SIGSEGV, "crash"}, {syscall.SIGSEGV, "system"}} {
		t.Run(c.signal.String()+" "+c.level, func(t *testing.T) {
			t.Parallel()
			s, wanted := killed(t, c.signal, c.level)
			s.clean(t, wanted, "stderr")
			if !bytes.Contains(s.seen["stderr"].Bytes(), []byte("the server was ended by the runtime")) {
				t.Errorf("it said nothing of its end: %s", s.seen["stderr"])
			}
			_, _ = s.at("stderr").Write([]byte("planted: " + leaktest.PerByte(`\x%02x`)(wanted[0].Value)))
			if len(leaktest.NewIndex(wanted...).Search(s.tail("stderr", 0))) == 0 {
				t.Error("what is planted is not found")
			}
		})
	}
	t.Logf("leak suite, ends of a server: 4 signals with a call in flight; an ordinary program leaves a core file here: %v", dumps)
}

// killed is what a demo that had a model's call in flight has left.
func killed(t *testing.T, signal syscall.Signal, level string) (*sinks, []leaktest.Canary) {
	t.Helper()
	key := leaktest.Mint("model", "in flight", "token")
	asked, held := make(chan string, 1), make(chan struct{})
	model := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that it is in flight whole
		select {
		case asked <- r.Header.Get("Authorization"):
		default:
		}
		<-held
	}))
	t.Cleanup(model.Close)
	t.Cleanup(func() { close(held) })
	dir, cwd := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte(key.Value), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	cmd := dumping(t, cwd, self, "demo", "--data", data, "--listen", "127.0.0.1:0", "--model-url", model.URL, "--model-name", "m", "--model-key-file", filepath.Join(dir, "key"))
	cmd.Env = append(os.Environ(), envCLI+"=1", "GOTRACEBACK="+level, "NO_COLOR=1")
	s := &sinks{seen: map[string]*bytes.Buffer{}}
	stderr := s.at("stderr")
	cmd.Stdout, cmd.Stderr = io.Discard, stderr // stdout has the people's passwords, once
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, dir: data, cmd: cmd, stderr: &strings.Builder{}, used: map[string]time.Time{}, tokens: map[string]string{}}
	w := &world{t: t, dir: data}
	w.eventually("the demo has its people and its Missions", func() bool {
		addr, err := os.ReadFile(filepath.Join(data, "address"))
		if p.people, _ = demo.ReadPeople(data); err != nil || p.people["requester"] == nil {
			return false
		}
		p.URL = "http://" + string(addr)
		var out struct{ Missions []struct{ Name string } }
		return p.call("requester", "GET", "/v1/missions", nil, &out) == nil && len(out.Missions) > 0
	})
	p.begin()
	if got := <-asked; got != "Bearer "+key.Value {
		t.Fatalf("the model was sent %q", got)
	}
	limits, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "limits"))
	if err != nil || !noCores.Match(limits) {
		t.Errorf("the server may write core files: %s, %v", limits, err)
	}
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // how it ended is in its state
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.CoreDump() || ws.ExitStatus() == 0 {
		t.Errorf("it ended with %v", cmd.ProcessState)
	}
	left, err := os.ReadDir(cwd)
	if err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	s.files(t, cwd, func(string) bool { return true })
	log, err := os.ReadFile(filepath.Join(data, "demo.log"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = s.at("log").Write(log)
	_, wanted := credentials(w)
	return s, append(wanted, key)
}
