package mcpgateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/mcpgateway"
	"sallyport.dev/internal/resource"
)

// company is a desk with a CRM to read and an ERP to write to.
func company() *desk {
	d := newDesk(
		tool("crm", "get", resource.Read, `{"type":"object","properties":{"id":{"type":"string","x-mcp-header":"Id"}},"required":["id"]}`),
		tool("erp", "create", resource.Write, `{"type":"object","properties":{"name":{"type":"string"}},"required":["name"],"additionalProperties":false}`),
		tool("erp", "explain", resource.Write, `{"type":"object","properties":{"reason":{"type":"string"}},"required":["reason"]}`),
	)
	d.act["get"] = func(it *intent.Intent) {
		it.State = intent.Committed
		it.Result = &intent.Result{State: intent.Committed, ContentType: "application/json", Body: it.Args}
		d.executed["get"]++
	}
	return d
}

func door(t *testing.T, d *desk) string {
	t.Helper()
	return serve(t, mcpgateway.New(config(d, quick))).URL + "/mcp"
}

func TestSixtyFourClientsAtOnceGetTheAnswersToTheirOwnQuestions(t *testing.T) {
	url := door(t, company())
	var wg sync.WaitGroup
	for n := range 64 {
		wg.Go(func() {
			for range 5 {
				id := fmt.Sprintf("c-%d", n)
				body, headers := request(fmt.Sprintf("%d", n%3), "tools/call", `{"name":"crm__get","arguments":{"id":"`+id+`"}}`, "")
				a, err := trySend(t.Context(), url, fmt.Sprintf("run-r%d", n), body, headers...)
				if err != nil || a.field("structuredContent", "id") != id || a.last().ID != float64(n%3) {
					t.Errorf("client %d: %v %+v", n, err, a.last())
				}
			}
		})
	}
	wg.Wait()
}

func TestTheIDOfARequestIsNoIdempotencyKey(t *testing.T) {
	d := company()
	url := door(t, d)
	for range 2 {
		callTool(t, url, "run-a", "crm__get", `{"id":"7"}`)
	}
	if d.executed["get"] != 2 {
		t.Errorf("two reads under one id were executed %d times", d.executed["get"])
	}
}

func TestWhatTheHeadersSayOtherwiseThanTheBodyIsRefused(t *testing.T) {
	d := company()
	url := door(t, d)
	body, _ := request("1", "tools/call", `{"name":"crm__get","arguments":{"id":"7"}}`, "")
	good := map[string]string{"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "crm__get"}
	for header, values := range map[string][]string{
		"MCP-Protocol-Version": {"", "2025-11-25", "2026-07-28, 2025-11-25"},
		"Mcp-Method":           {"", "tools/list", "TOOLS/CALL"},
		"Mcp-Name":             {"", "erp__create", "=?base64?ZXJwX19jcmVhdGU=?=", "=?base64?!?="},
	} {
		for _, v := range values {
			var hs []string
			for k, g := range good {
				if k == header {
					g = v
				}
				if g != "" {
					hs = append(hs, k, g)
				}
			}
			if a := send(t, t.Context(), url, "run-a", body, hs...); a.status != http.StatusBadRequest || a.code() != -32020 {
				t.Errorf("%s: %q: status %d, code %d", header, v, a.status, a.code())
			}
		}
	}
	if d.executed["get"] != 0 {
		t.Error("a refused call was executed")
	}
	if a := send(t, t.Context(), url, "run-a", body, "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "=?base64?Y3JtX19nZXQ=?="); a.field("structuredContent", "id") != "7" {
		t.Errorf("an encoded name that is the same: %+v", a.last())
	}
}

func TestAHeaderThatStandsTwiceIsRefused(t *testing.T) {
	body, _ := request("1", "tools/call", `{"name":"crm__get","arguments":{"id":"7"}}`, "")
	for _, twice := range []string{"Mcp-Name", "Mcp-Method", "Mcp-Protocol-Version", "Authorization"} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, door(t, company()), strings.NewReader(body))
		req.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer run-a"}, "Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {"crm__get"}}
		req.Header[twice] = append(req.Header[twice], req.Header[twice][0])
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s twice: status %d", twice, resp.StatusCode)
		}
	}
}

func TestMessagesThatCouldBeReadInTwoWaysAreRefused(t *testing.T) {
	d := company()
	url := door(t, d)
	good, headers := request("1", "tools/call", `{"name":"crm__get","arguments":{"id":"7"}}`, "")
	for what, body := range map[string]string{
		"a batch":            "[" + good + "]",
		"a repeated key":     strings.Replace(good, `"name":"crm__get"`, `"name":"crm__get","name":"erp__create"`, 1),
		"one deep below":     strings.Replace(good, `{"id":"7"}`, `{"id":"7","id":"8"}`, 1),
		"an escaped one":     strings.Replace(good, `{"id":"7"}`, `{"id":"7","\u0069d":"8"}`, 1),
		"data after it":      good + "{}",
		"no JSON":            "crm__get",
		"nothing":            "",
		"half a surrogate":   strings.Replace(good, `"7"`, `"\ud800"`, 1),
		"an id that is null": strings.Replace(good, `"id":1`, `"id":null`, 1),
	} {
		if a := send(t, t.Context(), url, "run-a", body, headers...); a.status != http.StatusBadRequest || a.code() != -32600 && a.code() != -32700 {
			t.Errorf("%s: status %d, code %d", what, a.status, a.code())
		}
	}
	if a := send(t, t.Context(), url, "run-a", `{"jsonrpc":"2.0","id":1,"x":"`+strings.Repeat("x", 5<<20)+`"}`, headers...); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a body that is too large: status %d", a.status)
	}
	if d.executed["get"] != 0 {
		t.Error("a refused message was executed")
	}
}

func TestWhoHasNoTokenIsToldWhereToGetOne(t *testing.T) {
	url := door(t, company())
	body, headers := request("1", "tools/list", "{}", "")
	for token, wants := range map[string]string{"": `resource_metadata="`, "nonsense": `error="invalid_token"`, "person-x": `error="invalid_token"`} {
		a := send(t, t.Context(), url, token, body, headers...)
		if got := a.header.Get("WWW-Authenticate"); a.status != http.StatusUnauthorized || !strings.Contains(got, wants) || strings.Contains(got, "nonsense") {
			t.Errorf("token %q: status %d, %s", token, a.status, got)
		}
		_, link, _ := strings.Cut(a.header.Get("WWW-Authenticate"), `resource_metadata="`)
		link, _, _ = strings.Cut(link, `"`)
		resp, err := http.Get(link)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Resource string
		}
		if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil || doc.Resource != url {
			t.Errorf("the metadata at %s is about %q: %v", link, doc.Resource, err)
		}
		_ = resp.Body.Close()
	}
	if a := send(t, t.Context(), url, "broken", body, headers...); a.status != http.StatusServiceUnavailable {
		t.Errorf("a caller who can't be checked gets %d", a.status)
	}
}

func TestPagesOfOthersAreRefused(t *testing.T) {
	url := door(t, company())
	body, headers := request("1", "tools/list", "{}", "")
	for _, bad := range [][]string{{"Host", "evil.example.com"}, {"Origin", "http://evil.example.com"}, {"Origin", "null"}, {"Origin", "file://"}, {"Host", "127.0.0.1.evil.example.com"}} {
		if a := send(t, t.Context(), url, "run-a", body, append(bad, headers...)...); a.status != http.StatusForbidden {
			t.Errorf("%v: status %d", bad, a.status)
		}
	}
	if a := send(t, t.Context(), url, "run-a", body, append([]string{"Origin", "http://localhost:3000"}, headers...)...); a.status != http.StatusOK {
		t.Errorf("a page of this machine: status %d", a.status)
	}
}

func TestADenialDoesNotTellWhetherAToolExists(t *testing.T) {
	d := company()
	url := door(t, d)
	var last []byte
	for _, name := range []string{"erp__delete", "payroll__list", "nonsense", "__", "await__decision"} {
		a := callTool(t, url, "run-a", name, `{}`)
		if a.field("isError") != true || !strings.HasPrefix(a.text(), "NOT EXECUTED. ") {
			t.Errorf("%s: %+v", name, a.last())
		}
		if last != nil && !bytes.Equal(last, a.last().Result) {
			t.Errorf("%s is denied in other words:\n%s\n%s", name, last, a.last().Result)
		}
		last = a.last().Result
	}
	if len(d.denied) != 5 {
		t.Errorf("the Gate has seen %v", d.denied)
	}
}

func TestToolsAreListedWithOurOwnAnnotations(t *testing.T) {
	d := company()
	d.tools[0].Description = "Reads. canary-7f3a"
	a := modern(t, door(t, d), "run-a", "tools/list", "{}")
	var l struct {
		ResultType, CacheScope string
		TTLMs                  int
		Tools                  []struct {
			Name, Description string
			InputSchema       struct {
				Properties map[string]json.RawMessage
				Required   []string
			}
			Annotations struct{ ReadOnlyHint, DestructiveHint bool }
		}
	}
	if err := json.Unmarshal(a.last().Result, &l); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tl := range l.Tools {
		names = append(names, tl.Name)
	}
	if got := strings.Join(names, " "); got != "crm__get erp__create erp__explain await_decision end_run list_my_pending note_observation withdraw_decision" {
		t.Fatalf("the tools are %s", got)
	}
	get, create, explain := l.Tools[0], l.Tools[1], l.Tools[2]
	if !get.Annotations.ReadOnlyHint || get.Annotations.DestructiveHint || get.Description != "Reads. [scrubbed]" || bytes.Contains(a.last().Result, []byte("x-mcp-header")) {
		t.Errorf("the read is %+v", get)
	}
	if create.Annotations.ReadOnlyHint || !create.Annotations.DestructiveHint || strings.Join(create.InputSchema.Required, " ") != "name reason" || create.InputSchema.Properties["repeat"] == nil {
		t.Errorf("the write is %+v", create)
	}
	if strings.Join(explain.InputSchema.Required, " ") != "reason sallyport_reason" || explain.InputSchema.Properties["reason"] == nil {
		t.Errorf("the write with a reason of its own is %+v", explain)
	}
	if l.ResultType != "complete" || l.CacheScope != "private" || l.TTLMs <= 0 {
		t.Errorf("the list is %+v", l)
	}
}

func TestAWriteWithoutAReasonIsNotProposed(t *testing.T) {
	d := company()
	url := door(t, d)
	for _, args := range []string{`{"name":"x"}`, `{"name":"x","reason":""}`, `{"name":"x","reason":7}`, `{"name":"x","reason":"r","repeat":"yes"}`} {
		if a := callTool(t, url, "run-a", "erp__create", args); a.field("isError") != true || a.field("structuredContent", "status") != "invalid" {
			t.Errorf("%s: %+v", args, a.last())
		}
	}
	if len(d.order) != 0 {
		t.Error("it was proposed")
	}
	callTool(t, url, "run-a", "erp__explain", `{"reason":"theirs","sallyport_reason":"ours"}`)
	if it := d.rows[d.only(t)]; it.Reason != "ours" || string(it.Args) != `{"reason":"theirs"}` {
		t.Errorf("proposed as %q with %s", it.Reason, it.Args)
	}
}

func TestAnswersOfSystemsComeAsTheyAre(t *testing.T) {
	d := company()
	url := door(t, d)
	for body, want := range map[string]string{`"plain"`: "plain", `[1,2]`: "[1,2]", `{"a":"canary-7f3a"}`: `{"a":"[scrubbed]"}`} {
		d.act["get"] = func(it *intent.Intent) {
			it.State, it.Result = intent.Committed, &intent.Result{ContentType: "application/json", Body: json.RawMessage(body), Edited: "name was changed", Note: "one redaction"}
		}
		a := callTool(t, url, "run-a", "crm__get", `{"id":"1"}`)
		if a.text() != want || !strings.Contains(string(a.last().Result), "An approver changed it before it was sent: name was changed") {
			t.Errorf("%s came as %s", body, a.last().Result)
		}
	}
	d.act["get"] = func(it *intent.Intent) {
		it.State, it.Result = intent.Committed, mcp(`{"_meta":{"x":1},"resultType":"task","content":[{"type":"image","data":"aa","mimeType":"image/png"}],"isError":true,"evil":1}`)
	}
	if a := callTool(t, url, "run-a", "crm__get", `{"id":"1"}`); a.field("resultType") != "complete" || a.field("isError") != true || a.field("evil") != nil || a.field("_meta", "x") != nil {
		t.Errorf("an upstream result came as %s", a.last().Result)
	}
}

func TestAnUnknownOutcomeIsNotCalledExecutedOrNot(t *testing.T) {
	d := company()
	d.act["create"] = func(it *intent.Intent) { it.State = intent.NeedsHuman }
	a := callTool(t, door(t, d), "run-a", "erp__create", `{"name":"x","reason":"r"}`)
	if s, _ := a.field("structuredContent").(map[string]any); !strings.HasPrefix(a.text(), "STATUS UNKNOWN") || s["status"] != "unknown" || s["executed"] != nil {
		t.Errorf("it is told as %s", a.last().Result)
	}
}

func BenchmarkAProxiedCall(b *testing.B) {
	d := company()
	s := mcpgateway.New(config(d, quick))
	body, headers := request("1", "tools/call", `{"name":"crm__get","arguments":{"id":"7"}}`, "")
	b.ReportAllocs()
	for b.Loop() {
		r, _ := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://localhost/mcp", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer run-a")
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := &discard{h: http.Header{}}
		if s.ServeHTTP(w, r); w.status != http.StatusOK {
			b.Fatal(w.status)
		}
	}
}

// discard is a ResponseWriter that keeps the status.
type discard struct {
	h      http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) WriteHeader(s int)           { d.status = s }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
