package model

import (
	"encoding/json"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
)

// openaiCodec speaks OpenAI's chat completions. own: OpenAI itself, whose
// newer models want max_completion_tokens, and which is told to store nothing;
// compatible servers know max_tokens, and some refuse fields they don't know.
type openaiCodec struct{ own bool }

func (openaiCodec) headers() map[string]string { return map[string]string{} }

// openaiRequest is what of a chat completion's request is used:
// https://platform.openai.com/docs/api-reference/chat/create.
type openaiRequest struct {
	Messages            []openaiMessage `json:"messages"`
	Model               string          `json:"model"`
	MaxCompletionTokens *int            `json:"max_completion_tokens,omitempty"`
	MaxTokens           *int            `json:"max_tokens,omitempty"`
	Store               *bool           `json:"store,omitempty"`
	Tools               []openaiTool    `json:"tools,omitempty"`
}

type openaiMessage struct {
	Role       string       `json:"role"`
	Content    *string      `json:"content,omitempty"`
	ToolCallID string       `json:"tool_call_id,omitempty"`
	ToolCalls  []openaiCall `json:"tool_calls,omitempty"`
}

type openaiCall struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"` // JSON
	} `json:"function"`
}

type openaiTool struct {
	Type     string `json:"type"`
	Function struct {
		Name        string         `json:"name"`
		Description string         `json:"description,omitempty"`
		Parameters  map[string]any `json:"parameters,omitempty"` // JSON Schema
	} `json:"function"`
}

// openaiResponse is what of a chat completion is used.
type openaiResponse struct {
	Model   string `json:"model"`
	Choices []struct {
		FinishReason string `json:"finish_reason"`
		Message      struct {
			Content   string       `json:"content"` // null is ""
			Refusal   string       `json:"refusal"`
			ToolCalls []openaiCall `json:"tool_calls"`
		} `json:"message"`
	} `json:"choices"`
	Usage struct {
		PromptTokens     int64 `json:"prompt_tokens"`
		CompletionTokens int64 `json:"completion_tokens"`
	} `json:"usage"`
}

func (c openaiCodec) encode(model string, maxTokens int, r Request) ([]byte, error) {
	p := openaiRequest{Model: model}
	if c.own {
		p.MaxCompletionTokens, p.Store = &maxTokens, new(false)
	} else {
		p.MaxTokens = &maxTokens
	}
	for _, m := range r.Messages {
		switch m.Role {
		case System:
			p.Messages = append(p.Messages, openaiMessage{Role: "system", Content: &m.Content})
		case User:
			p.Messages = append(p.Messages, openaiMessage{Role: "user", Content: &m.Content})
		case ToolRole:
			p.Messages = append(p.Messages, openaiMessage{Role: "tool", Content: &m.Content, ToolCallID: m.ToolCallID})
		default:
			p.Messages = append(p.Messages, openaiAssistant(m))
		}
	}
	for _, t := range r.Tools {
		f := openaiTool{Type: "function"}
		if err := json.Unmarshal(t.Schema, &f.Function.Parameters); err != nil {
			return nil, err
		}
		f.Function.Name, f.Function.Description = t.Name, t.Description
		p.Tools = append(p.Tools, f)
	}
	return json.Marshal(p)
}

func openaiAssistant(m Message) openaiMessage {
	a := openaiMessage{Role: "assistant"}
	if m.Content != "" || len(m.ToolCalls) == 0 {
		a.Content = &m.Content
	}
	for _, call := range m.ToolCalls {
		c := openaiCall{ID: call.ID, Type: "function"}
		c.Function.Name, c.Function.Arguments = call.Name, string(call.Args)
		a.ToolCalls = append(a.ToolCalls, c)
	}
	return a
}

func (openaiCodec) decode(body []byte) (Response, connector.Usage, error) {
	var in openaiResponse
	if !isObject(body) || json.Unmarshal(body, &in) != nil {
		return Response{}, connector.Usage{}, notCompletion()
	}
	if len(in.Choices) == 0 {
		return Response{}, connector.Usage{}, fault.New(fault.Unavailable, "the model's answer has no choices")
	}
	choice := in.Choices[0]
	out := Response{Text: choice.Message.Content, Model: fault.Quote(in.Model), StopReason: StopEnd}
	switch choice.FinishReason {
	case "length":
		out.StopReason = StopLength
	case "tool_calls":
		out.StopReason = StopTools
	case "content_filter":
		out.StopReason = StopRefusal
	}
	if choice.Message.Refusal != "" {
		out.StopReason = StopRefusal
		if out.Text == "" {
			out.Text = choice.Message.Refusal
		}
	}
	for _, t := range choice.Message.ToolCalls {
		call := ToolCall{ID: t.ID, Name: t.Function.Name, Args: json.RawMessage(t.Function.Arguments)}
		if t.Function.Arguments == "" {
			call.Args = json.RawMessage("{}") // a tool without arguments
		}
		out.ToolCalls = append(out.ToolCalls, call)
	}
	return out, connector.Usage{InputTokens: in.Usage.PromptTokens, OutputTokens: in.Usage.CompletionTokens}, nil
}
