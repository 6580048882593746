package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// auditTx is an [audit.Tx] over a transaction of the writer.
type auditTx struct {
	ctx   context.Context
	tx    *prepared
	heads map[ident.Tenant]string // the checkpoints that are set
}

var _ audit.Tx = auditTx{}
var _ audit.Reader = auditReader{}

// Head reads a log's head; the zero Head where there is none.
func (a auditTx) Head(t ident.Tenant) (audit.Head, error) { return auditHead(a.ctx, a.tx, t) }

// Hashes reads stored hashes.
func (a auditTx) Hashes(t ident.Tenant, indexes []int64) ([]tlog.Hash, error) {
	return auditHashes(a.ctx, a.tx, t, indexes)
}

// Insert adds entries, and the hashes from firstHash on.
func (a auditTx) Insert(t ident.Tenant, rows []audit.Row, firstHash int64, hashes []tlog.Hash) error {
	entries, refs, hs := make([][]any, len(rows)), make([][]any, 0, 2*len(rows)), make([][]any, len(hashes))
	for i, r := range rows {
		entries[i] = []any{string(t), r.Index, r.At, string(r.Type), r.Actor, r.Run, r.Intent, r.Connection, r.Entry}
		for _, x := range r.Refs {
			refs = append(refs, []any{string(t), string(x.Kind), x.Value, r.Index})
		}
	}
	for i, h := range hashes {
		hs[i] = []any{string(t), firstHash + int64(i), h[:]}
	}
	if err := insertMany(a.ctx, a.tx, "INSERT INTO audit_entry (tenant, idx, at, type, actor, run, intent, connection, entry)", entries); err != nil {
		return notAppended(err)
	}
	if err := insertMany(a.ctx, a.tx, "INSERT INTO audit_ref (tenant, kind, value, idx)", refs); err != nil {
		return notAppended(err)
	}
	return notAppended(insertMany(a.ctx, a.tx, "INSERT INTO audit_hash (tenant, idx, hash)", hs))
}

// notAppended says of an insert that the database was made to ignore, by a trigger,
// what it was for: what is not on the record does not happen.
func notAppended(err error) error {
	if errors.Is(err, errNotTaken) {
		return fault.New(fault.Unavailable, "the database did not take an entry of the audit log").
			WithHint("somebody else has changed the database's tables: stop the server, and restore a backup")
	}
	return storeErr("appending to the audit log", err)
}

// SetHead replaces a head whose size was prev.
func (a auditTx) SetHead(t ident.Tenant, prev int64, h audit.Head) error {
	query, args := `UPDATE audit_head SET size = $2, checkpoint = $3, verifier = $4, generation = $5, at = $6 WHERE tenant = $1 AND size = $7`,
		[]any{string(t), h.Size, h.Checkpoint, h.Verifier, h.Generation, h.At, prev}
	if prev == 0 {
		query, args = `INSERT INTO audit_head (tenant, size, checkpoint, verifier, generation, at) VALUES ($1, $2, $3, $4, $5, $6)`, args[:6]
	}
	r, err := a.tx.ExecContext(a.ctx, query, args...)
	if err != nil {
		return storeErr("writing the audit log's head", err)
	}
	if n, err := r.RowsAffected(); err != nil || n != 1 {
		return fault.New(fault.Conflict, "the audit log's head has changed in the meantime")
	}
	a.heads[t] = string(h.Checkpoint)
	return nil
}

// Audit reads the audit logs as the writer has committed them.
func (s *Store) Audit() audit.Reader { return auditReader{s.ro} }

type auditReader struct{ db *prepared }

// Head of a tenant's log; NotFound where there is none.
func (r auditReader) Head(ctx context.Context, t ident.Tenant) (audit.Head, error) {
	h, err := auditHead(ctx, r.db, t)
	if err == nil && h.Size == 0 {
		err = fault.New(fault.NotFound, "there is no audit log yet")
	}
	return h, err
}

// List gives the rows that match f, from an index on.
func (r auditReader) List(ctx context.Context, t ident.Tenant, f audit.Filter, from int64, limit int) ([]audit.Row, error) {
	return auditRows(ctx, r.db, t, f, from, limit)
}

// Hashes gives stored hashes.
func (r auditReader) Hashes(ctx context.Context, t ident.Tenant, indexes []int64) ([]tlog.Hash, error) {
	return auditHashes(ctx, r.db, t, indexes)
}

// Cosigned gives the last checkpoint that witnesses cosigned.
func (r auditReader) Cosigned(ctx context.Context, t ident.Tenant) ([]byte, error) {
	return auditCosigned(ctx, r.db, t)
}

func auditCosigned(ctx context.Context, q queryer, t ident.Tenant) (msg []byte, err error) {
	err = q.QueryRowContext(ctx, "SELECT checkpoint FROM audit_cosigned WHERE tenant = $1", string(t)).Scan(&msg)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return msg, storeErr("reading the cosigned checkpoint", err)
}

// SetCosigned keeps a checkpoint that witnesses have cosigned, unless a later one
// is kept. One of the same size replaces what is there: it has more cosignatures.
func (s *Store) SetCosigned(ctx context.Context, t ident.Tenant, size int64, msg []byte) error {
	return s.write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO audit_cosigned (tenant, size, checkpoint) VALUES ($1, $2, $3)
			ON CONFLICT (tenant) DO UPDATE SET size = excluded.size, checkpoint = excluded.checkpoint WHERE excluded.size >= audit_cosigned.size`,
			string(t), size, msg)
		return err
	})
}

// RotateAuditKey goes on with the next key of a tenant's audit log. ev says who
// did it and why. It gives the entry's index.
func (s *Store) RotateAuditKey(ctx context.Context, ev audit.Event) (index int64, err error) {
	err = s.write(ctx, func(tx *Tx) error {
		if _, err := tx.rows.of(ev.Tenant); err != nil {
			return err
		}
		if err := tx.checkClock(ev.Tenant); err != nil {
			return err
		}
		put(tx.rows, tx.rows.touched, ev.Tenant, true)
		index, err = tx.log.RotateKey(ev)
		return err
	})
	return index, err
}

// Record appends events that are about nothing else in the store.
func (s *Store) Record(ctx context.Context, events ...audit.Event) error {
	return s.write(ctx, func(tx *Tx) error {
		for _, ev := range events {
			if err := tx.Audit(ev); err != nil {
				return err
			}
		}
		return nil
	})
}

// queryer is a database or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func auditHead(ctx context.Context, q queryer, t ident.Tenant) (audit.Head, error) {
	var h audit.Head
	err := q.QueryRowContext(ctx, "SELECT size, checkpoint, verifier, generation, at FROM audit_head WHERE tenant = $1", string(t)).
		Scan(&h.Size, &h.Checkpoint, &h.Verifier, &h.Generation, &h.At)
	if errors.Is(err, sql.ErrNoRows) {
		return audit.Head{}, nil
	}
	return h, storeErr("reading the audit log's head", err)
}

// auditHashes reads hashes in the order of their indexes, with one statement.
func auditHashes(ctx context.Context, q queryer, t ident.Tenant, indexes []int64) ([]tlog.Hash, error) {
	list, err := json.Marshal(indexes)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "listing the audit log's hashes", err)
	}
	rows, err := q.QueryContext(ctx, `SELECT j.key, h.hash FROM json_each($2) j CROSS JOIN audit_hash h ON h.tenant = $1 AND h.idx = j.value`, string(t), string(list))
	if err != nil {
		return nil, storeErr("reading the audit log's hashes", err)
	}
	defer rows.Close()
	out, found := make([]tlog.Hash, len(indexes)), 0
	for rows.Next() {
		var i int
		var b []byte
		if err := rows.Scan(&i, &b); err != nil {
			return nil, storeErr("reading the audit log's hashes", err)
		}
		if len(b) != tlog.HashSize {
			return nil, fault.Newf(fault.Internal, "the audit log's hash %d has a wrong length", indexes[i])
		}
		copy(out[i][:], b)
		found++
	}
	if err := rows.Err(); err != nil {
		return nil, storeErr("reading the audit log's hashes", err)
	}
	if found != len(indexes) {
		return nil, storeErr("reading the audit log's hashes", sql.ErrNoRows)
	}
	return out, nil
}

func auditRows(ctx context.Context, q queryer, t ident.Tenant, f audit.Filter, from int64, limit int) ([]audit.Row, error) {
	query := strings.Builder{}
	query.WriteString(auditColumns + " WHERE tenant = $1 AND idx >= $2")
	args := []any{string(t), from, max(limit, 0)} // to SQLite a negative limit is none
	for _, c := range []struct{ cond, value string }{
		// The second condition lets the planner use the partial index.
		{" AND type = ", string(f.Type)}, {" AND run <> '' AND run = ", f.Run},
		{" AND intent <> '' AND intent = ", f.Intent}, {" AND connection <> '' AND connection = ", f.Connection},
	} {
		if c.value != "" {
			args = append(args, c.value)
			query.WriteString(c.cond + "$" + string(rune('0'+len(args))))
		}
	}
	query.WriteString(" ORDER BY idx LIMIT $3")
	return scanAudit(ctx, q, query.String(), args)
}

const auditColumns = "SELECT idx, at, type, actor, run, intent, connection, entry FROM audit_entry"

func scanAudit(ctx context.Context, q queryer, query string, args []any) ([]audit.Row, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, storeErr("reading the audit log", err)
	}
	defer rows.Close()
	var out []audit.Row
	for rows.Next() {
		var r audit.Row
		if err := rows.Scan(&r.Index, &r.At, &r.Type, &r.Actor, &r.Run, &r.Intent, &r.Connection, &r.Entry); err != nil {
			return nil, storeErr("reading the audit log", err)
		}
		out = append(out, r)
	}
	return out, storeErr("reading the audit log", rows.Err())
}
