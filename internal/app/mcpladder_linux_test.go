package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/mcpgateway"
	"sallyport.dev/internal/mcptest"
	"sallyport.dev/internal/resource"
)

// till is an MCP server that pays, counts, and repeats its caller's credential.
type till struct {
	url  string
	mu   sync.Mutex
	paid map[string]int // by number
}

const tillKey = "cnry-5t81Kq0ZxWm4v7-till"

const tillTools = `{"resultType":"complete","ttlMs":0,"tools":[` +
	`{"name":"look","inputSchema":{"type":"object","properties":{"n":{"type":"integer"}}}},` +
	`{"name":"pay","inputSchema":{"type":"object","properties":{"n":{"type":"integer"}}}}]}`

func openTill(t testing.TB) *till {
	t.Helper()
	l := &till{paid: map[string]int{}}
	srv := httptest.NewServer(http.HandlerFunc(l.serve))
	t.Cleanup(srv.Close)
	l.url = srv.URL + "/mcp"
	return l
}

func (l *till) serve(w http.ResponseWriter, r *http.Request) {
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params struct {
			Name      string `json:"name"`
			Arguments struct {
				N json.Number `json:"n"`
			} `json:"arguments"`
		} `json:"params"`
	}
	b, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(b, &m)
	n := m.Params.Arguments.N.String()
	var result string
	switch m.Method {
	case "tools/list":
		result = tillTools
	case "tools/call":
		if m.Params.Name == "pay" {
			l.mu.Lock()
			l.paid[n]++
			l.mu.Unlock()
		}
		result = fmt.Sprintf(`{"resultType":"complete","content":[{"type":"text","text":"%s %s with %s"}],"structuredContent":{"n":%s,"did":"%s"}}`,
			m.Params.Name, n, r.Header.Get("Authorization"), n, m.Params.Name)
	default:
		result = `{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"till","version":"1"}}}`
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)
}

// payments is how often each number was paid.
func (l *till) payments() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]int{}
	for k, v := range l.paid {
		out[k] = v
	}
	return out
}

// newTill is the program with a till behind it.
func newTill(t testing.TB, unattended bool, tune func(*mcpgateway.Config)) (*hall, *till) {
	t.Helper()
	h, l := newHall(t, tune), openTill(t)
	h.known("till-key", tillKey)
	h.behind("till", resource.MCP{URL: l.url, Network: loopback}, resource.Auth{Scheme: resource.SchemeBearer, Secret: "till-key"}, unattended, "look")
	return h, l
}

const payOne = `{"n":1,"reason":"the invoice is due"}`

// later calls a tool, whose answer comes some time.
func later(t testing.TB, ctx context.Context, c mcptest.Client, args string) <-chan mcptest.Answer {
	t.Helper()
	out := make(chan mcptest.Answer, 1)
	go func() {
		a, err := c.Tool(ctx, "till__pay", args)
		if err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		out <- a
	}()
	return out
}

func paidOne(t testing.TB, l *till, a mcptest.Answer) {
	t.Helper()
	if a.Field("structuredContent", "n") != "1" || a.Text() != "pay 1 with Bearer [secret:till-key]" || l.payments()["1"] != 1 {
		t.Errorf("%s; paid %v", a.Result, l.payments())
	}
}

func never(t testing.TB, l *till) {
	t.Helper()
	if n := l.payments(); len(n) != 0 {
		t.Errorf("paid: %v", n)
	}
}

func TestACallIsHeldUntilItIsApproved(t *testing.T) {
	h, l := newTill(t, false, func(c *mcpgateway.Config) { c.Times.First, c.Times.Beat = 10*time.Millisecond, 50*time.Millisecond })
	got := later(t, t.Context(), h.agent(), payOne)
	it := h.waiting(1)[0]
	if it.Intent.Reason != "the invoice is due" {
		t.Errorf("the approver reads %q", it.Intent.Reason)
	}
	never(t, l)
	h.must(h.decide("fay", it, "approve"))
	a := <-got
	if paidOne(t, l, a); a.Before == 0 {
		t.Error("the client saw no sign of life")
	}
}

func TestWhatIsApprovedAfterTheHoldIsAwaited(t *testing.T) {
	h, l := newTill(t, false, func(c *mcpgateway.Config) { c.Times.Hold = 100 * time.Millisecond })
	c := h.agent()
	a := h.tool(c, "till__pay", json.RawMessage(payOne))
	id := a.Field("structuredContent", "id")
	if !strings.HasPrefix(a.Text(), "NOT EXECUTED. Pending") || id == "" || a.Field("isError") != "true" {
		t.Fatalf("%s", a.Result)
	}
	if list := h.tool(c, "list_my_pending", struct{}{}); !strings.Contains(string(list.Result), id) {
		t.Errorf("%s", list.Result)
	}
	never(t, l)
	h.must(h.decide("ann", h.waiting(1)[0], "approve"))
	h.became(id, intent.Committed)
	paidOne(t, l, h.tool(c, "await_decision", map[string]string{"id": id}))
	paidOne(t, l, h.tool(c, "till__pay", json.RawMessage(payOne))) // the same call again
	a = h.tool(c, "till__pay", json.RawMessage(`{"n":1,"reason":"once more","repeat":true}`))
	if !strings.HasPrefix(a.Text(), "NOT EXECUTED. Pending") || a.Field("structuredContent", "id") == id {
		t.Errorf("a second one on purpose: %s", a.Result)
	}
}

// In real time: within the door's own hold of 45 s, and beyond it.
func TestACallIsApprovedAfter(t *testing.T) {
	if os.Getenv("SALLYPORT_TEST_HOLDS") == "" {
		t.Skip("SALLYPORT_TEST_HOLDS is not set: this takes 75 seconds (make mcp-holds)")
	}
	for _, after := range []time.Duration{5 * time.Second, 70 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			h, l := newTill(t, false, nil)
			c, begun := h.agent(), time.Now()
			got := later(t, t.Context(), c, payOne)
			it := h.waiting(1)[0]
			<-time.After(time.Until(begun.Add(after)))
			h.must(h.decide("fay", it, "approve"))
			a := <-got
			if id := a.Field("structuredContent", "id"); after > 45*time.Second {
				if !strings.HasPrefix(a.Text(), "NOT EXECUTED. Pending") || a.Before < 3 {
					t.Fatalf("after %d signs of life: %s", a.Before, a.Result)
				}
				a = h.tool(c, "await_decision", map[string]string{"id": id})
			}
			paidOne(t, l, a)
			t.Logf("answered after %s, with %d signs of life before", time.Since(begun).Round(time.Second), a.Before)
		})
	}
}

func TestWhatWaitsOutlivesTheServerAndTheClient(t *testing.T) {
	h, l := newTill(t, false, nil)
	c := h.agent()
	ctx, kill := context.WithCancel(t.Context())
	gone := later(t, ctx, c, payOne)
	it := h.waiting(1)[0]
	kill()
	<-gone
	c.Capabilities = mcptest.WithTasks
	task := h.tool(c, "till__pay", json.RawMessage(payOne)) // a client that can do more finds the same
	if task.Field("taskId") != it.Intent.ID || task.Field("status") != "working" {
		t.Fatalf("%s, and not %s", task.Result, it.Intent.ID)
	}
	h.restart()
	never(t, l)
	c.URL = "http://" + h.Addr() + "/mcp"
	h.must(h.decide("fay", it, "approve"))
	h.became(it.Intent.ID, intent.Committed)
	h.restart()
	c.URL = "http://" + h.Addr() + "/mcp"
	a, err := c.Task(t.Context(), it.Intent.ID)
	h.must(err)
	if a.Field("status") != "completed" || a.Field("result", "structuredContent", "n") != "1" || l.payments()["1"] != 1 {
		t.Errorf("%s %v", a.Result, l.payments())
	}
	paidOne(t, l, h.tool(c, "till__pay", json.RawMessage(payOne)))
}

func TestApprovedTwiceItIsExecutedOnce(t *testing.T) {
	h, l := newTill(t, false, nil)
	got := later(t, t.Context(), h.agent(), payOne)
	it := h.waiting(1)[0]
	errs := make(chan error, 2)
	for _, who := range []string{"fay", "ann"} {
		go func() { errs <- h.decide(who, it, "approve") }()
	}
	one, other := <-errs, <-errs
	if (one == nil) == (other == nil) {
		t.Errorf("both verdicts: %v, %v", one, other)
	}
	paidOne(t, l, <-got)
}

func TestWhatIsRejectedOrWithdrawnIsNeverExecuted(t *testing.T) {
	h, l := newTill(t, false, nil)
	c := h.agent()
	got := later(t, t.Context(), c, payOne)
	h.must(h.decide("fay", h.waiting(1)[0], "reject"))
	if a := <-got; a.Text() != "NOT EXECUTED. An approver rejected it: it was looked into" || a.Field("isError") != "true" {
		t.Errorf("rejected: %s", a.Result)
	}
	got = later(t, t.Context(), c, `{"n":2,"reason":"the invoice is due"}`)
	it := h.waiting(1)[0]
	if a := h.tool(c, "withdraw_decision", map[string]string{"id": it.Intent.ID}); a.Field("isError") == "true" {
		t.Errorf("withdrawn: %s", a.Result)
	}
	if a := <-got; !strings.HasPrefix(a.Text(), "NOT EXECUTED.") {
		t.Errorf("withdrawn: %s", a.Result)
	}
	if err := h.decide("fay", it, "approve"); err == nil {
		t.Error("what was withdrawn was approved")
	}
	never(t, l)
}

func TestSixtyFourClientsAtOnceGetTheirOwnAnswers(t *testing.T) {
	h, l := newTill(t, true, nil)
	c := h.agent()
	const clients, calls = 64, 4
	var wg sync.WaitGroup
	for k := range clients {
		wg.Go(func() {
			mine := c
			mine.HTTP = &http.Client{Transport: &http.Transport{}}
			defer mine.HTTP.CloseIdleConnections()
			for i := range calls {
				n, name := k*calls+i, "look"
				if i == calls-1 {
					name = "pay"
				}
				// The same ids at all clients, and one number in several requests.
				a, err := mine.Do(t.Context(), fmt.Sprint(i), "tools/call", fmt.Sprintf(`{"name":"till__%s","arguments":{"n":%d%s}}`, name, n, map[bool]string{true: `,"reason":"due"`}[name == "pay"]))
				if err != nil || string(a.ID) != fmt.Sprint(i) || a.Field("structuredContent", "n") != fmt.Sprint(n) || a.Text() != fmt.Sprintf("%s %d with Bearer [secret:till-key]", name, n) {
					t.Errorf("client %d, call %d: %v %s %s", k, i, err, a.ID, a.Result)
				}
			}
		})
	}
	wg.Wait()
	for k := range clients {
		if n := l.payments()[fmt.Sprint(k*calls+calls-1)]; n != 1 {
			t.Errorf("client %d's payment was made %d times", k, n)
		}
	}
}
