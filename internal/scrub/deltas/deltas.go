// Package deltas finds known secrets that a system cuts into the events of a
// stream: an answer of a model comes as many small texts, one in each
// server-sent event or line of JSON, and what is cut so is never in one piece on
// the wire. Each string of the frames' JSON belongs to channels: one by its
// path and the index or id that stands beside it, one by its path alone, one
// by its name alone. What a channel's strings say together is searched with
// package scrub, so that all encodings are found across frames.
//
// A frame leaves at once, byte for byte, unless the end of one of its texts may
// be the beginning of a secret; then it waits, and those behind it, until the
// channel says more. What is found is written over inside the strings;
// structure, numbers and keys stay as they are. Doing so it is as strict as the
// WHATWG's rules for event streams, and more lenient than those for JSON: a
// frame that is not quite JSON is searched as text and as JSON.
//
// It refuses frames that are too large, too deep or of too many texts, and texts
// beyond the number of channels that may wait: they are withheld, with the
// reason in their place. What waits for longer than maxQueue frames is let go
// if it may be chance (a few bytes of one text), and withheld if not.
//
// # Security
//
// It adds to the scan of the wire and does not replace it: the door scans what
// comes out of here once more. A system that spells a secret in an order of its
// own, in numbers, or in keys, is not met.
package deltas

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/scrub"
)

// Limits of what a stream may make us keep.
const (
	maxFrame    = 4 << 20 // bytes of one frame
	maxTexts    = 1 << 16 // texts (and lines) of one frame
	maxDepth    = 512     // of a frame's JSON
	maxQueue    = 256     // frames that wait
	maxWaiting  = 8 << 20 // bytes of them
	maxChannels = 1 << 14 // that have something in hand
	maxHeld     = 1 << 17 // bytes that one has in hand
)

// Formats of a stream.
const (
	none = iota
	events
	lines
)

func formatOf(contentType string) int {
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		t, _, _ = strings.Cut(contentType, ";")
	}
	switch strings.ToLower(strings.TrimSpace(t)) {
	case "text/event-stream":
		return events
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonl", "application/jsonlines",
		"application/x-jsonlines", "application/json-lines", "application/stream+json", "application/x-json-stream", "application/json-seq":
		return lines
	}
	return none
}

// Takes says whether a Content-Type is one whose frames are looked into.
func Takes(contentType string) bool { return formatOf(contentType) != none }

// Stream is an io.WriteCloser that passes on the frames that are written to it,
// scrubbed. Close lets go of what waits. Not for two goroutines at once.
type Stream struct {
	w      io.Writer
	framer framer
	rows   rows
	chans  channels
	queue  []*frame
	bytes  int // of the frames in queue
	spare  []*frame
	out    []byte
	err    error
}

// NewStream scrubs with s the frames of a stream of a media type that [Takes]
// knows, and writes them to w. Any other media type is read as lines.
func NewStream(s *scrub.Set, contentType string, w io.Writer) *Stream {
	st := &Stream{w: w}
	st.framer.lines = formatOf(contentType) != events
	st.rows.lines = st.framer.lines
	st.chans.init(s)
	return st
}

// Write takes bytes, cut anywhere. It returns len(p), or w's error.
func (s *Stream) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	s.framer.take(p, s.frame)
	return len(p), s.flush()
}

// Close ends the stream: what is not a complete frame is treated as one, and all
// that waits leaves. It doesn't close w.
func (s *Stream) Close() error {
	if s.err != nil {
		if errors.Is(s.err, errClosed) {
			return nil
		}
		return s.err
	}
	s.framer.end(s.frame)
	s.chans.finish()
	for _, f := range s.queue {
		s.out = f.render(s.out)
	}
	s.queue = nil
	err := s.flush()
	s.err = errClosed
	return err
}

var errClosed error = fault.New(fault.Internal, "write to a stream that is closed")

func (s *Stream) flush() error {
	if len(s.out) > 0 {
		_, s.err = s.w.Write(s.out)
		s.out = s.out[:0]
	}
	return s.err
}

// Report says what was replaced so far.
func (s *Stream) Report() scrub.Report {
	var r scrub.Report
	r.Add(s.chans.report)
	return r
}

// Format shows nothing of the bytes in hand.
func (s *Stream) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "deltas.Stream") }

// frame takes up one frame: raw is the framer's, lines are where its lines are.
// A frame that was too large comes without bytes, and with the reason.
func (s *Stream) frame(raw []byte, spans []span, refusal string) {
	f := s.fresh()
	if refusal == "" {
		f.raw = append(f.raw, raw...)
		refusal = s.rows.read(f, spans)
	}
	if refusal != "" {
		f.withhold(refusal, s.framer.lines)
		s.rows.keys = s.rows.keys[:0]
	}
	for i := range f.pieces {
		s.chans.feed(&f.pieces[i], s.rows.keys[i].all())
	}
	s.queue = append(s.queue, f)
	s.bytes += len(f.raw)
	s.release()
}

// release lets the frames go whose texts are decided, in their order. When too
// much waits, the first is decided without knowing what comes.
func (s *Stream) release() {
	if s.chans.whole != nil {
		return
	}
	n := 0
	for n < len(s.queue) {
		f, wait := s.queue[n], len(s.queue)-n
		must := wait > maxQueue || s.bytes > maxWaiting
		if f.waiting > 0 && (must || wait > patience) {
			s.chans.decide(f, must)
		}
		if f.waiting > 0 {
			break
		}
		s.out = f.render(s.out)
		s.bytes -= len(f.raw)
		s.spare = append(s.spare, f)
		n++
	}
	s.queue = append(s.queue[:0], s.queue[n:]...)
}

// fresh gives an empty frame.
func (s *Stream) fresh() *frame {
	n := len(s.spare)
	if n == 0 {
		return &frame{}
	}
	f := s.spare[n-1]
	s.spare = s.spare[:n-1]
	if cap(f.raw)+cap(f.plain) > keep || cap(f.pieces) > keep/64 {
		return &frame{}
	}
	f.reset()
	return f
}

// keep is up to which size a frame's memory is used again.
const keep = 64 << 10
