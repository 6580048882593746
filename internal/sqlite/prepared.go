package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// maxPrepared bounds how many statements stay compiled. Those of the product are
// fewer; what is over it is compiled each time.
const maxPrepared = 512

// prepared runs statements on the writer's connection or on the readers' pool. Each
// is compiled once for a connection's life: compiling was half of what a step, or a
// read of one row, cost.
type prepared struct {
	on    statements
	mu    sync.Mutex
	stmts map[string]*sql.Stmt
}

// statements is a *sql.Conn or a *sql.DB.
type statements interface {
	queryer
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
	Close() error
}

func newPrepared(on statements) *prepared { return &prepared{on: on, stmts: map[string]*sql.Stmt{}} }

// Close ends the statements too: as long as there is one, the database is not closed.
func (p *prepared) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, st := range p.stmts {
		errs = append(errs, st.Close())
	}
	clear(p.stmts)
	return errors.Join(append(errs, p.on.Close())...)
}

// stmt is nil where there are so many that this one is not kept. It compiles without
// the lock: that can wait for a connection, and who has one may be waiting for the
// lock.
func (p *prepared) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	p.mu.Lock()
	st, full := p.stmts[query], len(p.stmts) >= maxPrepared
	p.mu.Unlock()
	if st != nil || full {
		return st, nil
	}
	st, err := p.on.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if first := p.stmts[query]; first != nil { // somebody else was faster
		return first, st.Close() //nolint:sqlclosecheck // the first one stays
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
		return p.on.ExecContext(ctx, query, args...)
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
		return p.on.QueryContext(ctx, query, args...)
	}
	return st.QueryContext(ctx, args...)
}

// QueryRowContext is as of sql.Tx.
func (p *prepared) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	st, err := p.stmt(ctx, query) //nolint:sqlclosecheck // it ends with the connection
	if err != nil || st == nil {
		return p.on.QueryRowContext(ctx, query, args...) // which says why, where it is the query
	}
	return st.QueryRowContext(ctx, args...)
}

var _ queryer = (*prepared)(nil)
