package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"sallyport.dev/internal/fault"
)

// object is a part of a database's schema: a table, an index, a trigger or a view.
type object struct{ kind, name string }

// schema is what a database is made of: of each object the table that it is on,
// and the text that made it. The text is compared as it is: SQLite stores it so.
type schema map[object][2]string

// ownTables are made by SQLite itself, and steer nothing but how it searches.
var ownTables = []string{"sqlite_sequence", "sqlite_stat1", "sqlite_stat4"}

// readSchema reads the schema of a database.
func readSchema(ctx context.Context, q queryer) (schema, error) {
	rows, err := q.QueryContext(ctx, "SELECT type, name, tbl_name, COALESCE(sql, '') FROM sqlite_schema")
	if err != nil {
		return nil, storeErr("reading the schema", err)
	}
	defer rows.Close()
	out := schema{}
	for rows.Next() {
		var o object
		var on, text string
		if err := rows.Scan(&o.kind, &o.name, &on, &text); err != nil {
			return nil, storeErr("reading the schema", err)
		}
		if o.kind != "table" || !slices.Contains(ownTables, o.name) {
			out[o] = [2]string{on, text}
		}
	}
	return out, storeErr("reading the schema", rows.Err())
}

// tableOfMigrations is there in every database that is not empty.
var tableOfMigrations = object{"table", "migration"}

// strangeSchema compares a database's schema with what the migrations that it says
// were applied make of an empty one. It gives what differs, at most maxFaults. A
// table without its primary key could hold a row twice; a trigger could change what
// is written, or have it ignored. Nothing of the schema was signed, so all of it is
// compared, before any other table is read.
//
// Of a database with migrations that this program does not have it says nothing:
// migrate refuses it.
func strangeSchema(ctx context.Context, q queryer) (strange []string, err error) {
	have, err := readSchema(ctx, q)
	if err != nil || len(have) == 0 {
		return nil, err
	}
	first, err := madeSchema(ctx, 0)
	if err != nil {
		return nil, err
	}
	if strange := have.differs(first, tableOfMigrations); len(strange) > 0 { // the rest can't be told from it
		return strange, nil
	}
	files, err := migrationFiles()
	if err != nil {
		return nil, err
	}
	n, err := countApplied(ctx, q, files)
	if err != nil || n < 0 {
		return nil, err
	}
	want, err := madeSchema(ctx, n)
	if err != nil {
		return nil, err
	}
	return have.differs(want, slices.Concat(slices.Collect(maps.Keys(have)), slices.Collect(maps.Keys(want)))...), nil
}

// countApplied is how many migrations were applied; -1 when they are not the first
// ones of this program.
func countApplied(ctx context.Context, q queryer, files []migration) (int, error) {
	applied, err := appliedMigrations(ctx, q)
	if err != nil || len(applied) > len(files) {
		return -1, err
	}
	for _, f := range files[:len(applied)] {
		if applied[f.number] != f.sum {
			return -1, nil
		}
	}
	return len(applied), nil
}

// differs says of each of some objects that is not as it has to be what it is.
func (have schema) differs(want schema, objects ...object) (out []string) {
	slices.SortFunc(objects, func(x, y object) int { return cmp.Or(strings.Compare(x.kind, y.kind), strings.Compare(x.name, y.name)) })
	for _, o := range slices.Compact(objects) {
		is, there := have[o]
		should, known := want[o]
		what := "the " + fault.Quote(o.kind) + " " + fault.Quote(o.name)
		switch {
		case len(out) == maxFaults:
			return out
		case !known:
			out = append(out, what+" is none of this program's")
		case !there:
			out = append(out, what+" is missing")
		case is != should:
			out = append(out, what+" is not as this program makes it")
		}
	}
	return out
}

// checkSchema refuses a database whose schema somebody else has changed.
func checkSchema(ctx context.Context, q queryer) error {
	strange, err := strangeSchema(ctx, q)
	if err != nil || len(strange) == 0 {
		return err
	}
	return fault.Newf(fault.Denied, "somebody else has changed the database's tables: %s", strings.Join(strange, "; ")).
		WithHint("keep a copy of the whole data directory to look into, and restore a backup")
}

// madeSchemas is what the first n migrations make, by n.
var madeSchemas struct {
	sync.Mutex
	of map[int]schema
}

// madeSchema runs the first n migrations in a fresh database in memory.
func madeSchema(ctx context.Context, n int) (out schema, err error) {
	m := &madeSchemas
	m.Lock()
	defer m.Unlock()
	if out = m.of[n]; out != nil {
		return out, nil
	}
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, storeErr("opening a database in memory", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1) // each connection would have a database of its own
	if err := migrateTo(ctx, db, n); err != nil {
		return nil, err
	}
	if out, err = readSchema(ctx, db); err != nil {
		return nil, err
	}
	if m.of == nil {
		m.of = map[int]schema{}
	}
	m.of[n] = out
	return out, nil
}
