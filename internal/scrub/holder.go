package scrub

import (
	"io"
	"sync"
	"sync/atomic"
)

// Holder holds the Set that is current. Its zero value holds the empty one.
type Holder struct{ p atomic.Pointer[Set] }

// Load gives the current Set; it is never nil.
func (h *Holder) Load() *Set {
	if s := h.p.Load(); s != nil {
		return s
	}
	return &Set{}
}

// Store makes s the current Set, also for the streams that are under way.
func (h *Holder) Store(s *Set) { h.p.Store(s) }

// Stream is [Set.Stream] with the Set that is current at each write.
func (h *Holder) Stream(w io.Writer) *Stream { return &Stream{w: w, set: h.Load} }

// Reader is [Set.Reader] with the Set that is current at each read.
func (h *Holder) Reader(r io.Reader) io.ReadCloser { return newReader(r, h.Load) }

// Writer scrubs the output of a process: lines, from any number of goroutines.
// Where a write ends a line, nothing is held back, so that a log never lags.
func Writer(w io.Writer, h *Holder) io.Writer { return &lines{st: h.Stream(w)} }

type lines struct {
	mu sync.Mutex
	st *Stream
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.st.Write(p)
	if err == nil && n > 0 && p[n-1] == '\n' {
		err = l.st.Flush()
	}
	return n, err
}
