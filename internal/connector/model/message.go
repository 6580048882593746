package model

import (
	"encoding/json"
	"fmt"
	"regexp"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

// The roles of a message.
const (
	System    = "system"
	User      = "user"
	Assistant = "assistant"
	ToolRole  = "tool" // the result of a tool call
)

// Request is the Tool's arguments.
type Request struct {
	Messages  []Message `json:"messages"`
	Tools     []Tool    `json:"tools,omitempty"`
	MaxTokens int       `json:"max_tokens,omitempty"` // at most the Integration's own
}

// Message is one turn of a transcript.
type Message struct {
	Role       string     `json:"role"`
	Content    string     `json:"content"`
	ToolCalls  []ToolCall `json:"tool_calls,omitempty"`   // of an assistant
	ToolCallID string     `json:"tool_call_id,omitempty"` // of a tool's result
}

// Tool is a tool on offer to the model.
type Tool struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"schema"` // JSON Schema of its arguments, an object
}

// ToolCall is a model's wish to call a tool.
type ToolCall struct {
	ID   string          `json:"id"`
	Name string          `json:"name"`
	Args json.RawMessage `json:"args"` // canonical JSON object
	// Problem says why the call can't be executed: a tool that was not offered,
	// or arguments that are no JSON object. Then Args is {}. For the model.
	Problem string `json:"problem,omitempty"`
}

// Why a completion ended.
const (
	StopEnd     = "end"     // it was done
	StopTools   = "tools"   // it waits for tool results
	StopLength  = "length"  // it ran into the limit on tokens
	StopRefusal = "refusal" // the model or its provider would not answer
)

// Response is the Answer's body.
type Response struct {
	Text       string          `json:"text"`
	ToolCalls  []ToolCall      `json:"toolCalls,omitempty"`
	StopReason string          `json:"stopReason"`
	Model      string          `json:"model"` // as the provider names it
	Usage      connector.Usage `json:"usage"`
}

const (
	maxCalls    = 64 // in one answer
	namePattern = `^[A-Za-z0-9_-]{1,128}$`
)

var sendable = regexp.MustCompile(namePattern)

// requestSchema is the JSON Schema of Request.
const requestSchema = `{"type":"object","additionalProperties":false,"required":["messages"],"properties":{` +
	`"messages":{"type":"array","minItems":1,"items":{"type":"object","additionalProperties":false,"required":["role","content"],"properties":{` +
	`"role":{"enum":["system","user","assistant","tool"]},"content":{"type":"string"},"tool_call_id":{"type":"string","maxLength":256},` +
	`"tool_calls":{"type":"array","maxItems":64,"items":{"type":"object","additionalProperties":false,"required":["id","name","args"],"properties":{` +
	`"id":{"type":"string","minLength":1,"maxLength":256},"name":{"type":"string","pattern":"` + namePattern + `"},"args":{"type":"object"},"problem":{"type":"string"}}}}}}},` +
	`"tools":{"type":"array","maxItems":1000,"items":{"type":"object","additionalProperties":false,"required":["name","schema"],"properties":{` +
	`"name":{"type":"string","pattern":"` + namePattern + `"},"description":{"type":"string"},"schema":{"type":"object"}}}},` +
	`"max_tokens":{"type":"integer","minimum":1}}}`

// check finds what a schema can't say: every result answers a call of the
// assistant before it, and no two tools have one name. Providers refuse such a
// transcript, and some only with status 500.
func (r Request) check() error {
	open := map[string]bool{}
	for i, m := range r.Messages {
		switch m.Role {
		case ToolRole:
			if !open[m.ToolCallID] {
				return fault.Newf(fault.Invalid, "message %d is the result of no call before it", i)
			}
			delete(open, m.ToolCallID)
			continue
		case Assistant:
		default:
			if len(m.ToolCalls) > 0 {
				return fault.Newf(fault.Invalid, "message %d has tool calls and is not the assistant's", i)
			}
		}
		if len(open) > 0 {
			return fault.Newf(fault.Invalid, "a tool call before message %d has no result", i)
		}
		for _, c := range m.ToolCalls {
			open[c.ID] = true
		}
	}
	if len(open) > 0 {
		return fault.New(fault.Invalid, "the last tool calls have no result")
	}
	seen := map[string]bool{}
	for _, t := range r.Tools {
		if seen[t.Name] {
			return fault.Newf(fault.Invalid, "the tool %q is offered twice", fault.Quote(t.Name))
		}
		seen[t.Name] = true
	}
	return nil
}

// settle makes an answer safe to work with: few calls, each with an id of its
// own, a name that was offered and canonical arguments, or marked.
func (r *Response) settle(offered []string) error {
	if len(r.ToolCalls) > maxCalls {
		return fault.Newf(fault.Unavailable, "the model calls more than %d tools at once", maxCalls)
	}
	if r.Text == "" && len(r.ToolCalls) == 0 && r.StopReason == StopEnd {
		return fault.New(fault.Unavailable, "the model's answer is empty: no text and no tool call")
	}
	names, ids := map[string]bool{}, map[string]bool{}
	for _, n := range offered {
		names[n] = true
	}
	for i := range r.ToolCalls {
		c := &r.ToolCalls[i]
		if c.ID == "" || len(c.ID) > 256 || ids[c.ID] {
			c.ID = fmt.Sprintf("call_%d", i+1) // some servers give none
		}
		for ids[c.ID] {
			c.ID += "x"
		}
		ids[c.ID] = true
		args, err := intent.Canonical(c.Args)
		switch {
		case !names[c.Name]:
			c.Problem = fmt.Sprintf("there is no tool %q", fault.Quote(c.Name))
			if !sendable.MatchString(c.Name) {
				c.Name = "unknown_tool" // a name that the transcript can hold
			}
		case err != nil || args[0] != '{':
			c.Problem = "the arguments are not a JSON object"
		case len(args) > intent.MaxArgs:
			c.Problem = fmt.Sprintf("the arguments are larger than %d KiB", intent.MaxArgs>>10)
		}
		if c.Args = args; c.Problem != "" {
			c.Args = json.RawMessage("{}")
		}
	}
	if len(r.ToolCalls) > 0 && r.StopReason == StopEnd {
		r.StopReason = StopTools // some servers say "stop" also then
	}
	return nil
}
