package sqlite_test

import (
	"strings"
	"testing"

	"sallyport.dev/internal/sqlite"
)

func TestEveryQueryOfTheQueueGoesThroughAnIndex(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	for name, query := range sqlite.QueueQueries() {
		for _, step := range plan(t, dir, query) {
			scans := strings.HasPrefix(step, "SCAN") && step != "SCAN json_each VIRTUAL TABLE INDEX 1:" // of the page's own ids
			if scans || strings.Contains(step, "TEMP B-TREE FOR ORDER") || strings.Contains(step, "TEMP B-TREE FOR LAST") {
				t.Errorf("%s reads more than its page: %s\n%s", name, step, query)
			}
		}
	}
	// What reads all is found.
	if steps := plan(t, dir, "SELECT id FROM decision WHERE note = $1 ORDER BY reason"); !strings.HasPrefix(steps[0], "SCAN") {
		t.Errorf("a scan is planned as %q", steps)
	}
}

// plan is how SQLite would answer a query.
func plan(t *testing.T, dir, query string) (steps []string) {
	t.Helper()
	rows, err := foreign(t, dir).QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, make([]any, strings.Count(query, "$"))...)
	if err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil || len(steps) == 0 {
		t.Fatal(steps, err)
	}
	return steps
}
