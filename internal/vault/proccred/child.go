package proccred

import (
	"context"
	"encoding/json"
	"os"
	"sync"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/wire/jsonrpc"
)

// Ways to stop a child; a later one overrides an earlier one.
const (
	stopDrained = iota + 1 // when its last call has ended
	stopNow                // its input is closed, then it is asked to end, then killed
	stopKill               // it and its group are killed
)

// child is one process, from before its start to after its end.
type child struct {
	all   *Children
	slot  *slot
	ready chan struct{} // closed when it runs, or failed is set
	ended chan struct{} // closed when it takes and gives nothing any more
	gone  chan struct{} // closed when nothing is left of it
	wake  chan struct{} // stopping or inflight changed

	// Set before ready is closed.
	failed error
	in     *os.File
	pid    int

	writing chan struct{} // full: somebody writes a line

	mu       sync.Mutex
	calls    map[int64]*call
	lost     map[int64]time.Time // calls that were given up and may go on in it
	asked    map[jsonrpc.ID]bool // requests of its own that went up
	next     int64
	inflight int
	used     time.Time
	stopping int
	why      error // of an end that was not asked for; what calls are told
	wanted   bool  // the end was asked for; set by finish
	reaped   bool  // it was waited for

	shake    chan struct{} // full: somebody initializes it
	greeting greeting
}

// greeting is what became of initialize. It is under child.shake.
type greeting struct {
	version string          // that was asked for
	result  json.RawMessage // nil: it is not initialized
	told    bool            // it was sent notifications/initialized
}

func newChild(c *Children, s *slot) *child {
	return &child{all: c, slot: s, ready: make(chan struct{}), ended: make(chan struct{}), gone: make(chan struct{}),
		wake: make(chan struct{}, 1), writing: make(chan struct{}, 1), shake: make(chan struct{}, 1),
		calls: map[int64]*call{}, lost: map[int64]time.Time{}, asked: map[jsonrpc.ID]bool{}, used: c.cfg.Now()}
}

// take counts a call, unless the child is to end.
func (ch *child) take() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.stopping != 0 || ch.why != nil {
		return false
	}
	ch.inflight++
	return true
}

// dying says that it ended by itself, or has to.
func (ch *child) dying() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.why != nil
}

// release ends what take began.
func (ch *child) release() {
	ch.mu.Lock()
	ch.inflight--
	ch.used = ch.all.cfg.Now()
	ch.mu.Unlock()
	ch.nudge()
}

func (ch *child) idleSince() (time.Time, bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.used, ch.inflight == 0
}

// busy is how many calls it has.
func (ch *child) busy() int {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.inflight
}

// drain has the child end when its calls have; stop, at once.
func (ch *child) drain() { ch.stop(stopDrained) }

func (ch *child) stop(how int) {
	ch.mu.Lock()
	ch.stopping = max(ch.stopping, how)
	ch.mu.Unlock()
	ch.nudge()
}

func (ch *child) nudge() {
	select {
	case ch.wake <- struct{}{}:
	default:
	}
}

// fail says why the child has to end, and kills it.
func (ch *child) fail(why error) {
	ch.mu.Lock()
	if ch.why == nil {
		ch.why = why
	}
	ch.stopping = stopKill
	ch.mu.Unlock()
	ch.nudge()
}

// due says how the child is to be stopped now; 0: not yet. wait is how long it may
// take until the answer is another one by itself.
func (ch *child) due(draining *time.Time) (how int, wait time.Duration) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	now := ch.all.cfg.Now()
	idle := ch.all.cfg.Idle - now.Sub(ch.used)
	switch {
	case ch.stopping == stopDrained:
		if draining.IsZero() {
			*draining = now
		}
		left := drainTime - now.Sub(*draining)
		if ch.inflight == 0 || left <= 0 {
			ch.stopping = stopNow
			return stopNow, 0
		}
		return 0, left
	case ch.stopping != 0:
		return ch.stopping, 0
	case ch.inflight > 0:
		return 0, ch.all.cfg.Idle
	case idle <= 0:
		ch.stopping = stopNow
		return stopNow, 0
	}
	return 0, idle
}

// watch stops the child when it is due.
func (ch *child) watch() {
	var draining time.Time
	for {
		how, wait := ch.due(&draining)
		if how != 0 {
			ch.end(how)
			return
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ch.wake:
		case <-ch.ended:
			t.Stop()
			return
		}
		t.Stop()
	}
}

// Between the steps of an end; see the lifecycle of MCP, "Shutdown", stdio.
const (
	afterClose = 2 * time.Second
	afterTerm  = time.Second
)

// end ends the process in the steps that are left, and waits for it.
func (ch *child) end(how int) {
	if how < stopKill {
		_ = ch.in.Close() // a writer gets an error, and the process an end of its input
		if ch.over(afterClose) {
			return
		}
		ch.signal(terminate)
		if ch.over(afterTerm) {
			return
		}
	}
	ch.signal(kill)
	<-ch.ended
}

// signal signals the process and its group, unless it is off the books: then its number
// can be somebody else's.
func (ch *child) signal(with func(pid int)) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.pid != 0 && !ch.reaped {
		with(ch.pid)
	}
}

// over waits for the end, or for another word.
func (ch *child) over(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-ch.ended:
			return true
		case <-t.C:
			return false
		case <-ch.wake:
			ch.mu.Lock()
			at := ch.stopping
			ch.mu.Unlock()
			if at == stopKill {
				return false
			}
		}
	}
}

// finish ends every call in flight. It is called when the process is gone, or never
// was.
func (ch *child) finish(how string) {
	ch.mu.Lock()
	ch.wanted = ch.stopping != 0 && ch.why == nil
	if ch.why == nil {
		ch.why = fault.New(fault.Unavailable, "the server's process ended: "+how)
	}
	calls, why := ch.calls, ch.why
	ch.calls = map[int64]*call{}
	ch.mu.Unlock()
	for _, c := range calls {
		c.end(why)
	}
	close(ch.ended)
}

// send writes one line. n is how many bytes of it the process may have: with an
// error and n > 0 it has a part, and is killed.
func (ch *child) send(ctx context.Context, line []byte) (n int, err error) {
	select {
	case ch.writing <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-ch.ended:
		return 0, ch.reason()
	}
	defer func() { <-ch.writing }()
	_ = ch.in.SetWriteDeadline(time.Time{}) // a pipe takes deadlines
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		_ = ch.in.SetWriteDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() {
			<-cut // or it would cut the next caller's line, and end the child
		}
	}()
	n, err = ch.in.Write(append(line, '\n'))
	switch {
	case err == nil:
		return n, nil
	case n > 0:
		ch.fail(fault.New(fault.Unavailable, "the server's process did not read a message to its end"))
	case ctx.Err() == nil:
		ch.fail(fault.New(fault.Unavailable, "the server's process has closed its input"))
	}
	return n, fault.New(fault.Unavailable, "the server's process does not read its input")
}

// reason is why it ended.
func (ch *child) reason() error {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.why
}
