package sqlite

import (
	"context"
	"fmt"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

// traffic is a table that has what people, Workers and systems wrote. The query
// gives, of rows of a tenant that were put in before a row, the newest first: rowid,
// time, two words for the place, and the texts. Its conditions are written so that
// it goes back by rowid, and sorts nothing.
type traffic struct {
	query string
	texts int
	place func(a, b string) string
}

const older = " NOT INDEXED WHERE tenant = $1 AND rowid < $2 ORDER BY rowid DESC LIMIT 32"

var recordedIn = []traffic{
	{"SELECT rowid, at, run, seq, title, text, data, detail FROM observation" + older, 4,
		func(run, seq string) string { return fmt.Sprintf("the Run %s, observation %s", run, seq) }},
	{"SELECT rowid, at, run, seq, body FROM transcript" + older, 1,
		func(run, seq string) string { return fmt.Sprintf("the Run %s, message %s of its Worker", run, seq) }},
	{"SELECT rowid, created_at, id, run, body, why, COALESCE(result, '') FROM intent" + older, 3,
		func(id, run string) string { return fmt.Sprintf("the Run %s, its action %s", run, id) }},
	{"SELECT rowid, created_at, id, '', input, verdict, summary FROM run" + older, 3,
		func(id, _ string) string { return fmt.Sprintf("the Run %s, its input or its verdict", id) }},
	{"SELECT rowid, created_at, id, '', reason, votes FROM decision" + older, 2,
		func(id, _ string) string { return fmt.Sprintf("the Decision %s, its reason", id) }},
	{"SELECT rowid, edited_at, intent, revision, args, reason FROM intent_revision" + older, 2,
		func(id, revision string) string { return fmt.Sprintf("the action %s, its revision %s", id, revision) }},
	{"SELECT rowid, at, decision, '', text FROM decision_note" + older, 1,
		func(id, _ string) string { return fmt.Sprintf("the Decision %s, a question or an answer", id) }},
	{"SELECT rowid, applied_at, kind, name, body FROM resource" + older, 1,
		func(kind, name string) string { return fmt.Sprintf("the %s %s, which is applied", kind, name) }},
}

// Recorded looks for a value in what a tenant's traffic has left here, the newest
// first, through at most limit bytes; see vault.Recorded. It reads page by page,
// and keeps no transaction open between pages. Whether somebody has changed the
// rows is not checked: who can write to the file could make a value be refused.
func (s *Store) Recorded(ctx context.Context, tenant ident.Tenant, limit int64, contains func([]byte) bool) (vault.Trace, error) {
	var out vault.Trace
	cursors := make([]*cursor, len(recordedIn))
	for i := range recordedIn {
		cursors[i] = &cursor{traffic: &recordedIn[i], before: 1<<63 - 1}
	}
	sieve := sieve{contains: contains}
	for {
		c, err := s.newest(ctx, tenant, cursors)
		if err != nil {
			return vault.Trace{}, err
		}
		if c == nil || limit <= 0 {
			out.Partly = c != nil
			break
		}
		item := c.page[0]
		c.page = c.page[1:]
		limit -= int64(len(item.text))
		if out.Places = append(out.Places, sieve.add(item)...); len(out.Places) >= vault.MaxPlaces {
			break
		}
	}
	out.Places = append(out.Places, sieve.look()...)
	out.Places = out.Places[:min(len(out.Places), vault.MaxPlaces)]
	return out, nil
}

// item is one row.
type item struct {
	at    int64
	text  []byte
	place func() string
}

// cursor goes back through one table.
type cursor struct {
	*traffic
	page   []item
	before int64 // rowid of the last row that was read
	done   bool
}

// newest is the cursor at the newest row, or nil at the end of all.
func (s *Store) newest(ctx context.Context, tenant ident.Tenant, all []*cursor) (best *cursor, err error) {
	for _, c := range all {
		if len(c.page) == 0 && !c.done {
			if err := s.turn(ctx, tenant, c); err != nil {
				return nil, err
			}
		}
		if len(c.page) > 0 && (best == nil || c.page[0].at > best.page[0].at) {
			best = c
		}
	}
	return best, nil
}

// turn reads the next page of a table.
func (s *Store) turn(ctx context.Context, tenant ident.Tenant, c *cursor) error {
	rows, err := s.ro.QueryContext(ctx, c.query, tenant, c.before)
	if err != nil {
		return storeErr("looking through what was recorded", err)
	}
	defer rows.Close()
	for rows.Next() {
		var it item
		var a, b string
		texts := make([]string, c.texts)
		dst := []any{&c.before, &it.at, &a, &b}
		for i := range texts {
			dst = append(dst, &texts[i])
		}
		if err := rows.Scan(dst...); err != nil {
			return fault.New(fault.Unavailable, "a recorded row can't be read") // the driver's error quotes what it holds
		}
		size := 0
		for _, t := range texts {
			size += len(t) + len(between)
		}
		it.text = make([]byte, 0, size)
		for _, t := range texts {
			it.text = append(append(it.text, t...), between...)
		}
		it.place = func() string { return c.place(a, b) }
		c.page = append(c.page, it)
	}
	c.done = len(c.page) == 0
	return storeErr("looking through what was recorded", rows.Err())
}

// sieve looks through small rows together, and through each only where there is
// something: most of what a search costs on a short text is its beginning.
type sieve struct {
	contains func([]byte) bool
	items    []item
	text     []byte
}

const sieveSize = 128 << 10

// between ends each text, so that none goes on in the next.
var between = []byte("\n\x1f\n")

// add gives the places of what was looked through, if anything was.
func (b *sieve) add(it item) []string {
	b.items = append(b.items, it)
	b.text = append(b.text, it.text...)
	if len(b.text) < sieveSize {
		return nil
	}
	return b.look()
}

func (b *sieve) look() (places []string) {
	if b.contains(b.text) {
		for _, it := range b.items {
			if b.contains(it.text) {
				places = append(places, it.place())
			}
		}
	}
	b.items, b.text = b.items[:0], b.text[:0]
	return places
}
