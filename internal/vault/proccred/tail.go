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
	line []byte // not ended yet
	over bool   // the rest of it is dropped
}

// Write takes scrubbed bytes.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for rest := p; len(rest) > 0; {
		part, after, ended := bytes.Cut(rest, []byte("\n"))
		if room := 4*tailLine - len(t.line); len(part) > room {
			part = part[:room]
		}
		t.line = append(t.line, part...)
		if ended {
			t.add(string(t.line))
			t.line = t.line[:0]
		}
		rest = after
	}
	return len(p), nil
}

// add keeps a line. It is called under the lock.
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
	if t.kept = append(t.kept, line); len(t.kept) > tailLines {
		t.kept = slices.Delete(t.kept, 0, len(t.kept)-tailLines)
	}
}

// say keeps a line of its own, which is scrubbed as a whole.
func (t *tail) say(line []byte) {
	clean, _ := t.known().Bytes(line[:min(len(line), 64<<10)])
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(string(clean))
}

// lines is a copy.
func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.kept)
}

// drink reads a stream to its end.
func (t *tail) drink(r io.Reader) {
	var now scrub.Holder
	clean := now.Stream(t)
	buf := make([]byte, 16<<10)
	for {
		n, err := r.Read(buf)
		now.Store(t.known())
		_, _ = clean.Write(buf[:n]) // a tail never fails
		if err != nil {
			break
		}
	}
	_ = clean.Close() // as above
	_, _ = t.Write([]byte("\n"))
}
