package commit_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

func TestAWriteGoesStepByStep(t *testing.T) {
	w := newWorld(t)
	it, err := w.Execute(t.Context(), w.plan(write()))
	if err != nil || it.State != intent.Committed || it.Result == nil || string(it.Result.Body) != `{"id":7}` || it.Result.State != it.State {
		t.Fatalf("%+v, %v", it, err)
	}
	w.wantTrace("recheck CLAIMED open SENDING send clean COMMITTED")
	w.wantRow(intent.Committed, 1)
	claim, sending, end := w.steps[0], w.steps[1], w.steps[2]
	if len(claim.Events) != 1 || claim.Events[0].Type != audit.IntentClaimed || claim.Claimant != "proc_1" {
		t.Errorf("the claim has %+v", claim)
	}
	if sending.Fence != 1 || end.Fence != 1 || !sending.At.Equal(noon) {
		t.Errorf("the fences are %d and %d", sending.Fence, end.Fence)
	}
	if len(end.Events) != 1 || len(end.Observe) != 1 || len(end.Outbox) != 1 || end.Outbox[0].Kind != "after COMMITTED" || end.Result != it.Result {
		t.Errorf("the end has %+v", end)
	}
}

func TestAReadThatWasClaimedWithItsProposalIsNotClaimedAgain(t *testing.T) {
	w := newWorld(t)
	if it, err := w.Execute(t.Context(), w.plan(read())); err != nil || it.State != intent.Committed {
		t.Fatalf("%+v, %v", it, err)
	}
	w.wantTrace("open send clean COMMITTED")
}

func TestACompletionsUseIsRecordedWithItsEnd(t *testing.T) {
	w := newWorld(t)
	d := read()
	d.answer.Usage = &connector.Usage{InputTokens: 7}
	if _, err := w.Execute(t.Context(), w.plan(d)); err != nil || w.steps[0].Used != d.answer.Usage {
		t.Errorf("%+v, %v", w.steps, err)
	}
}

func TestNothingIsOpenedUnlessTheClaimIsDurable(t *testing.T) {
	for name, spoil := range map[string]func(*world, *commit.Plan, context.CancelFunc){
		"the recheck refuses": func(_ *world, p *commit.Plan, _ context.CancelFunc) {
			p.Recheck = func(context.Context) (audit.Event, error) {
				return audit.Event{}, fault.New(fault.Denied, "no")
			}
		},
		"the claim is not written":              func(w *world, _ *commit.Plan, _ context.CancelFunc) { w.mishaps[intent.Claimed] = lost },
		"nobody knows whether the claim is":     func(w *world, _ *commit.Plan, _ context.CancelFunc) { w.mishaps[intent.Claimed] = written },
		"somebody else was faster":              func(_ *world, p *commit.Plan, _ context.CancelFunc) { p.Fence-- },
		"it was withdrawn":                      func(w *world, _ *commit.Plan, _ context.CancelFunc) { w.rows["int_1"] = row{state: intent.Withdrawn} },
		"the caller gave up before it was made": func(_ *world, _ *commit.Plan, cancel context.CancelFunc) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.plan(write())
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			spoil(w, &p, cancel)
			it, err := w.Execute(ctx, p)
			if err == nil || it.State != intent.Approved || it.Result != nil {
				t.Errorf("%+v, %v", it, err)
			}
			if w.did("open") || w.did("send") || w.did("SENDING") {
				t.Errorf("it went on: %v", w.trace)
			}
			if w.Halted() != nil {
				t.Errorf("an attempt that did not begin stopped everything: %v", w.Halted())
			}
		})
	}
}

func TestOfManyAttemptsAtOnceOneIsMade(t *testing.T) {
	w := newWorld(t)
	p := w.plan(write())
	var wg sync.WaitGroup
	var made atomic.Int32
	for range 32 {
		wg.Go(func() {
			switch _, err := w.Execute(t.Context(), p); {
			case err == nil:
				made.Add(1)
			case !fault.Is(err, fault.Conflict):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	sent := 0
	for _, what := range w.trace {
		if what == "send" {
			sent++
		}
	}
	if made.Load() != 1 || sent != 1 {
		t.Errorf("%d were made, %d were sent", made.Load(), sent)
	}
}

func TestNothingIsSentUnlessSendingIsDurable(t *testing.T) {
	for _, m := range []mishap{lost, written} {
		t.Run(string(m), func(t *testing.T) {
			w := newWorld(t)
			w.mishaps[intent.Sending] = m
			it, err := w.Execute(t.Context(), w.plan(write()))
			if !fault.Is(err, fault.Unavailable) || it.Result != nil || w.did("send") {
				t.Errorf("%+v, %v, %v", it, err, w.trace)
			}
		})
	}
}

// The process that was taken for dead comes back between its claim and its send.
func TestAClaimantWithALowerFenceSendsNothing(t *testing.T) {
	w := newWorld(t)
	p := w.plan(write())
	open := p.Open
	p.Open = func(ctx context.Context) (http.RoundTripper, error) {
		w.rows["int_1"] = row{state: intent.Claimed, fence: 2, claimant: "proc_2"}
		return open(ctx)
	}
	if _, err := w.Execute(t.Context(), p); !fault.Is(err, fault.Conflict) || w.did("send") {
		t.Errorf("%v, %v", err, w.trace)
	}
	w.wantRow(intent.Claimed, 2)
}

func TestADoorThatDoesNotOpenEndsTheAttempt(t *testing.T) {
	for _, d := range []do{write(), read()} {
		w := newWorld(t)
		d.open = fault.New(fault.Denied, "the version is disabled")
		it, err := w.Execute(t.Context(), w.plan(d))
		if err != nil || it.State != intent.Failed || it.Why != "the version is disabled" || w.did("send") || w.did("SENDING") {
			t.Errorf("%+v, %v, %v", it, err, w.trace)
		}
		if d.effect == resource.Write && !strings.Contains(it.Result.Note, "Nothing was sent") {
			t.Errorf("the Worker reads %q", it.Result.Note)
		}
	}
}

// What came of the call can't be recorded: nobody gets the answer, the row says
// what is known, and nothing more is admitted.
func TestOutcomeThatCannotBeRecordedFailsClosed(t *testing.T) {
	for _, d := range []do{write(), read()} {
		for _, m := range []mishap{lost, written} {
			t.Run(fmt.Sprint(d.effect, " ", m), func(t *testing.T) {
				w := newWorld(t)
				w.mishaps[intent.Committed] = m
				it, err := w.Execute(t.Context(), w.plan(d))
				if !fault.Is(err, fault.Unavailable) || it.Result != nil || it.State == intent.Committed {
					t.Fatalf("the answer was handed out: %+v, %v", it, err)
				}
				if w.Halted() == nil || w.Halted().Error() != err.Error() || !strings.Contains(w.log.String(), "stops admitting") {
					t.Errorf("it goes on: %v; the log says %s", w.Halted(), &w.log)
				}
				n := len(w.trace)
				if _, err := w.Execute(t.Context(), w.plan(write())); !fault.Is(err, fault.Unavailable) || len(w.trace) != n {
					t.Errorf("another was admitted: %v, %v", err, w.trace[n:])
				}
			})
		}
	}
}

func TestTheCallersPatienceEndsWithTheClaim(t *testing.T) {
	for _, d := range []do{write(), read()} {
		w := newWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		w.Crash = func(_ intent.Intent, p commit.Point) {
			if p == commit.AfterClaim {
				cancel()
			}
		}
		it, err := w.Execute(ctx, w.plan(d))
		if err != nil || it.State != intent.Committed || ctx.Err() == nil {
			t.Errorf("%+v, %v", it, err)
		}
		for what, err := range w.ctxs {
			if err != nil {
				t.Errorf("%s was cut: %v", what, err)
			}
		}
	}
}

func TestCrashPointsComeInOrder(t *testing.T) {
	var got []commit.Point
	w := newWorld(t)
	w.Crash = func(_ intent.Intent, p commit.Point) { got = append(got, p) }
	if _, err := w.Execute(t.Context(), w.plan(write())); err != nil || !slices.Equal(got, commit.Points) {
		t.Errorf("%v, %v", got, err)
	}
}

// Every outcome, of a read and of a write, after the request was sent.
func TestWhatAnAnswerLeadsTo(t *testing.T) {
	const c, f, u = intent.Committed, intent.Failed, intent.Unknown
	for outcome, want := range map[connector.Outcome][2]intent.State{ // read, write
		connector.Done:    {c, c},
		connector.Refused: {f, f},
		connector.NotSent: {f, f},
		connector.Unclear: {f, u},
		"":                {f, u},
		"DONE":            {f, u},
		"applied":         {f, u},
	} {
		for i, d := range []do{read(), write()} {
			w := newWorld(t)
			d.answer.Outcome = outcome
			it, err := w.Execute(t.Context(), w.plan(d))
			if err != nil || it.State != want[i] || it.Result.State != want[i] {
				t.Errorf("a %s with outcome %q became %s, %v", d.effect, outcome, it.State, err)
			}
			if it.State == u && (!strings.Contains(it.Result.Note, "not known") || !strings.Contains(it.Result.Note, "Do not repeat")) {
				t.Errorf("the Worker reads %q", it.Result.Note)
			}
		}
	}
}

func TestTheWorkerReadsWhatAFailureMeans(t *testing.T) {
	for outcome, want := range map[connector.Outcome]string{
		connector.NotSent: "Nothing was sent: the system was not changed.",
		connector.Refused: "The system refused: it was not changed.",
	} {
		w, d := newWorld(t), write()
		d.answer = connector.Answer{Outcome: outcome, Err: fault.New(fault.Limit, "429")}
		if it, err := w.Execute(t.Context(), w.plan(d)); err != nil || it.Result.Note != want || it.Why != "429" {
			t.Errorf("%s: %+v, %v", outcome, it, err)
		}
	}
}
