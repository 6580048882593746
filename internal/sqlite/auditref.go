package sqlite

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/ident"
)

var _ audit.Index = auditReader{}

// Bounds of one page of a search.
const (
	maxCandidates = 2000 // entries that are looked at
	maxEstimate   = 1000 // entries that are counted, to begin with the rarest condition
)

// condition is one of a search: what it begins with, and how it is tested at an
// entry d that another one has found.
type condition struct{ from, where, test string }

// search is the SQL of a lookup, with its arguments as they are numbered.
type search struct {
	args []any
	all  []condition
}

func (s *search) arg(v any) string {
	s.args = append(s.args, v)
	return dollar(len(s.args))
}

func newSearch(t ident.Tenant, l audit.Lookup) *search {
	s := &search{}
	tenant := s.arg(string(t))
	for _, term := range l.Terms {
		var marks []string
		for _, v := range term.Values {
			marks = append(marks, s.arg(v))
		}
		is := "tenant = " + tenant + " AND kind = " + s.arg(string(term.Kind)) + " AND value IN (" + strings.Join(marks, ", ") + ")"
		s.all = append(s.all, condition{"audit_ref d", is, "EXISTS (SELECT 1 FROM audit_ref x WHERE " + is + " AND x.idx = d.idx)"})
	}
	column := func(is string) {
		is = "tenant = " + tenant + " AND " + is
		s.all = append(s.all, condition{"audit_entry d", is, "EXISTS (SELECT 1 FROM audit_entry x WHERE " + is + " AND x.idx = d.idx)"})
	}
	// Their indexes have no empty values, which the planner has to be told.
	for _, c := range []struct{ is, value string }{{"run <> '' AND run = ", l.Filter.Run}, {"intent <> '' AND intent = ", l.Filter.Intent},
		{"connection <> '' AND connection = ", l.Filter.Connection}, {"type = ", string(l.Filter.Type)}} {
		if c.value != "" {
			column(c.is + s.arg(c.value))
		}
	}
	if len(s.all) == 0 {
		column("1 = 1")
	}
	return s
}

// Find begins with the rarest of the conditions, and tests the others at each of its
// entries, more of them at a time as long as too few match. A page looks at so many
// at most, so that it always has an end soon.
func (r auditReader) Find(ctx context.Context, t ident.Tenant, l audit.Lookup) (out []audit.Row, next int64, err error) {
	tx, err := r.db.on.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // one view for all that is asked
	if err != nil {
		return nil, 0, storeErr("searching the audit log", err)
	}
	defer tx.Rollback() // it only reads
	first, end, err := window(ctx, tx, t, l)
	if err != nil {
		return nil, 0, err
	}
	s := newSearch(t, l)
	if err := s.rarestFirst(ctx, tx, first, end); err != nil {
		return nil, 0, err
	}
	chunk := l.Limit
	for seen := 0; first < end && seen < maxCandidates; seen, chunk = seen+chunk, min(4*chunk, maxCandidates/2) {
		found, n, lowest, err := s.candidates(ctx, tx, l, first, end, chunk)
		if err != nil {
			return nil, 0, err
		}
		rows, err := auditList(ctx, tx, t, "idx", found)
		if err != nil {
			return nil, 0, err
		}
		slices.Reverse(rows) // they come in the log's order
		if out = append(out, rows...); len(out) >= l.Limit {
			return out[:l.Limit], out[l.Limit-1].Index, nil
		}
		if n < chunk {
			return out, 0, nil
		}
		end = lowest
	}
	if first >= end {
		end = 0
	}
	return out, end, nil
}

// OfIntents gives all entries of some Intents, in the log's order.
func (r auditReader) OfIntents(ctx context.Context, t ident.Tenant, ids []string) ([]audit.Row, error) {
	return auditList(ctx, r.db, t, "intent <> '' AND intent", ids)
}

// auditList reads the entries of which a column has one of some values.
func auditList[V any](ctx context.Context, q queryer, t ident.Tenant, column string, values []V) ([]audit.Row, error) {
	if len(values) == 0 {
		return nil, nil
	}
	args, marks := []any{string(t)}, make([]string, len(values))
	for i, v := range values {
		args, marks[i] = append(args, v), dollar(i+2)
	}
	return scanAudit(ctx, q, auditColumns+" WHERE tenant = $1 AND "+column+" IN ("+strings.Join(marks, ", ")+") ORDER BY +idx", args) // with a plus: or it would read the whole log in that order
}

// candidates are the newest entries of the first condition, at most so many: those
// that meet the others too, how many there were, and the lowest.
func (s *search) candidates(ctx context.Context, tx *sql.Tx, l audit.Lookup, first, end int64, most int) (found []int64, n int, lowest int64, err error) {
	test := "1 = 1"
	for _, c := range s.all[1:] {
		test += " AND " + c.test
	}
	args := slices.Clone(s.args)
	for _, c := range []struct {
		is string
		at time.Time
	}{{">=", l.Since}, {"<=", l.Until}} {
		if !c.at.IsZero() {
			args = append(args, ms(c.at))
			test += " AND EXISTS (SELECT 1 FROM audit_entry x WHERE x.tenant = $1 AND x.idx = d.idx AND x.at " + c.is + " " + dollar(len(args)) + ")"
		}
	}
	query, args := s.driver("d.idx, "+test, 0, args, first, end)
	rows, err := tx.QueryContext(ctx, query+" ORDER BY d.idx DESC LIMIT "+dollar(len(args)+1), append(args, most)...)
	if err != nil {
		return nil, 0, 0, storeErr("searching the audit log", err)
	}
	defer rows.Close()
	for ; rows.Next(); n++ {
		var ok bool
		if err := rows.Scan(&lowest, &ok); err != nil {
			return nil, 0, 0, storeErr("searching the audit log", err)
		}
		if ok {
			found = append(found, lowest)
		}
	}
	return found, n, lowest, storeErr("searching the audit log", rows.Err())
}

// driver selects something of a condition's entries.
func (s *search) driver(what string, i int, args []any, first, end int64) (string, []any) {
	c, n := s.all[i], len(args)
	return "SELECT " + what + " FROM " + c.from + " WHERE " + c.where + " AND d.idx >= " + dollar(n+1) + " AND d.idx < " + dollar(n+2),
		append(args, first, end)
}

// rarestFirst counts, as far as it is worth it.
func (s *search) rarestFirst(ctx context.Context, tx *sql.Tx, first, end int64) error {
	if len(s.all) == 1 {
		return nil
	}
	best, fewest := 0, maxEstimate+1
	for i := range s.all {
		n := 0
		query, args := s.driver("1", i, slices.Clone(s.args), first, end)
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM ("+query+" LIMIT "+dollar(len(args)+1)+")", append(args, maxEstimate)...).Scan(&n); err != nil {
			return storeErr("searching the audit log", err)
		}
		if n < fewest {
			best, fewest = i, n
		}
	}
	s.all[0], s.all[best] = s.all[best], s.all[0]
	return nil
}

// slack is how far the times of a log may be out of order, and some more: see
// audit.ClockBack.
const slack = 20 * time.Minute

// window is the indexes between which entries of the lookup's time can be. Where an
// operator has accepted a clock that was set back, times say nothing about indexes.
func window(ctx context.Context, tx *sql.Tx, t ident.Tenant, l audit.Lookup) (first, end int64, err error) {
	h, err := auditHead(ctx, tx, t)
	if err != nil {
		return 0, 0, err
	}
	if end = h.Size; l.Before > 0 {
		end = min(end, l.Before)
	}
	if l.Since.IsZero() && l.Until.IsZero() {
		return 0, end, nil
	}
	accepted, err := auditRows(ctx, tx, t, audit.Filter{Type: audit.LogClockAccepted}, 0, 1)
	if err != nil || len(accepted) > 0 {
		return 0, end, err
	}
	if !l.Since.IsZero() {
		if first, err = indexAt(ctx, tx, t, h.Size, ms(l.Since.Add(-slack))); err != nil {
			return 0, 0, err
		}
	}
	if !l.Until.IsZero() {
		after, err := indexAt(ctx, tx, t, h.Size, ms(l.Until.Add(slack)))
		if err != nil {
			return 0, 0, err
		}
		end = min(end, after)
	}
	return first, end, nil
}

// indexAt halves the log until it has the first entry that is not earlier than a time.
func indexAt(ctx context.Context, tx *sql.Tx, t ident.Tenant, size, at int64) (int64, error) {
	low, high := int64(0), size
	for low < high {
		mid, when := (low+high)/2, int64(0)
		err := tx.QueryRowContext(ctx, "SELECT at FROM audit_entry WHERE tenant = $1 AND idx >= $2 ORDER BY idx LIMIT 1", string(t), mid).Scan(&when)
		if err != nil {
			return 0, storeErr("searching the audit log", err)
		}
		if when < at {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, nil
}

// RefSum adds up what the log's entries can be found by, as it is stored.
func (a *AuditSource) RefSum(ctx context.Context, t ident.Tenant) (audit.RefSum, error) {
	s, err := refSum(ctx, a.tx, t)
	return s, a.settled("reading the audit log's index", err)
}

func refSum(ctx context.Context, q queryer, t ident.Tenant) (s audit.RefSum, err error) {
	rows, err := q.QueryContext(ctx, "SELECT idx, kind, value FROM audit_ref WHERE tenant = $1", string(t))
	if err != nil {
		return s, storeErr("reading the audit log's index", err)
	}
	defer rows.Close()
	for rows.Next() {
		var index int64
		var r audit.Ref
		if err := rows.Scan(&index, &r.Kind, &r.Value); err != nil {
			return s, storeErr("reading the audit log's index", err)
		}
		s.Add(index, r)
	}
	return s, storeErr("reading the audit log's index", rows.Err())
}

// reindexPage is how many entries are indexed in one step.
const reindexPage = 2000

// ReindexAudit makes anew what a tenant's entries can be found by. While it is at it,
// calls go on, and a query may miss entries that it missed before.
func (s *Store) ReindexAudit(ctx context.Context, t ident.Tenant) error {
	if err := s.dropRefs(ctx, t); err != nil {
		return err
	}
	for from := int64(0); ; {
		rows, err := auditRows(ctx, s.ro, t, audit.Filter{}, from, reindexPage)
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := s.write(ctx, func(tx *Tx) error {
			for _, r := range rows {
				e, err := audit.ParseEntry(r.Entry)
				if err != nil {
					continue // verifying the log names it
				}
				for _, x := range e.Refs() {
					if _, err := tx.Exec("INSERT INTO audit_ref (tenant, kind, value, idx) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
						string(t), string(x.Kind), x.Value, r.Index); err != nil {
						return err
					}
				}
			}
			return nil
		}); err != nil {
			return err
		}
		from = rows[len(rows)-1].Index + 1
	}
}

// storedRef is a row of the index.
type storedRef struct {
	audit.Ref
	index int64
}

// dropRefs takes away what is no entry's.
func (s *Store) dropRefs(ctx context.Context, t ident.Tenant) error {
	for last := (storedRef{}); ; {
		page, err := s.refsAfter(ctx, t, last)
		if err != nil || len(page) == 0 {
			return err
		}
		last = page[len(page)-1]
		if err := s.write(ctx, func(tx *Tx) error {
			for _, k := range page {
				found, err := auditRows(ctx, tx.once, t, audit.Filter{}, k.index, 1)
				if err != nil {
					return err
				}
				if len(found) == 1 && found[0].Index == k.index {
					if e, err := audit.ParseEntry(found[0].Entry); err == nil && slices.Contains(e.Refs(), k.Ref) {
						continue
					}
				}
				if _, err := tx.Exec("DELETE FROM audit_ref WHERE tenant = $1 AND kind = $2 AND value = $3 AND idx = $4", string(t), string(k.Kind), k.Value, k.index); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
}

// refsAfter is a page of the index, in its order.
func (s *Store) refsAfter(ctx context.Context, t ident.Tenant, last storedRef) (page []storedRef, err error) {
	rows, err := s.ro.QueryContext(ctx, `SELECT kind, value, idx FROM audit_ref WHERE tenant = $1 AND (kind, value, idx) > ($2, $3, $4)
		ORDER BY kind, value, idx LIMIT $5`, string(t), string(last.Kind), last.Value, last.index, reindexPage)
	if err != nil {
		return nil, storeErr("reading the audit log's index", err)
	}
	defer rows.Close()
	for rows.Next() {
		var k storedRef
		if err := rows.Scan(&k.Kind, &k.Value, &k.index); err != nil {
			return nil, storeErr("reading the audit log's index", err)
		}
		page = append(page, k)
	}
	return page, storeErr("reading the audit log's index", rows.Err())
}
