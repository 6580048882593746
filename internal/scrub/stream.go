package scrub

import (
	"errors"
	"fmt"
	"io"

	"sallyport.dev/internal/fault"
)

// Stream is an io.WriteCloser that passes on what is written to it, scrubbed.
// It holds back bytes only while the end of what it got may be the beginning of
// a secret, raw or encoded, or of an escape: at most the longest encoding of the
// longest secret. Close (or Flush) lets them go. Not for two goroutines at once.
type Stream struct {
	w    io.Writer
	set  func() *Set
	sc   scanner
	red  redaction
	held []byte // came in, did not leave
	out  []byte
	err  error // of w; nothing is written after it
}

// Stream scrubs with s what it writes to w.
func (s *Set) Stream(w io.Writer) *Stream {
	return &Stream{w: w, set: func() *Set { return s }}
}

// FixedStream is [Set.Stream] for binary frames: every length stays true, and
// what is found is written over with asterisks.
func (s *Set) FixedStream(w io.Writer) *Stream {
	st := s.Stream(w)
	st.red.fixed = true
	return st
}

// Write scrubs p after what is held back. It returns len(p), or w's error.
func (s *Stream) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	t := p
	if len(s.held) > 0 {
		s.held = append(s.held, p...)
		t = s.held
	}
	if s.pass(t, false); s.err != nil {
		return 0, s.err
	}
	return len(p), nil
}

// Flush lets go of what is held back, as if the stream ended here: a secret
// that is split by a Flush is not found. For ends of messages.
func (s *Stream) Flush() error {
	if s.err == nil && len(s.held) > 0 {
		s.pass(s.held, true)
	}
	return s.err
}

// Close flushes and refuses further writes. It doesn't close w.
func (s *Stream) Close() error {
	err := s.Flush()
	if errors.Is(err, errClosed) {
		return nil
	}
	s.err = errClosed
	return err
}

var errClosed error = fault.New(fault.Internal, "write to a stream that is closed")

// Held is how many bytes wait for what follows them.
func (s *Stream) Held() int { return len(s.held) }

// Report says what was replaced so far.
func (s *Stream) Report() Report {
	return s.red.report()
}

// pass writes the part of t that is decided and holds the rest. t is either
// s.held or, when that is empty, the caller's.
func (s *Stream) pass(t []byte, final bool) {
	lim, e := len(t), s.set().engine()
	var found []match
	// The set is asked for again each time: a secret that came to be known
	// since applies to all that has not left.
	if e != nil {
		lim = s.sc.scan(e, t, final)
		found = s.sc.found
	}
	text := t[:lim]
	if len(found) > 0 || s.red.covered > 0 {
		s.out = s.red.apply(s.out[:0], e, t, found, lim)
		text = s.out
	}
	if len(text) > 0 {
		_, s.err = s.w.Write(text)
	}
	s.held = append(s.held[:0], t[lim:]...)
}

// Format shows nothing of the bytes in hand.
func (s *Stream) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "scrub.Stream") }
