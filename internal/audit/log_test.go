package audit_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

func ended(t ident.Tenant, n int) audit.Event {
	return audit.Event{Type: audit.RunEnded, Tenant: t, At: noon, Actor: "system:engine", Run: fmt.Sprintf("run_%d", n),
		Fields: map[string]any{"turns": n}}
}

// verify fails the test where a log has a finding.
func verify(t *testing.T, m *memory, opts audit.VerifyOptions) audit.Report {
	t.Helper()
	rep, err := audit.Verify(context.Background(), source{m}, opts)
	if err != nil {
		t.Fatal(err)
	}
	if !rep.OK() {
		t.Fatalf("the log is not in order: %v", rep.Findings())
	}
	return rep
}

// TestAnyMixOfBatchesMakesOneLog appends random batches to two logs, takes some
// steps back, throws some transactions away and restarts now and then. After
// each the stored tree has to be the one that tlog builds from the entries, and
// to continue every checkpoint seen before.
func TestAnyMixOfBatchesMakesOneLog(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := mrand.New(mrand.NewPCG(seed, 1))
			m, seq := newMemory(), sequencer(t)
			want := map[ident.Tenant][]string{}
			var kept []byte
			for range 30 {
				if r.IntN(5) == 0 {
					seq = sequencer(t) // a restart
				}
				added := map[ident.Tenant][]string{}
				lost := errors.New("the transaction is thrown away")
				err := m.do(seq, func(b *audit.Batch) error { return randomSteps(r, b, want, added, lost) })
				if err != nil && !errors.Is(err, lost) {
					t.Fatal(err)
				}
				if err == nil {
					for tenant, runs := range added {
						want[tenant] = append(want[tenant], runs...)
					}
				}
				check(t, m, want)
				if len(want["acme"]) > 0 {
					kept = m.logs["acme"].head.Checkpoint
				}
				if len(m.logs) > 0 {
					verify(t, m, audit.VerifyOptions{KeptCheckpoint: kept})
				}
			}
		})
	}
}

func randomSteps(r *mrand.Rand, b *audit.Batch, want, added map[ident.Tenant][]string, lost error) error {
	for range r.IntN(6) {
		mark := b.Mark()
		step := map[ident.Tenant][]string{}
		for range r.IntN(5) {
			tenant := []ident.Tenant{"acme", "globex"}[r.IntN(2)]
			n := r.IntN(1000)
			index, err := b.Append(ended(tenant, n))
			if err != nil {
				return err
			}
			step[tenant] = append(step[tenant], fmt.Sprintf("run_%d", n))
			if i := 1 + len(want[tenant]) + len(added[tenant]) + len(step[tenant]) - 1; index != int64(i) {
				return fmt.Errorf("appended at %d, want %d", index, i)
			}
		}
		if r.IntN(3) == 0 {
			if r.IntN(2) == 0 { // a refused event is what made it fail
				if _, err := b.Append(audit.Event{Type: "?", Tenant: "acme"}); err == nil {
					return errors.New("an unknown event was taken")
				}
			}
			b.Reset(mark)
			continue
		}
		for tenant, runs := range step {
			added[tenant] = append(added[tenant], runs...)
		}
	}
	if r.IntN(6) == 0 {
		return lost
	}
	return nil
}

// check compares what is stored with the runs that were recorded, and with the
// tree that tlog builds.
func check(t *testing.T, m *memory, want map[ident.Tenant][]string) {
	t.Helper()
	for tenant, runs := range want {
		l := m.logs[tenant]
		if len(l.rows) != len(runs)+1 {
			t.Fatalf("%s has %d entries, want %d", tenant, len(l.rows), len(runs)+1)
		}
		stored := tlog.HashReaderFunc(l.read)
		for i := range l.rows {
			e, err := audit.ParseEntry(l.rows[i].Entry)
			if err != nil {
				t.Fatal(err)
			}
			if i > 0 && e.Run != runs[i-1] {
				t.Fatalf("entry %d of %s is of %s, want %s", i, tenant, e.Run, runs[i-1])
			}
			hashes, err := tlog.StoredHashes(i, l.rows[i].Entry, stored)
			if err != nil {
				t.Fatal(err)
			}
			for k, h := range hashes {
				if tlog.Hash(l.hashes[tlog.StoredHashIndex(0, i)+int64(k)]) != h {
					t.Fatalf("hash %d of entry %d of %s is not tlog's", k, i, tenant)
				}
			}
		}
		root, err := tlog.TreeHash(int64(len(l.rows)), stored)
		if err != nil {
			t.Fatal(err)
		}
		cp, err := audit.OpenCheckpoint(l.head.Checkpoint, l.head.Verifier)
		if err != nil || cp.Root != root || cp.Size != int64(len(l.rows)) || cp.Origin != "sallyport.dev/log/"+string(tenant) {
			t.Fatalf("the checkpoint of %s is %+v, %v", tenant, cp, err)
		}
	}
}

func one(ev audit.Event) func(*audit.Batch) error {
	return func(b *audit.Batch) error { _, err := b.Append(ev); return err }
}

func TestNoHashIsReadAfterTheFirstAppend(t *testing.T) {
	m := newMemory()
	if err := m.do(sequencer(t), func(b *audit.Batch) error {
		for i := range 100 {
			if _, err := b.Append(ended("acme", i)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	seq := sequencer(t) // a restart
	for i := range 50 {
		if err := m.do(seq, one(ended("acme", i))); err != nil {
			t.Fatal(err)
		}
	}
	if got := *m.logs["acme"].reads; got != 4 { // 101 = 0b1100101
		t.Errorf("%d hashes were read, want the 4 of the right edge", got)
	}
}

// TestAppendFailsClosed: nothing may be recorded on top of a log that is not
// the one that was signed.
func TestAppendFailsClosed(t *testing.T) {
	other := func(ident.Tenant, int64) (crypto.Signer, error) { return ed25519.NewKeyFromSeed(make([]byte, 32)), nil }
	spoil := map[string]func(*memlog){
		"the head's size":       func(l *memlog) { l.head.Size++ },
		"the checkpoint":        func(l *memlog) { l.head.Checkpoint = append([]byte("x"), l.head.Checkpoint...) },
		"the verifier key":      func(l *memlog) { l.head.Verifier = "x" + l.head.Verifier },
		"the head, put back":    func(l *memlog) { l.head = audit.Head{} },
		"a hash on the edge":    func(l *memlog) { l.hashes[tlog.StoredHashIndex(0, 2)] = make([]byte, 32) },
		"a missing edge hash":   func(l *memlog) { delete(l.hashes, tlog.StoredHashIndex(1, 0)) },
		"a head by another key": func(l *memlog) { l.head = headBy(t, other) },
		"another tenant's signed": func(l *memlog) {
			l.head = headBy(t, func(ident.Tenant, int64) (crypto.Signer, error) { return key("acme", 0) })
		},
	}
	running := []string{"the head's size", "the checkpoint", "the verifier key", "the head, put back", "a head by another key"}
	restarted := []string{"the head, put back", "the head's size", "the checkpoint", "the verifier key", "a hash on the edge", "a missing edge hash",
		"a head by another key", "another tenant's signed"}
	try := func(what string, restart bool) {
		t.Run(fmt.Sprintf("%s, restart %v", what, restart), func(t *testing.T) {
			m, seq := newMemory(), sequencer(t)
			for i := range 2 {
				if err := m.do(seq, one(ended("acme", i))); err != nil {
					t.Fatal(err)
				}
			}
			l := m.logs["acme"]
			spoil[what](&l)
			m.logs["acme"] = l
			if restart {
				seq = sequencer(t)
			}
			if err := m.do(seq, one(ended("acme", 3))); !errors.Is(err, audit.ErrDiverged) {
				t.Errorf("the append said %v", err)
			}
			if err := m.do(seq, one(ended("globex", 1))); !errors.Is(err, audit.ErrDiverged) || !errors.Is(seq.Err(), audit.ErrDiverged) {
				t.Errorf("it went on with another log: %v", err)
			}
		})
	}
	for _, what := range running {
		try(what, false)
	}
	for _, what := range restarted {
		try(what, true)
	}
}

// headBy is the head of a log of three entries of tenant globex's name, signed
// by a key of the attacker's choice.
func headBy(t *testing.T, k audit.KeyFunc) audit.Head {
	t.Helper()
	seq, err := audit.NewSequencer("", k)
	if err != nil {
		t.Fatal(err)
	}
	m := newMemory()
	for i := range 2 {
		if err := m.do(seq, one(ended("globex", i))); err != nil {
			t.Fatal(err)
		}
	}
	return m.logs["globex"].head
}

func TestAppendFailsClosedWithoutAKey(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]audit.KeyFunc{
		"sealed": func(ident.Tenant, int64) (crypto.Signer, error) {
			return nil, fault.New(fault.Unavailable, "the vault is sealed")
		},
		"wrong kind":    func(ident.Tenant, int64) (crypto.Signer, error) { return ec, nil },
		"broken signer": func(ident.Tenant, int64) (crypto.Signer, error) { return brokenKey{}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			seq, err := audit.NewSequencer("audit.example.com", k)
			if err != nil {
				t.Fatal(err)
			}
			m := newMemory()
			if err := m.do(seq, one(ended("acme", 1))); err == nil || len(m.logs) > 0 {
				t.Errorf("it was appended: %v", err)
			}
		})
	}
}

// brokenKey has a public half and can't sign.
type brokenKey struct{ crypto.Signer }

func (brokenKey) Public() crypto.PublicKey {
	return ed25519.NewKeyFromSeed(make([]byte, 32)).Public()
}
func (brokenKey) Sign(_ io.Reader, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("no")
}

func TestSealFailsClosedWhenAStepIgnoresARefusedEntry(t *testing.T) {
	m, seq := newMemory(), sequencer(t)
	err := m.do(seq, func(b *audit.Batch) error {
		if _, err := b.Append(ended("acme", 1)); err != nil {
			return err
		}
		_, _ = b.Append(audit.Event{Type: "secret.leaked", Tenant: "acme", At: noon, Actor: "system:x"})
		return nil
	})
	if !fault.Is(err, fault.Invalid) || len(m.logs) > 0 {
		t.Errorf("the transaction went through: %v", err)
	}
}

func TestASequencerNeedsAKeyAndAHost(t *testing.T) {
	if _, err := audit.NewSequencer("", nil); err == nil {
		t.Error("no key was fine")
	}
	for _, host := range []string{"two words", "a+b", "line\nbreak", "ümlaut"} {
		if _, err := audit.NewSequencer(host, key); !fault.Is(err, fault.Invalid) {
			t.Errorf("host %q: %v", host, err)
		}
	}
}
