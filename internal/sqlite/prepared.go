package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"sallyport.dev/internal/fault"
)

// maxPrepared bounds how many statements stay compiled. Those of the product are
// fewer; what is over it is compiled each time.
const maxPrepared = 512

// prepared is the writer's connection, in which each statement is compiled once in
// the process's life: compiling was half of what a step cost. It is used by one
// goroutine.
type prepared struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func newPrepared(ctx context.Context, db *sql.DB) (*prepared, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "opening the database", err)
	}
	return &prepared{conn, map[string]*sql.Stmt{}}, nil
}

// close ends the statements too: as long as there is one, the database is not closed.
func (p *prepared) close() error {
	var errs []error
	for _, st := range p.stmts {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, p.conn.Close())...)
}

func (p *prepared) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if st := p.stmts[query]; st != nil || len(p.stmts) >= maxPrepared {
		return st, nil
	}
	st, err := p.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	p.stmts[query] = st
	return st, nil
}

// ExecContext is as of sql.Tx, in the transaction that is under way.
func (p *prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	st, err := p.stmt(ctx, query) //nolint:sqlclosecheck // it ends with the connection
	switch {
	case err != nil:
		return nil, err
	case st == nil:
		return p.conn.ExecContext(ctx, query, args...)
	}
	return st.ExecContext(ctx, args...)
}

// QueryContext is as of sql.Tx; the rows are closed before the next query.
func (p *prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	st, err := p.stmt(ctx, query) //nolint:sqlclosecheck // it ends with the connection
	switch {
	case err != nil:
		return nil, err
	case st == nil:
		return p.conn.QueryContext(ctx, query, args...)
	}
	return st.QueryContext(ctx, args...)
}

// QueryRowContext is as of sql.Tx.
func (p *prepared) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	st, err := p.stmt(ctx, query) //nolint:sqlclosecheck // it ends with the connection
	if err != nil || st == nil {
		return p.conn.QueryRowContext(ctx, query, args...) // which says why, where it is the query
	}
	return st.QueryRowContext(ctx, args...)
}

var _ queryer = (*prepared)(nil)
