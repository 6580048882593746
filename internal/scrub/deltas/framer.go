package deltas

import "bytes"

// span is a stretch of a frame's bytes.
type span struct{ start, end int }

// framer cuts a stream into frames. A line ends with CR, LF or both; a frame is a
// line, or, in an event stream, all up to a line that is empty.
type framer struct {
	lines   bool
	buf     []byte
	start   int    // of the frame
	line    int    // of the line
	seen    int    // up to where line ends were looked for
	spans   []span // the frame's lines so far, from its start, without their ends
	afterCR bool   // the line before ended with CR: an LF would be of the same end
	begun   bool   // the first line is behind us, and with it a BOM
	drop    bool   // the rest of a frame that was refused
}

const bom = "\ufeff"

// take cuts p, with what is in hand before it. give must not keep what it gets.
func (f *framer) take(p []byte, give func(raw []byte, lines []span, refusal string)) {
	f.buf = append(f.buf, p...)
	if f.afterCR && f.start == f.seen && len(p) > 0 && p[0] == '\n' {
		// The frame left with the CR; what belongs to it leaves at once too.
		give(f.buf[f.start:f.start+1], nil, "")
		f.afterCR = false
		f.start++
		f.line, f.seen = f.start, f.start
	}
	for f.next() {
		f.ended(give)
	}
	if len(f.buf)-f.start > maxFrame {
		f.refuse(give, tooLarge)
	}
	f.compact()
}

// next finds the end of the line. It leaves the line in spans, and seen after
// its end.
func (f *framer) next() bool {
	if f.afterCR && f.seen < len(f.buf) {
		f.afterCR = false
		if f.buf[f.seen] == '\n' {
			f.seen++
			f.line = f.seen
		}
	}
	t := f.buf[f.seen:]
	n := bytes.IndexByte(t, '\n')
	if n < 0 {
		n = len(t)
	}
	if cr := bytes.IndexByte(t[:n], '\r'); cr >= 0 {
		n = cr
	}
	if n == len(t) {
		f.seen = len(f.buf)
		return false
	}
	f.spans = append(f.spans, span{f.line - f.start, f.seen + n - f.start})
	f.seen += n + 1
	if t[n] == '\r' {
		if f.afterCR = f.seen == len(f.buf); !f.afterCR && f.buf[f.seen] == '\n' {
			f.seen++
		}
	}
	f.line = f.seen
	return true
}

// ended is called after each line: does the frame end here?
func (f *framer) ended(give func([]byte, []span, string)) {
	last := &f.spans[len(f.spans)-1]
	if !f.begun {
		f.begun = true
		if bytes.HasPrefix(f.buf[f.start+last.start:f.start+last.end], []byte(bom)) {
			last.start += len(bom)
		}
	}
	switch {
	case !f.lines && last.end > last.start:
		if len(f.spans) > maxTexts {
			f.refuse(give, tooMany)
		}
		return
	case f.drop:
		f.drop = false
	case f.line-f.start > maxFrame:
		give(nil, nil, tooLarge)
	default:
		give(f.buf[f.start:f.line], f.spans, "")
	}
	f.start, f.spans = f.line, f.spans[:0]
}

// refuse gives up the frame, and what of it is still to come.
func (f *framer) refuse(give func([]byte, []span, string), why string) {
	if !f.drop {
		give(nil, nil, why)
	}
	f.drop, f.spans = true, f.spans[:0]
	if f.start = f.line; f.seen > f.line {
		// One byte of the line stays, which says that it is not empty.
		f.start = f.seen - 1
		f.line = f.start
	}
}

// compact moves what is in hand to the beginning.
func (f *framer) compact() {
	if f.start == 0 {
		return
	}
	n := copy(f.buf, f.buf[f.start:])
	f.buf = f.buf[:n]
	if n == 0 && cap(f.buf) > keep {
		f.buf = nil
	}
	f.line -= f.start
	f.seen -= f.start
	f.start = 0
}

// end gives what is left as a frame.
func (f *framer) end(give func([]byte, []span, string)) {
	if len(f.buf) == 0 || f.drop {
		return
	}
	if f.line < len(f.buf) {
		last := span{f.line, len(f.buf)}
		if !f.begun && bytes.HasPrefix(f.buf[f.line:], []byte(bom)) {
			last.start += len(bom)
		}
		f.spans = append(f.spans, last)
	}
	give(f.buf, f.spans, "")
	f.buf, f.spans = nil, nil
}
