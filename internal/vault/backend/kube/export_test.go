package kube

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"sallyport.dev/internal/vault/backend"
)

// Read reads an answer, ReadEvent a line of a watch.
var (
	Read      = read
	ReadEvent = readEvent
	ErrGone   = errGone
)

// Hurry makes the pause between two requests of a watch short.
func Hurry(b backend.Backend) backend.Backend {
	b.(*kube).between = time.Millisecond
	return b
}

// WatchFrom is Watch as it goes on from a version.
func WatchFrom(ctx context.Context, b backend.Backend, name, from string, tell func(backend.Sight)) error {
	return b.(*kube).watch(ctx, &watching{kube: b.(*kube), name: name, tell: tell, from: from})
}

// Version is what a line says.
func (e event) Version() string { return e.version }

// Lines are those of in, which comes in pieces.
func Lines(in []byte, piece int) (out []string, err error) {
	l := lines{from: &pieces{bytes.NewReader(in), piece}}
	for {
		line, err := l.next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, string(line))
	}
}

type pieces struct {
	*bytes.Reader
	size int
}

func (p *pieces) Read(b []byte) (int, error) { return p.Reader.Read(b[:min(len(b), p.size)]) }
