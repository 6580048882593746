package model

import (
	"encoding/json"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/shared"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
)

// openaiCodec speaks OpenAI's chat completions. own: OpenAI itself, whose
// newer models want max_completion_tokens, and which is told to store nothing;
// compatible servers know max_tokens, and some refuse fields they don't know.
type openaiCodec struct{ own bool }

func (openaiCodec) headers() map[string]string { return map[string]string{} }

func (c openaiCodec) encode(model string, maxTokens int, r Request) ([]byte, error) {
	p := openai.ChatCompletionNewParams{Model: model}
	if c.own {
		p.MaxCompletionTokens, p.Store = param.NewOpt(int64(maxTokens)), param.NewOpt(false)
	} else {
		p.MaxTokens = param.NewOpt(int64(maxTokens))
	}
	for _, m := range r.Messages {
		switch m.Role {
		case System:
			p.Messages = append(p.Messages, openai.SystemMessage(m.Content))
		case User:
			p.Messages = append(p.Messages, openai.UserMessage(m.Content))
		case ToolRole:
			p.Messages = append(p.Messages, openai.ToolMessage(m.Content, m.ToolCallID))
		default:
			p.Messages = append(p.Messages, openaiAssistant(m))
		}
	}
	for _, t := range r.Tools {
		var schema map[string]any
		if err := json.Unmarshal(t.Schema, &schema); err != nil {
			return nil, err
		}
		f := shared.FunctionDefinitionParam{Name: t.Name, Parameters: schema}
		if t.Description != "" {
			f.Description = param.NewOpt(t.Description)
		}
		p.Tools = append(p.Tools, openai.ChatCompletionFunctionTool(f))
	}
	return json.Marshal(p)
}

func openaiAssistant(m Message) openai.ChatCompletionMessageParamUnion {
	var a openai.ChatCompletionAssistantMessageParam
	if m.Content != "" || len(m.ToolCalls) == 0 {
		a.Content.OfString = param.NewOpt(m.Content)
	}
	for _, call := range m.ToolCalls {
		a.ToolCalls = append(a.ToolCalls, openai.ChatCompletionMessageToolCallUnionParam{
			OfFunction: &openai.ChatCompletionMessageFunctionToolCallParam{
				ID:       call.ID,
				Function: openai.ChatCompletionMessageFunctionToolCallFunctionParam{Name: call.Name, Arguments: string(call.Args)},
			},
		})
	}
	return openai.ChatCompletionMessageParamUnion{OfAssistant: &a}
}

func (openaiCodec) decode(body []byte) (Response, connector.Usage, error) {
	var in openai.ChatCompletion
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
