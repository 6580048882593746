package mcp

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/wire/jsonrpc"
)

// line is one call's way to a server: its door, and what is known of the server.
type line struct {
	k    *Kind
	door http.RoundTripper
	peer *peer
}

// failure is an exchange that came to no answer of the server's.
type failure struct {
	outcome connector.Outcome
	reply   dial.Reply
	err     error
	notice  *connector.Notice
	session bool // the server says that the session is over
	legacy  bool // the server does not know the modern protocol
}

// before is the Answer where the call itself did not leave.
func (f *failure) before() connector.Answer {
	return connector.Answer{Outcome: connector.NotSent, Status: f.reply.Status, Err: f.err, RetryAfter: f.reply.RetryAfter, Passing: f.reply.Passing, Notice: f.notice}
}

// probeTimeout is how long a child may leave a modern question without an answer:
// older ones say nothing to a method that they don't know.
const probeTimeout = 5 * time.Second

// exchange sends one message and reads its answer.
func (l *line) exchange(ctx context.Context, r request, write bool) (*said, dial.Reply, *failure) {
	s := &said{}
	timeout := l.k.timeout
	if at, ok := ctx.Deadline(); ok {
		timeout = min(timeout, max(time.Until(at), time.Millisecond))
	}
	reply, out, err := dial.Send(ctx, l.door, intent.Request{Method: http.MethodPost, URL: l.k.url, Headers: r.headers, Body: r.body}, dial.Call{
		Write: write, Timeout: timeout, MaxBody: l.k.maxBody,
		Read: func(body io.Reader, mediaType string) error {
			if r.id.IsZero() {
				_, err := io.Copy(io.Discard, io.LimitReader(body, 64<<10))
				return err
			}
			if mediaType != "application/json" && mediaType != "text/event-stream" {
				return fault.New(fault.Unavailable, "the server answered with something that is neither JSON nor a stream of events").
					WithHint("is the Integration's url the server's MCP endpoint?")
			}
			return s.read(body, mediaType, r.id, l.k.maxBody)
		},
	})
	if err != nil {
		return s, reply, &failure{outcome: out, reply: reply, err: err}
	}
	if reply.Status >= 300 || reply.Status < 200 {
		return s, reply, l.refused(s, reply, r)
	}
	return s, reply, nil
}

// refused says what a status other than 2xx means. A JSON-RPC error in the body is
// kept as the answer beside it; nil where that is one of the modern protocol.
func (l *line) refused(s *said, reply dial.Reply, r request) *failure {
	f := &failure{outcome: connector.Refused, reply: reply}
	switch status := reply.Status; {
	case status == http.StatusUnauthorized:
		f.err = fault.New(fault.Denied, "the server does not accept the Connection's credential (401)").WithHint("check the Connection's Secret and scheme")
	case status == http.StatusForbidden:
		f.err = fault.New(fault.Denied, "the server does not permit this with the Connection's credential (403)")
	case status == http.StatusTooManyRequests:
		f.err = fault.New(fault.Limit, "the server takes no more requests at the moment (429)").WithHint("try again later")
	case status >= 300 && status < 400:
		f.err = fault.New(fault.Unavailable, "the server answered with a redirect, and redirects are not followed").WithHint("if the server has moved, change the Integration's url")
		if status == http.StatusFound || status == http.StatusSeeOther || status == http.StatusNotModified {
			f.outcome = connector.Unclear
		}
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != 499:
		if m, err := jsonrpc.Decode(reply.Body, int(l.k.maxBody)); err == nil && m.Error != nil && (m.ID == r.id || m.ID.IsZero()) {
			s.answer, s.got = m, true
		}
		f.session = status == http.StatusNotFound && r.headers["Mcp-Session-Id"] != ""
		f.legacy = !s.got || !modernError(s.answer.Error.Code)
		if s.got && !f.legacy {
			return nil
		}
		f.err = fault.Newf(fault.Invalid, "the server refused the request (%d)", status)
	default:
		f.outcome, f.err = connector.Unclear, fault.Newf(fault.Unavailable, "the server answered with status %d", status)
	}
	return f
}

func modernError(code int64) bool {
	return slices.Contains([]int64{jsonrpc.CodeNoVersion, jsonrpc.CodeHeaders, jsonrpc.CodeNoCapability}, code)
}

// lock waits for the peer; the caller unlocks.
func (l *line) lock(ctx context.Context) *failure {
	select {
	case l.peer.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &failure{outcome: connector.NotSent, err: fault.New(fault.Unavailable, "the server did not answer in time")}
	}
}

func (l *line) unlock() { <-l.peer.busy }

// view gives the server's list, which is at most a minute old, and begins a session
// where one is needed. One caller asks, the others wait.
func (l *line) view(ctx context.Context) (*view, *failure) {
	if f := l.lock(ctx); f != nil {
		return nil, f
	}
	defer l.unlock()
	if v := l.peer.seen; v != nil && l.k.now().Before(v.until) {
		return v, nil
	}
	for again := false; ; again = true {
		if l.peer.era.version == "" {
			if f := l.hello(ctx); f != nil {
				return nil, f
			}
		}
		v, f := l.list(ctx, l.peer.era)
		if f != nil && !again && (f.session || f.legacy) {
			l.peer.era, l.peer.seen = era{}, nil // what it was is over: ask anew
			continue
		}
		if f != nil {
			l.peer.seen = nil
			return nil, f
		}
		l.peer.seen = v
		return v, nil
	}
}

// hello finds out how the server is spoken to: the modern way first.
func (l *line) hello(ctx context.Context) *failure {
	e, f := l.discover(ctx)
	if f != nil {
		return f
	}
	if e.version != modern {
		if e, f = l.initialize(ctx, e.version); f != nil {
			return f
		}
	}
	l.peer.era = e
	return nil
}

// discover asks the modern way; an era of another version says which one to begin a
// session with.
func (l *line) discover(ctx context.Context) (era, *failure) {
	if l.k.stdio {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, probeTimeout)
		defer cancel()
	}
	for range 2 {
		r, err := era{version: modern}.envelope("server/discover", nil, nextID(), nil)
		if err != nil {
			return era{}, &failure{outcome: connector.NotSent, err: err}
		}
		s, _, f := l.exchange(ctx, r, false)
		switch {
		case f != nil && f.legacy:
			return era{version: newest}, nil
		case f != nil && l.k.stdio && ctx.Err() != nil:
			return era{version: newest}, nil
		case f != nil && f.reply.Status >= 200 && f.reply.Status < 300:
			return era{version: newest}, nil // it answers something else to what it does not know
		case f != nil:
			return era{}, f
		case !s.got:
			return era{version: newest}, nil
		case s.answer.Error == nil:
			l.peer.said = s.answer.Result
			if supports(s.answer.Result, "supportedVersions", modern) {
				return era{version: modern}, nil
			}
			return era{version: newest}, nil
		case s.answer.Error.Code != jsonrpc.CodeNoVersion:
			return era{version: newest}, nil
		}
		for _, v := range []string{newest, oldest} {
			if supports(s.answer.Error.Data, "supported", v) && !supports(s.answer.Error.Data, "supported", modern) {
				return era{version: v}, nil
			}
		}
		if !supports(s.answer.Error.Data, "supported", modern) {
			break
		}
	}
	return era{}, &failure{outcome: connector.NotSent, err: errVersion}
}

var errVersion = fault.New(fault.Invalid, "the server speaks no version of the protocol that is spoken here").
	WithHint("versions %s, %s and %s are spoken", modern, newest, oldest)

func supports(b json.RawMessage, member, version string) bool {
	o, err := jsonrpc.ReadObject(b)
	if err != nil {
		return false
	}
	var list []string
	v, _ := o.Get(member)
	return json.Unmarshal(v, &list) == nil && slices.Contains(list, version)
}

// initialize begins a session with a version, as the older ones have it.
func (l *line) initialize(ctx context.Context, version string) (era, *failure) {
	params, err := json.Marshal(map[string]any{"protocolVersion": version, "capabilities": map[string]any{}, "clientInfo": clientInfo})
	if err != nil {
		return era{}, &failure{outcome: connector.NotSent, err: fault.New(fault.Internal, "the greeting can't be written")}
	}
	r, err := era{}.envelope("initialize", params, nextID(), nil)
	if err != nil {
		return era{}, &failure{outcome: connector.NotSent, err: err}
	}
	s, reply, f := l.exchange(ctx, r, false)
	switch {
	case f != nil && (f.reply.Status == http.StatusNotFound || f.reply.Status == http.StatusMethodNotAllowed):
		f.err = fault.Newf(fault.Invalid, "at the Integration's url there is no MCP server (%d)", f.reply.Status).WithHint("is it the server's MCP endpoint?")
		return era{}, f
	case f != nil:
		return era{}, f
	case !s.got || s.answer.Error != nil:
		return era{}, &failure{outcome: connector.NotSent, err: fault.New(fault.Invalid, "the server refuses to begin a session").WithHint("is the Integration's url the server's MCP endpoint?")}
	}
	e := era{session: reply.Header.Get("Mcp-Session-Id")}
	l.peer.said = s.answer.Result
	if o, err := jsonrpc.ReadObject(s.answer.Result); err == nil {
		e.version, _ = o.Text("protocolVersion")
	}
	if e.version != newest && e.version != oldest {
		return era{}, &failure{outcome: connector.NotSent, err: errVersion}
	}
	if len(e.session) > maxSID || strings.ContainsFunc(e.session, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return era{}, &failure{outcome: connector.NotSent, err: fault.New(fault.Invalid, "the server's session has an id that is too long, or not plain ASCII")}
	}
	if r, err = e.envelope("notifications/initialized", nil, jsonrpc.ID{}, nil); err == nil {
		_, _, f = l.exchange(ctx, r, false)
	}
	return e, f
}

// call sends the call itself.
func (l *line) call(ctx context.Context, v *view, op *operation, params json.RawMessage, write bool) (*said, *failure) {
	var extra map[string]string
	if v.era.version == modern {
		extra = mirrored(op.params, params)
	}
	r, err := v.era.envelope(op.method, params, nextID(), extra)
	if err != nil {
		return nil, &failure{outcome: connector.NotSent, err: err}
	}
	s, _, f := l.exchange(ctx, r, write)
	if f != nil && s.got && !f.session {
		f = nil // a JSON-RPC error says more than the status that it came with
	}
	over := f != nil && f.session
	if mismatch := s.got && s.answer.Error != nil && s.answer.Error.Code == jsonrpc.CodeHeaders; over || s.changed || mismatch {
		if l.lock(context.WithoutCancel(ctx)) == nil {
			if l.peer.seen == v {
				l.peer.seen = nil
			}
			if over && l.peer.era == v.era {
				l.peer.era = era{}
			}
			l.unlock()
		}
	}
	return s, f
}
