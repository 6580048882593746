package scriptedmodel

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// request is what is read of a chat completion request; what else there is (a
// temperature, say) has no meaning for a script.
type request struct {
	Model         string    `json:"model"`
	Messages      []message `json:"messages"`
	Tools         []tool    `json:"tools"`
	Stream        bool      `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

type message struct {
	Role       string     `json:"role"`
	Content    content    `json:"content"`
	ToolCalls  []toolCall `json:"tool_calls"`
	ToolCallID string     `json:"tool_call_id"`
}

// content is a text, or a list of parts of which the texts are taken.
type content string

// UnmarshalJSON takes a string, null, or an array of parts.
func (c *content) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err == nil {
		if s != nil {
			*c = content(*s)
		}
		return nil
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(b, &parts); err != nil {
		return fmt.Errorf("reading a message's content: %w", err)
	}
	for _, p := range parts {
		*c += content(p.Text + "\n")
	}
	return nil
}

type tool struct {
	Function struct {
		Name       string `json:"name"`
		Parameters schema `json:"parameters"`
	} `json:"function"`
}

// schema is the part of a JSON Schema that says which arguments there are.
type schema struct {
	Properties map[string]schema `json:"properties"`
}

type toolCall struct {
	ID       string   `json:"id"`
	Type     string   `json:"type"`
	Function function `json:"function"`
}

type function struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"` // JSON in a string
}

// move is what the script answers: a text, tool calls, or both.
type move struct {
	text  string
	calls []toolCall
}

func (m move) tokens() int {
	n := len(m.text)
	for _, c := range m.calls {
		n += len(c.Function.Name) + len(c.Function.Arguments)
	}
	return (n + 3) / 4
}

func (m move) finishReason() string {
	if len(m.calls) > 0 {
		return "tool_calls"
	}
	return "stop"
}

// answer is a move with what the protocol wants around it.
type answer struct {
	move    move
	usage   usage
	n       int
	created int64
}

func (a answer) envelope(object string) map[string]any {
	return map[string]any{
		"id": fmt.Sprintf("chatcmpl-scripted-%d", a.n), "object": object, "created": a.created,
		"model": Model, "system_fingerprint": Fingerprint,
	}
}

// completion is the whole answer at once.
func (a answer) completion() map[string]any {
	msg := map[string]any{"role": "assistant", "content": nil, "refusal": nil}
	if a.move.text != "" {
		msg["content"] = a.move.text
	}
	if len(a.move.calls) > 0 {
		msg["tool_calls"] = a.move.calls
	}
	out := a.envelope("chat.completion")
	out["choices"] = []any{map[string]any{"index": 0, "message": msg, "logprobs": nil, "finish_reason": a.move.finishReason()}}
	out["usage"] = a.usage
	return out
}

// stream sends the answer as server-sent events, a few bytes of text and of
// arguments at a time, as models do.
func (a answer) stream(w http.ResponseWriter, withUsage bool) {
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	send := func(v map[string]any) {
		b, err := json.Marshal(v)
		if err != nil {
			return // made of strings and numbers only
		}
		fmt.Fprintf(w, "data: %s\n\n", b)
		_ = flush.Flush() // a writer that can't flush sends all at the end
	}
	delta := func(d map[string]any, finish any) {
		v := a.envelope("chat.completion.chunk")
		v["choices"] = []any{map[string]any{"index": 0, "delta": d, "logprobs": nil, "finish_reason": finish}}
		send(v)
	}
	delta(map[string]any{"role": "assistant", "content": ""}, nil)
	for _, piece := range pieces(a.move.text) {
		delta(map[string]any{"content": piece}, nil)
	}
	for i, c := range a.move.calls {
		delta(map[string]any{"tool_calls": []any{map[string]any{"index": i, "id": c.ID, "type": c.Type, "function": map[string]any{"name": c.Function.Name, "arguments": ""}}}}, nil)
		for _, piece := range pieces(c.Function.Arguments) {
			delta(map[string]any{"tool_calls": []any{map[string]any{"index": i, "function": map[string]any{"arguments": piece}}}}, nil)
		}
	}
	delta(map[string]any{}, a.move.finishReason())
	if withUsage {
		v := a.envelope("chat.completion.chunk")
		v["choices"], v["usage"] = []any{}, a.usage
		send(v)
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
}

// pieces cuts s into parts of about 16 bytes, at the borders of runes.
func pieces(s string) []string {
	var out []string
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
		if b.Len() >= 16 {
			out = append(out, b.String())
			b.Reset()
		}
	}
	if b.Len() > 0 {
		out = append(out, b.String())
	}
	return out
}
