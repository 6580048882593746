package mcptest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// WithTasks are the capabilities of a client that takes tasks.
const WithTasks = `{"extensions":{"io.modelcontextprotocol/tasks":{}}}`

// Client is a client of revision 2026-07-28.
type Client struct {
	URL, Token   string
	Capabilities string       // as JSON; empty: none
	HTTP         *http.Client // never nil
}

// Answer is what a request got: the last message, and how many came before it.
type Answer struct {
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
	Before int `json:"-"`
}

// Text is the first text of a tool's result.
func (a Answer) Text() string {
	var r struct {
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
	}
	if json.Unmarshal(a.Result, &r) != nil || len(r.Content) == 0 {
		return ""
	}
	return r.Content[0].Text
}

// Field is a member of the result, by its path, as text; empty where there is none.
func (a Answer) Field(path ...string) string {
	var v any
	_ = json.Unmarshal(a.Result, &v)
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// Tool calls one; args are a JSON object.
func (c Client) Tool(ctx context.Context, name, args string) (Answer, error) {
	return c.Do(ctx, "1", "tools/call", fmt.Sprintf(`{"name":%q,"arguments":%s}`, name, args))
}

// Task asks for a task.
func (c Client) Task(ctx context.Context, id string) (Answer, error) {
	return c.Do(ctx, "1", "tasks/get", fmt.Sprintf(`{"taskId":%q}`, id))
}

// Do sends one request, and reads until its answer; id is JSON, params an object.
func (c Client) Do(ctx context.Context, id, method, params string) (a Answer, err error) {
	caps := c.Capabilities
	if caps == "" {
		caps = "{}"
	}
	var p map[string]json.RawMessage
	if err := json.Unmarshal([]byte(params), &p); err != nil {
		return a, err
	}
	p["_meta"] = json.RawMessage(`{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":` + caps + `,"progressToken":"p1"}`)
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": json.RawMessage(id), "method": method, "params": p})
	if err != nil {
		return a, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	for k, v := range map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "Authorization": "Bearer " + c.Token,
		"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method} {
		req.Header.Set(k, v)
	}
	for _, f := range []string{"name", "uri", "taskId"} {
		var s string
		if json.Unmarshal(p[f], &s) == nil {
			req.Header.Set("Mcp-Name", s)
		}
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return a, err
	}
	defer func() { _ = resp.Body.Close() }()
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		err := json.NewDecoder(resp.Body).Decode(&a)
		if err != nil {
			err = fmt.Errorf("status %s: %w", resp.Status, err)
		}
		return a, err
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 8<<20)
	for n := 0; lines.Scan(); {
		d, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		if a = (Answer{Before: n}); json.Unmarshal(d, &a) == nil && (a.Result != nil || a.Error != nil) {
			return a, nil
		}
		n++
	}
	if err := lines.Err(); err != nil {
		return a, err
	}
	return a, io.ErrUnexpectedEOF
}
