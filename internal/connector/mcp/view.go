package mcp

import (
	"context"
	"encoding/json"
	"time"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/wire/jsonrpc"
)

// The limits of a list.
const (
	maxPages  = 20
	maxCursor = 4 << 10 // bytes
)

// view is a server's list of tools as one credential sees it.
type view struct {
	era   era
	until time.Time // from then on it is asked again
	defs  []json.RawMessage
	count map[string]int
	byPin map[string]string // a definition's pin, by name
}

// list asks for all pages of the server's tools.
func (l *line) list(ctx context.Context, e era) (*view, *failure) {
	v := &view{era: e, count: map[string]int{}, byPin: map[string]string{}}
	fresh, cursor, size := maxFresh, "", 0
	for page := 1; ; page++ {
		params := json.RawMessage(`{}`)
		if cursor != "" {
			params, _ = json.Marshal(map[string]string{"cursor": cursor}) // a string can't fail
		}
		res, f := l.ask(ctx, e, "tools/list", params)
		if f != nil {
			return nil, f
		}
		o, err := jsonrpc.ReadObject(res)
		if err != nil {
			return nil, wrong("the server's list of tools can't be read")
		}
		var tools []json.RawMessage
		if b, _ := o.Get("tools"); json.Unmarshal(b, &tools) != nil || tools == nil {
			return nil, wrong("the server's list of tools has none")
		}
		for _, t := range tools {
			if size += len(t); len(v.defs) >= maxTools || size > maxDocument {
				return nil, wrong("the server lists too many tools, or too large ones")
			}
			name := nameOf(t)
			v.count[name]++
			v.byPin[name] = Pin(t)
			v.defs = append(v.defs, t)
		}
		if ms, there := ttl(o); there {
			fresh = min(fresh, ms)
		}
		if cursor, _ = o.Text("nextCursor"); cursor == "" {
			break
		}
		if page == maxPages || len(cursor) > maxCursor {
			return nil, wrong("the server's list of tools does not end")
		}
	}
	v.until = l.k.now().Add(fresh)
	return v, nil
}

// ttl is how long a server says that its list holds.
func ttl(o jsonrpc.Object) (time.Duration, bool) {
	b, there := o.Get("ttlMs")
	var ms float64
	if !there || json.Unmarshal(b, &ms) != nil {
		return 0, false
	}
	return time.Duration(min(max(ms, 0), float64(maxFresh/time.Millisecond))) * time.Millisecond, true
}

// ask makes a request of the protocol's own and gives its result.
func (l *line) ask(ctx context.Context, e era, method string, params json.RawMessage) (json.RawMessage, *failure) {
	r, err := e.envelope(method, params, nextID(), nil)
	if err != nil {
		return nil, &failure{outcome: connector.NotSent, err: err}
	}
	s, _, f := l.exchange(ctx, r, false)
	switch {
	case f != nil:
		return nil, f
	case !s.got:
		return nil, wrong("the server asks something in place of an answer")
	case s.answer.Error != nil:
		return nil, &failure{outcome: connector.Refused, legacy: s.answer.Error.Code == jsonrpc.CodeNoVersion,
			err: fault.Newf(fault.Invalid, "the server refuses %s: %s", method, s.answer.Error.Error())}
	}
	return s.answer.Result, nil
}

func wrong(msg string) *failure {
	return &failure{outcome: connector.NotSent, err: fault.New(fault.Unavailable, msg)}
}

// compare holds a tool's pin against the list; nil when it is what was accepted.
func (v *view) compare(op *operation) *connector.Notice {
	if op.method != methodCall {
		return nil
	}
	n := &connector.Notice{Kind: connector.Changed, Tool: op.name, Pinned: op.def}
	switch {
	case v.count[op.name] == 0:
		n.Why = "the server has this tool no more"
	case v.count[op.name] > 1:
		n.Why = "the server lists this tool more than once"
	case v.byPin[op.name] != op.pin || op.pin == "":
		n.Why = "the server defines this tool otherwise than it was accepted"
		for _, d := range v.defs {
			if nameOf(d) == op.name && len(d) <= maxDefinition {
				n.Seen = d
			}
		}
	default:
		return nil
	}
	return n
}

// noticeError is what the caller of a changed tool is told.
func noticeError(n *connector.Notice) error {
	return fault.New(fault.Denied, n.Why+", so it is not called").WithHint("a person has to accept the change first: sallyport integration changes")
}
