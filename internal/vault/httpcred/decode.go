package httpcred

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"strings"

	"sallyport.dev/internal/fault"
)

// Limits of what an answer may unpack to.
const (
	maxDecoded = 64 << 20 // bytes
	maxRatio   = 200      // unpacked to packed, once more than freeDecoded was unpacked
	// freeDecoded may be unpacked at any ratio: short answers of JSON compress well.
	freeDecoded = 1 << 20
)

// decode opens the answer's Content-Encoding. The door asked for none; some
// systems compress all the same. What it can't open it refuses, since what
// can't be read can't be scrubbed.
func decode(h http.Header, body io.Reader) (io.Reader, error) {
	encoding := strings.ToLower(strings.TrimSpace(strings.Join(h.Values("Content-Encoding"), ",")))
	if encoding == "" || encoding == "identity" {
		return body, nil
	}
	packed := &counter{r: body}
	in := bufio.NewReader(packed)
	switch encoding {
	case "gzip", "x-gzip":
		return &limited{open: func() (io.Reader, error) { return gzip.NewReader(in) }, packed: packed}, nil
	case "deflate":
		return &limited{open: func() (io.Reader, error) { return inflater(in) }, packed: packed}, nil
	}
	return nil, fault.New(fault.Invalid, "the system's answer has an encoding that can't be scrubbed").
		WithHint("only gzip and deflate are opened; the request asked for none")
}

// inflater opens zlib's format, which the name means, or the bare one, which
// some systems send under it.
func inflater(in *bufio.Reader) (io.Reader, error) {
	head, err := in.Peek(2)
	if err == nil && head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		return zlib.NewReader(in)
	}
	return flate.NewReader(in), nil
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// limited unpacks within the limits. The format's header is read at the first
// Read, so that opening does not wait for the body.
type limited struct {
	open   func() (io.Reader, error)
	r      io.Reader
	packed *counter
	n      int64
	err    error
}

func (l *limited) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	if l.r == nil {
		r, err := l.open()
		if err == io.EOF && l.packed.n == 0 { //nolint:errorlint // the reader's own end only: one that is wrapped is a failure
			return 0, io.EOF // no body at all
		}
		if err != nil {
			return 0, l.spoiled(err)
		}
		l.r = r
	}
	n, err := l.r.Read(p)
	l.n += int64(n)
	if l.n > maxDecoded || l.n > freeDecoded && l.n/max(l.packed.n, 1) > maxRatio {
		l.err = fault.New(fault.Limit, "the system's answer unpacks to more than the limit")
		return 0, l.err
	}
	if err != nil && err != io.EOF {
		return n, l.spoiled(err)
	}
	return n, err
}

// spoiled remembers why reading ended; what cut the stream is told as such.
func (l *limited) spoiled(err error) error {
	l.err = err
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	for _, e := range []error{gzip.ErrHeader, gzip.ErrChecksum, zlib.ErrHeader, zlib.ErrChecksum, zlib.ErrDictionary} {
		corrupt = corrupt || errors.Is(err, e)
	}
	if corrupt {
		l.err = fault.New(fault.Invalid, "the system's answer is not in the encoding that it names")
	}
	return l.err
}
