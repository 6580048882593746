package commit_test

import (
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

func (w *world) sweep(left ...commit.Left) error {
	return w.Sweep(w.t.Context(), left,
		func(it intent.Intent, to intent.State) audit.Event {
			return audit.Event{Type: audit.IntentSwept, Intent: it.ID, Fields: map[string]any{"state": to}}
		},
		func(_ intent.Intent, to intent.State) explain.Observation {
			return explain.Observation{Title: string(to)}
		})
}

func left(s intent.State, e resource.Effect, fence int64) commit.Left {
	return commit.Left{Claimant: "proc_0", Fence: fence, Intent: intent.Intent{Tenant: "acme", ID: "int_1", Run: "run_1", State: s, Effect: e}}
}

func TestWhatADeadProcessLeftBehindIsClosedFromTheStateAlone(t *testing.T) {
	for name, c := range map[string]struct {
		left   commit.Left
		to     intent.State
		fence  int64 // afterwards: a write that goes on is claimed anew
		follow commit.Message
		result bool
	}{
		"a write that was claimed": {left(intent.Claimed, resource.Write, 3), intent.Claimed, 4, commit.Message{Kind: commit.MsgDispatch, Ref: "int_1", Due: noon}, false},
		"a read that was claimed":  {left(intent.Claimed, resource.Read, 1), intent.Failed, 1, commit.Message{Kind: commit.MsgSegment, Ref: "run_1", Due: noon}, true},
		"a write under way":        {left(intent.Sending, resource.Write, 1), intent.Unknown, 1, commit.Message{Kind: commit.MsgReconcile, Ref: "int_1", Due: noon}, true},
		"what can't be: a read":    {left(intent.Sending, resource.Read, 1), intent.Unknown, 1, commit.Message{Kind: commit.MsgReconcile, Ref: "int_1", Due: noon}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.rows["int_1"] = row{state: c.left.Intent.State, fence: c.left.Fence, claimant: "proc_0"}
			if err := w.sweep(c.left); err != nil {
				t.Fatal(err)
			}
			w.wantRow(c.to, c.fence)
			s := w.steps[0]
			if len(s.Events) != 1 || s.Events[0].Fields["state"] != c.to || len(s.Observe) != 1 || s.Observe[0].Title != string(c.to) {
				t.Errorf("the record is %+v, %+v", s.Events, s.Observe)
			}
			if (s.Result != nil) != c.result || c.result && (s.Result.State != c.to || s.Result.Note == "" || s.Why == "") {
				t.Errorf("the result is %+v", s.Result)
			}
			if len(s.Outbox) != 1 || s.Outbox[0] != c.follow {
				t.Errorf("what follows is %+v", s.Outbox)
			}
			if c.to == intent.Claimed && w.rows["int_1"].claimant != "proc_1" {
				t.Error("the claim is still the dead process's")
			}
		})
	}
}

func TestASweepLeavesItsOwnAttemptsAlone(t *testing.T) {
	w := newWorld(t)
	l := left(intent.Sending, resource.Write, 1)
	l.Claimant = w.Claimant()
	w.rows["int_1"] = row{state: intent.Sending, fence: 1, claimant: w.Claimant()}
	if err := w.sweep(l); err != nil || len(w.trace) > 0 {
		t.Errorf("%v, %v", err, w.trace)
	}
}

// Somebody else took the step, so the next one is looked at; a store that does
// not take it stops the start.
func TestASweepGoesOnAfterAConflictAlone(t *testing.T) {
	w := newWorld(t)
	other := left(intent.Claimed, resource.Read, 1)
	other.Intent.ID = "int_2"
	w.rows["int_1"], w.rows["int_2"] = row{state: intent.Committed, fence: 1}, row{state: intent.Claimed, fence: 1}
	if err := w.sweep(left(intent.Sending, resource.Write, 1), other); err != nil || w.rows["int_2"].state != intent.Failed {
		t.Errorf("%v, %v", err, w.rows)
	}
	w.rows["int_1"] = row{state: intent.Sending, fence: 1}
	w.mishaps[intent.Unknown] = lost
	if err := w.sweep(left(intent.Sending, resource.Write, 1)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("it began with an attempt open: %v", err)
	}
}

// A write that was handed back goes on under its new fence, and the old claimant
// finds the door shut.
func TestAWriteThatWasHandedBackIsSentOnce(t *testing.T) {
	w := newWorld(t)
	d := write()
	d.from, d.fence = intent.Claimed, 3
	p := w.plan(d)
	w.rows["int_1"] = row{state: intent.Claimed, fence: 3, claimant: "proc_0"}
	if err := w.sweep(left(intent.Claimed, resource.Write, 3)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Execute(t.Context(), p); !fault.Is(err, fault.Conflict) || w.did("open") { // with the fence of before
		t.Errorf("%v, %v", err, w.trace)
	}
	p.Fence = 4
	if it, err := w.Execute(t.Context(), p); err != nil || it.State != intent.Committed {
		t.Errorf("%+v, %v", it, err)
	}
	w.wantRow(intent.Committed, 5)
}
