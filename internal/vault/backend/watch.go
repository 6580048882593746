package backend

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"time"
)

// Sight is what a watch tells. No value is in it.
type Sight string

// What a watch can tell.
const (
	Began   Sight = "began"   // it looks from now on; what was before, it has not seen
	Changed Sight = "changed" // what is at the path may be another
)

// Watcher is a Backend that tells by itself that what is at a path has changed.
type Watcher interface {
	Backend
	// Watch looks at a path until ctx ends, then it gives nil, or until it can't any
	// more; its errors are an *Error. It tells Began first, and Changed at each change;
	// tell does not block. A server that says too much, or of what it was not asked
	// for, ends a watch: whoever calls begins another, later each time.
	Watch(ctx context.Context, path string, tell func(Sight)) error
}

// Jitter is a random part of d, so that what was cut at once does not come back at
// once.
func Jitter(d time.Duration) time.Duration {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails: crypto/rand ends the process instead
	return time.Duration(binary.LittleEndian.Uint64(b[:]) % uint64(max(d, 1)))
}
