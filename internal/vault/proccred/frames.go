package proccred

import (
	"bufio"
	"errors"
	"io"

	"sallyport.dev/internal/fault"
)

// errLong ends a child: what follows a line that was too long can't be found.
var errLong error = fault.Newf(fault.Limit, "the server wrote a line of more than %d MiB", maxMessage>>20)

// frames reads lines of at most limit bytes. No more than that is held.
type frames struct {
	r     *bufio.Reader
	limit int
	buf   []byte
}

func newFrames(r io.Reader, limit int) *frames {
	return &frames{r: bufio.NewReaderSize(r, 64<<10), limit: limit}
}

// next gives a line without its end. It is good until the next call. A last line
// without an end is none: it may be half a message.
func (f *frames) next() ([]byte, error) {
	if cap(f.buf) > 1<<20 {
		f.buf = nil // one long message is not kept for the child's life
	}
	f.buf = f.buf[:0]
	for {
		part, err := f.r.ReadSlice('\n')
		if len(f.buf)+len(part) > f.limit+1 {
			return nil, errLong
		}
		f.buf = append(f.buf, part...)
		if err == nil {
			return f.buf[:len(f.buf)-1], nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}
