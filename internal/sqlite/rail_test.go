package sqlite_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/intent"
)

// seqs are the numbers of what was read.
func seqs(l []explain.Observation) (out []int64) {
	for _, o := range l {
		out = append(out, o.Seq)
	}
	return out
}

func TestARailIsReadFromEitherEnd(t *testing.T) {
	s := open(t, t.TempDir())
	for i := range 5 {
		for _, run := range []string{"run_1", "run_2"} {
			if err := s.Observe(t.Context(), explain.Observation{Tenant: "acme", Run: run, At: noon, Kind: explain.Plan, Title: fmt.Sprint(i), Data: json.RawMessage(`{}`),
				Detail: &explain.Detail{Label: explain.NotProof}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for before, want := range map[int64]string{0: "[4 5]", 4: "[2 3]", 2: "[1]", 1: "[]", 99: "[4 5]"} {
		l, err := s.Latest(t.Context(), "acme", "run_1", before, 2)
		if err != nil || fmt.Sprint(seqs(l)) != want {
			t.Errorf("before %d: %v, %v", before, seqs(l), err)
		}
	}
	l, err := s.Observations(t.Context(), "acme", "run_1", 3, 10)
	if err != nil || fmt.Sprint(seqs(l)) != "[4 5]" || l[0].Detail.Label != explain.NotProof || l[0].Entry != nil {
		t.Errorf("after 3: %+v, %v", l, err)
	}
	if l, err := s.Latest(t.Context(), "globex", "run_1", 0, 10); err != nil || len(l) != 0 {
		t.Errorf("another tenant sees %v, %v", l, err)
	}
}

// What is written together is linked, and nothing is linked to what another step wrote.
func TestARecordIsLinkedToTheEntryOfItsOwnStep(t *testing.T) {
	s := open(t, t.TempDir())
	if _, err := s.CreateRun(t.Context(), gate.NewRun{Run: intent.Run{Tenant: "acme", ID: "run_1", Mission: "m", Worker: intent.Outside, Input: json.RawMessage("{}"), State: intent.RunRunning, CreatedAt: noon}}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		ev := audit.Event{Type: audit.IntentDenied, Tenant: "acme", At: noon, Actor: "run:run_1", Run: "run_1", Fields: map[string]any{"verdict": "denied", "why": "no"}}
		if _, err := s.Refuse(t.Context(), "run_1", ev, explain.Observation{Tenant: "acme", Run: "run_1", At: noon, Kind: explain.Check}); err != nil {
			t.Fatal(err)
		}
		if err := s.Observe(t.Context(), explain.Observation{Tenant: "acme", Run: "run_1", At: noon, Kind: explain.Plan, Title: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := s.Observations(t.Context(), "acme", "run_1", 0, 10)
	if err != nil || len(l) != 6 {
		t.Fatal(l, err)
	}
	for _, o := range l {
		if o.Kind == explain.Plan {
			if o.Entry != nil {
				t.Errorf("%d is linked to %d", o.Seq, *o.Entry)
			}
			continue
		}
		rows, err := s.Audit().List(t.Context(), "acme", audit.Filter{}, *o.Entry, 1)
		if err != nil || rows[0].Index != *o.Entry || rows[0].Type != audit.IntentDenied {
			t.Errorf("%d is linked to %+v, %v", o.Seq, rows, err)
		}
	}
}
