package mcpbridge_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/mcpbridge"
	"sallyport.dev/internal/wire/jsonrpc"
)

const token = "spr_canary"

// client is the program that starts a bridge.
type client struct {
	t     *testing.T
	in    *io.PipeWriter
	lines *bufio.Scanner
	done  chan error

	mu   sync.Mutex
	says []string
}

// bridge starts one before a server.
func bridge(t *testing.T, url string) *client {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	c := &client{t: t, in: inW, lines: bufio.NewScanner(outR), done: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		c.done <- mcpbridge.Run(ctx, mcpbridge.Config{URL: url, Token: func() (string, error) { return token, nil }, In: inR, Out: outW, Patience: 10 * time.Second, Pause: 5 * time.Millisecond,
			Say: func(s string) {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.says = append(c.says, s)
			}})
		_ = outW.Close()
	}()
	return c
}

func (c *client) send(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) next() string {
	c.t.Helper()
	if !c.lines.Scan() {
		c.t.Fatalf("the bridge has ended; it says %v", c.says)
	}
	if strings.Contains(c.lines.Text(), token) {
		c.t.Errorf("the token is in %s", c.lines.Text())
	}
	return c.lines.Text()
}

// ask sends a line and gives the next one.
func (c *client) ask(line string) string {
	c.t.Helper()
	c.send(line)
	return c.next()
}

// server answers with a function of the message, and counts what it has seen.
type server struct {
	mu    sync.Mutex
	seen  []string
	heads []http.Header
	do    func(w http.ResponseWriter, r *http.Request, m jsonrpc.Message)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	m, err := jsonrpc.Decode(b, 1<<20)
	if err != nil || r.Header.Get("Authorization") != "Bearer "+token {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	s.mu.Lock()
	s.seen, s.heads = append(s.seen, m.Method), append(s.heads, r.Header)
	s.mu.Unlock()
	s.do(w, r, m)
}

func (s *server) methods() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

func result(w http.ResponseWriter, m jsonrpc.Message, text string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(jsonrpc.AppendResult(nil, m.ID, []byte(`{"text": "`+text+`"}`)))
}

func TestMessagesOf2026GoWithTheirHeadersAndComeBackAsLines(t *testing.T) {
	s := &server{do: func(w http.ResponseWriter, _ *http.Request, m jsonrpc.Message) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, ":\n\nevent: message\ndata: %s\n\ndata: %s\n\n", `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}`, jsonrpc.AppendResult(nil, m.ID, []byte(`{}`)))
	}}
	h := httptest.NewServer(s)
	defer h.Close()
	c := bridge(t, h.URL+"/mcp")
	c.send(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"name":"gr\u00fcn"}}`)
	if a, b := c.next(), c.next(); !strings.Contains(a, "notifications/progress") || b != `{"jsonrpc":"2.0","id":7,"result":{}}` {
		t.Errorf("came back: %s, %s", a, b)
	}
	if g := s.heads[0]; g.Get("Mcp-Protocol-Version") != "2026-07-28" || g.Get("Mcp-Method") != "tools/call" || g.Get("Mcp-Name") != "=?base64?Z3LDvG4=?=" {
		t.Errorf("the headers are %v", g)
	}
}

func TestARestartOfTheServerIsGoneOver(t *testing.T) {
	sessions, restarted := map[string]bool{"s1": true}, false
	s := &server{}
	s.do = func(w http.ResponseWriter, r *http.Request, m jsonrpc.Message) {
		id := r.Header.Get("Mcp-Session-Id")
		switch {
		case m.Method == "initialize":
			w.Header().Set("Mcp-Session-Id", map[bool]string{false: "s1", true: "s2"}[restarted])
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(jsonrpc.AppendResult(nil, m.ID, []byte(`{"protocolVersion":"2025-06-18"}`)))
		case m.IsNotification():
			w.WriteHeader(http.StatusAccepted)
		case !sessions[id]:
			w.WriteHeader(http.StatusNotFound)
		default:
			result(w, m, id)
		}
	}
	h := httptest.NewServer(s)
	c := bridge(t, h.URL+"/mcp")
	c.ask(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}`)
	c.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	if a := c.ask(`{"jsonrpc":"2.0","id":1,"method":"ping"}`); !strings.Contains(a, `"s1"`) {
		t.Fatalf("before: %s", a)
	}
	addr := h.Listener.Addr().String()
	h.Close()
	restarted, sessions = true, map[string]bool{"s2": true}
	c.send(`{"jsonrpc":"2.0","id":2,"method":"ping"}`) // nobody is there now
	var ln net.Listener
	var err error
	for range 100 {
		if ln, err = net.Listen("tcp", addr); err == nil {
			break
		}
	}
	if err != nil {
		t.Skip("the port was taken by another process")
	}
	again := &http.Server{Handler: s, ReadHeaderTimeout: time.Second}
	go func() { _ = again.Serve(ln) }()
	defer again.Close()
	if a := c.next(); a != `{"jsonrpc":"2.0","id":2,"result":{"text":"s2"}}` {
		t.Errorf("after: %s", a)
	}
	if got := strings.Join(s.methods(), " "); got != "initialize notifications/initialized ping ping initialize notifications/initialized ping" {
		t.Errorf("the server has seen %s", got)
	}
}

func TestAConnectionThatBreaksIsTriedAgainUnlessARepetitionIsMeant(t *testing.T) {
	tries := map[string]int{}
	s := &server{do: func(w http.ResponseWriter, _ *http.Request, m jsonrpc.Message) {
		if tries[m.ID.String()]++; tries[m.ID.String()] == 1 {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, ":\n\n")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		result(w, m, "found")
	}}
	h := httptest.NewServer(s)
	defer h.Close()
	c := bridge(t, h.URL+"/mcp")
	if a := c.ask(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"erp__create","arguments":{"reason":"r"}}}`); !strings.Contains(a, "found") {
		t.Errorf("the same call again: %s", a)
	}
	if a := c.ask(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"erp__create","arguments":{"repeat":true}}}`); !strings.Contains(a, "connection to the server was lost") || tries["2"] != 1 {
		t.Errorf("a meant repetition was sent %d times: %s", tries["2"], a)
	}
}

// A proxy before the server gives up while the server goes on.
func TestWhatAProxyGaveUpIsNotRepeatedWhereARepetitionIsMeant(t *testing.T) {
	for status, most := range map[int]int{http.StatusBadGateway: 1, http.StatusGatewayTimeout: 1, http.StatusInternalServerError: 1, http.StatusTooManyRequests: 2} {
		var mu sync.Mutex
		tries := map[string]int{}
		s := &server{do: func(w http.ResponseWriter, _ *http.Request, m jsonrpc.Message) {
			mu.Lock()
			defer mu.Unlock()
			if tries[m.ID.String()]++; tries[m.ID.String()] == 1 {
				w.WriteHeader(status)
				return
			}
			result(w, m, "done")
		}}
		srv := httptest.NewServer(s)
		t.Cleanup(srv.Close)
		c := bridge(t, srv.URL+"/mcp")
		c.ask(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"erp__create","arguments":{}}}`)
		c.ask(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"erp__create","arguments":{"sallyport_repeat":true}}}`)
		mu.Lock()
		if tries["1"] != 2 || tries["2"] != most {
			t.Errorf("%d: tried %v", status, tries)
		}
		mu.Unlock()
	}
}

func TestATokenThatIsNotTakenIsSaidWithoutIt(t *testing.T) {
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, r.Header.Get("Authorization"), http.StatusUnauthorized)
	}))
	defer h.Close()
	c := bridge(t, h.URL+"/mcp")
	if a := c.ask(`{"jsonrpc":"2.0","id":1,"method":"ping"}`); !strings.Contains(a, "does not take the token") {
		t.Errorf("answered: %s", a)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if strings.Contains(strings.Join(c.says, "\n"), token) {
		t.Errorf("it says %v", c.says)
	}
}

func TestTheTokenGoesNowhereElse(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the other server was called") }))
	defer other.Close()
	h := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer h.Close()
	c := bridge(t, h.URL+"/mcp")
	if a := c.ask(`{"jsonrpc":"2.0","id":1,"method":"ping"}`); !strings.Contains(a, "redirects") {
		t.Errorf("answered: %s", a)
	}
	for _, url := range []string{"http://sallyport.example.com/mcp", "ftp://localhost/mcp", "localhost", "https://user:pass@localhost/mcp", ""} {
		err := mcpbridge.Run(t.Context(), mcpbridge.Config{URL: url, Token: func() (string, error) { return token, nil }, In: strings.NewReader(""), Out: io.Discard, Say: func(string) {}})
		if !fault.Is(err, fault.Denied) && !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestWhatIsNoMessageIsAnsweredAndNotSent(t *testing.T) {
	s := &server{do: func(http.ResponseWriter, *http.Request, jsonrpc.Message) {}}
	h := httptest.NewServer(s)
	defer h.Close()
	c := bridge(t, h.URL+"/mcp")
	for line, code := range map[string]string{`{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`: "-32600", `nonsense`: "-32700", `[]`: "-32600"} {
		if a := c.ask(line); !strings.Contains(a, code) {
			t.Errorf("%s: %s", line, a)
		}
	}
	if len(s.methods()) != 0 {
		t.Errorf("sent: %v", s.methods())
	}
}

func TestACancelledRequestClosesItsStream(t *testing.T) {
	started, closed := make(chan struct{}), make(chan struct{})
	s := &server{do: func(w http.ResponseWriter, r *http.Request, m jsonrpc.Message) {
		if m.IsNotification() {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		close(started)
		<-r.Context().Done()
		close(closed)
	}}
	h := httptest.NewServer(s)
	defer h.Close()
	c := bridge(t, h.URL+"/mcp")
	c.send(`{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"erp__create"}}`)
	<-started
	c.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":5}}`)
	<-closed
}

func TestManyRequestsAreUnderWayAtOnceAndEachGetsItsAnswer(t *testing.T) {
	s := &server{do: func(w http.ResponseWriter, _ *http.Request, m jsonrpc.Message) {
		name, _ := m.Params.Text("name")
		result(w, m, name)
	}}
	h := httptest.NewServer(s)
	defer h.Close()
	c := bridge(t, h.URL+"/mcp")
	go func() {
		for i := range 64 {
			_, _ = fmt.Fprintf(c.in, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"n%d"}}`+"\n", i, i)
		}
	}()
	seen := map[string]bool{}
	for range 64 {
		var id int
		var name string
		line := c.next()
		if _, err := fmt.Sscanf(line, `{"jsonrpc":"2.0","id":%d,"result":{"text":"n%s`, &id, &name); err != nil || !strings.HasPrefix(name, fmt.Sprint(id)+`"`) || seen[line] {
			t.Errorf("%s: %v", line, err)
		}
		seen[line] = true
	}
	_ = c.in.Close()
	if err := <-c.done; err != nil {
		t.Error(err)
	}
}
