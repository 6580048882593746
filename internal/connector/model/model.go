// Package model makes an Integration of a language model's chat-completion
// endpoint: any server that speaks OpenAI's protocol, or Anthropic's.
//
// Its one Tool is "complete", a read: a transcript and tools in, text and tool
// calls out, in terms that are the same for both ([Request], [Response]).
//
// It refuses tools that run at the provider, storing at the provider,
// streaming, and an answer that is not a completion. It reads no environment
// variable: the providers' SDKs are used for their types alone, and the
// request goes through the vault's door like any other.
//
// # Security
//
// What a model says is a Worker's: untrusted. A call of a tool that it was not
// given, or with arguments that are no JSON object, comes back marked
// ([ToolCall].Problem), with empty arguments, and can't be executed by mistake.
package model

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/connector/schema"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// Complete is the name of the Tool.
const Complete = "complete"

const (
	defaultTimeout   = 120 * time.Second
	defaultMaxTokens = 4096
	maxBody          = 4 << 20 // bytes of an answer
	maxTokens        = 1 << 40 // that a usage can claim; sums stay far from overflow
)

// codec is one provider's protocol: pure functions between our terms and its.
type codec interface {
	encode(model string, maxTokens int, r Request) ([]byte, error)
	// decode may trust nothing; its errors have a fixed text.
	decode(body []byte) (Response, connector.Usage, error)
	headers() map[string]string
}

// Kind is a model, ready to use.
type Kind struct {
	origin  resource.Origin
	m       resource.Model
	url     string
	codec   codec
	checker *schema.Checker
	tool    connector.Tool
}

var _ connector.Kind = (*Kind)(nil)

// New makes the Kind of an Integration whose Model part is set; kind Invalid.
func New(in *resource.Integration) (*Kind, error) {
	if in.Model == nil {
		return nil, fault.New(fault.Invalid, "the Integration has no model part")
	}
	k := &Kind{m: *in.Model}
	m := &k.m
	base, path := m.BaseURL, "/chat/completions"
	switch m.Provider {
	case "openai":
		if base == "" {
			base = "https://api.openai.com/v1"
		}
	case "anthropic":
		if base == "" {
			base = "https://api.anthropic.com"
		}
		if path = "/v1/messages"; strings.HasSuffix(strings.TrimSuffix(base, "/"), "/v1") {
			path = "/messages"
		}
	default:
		return nil, fault.Newf(fault.Invalid, "the model's provider %q is not known", fault.Quote(m.Provider)).
			WithHint("use openai (any server that speaks its protocol) or anthropic")
	}
	if m.Model == "" {
		return nil, fault.New(fault.Invalid, "the model has no name").WithHint("set model: to a name that the provider knows")
	}
	if m.MaxTokens < 0 || m.Timeout < 0 || m.InputPrice < 0 || m.OutputPrice < 0 {
		return nil, fault.New(fault.Invalid, "a limit or a price of the model is negative")
	}
	if m.MaxTokens == 0 {
		m.MaxTokens = defaultMaxTokens
	}
	origin, u, err := dial.Base(base, m.Network)
	if err != nil {
		return nil, err
	}
	k.origin, k.url = origin, dial.URL(origin)+strings.TrimSuffix(u.EscapedPath(), "/")+path
	k.codec = anthropicCodec{}
	if m.Provider == "openai" {
		k.codec = openaiCodec{own: u.Hostname() == "api.openai.com"}
	}
	return k, k.makeTool()
}

func (k *Kind) makeTool() (err error) {
	k.tool = connector.Tool{
		Name: Complete, Title: "Complete a conversation", Effect: resource.Read, Schema: json.RawMessage(requestSchema),
		Description: "Sends a transcript and the tools on offer to the model, and gives its text and tool calls.",
	}
	if k.checker, err = schema.Compile(k.tool.Schema); err != nil {
		return err
	}
	b, err := intent.Marshal(map[string]any{
		"version": 1, "schema": k.tool.Schema, "provider": k.m.Provider, "url": k.url, "model": k.m.Model, "maxTokens": k.m.MaxTokens,
	})
	k.tool.Digest = string(intent.SHA256(b))
	return err
}

// Tools is the one Tool.
func (k *Kind) Tools() []connector.Tool { return []connector.Tool{k.tool} }

// Origin is where requests go.
func (k *Kind) Origin() resource.Origin { return k.origin }

// Network is what the Integration permits.
func (k *Kind) Network() resource.Network { return k.m.Network }

// Check validates arguments; kind Invalid.
func (k *Kind) Check(tool string, args json.RawMessage) error {
	if tool != Complete {
		return noTool(tool)
	}
	return k.checker.Check(args)
}

func noTool(tool string) error {
	return fault.Newf(fault.NotFound, "a model has no tool %q", fault.Quote(tool))
}

// Render writes the provider's request. A completion is a read: the reference
// is not sent.
func (k *Kind) Render(tool string, args json.RawMessage, _ string) (intent.Request, error) {
	if tool != Complete {
		return intent.Request{}, noTool(tool)
	}
	var r Request
	if err := json.Unmarshal(args, &r); err != nil {
		return intent.Request{}, fault.New(fault.Invalid, "the arguments are not a completion request")
	}
	if err := r.check(); err != nil {
		return intent.Request{}, err
	}
	limit := k.m.MaxTokens // a Worker may ask for less, not for more
	if r.MaxTokens > 0 {
		limit = min(limit, r.MaxTokens)
	}
	b, err := k.codec.encode(k.m.Model, limit, r)
	if err != nil {
		return intent.Request{}, fault.New(fault.Invalid, "the transcript can't be written in the provider's terms")
	}
	if b, err = intent.Canonical(b); err != nil {
		return intent.Request{}, err
	}
	h := k.codec.headers()
	h["Accept"], h["Content-Type"] = "application/json", "application/json"
	return intent.Request{Method: http.MethodPost, URL: k.url, Headers: h, Body: string(b)}, nil
}

// Do sends a rendered request once. The Answer's body is a [Response].
func (k *Kind) Do(ctx context.Context, door http.RoundTripper, call connector.Call) connector.Answer {
	tool, req := call.Tool, call.Request
	if err := k.admits(tool, req); err != nil {
		return connector.Answer{Outcome: connector.NotSent, Err: err}
	}
	reply, out, err := dial.Send(ctx, door, req, dial.Call{Timeout: k.m.Timeout.D(defaultTimeout), MaxBody: maxBody})
	a := connector.Answer{Outcome: out, Status: reply.Status, Type: reply.Type, Err: err, RetryAfter: reply.RetryAfter, Passing: reply.Passing}
	if err != nil {
		return a
	}
	if reply.Status != http.StatusOK {
		a.Outcome, a.Err = refusal(reply)
		return a
	}
	resp, usage, err := k.codec.decode(reply.Body)
	if err == nil {
		usage = estimate(usage, req.Body, resp)
		usage.CostUSD = (float64(usage.InputTokens)*k.m.InputPrice + float64(usage.OutputTokens)*k.m.OutputPrice) / 1e6
		resp.Usage = usage
		err = resp.settle(offered(req.Body))
	}
	if err == nil {
		if a.Body, err = intent.Marshal(resp); err != nil { // canonical, so that Args stay so
			err = notCompletion()
		}
	}
	if err != nil {
		a.Outcome, a.Err, a.Body = connector.Unclear, err, nil
		return a
	}
	a.Type, a.Usage = "application/json", &usage
	return a
}

func (k *Kind) admits(tool string, req intent.Request) error {
	if tool != Complete {
		return noTool(tool)
	}
	own := k.codec.headers()
	for name, v := range req.Headers {
		if name != "Accept" && name != "Content-Type" && own[name] != v {
			return fault.New(fault.Internal, "the request has a header that a completion does not send")
		}
	}
	if req.Method != http.MethodPost || req.URL != k.url {
		return fault.New(fault.Internal, "the request is not one of this model")
	}
	return nil
}

// refusal says what a status other than 200 means. The provider's own words
// are cut to a quote.
func refusal(r dial.Reply) (connector.Outcome, error) {
	var said struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	words := ""
	if json.Unmarshal(r.Body, &said) == nil && said.Error.Message != "" {
		words = ": " + fault.Quote(said.Error.Message)
	}
	switch {
	case r.Status == http.StatusUnauthorized || r.Status == http.StatusForbidden:
		return connector.Refused, fault.Newf(fault.Denied, "the model's provider does not accept the Connection's credential (%d)", r.Status).
			WithHint("check the Connection's Secret and scheme: bearer for OpenAI's protocol, header x-api-key for Anthropic's")
	case r.Status == http.StatusTooManyRequests:
		return connector.Refused, fault.Newf(fault.Limit, "the model's provider takes no more requests at the moment (429)%s", words).WithHint("try again later")
	case r.Status == http.StatusNotFound:
		return connector.Refused, fault.Newf(fault.NotFound, "the model's provider does not have the model or the path (404)%s", words).
			WithHint("check the Integration's baseURL and model")
	case r.Status >= 300 && r.Status < 400:
		return connector.Refused, fault.Newf(fault.Unavailable, "the model's provider answered with a redirect (%d), and redirects are not followed", r.Status)
	case r.Status >= 400 && r.Status < 500 && r.Status != http.StatusRequestTimeout:
		return connector.Refused, fault.Newf(fault.Invalid, "the model's provider refused the request (%d)%s", r.Status, words)
	}
	return connector.Unclear, fault.Newf(fault.Unavailable, "the model's provider answered with status %d%s", r.Status, words)
}

// offered lists the tools that a rendered request offers, in either protocol.
func offered(body string) []string {
	var r struct {
		Tools []struct {
			Name     string `json:"name"`
			Function struct {
				Name string `json:"name"`
			} `json:"function"`
		} `json:"tools"`
	}
	if json.Unmarshal([]byte(body), &r) != nil {
		return nil
	}
	var out []string
	for _, t := range r.Tools {
		out = append(out, t.Name+t.Function.Name)
	}
	return slices.Compact(out)
}

// estimate stands in for a usage that the server does not give, or gives as
// less than nothing: about four bytes a token. A limit that counts nothing
// limits nothing.
func estimate(u connector.Usage, sent string, r Response) connector.Usage {
	if u.InputTokens <= 0 {
		u.InputTokens = int64(len(sent)+3) / 4
	}
	if u.OutputTokens <= 0 {
		n := len(r.Text)
		for _, c := range r.ToolCalls {
			n += len(c.Name) + len(c.Args)
		}
		u.OutputTokens = int64(n+3) / 4
	}
	u.InputTokens, u.OutputTokens = min(u.InputTokens, maxTokens), min(u.OutputTokens, maxTokens)
	return u
}
