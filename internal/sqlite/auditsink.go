package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"sallyport.dev/internal/ident"
)

// Exported is the index from which a sink goes on; 0 for one that is new.
func (s *Store) Exported(ctx context.Context, t ident.Tenant, sink string) (next int64, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT next FROM audit_sink WHERE tenant = $1 AND sink = $2", string(t), sink).Scan(&next)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return next, storeErr("reading how far an export is", err)
}

// SetExported moves it forward, never back.
func (s *Store) SetExported(ctx context.Context, t ident.Tenant, sink string, next int64) error {
	return s.write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO audit_sink (tenant, sink, next) VALUES ($1, $2, $3)
			ON CONFLICT (tenant, sink) DO UPDATE SET next = max(audit_sink.next, excluded.next)`, string(t), sink, next)
		return err
	})
}
