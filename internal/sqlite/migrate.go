package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"strconv"
	"strings"

	"sallyport.dev/internal/fault"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date, each numbered file in a transaction of
// its own. A file that was changed after it was applied, or a number that this
// program does not know, stops the start.
func migrate(ctx context.Context, db *sql.DB) error {
	if _, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS migration (
		number INTEGER PRIMARY KEY, name TEXT NOT NULL, sum TEXT NOT NULL) STRICT`); err != nil {
		return storeErr("preparing migrations", err)
	}
	applied, err := appliedMigrations(ctx, db)
	if err != nil {
		return err
	}
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		return fault.Wrap(fault.Internal, "reading migrations", err)
	}
	for _, f := range files {
		number, _, _ := strings.Cut(f.Name(), "_")
		n, err := strconv.Atoi(number)
		if err != nil {
			return fault.Wrap(fault.Internal, "numbering migrations", err)
		}
		if err := applyMigration(ctx, db, n, f.Name(), applied[n]); err != nil {
			return err
		}
		delete(applied, n)
	}
	for n := range applied {
		return fault.Newf(fault.Invalid, "the data directory was written by a newer version (migration %d)", n).
			WithHint("run that version, or restore a backup")
	}
	return nil
}

func appliedMigrations(ctx context.Context, db *sql.DB) (map[int]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT number, sum FROM migration")
	if err != nil {
		return nil, storeErr("reading migrations", err)
	}
	defer rows.Close()
	out := map[int]string{}
	for rows.Next() {
		var n int
		var sum string
		if err := rows.Scan(&n, &sum); err != nil {
			return nil, storeErr("reading migrations", err)
		}
		out[n] = sum
	}
	return out, storeErr("reading migrations", rows.Err())
}

func applyMigration(ctx context.Context, db *sql.DB, n int, name, sum string) error {
	text, err := migrations.ReadFile("migrations/" + name)
	if err != nil {
		return fault.Wrap(fault.Internal, "reading a migration", err)
	}
	h := sha256.Sum256(text)
	now := hex.EncodeToString(h[:])
	if sum == now {
		return nil
	}
	if sum != "" {
		return fault.Newf(fault.Internal, "migration %d is not the one that was applied to this data directory", n)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return storeErr("migrating", err)
	}
	defer tx.Rollback() // after a commit it is a no-op
	if _, err := tx.ExecContext(ctx, string(text)); err != nil {
		return storeErr("migrating with "+name, err)
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO migration VALUES ($1, $2, $3)", n, name, now); err != nil {
		return storeErr("migrating with "+name, err)
	}
	return storeErr("migrating with "+name, tx.Commit())
}
