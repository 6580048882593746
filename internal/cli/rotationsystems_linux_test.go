package cli_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// hold stops what a system does at one point of one step, until it is let go. A
// point is "step/before" (nothing was done), "step/after" (it was, and nobody is
// told) or "step/half" (half of the answer is sent).
type hold struct {
	mu   sync.Mutex
	at   string
	held chan struct{}
	free chan struct{}
}

// arm says where the next one is held, and gives what is closed then.
func (h *hold) arm(at string) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at, h.held, h.free = at, make(chan struct{}), make(chan struct{})
	return h.held
}

// release lets go of what is held, and holds nothing more.
func (h *hold) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at = ""; h.free != nil {
		close(h.free)
		h.free = nil
	}
}

func (h *hold) is(at string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at == at
}

// stop holds the caller where it was armed for this point; false: it was not.
func (h *hold) stop(at string) bool {
	h.mu.Lock()
	if h.at != at {
		h.mu.Unlock()
		return false
	}
	free := h.free
	h.at = ""
	close(h.held)
	h.mu.Unlock()
	<-free
	return true
}

// clerk is a system that issues bearer tokens, and counts them.
type clerk struct {
	hold
	*httptest.Server
	mu     sync.Mutex
	live   map[string]string // id to token
	labels map[string]string // id to the rotation's
	once   map[string]string // key of a request to its answer
	made   int
}

const (
	clerkAdmin = "clerk-admin-Zq83mPw0vXr5"
	clerkFirst = "clerk-first-Zq83mPw0vXr5"
)

func newClerk(t *testing.T) *clerk {
	k := &clerk{live: map[string]string{"k-0": clerkFirst}, labels: map[string]string{}, once: map[string]string{}}
	k.Server = httptest.NewServer(k)
	t.Cleanup(func() { k.release(); k.CloseClientConnections(); k.Close() })
	return k
}

func (k *clerk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	step := map[string]string{"POST": "create", "GET": "find", "DELETE": "delete"}[r.Method]
	if r.URL.Path == "/me" {
		step = "try"
	}
	body, _ := io.ReadAll(r.Body)
	if k.stop(step + "/before") {
		panic(http.ErrAbortHandler)
	}
	status, answer := k.do(step, r, string(body))
	if k.stop(step + "/after") {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	w.WriteHeader(status)
	if k.is(step + "/half") {
		_, _ = io.WriteString(w, answer[:len(answer)/2])
		_ = http.NewResponseController(w).Flush()
		k.stop(step + "/half")
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(w, answer)
}

func (k *clerk) do(step string, r *http.Request, body string) (int, string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if step == "try" {
		for _, live := range k.live {
			if live == token {
				return 200, `{"me":"sallyport"}`
			}
		}
		return 401, `{"error":"no"}`
	}
	if token != clerkAdmin {
		return 403, `{"error":"no"}`
	}
	switch step {
	case "create":
		if key := r.Header.Get("Idempotency-Key"); key != "" && k.once[key] != "" {
			return 200, k.once[key]
		}
		k.made++
		id, value := fmt.Sprint("k-", k.made), fmt.Sprintf("clerk-%d-Zq83mPw0vXr5", k.made)
		k.live[id], k.labels[id] = value, body
		answer := fmt.Sprintf(`{"id":%q,"token":%q}`, id, value)
		k.once[r.Header.Get("Idempotency-Key")] = answer
		return 201, answer
	case "delete":
		id := strings.TrimPrefix(r.URL.Path, "/keys/")
		if k.live[id] == "" {
			return 404, `{"error":"there is none"}`
		}
		delete(k.live, id)
		return 200, `{"deleted":true}`
	}
	var list []string
	for id := range k.live {
		list = append(list, fmt.Sprintf(`{"id":%q,"label":%q}`, id, k.labels[id]))
	}
	return 200, "[" + strings.Join(list, ",") + "]"
}

// forget takes away what nobody knows of, as a person does who was asked to look.
func (k *clerk) forget(known []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range k.live {
		if id != "k-0" && !slices.Contains(known, id) {
			delete(k.live, id)
		}
	}
}

func (k *clerk) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.live)
}

// relay stands between the program and a PostgreSQL, and holds its statements.
type relay struct {
	hold
	port int
}

// statements are the steps, by what a statement has in it.
var statements = map[string]string{"PASSWORD 'SCRAM": "apply", "SELECT ": "try", "PASSWORD NULL": "delete"}

func newRelay(t *testing.T, to int) *relay {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	addr, _ := l.Addr().(*net.TCPAddr)
	r := &relay{port: addr.Port}
	t.Cleanup(func() { r.release(); _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(c, to)
		}
	}()
	return r
}

func (r *relay) serve(c net.Conn, to int) {
	defer c.Close()
	s, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", to))
	if err != nil {
		return
	}
	defer s.Close()
	var mu sync.Mutex
	step := "" // of the statement that was sent last
	go func() {
		defer c.Close()
		b := make([]byte, 32<<10)
		for {
			n, err := s.Read(b)
			if err != nil {
				return
			}
			mu.Lock()
			at := step
			mu.Unlock()
			if at != "" && r.stop(at+"/after") {
				return
			}
			if at != "" && r.is(at+"/half") {
				_, _ = c.Write(b[:n/2])
				r.stop(at + "/half")
				return
			}
			if _, err := c.Write(b[:n]); err != nil {
				return
			}
		}
	}()
	b := make([]byte, 32<<10)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		for part, name := range statements {
			if b[0] == 'Q' && bytes.Contains(b[:n], []byte(part)) {
				mu.Lock()
				step = name
				mu.Unlock()
				if r.stop(name + "/before") {
					return
				}
			}
		}
		if _, err := s.Write(b[:n]); err != nil {
			return
		}
	}
}

// minter is a token endpoint whose refresh tokens are good once.
type minter struct {
	hold
	*httptest.Server
	mu        sync.Mutex
	n, reused int
	refresh   string // the one that is good
}

const minterFirst = "refresh-0-Zq83mPw0vXr5"

func newMinter(t *testing.T) *minter {
	m := &minter{refresh: minterFirst}
	m.Server = httptest.NewServer(m)
	t.Cleanup(func() { m.release(); m.CloseClientConnections(); m.Close() })
	return m
}

// consent is a person at the authorization server.
func (m *minter) consent() (refresh, access string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n++
	m.refresh = fmt.Sprintf("refresh-%d-Zq83mPw0vXr5", m.n)
	return m.refresh, fmt.Sprintf("access-%d-Zq83mPw0vXr5", m.n)
}

func (m *minter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	given := r.PostFormValue("refresh_token")
	if m.stop("token/before") {
		panic(http.ErrAbortHandler)
	}
	m.mu.Lock()
	good := given == m.refresh
	if !good {
		m.reused++
	}
	m.mu.Unlock()
	if !good {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
		return
	}
	refresh, access := m.consent()
	answer := fmt.Sprintf(`{"access_token":%q,"refresh_token":%q,"token_type":"bearer","expires_in":3600}`, access, refresh)
	if m.stop("token/after") {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	if m.is("token/half") {
		_, _ = io.WriteString(w, answer[:len(answer)/2])
		_ = http.NewResponseController(w).Flush()
		m.stop("token/half")
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(w, answer)
}
