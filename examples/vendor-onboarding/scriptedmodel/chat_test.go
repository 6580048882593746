package scriptedmodel_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sallyport.dev/examples/vendor-onboarding/scriptedmodel"
	"sallyport.dev/examples/vendor-onboarding/system"
	"sallyport.dev/examples/vendor-onboarding/system/systemtest"
)

const key = "Authorization: Bearer canary-model-key-1"

func start(t *testing.T, q scriptedmodel.Quirks) *systemtest.Server {
	return systemtest.Start(t, scriptedmodel.System(q), t.TempDir(), system.Credential{Name: "model-key", Token: "canary-model-key-1"})
}

type msg = map[string]any

// chat is a conversation with the model, as a Worker's loop has it.
type chat struct {
	t        *testing.T
	s        *systemtest.Server
	messages []msg
	tools    []any
}

// offer is a tool of the request with these properties.
func offer(name string, props ...string) any {
	p := msg{}
	for _, k := range props {
		p[k] = msg{"type": "string"}
	}
	return msg{"type": "function", "function": msg{"name": name, "parameters": msg{"type": "object", "properties": p}}}
}

var allTools = []any{
	offer("tax-check__verifyTaxId", "id", "country", "_reason"), offer("erp-read__findVendors", "name", "tax_id", "client_reference", "_reason"), offer("erp-read__getVendor", "id"),
	offer("erp-write__createVendor", "name", "country", "tax_id", "city", "contact_email", "notes", "_reason"), offer("tickets__createTicket", "title", "body", "reference", "_reason"), offer("finish", "verdict", "summary"),
}

func newChat(t *testing.T, q scriptedmodel.Quirks) *chat {
	return &chat{t: t, s: start(t, q), tools: allTools, messages: []msg{
		{"role": "system", "content": `You are a Worker. A result has a "state".`},
		{"role": "user", "content": "The input of this Run, as JSON:\n" + `{"name":"Volkswagen AG","country":"DE","tax_id":"DE 115235681","city":"Wolfsburg","contact_email":"orders@vw.example.com"}`},
	}}
}

type reply struct {
	Model             string `json:"model"`
	SystemFingerprint string `json:"system_fingerprint"`
	Choices           []struct {
		FinishReason string `json:"finish_reason"`
		Message      struct {
			Content   *string `json:"content"`
			ToolCalls []struct {
				ID       string
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
		} `json:"message"`
	} `json:"choices"`
	Usage struct {
		PromptTokens     int `json:"prompt_tokens"`
		CompletionTokens int `json:"completion_tokens"`
		TotalTokens      int `json:"total_tokens"`
	} `json:"usage"`
}

func (c *chat) body(extra msg) string {
	c.t.Helper()
	req := msg{"model": scriptedmodel.Model, "messages": c.messages, "tools": c.tools, "temperature": 0}
	for k, v := range extra {
		req[k] = v
	}
	b, err := json.Marshal(req)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

// next asks the model, keeps its message, and returns its one tool call (or
// its text, with an empty name).
func (c *chat) next() (name string, args msg) {
	c.t.Helper()
	a := c.s.Do("POST", "/v1/chat/completions", c.body(nil), key)
	var r reply
	if a.JSON(c.t, &r); a.Status != 200 || r.Model != scriptedmodel.Model || !strings.Contains(r.SystemFingerprint, "scripted") || r.Usage.TotalTokens == 0 {
		c.t.Fatalf("completion: %d %.300s", a.Status, a.Body)
	}
	m := r.Choices[0].Message
	if len(m.ToolCalls) == 0 {
		if r.Choices[0].FinishReason != "stop" || m.Content == nil {
			c.t.Fatalf("an answer with neither text nor calls: %.300s", a.Body)
		}
		c.messages = append(c.messages, msg{"role": "assistant", "content": *m.Content})
		return "", msg{"text": *m.Content}
	}
	if len(m.ToolCalls) != 1 || r.Choices[0].FinishReason != "tool_calls" {
		c.t.Fatalf("calls: %.300s", a.Body)
	}
	call := m.ToolCalls[0]
	c.messages = append(c.messages, msg{"role": "assistant", "content": m.Content, "tool_calls": []any{
		msg{"id": call.ID, "type": "function", "function": msg{"name": call.Function.Name, "arguments": call.Function.Arguments}},
	}})
	if err := json.Unmarshal([]byte(call.Function.Arguments), &args); err != nil {
		return call.Function.Name, msg{"garbage": call.Function.Arguments}
	}
	return call.Function.Name, args
}

// tell answers the last call.
func (c *chat) tell(result string) {
	calls := c.messages[len(c.messages)-1]["tool_calls"].([]any)
	c.messages = append(c.messages, msg{"role": "tool", "tool_call_id": calls[0].(msg)["id"], "content": result})
}

// want takes the next call, which has to be of this tool, and answers it.
func (c *chat) want(tool, result string) msg {
	c.t.Helper()
	name, args := c.next()
	if name != tool {
		c.t.Fatalf("called %q with %v, want %q", name, args, tool)
	}
	c.tell(result)
	return args
}

// end takes the next call, which has to finish with this verdict.
func (c *chat) end(verdict, about string) {
	c.t.Helper()
	name, args := c.next()
	if name != "finish" || args["verdict"] != verdict || !strings.Contains(fmt.Sprint(args["summary"]), about) {
		c.t.Fatalf("ended with %q %v, want %q about %q", name, args, verdict, about)
	}
}

const (
	valid     = `{"state":"COMMITTED","status":200,"body":{"status":"valid","valid":true,"verified":true,"country":"DE","number":"DE115235681","rule":"ISO 7064 MOD 11,10","reason":""}}`
	nobody    = `{"state":"COMMITTED","status":200,"body":{"vendors":[],"count":0}}`
	created   = `{"state":"COMMITTED","status":201,"body":{"id":"V-200001","name":"Volkswagen AG"}}`
	confirmed = `{"state":"COMMITTED","status":201,"body":{"id":"T-10001"}}`
)

// toCreate goes as far as the proposal to create the vendor.
func toCreate(c *chat) {
	c.want("tax-check__verifyTaxId", valid)
	c.want("erp-read__findVendors", nobody)
}
