package demo_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/examples/vendor-onboarding/system"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/leaktest"
	"sallyport.dev/internal/sqlite"
)

// bomb panics, once, in the function that it is laid in: the clock of the program
// and the hook between the steps of an attempt are everywhere.
type bomb struct {
	clock *clock
	mu    sync.Mutex
	place string
	what  any
	went  map[string]int
}

func (b *bomb) lay(place string, what any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.place, b.what = place, what
}

// at panics when it is laid in one of the callers.
func (b *bomb) at(callers string) {
	b.mu.Lock()
	what, place := b.what, b.place
	if place == "" || !strings.Contains(callers, place) {
		b.mu.Unlock()
		return
	}
	b.place = ""
	b.went[place]++
	b.mu.Unlock()
	panic(what)
}

func (b *bomb) now() time.Time {
	pcs := make([]uintptr, 3)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	f, _ := frames.Next()
	b.at(f.Function)
	return b.clock.now()
}

func (b *bomb) gone(place string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.went[place] > 0
}

// inUse is what a connector holds while it works.
type inUse struct {
	Header http.Header
	Token  string
	bytes  []byte
}

func (u inUse) Error() string { return "with " + u.Token }

// TestLeakAPanicTakesNothingOut has every kind of place panic with a credential in
// its hand: a route, a page, a call that is under way, a Run's turn, a loop, and
// what hands out work. Nothing of it comes out anywhere; what can go on does.
func TestLeakAPanicTakesNothingOut(t *testing.T) {
	t.Parallel()
	s := &sinks{seen: map[string]*bytes.Buffer{}}
	b := &bomb{clock: &clock{}, went: map[string]int{}}
	canary := leaktest.Mint("panic", "before there is a Secret", "token")
	b.lay("internal/app.(*App).sweep", errors.New("with "+canary.Value)) // known to no scrubber
	w := start(t, func(c *demo.Config) {
		c.LogHandler = slog.NewTextHandler(s.at(logsText), &slog.HandlerOptions{Level: slog.LevelDebug})
		c.Now = b.now
		c.Crash = func(it intent.Intent, p commit.Point) { b.at("commit " + it.Connection + " " + string(p)) }
	})
	w.clock = b.clock
	values, wanted := credentials(w)
	wanted = append(wanted, canary)
	secret := values["erp-write-token"]
	w.eventually("the loop's round panics", func() bool { return b.gone("internal/app.(*App).sweep") })

	// A request ends, with an id that the log has.
	w.as("auditor")
	b.lay("internal/api.(*API).caller", "Bearer "+secret)
	err := w.sniff(s, w.tokens["auditor"]).Call(t.Context(), "GET", "/v1/me", nil, nil)
	p := problemOf(err)
	if id := p.Detail[strings.LastIndex(p.Detail, " ")+1:]; p.Kind != "internal" || !strings.HasPrefix(id, "crash_") || !bytes.Contains(s.tail(logsText, 0), []byte(id)) {
		t.Errorf("the API said %+v", p)
	}
	w.must(w.sniff(s, w.tokens["auditor"]).Call(t.Context(), "GET", "/v1/me", nil, nil))
	browser := w.page(s, "auditor")
	b.lay("internal/console.", inUse{Header: http.Header{"Authorization": {"Bearer " + secret}}, Token: secret, bytes: []byte(secret)})
	resp, err := browser.Get(w.URL() + "/runs")
	w.must(err)
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != 500 || !bytes.Contains(body, []byte("crash_")) {
		t.Errorf("the page is %d %s", resp.StatusCode, body)
	}

	// A call under way ends in the state that is true.
	k := w.outside("requester", "vendor-onboarding", map[string]any{"name": "Acme", "country": "DE", "tax_id": "DE129274202"})
	for _, point := range []commit.Point{commit.AfterClaim, commit.AfterAnswer} {
		b.lay("commit erp-read "+string(point), &inUse{Token: secret, bytes: []byte(secret)})
		it, err := k.propose(map[string]any{"connection": "erp-read", "tool": "findVendors", "args": map[string]any{"name": "x"}})
		if w.must(err); it.State != intent.Failed || !strings.Contains(it.Why, "the server's log has it") {
			t.Errorf("%s: the read is %s: %s", point, it.State, it.Why)
		}
	}
	w.must(k.call("POST", "/v1/runs/"+k.run+"/end", map[string]any{"verdict": "done"}, nil))

	// A turn is taken again; a write that may have left is looked up, not repeated.
	w.behave("erp", system.Behaviour{Mode: system.Echo})
	b.lay("internal/mission.", "a turn with "+secret)
	run := w.run("onboarded")
	it := w.waiting(run)
	if !b.gone("internal/mission.") {
		t.Error("no turn panicked")
	}
	b.lay("commit erp-write "+string(commit.AfterAnswer), map[string]string{secret: secret})
	w.must(w.decide("approver", it, "approve"))
	r := w.ended(run)
	if n := w.stats("erp").Writes; n != 1 {
		t.Errorf("the ERP has seen %d writes; the verdict is %s", n, r.Verdict)
	}

	// What hands out work can't be done without: the program says that it has to end.
	select {
	case <-w.App.Failed():
		t.Errorf("it ended before: %v", w.App.Failure())
	default:
	}
	b.lay("internal/app.(*pump).offer", []byte(secret))
	<-w.App.Failed()
	if err := w.App.Failure(); err == nil || !strings.Contains(err.Error(), "crash_") || leaktest.Leaks(err.Error(), secret) != "" {
		t.Errorf("it ends with %v", err)
	}

	for place, n := range b.went {
		if n != 1 {
			t.Errorf("%s went off %d times", place, n)
		}
	}
	if got, want := bytes.Count(s.tail(logsText, 0), []byte("the program has a fault")), len(b.went); got != want {
		t.Errorf("%d panics, and the log has %d", want, got)
	}
	for _, file := range []string{sqlite.File, "engine.db"} {
		s.rows(t, filepath.Join(demo.ServerDir(w.dir), file))
	}
	s.files(t, demo.ServerDir(w.dir), func(string) bool { return true })
	s.clean(t, wanted, logsText, apiAnswers, pages, "file engine.db", "file "+sqlite.File)
	_, _ = fmt.Fprintf(s.at(logsText), "planted: %x", secret)
	if len(leaktest.NewIndex(wanted...).Search(s.tail(logsText, 0))) == 0 {
		t.Error("what is planted in the log is not found")
	}
	t.Logf("leak suite, panics: %d places, %d sinks", len(b.went), len(s.seen))
}
