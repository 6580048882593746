package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"path/filepath"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/vault"
)

// Snapshot is the whole database as it was at one moment, for a backup. The
// server goes on writing meanwhile; what it writes stays in the write-ahead log
// until the snapshot is closed. There is no copy on disk: pages are read from
// where they are.
type Snapshot struct {
	Size   int64 // bytes
	Schema int   // the last migration
	Heads  map[ident.Tenant]audit.Head
	Ring   vault.Ring // the vault's keys, as they are stored; without those of projects
	db     *sql.DB
	tx     *sql.Tx
	end    func()
}

// Snapshot begins one. The caller closes it.
func (s *Store) Snapshot(ctx context.Context) (*Snapshot, error) {
	db, err := openDB(filepath.Join(s.dir, File), "_pragma=query_only(1)")
	if err != nil {
		return nil, err
	}
	s.snapshots.Add(1)
	snap := &Snapshot{db: db, Heads: map[ident.Tenant]audit.Head{}, end: func() { s.snapshots.Add(-1) }}
	if snap.tx, err = db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}); err == nil {
		err = snap.describe(ctx) // its first read is the moment
	}
	if err != nil {
		_ = snap.Close()
		return nil, storeErr("reading the database for a backup", err)
	}
	return snap, nil
}

// describe fills in everything but the pages.
func (s *Snapshot) describe(ctx context.Context) error {
	var pages, size int64
	if err := s.tx.QueryRowContext(ctx, "SELECT COALESCE(max(number), 0) FROM migration").Scan(&s.Schema); err != nil {
		return err
	}
	if err := s.tx.QueryRowContext(ctx, "SELECT (SELECT page_count FROM pragma_page_count), (SELECT page_size FROM pragma_page_size)").Scan(&pages, &size); err != nil {
		return err
	}
	s.Size = pages * size
	if err := errors.Join(loadRoot(ctx, s.tx, &s.Ring.Root), loadSeals(ctx, s.tx, &s.Ring)); err != nil {
		return err
	}
	return each(ctx, s.tx, "SELECT tenant, size, checkpoint, verifier FROM audit_head", func(r *sql.Rows) error {
		var t ident.Tenant
		var h audit.Head
		err := r.Scan(&t, &h.Size, &h.Checkpoint, &h.Verifier)
		s.Heads[t] = h
		return err
	})
}

// Copy writes the database's Size bytes.
func (s *Snapshot) Copy(ctx context.Context, w io.Writer) error {
	rows, err := s.tx.QueryContext(ctx, "SELECT data FROM sqlite_dbpage ORDER BY pgno")
	if err != nil {
		return storeErr("reading the database for a backup", err)
	}
	defer rows.Close()
	var page sql.RawBytes
	var n int64
	for rows.Next() {
		if err := rows.Scan(&page); err != nil {
			return storeErr("reading the database for a backup", err)
		}
		k, err := w.Write(page)
		if n += int64(k); err != nil {
			return fault.Wrap(fault.Unavailable, "writing the backup", err)
		}
	}
	if err := rows.Err(); err != nil {
		return storeErr("reading the database for a backup", err)
	}
	if n != s.Size {
		return fault.Newf(fault.Internal, "the database has %d bytes, and %d were read", s.Size, n)
	}
	return nil
}

// Close ends the snapshot.
func (s *Snapshot) Close() error {
	if s.tx != nil {
		_ = s.tx.Rollback() // it only read
	}
	s.end()
	return s.db.Close()
}

// RecordBackup uses a factor up and appends the entry that a backup is made, in
// one transaction. Conflict: the factor is not this act's, was used, or is old.
func (s *Store) RecordBackup(ctx context.Context, f identity.Factor, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		if err := t.useFactor(f, ev.At); err != nil {
			return err
		}
		return t.Audit(ev)
	})
}

// useFactor uses a factor up for the act that it was made for.
func (t *Tx) useFactor(f identity.Factor, now time.Time) error {
	changed := fault.New(fault.Conflict, "the confirmation has changed in the meantime")
	x, err := t.reader().byKey(tbFactor, f.Tenant, f.ID)
	switch {
	case fault.Is(err, fault.NotFound):
		return changed
	case err != nil:
		return err
	case x.text("account") != f.Account, x.digest("act") != f.For, x.number("used_at") != 0,
		x.number("at") < ms(now.Add(-decision.FactorLife)), x.number("at") > ms(now):
		return changed
	}
	return t.put(x, cols{"used_at": now})
}
