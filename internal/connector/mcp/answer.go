package mcp

import (
	"encoding/json"
	"fmt"
	"net/http"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/wire/jsonrpc"
)

// The limits of an answer that is passed on.
const (
	maxBlocks = 1000
	maxBinary = 40 << 10 // bytes of base64 of one image, sound or file
	maxAsked  = 32 << 10 // bytes of what a server asks, for a person
)

// classify says what an answer means for the call.
//
//	a result                 Done
//	a result that is an      Refused where the operator said that errors are definite,
//	error (isError)          and of a read; else Unclear: something may have happened
//	a request of the         Refused and a Notice when it is the whole answer, which
//	server's                 says that the call is not completed; Unclear in the middle
//	                         of a write
//	JSON-RPC: the request    Refused: it was not looked at further; but the arguments
//	is wrong, the method or  of a write whose results have a schema, Unclear: servers
//	the tool is not known    have this error for a result that does not fit it too
//	any other JSON-RPC error Unclear of a write, Refused of a read
//	a status without a       4xx Refused; all else as in package connector/http
//	JSON-RPC answer
func (k *Kind) classify(op *operation, s *said, f *failure, write bool) connector.Answer {
	a := connector.Answer{Outcome: connector.Done, Status: http.StatusOK, Type: intent.MCPResult}
	switch {
	case f != nil:
		a = connector.Answer{Outcome: f.outcome, Status: f.reply.Status, Err: f.err, RetryAfter: f.reply.RetryAfter, Passing: f.reply.Passing}
		if f.session {
			a.Err = fault.New(fault.Unavailable, "the server has ended the session, and did not look at the call").WithHint("propose it again")
		}
	case s.asked != nil:
		a.Outcome = connector.Refused
		if write {
			a.Outcome = connector.Unclear
		}
		a.Notice = asks(op, s.asked.Method, s.asked.Raw)
		a.Err = errAsks
	case s.answer.Error != nil:
		a.Outcome, a.Err = rpcError(s.answer.Error, write)
		if write && op.checksResults && !op.definite && s.answer.Error.Code == jsonrpc.CodeInvalidParams {
			a.Outcome = connector.Unclear
		}
		a.Body = errorResult(s.answer.Error.Message)
	default:
		k.result(op, s.answer.Result, write, &a)
	}
	if a.Outcome == connector.Unclear && write && !fault.Is(a.Err, fault.Unknown) {
		a.Err = &fault.Error{Kind: fault.Unknown, Msg: "the write's outcome is not known", Err: a.Err,
			Hint: "it may or may not have been applied; it is not repeated until that is known"}
	}
	if a.Body == nil {
		a.Type = ""
	}
	return a
}

var errAsks = fault.New(fault.Denied, "the server asks something back, and nobody answers it here").
	WithHint("a person can see what it asks: sallyport integration changes")

func asks(op *operation, method string, params json.RawMessage) *connector.Notice {
	n := &connector.Notice{Kind: connector.Asks, Tool: op.name, Why: "the server asks something back"}
	if op.name == "" {
		n.Tool = op.tool.Name
	}
	if b, err := json.Marshal(map[string]any{"method": fault.Quote(method), "params": params}); err == nil && len(b) <= maxAsked {
		n.Seen = b
	}
	return n
}

// rpcError says what an error of the protocol means.
func rpcError(e *jsonrpc.Error, write bool) (connector.Outcome, error) {
	switch e.Code {
	case jsonrpc.CodeInvalidParams:
		return connector.Refused, fault.New(fault.Invalid, "the server refuses the arguments").WithHint("its own words are in the answer")
	case jsonrpc.CodeNoMethod, jsonrpc.CodeNoResource:
		return connector.Refused, fault.New(fault.NotFound, "the server does not know what was called")
	case jsonrpc.CodeParse, jsonrpc.CodeInvalidRequest, jsonrpc.CodeHeaders, jsonrpc.CodeNoCapability, jsonrpc.CodeNoVersion:
		return connector.Refused, fault.Newf(fault.Invalid, "the server refuses the request (error %d)", e.Code)
	}
	err := fault.Newf(fault.Unavailable, "the server answered with error %d", e.Code)
	if write {
		return connector.Unclear, err
	}
	return connector.Refused, err
}

func errorResult(text string) json.RawMessage {
	b, err := json.Marshal(map[string]any{"content": []any{map[string]string{"type": "text", "text": text}}, "isError": true})
	if err != nil {
		return nil
	}
	return b
}

// result reads the result of a call, and makes of it what is passed on.
func (k *Kind) result(op *operation, b json.RawMessage, write bool, a *connector.Answer) {
	o, err := jsonrpc.ReadObject(b)
	if err != nil {
		a.Outcome, a.Err = connector.Unclear, errMessage
		return
	}
	switch kind, there := o.Get("resultType"); {
	case !there || string(kind) == `"complete"`:
	case string(kind) == `"input_required"`:
		requests, _ := o.Get("inputRequests")
		a.Outcome, a.Err, a.Notice = connector.Refused, errAsks, asks(op, "input_required", requests)
		return
	default:
		a.Outcome, a.Err = connector.Unclear, fault.New(fault.Unavailable, "the server answered with a kind of result that was not offered")
		return
	}
	if op.method != methodCall {
		if a.Body, err = ownResult(o); err != nil {
			a.Outcome, a.Err = connector.Refused, err
		}
		return
	}
	failed, _ := o.Bool("isError")
	if a.Body, err = callResult(o, failed); err != nil {
		a.Outcome, a.Err = connector.Unclear, err
		return
	}
	if failed {
		a.Outcome, a.Err = connector.Refused, fault.New(fault.Invalid, "the tool says that it failed").WithHint("its own words are in the answer")
		if write && !op.definite {
			a.Outcome = connector.Unclear
		}
	}
}

// callResult is a CallToolResult as it is passed on: content, structuredContent and
// isError, and nothing that is the server's and ours.
func callResult(o jsonrpc.Object, failed bool) (json.RawMessage, error) {
	out := map[string]any{}
	var blocks []map[string]json.RawMessage
	if b, there := o.Get("content"); there {
		if json.Unmarshal(b, &blocks) != nil || len(blocks) > maxBlocks {
			return nil, fault.New(fault.Unavailable, "the server's result has content that can't be read")
		}
	}
	content := make([]any, 0, len(blocks))
	for _, b := range blocks {
		delete(b, "_meta")
		content = append(content, bounded(b))
	}
	out["content"] = content
	if s, there := o.Get("structuredContent"); there && string(s) != "null" {
		out["structuredContent"] = s
	}
	if failed {
		out["isError"] = true
	}
	return encode(out)
}

// ownResult is the result of a request about resources or prompts, as a tool's.
func ownResult(o jsonrpc.Object) (json.RawMessage, error) {
	structured := map[string]any{}
	for _, m := range o {
		switch m.Key {
		case "_meta", "resultType", "ttlMs", "cacheScope":
			continue
		case "contents":
			var list []map[string]json.RawMessage
			if json.Unmarshal(m.Value, &list) != nil || len(list) > maxBlocks {
				return nil, fault.New(fault.Unavailable, "the server's resource can't be read")
			}
			contents := make([]any, 0, len(list))
			for _, c := range list {
				delete(c, "_meta")
				if len(c["blob"]) > maxBinary {
					c["text"], _ = json.Marshal(leftOut(c["mimeType"], len(c["blob"]))) // a string can't fail
					delete(c, "blob")
				}
				contents = append(contents, c)
			}
			structured[m.Key] = contents
		default:
			structured[m.Key] = m.Value
		}
	}
	text, err := encode(structured)
	if err != nil {
		return nil, err
	}
	return encode(map[string]any{"content": []any{map[string]string{"type": "text", "text": string(text)}}, "structuredContent": text})
}

// bounded gives a content block, or a text in its place where it is too large to be
// shown: half an image helps nobody.
func bounded(b map[string]json.RawMessage) any {
	size, mime := len(b["data"]), b["mimeType"]
	var r map[string]json.RawMessage
	if json.Unmarshal(b["resource"], &r) == nil && len(r["blob"]) > size {
		size, mime = len(r["blob"]), r["mimeType"]
	}
	if size <= maxBinary {
		return b
	}
	return map[string]string{"type": "text", "text": leftOut(mime, size)}
}

func leftOut(mime json.RawMessage, size int) string {
	var t string
	if json.Unmarshal(mime, &t) != nil || t == "" {
		t = "binary data"
	}
	return fmt.Sprintf("[%s, %d kB: left out, it is larger than what is passed on]", fault.Quote(t), size*3/4/1024)
}

func encode(v any) (json.RawMessage, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the server's result can't be read")
	}
	return b, nil
}
