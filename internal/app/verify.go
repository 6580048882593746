package app

import (
	"context"
	"errors"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/sqlite"
)

// VerifyAudit verifies the audit logs of a data directory, without its lock and
// without a key, so also while a server runs on it. What is wrong with a log is
// in the report; an error says that nothing could be verified. NotFound: there is
// no database.
func VerifyAudit(ctx context.Context, dir string, opts audit.VerifyOptions) (audit.Report, error) {
	src, err := sqlite.OpenAudit(ctx, dir)
	if err != nil {
		return audit.Report{}, err
	}
	rep, err := audit.Verify(ctx, src, opts)
	return rep, errors.Join(err, src.Close())
}

// ProveAudit makes the receipt of an entry from a data directory. NotFound: there is
// no database, no such log, or no such entry.
func ProveAudit(ctx context.Context, dir string, t ident.Tenant, index int64) (receipt []byte, err error) {
	err = withAudit(ctx, dir, t, func(src *sqlite.AuditSource) error {
		r, err := audit.Prove(ctx, src, t, index)
		receipt = r.Marshal()
		return err
	})
	return receipt, err
}

// SaveAudit hands every file of a log in a data directory to keep, as C2SP
// tlog-tiles.
func SaveAudit(ctx context.Context, dir string, t ident.Tenant, keep func(path string, data []byte) error) (c audit.Checkpoint, err error) {
	err = withAudit(ctx, dir, t, func(src *sqlite.AuditSource) (err error) {
		c, err = audit.SaveTiles(ctx, audit.Files(src, t), keep)
		return err
	})
	return c, err
}

func withAudit(ctx context.Context, dir string, t ident.Tenant, do func(*sqlite.AuditSource) error) error {
	src, err := sqlite.OpenAudit(ctx, dir)
	if err != nil {
		return err
	}
	head, err := src.Head(ctx, t)
	if err == nil && head.Size == 0 {
		err = fault.Newf(fault.NotFound, "there is no log of tenant %s", fault.Quote(string(t))).WithHint("name it with --tenant")
	}
	if err == nil {
		err = do(src)
	}
	return errors.Join(err, src.Close())
}
