package commit_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// A call is made again when that can repeat nothing and what went wrong is of the
// moment, and at no other answer.
func TestOnlyWhatRepeatsNothingIsMadeAgain(t *testing.T) {
	away, cut, no := fault.New(fault.Unavailable, "away"), fault.New(fault.Unknown, "cut"), fault.New(fault.Denied, "no")
	answer := func(out connector.Outcome, status int, err error) connector.Answer {
		return connector.Answer{Outcome: out, Status: status, Err: err}
	}
	passing := func(a connector.Answer) connector.Answer { a.Passing = true; return a }
	asked := func(status int, after time.Duration, err error) connector.Answer {
		return connector.Answer{Outcome: connector.Refused, Status: status, RetryAfter: after, Passing: true, Err: err}
	}
	for name, c := range map[string]struct {
		do          do
		answer      connector.Answer
		sends       int
		last, first time.Duration // of the waits
	}{
		"a write without a connection":               {do: write(), answer: passing(answer(connector.NotSent, 0, away)), sends: 3},
		"a write whose system's name does not exist": {do: write(), answer: answer(connector.NotSent, 0, away), sends: 1},
		"a write that the door refused":              {do: write(), answer: answer(connector.NotSent, 0, no), sends: 1},
		"a write without an answer":                  {do: write(), answer: passing(answer(connector.Unclear, 0, cut)), sends: 1},
		"a write, and the system is away":            {do: write(), answer: passing(answer(connector.Unclear, 503, away)), sends: 1},
		"a write that came too soon":                 {do: write(), answer: passing(answer(connector.Refused, 429, away)), sends: 1},
		"a write that is to come in 1 s":             {do: write(), answer: asked(429, time.Second, away), sends: 1},
		"a write that was done":                      {do: write(), answer: passing(answer(connector.Done, 201, nil)), sends: 1},
		"a read without a connection":                {do: read(), answer: passing(answer(connector.NotSent, 0, away)), sends: 3},
		"a read that was cut before an answer":       {do: read(), answer: passing(answer(connector.Unclear, 0, away)), sends: 3},
		"a read that is to come at once":             {do: read(), answer: asked(429, 0, away), sends: 3},
		"a read that is to come in 4 s":              {do: read(), answer: asked(429, 4*time.Second, away), sends: 3, first: 4 * time.Second, last: 4 * time.Second},
		"a read that is to come in 6 s":              {do: read(), answer: asked(429, 6*time.Second, away), sends: 1},
		"a read, and the system will be back in 4 s": {do: read(), answer: passing(connector.Answer{Outcome: connector.Unclear, Status: 503, RetryAfter: 4 * time.Second, Err: away}), sends: 3, first: 4 * time.Second, last: 4 * time.Second},
		"a read that came too soon":                  {do: read(), answer: answer(connector.Refused, 429, away), sends: 1},
		"a read, and the system is broken":           {do: read(), answer: answer(connector.Unclear, 500, away), sends: 1},
		"a read whose answer is none":                {do: read(), answer: answer(connector.Unclear, 200, away), sends: 1},
		"a read that is refused":                     {do: read(), answer: answer(connector.Refused, 403, no), sends: 1},
		"a read whose answer nobody classified":      {do: read(), answer: answer(connector.Unclear, 0, errors.New("?")), sends: 1},
		"a read that was done":                       {do: read(), answer: passing(answer(connector.Done, 200, nil)), sends: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.do.answer = c.answer
			var waits []time.Duration
			w.Wait = func(_ context.Context, d time.Duration) { waits = append(waits, d) }
			_, err := w.Execute(t.Context(), w.plan(c.do))
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, what := range w.trace {
				if what == "send" {
					n++
				}
			}
			if n != c.sends || len(waits) != c.sends-1 {
				t.Errorf("it was sent %d times, with waits of %v", n, waits)
			}
			for i, d := range waits {
				if d <= 0 || d > 5*time.Second || c.first != 0 && d != c.first || c.last == 0 && i == 1 && d <= waits[0] {
					t.Errorf("the waits are %v", waits)
				}
			}
		})
	}
}

// Between two tries it is asked whether a person has stopped it, and whether the
// Boundary goes on.
func TestNothingIsMadeAgainOnceItIsStopped(t *testing.T) {
	w := newWorld(t)
	d := read()
	d.answer = connector.Answer{Outcome: connector.NotSent, Passing: true, Err: fault.New(fault.Unavailable, "away")}
	p := w.plan(d)
	w.Wait = func(context.Context, time.Duration) {}
	asked := 0
	p.Stopped = func(context.Context) error {
		asked++
		return &intent.Stopped{Stop: intent.Stop{Kind: intent.StopAll}}
	}
	if _, err := w.Execute(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	w.wantTrace("open send clean FAILED")
	if asked != 1 {
		t.Errorf("it was asked %d times", asked)
	}
}

// A caller who is gone, or whose time is over, ends the wait: nothing is made again,
// and the outcome is recorded all the same.
func TestNothingIsMadeAgainForACallerWhoIsGone(t *testing.T) {
	for name, leave := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"who hangs up": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		},
		"whose deadline passes": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				d := read()
				d.answer = connector.Answer{Outcome: connector.Refused, Status: 429, RetryAfter: 4 * time.Second, Passing: true, Err: fault.New(fault.Limit, "later")}
				ctx, cancel := leave(t.Context())
				defer cancel()
				began := time.Now()
				if _, err := w.Execute(ctx, w.plan(d)); err != nil {
					t.Fatal(err)
				}
				w.wantTrace("open send clean FAILED")
				if waited := time.Since(began); waited != time.Second {
					t.Errorf("it was waited for %v", waited)
				}
			})
		})
	}
}

// The whole of one attempt is bounded by the clock, whatever its tries take.
func TestAnAttemptIsNotTriedForEver(t *testing.T) {
	w := newWorld(t)
	var now atomic.Int64
	w.Machine = commit.New(w, "proc_1", func() time.Time { return noon.Add(time.Duration(now.Load())) }, slog.New(slog.DiscardHandler))
	w.Wait = func(context.Context, time.Duration) {}
	p := w.plan(read())
	sends := 0
	p.Send = func(context.Context, http.RoundTripper) connector.Answer {
		sends++
		now.Add(int64(15 * time.Second)) // a system that lets a call hang
		return connector.Answer{Outcome: connector.Unclear, Passing: true, Err: fault.New(fault.Unavailable, "away")}
	}
	if _, err := w.Execute(t.Context(), p); err != nil || sends != 2 {
		t.Errorf("%d tries, %v", sends, err)
	}
}

// The bytes are counted where they arrive: a write whose connection is refused
// twice leaves as one request, and one whose connection was made is never sent a
// second time.
func TestAListenerCountsOneRequest(t *testing.T) {
	for name, c := range map[string]struct {
		refuse int
		cut    bool
		want   int64
	}{"two refusals, then an answer": {refuse: 2, want: 1}, "a cut after the request": {cut: true, want: 1}, "refused each time": {refuse: 9, want: 0}} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int64
			system := listen(t, func(conn net.Conn) {
				b := make([]byte, 64<<10)
				n, _ := conn.Read(b)
				if n > 0 {
					requests.Add(1)
				}
				if !c.cut {
					_, _ = io.WriteString(conn, "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
				}
			})
			closed, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			nobody := closed.Addr().String()
			_ = closed.Close()
			dials := 0
			transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				dials++
				to := system
				if dials <= c.refuse {
					to = nobody
				}
				return new(net.Dialer).DialContext(ctx, network, to)
			}}
			w := newWorld(t)
			w.Wait = func(context.Context, time.Duration) {}
			p := w.plan(write())
			p.Send = func(ctx context.Context, _ http.RoundTripper) connector.Answer {
				r, out, err := dial.Send(ctx, transport, intent.Request{Method: "POST", URL: "http://erp.example/vendors", Body: `{"name":"Siemens"}`},
					dial.Call{Write: true, Timeout: 5 * time.Second, MaxBody: 1 << 20})
				return connector.Answer{Outcome: out, Status: r.Status, Body: r.Body, Err: err, Passing: r.Passing}
			}
			if _, err := w.Execute(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			if got := requests.Load(); got != c.want {
				t.Errorf("the system got %d requests, over %d connections", got, dials)
			}
			switch {
			case c.cut:
				w.wantRow(intent.Unknown, 1)
			case c.refuse == 9:
				if w.wantRow(intent.Failed, 1); dials != 3 {
					t.Errorf("it was tried %d times", dials)
				}
			default:
				w.wantRow(intent.Committed, 1)
			}
		})
	}
}

func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

// A write that is sent again under its key goes to SENDING at once, and only a yes
// of its answer counts; where the system says so, a known key is one.
func TestWhatAResendsAnswerLeadsTo(t *testing.T) {
	no := fault.New(fault.Conflict, "no")
	for name, c := range map[string]struct {
		answer connector.Answer
		seen   int
		want   intent.State
	}{
		"yes":                                  {connector.Answer{Outcome: connector.Done, Status: 200}, 0, intent.Committed},
		"no":                                   {connector.Answer{Outcome: connector.Refused, Status: 422, Err: no}, 0, intent.Unknown},
		"a credential that expired":            {connector.Answer{Outcome: connector.Refused, Status: 401, Err: no}, 409, intent.Unknown},
		"the status of a known key":            {connector.Answer{Outcome: connector.Refused, Status: 409, Err: no}, 409, intent.Committed},
		"that status, which says nothing here": {connector.Answer{Outcome: connector.Refused, Status: 409, Err: no}, 0, intent.Unknown},
		"no connection":                        {connector.Answer{Outcome: connector.NotSent, Err: no}, 409, intent.Unknown},
		"nothing":                              {connector.Answer{Outcome: connector.Unclear, Err: no}, 409, intent.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			d := do{effect: resource.Write, from: intent.Unknown, fence: 1, answer: c.answer}
			p := w.plan(d)
			p.Earlier, p.Seen = true, func() int { return c.seen }
			if _, err := w.Execute(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			if w.rows["int_1"].state != c.want || w.did("CLAIMED") || !w.did("SENDING") {
				t.Errorf("it is %s, by %v", w.rows["int_1"].state, w.trace)
			}
		})
	}
}
