package app

import (
	"context"
	"errors"

	"sallyport.dev/internal/audit"
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
