package sqlite

import (
	"context"
	"database/sql"
)

// prepared is a transaction in which each statement is compiled once: of a batch of
// steps, or a page of Decisions that expire, compiling was half the cost. The
// statements end with the transaction.
type prepared struct {
	tx    *sql.Tx
	stmts map[string]*sql.Stmt
}

func newPrepared(tx *sql.Tx) *prepared { return &prepared{tx, map[string]*sql.Stmt{}} }

func (p *prepared) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if st := p.stmts[query]; st != nil {
		return st, nil
	}
	st, err := p.tx.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	p.stmts[query] = st
	return st, nil
}

func (p *prepared) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	st, err := p.stmt(ctx, query) //nolint:sqlclosecheck // it ends with the transaction
	if err != nil {
		return nil, err
	}
	return st.ExecContext(ctx, args...)
}

// QueryContext is as of sql.Tx; the rows are closed before the next query.
func (p *prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	st, err := p.stmt(ctx, query) //nolint:sqlclosecheck // it ends with the transaction
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, args...)
}

// QueryRowContext is as of sql.Tx.
func (p *prepared) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	st, err := p.stmt(ctx, query) //nolint:sqlclosecheck // it ends with the transaction
	if err != nil {
		return p.tx.QueryRowContext(ctx, query, args...) // which says so
	}
	return st.QueryRowContext(ctx, args...)
}

var _ queryer = (*prepared)(nil)
