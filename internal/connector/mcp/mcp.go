// Package mcp makes an Integration of a server that speaks the Model Context
// Protocol (2026-07-28, 2025-11-25 or 2025-06-18): one Tool for each tool whose
// definition the operator has pinned, and Tools that read its resources and
// prompts.
//
// It refuses a definition that is too large or too deep, whose references lead out
// of it or multiply, and two tools whose names become one. What it leaves out it
// lists by [Kind.Skipped]. It offers a server no capability, and answers nothing
// that a server asks: such a call ends, with a [connector.Notice] for a person.
//
// # Security
//
// A server's word is not believed. Every tool is a write until the operator says
// read; annotations change nothing. Before a call the server's list is compared
// with the pins: a tool that is changed, missing or there twice is not called.
// Sessions and lists belong to one credential and are never used with another.
// Answers are bounded in bytes, events and time, and only the answer to our own id
// counts. A request without its envelope is what was approved; the envelope
// (version, session, id, mirrored headers) is made here and says nothing else.
package mcp

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// The defaults and limits of an Integration.
const (
	defaultTimeout = 60 * time.Second
	defaultMaxBody = 4 << 20
	largestBody    = 64 << 20
)

// Kind is an MCP server, ready to use.
type Kind struct {
	origin  resource.Origin
	network resource.Network
	url     string
	stdio   bool
	timeout time.Duration
	maxBody int64
	ops     map[string]*operation
	tools   []connector.Tool
	skipped []Skip
	peers   peers
	now     func() time.Time
}

// Skip is a tool that is not offered.
type Skip struct {
	Name string // as the server calls it, bounded
	Why  string
}

var _ connector.Kind = (*Kind)(nil)

// New makes the Kind of an Integration whose MCP part is set. Errors are of kind
// Invalid.
func New(in *resource.Integration) (*Kind, error) {
	if in.MCP == nil {
		return nil, fault.New(fault.Invalid, "the Integration has no mcp part")
	}
	m := in.MCP
	if m.Timeout < 0 || m.MaxBody < 0 || m.MaxBody > largestBody {
		return nil, fault.Newf(fault.Invalid, "timeout and maxBody can't be negative, nor maxBody over %d", largestBody)
	}
	k := &Kind{network: m.Network, timeout: m.Timeout.D(defaultTimeout), maxBody: m.MaxBody, ops: map[string]*operation{}, now: time.Now}
	if k.maxBody == 0 {
		k.maxBody = defaultMaxBody
	}
	raw := m.URL
	if m.Stdio != nil {
		// The door of a child takes it; nothing resolves the name.
		k.stdio, raw, k.network = true, resource.StdioURL(in.Name), resource.Network{}
		k.url = raw
		k.origin = resource.Origin{Scheme: "http", Host: strings.TrimPrefix(raw, "http://") + ":80"}
	} else {
		origin, u, err := dial.Base(raw, m.Network)
		if err != nil {
			return nil, err
		}
		k.origin, k.url = origin, dial.URL(origin)+u.EscapedPath()
	}
	if len(m.Definitions) == 0 {
		return k, nil
	}
	d, err := ReadDefinitions(m.Definitions)
	if err != nil {
		return nil, err
	}
	return k, k.add(d, m.Tools)
}

// Tools lists the Tools in the order of their names.
func (k *Kind) Tools() []connector.Tool { return slices.Clone(k.tools) }

// Skipped lists what the definitions have and is not offered, and why.
func (k *Kind) Skipped() []Skip { return slices.Clone(k.skipped) }

// Origin is where requests go.
func (k *Kind) Origin() resource.Origin { return k.origin }

// Network is what the Integration permits.
func (k *Kind) Network() resource.Network { return k.network }

// ownHeaders are those that the transport sets by itself.
var ownHeaders = []string{"Accept", "Content-Type", "User-Agent", "Mcp-Session-Id", "Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name", "Last-Event-Id"}

// CheckAuth refuses, with kind Invalid, a credential in a header of the protocol's.
func (k *Kind) CheckAuth(a resource.Auth) error {
	if a.Scheme != resource.SchemeHeader {
		return nil
	}
	name := http.CanonicalHeaderKey(a.Name)
	if slices.Contains(ownHeaders, name) || strings.HasPrefix(name, paramPrefix) {
		return fault.Newf(fault.Invalid, "the header %s is the protocol's own", fault.Quote(name))
	}
	return nil
}

func (k *Kind) op(tool string) (*operation, error) {
	op, ok := k.ops[tool]
	if !ok {
		return nil, fault.Newf(fault.NotFound, "there is no tool %q", fault.Quote(tool))
	}
	return op, nil
}

// Check validates arguments against the Tool's schema; kind Invalid.
func (k *Kind) Check(tool string, args json.RawMessage) error {
	op, err := k.op(tool)
	if err != nil {
		return err
	}
	return op.checker.Check(args)
}

// Render writes the call without its envelope: eras may change without voiding what
// was approved. The protocol has no place for a reference.
func (k *Kind) Render(tool string, args json.RawMessage, reference string) (intent.Request, error) {
	op, err := k.op(tool)
	if err != nil {
		return intent.Request{}, err
	}
	params := args
	if op.method == methodCall {
		if args, err = op.referred(args, reference); err != nil {
			return intent.Request{}, err
		}
		if params, err = intent.Marshal(map[string]any{"name": op.name, "arguments": args}); err != nil {
			return intent.Request{}, err
		}
	}
	b, err := intent.Marshal(map[string]any{"method": op.method, "params": params})
	if err != nil {
		return intent.Request{}, err
	}
	return intent.Request{Method: http.MethodPost, URL: k.url, Body: string(b)}, nil
}

// Do makes the call: the server's list is compared with the pin first, then the
// request leaves once. See [classify] for what an answer means.
func (k *Kind) Do(ctx context.Context, door http.RoundTripper, call connector.Call) connector.Answer {
	op, err := k.op(call.Tool)
	var params json.RawMessage
	if err == nil {
		params, err = k.admits(op, call.Request)
	}
	if err != nil {
		return connector.Answer{Outcome: connector.NotSent, Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	p := k.peers.of(call.Credential)
	s := &line{k: k, door: door, peer: p}
	view, failed := s.view(ctx)
	if failed != nil {
		return failed.before()
	}
	if n := view.compare(op); n != nil {
		return connector.Answer{Outcome: connector.NotSent, Notice: n, Err: noticeError(n)}
	}
	write := op.tool.Effect != resource.Read
	for again := false; ; again = true {
		m, failed := s.call(ctx, view, op, params, write)
		if failed != nil && failed.session && !write && !again {
			// The server has forgotten the session, so it did not look at the request.
			if view, failed = s.view(ctx); failed != nil {
				return failed.before()
			}
			continue
		}
		return k.classify(op, m, failed, write)
	}
}

// admits checks that a request is one that Render of this Tool could have made, and
// gives its params. It comes from the store, where it waited for a Decision.
func (k *Kind) admits(op *operation, req intent.Request) (json.RawMessage, error) {
	var body struct {
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	if req.Method != http.MethodPost || req.URL != k.url || len(req.Headers) > 0 || json.Unmarshal([]byte(req.Body), &body) != nil || body.Method != op.method {
		return nil, fault.New(fault.Internal, "the request is not one of this tool")
	}
	if op.method == methodCall {
		var p struct {
			Name string `json:"name"`
		}
		if json.Unmarshal(body.Params, &p) != nil || p.Name != op.name {
			return nil, fault.New(fault.Internal, "the request is not one of this tool")
		}
	}
	return body.Params, nil
}
