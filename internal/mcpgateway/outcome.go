package mcpgateway

import (
	"bytes"
	"encoding/json"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/wire/jsonrpc"
)

// outcome is the CallToolResult of an Intent. Unavailable: what the system answered is
// none.
func (c *call) outcome(it intent.Intent) ([]byte, error) {
	if it.State.Open() {
		return c.pending(it)
	}
	if it.Result != nil && len(it.Result.Body) > 0 && (it.State == intent.Committed || it.State == intent.Failed) {
		return c.answered(it)
	}
	s, text := said{Executed: no, ID: it.ID, State: string(it.State), Why: it.Why}, ""
	why := func(what string) string {
		switch {
		case it.Why == "":
			return "NOT EXECUTED. " + what + "."
		case len(it.Why) >= len(what) && strings.EqualFold(it.Why[:len(what)], what): // the reason says so itself
			return "NOT EXECUTED. " + what + it.Why[len(what):]
		}
		return "NOT EXECUTED. " + what + ": " + it.Why
	}
	switch it.State {
	case intent.Committed:
		return note(line("Done.", notes(it)), nil)
	case intent.Rejected:
		s.Status, text = "rejected", why("An approver rejected it")
	case intent.Expired:
		s.Status, text = "expired", why("Nobody decided in time")
	case intent.Withdrawn:
		s.Status, text = "withdrawn", why("It was withdrawn")
	case intent.NotApplied:
		s.Status, text = "not_applied", why("It was sent, and was found not to have been applied")
	case intent.Failed:
		s.Status, s.Executed, text = "failed", nil, line("It failed: "+it.Why, notes(it))
	case intent.Denied, intent.Proposed, intent.Parked, intent.Approved, intent.Claimed, intent.Sending, intent.Unknown, intent.NeedsHuman:
		s.Status, text = "denied", why("It was denied")
	}
	return encode(toolResult{Content: []block{{"text", text}}, Structured: s, IsError: true})
}

// line joins two texts.
func line(a, b string) string {
	if b == "" {
		return a
	}
	return a + "\n" + b
}

// notes are what a Worker has to know besides the answer.
func notes(it intent.Intent) string {
	if it.Result == nil {
		return ""
	}
	out := it.Result.Note
	if it.Result.Edited != "" {
		out = line(out, "An approver changed it before it was sent: "+it.Result.Edited)
	}
	return out
}

// answered is what the system said.
func (c *call) answered(it intent.Intent) ([]byte, error) {
	failed, extra := it.State == intent.Failed, notes(it)
	if failed && it.Why != "" {
		extra = line("It failed: "+it.Why, extra)
	}
	if it.Result.ContentType == intent.MCPResult {
		b, err := passed(it.Result.Body, failed, extra, func(uri string) string { return c.Names.URI(it.Connection, uri) })
		if err == nil || it.Result.Redactions == 0 {
			return b, err
		} // scrubbing broke what held it together: what is left of it is told, since it has happened
	}
	r := toolResult{IsError: failed, Content: []block{{"text", string(it.Result.Body)}}}
	switch b := bytes.TrimSpace(it.Result.Body); {
	case len(b) > 0 && b[0] == '{' && it.Result.ContentType != intent.MCPResult:
		r.Structured = json.RawMessage(b)
	case len(b) > 0 && b[0] == '"':
		var s string
		if json.Unmarshal(b, &s) == nil {
			r.Content[0].Text = s
		}
	}
	if extra != "" {
		r.Content = append(r.Content, block{"text", extra})
	}
	return encode(r)
}

// passed is an upstream server's CallToolResult, of which what is known passes. The
// URIs of resources are given the names by which resources/read takes them.
func passed(body []byte, failed bool, extra string, ours func(uri string) string) ([]byte, error) {
	o, err := jsonrpc.ReadObject(body)
	if err != nil {
		return nil, errNoResult
	}
	content, ok := o.Get("content")
	if !ok {
		content = []byte("[]")
	} else if content[0] != '[' {
		return nil, errNoResult
	}
	if bytes.Contains(content, []byte(`"uri"`)) {
		content = renamed(content, ours)
	}
	if extra != "" {
		b, _ := json.Marshal(block{"text", extra}) // strings
		in := bytes.TrimSpace(content[1 : len(content)-1])
		grown := append([]byte{'['}, in...)
		if len(in) > 0 {
			grown = append(grown, ',')
		}
		content = append(append(grown, b...), ']')
	}
	out := append([]byte(`{"content":`), content...)
	if s, ok := o.Get("structuredContent"); ok && s[0] == '{' {
		out = append(append(out, `,"structuredContent":`...), s...)
	}
	if isError, _ := o.Bool("isError"); isError || failed {
		out = append(out, `,"isError":true`...)
	}
	return append(out, '}'), nil
}

// renamed gives the resources in a result's content our names.
func renamed(content []byte, ours func(uri string) string) []byte {
	var blocks []json.RawMessage
	if json.Unmarshal(content, &blocks) != nil {
		return content
	}
	out := []byte{'['}
	for _, raw := range blocks {
		if o, err := jsonrpc.ReadObject(raw); err == nil {
			switch kind, _ := o.Text("type"); kind {
			case "resource_link":
				raw = withURI(o, ours)
			case "resource":
				raw = replaced(o, "resource", func(v jsonrpc.Object) []byte { return withURI(v, ours) })
			}
		}
		out = append(append(out, raw...), ',')
	}
	return append(bytes.TrimSuffix(out, []byte(",")), ']')
}

// withURI is an object whose uri has our name.
func withURI(o jsonrpc.Object, ours func(uri string) string) []byte {
	return rewritten(o, func(m jsonrpc.Member) []byte {
		if uri, ok := o.Text("uri"); ok && m.Key == "uri" {
			return jsonrpc.AppendString(nil, ours(uri))
		}
		return m.Value
	})
}

// replaced is an object one of whose members, an object, is another.
func replaced(o jsonrpc.Object, key string, with func(jsonrpc.Object) []byte) []byte {
	return rewritten(o, func(m jsonrpc.Member) []byte {
		if v, ok := o.Object(key); ok && m.Key == key {
			return with(v)
		}
		return m.Value
	})
}

// rewritten is an object with other values.
func rewritten(o jsonrpc.Object, value func(jsonrpc.Member) []byte) []byte {
	out := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(jsonrpc.AppendString(out, m.Key), ':'), value(m)...)
	}
	return append(out, '}')
}

var errNoResult = fault.New(fault.Unavailable, "the upstream server's answer is no tool result")
