package ticketing_test

import (
	"strings"
	"testing"

	"sallyport.dev/examples/vendor-onboarding/system/systemtest"
)

const bearer = "Authorization: Bearer canary-ticket-token"

type mcpAnswer struct {
	Result struct {
		ProtocolVersion   string
		Tools             []struct{ Name string }
		IsError           bool
		StructuredContent struct {
			ID    string
			Count int
		}
	}
	Error *struct {
		Code    int
		Message string
	}
}

func speak(t *testing.T, s *systemtest.Server, method, params string) mcpAnswer {
	t.Helper()
	a := s.Do("POST", "/mcp", `{"jsonrpc":"2.0","id":7,"method":"`+method+`","params":`+params+`}`, bearer, "Mcp-Protocol-Version: 2025-11-25")
	if a.Status != 200 {
		t.Fatalf("%s: %+v", method, a)
	}
	var m mcpAnswer
	a.JSON(t, &m)
	return m
}

func TestTicketsAreFiledAndFoundOverMCP(t *testing.T) {
	s := start(t, t.TempDir())
	if m := speak(t, s, "initialize", `{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}`); m.Result.ProtocolVersion != "2025-06-18" {
		t.Errorf("initialize: %+v", m)
	}
	if a := s.Do("POST", "/mcp", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, bearer); a.Status != 202 {
		t.Errorf("a notification: %+v", a)
	}
	if m := speak(t, s, "tools/list", `{}`); len(m.Result.Tools) != 2 || m.Result.Tools[0].Name != "createTicket" {
		t.Errorf("tools: %+v", m)
	}
	made := speak(t, s, "tools/call", `{"name":"createTicket","arguments":{"title":"Vendor onboarded","body":"there","reference":"V-200001","client_reference":"int_1"}}`)
	if made.Result.IsError || made.Result.StructuredContent.ID != "T-10001" {
		t.Errorf("createTicket: %+v", made)
	}
	if m := speak(t, s, "tools/call", `{"name":"findTickets","arguments":{"client_reference":"int_1"}}`); m.Result.StructuredContent.Count != 1 {
		t.Errorf("findTickets: %+v", m)
	}
	for _, bad := range []string{
		`{"name":"createTicket","arguments":{"title":"","body":"b","reference":"V-1"}}`, `{"name":"createTicket","arguments":{"title":"t","body":"b","reference":"V-1","id":"T-1"}}`,
		`{"name":"createTicket"}`, `{"name":"findTickets","arguments":{}}`, `{"name":"dropTickets","arguments":{}}`, `[]`,
	} {
		if m := speak(t, s, "tools/call", bad); m.Error == nil || m.Error.Code != -32602 {
			t.Errorf("%s: %+v", bad, m)
		}
	}
	if got := s.Stats().Durable["tickets"]; got != 1 {
		t.Errorf("tickets = %d", got)
	}
}

func TestEachCredentialIsGoodForItsOwnDoorOnly(t *testing.T) {
	s := start(t, t.TempDir())
	list := `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	for name, c := range map[string]struct {
		method, path, body, with string
		status                   int
	}{
		"no token":             {"POST", "/mcp", list, "Accept: */*", 401},
		"the login over MCP":   {"POST", "/mcp", list, login, 401},
		"the login as a token": {"POST", "/mcp", list, "Authorization: Bearer worker:canary-ticket-pw", 403},
		"the token at the API": {"GET", "/v1/tickets?reference=V-1", "", bearer, 401},
		"another revision":     {"POST", "/mcp", list, bearer + "\nMcp-Protocol-Version: 2026-07-28", 400},
		"no JSON":              {"POST", "/mcp", "{", bearer, 400},
		"no request":           {"POST", "/mcp", `{"jsonrpc":"2.0","id":1}`, bearer, 400},
		"more than fits":       {"POST", "/mcp", strings.Repeat(" ", 65<<10), bearer, 413},
	} {
		if a := s.Do(c.method, c.path, c.body, strings.Split(c.with, "\n")...); a.Status != c.status {
			t.Errorf("%s: %+v", name, a)
		}
	}
}
