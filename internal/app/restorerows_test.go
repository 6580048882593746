package app

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/sqlite"
)

// A backup of a database that somebody else had changed says so. A directory is
// made of it only by somebody who has been told, and there the rows stay refused.
func TestABackupWithRefusedRowsIsNotRestoredUnnoticed(t *testing.T) {
	for name, c := range map[string]struct{ attack, table, row string }{
		"a Policy is changed":  {`UPDATE resource SET body = replace(body, '"weekly"', '"weekly "') WHERE kind = 'Mission'`, "resource", "Mission/weekly"},
		"a Mission is removed": {`DELETE FROM resource WHERE kind = 'Mission' AND name = 'weekly'`, "resource", "Mission/weekly"},
		"a write is removed":   {`DELETE FROM intent WHERE state = 'SENDING'`, "intent", "int_"},
		"a Run is put in": {`INSERT INTO run (tenant, id, mission, starter, starter_name, via, worker, input, state, created_at, mac)
			VALUES ('acme', 'run_x', 'weekly', 'x', 'x', 'x', 'built-in', '{}', 'running', 1, x'00')`, "run", "run_x"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, t.TempDir())
			o.work()
			o.tamper(c.attack)
			r := o.config(o.backup("b"))
			r.Tmp = t.TempDir()
			named := func(rep RestoreReport) bool {
				for _, x := range rep.Rows {
					if x.Tenant == "acme" && x.Table == c.table && strings.HasPrefix(x.Name, c.row) && x.Why != "" {
						return true
					}
				}
				return false
			}
			to := r.Dir
			r.Dir = ""
			if rep, err := Restore(t.Context(), r); err != nil || !named(rep) {
				t.Errorf("a check found %+v, %v", rep.Rows, err)
			}
			r.Dir = to
			rep, err := Restore(t.Context(), r)
			if err != nil || !named(rep) || rep.Dir != "" || rep.Ended != nil {
				t.Errorf("it was restored: %+v, %v", rep, err)
			}
			nothingLeft(t, r)
			r.Refused = true
			if rep, err = Restore(t.Context(), r); err != nil || !named(rep) || rep.Dir == "" {
				t.Errorf("it was not restored: %+v, %v", rep, err)
			}
		})
	}
}

// A backup of a database with a trigger is refused before anything runs.
func TestABackupWithOtherTablesIsRefused(t *testing.T) {
	o := newOffice(t, t.TempDir())
	db := filepath.Join(o.dir, "data", sqlite.File)
	execIn(t, db, `CREATE TRIGGER hush BEFORE INSERT ON outbox BEGIN SELECT RAISE(IGNORE); END`)
	r := o.config(o.backup("b"))
	if rep, err := Restore(t.Context(), r); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "trigger hush") {
		t.Errorf("%+v, %v", rep, err)
	}
	nothingLeft(t, r)
}

func execIn(t *testing.T, path, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(5000)")
	if err == nil {
		_, err = db.Exec(query)
	}
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}
