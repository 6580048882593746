package proccred_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault/proccred"
)

func TestACallReachesTheChildAndItsAnswerComesBackUnderTheCallersID(t *testing.T) {
	w := newWorld(t)
	d := w.door(t, w.spec(t, resource.SchemeNone))
	g := post(t, t.Context(), d, `{"jsonrpc":"2.0","id":"seven","method":"echo","params":{"a":[1,{"b":"ü"}]}}`)
	if g.err != nil || g.status != 200 || g.media != "application/json" || !g.sent {
		t.Fatal(g.everything())
	}
	if want := `{"jsonrpc":"2.0","id":"seven","result":{"got":{"a":[1,{"b":"ü"}]}}}`; g.body != want {
		t.Errorf("got  %s\nwant %s", g.body, want)
	}
}

func TestANotificationIsPassedOnAndAnsweredWith202(t *testing.T) {
	w := newWorld(t)
	d := w.door(t, w.spec(t, resource.SchemeNone))
	if g := post(t, t.Context(), d, `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`); g.err != nil || g.status != http.StatusAccepted || g.body != "" {
		t.Fatal(g.everything())
	}
	if said := call(t, d, "said", nil).text(t); !strings.Contains(said, "roots/list_changed") {
		t.Errorf("the child was told %s", said)
	}
}

// Callers choose their ids; two with the same one get each their own answer.
func TestConcurrentCallersWithTheSameIDGetTheirOwnAnswers(t *testing.T) {
	w := newWorld(t)
	const n = 64
	var wg sync.WaitGroup
	for i := range n {
		d := w.door(t, w.spec(t, resource.SchemeNone)) // one door each, one child
		wg.Go(func() {
			g := post(t, t.Context(), d, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"collect","params":{"n":%d,"who":"caller %d"}}`, n, i))
			if want := fmt.Sprintf(`"who":"caller %d"`, i); g.err != nil || !strings.Contains(g.body, want) || !strings.Contains(g.body, `"id":1,`) {
				t.Errorf("caller %d got %s", i, g.everything())
			}
		})
	}
	wg.Wait()
}

func TestProgressComesBackUnderTheCallersToken(t *testing.T) {
	w := newWorld(t)
	d := w.door(t, w.spec(t, resource.SchemeNone))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			say := fmt.Sprintf("for %d", i)
			g := call(t, d, "progress", map[string]any{"say": say, "_meta": map[string]any{"progressToken": "tok"}})
			events := strings.Split(strings.TrimSpace(g.body), "\n\n")
			if g.media != "text/event-stream" || len(events) != 2 || !strings.Contains(events[0], `"progressToken":"tok"`) || strings.Count(g.body, say) != 2 {
				t.Errorf("%d got %s", i, g.everything())
			}
		})
	}
	wg.Wait()
}

func TestAnAnswerToAnotherIDIsNobodys(t *testing.T) {
	w := newWorld(t)
	d := w.door(t, w.spec(t, resource.SchemeNone))
	if got := call(t, d, "wrong-id", nil).text(t); got != "mine" {
		t.Errorf("got %s", got)
	}
	if got := call(t, d, "echo", map[string]any{"a": 1}).text(t); got != "map[a:1]" {
		t.Errorf("the next call got %s", got)
	}
}

// The door answers nothing for a person: the request goes up, and the answer that
// somebody gave comes down.
func TestARequestOfTheChildGoesUpAndIsAnsweredByNobodyHere(t *testing.T) {
	w := newWorld(t)
	d := w.door(t, w.spec(t, resource.SchemeNone))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://erp.stdio.invalid/", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ask"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := d.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if g := post(t, t.Context(), d, `{"jsonrpc":"2.0","id":"other","result":{}}`); g.err == nil {
		t.Error("an answer was taken that nobody asked for")
	}
	if g := post(t, t.Context(), d, `{"jsonrpc":"2.0","id":"q1","result":{"action":"cancel"}}`); g.err != nil || g.status != http.StatusAccepted {
		t.Fatal(g.everything())
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(b), "elicitation/create") || !strings.Contains(string(b), "cancel") || strings.Count(string(b), "data: ") != 2 {
		t.Errorf("the stream said %s, %v", b, err)
	}
}

// Where two calls are under way nobody can say which of them it is about.
func TestARequestOfTheChildIsNotShownToAnotherCall(t *testing.T) {
	w := newWorld(t)
	d := w.door(t, w.spec(t, resource.SchemeNone))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan got)
	go func() { done <- callIn(t, ctx, d, "never", nil) }()
	call(t, d, "echo", nil) // the child has the first by now, or gets it before what follows
	asking, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	g := callIn(t, asking, d, "ask", nil)
	cancel()
	if first := <-done; strings.Contains(first.everything()+g.everything(), "which one?") {
		t.Errorf("a question went to somebody: %s; %s", first.everything(), g.everything())
	}
}

func TestWhatTheChildSaysOfACallThatWasGivenUpIsNotShownToTheNext(t *testing.T) {
	w := newWorld(t)
	d := w.door(t, w.spec(t, resource.SchemeNone))
	call(t, d, "echo", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	callIn(t, ctx, d, "gossip", map[string]any{"about": "another Run"})
	if g := call(t, d, "echo", map[string]any{"a": 5}); g.media != "application/json" || strings.Contains(g.body, "another Run") {
		t.Error(g.everything())
	}
}

func TestAPingOfTheChildIsAnswered(t *testing.T) {
	w := newWorld(t)
	if got := call(t, w.door(t, w.spec(t, resource.SchemeNone)), "ping-me", nil).text(t); !strings.Contains(got, `"id":"p1","result":{}`) {
		t.Errorf("the child read %s", got)
	}
}

func TestACallThatIsGivenUpIsCancelledAtTheChildUnderItsID(t *testing.T) {
	w := newWorld(t)
	d := w.door(t, w.spec(t, resource.SchemeNone))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	g := callIn(t, ctx, d, "never", nil)
	if !fault.Is(g.err, fault.Unavailable) || !g.sent {
		t.Fatal(g.everything())
	}
	if said := call(t, d, "said", nil).text(t); !strings.Contains(said, "notifications/cancelled1") {
		t.Errorf("the child was told %s", said)
	}
}

func TestAChildIsInitializedOnceAndAgainAfterItDied(t *testing.T) {
	w := newWorld(t)
	d := w.door(t, w.spec(t, resource.SchemeNone))
	hello := `{"jsonrpc":"2.0","id":%d,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`
	first := post(t, t.Context(), d, fmt.Sprintf(hello, 1))
	post(t, t.Context(), d, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	second := post(t, t.Context(), d, fmt.Sprintf(hello, 2))
	post(t, t.Context(), d, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	if first.text(t) != second.text(t) {
		t.Errorf("%s, then %s", first.body, second.body)
	}
	want := "[initialize notifications/initialized<nil>]"
	if said := call(t, d, "said", nil).text(t); said != want {
		t.Errorf("the child was told %s", said)
	}
	if g := call(t, d, "die", nil); !fault.Is(g.err, fault.Unavailable) || !g.sent {
		t.Fatalf("a call whose child died in the middle: %s", g.everything())
	}
	if said := call(t, d, "said", nil).text(t); said != want {
		t.Errorf("the child after it was told %s", said)
	}
}

func TestAllCallsInFlightEndWhenTheChildDies(t *testing.T) {
	w := newWorld(t)
	d := w.door(t, w.spec(t, resource.SchemeEnv))
	done := make(chan got, 4)
	for range cap(done) {
		go func() { done <- call(t, d, "never", nil) }()
	}
	for call(t, d, "echo", nil).err != nil { // it runs
	}
	g := call(t, d, "die-in-the-middle", nil)
	if !fault.Is(g.err, fault.Unavailable) || !g.sent || !strings.Contains(g.err.Error(), "exit status 3") {
		t.Error(g.everything())
	}
	for range cap(done) {
		select {
		case g := <-done:
			if !fault.Is(g.err, fault.Unavailable) {
				t.Error(g.everything())
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a call waits for a child that is dead")
		}
	}
}

func TestAStreamWhoseChildDiesEndsWithAnError(t *testing.T) {
	w := newWorld(t)
	g := call(t, w.door(t, w.spec(t, resource.SchemeNone)), "stream-and-die", nil)
	if g.media != "text/event-stream" || !strings.Contains(g.body, "first") || g.err == nil {
		t.Error(g.everything())
	}
}

func TestAChildThatDiesAtItsStartIsStartedAgainLaterAndLater(t *testing.T) {
	var clock sync.Mutex
	now := time.Now()
	w := newWorld(t, func(c *proccred.Config) {
		c.Now = func() time.Time { clock.Lock(); defer clock.Unlock(); return now }
	})
	d := w.door(t, w.spec(t, resource.SchemeEnv, func(s *proccred.Spec) { s.Stdio.Command = append(s.Stdio.Command, "die-at-once") }))
	starts := func() int { return strings.Count(w.log.String(), "ended by itself") }
	for range 3 {
		if g := call(t, d, "echo", nil); !fault.Is(g.err, fault.Unavailable) {
			t.Fatal(g.everything())
		}
	}
	waitFor(t, func() bool { return starts() == 2 }) // then it waits
	g := call(t, d, "echo", nil)
	if g.sent || !strings.Contains(g.err.Error(), "started again in") {
		t.Errorf("while it waits: %s", g.everything())
	}
	clock.Lock()
	now = now.Add(2 * time.Second)
	clock.Unlock()
	call(t, d, "echo", nil)
	waitFor(t, func() bool { return starts() == 3 })
	if last := strings.Join(w.Tail("acme", "erp-tools"), "\n"); !strings.Contains(last, "no configuration") || len(leaks(last)) > 0 {
		t.Errorf("its last words: %s", last)
	}
}

func TestAChildThatDoesNotReadIsNotWrittenToForever(t *testing.T) {
	w := newWorld(t)
	d := w.door(t, w.spec(t, resource.SchemeNone))
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	callIn(t, ctx, d, "deaf", nil)
	ctx, cancel = context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	// More than a pipe holds: a part of it is written, so the child may know of it.
	g := callIn(t, ctx, d, "echo", map[string]any{"a": strings.Repeat("x", 1<<20)})
	if g.err == nil || !g.sent {
		t.Errorf("a message that was written in part: %s", g.everything())
	}
	if got := call(t, d, "echo", map[string]any{"a": 2}).text(t); got != "map[a:2]" {
		t.Errorf("the child after it answers %s", got)
	}
}

func TestAMessageThatIsTooLongOrNoneIsNotSent(t *testing.T) {
	w := newWorld(t)
	d := w.door(t, w.spec(t, resource.SchemeNone))
	for name, body := range map[string]string{
		"no JSON": "hello", "a batch": `[{"jsonrpc":"2.0","id":1,"method":"echo"}]`, "two messages": `{"jsonrpc":"2.0","id":1,"method":"a"}{}`,
		"too long": `{"jsonrpc":"2.0","id":1,"method":"echo","params":{"a":"` + strings.Repeat("x", 17<<20) + `"}}`,
		"a secret": `{"jsonrpc":"2.0","id":1,"method":"echo","params":{"a":"` + foreign + `"}}`,
	} {
		if g := post(t, t.Context(), d, body); g.err == nil || g.sent {
			t.Errorf("%s: %s", name, g.body)
		}
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://erp.stdio.invalid/", http.NoBody)
	if _, err := d.RoundTrip(req); err == nil {
		t.Error("GET was taken")
	}
}

func TestOneChildIsSharedByDoorsOfOneCredentialAlone(t *testing.T) {
	w := newWorld(t)
	pid := func(change func(*proccred.Spec)) string {
		return call(t, w.door(t, w.spec(t, resource.SchemeFile, change)), "pid", nil).text(t)
	}
	seen := map[string]string{}
	for name, change := range map[string]func(*proccred.Spec){
		"itself": func(*proccred.Spec) {}, "another tenant": func(s *proccred.Spec) { s.Key.Tenant = "other" },
		"another Connection": func(s *proccred.Spec) { s.Key.Connection = "erp-write" },
	} {
		a, b := pid(change), pid(change)
		if a != b {
			t.Errorf("%s: two children for one credential", name)
		}
		if who, twice := seen[a]; twice {
			t.Errorf("%s and %s share a child", name, who)
		}
		seen[a] = name
	}
}

func TestJSONOfTheFixtureIsWhatTheChildGets(t *testing.T) {
	w := newWorld(t)
	g := call(t, w.door(t, w.spec(t, resource.SchemeNone)), "echo", map[string]any{"lines": "a\nb\r\nc"})
	var m struct {
		Result struct{ Got struct{ Lines string } }
	}
	if json.Unmarshal([]byte(g.body), &m) != nil || m.Result.Got.Lines != "a\nb\r\nc" {
		t.Error(g.everything())
	}
}
