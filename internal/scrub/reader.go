package scrub

import (
	"fmt"
	"io"
)

// chunk is how much a reader asks its source for at once.
const chunk = 32 << 10

// Reader scrubs what it reads from r. It is an io.ReadCloser; Close closes r
// where r can be closed. An error of r comes after all bytes before it, its
// text scrubbed; io.EOF stays io.EOF.
func (s *Set) Reader(r io.Reader) io.ReadCloser {
	return newReader(r, func() *Set { return s })
}

type reader struct {
	src  io.Reader
	set  func() *Set
	st   *Stream
	buf  []byte
	out  []byte // scrubbed, not read yet; the store of sink
	sink sink
	err  error
}

// sink collects what a Stream writes.
type sink struct{ b []byte }

func (s *sink) Write(p []byte) (int, error) {
	s.b = append(s.b, p...)
	return len(p), nil
}

func newReader(src io.Reader, set func() *Set) *reader {
	r := &reader{src: src, set: set}
	r.st = &Stream{w: &r.sink, set: set}
	return r
}

// Read returns scrubbed bytes as soon as they are decided.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.out) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.fill()
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

func (r *reader) fill() {
	if r.buf == nil {
		r.buf = make([]byte, chunk)
	}
	r.sink.b = r.sink.b[:0]
	n, err := r.src.Read(r.buf)
	_, _ = r.st.Write(r.buf[:n]) // a sink never fails
	if err != nil {
		_ = r.st.Flush()
		if r.err = err; err != io.EOF {
			r.err = r.set().Error(err)
		}
	}
	r.out = r.sink.b
}

// Report says what was replaced so far.
func (r *reader) Report() Report { return r.st.Report() }

// Close closes the source.
func (r *reader) Close() error {
	c, ok := r.src.(io.Closer)
	if !ok {
		return nil
	}
	return r.set().Error(c.Close())
}

// Format shows nothing of the bytes in hand.
func (r *reader) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "scrub.Reader") }
