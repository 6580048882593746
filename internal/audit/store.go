package audit

import (
	"context"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/ident"
)

// Row is an entry as a store keeps it: its bytes, and columns taken from them
// for queries. Entry is the record; the columns are checked against it.
type Row struct {
	Index int64
	Columns
	Entry []byte
	Refs  []Ref // of one that is appended; not of one that was read
}

// Columns are what a store can filter by.
type Columns struct {
	At         int64 // milliseconds since 1970, UTC
	Type       Type
	Actor      string
	Run        string
	Intent     string
	Connection string
}

// columns of an event.
func (ev Event) columns() Columns {
	return Columns{At: ev.At.UnixMilli(), Type: ev.Type, Actor: ev.Actor, Run: ev.Run, Intent: ev.Intent, Connection: ev.Connection}
}

func newRow(index int64, ev Event) (Row, error) {
	b, err := Encode(index, ev)
	return Row{Index: index, Columns: ev.columns(), Entry: b, Refs: ev.Refs()}, err
}

// Filter narrows a list; an empty field does not.
type Filter struct {
	Type       Type
	Run        string
	Intent     string
	Connection string
}

// Reader reads logs that may grow meanwhile.
type Reader interface {
	// Head of a tenant's log; NotFound where there is none.
	Head(ctx context.Context, t ident.Tenant) (Head, error)
	// List gives the rows that match f with an index of at least from, in
	// order, at most limit.
	List(ctx context.Context, t ident.Tenant, f Filter, from int64, limit int) ([]Row, error)
	// Hashes gives stored hashes by tlog's stored-hash index; NotFound when
	// one is not there.
	Hashes(ctx context.Context, t ident.Tenant, indexes []int64) ([]tlog.Hash, error)
	// Cosigned gives the last checkpoint that witnesses cosigned; nil where there
	// is none.
	Cosigned(ctx context.Context, t ident.Tenant) ([]byte, error)
}

// HashRow is a stored hash as it was found; Hash may have any length.
type HashRow struct {
	Index int64
	Hash  []byte
}

// Source is one unchanging view of what a store holds, however it is spoiled.
type Source interface {
	// Tenants lists, sorted, everybody of whom there is a head, a row or a hash.
	Tenants(ctx context.Context) ([]ident.Tenant, error)
	// Head gives a log's head, the zero Head where there is none.
	Head(ctx context.Context, t ident.Tenant) (Head, error)
	// Minimum is the index below which entries are said to be pruned; 0: none.
	Minimum(ctx context.Context, t ident.Tenant) (int64, error)
	// Rows gives the rows from an index on, in order, at most limit.
	Rows(ctx context.Context, t ident.Tenant, from int64, limit int) ([]Row, error)
	// HashRows gives the stored hashes from an index on, in order, at most limit.
	HashRows(ctx context.Context, t ident.Tenant, from int64, limit int) ([]HashRow, error)
	// Cosigned gives the last checkpoint that witnesses cosigned; nil where there
	// is none.
	Cosigned(ctx context.Context, t ident.Tenant) ([]byte, error)
}
