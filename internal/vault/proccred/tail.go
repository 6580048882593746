package proccred

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode"

	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/scrub/unknown"
)

// Limits of what is kept of a child's words.
const (
	tailLines = 40
	tailLine  = 300 // bytes of one
)

// tail keeps the last lines, scrubbed. What comes in is scrubbed as one stream
// before it is cut into lines: a secret may have line ends in it.
type tail struct {
	known func() *scrub.Set

	mu   sync.Mutex
	kept []string
}

// ear listens to one stream of a child's.
type ear struct {
	t     *tail
	now   scrub.Holder
	clean *scrub.Stream
	line  []byte // scrubbed, not ended yet
}

func (t *tail) listen() *ear {
	e := &ear{t: t}
	e.clean = e.now.Stream((*cutter)(e))
	return e
}

// write takes bytes as they come.
func (e *ear) write(p []byte) {
	e.now.Store(e.t.known())
	_, _ = e.clean.Write(p) // a cutter never fails
}

func (e *ear) close() {
	_ = e.clean.Close() // as above
	_, _ = (*cutter)(e).Write([]byte("\n"))
}

// drink listens to a stream to its end.
func (t *tail) drink(r io.Reader) {
	e := t.listen()
	defer e.close()
	buf := make([]byte, 16<<10)
	for {
		n, err := r.Read(buf)
		e.write(buf[:n])
		if err != nil {
			return
		}
	}
}

// cutter cuts scrubbed bytes into lines.
type cutter ear

func (c *cutter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		part, after, ended := bytes.Cut(rest, []byte("\n"))
		if room := 4*tailLine - len(c.line); len(part) > room {
			part = part[:room]
		}
		c.line = append(c.line, part...)
		if ended {
			c.t.add(string(c.line))
			c.line = c.line[:0]
		}
		rest = after
	}
	return len(p), nil
}

// add keeps a line.
func (t *tail) add(line string) {
	line = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(unknown.String(line), "?"))
	if line = strings.TrimSpace(line); line == "" {
		return
	}
	if len(line) > tailLine {
		line = strings.ToValidUTF8(line[:tailLine], "") + "…"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept = append(t.kept, line); len(t.kept) > tailLines {
		t.kept = slices.Delete(t.kept, 0, len(t.kept)-tailLines)
	}
}

// lines is a copy.
func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.kept)
}
