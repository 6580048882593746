//go:build browser

package console_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport.dev/examples/vendor-onboarding/company"
	"sallyport.dev/internal/console"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/intent"
)

// TestMain makes the test binary one of the example company's systems when it is
// started as one.
func TestMain(m *testing.M) {
	if name := os.Getenv("EXAMPLE_SYSTEM"); name != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		if company.Run(ctx, name, os.Args[1:], os.Stdout) != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestPagesInABrowser opens every page of a running example company in Chromium:
// no page may break its own content policy or log an error, and a live rail has
// to grow. With SHOTS=DIR it keeps pictures.
func TestPagesInABrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is not installed")
	}
	d, err := demo.Start(t.Context(), demo.Config{Dir: t.TempDir(), LogHandler: slog.DiscardHandler,
		Command: func(ctx context.Context, name string, args []string) (*exec.Cmd, error) {
			cmd := exec.CommandContext(ctx, os.Args[0], args...)
			cmd.Env = append(os.Environ(), "EXAMPLE_SYSTEM="+name)
			return cmd, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	b := &browser{t: t, chromium: chromium, demo: d, handler: console.New(consoleOf(d.App, demo.Tenant, time.Now, false))}
	done, item := b.scene()

	b.open("", "/signin", "signin", "One-time code")
	b.open("", "/nothing", "notfound", "Not found")
	b.open("requester", "/", "home-requester", "Your Runs")
	b.open("requester", "/portal/vendor-onboarding", "form", "Start the Run")
	b.open("requester", "/runs/"+done, "run", "duplicate")
	b.open("approver", "/", "home-approver", "Waiting for your verdict")
	b.open("approver", "/decisions", "queue", "yours")
	b.open("approver", "/decisions/"+item.Decision.ID, "decision", "Give this verdict")
	b.open("auditor", "/decisions/"+item.Decision.ID, "decision-auditor", "can&#39;t decide|can't decide")
	b.open("auditor", "/audit", "audit", "intent.parked")
	b.open("admin", "/unknown", "unknown", "Unknown outcomes")
	b.open("admin", "/secrets", "secrets", "Store a value")
	b.open("admin", "/secrets/erp-write-token", "secret", "Describe it")
	b.open("auditor", "/secrets/erp-write-token", "secret-auditor", "Used by")
	b.open("admin", "/secrets/erp-write-token/destroy", "secret-destroy", "Destroy it for good")
	b.open("requester", "/secrets", "denied", "Not allowed")
	b.open("requester", "/password", "password", "New password")
	// The Run is stopped after its page was served: that the page says so is the
	// script's work.
	b.served = func(path string) {
		if path == "/runs/"+item.Decision.Run {
			b.served = nil
			if err := d.App.Gate.StopRun(t.Context(), d.People["requester"].Account.Principal(), item.Decision.Run); err != nil {
				t.Error(err)
			}
		}
	}
	b.open("requester", "/runs/"+item.Decision.Run, "run-live", `(?s)stopped.*>Complete<.*class="obs k-verdict new"`)
}

type browser struct {
	t        *testing.T
	chromium string
	demo     *demo.Demo
	handler  http.Handler
	servers  map[string]string // by person: where they are signed in
	served   func(path string) // is called after each answer
}

// scene has one Run that ended and one that waits.
func (b *browser) scene() (done string, item decision.Item) {
	b.t.Helper()
	who := b.demo.People["requester"].Account.Principal()
	start := func(expect string) string {
		in, err := demo.Sample(expect)
		if err != nil {
			b.t.Fatal(err)
		}
		body, err := intent.Marshal(in)
		if err != nil {
			b.t.Fatal(err)
		}
		r, err := b.demo.App.Gate.StartRun(b.t.Context(), who, gate.Start{Mission: "vendor-onboarding", Input: body, Via: "portal"})
		if err != nil {
			b.t.Fatal(err)
		}
		return r.ID
	}
	until := func(run string, kind explain.Kind) {
		ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
		defer cancel()
		if err := b.demo.App.Rail.Follow(ctx, demo.Tenant, run, 0, func(o explain.Observation) bool { return o.Kind != kind }); err != nil {
			b.t.Fatal(err)
		}
	}
	done = start("duplicate")
	until(done, explain.Verdict)
	run := start("onboarded")
	until(run, explain.Decision)
	items, err := b.demo.App.Desk.Queue(b.t.Context(), demo.Tenant, decision.Filter{Run: run})
	if err != nil || len(items) == 0 {
		b.t.Fatalf("nothing waits: %v", err)
	}
	return done, items[0]
}

// server is an address at which a person is signed in: it adds their cookie.
func (b *browser) server(person string) string {
	b.t.Helper()
	if u, ok := b.servers[person]; ok {
		return u
	}
	token := ""
	if person != "" {
		p := b.demo.People[person]
		code, err := p.Code(time.Now())
		if err != nil {
			b.t.Fatal(err)
		}
		if _, token, err = b.demo.App.Directory.SignIn(b.t.Context(), demo.Tenant, person, p.Password, code, time.Now()); err != nil {
			b.t.Fatal(err)
		}
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token != "" {
			r.AddCookie(&http.Cookie{Name: "sallyport", Value: token})
		}
		if r.URL.Path == "/decisions/events" { // it has no end, and a browser that prints a page waits for one
			w.WriteHeader(http.StatusNoContent)
			return
		}
		b.handler.ServeHTTP(w, r)
		if f := b.served; f != nil {
			f(r.URL.Path)
		}
	}))
	b.t.Cleanup(s.CloseClientConnections)
	if b.servers == nil {
		b.servers = map[string]string{}
	}
	b.servers[person] = s.URL
	return s.URL
}

var complaint = regexp.MustCompile(`(?i)CONSOLE.*(Content Security Policy|Content-Security-Policy|TrustedHTML|Refused|Uncaught|error)`)

// open loads a page and looks at what the browser made of it.
func (b *browser) open(person, path, name, want string) {
	b.t.Helper()
	url := b.server(person) + path
	out, log := b.run("--dump-dom", url)
	if !regexp.MustCompile(want).MatchString(out) {
		b.t.Errorf("%s for %q does not have %q", path, person, want)
	}
	for _, line := range strings.Split(log, "\n") {
		if complaint.MatchString(line) && !strings.Contains(line, "status of 40") {
			b.t.Errorf("%s: %s", path, line)
		}
	}
	if dir := os.Getenv("SHOTS"); dir != "" {
		for kind, flags := range map[string][]string{
			"wide": {"--window-size=1200,1500", "--blink-settings=preferredColorScheme=0"}, "phone": {"--window-size=500,1400"},
		} {
			b.run(append(flags, "--hide-scrollbars", "--screenshot="+filepath.Join(dir, name+"-"+kind+".png"), url)...)
		}
	}
}

func (b *browser) run(args ...string) (out, log string) {
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.chromium, append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--v=0",
		"--virtual-time-budget=3000", "--user-data-dir=" + b.t.TempDir()}, args...)...)
	var o, l strings.Builder
	cmd.Stdout, cmd.Stderr = &o, &l
	if err := cmd.Run(); err != nil {
		b.t.Errorf("chromium %v: %v", args, err)
	}
	return o.String(), l.String()
}
