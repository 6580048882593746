package sqlite

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// What one step does to many rows is said in few statements: each costs as much as
// what it does to a row, and keeps a copy of every page that it changes until it ends.

// maxArgs bounds the arguments of such a statement: the driver looks for each among
// all of them.
const maxArgs = 72

// insertMany runs "INSERT … VALUES (…), (…)". Every row has as many values as the
// first, and is inserted, or it is an error.
func insertMany(ctx context.Context, p *prepared, into string, rows [][]any) error {
	for len(rows) > 0 {
		n := max(1, min(maxArgs/len(rows[0]), len(rows)))
		if n < maxArgs/len(rows[0]) { // the last ones: two statements do for all numbers of rows
			n = 1
		}
		group := "(?" + strings.Repeat(", ?", len(rows[0])-1) + ")"
		r, err := p.ExecContext(ctx, into+" VALUES "+group+strings.Repeat(", "+group, n-1), slices.Concat(rows[:n]...)...)
		if err != nil {
			return err
		}
		if got, err := r.RowsAffected(); err != nil || got != int64(n) {
			return errNotTaken
		}
		rows = rows[n:]
	}
	return nil
}

var errNotTaken error = fault.New(fault.Unavailable, "the database did not take what was to be stored").
	WithHint("somebody else has changed the database's tables: stop the server, and restore a backup")

// byKeys reads and checks the rows of a table whose keys are a tenant's ids, and
// gives them by id. What is not there is left out; Denied where it has to be.
func (r *reader) byKeys(tb *table, tenant ident.Tenant, ids []string) (map[string]*row, error) {
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "reading "+tb.name, err)
	}
	rows, err := r.all(tb, rowsAt, tenant, string(list))
	if err != nil {
		return nil, err
	}
	out := make(map[string]*row, len(ids))
	for _, x := range rows {
		out[x.text("id")] = x
	}
	for _, id := range ids {
		if out[id] != nil {
			continue
		}
		if _, err := r.byKey(tb, tenant, id); err != nil && !fault.Is(err, fault.NotFound) {
			return nil, err
		}
	}
	return out, nil
}

// putAll stores rows of a table whose keys are a tenant's ids, that were read in this
// step and changed. Those with the same new values are stored by one statement, each
// with its own MAC; a row that is not there any more is a Conflict.
func (t *Tx) putAll(rows []*row) error {
	like := map[string][]*row{}
	var order []string
	for _, x := range rows {
		query, args := x.update()
		group := fmt.Sprintf("%s %q", query, append(args[:1:1], args[x.tb.keys:len(args)-1]...))
		if like[group] == nil {
			order = append(order, group)
		}
		like[group] = append(like[group], x)
	}
	for _, group := range order {
		if err := t.putLike(like[group]); err != nil {
			return err
		}
	}
	return nil
}

// putLike stores rows that differ in their ids and MACs, and in what was not set.
func (t *Tx) putLike(rows []*row) error {
	if len(rows) == 1 {
		return t.put(rows[0], nil)
	}
	macs := make(map[string]string, len(rows))
	news := make([]known, len(rows))
	for i, x := range rows {
		var err error
		if news[i], err = t.learn(x); err != nil {
			return err
		}
		macs[x.text("id")] = hex.EncodeToString(x.mac)
	}
	list, err := json.Marshal(macs)
	if err != nil {
		return fault.Wrap(fault.Internal, "storing "+rows[0].tb.name, err)
	}
	query, args := rows[0].updateMany(string(list))
	r, err := t.Exec(query, args...)
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n != int64(len(rows)) {
		return fault.Newf(fault.Conflict, "what is stored as %s has changed in the meantime", rows[0].tb.name)
	}
	for i, x := range rows {
		x.dirty = 0
		t.note(x, news[i])
	}
	return nil
}

// updateMany is the statement that stores this row's changes in every row that a list
// has a MAC for, by id.
func (r *row) updateMany(macs string) (query string, args []any) {
	args = []any{r.vals[0], macs}
	for i, column := range r.tb.columns {
		if i >= r.tb.keys && r.dirty&(1<<i) != 0 {
			args = append(args, r.vals[i])
			query += column + " = " + dollar(len(args)) + ", "
		}
	}
	// Materialized and cast: or the database would read the tenant's whole table.
	return "WITH m (k, v) AS MATERIALIZED (SELECT key, unhex(value) FROM json_each($2)) UPDATE " + r.tb.name + " SET " + query +
		"mac = m.v FROM m WHERE tenant = $1 AND " + r.tb.name + ".id = CAST(m.k AS TEXT)", args
}
