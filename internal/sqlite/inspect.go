package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"

	"sallyport.dev/internal/fault"
)

// maxFaults is how many faults of a damaged database are told.
const maxFaults = 10

// Inspect reads the whole of a database that nobody has open and gives what is
// wrong with it, each a line of SQLite's own words: a page that is damaged, an
// index that does not fit its table, a row that refers to nothing; and each table,
// index, trigger or view that is not as the migrations make it. It writes nothing. NotFound: there is no database. Invalid: it is none.
func Inspect(ctx context.Context, dir string) (faults []string, err error) {
	path, err := filepath.Abs(filepath.Join(dir, File)) // a relative one would be a host in the URI
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "finding the data directory", err)
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fault.Newf(fault.NotFound, "there is no database in %s", fault.Quote(dir))
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path}).String()+
		"?mode=ro&immutable=1&_pragma=query_only(1)&_pragma=trusted_schema(0)&_pragma=temp_store(memory)&_pragma=cell_size_check(1)")
	if err != nil {
		return nil, storeErr("opening the database", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "checking the database", storeErr("opening it", err))
	}
	defer tx.Rollback() // it only read
	err = each(ctx, tx, "PRAGMA integrity_check(10)", func(r *sql.Rows) error {
		var line string
		err := r.Scan(&line)
		if line != "ok" {
			faults = append(faults, fault.Quote(line))
		}
		return err
	})
	if err == nil {
		err = each(ctx, tx, "PRAGMA foreign_key_check", func(r *sql.Rows) error {
			var table, parent string
			var row, key sql.NullInt64
			err := r.Scan(&table, &row, &parent, &key)
			if len(faults) < maxFaults {
				faults = append(faults, "a row of "+fault.Quote(table)+" refers to a row of "+fault.Quote(parent)+" that is not there")
			}
			return err
		})
	}
	if err == nil {
		var strange []string
		strange, err = strangeSchema(ctx, tx)
		faults = append(faults, strange...)
	}
	if err != nil { // SQLite could not go on: that is what is wrong with it
		return append(faults, fault.Quote(err.Error())), ctx.Err()
	}
	return faults, nil
}
