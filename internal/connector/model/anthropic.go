package model

import (
	"encoding/json"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/packages/param"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
)

// anthropicCodec speaks Anthropic's messages. Only tools that the client runs
// are ever offered, so no provider-side tool can answer.
type anthropicCodec struct{}

func (anthropicCodec) headers() map[string]string {
	return map[string]string{"Anthropic-Version": "2023-06-01"}
}

func (anthropicCodec) encode(model string, maxTokens int, r Request) ([]byte, error) {
	p := anthropic.MessageNewParams{Model: model, MaxTokens: int64(maxTokens)}
	for _, m := range r.Messages {
		if m.Role == System {
			if m.Content != "" {
				p.System = append(p.System, anthropic.TextBlockParam{Text: m.Content})
			}
			continue
		}
		role, blocks := anthropicBlocks(m)
		if n := len(p.Messages); n > 0 && p.Messages[n-1].Role == role { // turns alternate; results of one turn go together
			p.Messages[n-1].Content = append(p.Messages[n-1].Content, blocks...)
		} else if len(blocks) > 0 {
			p.Messages = append(p.Messages, anthropic.MessageParam{Role: role, Content: blocks})
		}
	}
	for _, t := range r.Tools {
		tool := anthropic.ToolParam{Name: t.Name, InputSchema: param.Override[anthropic.ToolInputSchemaParam](t.Schema)}
		if t.Description != "" {
			tool.Description = param.NewOpt(t.Description)
		}
		p.Tools = append(p.Tools, anthropic.ToolUnionParam{OfTool: &tool})
	}
	return json.Marshal(p)
}

// anthropicBlocks: the API takes no empty text block.
func anthropicBlocks(m Message) (anthropic.MessageParamRole, []anthropic.ContentBlockParamUnion) {
	if m.Role == ToolRole {
		res := anthropic.ToolResultBlockParam{ToolUseID: m.ToolCallID}
		if m.Content != "" {
			res.Content = []anthropic.ToolResultBlockParamContentUnion{{OfText: &anthropic.TextBlockParam{Text: m.Content}}}
		}
		return anthropic.MessageParamRoleUser, []anthropic.ContentBlockParamUnion{{OfToolResult: &res}}
	}
	var blocks []anthropic.ContentBlockParamUnion
	if m.Content != "" {
		blocks = append(blocks, anthropic.NewTextBlock(m.Content))
	}
	for _, c := range m.ToolCalls {
		blocks = append(blocks, anthropic.NewToolUseBlock(c.ID, c.Args, c.Name))
	}
	if m.Role == Assistant {
		return anthropic.MessageParamRoleAssistant, blocks
	}
	return anthropic.MessageParamRoleUser, blocks
}

func (anthropicCodec) decode(body []byte) (Response, connector.Usage, error) {
	var in anthropic.Message
	if !isObject(body) || json.Unmarshal(body, &in) != nil {
		return Response{}, connector.Usage{}, notCompletion()
	}
	if in.Content == nil || in.StopReason == "" {
		return Response{}, connector.Usage{}, notCompletion()
	}
	out := Response{Model: fault.Quote(in.Model), StopReason: StopEnd}
	switch in.StopReason {
	case anthropic.StopReasonMaxTokens, anthropic.StopReasonModelContextWindowExceeded:
		out.StopReason = StopLength
	case anthropic.StopReasonToolUse:
		out.StopReason = StopTools
	case anthropic.StopReasonRefusal:
		out.StopReason = StopRefusal
	case anthropic.StopReasonEndTurn, anthropic.StopReasonStopSequence, anthropic.StopReasonPauseTurn:
	}
	for _, b := range in.Content {
		switch b.Type {
		case "text":
			out.Text += b.Text
		case "tool_use":
			out.ToolCalls = append(out.ToolCalls, ToolCall{ID: b.ID, Name: b.Name, Args: b.Input})
		case "thinking", "redacted_thinking": // not for the record
		default: // a tool that ran at the provider: none was offered
			return Response{}, connector.Usage{}, fault.New(fault.Unavailable, "the model's answer has a part of an unknown kind")
		}
	}
	u := in.Usage
	return out, connector.Usage{InputTokens: u.InputTokens + u.CacheCreationInputTokens + u.CacheReadInputTokens, OutputTokens: u.OutputTokens}, nil
}
