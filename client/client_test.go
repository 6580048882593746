package client_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport.dev/client"
)

func serve(t *testing.T, h http.HandlerFunc) *client.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return to(t, s.URL)
}

func to(t *testing.T, base string) *client.Client {
	t.Helper()
	c, err := client.New(base, client.Token("sps_secret"), client.UserAgent("a test"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestACallSendsTokenAndBodyAndReadsTheAnswer(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_ = json.NewEncoder(w).Encode(map[string]string{
			"auth": r.Header.Get("Authorization"), "agent": r.UserAgent(), "type": r.Header.Get("Content-Type"),
			"asked": r.Method + " " + r.URL.RequestURI(), "body": string(body),
		})
	})
	var got map[string]string
	if err := c.Call(t.Context(), "POST", "/v1/things?limit=2", map[string]int{"n": 1}, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"auth": "Bearer sps_secret", "agent": "a test", "type": "application/json", "asked": "POST /v1/things?limit=2", "body": `{"n":1}`}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %q, not %q", k, got[k], v)
		}
	}
}

func TestARefusalIsAProblem(t *testing.T) {
	for name, c := range map[string]struct {
		kind, body string
		status     int
		want       client.Problem
	}{
		"the server's": {"application/problem+json", `{"type":"x","status":409,"title":"T","detail":"it was done","kind":"conflict","code":"used","hint":"look"}`, 409,
			client.Problem{Status: 409, Title: "T", Detail: "it was done", Kind: "conflict", Code: "used", Hint: "look"}},
		"with parameters":   {"application/problem+json; charset=utf-8", `{"status":403,"detail":"no","kind":"denied"}`, 403, client.Problem{Status: 403, Detail: "no", Kind: "denied"}},
		"what waits":        {"application/problem+json", `{"status":202,"detail":"it waits for a Decision","kind":"pending"}`, 202, client.Problem{Status: 202, Detail: "it waits for a Decision", Kind: "pending"}},
		"a proxy's page":    {"text/html", "<h1>Bad gateway</h1>", 502, client.Problem{Status: 502, Detail: "the server answered 502 Bad Gateway", Kind: "internal"}},
		"garbage":           {"application/problem+json", "}{", 500, client.Problem{Status: 500, Detail: "the server answered 500 Internal Server Error", Kind: "internal"}},
		"something without": {"application/problem+json", "{}", 404, client.Problem{Status: 404, Detail: "the server answered 404 Not Found", Kind: "internal"}},
	} {
		cl := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.kind)
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		var p *client.Problem
		if err := cl.Call(t.Context(), "GET", "/v1/me", nil, nil); !errors.As(err, &p) || *p != c.want || err.Error() != c.want.Detail {
			t.Errorf("%s: %+v", name, err)
		}
		if err := cl.Lines(t.Context(), "/v1/me", nil); !errors.As(err, &p) || *p != c.want {
			t.Errorf("%s, of a stream: %+v", name, err)
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	var asked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+"/v1/me", status) })
		var p *client.Problem
		if err := c.Call(t.Context(), "POST", "/v1/me", map[string]int{}, nil); !errors.As(err, &p) || p.Status != status {
			t.Errorf("%d: %v", status, err)
		}
	}
	if asked.Load() != 0 {
		t.Error("it was followed")
	}
}

func TestTheTokenGoesNowhereElse(t *testing.T) {
	var asked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer other.Close()
	c := serve(t, func(http.ResponseWriter, *http.Request) {})
	for _, path := range []string{other.URL + "/v1/me", "//" + strings.TrimPrefix(other.URL, "http://") + "/v1/me", "http:" + strings.TrimPrefix(other.URL, "http:"), "\x7f://"} {
		if err := c.Call(t.Context(), "GET", path, nil, nil); err == nil {
			t.Errorf("%q was called", path)
		}
	}
	if asked.Load() != 0 {
		t.Error("another server was called")
	}
}

func TestOnlyThisMachineIsSpokenToInPlainHTTP(t *testing.T) {
	for _, base := range []string{"https://sallyport.example", "https://10.0.0.1:8443", "http://127.0.0.1:8080", "http://127.9.9.9", "http://localhost:1", "http://[::1]:8080"} {
		if _, err := client.New(base); err != nil {
			t.Errorf("%s: %v", base, err)
		}
	}
	for _, base := range []string{
		"http://sallyport.example", "http://10.0.0.1", "http://localhost.example", "http://127.0.0.1.example", "http://0.0.0.0:80", "http://[::]:80",
		"ftp://127.0.0.1", "unix:///run/x", "127.0.0.1:80", "", "https://", "https://me:secret@sallyport.example", "https://sallyport.example?token=x", "https://sallyport.example#x", "\x00",
	} {
		if _, err := client.New(base); err == nil {
			t.Errorf("%q was taken", base)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error repeats the address: %v", err)
		}
	}
}

func TestAnAnswerThatIsTooLargeIsRefused(t *testing.T) {
	chunk := bytes.Repeat([]byte("x"), 1<<20)
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `"`)
		for range 33 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	var s string
	if err := c.Call(t.Context(), "GET", "/v1/me", nil, &s); err == nil || !strings.Contains(err.Error(), "larger than 32 MiB") {
		t.Error(err)
	}
}

func TestALineThatIsTooLongEndsTheStream(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "{\"n\":1}\n{\"n\":2}\n")
		_, _ = w.Write(bytes.Repeat([]byte("x"), 2<<20))
	})
	n := 0
	if err := c.Lines(t.Context(), "/v1/follow", func([]byte) error { n++; return nil }); err == nil || n != 2 {
		t.Errorf("%d lines, then %v", n, err)
	}
	enough := errors.New("enough")
	if err := c.Lines(t.Context(), "/v1/follow", func([]byte) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
}

func TestAnAnswerThatIsNoJSONIsAnError(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") })
	var out struct{}
	if err := c.Call(t.Context(), "GET", "/v1/me", nil, &out); err == nil || !strings.Contains(err.Error(), "can't be read") {
		t.Error(err)
	}
	var raw []byte
	if err := c.Call(t.Context(), "GET", "/v1/me", nil, &raw); err != nil || string(raw) != "<html>" {
		t.Errorf("raw: %q, %v", raw, err)
	}
}

func TestAServerThatIsNotThereIsNamedWithoutTheToken(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	err := to(t, s.URL).Call(t.Context(), "GET", "/v1/me", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "reaching the server at "+strings.TrimPrefix(s.URL, "http://")) || strings.Contains(err.Error(), "sps_") {
		t.Error(err)
	}
}
