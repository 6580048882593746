package proccred

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/wire/jsonrpc"
)

// hello is a caller's initialize. A child is initialized once: who asks for the same
// again gets the answer that there was. What is asked for is remembered, since a
// later child of this credential has to be initialized too, and no session id tells
// the caller that it is another one.
func (x *exchange) hello(ctx context.Context) (*http.Response, error) {
	ch := x.child
	if err := ch.hold(ctx); err != nil {
		return nil, ended(ctx, err)
	}
	defer ch.letGo()
	version, _ := x.m.Params.Text("protocolVersion")
	if g := ch.greeting; g.result != nil && g.version == version {
		return x.whole(jsonrpc.AppendResult(nil, x.m.ID, g.result)), nil
	}
	if err := x.begin(ctx); err != nil {
		return nil, ended(ctx, err)
	}
	b, err := x.answer(ctx)
	if err != nil {
		return nil, err
	}
	if m, err := jsonrpc.Decode(b, maxMessage); err == nil && m.Error == nil {
		ch.greeting = greeting{version: version, result: slices.Clone(m.Result)}
		ch.all.mu.Lock()
		ch.slot.hello = slices.Clone(x.m.Raw)
		ch.all.mu.Unlock()
	}
	return x.whole(b), nil
}

// answer waits for the answer, and lets go of what comes before it.
func (x *exchange) answer(ctx context.Context) ([]byte, error) {
	for {
		b, last, err := x.call.take(ctx)
		if err != nil {
			x.abandon()
			return nil, ended(ctx, err)
		}
		if last {
			return b, nil
		}
	}
}

// hold waits for the right to initialize the child, and letGo gives it back.
func (ch *child) hold(ctx context.Context) error {
	select {
	case ch.shake <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-ch.ended:
		return ch.reason()
	}
}

func (ch *child) letGo() { <-ch.shake }

// greet initializes a child that follows one that was. A server of a revision
// without initialize was never asked to, and is not now.
func (ch *child) greet(ctx context.Context) error {
	ch.all.mu.Lock()
	params := ch.slot.hello
	ch.all.mu.Unlock()
	if params == nil {
		return nil
	}
	if err := ch.hold(ctx); err != nil {
		return err
	}
	defer ch.letGo()
	if ch.greeting.result != nil {
		return nil
	}
	m, err := jsonrpc.Decode(jsonrpc.AppendRequest(nil, jsonrpc.IntID(0), initialize, params), maxMessage)
	if err != nil {
		return err
	}
	x := &exchange{child: ch, m: m}
	got, err := x.quietly(ctx)
	if err != nil {
		return err
	}
	version, _ := m.Params.Text("protocolVersion")
	ch.greeting = greeting{version: version, result: got}
	return ch.tellInitialized(ctx)
}

// quietly asks without telling a trace: what is written is not the caller's.
func (x *exchange) quietly(ctx context.Context) (json.RawMessage, error) {
	x.call = newCall(x.m)
	var err error
	if x.id, err = x.child.open(x.call); err != nil {
		return nil, err
	}
	if _, err = x.child.send(ctx, jsonrpc.AppendRequest(nil, jsonrpc.IntID(x.id), x.m.Method, x.m.Raw)); err != nil {
		x.child.drop(x.id)
		return nil, err
	}
	b, err := x.answer(ctx)
	if err != nil {
		return nil, err
	}
	m, err := jsonrpc.Decode(b, maxMessage)
	if err != nil || m.Error != nil {
		return nil, fault.New(fault.Unavailable, "the server's process was started again, and refuses to be initialized as before")
	}
	return slices.Clone(m.Result), nil
}

// inform passes a caller's notifications/initialized on, unless the child was told.
func (ch *child) inform(ctx context.Context) error {
	if err := ch.hold(ctx); err != nil {
		return ended(ctx, err)
	}
	defer ch.letGo()
	if ch.greeting.told {
		return nil
	}
	return ch.tellInitialized(ctx)
}

// tellInitialized is called by who holds the child.
func (ch *child) tellInitialized(ctx context.Context) error {
	if _, err := ch.send(ctx, jsonrpc.AppendRequest(nil, jsonrpc.ID{}, initialized, nil)); err != nil {
		return ended(ctx, err)
	}
	ch.greeting.told = true
	return nil
}
