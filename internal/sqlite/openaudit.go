package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// AuditSource is the audit logs of a data directory as they were at one moment.
type AuditSource struct {
	db    *sql.DB
	tx    *sql.Tx // the snapshot
	path  string
	still os.FileInfo // of a database that nobody had open; nil while a write-ahead log is there
}

var (
	_ audit.Source = (*AuditSource)(nil)
	_ audit.Reader = (*AuditSource)(nil)
)

// OpenAudit opens the audit logs of a data directory for verification, without
// its lock, without migrating it and without writing to the database, so also
// while a server runs: what the server commits meanwhile is not seen. NotFound
// when there is no database.
//
// A directory that was closed properly has no write-ahead log, and then no file
// is touched or created; a server that is started during the verification makes
// it end with Unavailable, to be repeated. Otherwise SQLite keeps its
// shared-memory file beside the database, as for every reader.
func OpenAudit(ctx context.Context, dir string) (*AuditSource, error) {
	path, err := filepath.Abs(filepath.Join(dir, File)) // a relative one would be a host in the URI
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "finding the data directory", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fault.Newf(fault.NotFound, "there is no database in %s", fault.Quote(dir)).
			WithHint("name the server's data directory with --data")
	}
	query := "?mode=ro&_pragma=query_only(1)&_pragma=busy_timeout(5000)&_pragma=trusted_schema(0)&_pragma=temp_store(memory)"
	a := &AuditSource{path: path}
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		query += "&immutable=1" // no locks: a snapshot only as long as nobody writes, see settled
		a.still = info
	}
	if a.db, err = sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path}).String()+query); err != nil {
		return nil, storeErr("opening the database", err)
	}
	if a.tx, err = a.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}); err != nil {
		_ = a.db.Close()
		return nil, storeErr("opening the database", err)
	}
	return a, nil
}

// settled says, after a read, whether it was of the snapshot.
func (a *AuditSource) settled(op string, err error) error {
	if a.still == nil {
		return storeErr(op, err)
	}
	info, serr := os.Stat(a.path)
	_, werr := os.Stat(a.path + "-wal")
	if serr != nil || info.Size() != a.still.Size() || !info.ModTime().Equal(a.still.ModTime()) || !errors.Is(werr, fs.ErrNotExist) {
		return fault.New(fault.Unavailable, "the data directory was opened by a server in the meantime").
			WithHint("run the verification again; it can run beside a server")
	}
	return storeErr(op, err)
}

// Close ends the snapshot.
func (a *AuditSource) Close() error {
	_ = a.tx.Rollback() // it only read
	return a.db.Close()
}

// Tenants lists everybody of whom there is a head, a row or a hash.
func (a *AuditSource) Tenants(ctx context.Context) ([]ident.Tenant, error) {
	rows, err := a.tx.QueryContext(ctx, `SELECT tenant FROM audit_head UNION SELECT DISTINCT tenant FROM audit_entry
		UNION SELECT DISTINCT tenant FROM audit_hash ORDER BY 1`)
	if err != nil {
		return nil, storeErr("reading the audit log's tenants", err)
	}
	defer rows.Close()
	var out []ident.Tenant
	for rows.Next() {
		var t ident.Tenant
		if err := rows.Scan(&t); err != nil {
			return nil, storeErr("reading the audit log's tenants", err)
		}
		out = append(out, t)
	}
	return out, a.settled("reading the audit log's tenants", rows.Err())
}

// Head gives a log's head, the zero Head where there is none.
func (a *AuditSource) Head(ctx context.Context, t ident.Tenant) (audit.Head, error) {
	h, err := auditHead(ctx, a.tx, t)
	return h, a.settled("reading the audit log's head", err)
}

// Cosigned gives the last checkpoint that witnesses cosigned.
func (a *AuditSource) Cosigned(ctx context.Context, t ident.Tenant) ([]byte, error) {
	msg, err := auditCosigned(ctx, a.tx, t)
	return msg, a.settled("reading the cosigned checkpoint", err)
}

// Minimum is the index below which the newest entry about it says that entries were
// pruned.
func (a *AuditSource) Minimum(ctx context.Context, t ident.Tenant) (int64, error) {
	p, err := audit.LastPruned(ctx, a, t)
	return p.Minimum, err
}

// Rows gives the rows from an index on.
func (a *AuditSource) Rows(ctx context.Context, t ident.Tenant, from int64, limit int) ([]audit.Row, error) {
	rows, err := auditRows(ctx, a.tx, t, audit.Filter{}, from, limit)
	return rows, a.settled("reading the audit log", err)
}

// List gives the rows that match f, from an index on.
func (a *AuditSource) List(ctx context.Context, t ident.Tenant, f audit.Filter, from int64, limit int) ([]audit.Row, error) {
	rows, err := auditRows(ctx, a.tx, t, f, from, limit)
	return rows, a.settled("reading the audit log", err)
}

// Hashes gives stored hashes.
func (a *AuditSource) Hashes(ctx context.Context, t ident.Tenant, indexes []int64) ([]tlog.Hash, error) {
	hashes, err := auditHashes(ctx, a.tx, t, indexes)
	return hashes, a.settled("reading the audit log's hashes", err)
}

// HashRows gives the stored hashes from an index on.
func (a *AuditSource) HashRows(ctx context.Context, t ident.Tenant, from int64, limit int) ([]audit.HashRow, error) {
	rows, err := a.tx.QueryContext(ctx, "SELECT idx, hash FROM audit_hash WHERE tenant = $1 AND idx >= $2 ORDER BY idx LIMIT $3",
		string(t), from, limit)
	if err != nil {
		return nil, storeErr("reading the audit log's hashes", err)
	}
	defer rows.Close()
	var out []audit.HashRow
	for rows.Next() {
		var h audit.HashRow
		if err := rows.Scan(&h.Index, &h.Hash); err != nil {
			return nil, storeErr("reading the audit log's hashes", err)
		}
		out = append(out, h)
	}
	return out, a.settled("reading the audit log's hashes", rows.Err())
}
