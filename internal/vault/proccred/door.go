package proccred

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/wire/jsonrpc"
)

// door leads to one credential's child. It is safe for concurrent use.
type door struct {
	all   *Children
	at    place
	spec  Spec
	value plain.Value
}

// RoundTrip writes the message in the body to the child, once. It tells the
// caller's trace as net/http does: GetConn before, GotConn when the child may have
// bytes of the message. Errors are faults; their kind is Limit or Unavailable where
// the child is at fault, and Invalid where the message is.
func (d *door) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := d.body(req)
	if err != nil {
		return nil, err
	}
	m, err := jsonrpc.Decode(body, maxMessage)
	if err != nil {
		return nil, err
	}
	ctx := req.Context()
	if t := httptrace.ContextClientTrace(ctx); t != nil && t.GetConn != nil {
		t.GetConn(req.URL.Host)
	}
	ch, err := d.all.child(ctx, d)
	if err != nil {
		return nil, ended(ctx, err)
	}
	x := &exchange{door: d, child: ch, req: req, m: m}
	resp, err := x.do(ctx)
	if err != nil {
		ch.release()
		return nil, err
	}
	if _, more := resp.Body.(*events); !more { // its end releases
		ch.release()
	}
	return resp, nil
}

// body reads what is to be sent.
func (d *door) body(req *http.Request) ([]byte, error) {
	if req.Method != http.MethodPost || req.Body == nil {
		return nil, fault.New(fault.Invalid, "a server that is a child takes messages by POST only")
	}
	defer func() { _ = req.Body.Close() }() // what could be read of it is what counts
	b, err := io.ReadAll(io.LimitReader(req.Body, maxMessage+1))
	if err != nil {
		return nil, fault.New(fault.Invalid, "reading the message")
	}
	return b, nil
}

// ended is the error of what a context may have ended.
func ended(ctx context.Context, err error) error {
	switch {
	case err == nil || fault.KindOf(err) != fault.Internal:
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fault.New(fault.Unavailable, "the server did not answer in time")
	}
	return fault.Wrap(fault.Unavailable, "calling the server", err)
}

// exchange is one message on its way.
type exchange struct {
	door  *door
	child *child
	req   *http.Request
	m     jsonrpc.Message

	call *call
	id   int64 // ours
}

func (x *exchange) do(ctx context.Context) (*http.Response, error) {
	switch {
	case x.m.Method == initialize && x.m.IsRequest():
		return x.hello(ctx)
	case x.m.IsAnswer():
		return x.reply(ctx)
	}
	if err := x.child.greet(ctx); err != nil {
		return nil, ended(ctx, err)
	}
	switch {
	case x.m.IsRequest():
		return x.ask(ctx)
	case x.m.Method == cancelled:
		return x.cancel(ctx)
	case x.m.Method == initialized:
		if err := x.child.inform(ctx); err != nil {
			return nil, err
		}
		return x.accepted(), nil
	}
	return x.pass(ctx, jsonrpc.AppendRequest(nil, jsonrpc.ID{}, x.m.Method, x.m.Raw))
}

// ask sends a request and waits for the first thing that comes of it.
func (x *exchange) ask(ctx context.Context) (*http.Response, error) {
	if err := x.begin(ctx); err != nil {
		return nil, ended(ctx, err)
	}
	first, last, err := x.call.take(ctx)
	if err != nil {
		x.abandon()
		return nil, ended(ctx, err)
	}
	if t := httptrace.ContextClientTrace(ctx); t != nil && t.GotFirstResponseByte != nil {
		t.GotFirstResponseByte()
	}
	if last {
		return x.whole(first), nil
	}
	return x.response(http.StatusOK, "text/event-stream", -1, &events{x: x, ctx: ctx, buf: event(first)}), nil
}

// begin registers the call and writes its request.
func (x *exchange) begin(ctx context.Context) (err error) {
	x.call = newCall(x.m)
	if x.id, err = x.child.open(x.call); err != nil {
		return err
	}
	params, token := retoken(x.m, x.id)
	x.child.mu.Lock()
	x.call.token = token // before the request is written, so before anything comes of it
	x.child.mu.Unlock()
	if err = x.write(ctx, jsonrpc.AppendRequest(nil, jsonrpc.IntID(x.id), x.m.Method, params)); err != nil {
		x.child.drop(x.id)
	}
	return err
}

// write sends one line, and tells the trace whether the child may have any of it.
func (x *exchange) write(ctx context.Context, line []byte) error {
	n, err := x.child.send(ctx, oneLine(line))
	t := httptrace.ContextClientTrace(ctx)
	if t == nil || n == 0 {
		return err
	}
	if t.GotConn != nil {
		t.GotConn(httptrace.GotConnInfo{Reused: true})
	}
	if t.WroteRequest != nil {
		t.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
	return err
}

// cancelTime is how long a child may take to read that a call is given up.
const cancelTime = 2 * time.Second

// abandon gives a call up whose answer nobody waits for any more, and tells the
// child.
func (x *exchange) abandon() {
	if !x.child.lose(x.id) || x.m.Method == initialize { // which can't be cancelled
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), cancelTime)
	defer cancel()
	_, _ = x.child.send(ctx, cancellation(x.id)) // it goes on for nothing otherwise
}

func cancellation(id int64) []byte {
	return jsonrpc.AppendRequest(nil, jsonrpc.ID{}, cancelled, []byte(`{"requestId":`+jsonrpc.IntID(id).String()+`}`))
}

// cancel passes a cancellation on, under our id of the request that it is about.
// Where no call has the caller's id, or several have, there is nothing to pass.
func (x *exchange) cancel(ctx context.Context) (*http.Response, error) {
	raw, _ := x.m.Params.Get("requestId")
	id, err := jsonrpc.ReadID(raw)
	if err != nil {
		return nil, err
	}
	var found []int64
	x.child.mu.Lock()
	for ours, c := range x.child.calls {
		if c.id == id && c.method != initialize {
			found = append(found, ours)
		}
	}
	x.child.mu.Unlock()
	if len(found) != 1 {
		return x.accepted(), nil
	}
	return x.pass(ctx, cancellation(found[0]))
}

// reply passes an answer to a request of the child's own down to it.
func (x *exchange) reply(ctx context.Context) (*http.Response, error) {
	x.child.mu.Lock()
	known := x.child.asked[x.m.ID]
	delete(x.child.asked, x.m.ID)
	x.child.mu.Unlock()
	if !known {
		return nil, fault.New(fault.Invalid, "the server has asked for no such answer")
	}
	if x.m.Error != nil {
		return x.pass(ctx, jsonrpc.AppendError(nil, x.m.ID, *x.m.Error))
	}
	return x.pass(ctx, jsonrpc.AppendResult(nil, x.m.ID, x.m.Result))
}

// pass sends what has no answer.
func (x *exchange) pass(ctx context.Context, line []byte) (*http.Response, error) {
	if err := x.write(ctx, line); err != nil {
		return nil, ended(ctx, err)
	}
	return x.accepted(), nil
}

// whole is an answer with nothing before it.
func (x *exchange) whole(b []byte) *http.Response {
	return x.response(http.StatusOK, "application/json", int64(len(b)), io.NopCloser(bytes.NewReader(b)))
}

func (x *exchange) accepted() *http.Response {
	return x.response(http.StatusAccepted, "", 0, http.NoBody)
}

func (x *exchange) response(status int, mediaType string, n int64, body io.ReadCloser) *http.Response {
	h := http.Header{}
	if mediaType != "" {
		h.Set("Content-Type", mediaType)
	}
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, ContentLength: n, Body: body, Request: x.req,
	}
}
