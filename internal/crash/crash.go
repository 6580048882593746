// Package crash is what becomes of a panic: a record of where it was, under an id,
// and nothing of what it was given. A panic's value is somebody's words: an error
// that quotes a request, a struct that holds a header. So it is never shown, not
// even scrubbed: a key of the vault is known to no scrubber.
//
// Every goroutine of the product is begun here ([Go], [Group]) or is caught here
// ([Guard], [Try]); a test of package archtest looks for those that are not. What
// follows is decided where it is caught: the request ends, or a round of a loop,
// or the whole program, by what may be left half done.
//
// It refuses to swallow: whoever catches gets a [Panic], and has to say what
// becomes of it.
//
// # Security
//
// The stack is names and lines: the arguments that Go's own traceback shows, in
// which a short value stands as it is, are not read. What is beyond recover (the
// runtime's fatal errors, goroutines of other people's packages) is for package
// cli: it keeps the runtime's words from the process's standard error.
package crash

import (
	"context"
	"fmt"
	"path"
	"reflect"
	"runtime"
	"strings"
	"sync"

	"sallyport.dev/internal/ident"
)

// Panic is what may be known of one.
type Panic struct {
	ID    string // "crash_…": in the answer and in the log
	What  string // the runtime's own words, or the type of the value
	Stack string // a line for each function, the panicking one first: "name file:line"
}

// Error says that there was one, and where to look.
func (p *Panic) Error() string { return "a fault of the program, in its log as " + p.ID }

// Logger is what a record is written to; *slog.Logger is one.
type Logger interface {
	ErrorContext(ctx context.Context, msg string, args ...any)
}

// Log writes the record.
func (p *Panic) Log(ctx context.Context, log Logger) {
	log.ErrorContext(ctx, "the program has a fault", "id", p.ID, "what", p.What, "stack", p.Stack)
}

// Of is what recover gave, or nil where that was nil. It is called by the deferred
// function itself, which the stack is read from.
func Of(recovered any) *Panic {
	if recovered == nil {
		return nil
	}
	if p, ok := recovered.(*Panic); ok {
		return p // it comes out of a Group, with the stack of where it was
	}
	return &Panic{ID: ident.New("crash"), What: what(recovered), Stack: stack()}
}

// what is the text of the runtime's own errors, which have numbers and the names of
// types in them; of everything else the type.
func what(v any) string {
	t := reflect.TypeOf(v)
	base := t
	for base.Kind() == reflect.Pointer {
		base = base.Elem()
	}
	if err, ok := v.(runtime.Error); ok && base.PkgPath() == "runtime" {
		return err.Error()
	}
	return "a panic with a value of the type " + t.String()
}

// maxFrames is how deep a stack is shown.
const maxFrames = 64

// stack is of the goroutine that panics, without what recovers.
func stack() string {
	pcs := make([]uintptr, maxFrames)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	var b strings.Builder
	for {
		f, more := frames.Next()
		if f.Function == "runtime.gopanic" {
			b.Reset() // what is above it is the recovery
		} else if f.Function != "" {
			fmt.Fprintf(&b, "%s %s:%d\n", f.Function, path.Base(f.File), f.Line)
		}
		if !more {
			return b.String()
		}
	}
}

// Guard runs f, and hands on what panicked in it.
func Guard(f func(), panicked func(*Panic)) {
	defer func() {
		if p := Of(recover()); p != nil {
			panicked(p)
		}
	}()
	f()
}

// Go runs f in a goroutine of its own, under Guard.
func Go(f func(), panicked func(*Panic)) { go Guard(f, panicked) }

// Try runs f. What panics in it is in the log, and is its error.
func Try(ctx context.Context, log Logger, f func() error) (err error) {
	Guard(func() { err = f() }, func(p *Panic) {
		p.Log(ctx, log)
		err = p
	})
	return err
}

// Group is a sync.WaitGroup for work that is shared out: what panics in a
// goroutine of it panics again in the one that waits, as a Panic, so that whoever
// stands guard over that one has it. Its zero value is ready.
type Group struct {
	wg    sync.WaitGroup
	mu    sync.Mutex
	first *Panic
}

// Go runs f in a goroutine of its own.
func (g *Group) Go(f func()) {
	g.wg.Go(func() {
		Guard(f, func(p *Panic) {
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.first == nil {
				g.first = p
			}
		})
	})
}

// Wait waits for all of them, and panics with the first Panic that there was.
func (g *Group) Wait() {
	g.wg.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.first != nil {
		panic(g.first)
	}
}
