package proccred

import (
	"context"
	"encoding/json"
	"sync"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/wire/jsonrpc"
)

// Limits of what waits for one call's reader.
const (
	maxQueued      = 256             // messages
	maxQueuedBytes = 2 * maxMessage  // of them
	maxAsked       = 64              // requests of a child's own that nobody answered
	tokenMember    = "progressToken" // of a request's _meta, and of notifications/progress
	cancelled      = "notifications/cancelled"
	initialized    = "notifications/initialized"
	progress       = "notifications/progress"
	initialize     = "initialize"
)

// call is one request in flight.
type call struct {
	id     jsonrpc.ID // the caller's
	method string
	token  json.RawMessage // the caller's progress token; nil: none; under child.mu

	mu    sync.Mutex
	queue [][]byte // what came for it, in order; the answer last
	bytes int
	last  bool  // the answer is in the queue
	err   error // why there is none
	news  chan struct{}
}

func newCall(m jsonrpc.Message) *call {
	return &call{id: m.ID, method: m.Method, news: make(chan struct{}, 1)}
}

// give queues a message. One that is not read in time ends the call, not the child:
// others have calls of it too.
func (c *call) give(msg []byte, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last || c.err != nil {
		return
	}
	if len(c.queue) >= maxQueued || c.bytes+len(msg) > maxQueuedBytes {
		c.queue, c.err = nil, fault.New(fault.Limit, "the server sends more than is read of it")
	} else {
		c.queue, c.bytes, c.last = append(c.queue, msg), c.bytes+len(msg), last
	}
	c.tell()
}

// end ends the call without an answer.
func (c *call) end(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last && c.err == nil {
		c.err = why
		c.tell()
	}
}

func (c *call) tell() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// take gives the next message, and whether it is the answer.
func (c *call) take(ctx context.Context) (msg []byte, last bool, err error) {
	for {
		c.mu.Lock()
		switch {
		case len(c.queue) > 0:
			msg = c.queue[0]
			c.queue, c.bytes = c.queue[1:], c.bytes-len(msg)
			last = c.last && len(c.queue) == 0
		case c.err != nil:
			err = c.err
		}
		c.mu.Unlock()
		if msg != nil || err != nil {
			return msg, last, err
		}
		select {
		case <-c.news:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// open registers a call under an id of ours.
func (ch *child) open(c *call) (int64, error) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.why != nil {
		return 0, ch.why
	}
	ch.next++
	ch.calls[ch.next] = c
	return ch.next, nil
}

// drop forgets a call that was not written.
func (ch *child) drop(id int64) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	delete(ch.calls, id)
}

// lose gives up a call that was written, and says whether it was still open. The
// child may go on with it for a while, and what it then says is about that one.
func (ch *child) lose(id int64) bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	_, open := ch.calls[id]
	delete(ch.calls, id)
	if open {
		ch.lost[id] = ch.all.cfg.Now()
	}
	return open
}

// retoken puts our progress token in the place of the caller's, and gives the
// params, and the caller's.
func retoken(m jsonrpc.Message, id int64) (params []byte, token json.RawMessage) {
	meta, ok := m.Params.Object("_meta")
	if !ok {
		return m.Raw, nil
	}
	if token, ok = meta.Get(tokenMember); !ok {
		return m.Raw, nil
	}
	return replace(m.Params, "_meta", replace(meta, tokenMember, []byte(jsonrpc.IntID(id).String()))), token
}

// replace writes an object with another value for one of its members.
func replace(o jsonrpc.Object, key string, value []byte) []byte {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(jsonrpc.AppendString(b, m.Key), ':')
		if m.Key == key {
			b = append(b, value...)
		} else {
			b = append(b, m.Value...)
		}
	}
	return append(b, '}')
}
