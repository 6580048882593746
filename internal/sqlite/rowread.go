package sqlite

import (
	"context"
	"errors"
	"maps"
	"slices"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// reader reads rows that steer and checks each: outside of a step, or as a step
// sees them.
type reader struct {
	s   *Store
	ctx context.Context
	q   queryer
	t   *Tx // nil outside of a step
}

func (t *Tx) reader() *reader { return &reader{t.s, t.ctx, t.once, t} }

// read runs fn on the pool of readers; what it doubts there is read again by the
// writer, which nobody overtakes. fn sets its results anew when it is run again.
func (s *Store) read(ctx context.Context, fn func(*reader) error) error {
	err := fn(&reader{s: s, ctx: ctx, q: s.ro})
	if !doubtful(err) {
		return err
	}
	return s.write(ctx, func(t *Tx) error { return fn(t.reader()) })
}

// scan reads rows without a check.
func (r *reader) scan(tb *table, cond string, args ...any) (out []*row, err error) {
	rows, err := r.q.QueryContext(r.ctx, tb.query+cond, args...)
	if err != nil {
		return nil, storeErr("reading "+tb.name, err)
	}
	defer rows.Close()
	for rows.Next() {
		x := &row{tb: tb, vals: make([]any, len(tb.columns))}
		dst := make([]any, len(x.vals)+1)
		for i := range x.vals {
			dst[i] = &x.vals[i]
		}
		var mac any // of whatever type somebody has made it
		dst[len(x.vals)] = &mac
		if err := rows.Scan(dst...); err != nil {
			return nil, storeErr("reading "+tb.name, err)
		}
		if err := x.typed(); err != nil {
			return nil, err
		}
		x.mac, _ = mac.([]byte)
		out = append(out, x)
	}
	return out, storeErr("reading "+tb.name, rows.Err())
}

// typed refuses a value of a type that only a changed table gives, such as a time:
// no MAC covers it, and it must not pass for NULL.
func (r *row) typed() error {
	for i, v := range r.vals {
		switch v.(type) {
		case nil, string, int64, float64, []byte:
		default:
			return fault.Newf(fault.Denied, "the column %s of the stored %s has a value of another type", r.tb.columns[i], r.tb.name).
				WithHint("somebody else has changed the database's tables: stop the server, and restore a backup")
		}
	}
	return nil
}

func (r *reader) find(id rowID) (known, bool, error) {
	if r.t != nil {
		return r.t.rows.find(id)
	}
	return r.s.ledger.find(id)
}

func (r *reader) check(x *row) error {
	k, ok, err := r.find(x.id())
	if err != nil {
		return err
	}
	return r.s.judge(x, k, ok)
}

// all reads rows; one that is refused refuses the whole.
func (r *reader) all(tb *table, cond string, args ...any) ([]*row, error) {
	rows, err := r.scan(tb, cond, args...)
	if err != nil {
		return nil, err
	}
	for _, x := range rows {
		if err := r.check(x); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// good reads rows and leaves out what is refused: in a list, one row must not
// keep all others from being seen. What is left out is recorded.
func (r *reader) good(tb *table, cond string, args ...any) ([]*row, error) {
	rows, err := r.scan(tb, cond, args...)
	if err != nil {
		return nil, err
	}
	out := rows[:0]
	for _, x := range rows {
		if err := r.check(x); err == nil {
			out = append(out, x)
		} else if err = r.leaveOut(err); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// leaveOut goes on without a row that is refused, and has that recorded. It gives
// back what is no refusal, or has to be looked at by the writer first.
func (r *reader) leaveOut(err error) error {
	bad, refused := errors.AsType[*refusal](err)
	if r.t == nil || !refused {
		return err
	}
	r.t.rows.pending = append(r.t.rows.pending, bad)
	return nil
}

// one reads the first row that meets a condition; kind NotFound.
func (r *reader) one(tb *table, cond string, args ...any) (*row, error) {
	rows, err := r.all(tb, cond+" LIMIT 1", args...)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, storeErr("reading "+tb.name, fault.New(fault.NotFound, "no such row"))
	}
	return rows[0], nil
}

// byKey reads a row by its key; kind NotFound, and Denied when there has to be
// one.
func (r *reader) byKey(tb *table, key ...any) (*row, error) {
	x, err := r.one(tb, tb.whereSQL, key...)
	if !fault.Is(err, fault.NotFound) {
		return x, err
	}
	gone := &row{tb: tb, vals: make([]any, len(key))}
	for i, v := range key {
		gone.vals[i] = stored(v)
	}
	if _, ok, e := r.find(gone.id()); e == nil && ok {
		return nil, r.s.refuse(gone.id(), whyRemoved)
	}
	return nil, err
}

// set reads a tenant's whole table. It is refused as a whole, for one row that is,
// and for one that is known and not there; in a step, all of them are recorded.
func (r *reader) set(tb *table, tenant ident.Tenant, cond string) ([]*row, error) {
	rows, err := r.scan(tb, cond, tenant)
	if err != nil {
		return nil, err
	}
	have, bad := map[rowID]bool{}, []error{}
	for _, x := range rows {
		have[x.id()] = true
		if err := r.check(x); err != nil {
			bad = append(bad, err)
		}
	}
	for _, id := range r.ids(tb, tenant, "") {
		if !have[id] {
			bad = append(bad, r.s.refuse(id, whyRemoved))
		}
	}
	if len(bad) == 0 {
		return rows, nil
	}
	for _, err := range bad {
		if err := r.leaveOut(err); err != nil {
			return nil, err
		}
	}
	return nil, bad[0]
}

// ids lists, in order, what is known of a table's rows; of narrows it to those that
// belong to one thing.
func (r *reader) ids(tb *table, tenant ident.Tenant, of string) (out []rowID) {
	p := part{tenant, tb, of}
	l := &r.s.ledger
	l.mu.RLock()
	defer l.mu.RUnlock()
	known := l.tenants[tenant]
	if r.t != nil && r.t.rows.loaded[tenant] != nil {
		known = r.t.rows.loaded[tenant]
	}
	if known != nil {
		out = slices.Collect(maps.Keys(known.parts[p]))
	}
	if r.t != nil {
		b := r.t.rows
		out = slices.DeleteFunc(out, func(id rowID) bool { _, changed := b.rows[id]; return changed })
		for id := range b.added[p] {
			if b.rows[id] != nil {
				out = append(out, id)
			}
		}
	}
	slices.SortFunc(out, byID)
	return out
}

// live reads every row that is known to belong to one thing, each by its key: what
// a condition would find can be hidden from it, by a change of the columns that it
// asks for, or by removal. One that is refused or gone refuses the whole.
func (r *reader) live(tb *table, tenant ident.Tenant, of string) ([]*row, error) {
	if r.t != nil {
		if _, err := r.t.rows.of(tenant); err != nil {
			return nil, err
		}
	}
	var out []*row
	for _, id := range r.ids(tb, tenant, of) {
		x, err := r.byKey(tb, id.parts()...)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// whole refuses the resources of a tenant that are not the set that was applied.
func (r *reader) whole(tenant ident.Tenant) error {
	if r.t != nil {
		known, err := r.t.rows.of(tenant)
		if err != nil || r.t.rows.repair[tenant] {
			return err
		}
		return known.whole(r.s, tenant)
	}
	l := &r.s.ledger
	l.mu.RLock()
	defer l.mu.RUnlock()
	if known := l.tenants[tenant]; known != nil {
		return known.whole(r.s, tenant)
	}
	return nil
}
