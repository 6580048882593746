// Package http makes an Integration of an HTTP API out of its OpenAPI document
// (3.0 or 3.1): one Tool for each operation, arguments as one flat, closed
// object.
//
// It refuses a document that seems to hold a secret or refers out of itself.
// The document's servers and security schemes decide nothing: the Integration's
// base URL does, and the vault's door. An operation that can't be offered
// faithfully (an upload, a form, a path parameter that is a list) is left out
// and listed by [Kind.Skipped].
//
// Arguments: path, query and header parameters under their names; a JSON body's
// properties beside them where the body is a plain closed object and no name is
// taken twice, else the body as a whole under "body".
//
// # Security
//
// No Tool has a parameter for a credential, Host, cookies, forwarding, framing
// or idempotency (forbidden.go). A path value stays one segment. What is
// rendered is checked again before it is sent: origin, base path, method,
// parameters, headers. A write leaves once; no redirect is followed.
package http

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// The defaults of an Integration.
const (
	defaultTimeout = 30 * time.Second
	defaultMaxBody = 1 << 20
	largestBody    = 64 << 20
)

// Kind is an HTTP API, ready to use.
type Kind struct {
	origin  resource.Origin
	network resource.Network
	base    string // origin and base path, no slash at the end
	timeout time.Duration
	maxBody int64
	ops     map[string]*operation
	tools   []connector.Tool
	skipped []Skip
}

// Skip is an operation that is not offered as a Tool.
type Skip struct {
	Place string // JSON pointer into the document
	Why   string
}

var _ connector.Kind = (*Kind)(nil)

// New makes the Kind of an Integration whose HTTP part is set. Errors are of
// kind Invalid and name the place in the document.
func New(in *resource.Integration) (*Kind, error) {
	if in.HTTP == nil {
		return nil, fault.New(fault.Invalid, "the Integration has no http part")
	}
	h := in.HTTP
	origin, u, err := dial.Base(h.BaseURL, h.Network)
	if err != nil {
		return nil, err
	}
	if h.Timeout < 0 || h.MaxBody < 0 || h.MaxBody > largestBody {
		return nil, fault.Newf(fault.Invalid, "timeout and maxBody can't be negative, nor maxBody over %d", largestBody)
	}
	d, err := load(h.OpenAPI)
	if err != nil {
		return nil, err
	}
	k := &Kind{
		origin: origin, network: h.Network, base: dial.URL(origin) + strings.TrimSuffix(u.EscapedPath(), "/"),
		timeout: h.Timeout.D(defaultTimeout), maxBody: h.MaxBody, ops: map[string]*operation{},
	}
	if k.maxBody == 0 {
		k.maxBody = defaultMaxBody
	}
	if err := k.addOperations(d, h.Tools); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(k.ops)) {
		k.tools = append(k.tools, k.ops[name].tool)
	}
	return k, nil
}

// Tools lists the Tools in the order of their names.
func (k *Kind) Tools() []connector.Tool { return slices.Clone(k.tools) }

// Skipped lists what the document has and is not offered, and why.
func (k *Kind) Skipped() []Skip { return slices.Clone(k.skipped) }

// Origin is where requests go.
func (k *Kind) Origin() resource.Origin { return k.origin }

// Network is what the Integration permits.
func (k *Kind) Network() resource.Network { return k.network }

// CheckAuth refuses, with kind Invalid, a Connection whose credential would be
// at a place that a Tool offers as an argument.
func (k *Kind) CheckAuth(a resource.Auth) error {
	in := map[resource.Scheme]string{resource.SchemeHeader: "header", resource.SchemeQuery: "query"}[a.Scheme]
	for _, t := range k.tools {
		if i := t.Idempotency; i != nil && in == "header" && sameName(i.Header, a.Name) {
			return fault.Newf(fault.Invalid, "the credential's header %q carries the idempotency key of the tool %q", fault.Quote(a.Name), t.Name).
				WithHint("a key is no secret, and a credential no key: name two headers")
		}
		for _, p := range k.ops[t.Name].Params {
			if p.In == in && sameName(p.Name, a.Name) {
				return fault.Newf(fault.Invalid, "the credential's %s %q is an argument of the tool %q", in, fault.Quote(a.Name), t.Name).
					WithHint("declare it as a security scheme in the OpenAPI document, or take the parameter out")
			}
		}
	}
	return nil
}

// sameName compares names of headers or parameters as lenient servers do: many
// take "_" and "-" for one.
func sameName(a, b string) bool {
	dashed := func(s string) string { return strings.ReplaceAll(s, "_", "-") }
	return strings.EqualFold(dashed(a), dashed(b))
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

// Do sends a rendered request once. See [classify] for what an answer means.
func (k *Kind) Do(ctx context.Context, door http.RoundTripper, call connector.Call) connector.Answer {
	tool, req := call.Tool, call.Request
	op, err := k.op(tool)
	if err == nil {
		err = k.admits(op, req)
	}
	if err != nil {
		return connector.Answer{Outcome: connector.NotSent, Err: err}
	}
	write := op.tool.Effect != resource.Read
	reply, out, err := dial.Send(ctx, door, req, dial.Call{Write: write, Timeout: k.timeout, MaxBody: k.maxBody})
	if err != nil {
		return connector.Answer{Outcome: out, Status: reply.Status, Type: reply.Type, Err: err, Passing: reply.Passing}
	}
	a := classify(op, reply, write)
	a.RetryAfter, a.Passing = reply.RetryAfter, reply.Passing
	return a
}

// admits checks that a request is one that Render of this Tool could have made.
// It comes from the store, where it waited for a Decision.
func (k *Kind) admits(op *operation, req intent.Request) error {
	rest, ok := strings.CutPrefix(req.URL, k.base)
	path, query, _ := strings.Cut(rest, "?")
	if req.Method != op.Method || !ok || !op.pattern.MatchString(path) || dotSegment(path) {
		return fault.New(fault.Internal, "the request is not one of this tool")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return fault.New(fault.Internal, "the request's query can't be read")
	}
	for name := range values {
		if !op.asks(name) {
			return fault.New(fault.Internal, "the request has a query parameter that this tool does not send")
		}
	}
	for name := range req.Headers {
		if !op.sends(name) {
			return fault.New(fault.Internal, "the request has a header that this tool does not send")
		}
	}
	return nil
}
