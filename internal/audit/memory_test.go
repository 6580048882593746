package audit_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// memory is a store of logs in memory: what a database keeps, with
// transactions that can be thrown away.
type memory struct {
	logs map[ident.Tenant]memlog
}

type memlog struct {
	head     audit.Head
	cosigned []byte
	rows     map[int64]audit.Row
	hashes   map[int64][]byte
	reads    *int // hashes read by transactions
}

func newMemory() *memory { return &memory{logs: map[ident.Tenant]memlog{}} }

func (m *memory) clone() *memory {
	c := newMemory()
	for t, l := range m.logs {
		l.rows, l.hashes = maps.Clone(l.rows), maps.Clone(l.hashes)
		c.logs[t] = l
	}
	return c
}

// memtx is a transaction: a copy that replaces the store when it commits.
type memtx struct{ *memory }

func (x memtx) Head(t ident.Tenant) (audit.Head, error) { return x.logs[t].head, nil }

func (x memtx) Hashes(t ident.Tenant, indexes []int64) ([]tlog.Hash, error) {
	l := x.logs[t]
	if l.reads != nil {
		*l.reads += len(indexes)
	}
	return l.read(indexes)
}

func (l memlog) read(indexes []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range indexes {
		b, ok := l.hashes[i]
		if !ok {
			return nil, fault.New(fault.NotFound, "no such hash")
		}
		out = append(out, tlog.Hash(b))
	}
	return out, nil
}

func (x memtx) Insert(t ident.Tenant, rows []audit.Row, first int64, hashes []tlog.Hash) error {
	l, ok := x.logs[t]
	if !ok {
		l = memlog{rows: map[int64]audit.Row{}, hashes: map[int64][]byte{}, reads: new(int)}
	}
	for _, r := range rows {
		l.rows[r.Index] = r
	}
	for i, h := range hashes {
		l.hashes[first+int64(i)] = bytes.Clone(h[:])
	}
	x.logs[t] = l
	return nil
}

func (x memtx) SetHead(t ident.Tenant, prev int64, h audit.Head) error {
	l := x.logs[t]
	if l.head.Size != prev {
		return fault.New(fault.Conflict, "the head has changed")
	}
	l.head = h
	x.logs[t] = l
	return nil
}

// do runs a transaction.
func (m *memory) do(seq *audit.Sequencer, fn func(*audit.Batch) error) error {
	x := memtx{m.clone()}
	b := seq.Begin(x)
	if err := fn(b); err != nil {
		return err
	}
	if err := b.Seal(); err != nil {
		return err
	}
	m.logs = x.logs
	b.Committed()
	return nil
}

// reader and source read the store.
type reader struct{ *memory }
type source struct{ *memory }

func (m reader) Head(_ context.Context, t ident.Tenant) (audit.Head, error) {
	l, ok := m.logs[t]
	if !ok {
		return audit.Head{}, fault.New(fault.NotFound, "no log")
	}
	return l.head, nil
}

func (m reader) Hashes(_ context.Context, t ident.Tenant, indexes []int64) ([]tlog.Hash, error) {
	return m.logs[t].read(indexes)
}

func (m reader) List(ctx context.Context, t ident.Tenant, f audit.Filter, from int64, limit int) ([]audit.Row, error) {
	if f.Type == "" {
		return source(m).Rows(ctx, t, from, limit)
	}
	rows, err := source(m).Rows(ctx, t, from, math.MaxInt)
	rows = slices.DeleteFunc(rows, func(r audit.Row) bool { return r.Type != f.Type })
	return rows[:min(len(rows), limit)], err
}

func (m reader) Cosigned(_ context.Context, t ident.Tenant) ([]byte, error) {
	return m.logs[t].cosigned, nil
}

func (m source) Cosigned(_ context.Context, t ident.Tenant) ([]byte, error) {
	return m.logs[t].cosigned, nil
}

func (m source) Tenants(context.Context) ([]ident.Tenant, error) {
	return slices.Sorted(maps.Keys(m.logs)), nil
}

func (m source) Head(_ context.Context, t ident.Tenant) (audit.Head, error) {
	return m.logs[t].head, nil
}

func (m source) Minimum(ctx context.Context, t ident.Tenant) (int64, error) {
	p, err := audit.LastPruned(ctx, reader(m), t)
	return p.Minimum, err
}

func (m source) Rows(_ context.Context, t ident.Tenant, from int64, limit int) ([]audit.Row, error) {
	var out []audit.Row
	for _, i := range slices.Sorted(maps.Keys(m.logs[t].rows)) {
		if i >= from && len(out) < limit {
			out = append(out, m.logs[t].rows[i])
		}
	}
	return out, nil
}

func (m source) HashRows(_ context.Context, t ident.Tenant, from int64, limit int) ([]audit.HashRow, error) {
	var out []audit.HashRow
	for _, i := range slices.Sorted(maps.Keys(m.logs[t].hashes)) {
		if i >= from && len(out) < limit {
			out = append(out, audit.HashRow{Index: i, Hash: m.logs[t].hashes[i]})
		}
	}
	return out, nil
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC)

// key gives each tenant's log keys of its own, always the same.
func key(t ident.Tenant, generation int64) (crypto.Signer, error) {
	seed := sha256.Sum256(fmt.Appendf(nil, "test log of %s, %d", t, generation))
	return ed25519.NewKeyFromSeed(seed[:]), nil
}

func sequencer(t testing.TB) *audit.Sequencer {
	t.Helper()
	s, err := audit.NewSequencer("", key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func claimed(tenant ident.Tenant) audit.Event {
	return audit.Event{Type: audit.IntentClaimed, Tenant: tenant, At: noon, Actor: "run:run_1", Run: "run_1", Mission: "onboarding",
		Intent: "int_1", Connection: "erp-write", Tool: "create_vendor", Fields: map[string]any{
			"args": sha("args"), "digest": sha("intent"), "effect": "write", "fence": 1, "policySet": sha("policies"),
			"policies": []string{"default-1"}, "secret": "erp-write", "secretVersion": 3, "decision": "dec_1",
			"approvers": []string{"acc_2"}, "verdict": "ask"}}
}

// signed is a checkpoint of acme's log, made without the package under test.
func signed(t testing.TB, generation, size int64, root tlog.Hash) (checkpoint []byte, verifier string) {
	t.Helper()
	k, err := key("acme", generation)
	if err != nil {
		t.Fatal(err)
	}
	name := "sallyport.dev/log/acme"
	verifier, err = note.NewEd25519VerifierKey(name, k.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(verifier)
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, err = note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", name, size, root)}, noteSigner{v, k})
	if err != nil {
		t.Fatal(err)
	}
	return checkpoint, verifier
}

type noteSigner struct {
	note.Verifier
	key crypto.Signer
}

func (s noteSigner) Sign(msg []byte) ([]byte, error) { return s.key.Sign(nil, msg, crypto.Hash(0)) }
