package mcpgateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/mcpgateway"
)

const hello = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`

// began initializes a session and gives its id.
func began(t *testing.T, url, token string) string {
	t.Helper()
	a := send(t, t.Context(), url, token, hello)
	id := a.header.Get("Mcp-Session-Id")
	if a.field("protocolVersion") != "2025-06-18" || id == "" || a.field("resultType") != nil {
		t.Fatalf("initialized: %s", a.last().Result)
	}
	if a = send(t, t.Context(), url, token, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, "Mcp-Session-Id", id); a.status != http.StatusAccepted {
		t.Fatalf("initialized is answered with %d", a.status)
	}
	return id
}

func legacy(t *testing.T, url, token, session, body string) answer {
	t.Helper()
	return send(t, t.Context(), url, token, body, "Mcp-Session-Id", session, "MCP-Protocol-Version", "2025-06-18")
}

const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`

func TestAnOlderClientCallsToolsInItsSession(t *testing.T) {
	url := door(t, company())
	id := began(t, url, "run-a")
	a := legacy(t, url, "run-a", id, `{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"crm__get","arguments":{"id":"7"}}}`)
	if a.last().ID != "x" || a.field("structuredContent", "id") != "7" || a.field("resultType") != nil {
		t.Errorf("the answer is %+v", a.last())
	}
	a = legacy(t, url, "run-a", id, `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"_meta":{"progressToken":7},"name":"erp__create","arguments":`+create+`}}`)
	if len(a.events) < 3 || a.field("structuredContent", "status") != "pending" || !strings.Contains(string(a.events[0].Params), `"progressToken":7`) {
		t.Errorf("a write: %+v", a.events)
	}
	for _, method := range []string{"tasks/get", "tasks/result", "server/discover", "subscriptions/listen", "nonsense"} {
		if a = legacy(t, url, "run-a", id, `{"jsonrpc":"2.0","id":3,"method":"`+method+`","params":{"taskId":"x"}}`); a.code() != -32601 {
			t.Errorf("%s: %+v", method, a.last())
		}
	}
}

func TestASessionIsOfThePrincipalThatBeganIt(t *testing.T) {
	d := company()
	base := strings.TrimSuffix(door(t, d), "/mcp")
	id := began(t, base+"/mcp", "run-a")
	for what, a := range map[string]answer{
		"another Run":     legacy(t, base+"/mcp", "run-b", id, ping),
		"a Worker":        legacy(t, base+"/mcp", "worker-a", id, ping),
		"another path":    legacy(t, base+"/mcp/onboard", "run-a", id, ping),
		"another id":      legacy(t, base+"/mcp", "run-a", id+"x", ping),
		"another process": legacy(t, door(t, d), "run-a", id, ping),
	} {
		if a.status != http.StatusNotFound {
			t.Errorf("%s: status %d", what, a.status)
		}
	}
	if a := send(t, t.Context(), base+"/mcp", "run-a", ping); a.status != http.StatusBadRequest {
		t.Errorf("without a session: status %d", a.status)
	}
	if a := send(t, t.Context(), base+"/mcp", "run-a", ping, "Mcp-Session-Id", id, "MCP-Protocol-Version", "2025-11-25"); a.status != http.StatusBadRequest {
		t.Errorf("with another revision: status %d", a.status)
	}
	if a := legacy(t, base+"/mcp", "run-a", id, ping); a.status != http.StatusOK {
		t.Errorf("its own: status %d", a.status)
	}
}

func TestSessionsEndByDELETEByTimeAndByTooManyOfTheirCaller(t *testing.T) {
	now := time.Now()
	c := config(company(), quick)
	c.Now = func() time.Time { return now }
	url := serve(t, mcpgateway.New(c)).URL + "/mcp"
	deleted, first, other := began(t, url, "run-a"), began(t, url, "run-a"), began(t, url, "run-b")
	for _, token := range []string{"run-b", "run-a"} { // only the second may
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodDelete, url, nil)
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Mcp-Session-Id", deleted)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if want := map[string]int{"run-b": http.StatusNotFound, "run-a": http.StatusNoContent}[token]; resp.StatusCode != want {
			t.Errorf("DELETE by %s: status %d", token, resp.StatusCode)
		}
	}
	if a := legacy(t, url, "run-a", deleted, ping); a.status != http.StatusNotFound {
		t.Errorf("after DELETE: status %d", a.status)
	}
	now = now.Add(time.Second)
	last := ""
	for range 16 {
		last = began(t, url, "run-a")
	}
	if legacy(t, url, "run-a", first, ping).status != http.StatusNotFound || legacy(t, url, "run-a", last, ping).status != http.StatusOK || legacy(t, url, "run-b", other, ping).status != http.StatusOK {
		t.Error("too many sessions have not ended the caller's oldest alone")
	}
	now = now.Add(31 * time.Minute)
	if legacy(t, url, "run-b", other, ping).status != http.StatusNotFound {
		t.Error("a session that nobody used goes on")
	}
}

func TestThereIsNoStreamToGET(t *testing.T) {
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, door(t, company()), nil)
	req.Header.Set("Authorization", "Bearer run-a")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "POST, DELETE" {
		t.Errorf("status %d, allowed %s", resp.StatusCode, resp.Header.Get("Allow"))
	}
}

func TestAnUnknownRevisionIsToldWhichThereAre(t *testing.T) {
	body, headers := request("1", "tools/list", "{}", "")
	body, headers[1] = strings.ReplaceAll(body, "2026-07-28", "1900-01-01"), "1900-01-01"
	a := send(t, t.Context(), door(t, company()), "run-a", body, headers...)
	if a.status != http.StatusBadRequest || a.code() != -32022 || !strings.Contains(string(a.last().Error.Data), `"supported":["2026-07-28","2025-11-25","2025-06-18"]`) {
		t.Errorf("status %d: %+v", a.status, a.last().Error)
	}
}

func TestAWorkerBeginsARunOfItsMission(t *testing.T) {
	d := company()
	base := strings.TrimSuffix(door(t, d), "/mcp")
	url := base + "/mcp/onboard"
	if a := modern(t, url, "worker-w", "tools/list", "{}"); !strings.Contains(string(a.last().Result), "crm__get") || !strings.Contains(string(a.last().Result), `"input":{"type":"object","required":["vendor"]}`) {
		t.Errorf("before: %s", a.last().Result)
	}
	if a := callTool(t, url, "worker-w", "crm__get", `{"id":"1"}`); a.field("isError") != true || !strings.Contains(a.text(), "start_run") || !strings.Contains(a.text(), "vendor") || len(d.open) != 0 {
		t.Errorf("called before: %s", a.last().Result)
	}
	if a := callTool(t, url, "worker-w", "start_run", `{"input":{"vendor":"ACME"}}`); a.field("structuredContent", "run") != "of-w" {
		t.Errorf("started: %s", a.last().Result)
	}
	if a := callTool(t, url, "worker-w", "crm__get", `{"id":"1"}`); a.field("structuredContent", "id") != "1" {
		t.Errorf("called: %s", a.last().Result)
	}
	callTool(t, url, "worker-w", "note_observation", `{"kind":"plan","title":"First the checks."}`)
	callTool(t, url, "worker-w", "end_run", `{"verdict":"done"}`)
	if d.ended["of-w"] != "done" || fmt.Sprint(d.noted) != "[plan: First the checks.]" {
		t.Errorf("ended %v, noted %v", d.ended, d.noted)
	}
	if a := callTool(t, url, "run-a", "start_run", `{}`); a.field("isError") != true {
		t.Errorf("a Run has started a Run: %s", a.last().Result)
	}
	if a := callTool(t, base+"/mcp/payroll", "run-a", "crm__get", `{"id":"1"}`); a.field("isError") != true || d.executed["get"] != 1 {
		t.Errorf("a token of another Mission's Run: %s", a.last().Result)
	}
}
