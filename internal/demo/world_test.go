package demo_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sallyport.dev/client"
	"sallyport.dev/examples/vendor-onboarding/company"
	"sallyport.dev/examples/vendor-onboarding/system"
	"sallyport.dev/internal/cli"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/intent"
)

// The test binary is also every process that the demo starts.
const (
	envSystem = "SALLYPORT_TEST_SYSTEM"
	envServer = "SALLYPORT_TEST_SERVER"
	envCLI    = "SALLYPORT_TEST_CLI" // the command line
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(envSystem) != "":
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		if err := company.Run(ctx, os.Getenv(envSystem), os.Args[1:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	case os.Getenv(envServer) != "":
		serverMain()
		return
	case os.Getenv(envCLI) != "", len(os.Args) > 1 && (os.Args[1] == "crash-report" || os.Args[1] == "child-exec"): // which have no environment
		os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	case os.Getenv(envChild) != "":
		childMain()
		return
	}
	os.Exit(m.Run())
}

// command starts this test binary as a system.
func command(ctx context.Context, name string, args []string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), envSystem+"="+name, envServer+"=")
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// clock is the real one plus what a test has moved it on by: one-time codes are
// good once in half a minute.
type clock struct{ plus atomic.Int64 }

func (c *clock) now() time.Time           { return time.Now().Add(time.Duration(c.plus.Load())) }
func (c *clock) advance(by time.Duration) { c.plus.Add(int64(by)) }

// world is the demo under test.
type world struct {
	t     *testing.T
	dir   string
	clock *clock
	logs  *strings.Builder
	*demo.Demo
	tokens map[string]string
}

func start(t *testing.T, change func(*demo.Config)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), clock: &clock{}}
	w.begin(change)
	return w
}

func (w *world) begin(change func(*demo.Config)) {
	w.t.Helper()
	w.logs, w.tokens = &strings.Builder{}, map[string]string{}
	cfg := demo.Config{Dir: w.dir, Command: command, Now: w.clock.now, LogHandler: slog.NewTextHandler(&locked{b: w.logs}, nil)}
	if change != nil {
		change(&cfg)
	}
	d, err := demo.Start(w.t.Context(), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Demo = d
	stop := func() {
		if err := d.Stop(context.WithoutCancel(w.t.Context())); err != nil {
			w.t.Error(err)
		}
	}
	w.t.Cleanup(stop)
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Log(w.logs.String())
		}
	})
}

// as gives a client that is signed in as somebody.
func (w *world) as(name string) *client.Client {
	w.t.Helper()
	if w.tokens[name] == "" {
		var s struct{ Token string }
		w.must(w.client("").Call(w.t.Context(), "POST", "/v1/sessions", map[string]any{
			"name": name, "password": w.People[name].Password, "code": w.code(name)}, &s))
		w.tokens[name] = s.Token
	}
	return w.client(w.tokens[name])
}

// hourPasses has an hour go by. Sessions may have ended with it.
func (w *world) hourPasses() {
	w.clock.plus.Add(int64(time.Hour))
	clear(w.tokens)
}

func (w *world) client(token string) *client.Client {
	c, err := client.New(w.URL(), client.Token(token))
	w.must(err)
	return c
}

// code is a code that was not used.
func (w *world) code(name string) string { return w.codes(name)[0] }

// codes are unused codes of several people, good at the same time: the clock is
// moved once, since a code is good for little more than a step.
func (w *world) codes(names ...string) (codes []string) {
	w.clock.advance(30 * time.Second)
	for _, name := range names {
		code, err := w.People[name].Code(w.clock.now())
		w.must(err)
		codes = append(codes, code)
	}
	return codes
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// run starts a Run of the sample supplier with the expected verdict.
func (w *world) run(expect string) string {
	w.t.Helper()
	input, err := demo.Sample(expect)
	w.must(err)
	var out struct{ Run intent.Run }
	w.must(w.as("requester").Call(w.t.Context(), "POST", "/v1/missions/vendor-onboarding/runs", map[string]any{"input": input}, &out))
	return out.Run.ID
}

// waiting waits for the Run's item in the Decision Queue.
func (w *world) waiting(run string) item {
	w.t.Helper()
	var found item
	w.eventually("a Decision waits", func() bool {
		var q struct{ Items []item }
		w.must(w.as("approver").Call(w.t.Context(), "GET", "/v1/decisions?run="+run, nil, &q))
		if len(q.Items) > 0 {
			found = q.Items[0]
		}
		return len(q.Items) > 0
	})
	return found
}

type item struct {
	Decision struct {
		ID     string
		Digest string
	}
	Intent intent.Intent
}

// decide gives a verdict as somebody.
func (w *world) decide(name string, it item, verdict string) error {
	return w.as(name).Call(w.t.Context(), "POST", "/v1/decisions/"+it.Decision.ID, map[string]any{
		"verdict": verdict, "digest": it.Decision.Digest, "reason": "looks right", "password": w.People[name].Password, "code": w.code(name)}, nil)
}

// ended waits for the Run's verdict.
func (w *world) ended(run string) intent.Run {
	w.t.Helper()
	var r intent.Run
	w.eventually("the Run ends", func() bool {
		w.must(w.as("auditor").Call(w.t.Context(), "GET", "/v1/runs/"+run, nil, &r))
		return r.State == intent.RunEnded
	})
	return r
}

// eventually polls a condition that another process makes true.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			w.t.Fatalf("it took more than a minute until: %s", what)
		}
		w.must(pause(w.t.Context(), 20*time.Millisecond))
	}
}

// pause waits between two looks at other processes or the wall clock: neither
// says by itself that it is where the test wants it.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stats asks a system what it counted.
func (w *world) stats(name string) system.Stats {
	w.t.Helper()
	resp, err := http.Get("http://" + w.Systems[name].Control + "/stats")
	w.must(err)
	defer resp.Body.Close()
	var s system.Stats
	w.must(json.NewDecoder(resp.Body).Decode(&s))
	return s
}

// behave makes a system misbehave.
func (w *world) behave(name string, b system.Behaviour) {
	w.t.Helper()
	body, err := json.Marshal(b)
	w.must(err)
	w.control(name, "/behaviour", string(body))
}

func (w *world) control(name, path, body string) {
	w.t.Helper()
	resp, err := http.Post("http://"+w.Systems[name].Control+path, "application/json", strings.NewReader(body))
	w.must(err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		w.t.Fatalf("%s %s: %s", name, path, resp.Status)
	}
}
