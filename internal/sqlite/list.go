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

// listRows reads all rows that steer and meet a condition, but for those that are
// refused.
func listRows[T any](ctx context.Context, s *Store, tb *table, of func(*row) (T, error), cond string, args ...any) (out []T, err error) {
	err = s.read(ctx, func(r *reader) error {
		out = nil
		rows, err := r.good(tb, cond, args...)
		if err != nil {
			return err
		}
		for _, x := range rows {
			v, err := of(x)
			if err != nil {
				return err
			}
			out = append(out, v)
		}
		return nil
	})
	return out, err
}

// oneRow reads one row that steers.
func oneRow[T any](ctx context.Context, s *Store, of func(*row) (T, error), read func(*reader) (*row, error)) (out T, err error) {
	err = s.read(ctx, func(r *reader) error {
		x, err := read(r)
		if err == nil {
			out, err = of(x)
		}
		return err
	})
	return out, err
}
