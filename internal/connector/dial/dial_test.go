package dial_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

var loopback = resource.Network{AllowLoopbackHTTP: true}

func pool(t *testing.T, n resource.Network, o dial.Options) *dial.Pool {
	t.Helper()
	p, err := dial.Transport(n, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.CloseIdleConnections)
	return p
}

func send(t *testing.T, door http.RoundTripper, r intent.Request, write bool) (dial.Reply, connector.Outcome, error) {
	t.Helper()
	return dial.Send(t.Context(), door, r, dial.Call{Write: write, Timeout: 5 * time.Second, MaxBody: 1 << 10})
}

// resolver answers every question with the address, as a hostile DNS server does.
func resolver(addr string) *net.Resolver {
	a := netip.MustParseAddr(addr)
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go answerDNS(server, a)
		return client, nil
	}}
}

// answerDNS speaks DNS over a stream: two bytes of length, then the message.
func answerDNS(c net.Conn, a netip.Addr) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	for {
		var n [2]byte
		if _, err := io.ReadFull(r, n[:]); err != nil {
			return
		}
		q := make([]byte, int(n[0])<<8|int(n[1]))
		if _, err := io.ReadFull(r, q); err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(q) != nil || len(m.Questions) != 1 {
			return
		}
		m.Response, m.Authoritative, m.Additionals = true, true, nil
		h := dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: m.Questions[0].Type, Class: dnsmessage.ClassINET, TTL: 1}
		switch {
		case a.Is4() && h.Type == dnsmessage.TypeA:
			m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AResource{A: a.As4()}}}
		case a.Is6() && h.Type == dnsmessage.TypeAAAA:
			m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}}}
		}
		b, err := m.Pack()
		if err != nil {
			return
		}
		if _, err := c.Write(append([]byte{byte(len(b) >> 8), byte(len(b))}, b...)); err != nil {
			return
		}
	}
}

func TestANameThatResolvesToAPrivateAddressIsNotDialled(t *testing.T) {
	for _, addr := range []string{
		"10.0.0.1", "172.16.5.5", "192.168.1.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "169.254.1.1",
		"224.0.0.1", "0.0.0.0", "255.255.255.255", "198.18.0.1", "168.63.129.16",
		"::1", "::", "fe80::1", "fd00:ec2::254", "fc00::1", "ff02::1", "64:ff9b::a00:1", "2002:a00:1::1", "2001:0:1::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
	} {
		t.Run(addr, func(t *testing.T) {
			p := pool(t, resource.Network{}, dial.Options{Resolver: resolver(addr)})
			_, out, err := send(t, p, intent.Request{Method: "POST", URL: "https://erp.example.com/x", Body: "{}"}, true)
			if out != connector.NotSent || !fault.Is(err, fault.Denied) {
				t.Fatalf("%s: outcome %q, error %v", addr, out, err)
			}
		})
	}
}

func TestPlainHTTPGoesToLoopbackOnly(t *testing.T) {
	p := pool(t, resource.Network{AllowLoopbackHTTP: true, AllowPrivate: []string{"10.0.0.0/8"}}, dial.Options{Resolver: resolver("10.0.0.1")})
	if _, out, err := send(t, p, intent.Request{Method: "GET", URL: "http://localhost.example/x"}, false); out != connector.NotSent || !fault.Is(err, fault.Denied) {
		t.Fatalf("plain HTTP to a named private range: %q, %v", out, err)
	}
	p = pool(t, resource.Network{}, dial.Options{})
	if _, out, err := send(t, p, intent.Request{Method: "GET", URL: "http://127.0.0.1:1/"}, false); out != connector.NotSent || !fault.Is(err, fault.Denied) {
		t.Fatalf("plain HTTP without the option: %q, %v", out, err)
	}
}

func TestANamedRangeIsDialledAndTLSIsVerified(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	n := resource.Network{AllowPrivate: []string{"127.0.0.0/8"}}
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	r, out, err := send(t, pool(t, n, dial.Options{RootCAs: roots}), intent.Request{Method: "GET", URL: s.URL}, false)
	if err != nil || out != connector.Done || r.Status != 200 {
		t.Fatal(r, out, err)
	}
	if string(r.Body) != "HTTP/2.0" {
		t.Errorf("the exchange was %s", r.Body)
	}
	_, out, err = send(t, pool(t, n, dial.Options{}), intent.Request{Method: "POST", URL: s.URL, Body: "{}"}, true)
	if out != connector.NotSent || err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("an unknown certificate: %q, %v", out, err)
	}
}

func TestTheEnvironmentsProxyIsIgnored(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) }))
	defer s.Close()
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	r, _, err := send(t, pool(t, loopback, dial.Options{}), intent.Request{Method: "GET", URL: s.URL + "/x"}, false)
	if err != nil || string(r.Body) != "/x" {
		t.Fatal(string(r.Body), err)
	}
}

// cutSecond answers each connection's first request and cuts it at the second,
// counting those that it read in full.
func cutSecond(t *testing.T) (url string, count *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	count = new(atomic.Int32)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				r := bufio.NewReader(c)
				for i := range 2 {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					count.Add(1)
					if i == 0 {
						_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}")
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String(), count
}

func TestAWriteLeavesOnceWhenAKeptConnectionBreaks(t *testing.T) {
	key := map[string]string{"Idempotency-Key": "int_1"}
	for _, r := range []intent.Request{
		{Method: "POST", Body: "{}", Headers: key},
		{Method: "PUT", Body: "{}"},
		{Method: "DELETE", Headers: key},
		{Method: "POST", Headers: key},
	} {
		url, count := cutSecond(t)
		r.URL = url + "/v"
		p := pool(t, loopback, dial.Options{})
		if _, _, err := send(t, p, intent.Request{Method: "GET", URL: r.URL}, false); err != nil {
			t.Fatal(err) // the connection that is kept
		}
		_, out, err := send(t, p, r, true)
		if got := count.Load(); got != 2 {
			t.Fatalf("%s: the server read %d requests, want the first read and one write", r.Method, got)
		}
		if r.Body != "" && (out != connector.Unclear || !fault.Is(err, fault.Unknown)) {
			t.Fatalf("%s: outcome %q, error %v", r.Method, out, err)
		}
		if r.Body == "" && (out != connector.Done || err != nil) {
			t.Fatalf("%s on a connection of its own: outcome %q, error %v", r.Method, out, err)
		}
	}
}

// The same request through net/http alone is sent twice: what the test above
// guards against is real.
func TestNetHTTPByItselfWouldSendItTwice(t *testing.T) {
	url, count := cutSecond(t)
	c := &http.Client{Transport: &http.Transport{}}
	for range 2 {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader("{}"))
		req.Header.Set("Idempotency-Key", "int_1")
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	if got := count.Load(); got != 3 {
		t.Fatalf("the server read %d requests, want 3", got)
	}
}

func TestNothingSentIsSaidOnlyWhenItIsCertain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	p := pool(t, loopback, dial.Options{})
	post := intent.Request{Method: "POST", URL: "http://" + addr, Body: "{}"}
	if _, out, err := send(t, p, post, true); out != connector.NotSent || !fault.Is(err, fault.Unavailable) {
		t.Fatalf("a closed port: %q, %v", out, err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer s.Close()
	post.URL = s.URL
	if _, out, err := send(t, p, post, true); out != connector.Unclear || !fault.Is(err, fault.Unknown) {
		t.Fatalf("cut after the request: %q, %v", out, err)
	}
	for err, want := range map[error]connector.Outcome{
		fault.New(fault.Denied, "the Secret is disabled"):       connector.NotSent,
		fault.New(fault.Unknown, "cut"):                         connector.Unclear,
		io.ErrUnexpectedEOF:                                     connector.Unclear,
		fault.New(fault.Internal, "the door lost its bearings"): connector.Unclear,
	} {
		if _, out, _ := send(t, brokenDoor{err}, post, true); out != want {
			t.Errorf("a door that says %q: %q, want %q", err, out, want)
		}
	}
}

type brokenDoor struct{ err error }

func (d brokenDoor) RoundTrip(*http.Request) (*http.Response, error) { return nil, d.err }

func TestAnswersThatAreNotTakenAsTheyCome(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			_, _ = w.Write(make([]byte, 30<<20))
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "\x1f\x8b")
		case "/headers":
			w.Header().Set("X-Large", strings.Repeat("a", 1<<20))
		case "/hang":
			_ = http.NewResponseController(w).Flush()
			select {
			case <-release:
			case <-r.Context().Done():
			}
		case "/redirect":
			http.Redirect(w, r, "https://user:secret@evil.example/?token=abc", http.StatusFound)
		}
	}))
	defer s.Close()
	defer close(release)
	p := pool(t, loopback, dial.Options{})
	for path, want := range map[string]string{"/large": "larger than 1024 bytes", "/gzip": "compressed", "/headers": "headers are too large", "/hang": "in time"} {
		for _, write := range []bool{false, true} {
			_, out, err := dial.Send(t.Context(), p, intent.Request{Method: "POST", URL: s.URL + path, Body: "{}"},
				dial.Call{Write: write, Timeout: time.Second, MaxBody: 1 << 10})
			if out != connector.Unclear || err == nil || !strings.Contains(err.Error(), want) || fault.Is(err, fault.Unknown) != write {
				t.Errorf("%s, write %v: %q, %v (%s)", path, write, out, err, fault.KindOf(err))
			}
		}
	}
	r, out, err := send(t, p, intent.Request{Method: "GET", URL: s.URL + "/redirect"}, false)
	if err != nil || out != connector.Done || r.Status != 302 || r.Location != "evil.example" {
		t.Errorf("a redirect: %+v, %q, %v", r, out, err)
	}
}

func TestBaseRefusesWhatCouldNeverBeDialledSafely(t *testing.T) {
	for _, u := range []string{
		"http://erp.example.com", "ftp://erp.example.com", "https://user:pw@erp.example.com", "https://", "https://erp.example.com/?key=1",
		"https://erp.example.com/a/../b", "https://erp.example.com/a%2fb", "https://erp.example.com/a//b", "https://erp.example.com/#x",
		"https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://017700000001/", "https://127.1/", "https://10.0.0.1/",
		"https://[::ffff:169.254.169.254]/", "https://[fe80::1%25eth0]/", "http://10.0.0.1/", "https://erp.exämple.com/", "\x7f",
	} {
		if _, _, err := dial.Base(u, resource.Network{}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", u, err)
		} else if strings.Contains(err.Error(), "pw") {
			t.Errorf("%q: the error repeats the password: %v", u, err)
		}
	}
	for u, n := range map[string]resource.Network{
		"https://erp.example.com/api/v1": {}, "https://93.184.216.34": {}, "http://127.0.0.1:8080": loopback, "http://localhost:8080/x/": loopback,
		"https://10.1.2.3": {AllowPrivate: []string{"10.1.0.0/16"}}, "https://169.254.169.254": {AllowPrivate: []string{"169.254.169.254/32"}},
	} {
		if _, _, err := dial.Base(u, n); err != nil {
			t.Errorf("%q: %v", u, err)
		}
	}
	if _, _, err := dial.Base("https://169.254.169.254", resource.Network{AllowPrivate: []string{"169.254.0.0/16"}}); err == nil {
		t.Error("a range that holds the metadata service opened it")
	}
	for _, r := range []string{"10.0.0.1/8", "10.0.0.0", "::ffff:10.0.0.0/104", "all", "fe80::%eth0/64"} {
		if _, err := dial.Transport(resource.Network{AllowPrivate: []string{r}}, dial.Options{}); !fault.Is(err, fault.Invalid) {
			t.Errorf("range %q: %v", r, err)
		}
	}
}

func FuzzBase(f *testing.F) {
	for _, s := range []string{"https://a.example/v1", "http://127.0.0.1:1", "https://0x7f.1", "https://[::ffff:1.2.3.4]:1/x/", "https://a.example/%2e%2e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		o, u, err := dial.Base(raw, loopback)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("%q: kind %s", raw, fault.KindOf(err))
			}
			return
		}
		if u.User != nil || u.RawQuery != "" || o.Host == "" || strings.Contains(u.EscapedPath(), "%") {
			t.Fatalf("%q was taken as %v %q", raw, o, u.EscapedPath())
		}
	})
}
