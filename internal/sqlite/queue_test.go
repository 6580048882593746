package sqlite_test

import (
	"strings"
	"testing"

	"sallyport.dev/internal/sqlite"
)

func TestEveryQueryOfTheQueueGoesThroughAnIndex(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	db := foreign(t, dir)
	for name, query := range sqlite.QueueQueries() {
		rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, make([]any, strings.Count(query, "$"))...) //nolint:sqlclosecheck // below
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, query)
		}
		for rows.Next() {
			var id, parent, unused int
			var step string
			if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
				t.Fatal(err)
			}
			scans := strings.HasPrefix(step, "SCAN") && step != "SCAN json_each VIRTUAL TABLE INDEX 1:" // of the page's own ids
			if scans || strings.Contains(step, "TEMP B-TREE FOR ORDER") || strings.Contains(step, "TEMP B-TREE FOR LAST") {
				t.Errorf("%s reads more than its page: %s\n%s", name, step, query)
			}
		}
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}
}
