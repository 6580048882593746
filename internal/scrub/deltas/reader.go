package deltas

import (
	"fmt"
	"io"

	"sallyport.dev/internal/scrub"
)

// chunk is how much a reader asks its source for at once.
const chunk = 32 << 10

// Reader is [NewStream] for what is read from r. Frames are given as soon as they
// are decided. An error of r, which is passed on as it is, comes after all
// bytes before it.
func Reader(s *scrub.Set, contentType string, r io.Reader) io.Reader {
	in := &reader{src: r}
	in.st = NewStream(s, contentType, &in.sink)
	return in
}

type reader struct {
	src  io.Reader
	st   *Stream
	buf  []byte
	out  []byte // not read yet; the store of sink
	sink sink
	err  error
}

// sink collects what a stream writes.
type sink struct{ b []byte }

func (s *sink) Write(p []byte) (int, error) {
	s.b = append(s.b, p...)
	return len(p), nil
}

func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.out) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if r.buf == nil {
			r.buf = make([]byte, chunk)
		}
		r.sink.b = r.sink.b[:0]
		n, err := r.src.Read(r.buf)
		_, _ = r.st.Write(r.buf[:n]) // a sink never fails
		if err != nil {
			_ = r.st.Close()
			r.err = err
		}
		r.out = r.sink.b
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// Format shows nothing of the bytes in hand.
func (r *reader) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "deltas.Reader") }
