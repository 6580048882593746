package demo_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport.dev/client"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/sqlite"
)

// What a server process is told.
const (
	envDir  = "SALLYPORT_TEST_DIR"
	envKill = "SALLYPORT_TEST_KILL" // a commit.Point at which it kills itself on a write
)

// serverMain is the demo in a process of its own, which can be killed.
func serverMain() {
	cfg := demo.Config{Dir: os.Getenv(envDir), Command: command, LogHandler: slog.NewTextHandler(os.Stderr, nil)}
	if at := commit.Point(os.Getenv(envKill)); at != "" {
		cfg.Crash = func(it intent.Intent, p commit.Point) {
			if it.Effect == resource.Write && it.Connection == "erp-write" && p == at {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // it takes effect in a moment
			}
		}
	}
	d, err := demo.Start(context.Background(), cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	r := ready{URL: d.URL(), Control: map[string]string{}}
	for name, s := range d.Systems {
		r.Control[name] = s.Control
	}
	_ = json.NewEncoder(os.Stdout).Encode(r)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends it
	if err := d.Stop(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type ready struct {
	URL     string
	Control map[string]string
}

// process is a server process under test.
type process struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	stdin  io.Closer
	stderr *strings.Builder
	ready
	people map[string]*demo.Person
	used   map[string]time.Time // the last time whose one-time code was used
	tokens map[string]string
}

func launch(t *testing.T, dir string, killAt commit.Point, env ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, dir: dir, cmd: exec.Command(self), stderr: &strings.Builder{}, used: map[string]time.Time{}, tokens: map[string]string{}}
	p.cmd.Env = append(os.Environ(), envServer+"=1", envDir+"="+dir, envKill+"="+string(killAt))
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stderr = p.stderr
	p.stdin, err = p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	line, _ := bufio.NewReader(out).ReadBytes('\n')
	if err := json.Unmarshal(line, &p.ready); err != nil {
		_ = p.cmd.Wait()
		t.Fatalf("the server did not start: %s", p.stderr)
	}
	if p.people, err = demo.ReadPeople(dir); err != nil {
		t.Fatal(err)
	}
	return p
}

// kill ends the process as a power cut would.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
}

// died waits until the process has killed itself.
func (p *process) died() {
	p.t.Helper()
	done := make(chan struct{})
	go func() { _ = p.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		p.t.Fatalf("it is still alive\n%s", p.stderr)
	}
	if ws, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
		p.t.Fatalf("it ended by itself: %s\n%s", p.cmd.ProcessState, p.stderr)
	}
}

// stop ends the process in order.
func (p *process) stop() {
	p.t.Helper()
	_ = p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("stopping: %v\n%s", err, p.stderr)
	}
}

// code is a one-time code that was not used, at most one step from the server's
// clock.
func (p *process) code(name string) string {
	p.t.Helper()
	at := time.Now() // the step before went with the demo's own change of the password
	if last, ok := p.used[name]; ok && at.Before(last.Add(30*time.Second)) {
		at = last.Add(30 * time.Second)
	}
	for at.Unix()/30 > time.Now().Unix()/30+1 { // the server takes a code of the step to come
		p.must(pause(p.t.Context(), time.Second)) // the person's own clock
	}
	p.used[name] = at
	code, err := p.people[name].Code(at)
	if err != nil {
		p.t.Fatal(err)
	}
	return code
}

func (p *process) call(name, method, path string, in, out any) error {
	p.t.Helper()
	c, err := client.New(p.URL)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.tokens[name] == "" {
		var s struct{ Token string }
		if err := c.Call(p.t.Context(), "POST", "/v1/sessions", map[string]any{
			"name": name, "password": p.people[name].Password, "code": p.code(name)}, &s); err != nil {
			return err
		}
		p.tokens[name] = s.Token
	}
	c, err = client.New(p.URL, client.Token(p.tokens[name]))
	if err != nil {
		p.t.Fatal(err)
	}
	return c.Call(p.t.Context(), method, path, in, out)
}

func (p *process) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("%v\n%s", err, p.stderr)
	}
}

// begin starts a Run of a supplier that is to be onboarded.
func (p *process) begin() string {
	p.t.Helper()
	input, err := demo.Sample("onboarded")
	p.must(err)
	var out struct{ Run intent.Run }
	p.must(p.call("requester", "POST", "/v1/missions/vendor-onboarding/runs", map[string]any{"input": input}, &out))
	return out.Run.ID
}

// approveNext approves the Run's next waiting action. It returns false when the
// Run ends without one.
func (p *process) approveNext(run string) bool {
	p.t.Helper()
	for range 3000 {
		var q struct{ Items []item }
		p.must(p.call("approver", "GET", "/v1/decisions?run="+run, nil, &q))
		if len(q.Items) > 0 {
			it := q.Items[0]
			err := p.call("approver", "POST", "/v1/decisions/"+it.Decision.ID, map[string]any{
				"verdict": "approve", "digest": it.Decision.Digest, "password": p.people["approver"].Password, "code": p.code("approver")}, nil)
			if err != nil {
				p.t.Logf("approving: %v", err) // it may have died of it
			}
			return true
		}
		if p.show(run).State == intent.RunEnded {
			return false
		}
		p.must(pause(p.t.Context(), 20*time.Millisecond))
	}
	p.t.Fatalf("nothing waits for a Decision\n%s", p.stderr)
	return false
}

func (p *process) show(run string) (r intent.Run) {
	p.t.Helper()
	p.must(p.call("auditor", "GET", "/v1/runs/"+run, nil, &r))
	return r
}

// verify checks the audit log offline.
func (p *process) verify() {
	p.t.Helper()
	src, err := sqlite.OpenAudit(p.t.Context(), demo.ServerDir(p.dir))
	p.must(err)
	defer src.Close()
	rep, err := audit.Verify(p.t.Context(), src, audit.VerifyOptions{})
	p.must(err)
	if !rep.OK() {
		p.t.Errorf("the audit log does not verify: %v", rep.Findings())
	}
}
