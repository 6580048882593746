package mcpgateway_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// answer is an answer as a client reads it.
type answer struct {
	status  int
	header  http.Header
	events  []message // all that came, the answer last; of JSON just that
	comment bool
}

type message struct {
	ID     any             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int
		Message string
		Data    json.RawMessage
	} `json:"error"`
}

func (a answer) last() message {
	if len(a.events) == 0 {
		return message{}
	}
	return a.events[len(a.events)-1]
}

// text is the first text of a tool's result.
func (a answer) text() string {
	var r struct{ Content []struct{ Text string } }
	_ = json.Unmarshal(a.last().Result, &r)
	if len(r.Content) == 0 {
		return ""
	}
	return r.Content[0].Text
}

// field reads one of the result's members, by its path.
func (a answer) field(path ...string) any {
	var v any
	_ = json.Unmarshal(a.last().Result, &v)
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	return v
}

func (a answer) code() int {
	if e := a.last().Error; e != nil {
		return e.Code
	}
	return 0
}

// send posts a body with headers, and reads all that comes back.
func send(t testing.TB, ctx context.Context, url, token, body string, headers ...string) answer {
	t.Helper()
	a, err := trySend(ctx, url, token, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func trySend(ctx context.Context, url, token, body string, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return a.stream(resp.Body)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil || len(bytes.TrimSpace(b)) == 0 {
		return a, err
	}
	var m message
	if err := json.Unmarshal(b, &m); err != nil {
		return a, err
	}
	a.events = append(a.events, m)
	return a, nil
}

func (a answer) stream(r io.Reader) (answer, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		a.comment = a.comment || lines.Text() == ":"
		if d, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var m message
			if err := json.Unmarshal([]byte(d), &m); err != nil {
				return a, err
			}
			a.events = append(a.events, m)
		}
	}
	return a, lines.Err()
}

// request makes a message of 2026-07-28 and its headers.
func request(id, method, params, caps string) (string, []string) {
	if caps == "" {
		caps = "{}"
	}
	meta := `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":` + caps + `,"progressToken":"p1"}`
	in := strings.TrimSpace(params)
	if in == "" || in == "{}" {
		in = "{" + meta + "}"
	} else {
		in = "{" + meta + "," + in[1:]
	}
	headers := []string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", method}
	var p map[string]any
	_ = json.Unmarshal([]byte(in), &p)
	for _, f := range []string{"name", "uri", "taskId"} {
		if s, ok := p[f].(string); ok {
			headers = append(headers, "Mcp-Name", s)
		}
	}
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"` + method + `","params":` + in + `}`, headers
}

const withTasks = `{"extensions":{"io.modelcontextprotocol/tasks":{}}}`

// modern sends a request of 2026-07-28.
func modern(t testing.TB, url, token, method, params string, caps ...string) answer {
	t.Helper()
	body, headers := request("1", method, params, strings.Join(caps, ""))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return send(t, ctx, url, token, body, headers...)
}

// tools calls a tool.
func callTool(t testing.TB, url, token, name, args string, caps ...string) answer {
	t.Helper()
	return modern(t, url, token, "tools/call", `{"name":"`+name+`","arguments":`+args+`}`, caps...)
}
