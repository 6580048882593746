package sqlite_test

import (
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/sqlite"
)

// at opens a store whose clock can be moved.
func at(t *testing.T, dir string, now *time.Time, accept bool) *sqlite.Store {
	t.Helper()
	seq, err := audit.NewSequencer("", logKey)
	if err != nil {
		t.Fatal(err)
	}
	g := rowGuard
	g.Now, g.AcceptClock = func() time.Time { return *now }, accept
	s, err := sqlite.Open(t.Context(), dir, seq, g)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestNothingHappensWhileTheClockIsSetBack(t *testing.T) {
	dir, now := t.TempDir(), noon
	s := at(t, dir, &now, false)
	do := func(s *sqlite.Store, n int) error {
		ev := ended(n)
		ev.At = now
		return s.Write(t.Context(), func(tx *sqlite.Tx) error { return tx.Audit(ev) })
	}
	if err := do(s, 1); err != nil {
		t.Fatal(err)
	}
	now = noon.Add(-time.Hour)
	for _, what := range []string{"at once", "again"} {
		if err := do(s, 2); !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.RotateAuditKey(t.Context(), audit.Event{Tenant: "acme", At: now, Actor: "person:acc_1"}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("the key was replaced: %v", err)
	}
	if err := s.Healthy(); err != nil {
		t.Errorf("the store gave up: %v", err)
	}
	now = noon.Add(-audit.ClockSlack) // as good as right
	if err := do(s, 3); err != nil {
		t.Error(err)
	}
	now = noon.Add(-time.Hour)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = at(t, dir, &now, false) // a restart is no way around it
	if err := do(s, 4); !fault.Is(err, fault.Unavailable) {
		t.Errorf("after a restart: %v", err)
	}
	now = noon.Add(time.Second)
	if err := do(s, 5); err != nil {
		t.Errorf("with the right clock: %v", err)
	}
	inOrder(t, dir, 4)
}

func TestAnOperatorAcceptsThatTheClockWasAhead(t *testing.T) {
	dir, now := t.TempDir(), noon.Add(1000*time.Hour)
	s := at(t, dir, &now, false)
	ev := ended(1)
	ev.At = now
	record(t, s, ev)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	now = noon
	s = at(t, dir, &now, true)
	record(t, s, ended(2), ended(3))
	record(t, s, ended(4))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = at(t, dir, &now, false) // once is enough
	record(t, s, ended(5))
	rows, err := s.Audit().List(t.Context(), "acme", audit.Filter{Type: audit.LogClockAccepted}, 0, 10)
	if err != nil || len(rows) != 1 || rows[0].Index != 2 {
		t.Errorf("%d are on the record, %v", len(rows), err)
	}
	inOrder(t, dir, 7)
}

func TestAKeyThatIsReplacedOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	record(t, s, ended(1))
	before, err := s.Audit().Head(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	if i, err := s.RotateAuditKey(t.Context(), audit.Event{Tenant: "acme", At: noon, Actor: "person:acc_1", Fields: map[string]any{"why": "it is time"}}); err != nil || i != 2 {
		t.Fatalf("entry %d, %v", i, err)
	}
	record(t, s, ended(2))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	record(t, s, ended(3))
	after, err := s.Audit().Head(t.Context(), "acme")
	if err != nil || after.Generation != 1 || after.Verifier == before.Verifier {
		t.Errorf("%+v, %v", after, err)
	}
	if rep := verify(t, dir, audit.VerifyOptions{VerifierKey: before.Verifier, KeptCheckpoint: before.Checkpoint}); !rep.OK() {
		t.Error(rep.Findings())
	}
}

func TestTheLastCosignedCheckpointIsKept(t *testing.T) {
	s := open(t, t.TempDir())
	record(t, s, ended(1))
	for _, c := range []struct {
		size int64
		note string
		want string
	}{{2, "two", "two"}, {5, "five", "five"}, {3, "three", "five"}, {5, "five, of more witnesses", "five, of more witnesses"}} {
		if err := s.SetCosigned(t.Context(), "acme", c.size, []byte(c.note)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Audit().Cosigned(t.Context(), "acme"); err != nil || string(got) != c.want {
			t.Errorf("it has %q, %v", got, err)
		}
	}
}
