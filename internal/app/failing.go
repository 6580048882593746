package app

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
)

// What becomes of a panic is decided by what it may have left half done. A request
// ends, and so does a round of a loop whose rounds are steps of the store: they are
// whole or nothing. What changes keys, or hands out work, ends the program: nobody
// can say what of it was done.

// failing is a program that can't go on.
type failing struct {
	once sync.Once
	done chan struct{} // closed when it has to end
	err  error         // written before
}

// fail has the program end.
func (a *App) fail(ctx context.Context, p *crash.Panic) {
	p.Log(ctx, a.log)
	a.failing.once.Do(func() {
		a.failing.err = &fault.Error{Kind: fault.Internal, Msg: "a part of the server ended that it can't do without", Err: p}
		close(a.failing.done)
	})
}

// Failed is closed when the program has to be stopped; Failure says why.
func (a *App) Failed() <-chan struct{} { return a.failing.done }

// Failure is why the program has to be stopped, once Failed is closed.
func (a *App) Failure() error {
	select {
	case <-a.failing.done:
		return a.failing.err
	default:
		return nil
	}
}

// background runs what the program can't do without.
func (a *App) background(ctx context.Context, f func()) {
	a.wg.Go(func() { crash.Guard(f, func(p *crash.Panic) { a.fail(ctx, p) }) })
}

// round runs one round of a loop, which goes on whatever comes of it.
func (a *App) round(ctx context.Context, failed string, f func() error) {
	if err := crash.Try(ctx, a.log, f); err != nil && ctx.Err() == nil {
		a.log.ErrorContext(ctx, failed, slog.Any("kind", fault.KindOf(err))) //nolint:sloglint // the callers' are fixed
	}
}

// every calls f at once, and then as often, until ctx ends.
func every(ctx context.Context, often time.Duration, f func()) {
	t := time.NewTicker(often)
	defer t.Stop()
	for {
		f()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// guarded ends a request that panics, and nothing else. net/http would do so too,
// and log the panic's value with the arguments of its stack.
func (a *App) guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := &began{ResponseWriter: w}
		defer func() {
			v := recover()
			if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
				panic(v) // on purpose: the client is to see that its answer was cut
			}
			p := crash.Of(v)
			if p == nil {
				return
			}
			p.Log(r.Context(), a.log)
			if out.begun {
				panic(http.ErrAbortHandler)
			}
			apologise(w, r, p.ID)
		}()
		h.ServeHTTP(out, r)
	})
}

// apologise is the answer to a request that panicked: fixed words and the id.
func apologise(w http.ResponseWriter, r *http.Request, id string) {
	h := w.Header()
	clear(h) // of the answer that was being made
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	body, media := "Something went wrong. The server's log has it as "+id+".\n", "text/plain; charset=utf-8"
	if strings.HasPrefix(r.URL.Path, "/v1/") || r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
		media = "application/problem+json"
		body = `{"type":"https://sallyport.dev/problems/internal","title":"Internal Server Error","status":500,` +
			`"detail":"the server's log has the cause as ` + id + `","kind":"internal"}` + "\n"
	}
	h.Set("Content-Type", media)
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = w.Write([]byte(body)) // the client is gone when this fails
}

// began knows whether an answer has begun.
type began struct {
	http.ResponseWriter
	begun bool
}

// WriteHeader begins the answer.
func (b *began) WriteHeader(status int) {
	b.begun = b.begun || status >= http.StatusOK
	b.ResponseWriter.WriteHeader(status)
}

// Write begins the answer, where WriteHeader has not.
func (b *began) Write(p []byte) (int, error) {
	b.begun = true
	return b.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController, by which answers are flushed.
func (b *began) Unwrap() http.ResponseWriter { return b.ResponseWriter }
