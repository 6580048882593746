package sqlite

import (
	"context"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
)

// Write runs a step of the tests' own.
func (s *Store) Write(ctx context.Context, fn func(*Tx) error) error { return s.write(ctx, fn) }

// Lost and Holder are the parsers of what another process left in files.
var (
	Lost   = lost
	Holder = holder
)

// Queued is how many steps wait for their turn.
func (s *Store) Queued() int { return len(s.queue) }

// RecordedQueries are what a search of the recorded traffic asks.
var RecordedQueries = func() (out []string) {
	for _, t := range recordedIn {
		out = append(out, t.query)
	}
	return out
}()

// QueueQueries are what the Decision Queue asks, by what it is for.
func QueueQueries() map[string]string {
	all := map[string]string{"a place": placeQuery, "a Team's": teamQuery, "rows": tbDecision.query + rowsAt, "overdue": tbDecision.query + overdueQuery,
		"an account's Teams": tbMember.query + memberOf}
	for name, f := range map[string]decision.Filter{"all": {}, "open": {State: decision.Open}, "a Run's": {Run: "r"}, "an Intent's": {Intent: "i"},
		"a Run's open": {Run: "r", State: decision.Open}, "an Intent's open": {Intent: "i", State: decision.Open}, "an Intent's of a Run": {Intent: "i", Run: "r", State: decision.Open}} {
		all[name], _ = placesQuery("acme", f, place{}, 50)
	}
	return all
}

// PruneRegardless drops what can be dropped, whatever is open or held: for tests of
// what the rest of a log is checked with.
func (s *Store) PruneRegardless(ctx context.Context, p Prune) error {
	return s.write(ctx, func(t *Tx) error {
		if _, err := t.rows.of(p.Tenant); err != nil {
			return err
		}
		head, err := auditHead(t.ctx, t.once, p.Tenant)
		if err != nil {
			return err
		}
		end := head.Size - head.Size%audit.PruneUnit
		entries, err := t.toPrune(p.Tenant, audit.Pruned{Index: -1}, end, head)
		if err != nil {
			return err
		}
		_, err = t.dropBelow(p, audit.Pruned{}, end, entries)
		return err
	})
}
