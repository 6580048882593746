package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/sqlite"
)

// It must see inside: the pump is the program's alone.

// outbox is a pump over a program without its loops.
type outbox struct {
	*calendar
	pump *pump
	logs strings.Builder
}

func newOutbox(t *testing.T) *outbox {
	t.Helper()
	o := &outbox{calendar: open(t, t.TempDir(), monday)}
	o.pump = &pump{store: o.store, gate: o.Gate, now: o.now, log: slog.New(slog.NewTextHandler(&o.logs, nil))}
	return o
}

// put leaves a message as every step does: in the transaction of something else,
// here of a Run that a Worker outside does.
func (o *outbox) put(kind, ref string) {
	o.t.Helper()
	_, err := o.store.CreateRun(o.t.Context(), gate.NewRun{Run: intent.Run{Tenant: "acme", ID: ident.New("run"), Mission: "weekly", Starter: "person:acc_1",
		Worker: intent.Outside, Input: json.RawMessage("{}"), State: intent.RunRunning, CreatedAt: o.time},
		Outbox: []commit.Message{{Kind: kind, Ref: ref, Due: o.time}}})
	o.must(err)
}

// due are the messages that are due at a time, by what they are about.
func (o *outbox) due(at time.Time) map[string]sqlite.Due {
	o.t.Helper()
	out := map[string]sqlite.Due{}
	for _, segments := range []bool{true, false} {
		due, _, err := o.store.DueMessages(o.t.Context(), at, segments, 10_000)
		o.must(err)
		for _, d := range due {
			out[d.Kind+" "+d.Ref] = d
		}
	}
	return out
}

// harmless is a message that is carried out at once: there is nothing to do for
// the Run of a Worker outside.
func (o *outbox) harmless(run string) {
	o.t.Helper()
	_, err := o.store.CreateRun(o.t.Context(), gate.NewRun{Run: intent.Run{Tenant: "acme", ID: run, Mission: "weekly", Starter: "person:acc_1",
		Worker: intent.Outside, Input: json.RawMessage("{}"), State: intent.RunRunning, CreatedAt: o.time}})
	o.must(err)
	o.put(commit.MsgSegment, run)
}

// work lets the pump work until a condition holds.
func (o *outbox) work(until func() bool) {
	o.t.Helper()
	ctx, cancel := context.WithCancel(o.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); o.pump.run(ctx) }()
	for deadline := time.Now().Add(30 * time.Second); !until() && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	cancel()
	<-done
	if !until() {
		o.t.Fatal("it never came about")
	}
}

func TestAPoisonedMessageIsTriedLessAndLessOften(t *testing.T) {
	for _, kind := range []string{"nonsense", commit.MsgDispatch, commit.MsgReconcile, commit.MsgSegment} {
		t.Run(kind, func(t *testing.T) {
			o := newOutbox(t)
			o.put(kind, "not-there")
			for try := range 9 {
				d, ok := o.due(o.time)[kind+" not-there"]
				if !ok || d.Tries != try {
					t.Fatalf("after %d tries it is %+v", try, d)
				}
				o.pump.handle(t.Context(), d)
				wait := min(time.Second<<try, time.Minute)
				if early := o.due(o.time.Add(wait - time.Millisecond)); len(early) != 0 {
					t.Fatalf("after %d tries it is due before %s", try+1, wait)
				}
				o.time = o.time.Add(wait)
			}
			if n := strings.Count(o.logs.String(), "is tried again"); n != 9 {
				t.Errorf("the log has it %d times", n)
			}
		})
	}
}

func TestAMessageThatFailsForLongIsAnErrorInTheLog(t *testing.T) {
	o := newOutbox(t)
	o.put("nonsense", "x")
	d := o.due(o.time)["nonsense x"]
	for d.Tries = range pumpTries + 1 {
		o.pump.handle(t.Context(), d)
	}
	if n := strings.Count(o.logs.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d errors: %s", n, &o.logs)
	}
}

// More poison than the pump has workers, or takes at once, and all of it older.
func TestPoisonedMessagesDoNotBlockOthers(t *testing.T) {
	o := newOutbox(t)
	const poison = pumpBatch + 50
	for i := range poison {
		o.put("nonsense", fmt.Sprint(i))
	}
	o.time = o.time.Add(time.Millisecond)
	o.harmless("run_1")
	o.work(func() bool {
		due := o.due(o.time.Add(time.Hour))
		_, waits := due["segment run_1"]
		return !waits
	})
	for what, d := range o.due(o.time.Add(time.Hour)) {
		if d.Tries > 3 { // a list that was read before a retry was written offers it once more
			t.Fatalf("%s was tried %d times in no time", what, d.Tries)
		}
	}
}

func TestAMessageThatWasCarriedOutIsGone(t *testing.T) {
	o := newOutbox(t)
	o.harmless("run_1")
	o.work(func() bool { return len(o.due(o.time.Add(time.Hour))) == 0 })
}

// While it is carried out, it is asked for again: that is not lost with it.
func TestWhatIsAskedForInTheMeantimeIsDoneOnceMore(t *testing.T) {
	o := newOutbox(t)
	o.harmless("run_1")
	d := o.due(o.time)["segment run_1"]
	o.put(commit.MsgSegment, "run_1")
	o.pump.handle(t.Context(), d)
	d, ok := o.due(o.time)["segment run_1"]
	if !ok {
		t.Fatal("it is gone")
	}
	o.pump.handle(t.Context(), d)
	if left := o.due(o.time.Add(time.Hour)); len(left) != 0 {
		t.Errorf("left are %+v", left)
	}
}
