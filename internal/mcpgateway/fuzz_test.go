package mcpgateway_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/mcpgateway"
)

// FuzzServe sends what it likes: every answer is JSON or events, none is a fault of
// ours, and no write is executed.
func FuzzServe(f *testing.F) {
	good, _ := request("1", "tools/call", `{"name":"crm__get","arguments":{"id":"7"}}`, withTasks)
	for _, body := range []string{good, hello, ping, `[` + good + `]`, `{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"int_x"}}`,
		strings.Replace(good, "crm__get", "erp__create", 1), strings.Replace(good, "tools/call", "subscriptions/listen", 1), `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"sallyport://a/b"}}`} {
		f.Add(body, "2026-07-28", "tools/call", "crm__get")
		f.Add(body, "2025-06-18", "", "=?base64?YQ==?=")
	}
	times := quick
	times.Hold, times.Listen = time.Millisecond, time.Millisecond
	f.Fuzz(func(t *testing.T, body, version, method, name string) {
		d := company()
		r := httptest.NewRequest(http.MethodPost, "http://localhost/mcp", strings.NewReader(body))
		r.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer run-a"}, "Mcp-Protocol-Version": {version}, "Mcp-Method": {method}, "Mcp-Name": {name}}
		w := httptest.NewRecorder()
		mcpgateway.New(config(d, times)).ServeHTTP(w, r)
		out := strings.TrimSpace(w.Body.String())
		if w.Code >= 500 || w.Code != http.StatusAccepted && !json.Valid([]byte(out)) && !strings.HasPrefix(out, ":") {
			t.Errorf("status %d: %q", w.Code, out)
		}
		for what := range d.executed {
			if what != "get" {
				t.Errorf("%s was executed", what)
			}
		}
	})
}

// FuzzNames: a name that is taken back is the one that was given.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"sallyport://docs/file:%2F%2F%2Fa", "docs__greeting", "sallyport://docs/%2e%2e", "__", "sallyport:///x", "docs__a__b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var p mcpgateway.Prefixed
		if c, up, ok := p.UpstreamURI(s); ok && p.URI(c, up) != s {
			t.Errorf("%q is %q of %q", s, up, c)
		}
		if c, up, ok := p.UpstreamPrompt(s); ok && p.Prompt(c, up) != s {
			t.Errorf("%q is %q of %q", s, up, c)
		}
		if c, up, ok := p.UpstreamURI(p.URI("docs", s)); s != "" && (!ok || c != "docs" || up != s) {
			t.Errorf("%q comes back as %q of %q", s, up, c)
		}
	})
}
