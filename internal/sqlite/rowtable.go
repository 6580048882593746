package sqlite

import (
	"database/sql"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// table is a table whose rows steer what is done with a credential, or who may
// say so. Its columns are one list: what is read is what is written is what the
// row's MAC covers, so a new column can't be forgotten in one of the three.
type table struct {
	name    string
	columns []string // the tenant, then the rest of the key, then all else but mac
	keys    int      // how many of them are the primary key
	// live says whether a row can still make something happen. Rows that can are
	// all known, so that an old one put back, one put in or one removed is found;
	// of the others the MAC alone is checked. nil: every row is live.
	live func(*row) bool
	// liveSQL is a condition that every live row meets.
	liveSQL string
	// of names what a live row belongs to, so that all that do are known; nil: only
	// the table. It never changes in a row's life.
	of func(*row) string
	// loose are columns that are left out of what is compared after a restart,
	// see rowtables.go.
	loose []string

	number int    // the place of its sum among those of all tables
	shape  string // name and columns, the first part under each MAC
	query  string // SELECT … FROM, without a condition
	// The statements of one row. Arguments are the columns in order, then mac; of
	// the last two, the key's alone.
	insertSQL, deleteSQL, whereSQL string
}

// define completes a table's description.
func define(number int, t table) *table {
	t.number = number
	t.shape = t.name + "(" + strings.Join(t.columns, ",") + ")"
	all := strings.Join(t.columns, ", ") + ", mac"
	t.query = "SELECT " + all + " FROM " + t.name + " "
	var key, marks []string
	for i, c := range append(slices.Clone(t.columns), "mac") {
		marks = append(marks, dollar(i+1))
		if i < t.keys {
			key = append(key, c+" = "+dollar(i+1))
		}
	}
	t.whereSQL = "WHERE " + strings.Join(key, " AND ")
	t.insertSQL = "INSERT INTO " + t.name + " (" + all + ") VALUES (" + strings.Join(marks, ", ") + ") ON CONFLICT DO NOTHING"
	t.deleteSQL = "DELETE FROM " + t.name + " " + t.whereSQL
	return &t
}

// row is one row of such a table, by the names of its columns. Values are those
// of the driver: string, int64, float64, []byte, nil.
type row struct {
	tb   *table
	vals []any
	mac  []byte // as stored
	// dirty are the columns that were set since it was read, one bit each: an update
	// of the others would move the row in every index.
	dirty uint64
}

// rowID names a row among all tenants' and tables'.
type rowID struct {
	tenant ident.Tenant
	table  *table
	key    string // the key's columns after the tenant, joined by slashes
}

func (r *row) id() rowID {
	parts := make([]string, r.tb.keys-1)
	for i := range parts {
		parts[i], _ = r.vals[i+1].(string)
	}
	tenant, _ := r.vals[0].(string)
	return rowID{ident.Tenant(tenant), r.tb, strings.Join(parts, "/")}
}

func (r *row) at(column string) int {
	i := slices.Index(r.tb.columns, column)
	if i < 0 {
		panic("sqlite: " + r.tb.name + " has no column " + column)
	}
	return i
}

func (r *row) text(column string) string {
	s, _ := r.vals[r.at(column)].(string)
	return s
}

func (r *row) number(column string) int64 {
	n, _ := r.vals[r.at(column)].(int64)
	return n
}

func (r *row) real(column string) float64 {
	f, _ := r.vals[r.at(column)].(float64)
	return f
}

func (r *row) blob(column string) []byte {
	b, _ := r.vals[r.at(column)].([]byte)
	return b
}

func (r *row) flag(column string) bool            { return r.number(column) != 0 }
func (r *row) instant(column string) time.Time    { return fromMS(r.number(column)) }
func (r *row) null(column string) bool            { return r.vals[r.at(column)] == nil }
func (r *row) tenant() ident.Tenant               { return ident.Tenant(r.text("tenant")) }
func (r *row) add(column string, n int64)         { r.set(cols{column: r.number(column) + n}) }
func (r *row) state(column string) intent.State   { return intent.State(r.text(column)) }
func (r *row) digest(column string) intent.Digest { return intent.Digest(r.text(column)) }

// cols are values by column: strings of any type, integers, booleans, times (as
// milliseconds), floats, bytes, sql.NullString, nil.
type cols map[string]any

func (r *row) set(c cols) {
	for column, v := range c {
		at := r.at(column)
		r.vals[at] = stored(v)
		r.dirty |= 1 << at
	}
}

// update is the statement that stores what was changed, with the MAC, and its
// arguments.
func (r *row) update() (query string, args []any) {
	args = slices.Clone(r.vals[:r.tb.keys])
	var set []string
	for i, column := range r.tb.columns {
		if i >= r.tb.keys && r.dirty&(1<<i) != 0 {
			args = append(args, r.vals[i])
			set = append(set, column+" = "+dollar(len(args)))
		}
	}
	args = append(args, r.mac)
	set = append(set, "mac = "+dollar(len(args)))
	return "UPDATE " + r.tb.name + " SET " + strings.Join(set, ", ") + " " + r.tb.whereSQL, args
}

// stored is a value as the driver gives it back.
func stored(v any) any {
	switch x := v.(type) {
	case nil:
		return nil
	case time.Time:
		return ms(x)
	case []byte:
		return notNil(x)
	case sql.NullString:
		if !x.Valid {
			return nil
		}
		return x.String
	}
	switch r := reflect.ValueOf(v); {
	case r.Kind() == reflect.String:
		return r.String()
	case r.Kind() == reflect.Bool:
		return int64(flag(r.Bool()))
	case r.CanInt():
		return r.Int()
	case r.CanFloat():
		return r.Float()
	}
	panic("sqlite: a value of no column's type")
}

// newRow makes a row of all columns.
func newRow(tb *table, c cols) (*row, error) {
	r := &row{tb: tb, vals: make([]any, len(tb.columns))}
	for _, column := range tb.columns {
		if _, ok := c[column]; !ok {
			return nil, fault.Newf(fault.Internal, "a row of %s without its column %s", tb.name, column)
		}
	}
	r.set(c)
	return r, nil
}

// without is the row with some columns emptied.
func (r *row) without(columns []string) *row {
	if len(columns) == 0 {
		return r
	}
	c := &row{tb: r.tb, vals: slices.Clone(r.vals)}
	for _, column := range columns {
		c.vals[c.at(column)] = nil
	}
	return c
}

// parts are what a MAC is made over: a value's type is a part of it, so that no
// two rows have the same parts.
func (r *row) parts(first ...string) []string {
	out := append(make([]string, 0, len(r.vals)+len(first)+1), first...)
	out = append(out, r.tb.shape)
	for _, v := range r.vals {
		switch x := v.(type) {
		case string:
			out = append(out, "s"+x)
		case int64:
			out = append(out, "i"+strconv.FormatInt(x, 10))
		case float64:
			out = append(out, "f"+strconv.FormatFloat(x, 'x', -1, 64))
		case []byte:
			out = append(out, "b"+string(x))
		case nil:
			out = append(out, "n")
		default: // scan refuses it
			panic("sqlite: a value of no column's type")
		}
	}
	return out
}

func dollar(n int) string { return "$" + strconv.Itoa(n) }
