package sqlite_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/internal/sqlite"
)

// TestNothingOfTheStoreIsInTemporaryFiles looks at what the process has open in the
// middle of a large transaction. SQLite keeps what it may have to put back, and what it
// sorts, in files in the machine's temporary directory if it is let: rows outside of
// the data directory, and a server that fails where there is no such directory.
func TestNothingOfTheStoreIsInTemporaryFiles(t *testing.T) {
	s := open(t, t.TempDir())
	err := s.Write(t.Context(), func(tx *sqlite.Tx) error {
		for _, q := range []string{
			`CREATE TABLE pile (n INTEGER PRIMARY KEY, body TEXT NOT NULL UNIQUE)`,
			`INSERT INTO pile (body) WITH RECURSIVE up (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 2000) SELECT hex(randomblob(500)) FROM up`,
			`UPDATE pile SET body = body || n`,
			`CREATE TEMP TABLE sorted AS SELECT body FROM pile ORDER BY substr(body, 7)`,
		} {
			if _, err := tx.Exec(q); err != nil {
				return err
			}
		}
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return err
		}
		for _, fd := range fds {
			if to, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); err == nil && strings.Contains(to, "etilqs_") {
				t.Errorf("a part of the store is in %s", to)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
