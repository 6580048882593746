package proccred_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/internal/leaktest"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/httpcred"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/proccred"
)

// The credential that a child is given, and another secret of the tenant.
const (
	canary  = "cnry-9f27Kq0ZxW4v81-stdio"
	foreign = "cnry-6d90Rt2QsB8h13-other"
)

// leaks gives where the credential is in a text, however it is encoded.
func leaks(text string) []leaktest.Hit {
	return leaktest.NewIndex(leaktest.Canary{Door: "child", Value: canary, Parts: []string{canary}}).Search([]byte(leaktest.Joined(text)))
}

// world is children with their log.
type world struct {
	*proccred.Children
	log   *locked
	known atomic.Pointer[scrub.Set]
	data  string // a directory that is guarded
}

// locked is a buffer for two goroutines.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t testing.TB, change ...func(*proccred.Config)) *world {
	t.Helper()
	w := &world{log: &locked{}, data: t.TempDir()}
	set, err := scrub.Build([]scrub.Secret{{Name: "erp", Value: []byte(canary)}, {Name: "crm", Value: []byte(foreign)}})
	if err != nil {
		t.Fatal(err)
	}
	w.known.Store(set)
	c := proccred.Config{Log: slog.New(slog.NewTextHandler(w.log, nil)), Now: time.Now, Temp: t.TempDir(), Guarded: []string{w.data}}
	for _, f := range change {
		f(&c)
	}
	if w.Children, err = proccred.New(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = w.Close(ctx)
		if left, _ := os.ReadDir(c.Temp); len(left) > 0 {
			t.Errorf("%d directories of children are left", len(left))
		}
		if found := leaks(w.log.String()); len(found) > 0 {
			t.Errorf("the log has the credential: %v\n%s", found, w.log)
		}
	})
	return w
}

// spec is a child that is this test's fake server, with the credential in TOKEN.
func (w *world) spec(t testing.TB, scheme resource.Scheme, change ...func(*proccred.Spec)) proccred.Spec {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := proccred.Spec{
		Key:    proccred.Key{Tenant: "acme", Connection: "erp-tools", Secret: "sec_1", Version: 1},
		Stdio:  &resource.Stdio{Command: []string{self, "fake-server"}},
		Auth:   resource.Auth{Scheme: scheme, Name: "TOKEN"},
		Fields: map[string]plain.Value{"token": plain.New([]byte(canary))},
		Known:  w.known.Load,
	}
	for _, f := range change {
		f(&s)
	}
	return s
}

// door is the whole of it: what the vault opens.
func (w *world) door(t testing.TB, s proccred.Spec) http.RoundTripper {
	t.Helper()
	base, err := w.Door(s)
	if err != nil {
		t.Fatal(err)
	}
	origin := resource.Origin{Scheme: "http", Host: "erp.stdio.invalid:80"}
	d, err := httpcred.New(httpcred.Config{Auth: resource.Auth{Scheme: resource.SchemeNone}, Origin: origin, Method: http.MethodPost,
		Base: base, Known: w.known.Load(), Latest: w.known.Load})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// got is what a caller sees of a call.
type got struct {
	status int
	media  string
	body   string
	err    error
	sent   bool // the trace was told of a connection
}

// everything is all of it as text.
func (g got) everything() string {
	return fmt.Sprintf("%d %s %s %v %+v", g.status, g.media, g.body, g.err, g.err)
}

var lastID atomic.Int64

// call makes one call, and looks for the credential in what came of it.
func call(t testing.TB, d http.RoundTripper, method string, params any) got {
	t.Helper()
	return callIn(t, t.Context(), d, method, params)
}

func callIn(t testing.TB, ctx context.Context, d http.RoundTripper, method string, params any) got {
	t.Helper()
	if params == nil {
		params = map[string]any{}
	}
	b, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": lastID.Add(1), "method": method, "params": params})
	if err != nil {
		t.Fatal(err)
	}
	return post(t, ctx, d, string(b))
}

func post(t testing.TB, ctx context.Context, d http.RoundTripper, body string) (g got) {
	t.Helper()
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://erp.stdio.invalid/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := d.RoundTrip(req)
	g.err, g.sent = err, sent.Load()
	if err == nil {
		var b []byte
		b, g.err = io.ReadAll(resp.Body)
		g.status, g.media, g.body = resp.StatusCode, resp.Header.Get("Content-Type"), string(b)
		_ = resp.Body.Close()
	}
	if found := leaks(g.everything()); len(found) > 0 {
		t.Errorf("what the caller got has the credential: %v\n%s", found, g.everything())
	}
	return g
}

// result is what the fake server's answer says.
func (g got) result(t testing.TB) any {
	t.Helper()
	var m struct{ Result struct{ Got any } }
	if g.err != nil || g.status != http.StatusOK || json.Unmarshal([]byte(g.body), &m) != nil {
		t.Fatalf("not an answer: %s", g.everything())
	}
	return m.Result.Got
}

// ok is its answer as text.
func (g got) text(t testing.TB) string { t.Helper(); return fmt.Sprint(g.result(t)) }

// learn makes a further secret known.
func (w *world) learn(t testing.TB, value string) {
	t.Helper()
	set, err := scrub.Extend(w.known.Load(), []scrub.Secret{{Name: "pem", Value: []byte(value)}})
	if err != nil {
		t.Fatal(err)
	}
	w.known.Store(set)
}

// raw makes a call past the scrubbing, and reads nothing of its answer.
func raw(t testing.TB, d http.RoundTripper, body string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://erp.stdio.invalid/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := d.RoundTrip(req)
	if err == nil {
		t.Cleanup(func() { _ = resp.Body.Close() })
	}
	return resp, err
}

// waitFor waits for what another goroutine brings about.
func waitFor(t testing.TB, so func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for !so() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it does not come about")
		}
	}
}
