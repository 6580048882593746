package proccred

import (
	"context"
	"errors"
	"io"
	"sync"

	"sallyport.dev/internal/fault"
)

// events is the body of an answer that began with another message: server-sent
// events, the last of which is the answer. It is for one reader.
type events struct {
	x    *exchange
	ctx  context.Context
	buf  []byte
	err  error // after buf
	once sync.Once
}

// event is a message as an event. It has no line end in it.
func event(msg []byte) []byte {
	return append(append([]byte("event: message\ndata: "), msg...), '\n', '\n')
}

// Read gives the events as they come.
func (e *events) Read(p []byte) (int, error) {
	for len(e.buf) == 0 {
		if e.err != nil {
			return 0, e.err
		}
		msg, last, err := e.x.call.take(e.ctx)
		switch {
		case err != nil:
			e.err = ended(e.ctx, err)
		case last:
			e.err, e.buf = io.EOF, event(msg)
		default:
			e.buf = event(msg)
		}
		if e.err != nil {
			e.done()
		}
	}
	n := copy(p, e.buf)
	e.buf = e.buf[n:]
	return n, nil
}

// Close gives the call up where its answer was not read.
func (e *events) Close() error {
	if e.err == nil {
		e.err, e.buf = errClosed, nil
	}
	e.done()
	return nil
}

var errClosed error = fault.New(fault.Internal, "reading an answer that is closed")

func (e *events) done() {
	e.once.Do(func() {
		if !errors.Is(e.err, io.EOF) {
			e.x.abandon()
		}
		e.x.child.release()
	})
}
