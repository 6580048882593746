package httpcred_test

import (
	"bufio"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzAnswer gives a door any bytes as an answer, in which $ stands for the
// credential.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK $\r\nX-Echo: $\r\nContent-Length: 40\r\n\r\n{\"got\":\"$\"}",
		"HTTP/1.1 401 $\r\nWww-Authenticate: Basic realm=\"$\"\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: $\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00$",
		"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n\x78\x9c$",
		"HTTP/1.1 101 $\r\nUpgrade: $\r\n\r\n$",
		"HTTP/1.1 302 Found\r\nLocation: /?key=$\r\n\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		answer := strings.ReplaceAll(s, "$", token)
		door := open(t, schemes["bearer"], "https://erp.example", roundTrip(func(r *http.Request) (*http.Response, error) {
			return http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), r)
		}))
		out := everything(door.RoundTrip(request(t, "GET", "https://erp.example/x", "")))
		if strings.Contains(out, token) {
			t.Fatalf("the credential came through: %.300q", out)
		}
	})
}

// FuzzQuery puts a credential into any query: it is there once, under its name,
// and what else was there is as it was.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"a=1&b=2", "api_key=x&a=1", "API%5fKEY=x", "a;api_key=x", "%zz=1", "&&=&api_key", "a=1#f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		var got url.Values
		var raw string
		door := open(t, schemes["query"], "https://erp.example", roundTrip(func(r *http.Request) (*http.Response, error) {
			got, raw = r.URL.Query(), r.URL.RawQuery
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		}))
		req := request(t, "GET", "https://erp.example/", "")
		req.URL.RawQuery = query
		if _, err := door.RoundTrip(req); err != nil {
			return
		}
		if len(got["api_key"]) != 1 || got.Get("api_key") != token {
			t.Fatalf("the credential is not in the query once: %q", raw)
		}
		for k := range got {
			if k != "api_key" && strings.EqualFold(k, "api_key") {
				t.Fatalf("another spelling of it was left: %q", raw)
			}
		}
	})
}
