package sqlite

import (
	"context"
)

// scanner is a row, or the rows of a query at one of them.
type scanner interface{ Scan(...any) error }

// list reads all rows of a query outside of a step. what names them in an error.
func list[T any](ctx context.Context, s *Store, what string, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := s.ro.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, storeErr("listing "+what, err)
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, storeErr("listing "+what, rows.Err())
}
