package httpcred_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/httpcred"
	"sallyport.dev/internal/vault/internal/plain"
)

// The credential that is injected, and another secret of the tenant.
const (
	token    = "cnry-9f27Kq0ZxW4v81/+&one"
	password = "cnry-3b81Lm5YpT7d46-two"
	foreign  = "cnry-6d90Rt2QsB8h13-three"
)

// known is what the tenant has.
func known(t testing.TB) *scrub.Set {
	t.Helper()
	set, err := scrub.Build([]scrub.Secret{
		{Name: "erp", Value: []byte(token)}, {Name: "tickets", Value: []byte(password)},
		{Name: "tickets", Value: []byte("bob:" + password)}, {Name: "crm", Value: []byte(foreign)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

var schemes = map[string]resource.Auth{
	"bearer": {Scheme: resource.SchemeBearer},
	"basic":  {Scheme: resource.SchemeBasic},
	"header": {Scheme: resource.SchemeHeader, Name: "X-Api-Key"},
	"query":  {Scheme: resource.SchemeQuery, Name: "api_key"},
}

// open makes a door to a URL's origin, for GET.
func open(t testing.TB, auth resource.Auth, base string, tr http.RoundTripper) http.RoundTripper {
	t.Helper()
	return openFor(t, http.MethodGet, auth, base, tr)
}

// openFor makes one for another method.
func openFor(t testing.TB, method string, auth resource.Auth, base string, tr http.RoundTripper) http.RoundTripper {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	origin, err := resource.ParseOrigin(u)
	if err != nil {
		t.Fatal(err)
	}
	set := known(t)
	door, err := httpcred.New(httpcred.Config{
		Auth: auth, Origin: origin, Method: method, Base: tr, Known: set, Latest: func() *scrub.Set { return set },
		Fields: map[string]plain.Value{"token": plain.New([]byte(token)),
			"username": plain.New([]byte("bob")), "password": plain.New([]byte(password))},
	})
	if err != nil {
		t.Fatal(err)
	}
	return door
}

func request(t testing.TB, method, target, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// server starts one that is closed with the test.
func server(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// script answers each connection with fixed bytes, in which $AUTH, $URL and $KEY
// stand for what arrived.
func script(t testing.TB, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				out := strings.NewReplacer("$AUTH", req.Header.Get("Authorization"), "$URL", req.URL.String(), "$KEY", req.Header.Get("X-Api-Key")).Replace(answer)
				_, _ = io.WriteString(c, out)
			}
			_ = c.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

// everything is all that a caller can see of an exchange.
func everything(resp *http.Response, err error) string {
	if err != nil {
		return fmt.Sprintf("%v %+v %#v", err, err, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("%s\n%v\n%v\n%s\n%v %+v\n%s %v", resp.Status, resp.Header, resp.Trailer, body, err, resp, resp.Request.URL, resp.Request.Header)
}
