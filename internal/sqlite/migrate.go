package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"math"
	"strconv"
	"strings"

	"sallyport.dev/internal/fault"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migration is one numbered file, and the digest that its application is
// remembered by.
type migration struct {
	number          int
	name, text, sum string
}

// migrationFiles lists them in order.
func migrationFiles() ([]migration, error) {
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "reading migrations", err)
	}
	var out []migration
	for _, f := range files {
		number, _, _ := strings.Cut(f.Name(), "_")
		n, err := strconv.Atoi(number)
		if err != nil {
			return nil, fault.Wrap(fault.Internal, "numbering migrations", err)
		}
		text, err := migrations.ReadFile("migrations/" + f.Name())
		if err != nil {
			return nil, fault.Wrap(fault.Internal, "reading a migration", err)
		}
		h := sha256.Sum256(text)
		out = append(out, migration{n, f.Name(), string(text), hex.EncodeToString(h[:])})
	}
	return out, nil
}

// migrate brings the schema up to date, each numbered file in a transaction of
// its own. A file that was changed after it was applied, or a number that this
// program does not know, stops the start.
func migrate(ctx context.Context, db *sql.DB) error { return migrateTo(ctx, db, math.MaxInt) }

// migrateTo applies the first n of them.
func migrateTo(ctx context.Context, db *sql.DB, n int) error {
	if _, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS migration (
		number INTEGER PRIMARY KEY, name TEXT NOT NULL, sum TEXT NOT NULL) STRICT`); err != nil {
		return storeErr("preparing migrations", err)
	}
	applied, err := appliedMigrations(ctx, db)
	if err != nil {
		return err
	}
	files, err := migrationFiles()
	if err != nil {
		return err
	}
	for _, f := range files[:min(n, len(files))] {
		if err := applyMigration(ctx, db, f, applied[f.number]); err != nil {
			return err
		}
		delete(applied, f.number)
	}
	for n := range applied {
		return fault.Newf(fault.Invalid, "the data directory was written by a newer version (migration %d)", n).
			WithHint("run that version, or restore a backup")
	}
	return nil
}

func appliedMigrations(ctx context.Context, db queryer) (map[int]string, error) {
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

func applyMigration(ctx context.Context, db *sql.DB, m migration, applied string) error {
	if applied == m.sum {
		return nil
	}
	if applied != "" {
		return fault.Newf(fault.Internal, "migration %d is not the one that was applied to this data directory", m.number)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return storeErr("migrating", err)
	}
	defer tx.Rollback() // after a commit it is a no-op
	if _, err := tx.ExecContext(ctx, m.text); err != nil {
		return storeErr("migrating with "+m.name, err)
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO migration VALUES ($1, $2, $3)", m.number, m.name, m.sum); err != nil {
		return storeErr("migrating with "+m.name, err)
	}
	return storeErr("migrating with "+m.name, tx.Commit())
}
