package ticketing

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"sallyport.dev/examples/vendor-onboarding/system"
)

// The same tickets are reached over the Model Context Protocol too, at POST /mcp:
// streamable HTTP of the revisions 2025-06-18 and 2025-11-25, without sessions,
// each answer as JSON. It has a credential of its own, a bearer token, that is
// good for nothing else here.

// The scopes of the system's credentials.
const (
	ScopeAPI = "tickets:api" // the operations of the OpenAPI document
	ScopeMCP = "tickets:mcp" // POST /mcp
)

var mcpRevisions = []string{"2025-11-25", "2025-06-18"}

// mcpTools is what tools/list answers with.
//
//go:embed mcp-tools.json
var mcpTools []byte

// Codes of JSON-RPC.
const (
	badJSON    = -32700
	badRequest = -32600
	noMethod   = -32601
	badParams  = -32602
)

const maxMessage = 64 << 10

type mcpMessage struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  any             `json:"result,omitempty"`
	Error   *mcpError       `json:"error,omitempty"`
}

type mcpError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// mcp answers one message.
func (s *store) mcp(w http.ResponseWriter, r *http.Request) {
	if v := r.Header.Get("Mcp-Protocol-Version"); v != "" && !slices.Contains(mcpRevisions, v) {
		mcpFail(w, http.StatusBadRequest, nil, badRequest, "this revision of the protocol is not spoken here; 2025-11-25 is")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
	if err != nil {
		mcpFail(w, http.StatusRequestEntityTooLarge, nil, badRequest, "the message could not be read, or is longer than 64 KiB")
		return
	}
	var m mcpMessage
	if json.Unmarshal(body, &m) != nil {
		mcpFail(w, http.StatusBadRequest, nil, badJSON, "the body is not one JSON-RPC message")
		return
	}
	if m.Version != "2.0" || m.Method == "" {
		mcpFail(w, http.StatusBadRequest, nil, badRequest, "the body is not a JSON-RPC request")
		return
	}
	if m.ID == nil { // a notification
		w.WriteHeader(http.StatusAccepted)
		return
	}
	result, fail := s.mcpCall(m.Method, m.Params)
	if tool, ok := result.(map[string]any); ok && system.EchoText(r) != "" { // where a client looks
		if content, ok := tool["content"].([]any); ok {
			tool["content"] = append(content, map[string]any{"type": "text", "text": system.EchoText(r)})
		}
	}
	system.JSON(w, http.StatusOK, mcpMessage{Version: "2.0", ID: m.ID, Result: result, Error: fail})
}

func mcpFail(w http.ResponseWriter, status int, id json.RawMessage, code int, why string) {
	if id == nil {
		id = json.RawMessage("null")
	}
	system.JSON(w, status, mcpMessage{Version: "2.0", ID: id, Error: &mcpError{code, why}})
}

func (s *store) mcpCall(method string, params json.RawMessage) (any, *mcpError) {
	switch method {
	case "initialize":
		var p struct{ ProtocolVersion string }
		if json.Unmarshal(params, &p) != nil || !slices.Contains(mcpRevisions, p.ProtocolVersion) {
			p.ProtocolVersion = mcpRevisions[0]
		}
		return map[string]any{
			"protocolVersion": p.ProtocolVersion, "capabilities": map[string]any{"tools": map[string]any{}},
			"serverInfo": map[string]any{"name": "example-ticketing", "version": "1.0.0"},
		}, nil
	case "ping":
		return map[string]any{}, nil
	case "tools/list":
		return map[string]any{"tools": json.RawMessage(mcpTools)}, nil
	case "tools/call":
		var p struct {
			Name      string
			Arguments json.RawMessage
		}
		if json.Unmarshal(params, &p) != nil {
			return nil, &mcpError{badParams, "tools/call takes a name and arguments"}
		}
		return s.mcpTool(p.Name, p.Arguments)
	}
	return nil, &mcpError{noMethod, "there is no such method"}
}

// mcpDraft is what createTicket takes: a reference of the caller's by which the
// ticket is found again, as the header Client-Reference of the other API is.
type mcpDraft struct {
	Draft
	ClientReference string `json:"client_reference"`
}

func (s *store) mcpTool(name string, args json.RawMessage) (any, *mcpError) {
	switch name {
	case "createTicket":
		var d mcpDraft
		if !strict(args, &d) || !d.valid() || d.ClientReference != "" && !referenceForm.MatchString(d.ClientReference) {
			return nil, &mcpError{badParams, "a ticket needs a title of at most 200 bytes, a body of at most 10000, and references in letters, digits and _.:-"}
		}
		t, err := s.add(filed{Ticket: Ticket{Draft: d.Draft, ClientReference: d.ClientReference, CreatedAt: time.Now().UTC()}})
		if err != nil {
			return mcpResult(map[string]any{"error": "the ticket could not be stored"}, true), nil
		}
		return mcpResult(t.Ticket, false), nil
	case "findTickets":
		var q struct {
			Reference       string `json:"reference"`
			ClientReference string `json:"client_reference"`
		}
		if !strict(args, &q) || q.Reference == "" && q.ClientReference == "" {
			return nil, &mcpError{badParams, "one of reference and client_reference is needed"}
		}
		return mcpResult(s.matching(q.Reference, q.ClientReference), false), nil
	}
	return nil, &mcpError{badParams, "there is no such tool"}
}

// mcpResult is a CallToolResult with v as its structured content, and as text for
// clients that read only that.
func mcpResult(v any, failed bool) any {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte("{}") // what is given here always can be encoded
	}
	return map[string]any{"content": []any{map[string]any{"type": "text", "text": string(b)}}, "structuredContent": json.RawMessage(b), "isError": failed}
}

// strict decodes an object that has only the fields of v.
func strict(b []byte, v any) bool {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if d.Decode(v) != nil {
		return false
	}
	_, err := d.Token()
	return errors.Is(err, io.EOF) && strings.HasPrefix(strings.TrimSpace(string(b)), "{")
}
