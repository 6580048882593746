package dial_test

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// mute is a door: like the vault's, it passes on no error as it is.
type mute struct{ base http.RoundTripper }

func (m mute) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := m.base.RoundTrip(r)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "something went wrong")
	}
	return resp, nil
}

// raw is a system that reads each request and says the bytes, then hangs up.
func raw(t *testing.T, answer string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(c, answer)
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

// What is of the moment is a system that is not there, or one that says when to
// come again. All that a system does wrong is not.
func TestOnlyWhatATryCanMendIsOfTheMoment(t *testing.T) {
	const ok, length = "HTTP/1.1 200 OK\r\n", "Content-Length: 2\r\n\r\n{}"
	for name, c := range map[string]struct {
		answer  string
		passing bool
	}{
		"nothing":                         {"", true},
		"429 with a time":                 {"HTTP/1.1 429 x\r\nRetry-After: 2\r\n" + length, true},
		"429 with a time of no length":    {"HTTP/1.1 429 x\r\nRetry-After: 0\r\n" + length, true},
		"503 with a time":                 {"HTTP/1.1 503 x\r\nRetry-After: 2\r\n" + length, true},
		"429 without":                     {"HTTP/1.1 429 x\r\n" + length, false},
		"503 without":                     {"HTTP/1.1 503 x\r\n" + length, false},
		"503 with a time that is none":    {"HTTP/1.1 503 x\r\nRetry-After: soon\r\n" + length, false},
		"500 with a time":                 {"HTTP/1.1 500 x\r\nRetry-After: 2\r\n" + length, false},
		"200 with a time":                 {ok + "Retry-After: 2\r\n" + length, false},
		"a redirect with a time":          {"HTTP/1.1 302 x\r\nLocation: /\r\nRetry-After: 2\r\n" + length, false},
		"503 with a time, cut":            {"HTTP/1.1 503 x\r\nRetry-After: 2\r\nContent-Length: 9\r\n\r\n{}", false},
		"503 with a time, too large":      {"HTTP/1.1 503 x\r\nRetry-After: 2\r\nContent-Length: 9999\r\n\r\n{}", false},
		"503 with a time, compressed":     {"HTTP/1.1 503 x\r\nRetry-After: 2\r\nContent-Encoding: br\r\n" + length, false},
		"half a status line":              {"HTTP/1.1 2", false},
		"half a header":                   {ok + "Content-Le", false},
		"no HTTP":                         {"SSH-2.0-OpenSSH_9.9\r\n", false},
		"another answer first, then none": {"HTTP/1.1 103 Early Hints\r\n\r\n", false},
		"two lengths":                     {ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", false},
		"broken chunks":                   {ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", false},
		"a body that is cut":              {ok + "Content-Length: 9\r\n\r\n{}", false},
		"headers without end":             {ok + "X: " + strings.Repeat("a", 1<<20), false},
	} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(name+", "+method, func(t *testing.T) {
				t.Parallel()
				req := intent.Request{Method: method, URL: "http://" + raw(t, c.answer) + "/"}
				if method == "POST" {
					req.Body = "{}"
				}
				r, out, err := send(t, mute{pool(t, loopback, dial.Options{})}, req, false)
				if r.Passing != c.passing || out == connector.NotSent {
					t.Errorf("passing %v, %q, %v", r.Passing, out, err)
				}
			})
		}
	}
}

// A connection that is refused is of the moment. One that must not be made, a name
// that nobody has, a system that speaks no TLS or has a certificate of somebody
// else's, and a call whose time is over are not.
func TestOnlyARefusedConnectionIsOfTheMoment(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	_ = l.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	plain, foreign := httptest.NewServer(http.NotFoundHandler()), httptest.NewUnstartedServer(http.NotFoundHandler())
	foreign.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	foreign.StartTLS()
	defer plain.Close()
	defer foreign.Close()
	ranges := resource.Network{AllowLoopbackHTTP: true, AllowPrivate: []string{"127.0.0.0/8"}}
	for name, c := range map[string]struct {
		net     resource.Network
		url     string
		passing bool
		out     connector.Outcome
	}{
		"a closed port":        {loopback, "http://" + nobody, true, connector.NotSent},
		"a forbidden address":  {loopback, "http://10.0.0.1", false, connector.NotSent},
		"no TLS":               {ranges, "https://" + strings.TrimPrefix(plain.URL, "http://"), false, connector.NotSent},
		"a foreign issuer":     {ranges, foreign.URL, false, connector.NotSent},
		"a name that is none":  {loopback, "https://a..b", false, connector.NotSent},
		"the time of the call": {loopback, "http://" + silent.Addr().String(), false, connector.Unclear},
	} {
		for _, write := range []bool{false, true} {
			r, out, err := dial.Send(t.Context(), mute{pool(t, c.net, dial.Options{})}, intent.Request{Method: "GET", URL: c.url},
				dial.Call{Write: write, Timeout: time.Second, MaxBody: 1 << 10})
			if r.Passing != c.passing || out != c.out {
				t.Errorf("%s, write %v: passing %v, %q, %v", name, write, r.Passing, out, err)
			}
		}
	}
}
