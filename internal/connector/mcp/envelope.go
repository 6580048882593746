package mcp

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"strings"
	"sync/atomic"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/wire/jsonrpc"
)

// The protocol's versions that we speak. Modern requests carry all about themselves;
// the others belong to a session that an initialize begins.
const (
	modern = "2026-07-28"
	newest = "2025-11-25"
	oldest = "2025-06-18"
)

const (
	metaVersion      = "io.modelcontextprotocol/protocolVersion"
	metaClient       = "io.modelcontextprotocol/clientInfo"
	metaCapabilities = "io.modelcontextprotocol/clientCapabilities"
	metaServer       = "io.modelcontextprotocol/serverInfo"
)

// lastID is the id of the last request of this process. It begins anywhere, so that
// no answer from before fits.
var lastID = firstID()

func firstID() *atomic.Int64 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // it never fails
	n := new(atomic.Int64)
	n.Store(int64(binary.BigEndian.Uint32(b[:])) << 8)
	return n
}

func nextID() jsonrpc.ID { return jsonrpc.IntID(lastID.Add(1)) }

// clientInfo is how we introduce ourselves.
var clientInfo = map[string]any{"name": "sallyport", "version": "1"}

// request is one message to a server: with its envelope, but for the credential.
type request struct {
	id      jsonrpc.ID // zero: a notification
	body    string
	headers map[string]string
}

// envelope makes a request of a method and its params in a server's era.
func (e era) envelope(method string, params json.RawMessage, id jsonrpc.ID, extra map[string]string) (request, error) {
	r := request{id: id, headers: map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}}
	for k, v := range extra {
		r.headers[k] = v
	}
	if len(params) == 0 {
		params = json.RawMessage(`{}`)
	}
	var o map[string]json.RawMessage
	if json.Unmarshal(params, &o) != nil {
		return r, fault.New(fault.Internal, "the params of a request are no object")
	}
	if e.version != "" {
		r.headers["MCP-Protocol-Version"] = e.version
	}
	if e.version == modern {
		meta, err := json.Marshal(map[string]any{metaVersion: modern, metaClient: clientInfo, metaCapabilities: map[string]any{}})
		if err != nil {
			return r, fault.New(fault.Internal, "the envelope can't be written")
		}
		o["_meta"] = meta
		r.headers["Mcp-Method"] = method
		name := ""
		switch method {
		case methodCall, methodPrompt:
			_ = json.Unmarshal(o["name"], &name) // it is a string: the Tool's schema says so
		case methodReadResource:
			_ = json.Unmarshal(o["uri"], &name)
		}
		if name != "" {
			r.headers["Mcp-Name"] = headerValue(name)
		}
	} else if e.session != "" {
		r.headers["Mcp-Session-Id"] = e.session
	}
	if len(o) > 0 || !id.IsZero() {
		b, err := json.Marshal(o)
		if err != nil {
			return r, fault.New(fault.Internal, "the params can't be written")
		}
		params = b
	}
	r.body = string(jsonrpc.AppendRequest(nil, id, method, params))
	return r, nil
}

// mirrored are the headers that repeat arguments, by the pinned definition.
func mirrored(params []param, call json.RawMessage) map[string]string {
	var c struct {
		Arguments map[string]any `json:"arguments"`
	}
	d := json.NewDecoder(strings.NewReader(string(call)))
	d.UseNumber()
	if len(params) == 0 || d.Decode(&c) != nil {
		return nil
	}
	out := map[string]string{}
	for _, p := range params {
		var v any = c.Arguments
		for _, key := range p.path {
			o, ok := v.(map[string]any)
			if v = o[key]; !ok {
				v = nil
			}
		}
		switch v := v.(type) {
		case string:
			out[p.header] = headerValue(v)
		case bool:
			out[p.header] = map[bool]string{true: "true", false: "false"}[v]
		case json.Number:
			out[p.header] = headerValue(v.String())
		}
	}
	return out
}

// headerValue is a value as a header has it: as it is where that is safe, else in
// base64 between the specification's marks.
func headerValue(s string) string {
	const begin, end = "=?base64?", "?="
	plain := strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
	if plain && !(strings.HasPrefix(s, begin) && strings.HasSuffix(s, end)) {
		return s
	}
	return begin + base64.StdEncoding.EncodeToString([]byte(s)) + end
}
