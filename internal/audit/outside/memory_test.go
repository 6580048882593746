package outside_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/audit/outside"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// memory is the log of tenant acme, without a database.
type memory struct {
	t        testing.TB
	seq      *audit.Sequencer
	head     audit.Head
	rows     []audit.Row
	hashes   []tlog.Hash
	cosigned []byte
}

func newMemory(t testing.TB) *memory {
	seq, err := audit.NewSequencer("log.example", func(_ ident.Tenant, generation int64) (crypto.Signer, error) {
		seed := sha256.Sum256(fmt.Appendf(nil, "key %d", generation))
		return ed25519.NewKeyFromSeed(seed[:]), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return &memory{t: t, seq: seq}
}

type memtx struct{ *memory }

func (m memtx) Head(ident.Tenant) (audit.Head, error) { return m.head, nil }
func (m memtx) Hashes(_ ident.Tenant, is []int64) ([]tlog.Hash, error) {
	return reader(m).Hashes(m.t.Context(), "acme", is)
}
func (m memtx) Insert(_ ident.Tenant, rows []audit.Row, _ int64, hashes []tlog.Hash) error {
	m.rows, m.hashes = append(m.rows, rows...), append(m.hashes, hashes...)
	return nil
}
func (m memtx) SetHead(_ ident.Tenant, _ int64, h audit.Head) error { m.memory.head = h; return nil }

// do runs one transaction.
func (m *memory) do(fn func(*audit.Batch) error) {
	m.t.Helper()
	b := m.seq.Begin(memtx{m})
	if err := fn(b); err != nil {
		m.t.Fatal(err)
	}
	if err := b.Seal(); err != nil {
		m.t.Fatal(err)
	}
	b.Committed()
}

// grow appends entries.
func (m *memory) grow(n int) {
	m.t.Helper()
	m.do(func(b *audit.Batch) error {
		for i := range n {
			if _, err := b.Append(audit.Event{Type: audit.RunEnded, Tenant: "acme", At: noon, Actor: "system:engine", Fields: map[string]any{"turns": i}}); err != nil {
				return err
			}
		}
		return nil
	})
}

type reader struct{ *memory }

func (m reader) Head(context.Context, ident.Tenant) (audit.Head, error) {
	if m.head.Size == 0 {
		return audit.Head{}, fault.New(fault.NotFound, "there is no log")
	}
	return m.head, nil
}
func (m reader) List(_ context.Context, _ ident.Tenant, _ audit.Filter, from int64, limit int) ([]audit.Row, error) {
	return m.rows[from:min(int64(len(m.rows)), from+int64(limit))], nil
}
func (m reader) Hashes(_ context.Context, _ ident.Tenant, is []int64) (out []tlog.Hash, err error) {
	for _, i := range is {
		if i >= int64(len(m.hashes)) {
			return nil, fault.New(fault.NotFound, "no hash")
		}
		out = append(out, m.hashes[i])
	}
	return out, nil
}
func (m reader) Cosigned(context.Context, ident.Tenant) ([]byte, error) { return m.cosigned, nil }

// The methods of an outside.Store.
func (m *memory) Audit() audit.Reader { return reader{m} }
func (m *memory) SetCosigned(_ context.Context, _ ident.Tenant, _ int64, msg []byte) error {
	m.cosigned = msg
	return nil
}
func (m *memory) Record(_ context.Context, events ...audit.Event) error {
	m.do(func(b *audit.Batch) error {
		for _, ev := range events {
			if _, err := b.Append(ev); err != nil {
				return err
			}
		}
		return nil
	})
	return nil
}

// types lists what was recorded since the log was grown.
func (m *memory) types() (out []string) {
	m.t.Helper()
	for _, r := range m.rows {
		if r.Type != audit.RunEnded && r.Type != audit.LogOpened {
			out = append(out, string(r.Type))
		}
	}
	return out
}

func keeper(t testing.TB, c outside.Config) *outside.Keeper {
	t.Helper()
	c.Tenant, c.Log = "acme", slog.New(slog.DiscardHandler)
	if c.Now == nil {
		c.Now = func() time.Time { return noon }
	}
	k, err := outside.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func round(t testing.TB, k *outside.Keeper) {
	t.Helper()
	if err := k.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
}
