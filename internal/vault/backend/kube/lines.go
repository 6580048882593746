package kube

import (
	"bytes"
	"errors"
	"io"
)

// Bounds of a line. All annotations of an object have at most 256 KiB.
const (
	firstLine = 4 << 10
	maxLine   = 512 << 10
)

// errLong says that a line has no end within the bound.
var errLong = errors.New("a line is too long")

// lines reads one line after the other into memory of its own, which is wiped before
// it is let go of.
type lines struct {
	from io.Reader
	buf  []byte
	n    int // bytes that were read
	used int // of them, by the line before
}

// next gives a line without its end. It is good until the next call. What follows the
// last line's end is no line: an answer that was cut.
func (l *lines) next() ([]byte, error) {
	rest := copy(l.buf, l.buf[l.used:l.n])
	clear(l.buf[rest:l.n])
	l.n, l.used = rest, 0
	for seen := 0; ; {
		if i := bytes.IndexByte(l.buf[seen:l.n], '\n'); i >= 0 {
			l.used = seen + i + 1
			return l.buf[: l.used-1 : l.used-1], nil
		}
		seen = l.n
		if err := l.room(); err != nil {
			return nil, err
		}
		n, err := l.from.Read(l.buf[l.n:])
		l.n += n
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) && l.n > 0 {
				return nil, io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// room makes some.
func (l *lines) room() error {
	if l.n < len(l.buf) {
		return nil
	}
	if len(l.buf) >= maxLine {
		return errLong
	}
	bigger := make([]byte, max(firstLine, 2*len(l.buf)))
	copy(bigger, l.buf)
	clear(l.buf)
	l.buf = bigger
	return nil
}

func (l *lines) wipe() { clear(l.buf) }
