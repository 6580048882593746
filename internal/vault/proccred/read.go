package proccred

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strconv"
	"time"

	"sallyport.dev/internal/wire/jsonrpc"
)

// read takes the child's messages until its output ends.
func (ch *child) read(r io.Reader) {
	f := newFrames(r, maxMessage)
	noise := ch.slot.tail.listen()
	defer noise.close()
	for {
		line, err := f.next()
		if err == errLong { //nolint:errorlint // it is that value
			ch.fail(err)
			_, _ = io.Copy(io.Discard, r) // until it is dead
			return
		}
		if err != nil {
			return
		}
		m, err := jsonrpc.Decode(bytes.Clone(line), maxMessage)
		if err != nil {
			noise.write(append(line, '\n')) // servers say hello here, though they must not
			continue
		}
		ch.message(m)
	}
}

// message brings one message to where it belongs.
func (ch *child) message(m jsonrpc.Message) {
	switch {
	case m.IsAnswer():
		ch.answer(m)
	case m.IsRequest() && m.Method == "ping":
		ch.pong(m.ID)
	case m.Method == progress:
		ch.progress(m)
	case m.IsRequest():
		if c := ch.only(); c != nil && ch.remember(m.ID) {
			c.give(oneLine(jsonrpc.AppendRequest(nil, m.ID, m.Method, m.Raw)), false)
		}
	default:
		if c := ch.only(); c != nil {
			c.give(oneLine(jsonrpc.AppendRequest(nil, jsonrpc.ID{}, m.Method, m.Raw)), false)
		}
	}
}

// answer ends the call that it answers. An id that is nobody's, or is answered
// already, is nothing.
func (ch *child) answer(m jsonrpc.Message) {
	id, err := strconv.ParseInt(m.ID.String(), 10, 64)
	if err != nil {
		return
	}
	ch.mu.Lock()
	c := ch.calls[id]
	delete(ch.calls, id)
	delete(ch.lost, id)
	ch.mu.Unlock()
	if c == nil {
		return
	}
	var b []byte
	if m.Error != nil {
		b = jsonrpc.AppendError(nil, c.id, *m.Error)
	} else {
		b = jsonrpc.AppendResult(nil, c.id, m.Result)
	}
	c.give(oneLine(b), true)
}

// progress goes to the call whose token it has, under the caller's own.
func (ch *child) progress(m jsonrpc.Message) {
	raw, ok := m.Params.Get(tokenMember)
	id, err := strconv.ParseInt(string(raw), 10, 64)
	if !ok || err != nil {
		return
	}
	ch.mu.Lock()
	c := ch.calls[id]
	var token []byte
	if c != nil {
		token = c.token
	}
	ch.mu.Unlock()
	if token != nil {
		c.give(oneLine(jsonrpc.AppendRequest(nil, jsonrpc.ID{}, m.Method, replace(m.Params, tokenMember, token))), false)
	}
}

// lostTime is how long a child may speak of a call that was given up.
const lostTime = time.Minute

// only is the one call in flight. Where there are several, or one was given up
// lately, nobody can say which one a message is about, and one Run's words are not
// another's.
func (ch *child) only() *call {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for id, at := range ch.lost {
		if ch.all.cfg.Now().Sub(at) > lostTime {
			delete(ch.lost, id)
		}
	}
	if len(ch.calls) != 1 || len(ch.lost) > 0 {
		return nil
	}
	for _, c := range ch.calls {
		return c
	}
	return nil
}

// remember notes a request that goes up, so that an answer to it can come down.
func (ch *child) remember(id jsonrpc.ID) bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if len(ch.asked) >= maxAsked {
		return false
	}
	ch.asked[id] = true
	return true
}

// pongTime is how long the child may take to read what it asked for.
const pongTime = 5 * time.Second

// pong answers a ping, which says no more than that the pipes are open.
func (ch *child) pong(id jsonrpc.ID) {
	ctx, cancel := context.WithTimeout(context.Background(), pongTime)
	defer cancel()
	_, _ = ch.send(ctx, jsonrpc.AppendResult(nil, id, []byte("{}"))) // a child that does not read is found by who calls it
}

// oneLine takes out the white space that a stream of events would break at.
func oneLine(b []byte) []byte {
	if !bytes.ContainsAny(b, "\r\n") {
		return b
	}
	var out bytes.Buffer
	if json.Compact(&out, b) != nil { // it was read as JSON
		return b
	}
	return out.Bytes()
}
