package sqlite

import "context"

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
