package audit_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
)

// kinds lists what was found.
func kinds(t *testing.T, m *memory, o audit.VerifyOptions) (out []audit.FindingKind) {
	t.Helper()
	rep, err := audit.Verify(t.Context(), source{m}, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range rep.Findings() {
		out = append(out, f.Kind)
	}
	return out
}

func TestWhoKnowsTheFirstKeyFollowsToTheLast(t *testing.T) {
	m, seq := newMemory(), sequencer(t)
	grown(t, seq, m, 5)
	first := m.logs["acme"].head
	next, err := seq.NextKey("acme", first)
	if err != nil {
		t.Fatal(err)
	}
	rotate(t, seq, m)
	second := m.logs["acme"].head
	if second.Verifier != next || second.Verifier == first.Verifier || second.Generation != 1 {
		t.Fatalf("%+v", second)
	}
	// The checkpoint with the rotation is signed by both keys, later ones by the new.
	for _, key := range []string{first.Verifier, second.Verifier} {
		if _, err := audit.OpenCheckpoint(second.Checkpoint, key); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	grown(t, seq, m, 9)
	if _, err := audit.OpenCheckpoint(m.logs["acme"].head.Checkpoint, first.Verifier); err == nil {
		t.Error("the old key goes on signing")
	}
	seq = sequencer(t) // a restart takes up the generation
	rotate(t, seq, m)
	grown(t, seq, m, 15)
	third := m.logs["acme"].head
	for _, o := range []audit.VerifyOptions{
		{}, {VerifierKey: first.Verifier}, {VerifierKey: second.Verifier}, {VerifierKey: third.Verifier},
		{VerifierKey: first.Verifier, KeptCheckpoint: first.Checkpoint}, {VerifierKey: third.Verifier, KeptCheckpoint: second.Checkpoint},
	} {
		if rep := verify(t, m, o); rep.Logs[0].Verifier != third.Verifier {
			t.Errorf("it is signed by %s", rep.Logs[0].Verifier)
		}
	}
	if got := kinds(t, m, audit.VerifyOptions{VerifierKey: headBy(t, key).Verifier}); !slices.Contains(got, audit.LogMissing) {
		t.Errorf("with another log's key: %v", got)
	}
}

func TestARotationThatIsTakenBackLeavesTheKey(t *testing.T) {
	m, seq := newMemory(), sequencer(t)
	grown(t, seq, m, 3)
	before := m.logs["acme"].head
	if err := m.do(seq, func(b *audit.Batch) error {
		mark := b.Mark()
		if _, err := b.RotateKey(audit.Event{Tenant: "acme", At: noon, Actor: "person:acc_1"}); err != nil {
			return err
		}
		b.Reset(mark)
		_, err := b.Append(ended("acme", 9))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if after := m.logs["acme"].head; after.Verifier != before.Verifier || after.Generation != 0 {
		t.Errorf("%+v", after)
	}
	verify(t, m, audit.VerifyOptions{VerifierKey: before.Verifier})
}

func TestOnlyTheLogWritesARotation(t *testing.T) {
	m, seq := newMemory(), sequencer(t)
	grown(t, seq, m, 2)
	for _, typ := range []audit.Type{audit.LogKeyRotated, audit.LogOpened} {
		if err := m.do(seq, one(audit.Event{Type: typ, Tenant: "acme", At: noon, Actor: "person:x"})); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", typ, err)
		}
	}
	if err := newMemory().do(seq, func(b *audit.Batch) error {
		_, err := b.RotateKey(audit.Event{Tenant: "initech", At: noon, Actor: "person:x"})
		return err
	}); !fault.Is(err, fault.Invalid) {
		t.Errorf("of no log: %v", err)
	}
}

// forge makes a log of its own with one entry replaced, hashed and signed again
// with the key of a generation.
func forge(t *testing.T, m *memory, at int64, change func(*audit.Event), sign int64) *memory {
	t.Helper()
	out := m.clone()
	l := out.logs["acme"]
	var hashes []tlog.Hash
	read := tlog.HashReaderFunc(func(is []int64) ([]tlog.Hash, error) {
		var got []tlog.Hash
		for _, i := range is {
			got = append(got, hashes[i])
		}
		return got, nil
	})
	for i := range l.head.Size {
		row := l.rows[i]
		e, err := audit.ParseEntry(row.Entry)
		if err != nil {
			t.Fatal(err)
		}
		if i == at {
			change(&e.Event)
			if row.Entry, err = audit.Encode(i, e.Event); err != nil {
				t.Fatal(err)
			}
			row.At = e.At.UnixMilli()
			l.rows[i] = row
		}
		hs, err := tlog.StoredHashes(i, row.Entry, read)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range hs {
			l.hashes[int64(len(hashes))] = bytes.Clone(h[:])
			hashes = append(hashes, h)
		}
	}
	root, err := tlog.TreeHash(l.head.Size, read)
	if err != nil {
		t.Fatal(err)
	}
	l.head.Checkpoint, l.head.Verifier = signed(t, sign, l.head.Size, root)
	out.logs["acme"] = l
	return out
}

func TestARotationByAnotherKeyIsFound(t *testing.T) {
	m, seq := newMemory(), sequencer(t)
	grown(t, seq, m, 5)
	first := m.logs["acme"].head.Verifier
	rotate(t, seq, m)
	grown(t, seq, m, 8)
	for name, change := range map[string]func(*audit.Event){
		"a handover of another size": func(e *audit.Event) {
			e.Fields["handover"] = strings.Replace(e.Fields["handover"].(string), "\n5\n", "\n4\n", 1)
		},
		"no signature": func(e *audit.Event) {
			h := e.Fields["handover"].(string)
			e.Fields["handover"] = h[:strings.Index(h, "\n\n")+2]
		},
		"a key that was not named": func(e *audit.Event) { e.Fields["verifier"] = headBy(t, key).Verifier },
	} {
		t.Run(name, func(t *testing.T) {
			if got := kinds(t, forge(t, m, 5, change, 1), audit.VerifyOptions{VerifierKey: first}); !slices.Contains(got, audit.HandoverBad) {
				t.Errorf("found %v", got)
			}
		})
	}
	t.Run("a handover that is true of another log", func(t *testing.T) {
		fork := newMemory()
		seq := sequencer(t)
		grown(t, seq, fork, 4)
		if err := fork.do(seq, one(ended("acme", 77))); err != nil {
			t.Fatal(err)
		}
		rotate(t, seq, fork)
		e, err := audit.ParseEntry(fork.logs["acme"].rows[5].Entry)
		if err != nil {
			t.Fatal(err)
		}
		got := kinds(t, forge(t, m, 5, func(ev *audit.Event) { ev.Fields["handover"] = e.Fields["handover"] }, 1), audit.VerifyOptions{VerifierKey: first})
		if !slices.Contains(got, audit.HandoverBad) {
			t.Errorf("found %v", got)
		}
	})
}

func TestEntriesThatGoBackInTimeAreFound(t *testing.T) {
	m, seq := newMemory(), sequencer(t)
	grown(t, seq, m, 6)
	back := func(d time.Duration) func(*audit.Event) {
		return func(e *audit.Event) { e.At = e.At.Add(-d) }
	}
	if got := kinds(t, forge(t, m, 4, back(time.Hour), 0), audit.VerifyOptions{}); !slices.Equal(got, []audit.FindingKind{audit.ClockBack}) {
		t.Errorf("an hour back: %v", got)
	}
	if got := kinds(t, forge(t, m, 4, back(10*time.Minute), 0), audit.VerifyOptions{}); len(got) > 0 {
		t.Errorf("what took long: %v", got)
	}
	accepted := func(e *audit.Event) {
		back(time.Hour)(e)
		*e = audit.Event{Type: audit.LogClockAccepted, Tenant: "acme", At: e.At, Actor: "system:setup"}
	}
	got := kinds(t, forge(t, m, 4, accepted, 0), audit.VerifyOptions{})
	if slices.Contains(got, audit.ClockBack) {
		t.Errorf("it was accepted, and %v", got)
	}
}

func FuzzHandover(f *testing.F) {
	m, seq := newMemory(), sequencer(f)
	grown(f, seq, m, 3)
	first := m.logs["acme"].head
	rotate(f, seq, m)
	e, err := audit.ParseEntry(m.logs["acme"].rows[3].Entry)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(e.Fields["handover"].(string)))
	f.Add(first.Checkpoint)
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, next, err := audit.OpenHandover(b, first.Verifier); err == nil && (c.Size != 3 || next != m.logs["acme"].head.Verifier) {
			t.Errorf("%q hands over to %q", b, next)
		}
	})
}
