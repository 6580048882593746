package model_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/connector/model"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// conversation has every kind of turn.
var conversation = model.Request{
	Messages: []model.Message{
		{Role: model.System, Content: "You onboard vendors."},
		{Role: model.User, Content: "Onboard Acme."},
		{Role: model.Assistant, Content: "Looking.", ToolCalls: []model.ToolCall{
			{ID: "c1", Name: "erp__find", Args: json.RawMessage(`{"name":"Acme"}`)}, {ID: "c2", Name: "tax__verify", Args: json.RawMessage(`{}`)},
		}},
		{Role: model.ToolRole, Content: `{"vendors":[]}`, ToolCallID: "c1"},
		{Role: model.ToolRole, Content: "", ToolCallID: "c2"},
		{Role: model.User, Content: "Go on."},
	},
	Tools: []model.Tool{
		{Name: "erp__find", Description: "Finds <vendors>.", Schema: json.RawMessage(`{"type":"object","properties":{"name":{"$ref":"#/$defs/n"}},"$defs":{"n":{"type":"string"}},"additionalProperties":false}`)},
		{Name: "tax__verify", Schema: json.RawMessage(`{"type":"object"}`)},
	},
	MaxTokens: 100,
}

type provider struct {
	k     *model.Kind
	door  http.RoundTripper
	url   string
	count atomic.Int32
	seen  atomic.Pointer[http.Request]
	body  atomic.Pointer[string]
}

func newProvider(t *testing.T, kind string, h http.HandlerFunc) *provider {
	t.Helper()
	p := &provider{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body := string(b)
		p.count.Add(1)
		p.seen.Store(r)
		p.body.Store(&body)
		h(w, r)
	}))
	t.Cleanup(srv.Close)
	in := &resource.Integration{Model: &resource.Model{
		Provider: kind, BaseURL: srv.URL + "/v1", Model: "m-1", Network: resource.Network{AllowLoopbackHTTP: true},
		InputPrice: 2, OutputPrice: 10, Timeout: resource.Duration(time.Second),
	}}
	var err error
	if p.k, err = model.New(in); err != nil {
		t.Fatal(err)
	}
	pool, err := dial.Transport(p.k.Network(), dial.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.CloseIdleConnections)
	p.door, p.url = pool, srv.URL
	return p
}

func answer(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	}
}

func (p *provider) complete(t *testing.T, r model.Request) connector.Answer {
	t.Helper()
	args, err := intent.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.k.Check(model.Complete, args); err != nil {
		t.Fatal(err)
	}
	req, err := p.k.Render(model.Complete, args, "int_1")
	if err != nil {
		t.Fatal(err)
	}
	return p.k.Do(t.Context(), p.door, connector.Call{Tool: model.Complete, Request: req})
}

func response(t *testing.T, a connector.Answer) model.Response {
	t.Helper()
	if a.Outcome != connector.Done || a.Err != nil || a.Usage == nil {
		t.Fatalf("%+v", a)
	}
	var r model.Response
	if err := json.Unmarshal(a.Body, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// wire is the JSON of the two protocols, as their public references show them.
var wire = map[string]struct{ sent, text, calls string }{
	"openai": {
		sent: `{"max_tokens":100,"messages":[{"content":"You onboard vendors.","role":"system"},{"content":"Onboard Acme.","role":"user"},` +
			`{"content":"Looking.","role":"assistant","tool_calls":[{"function":{"arguments":"{\"name\":\"Acme\"}","name":"erp__find"},"id":"c1","type":"function"},` +
			`{"function":{"arguments":"{}","name":"tax__verify"},"id":"c2","type":"function"}]},` +
			`{"content":"{\"vendors\":[]}","role":"tool","tool_call_id":"c1"},{"content":"","role":"tool","tool_call_id":"c2"},{"content":"Go on.","role":"user"}],"model":"m-1",` +
			`"tools":[{"function":{"description":"Finds <vendors>.","name":"erp__find","parameters":{"$defs":{"n":{"type":"string"}},"additionalProperties":false,"properties":{"name":{"$ref":"#/$defs/n"}},"type":"object"}},"type":"function"},` +
			`{"function":{"name":"tax__verify","parameters":{"type":"object"}},"type":"function"}]}`,
		text: `{"id":"x","object":"chat.completion","created":1,"model":"m-1-2026","choices":[{"index":0,"message":{"role":"assistant","content":"Hello.","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}}`,
		calls: `{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":null,"tool_calls":[` +
			`{"id":"c9","type":"function","function":{"name":"erp__find","arguments":"{ \"name\": \"Acme\" }"}},{"id":"c9","type":"function","function":{"name":"erp__drop","arguments":"{}"}},` +
			`{"id":"","type":"function","function":{"name":"tax__verify","arguments":"{\"a\":"}}]}}]}`,
	},
	"anthropic": {
		sent: `{"max_tokens":100,"messages":[{"content":[{"text":"Onboard Acme.","type":"text"}],"role":"user"},` +
			`{"content":[{"text":"Looking.","type":"text"},{"id":"c1","input":{"name":"Acme"},"name":"erp__find","type":"tool_use"},{"id":"c2","input":{},"name":"tax__verify","type":"tool_use"}],"role":"assistant"},` +
			`{"content":[{"content":[{"text":"{\"vendors\":[]}","type":"text"}],"tool_use_id":"c1","type":"tool_result"},{"tool_use_id":"c2","type":"tool_result"},{"text":"Go on.","type":"text"}],"role":"user"}],"model":"m-1",` +
			`"system":[{"text":"You onboard vendors.","type":"text"}],` +
			`"tools":[{"description":"Finds <vendors>.","input_schema":{"$defs":{"n":{"type":"string"}},"additionalProperties":false,"properties":{"name":{"$ref":"#/$defs/n"}},"type":"object"},"name":"erp__find"},` +
			`{"input_schema":{"type":"object"},"name":"tax__verify"}]}`,
		text: `{"id":"x","type":"message","role":"assistant","model":"m-1-2026","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"Hello."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":900,"cache_read_input_tokens":100,"output_tokens":100}}`,
		calls: `{"id":"x","type":"message","role":"assistant","model":"m","content":[{"type":"tool_use","id":"c9","name":"erp__find","input":{ "name": "Acme" }},` +
			`{"type":"tool_use","id":"c9","name":"erp__drop","input":{}},{"type":"tool_use","id":"","name":"tax__verify","input":[1]}],"stop_reason":"tool_use","usage":{"input_tokens":0,"output_tokens":0}}`,
	},
}

func TestATranscriptInTheProvidersTerms(t *testing.T) {
	for kind, w := range wire {
		t.Run(kind, func(t *testing.T) {
			for _, name := range []string{"OPENAI_API_KEY", "OPENAI_ORG_ID", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"} {
				t.Setenv(name, "canary-from-the-environment")
			}
			for _, name := range []string{"OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "HTTP_PROXY"} {
				t.Setenv(name, "http://127.0.0.1:1/")
			}
			p := newProvider(t, kind, answer(w.text))
			r := response(t, p.complete(t, conversation))
			if r.Text != "Hello." || r.StopReason != model.StopEnd || r.Model != "m-1-2026" || len(r.ToolCalls) != 0 {
				t.Errorf("%+v", r)
			}
			if r.Usage.InputTokens != 1000 || r.Usage.OutputTokens != 100 || r.Usage.CostUSD != 0.003 {
				t.Errorf("usage %+v", r.Usage)
			}
			if got := *p.body.Load(); got != w.sent {
				t.Errorf("sent\n%s\nwant\n%s", got, w.sent)
			}
			seen := p.seen.Load()
			if path := map[string]string{"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}[kind]; seen.Method != "POST" || seen.URL.Path != path {
				t.Errorf("%s %s", seen.Method, seen.URL)
			}
			for name, vs := range seen.Header {
				if name == "Authorization" || name == "X-Api-Key" || strings.HasPrefix(name, "X-Stainless") || strings.Contains(strings.Join(vs, ""), "canary") {
					t.Errorf("the header %s left: %v", name, vs)
				}
			}
		})
	}
}

func TestToolCallsComeBackReadyOrMarked(t *testing.T) {
	for kind, w := range wire {
		r := response(t, newProvider(t, kind, answer(w.calls)).complete(t, conversation))
		if r.StopReason != model.StopTools || len(r.ToolCalls) != 3 {
			t.Fatalf("%s: %+v", kind, r)
		}
		good, unknown, broken := r.ToolCalls[0], r.ToolCalls[1], r.ToolCalls[2]
		if good.ID != "c9" || good.Name != "erp__find" || string(good.Args) != `{"name":"Acme"}` || good.Problem != "" {
			t.Errorf("%s: %+v", kind, good)
		}
		if unknown.ID == "c9" || unknown.ID == "" || !strings.Contains(unknown.Problem, "erp__drop") || string(unknown.Args) != "{}" {
			t.Errorf("%s: a tool that was not offered: %+v", kind, unknown)
		}
		if broken.ID == "" || broken.ID == unknown.ID || !strings.Contains(broken.Problem, "not a JSON object") || string(broken.Args) != "{}" {
			t.Errorf("%s: arguments that are no object: %+v", kind, broken)
		}
		if r.Usage.InputTokens == 0 || r.Usage.OutputTokens == 0 {
			t.Errorf("%s: a usage that was not given counts as nothing: %+v", kind, r.Usage)
		}
		// The answer can go into the next transcript.
		next := conversation
		next.Messages = append([]model.Message{}, next.Messages...)
		next.Messages = append(next.Messages, model.Message{Role: model.Assistant, ToolCalls: r.ToolCalls})
		for _, c := range r.ToolCalls {
			next.Messages = append(next.Messages, model.Message{Role: model.ToolRole, ToolCallID: c.ID, Content: c.Problem})
		}
		response(t, newProvider(t, kind, answer(w.text)).complete(t, next))
	}
}

func TestGarbageFromAModelIsAClearError(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	say := func(status int, ctype, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", ctype)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, c := range map[string]struct {
		h       http.HandlerFunc
		outcome connector.Outcome
		kind    fault.Kind
		says    string
	}{
		"HTML":            {say(200, "text/html", "<html>"), connector.Unclear, fault.Unavailable, "not a completion"},
		"nothing":         {say(200, "application/json", ""), connector.Unclear, fault.Unavailable, "not a completion"},
		"a list":          {say(200, "application/json", "[1]"), connector.Unclear, fault.Unavailable, "not a completion"},
		"half":            {say(200, "application/json", `{"choices":[`), connector.Unclear, fault.Unavailable, "not a completion"},
		"an empty object": {say(200, "application/json", "{}"), connector.Unclear, fault.Unavailable, "the model's answer"},
		"another shape":   {say(200, "application/json", `{"choices":"x","content":7,"stop_reason":"end_turn"}`), connector.Unclear, fault.Unavailable, "the model's answer"},
		"no words": {say(200, "application/json", `{"choices":[{"message":{"content":""},"finish_reason":"stop"}],"content":[],"stop_reason":"end_turn"}`),
			connector.Unclear, fault.Unavailable, "empty"},
		"a key refused": {say(401, "application/json", `{"error":{"message":"bad key sk-xyz"}}`), connector.Refused, fault.Denied, "credential"},
		"an overload":   {say(429, "application/json", `{"error":{"message":"slow down"}}`), connector.Refused, fault.Limit, "slow down"},
		"no model":      {say(404, "application/json", `{"error":{"message":"no such model"}}`), connector.Refused, fault.NotFound, "no such model"},
		"a bad request": {say(400, "application/json", `{"error":{"message":"`+strings.Repeat("long ", 100)+`"}}`), connector.Refused, fault.Invalid, "refused"},
		"an error":      {say(500, "text/html", "<html>trace</html>"), connector.Unclear, fault.Unavailable, "status 500"},
		"a redirect":    {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "https://evil.example/", 307) }, connector.Refused, fault.Unavailable, "redirect"},
		"30 MB": {func(w http.ResponseWriter, _ *http.Request) {
			for range 30 {
				_, _ = w.Write(make([]byte, 1<<20))
			}
		}, connector.Unclear, fault.Limit, "larger than"},
		"silence": {func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}, connector.Unclear, fault.Unavailable, "in time"},
	} {
		for kind := range wire {
			p := newProvider(t, kind, c.h)
			a := p.complete(t, conversation)
			if a.Outcome != c.outcome || !fault.Is(a.Err, c.kind) || !strings.Contains(a.Err.Error(), c.says) || a.Body != nil || a.Usage != nil {
				t.Errorf("%s, %s: %+v (%s)", kind, name, a, fault.KindOf(a.Err))
				continue
			}
			if strings.Contains(a.Err.Error(), "html") || len(a.Err.Error()) > 250 || strings.Contains(a.Err.Error(), "sk-xyz") {
				t.Errorf("%s, %s: foreign text: %v", kind, name, a.Err)
			}
			if n := p.count.Load(); n != 1 {
				t.Errorf("%s, %s: %d requests", kind, name, n)
			}
		}
	}
	close(release)
}

func TestAToolAtTheProviderCanNotAnswer(t *testing.T) {
	a := newProvider(t, "anthropic", answer(`{"content":[{"type":"server_tool_use","id":"s","name":"web_search","input":{}}],"stop_reason":"end_turn","model":"m"}`)).complete(t, conversation)
	if a.Outcome != connector.Unclear || !strings.Contains(a.Err.Error(), "unknown kind") {
		t.Errorf("%+v", a)
	}
}

func TestOpenAIItselfIsToldToStoreNothing(t *testing.T) {
	k, err := model.New(&resource.Integration{Model: &resource.Model{Provider: "openai", Model: "m", MaxTokens: 50}})
	if err != nil {
		t.Fatal(err)
	}
	args, _ := intent.Marshal(conversation)
	r, err := k.Render(model.Complete, args, "")
	if err != nil || r.URL != "https://api.openai.com/v1/chat/completions" || !strings.Contains(r.Body, `"store":false`) || !strings.Contains(r.Body, `"max_completion_tokens":50`) {
		t.Errorf("%+v %v", r, err)
	}
	again, err := k.Render(model.Complete, args, "other")
	if err != nil || again.Body != r.Body {
		t.Error("the same arguments made two requests", err)
	}
}

func TestARequestThatIsNotThisModelsIsNotSentFailsClosed(t *testing.T) {
	p := newProvider(t, "anthropic", answer(wire["anthropic"].text))
	args, _ := intent.Marshal(conversation)
	good, err := p.k.Render(model.Complete, args, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]intent.Request{
		"another path": {Method: "POST", URL: p.url + "/v1/files", Body: good.Body},
		"a GET":        {Method: "GET", URL: good.URL},
		"a credential": {Method: "POST", URL: good.URL, Headers: map[string]string{"X-Api-Key": "x"}, Body: good.Body},
		"a version":    {Method: "POST", URL: good.URL, Headers: map[string]string{"Anthropic-Version": "1"}, Body: good.Body},
	} {
		if a := p.k.Do(t.Context(), p.door, connector.Call{Tool: model.Complete, Request: r}); a.Outcome != connector.NotSent || a.Err == nil {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if p.count.Load() != 0 {
		t.Error("a request left")
	}
}

func TestArgumentsThatAreNoTranscript(t *testing.T) {
	p := newProvider(t, "openai", answer("{}"))
	for name, args := range map[string]string{
		"no messages":        `{}`,
		"an unknown role":    `{"messages":[{"role":"developer","content":"x"}]}`,
		"another parameter":  `{"messages":[{"role":"user","content":"x"}],"model":"other"}`,
		"a provider's tool":  `{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"web_search","name":"w","schema":{}}]}`,
		"storing":            `{"messages":[{"role":"user","content":"x"}],"store":true}`,
		"a bad tool name":    `{"messages":[{"role":"user","content":"x"}],"tools":[{"name":"a b","schema":{}}]}`,
		"an orphaned result": `{"messages":[{"role":"tool","content":"x","tool_call_id":"c"}]}`,
		"an open call":       `{"messages":[{"role":"assistant","content":"","tool_calls":[{"id":"c","name":"t","args":{}}]},{"role":"user","content":"x"}]}`,
		"a tool twice":       `{"messages":[{"role":"user","content":"x"}],"tools":[{"name":"t","schema":{}},{"name":"t","schema":{}}]}`,
	} {
		err := p.k.Check(model.Complete, json.RawMessage(args))
		if err == nil {
			_, err = p.k.Render(model.Complete, json.RawMessage(args), "")
		}
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := p.k.Check("chat", nil); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
}

func TestModelsThatCanNotBe(t *testing.T) {
	for name, m := range map[string]*resource.Model{
		"nothing":          nil,
		"no provider":      {Model: "m"},
		"no name":          {Provider: "openai"},
		"plain HTTP":       {Provider: "openai", Model: "m", BaseURL: "http://llm.example.com"},
		"a metadata host":  {Provider: "openai", Model: "m", BaseURL: "https://169.254.169.254/v1"},
		"a negative price": {Provider: "openai", Model: "m", InputPrice: -1},
	} {
		if _, err := model.New(&resource.Integration{Model: m}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type canned string

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(string(c))), Request: r}, nil
}

func FuzzAnswer(f *testing.F) {
	for _, w := range wire {
		f.Add(w.text)
		f.Add(w.calls)
	}
	f.Add(`{"choices":[{"message":{"tool_calls":[{}]}}],"usage":{"prompt_tokens":-9223372036854775808}}`)
	f.Add(`{"content":[{"type":"tool_use","input":null}],"stop_reason":"tool_use"}`)
	args, err := intent.Marshal(conversation)
	if err != nil {
		f.Fatal(err)
	}
	kinds := map[string]*model.Kind{}
	for name := range wire {
		if kinds[name], err = model.New(&resource.Integration{Model: &resource.Model{Provider: name, Model: "m"}}); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, body string) {
		for name, k := range kinds {
			req, err := k.Render(model.Complete, args, "")
			if err != nil {
				t.Fatal(err)
			}
			a := k.Do(t.Context(), canned(body), connector.Call{Tool: model.Complete, Request: req})
			if a.Outcome != connector.Done {
				if k := fault.KindOf(a.Err); k != fault.Unavailable && k != fault.Limit || a.Body != nil {
					t.Fatalf("%s: %+v", name, a)
				}
				continue
			}
			var r model.Response
			if err := json.Unmarshal(a.Body, &r); err != nil || r.Usage.InputTokens <= 0 || r.Usage.OutputTokens < 0 || r.Usage.CostUSD < 0 {
				t.Fatalf("%s: %+v %v", name, a, err)
			}
			ids := map[string]bool{}
			for _, c := range r.ToolCalls {
				canon, err := intent.Canonical(c.Args)
				if err != nil || canon[0] != '{' || string(canon) != string(c.Args) || c.ID == "" || ids[c.ID] || c.Problem == "" && c.Name != "erp__find" && c.Name != "tax__verify" {
					t.Fatalf("%s: %+v %v", name, c, err)
				}
				ids[c.ID] = true
			}
		}
	})
}
