package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// maxBatch bounds how many steps share one transaction.
const maxBatch = 512

// Tx is one step of a write. It is used by one goroutine, inside the function
// that it was handed to.
type Tx struct {
	s    *Store
	ctx  context.Context
	once *prepared    // the writer's connection, in which the transaction is
	log  *audit.Batch // of the transaction: the audit log's appends
	rows *batch       // of the transaction: what becomes known of rows that steer
	// queued is set when the step put something into the outbox.
	queued *bool
	// entries are the last indexes that the step has appended to, by tenant.
	entries map[ident.Tenant]int64
	// notices is set when the step put something for a Channel there.
	notices *bool
	// shred is set when the step overwrote what must not stay on disk.
	shred *bool
}

// job is one step that waits for its turn.
type job struct {
	ctx context.Context
	fn  func(*Tx) error
	err error
	ok  chan struct{} // closed when err is final
}

// write runs fn in a transaction that is durable when write returns nil. When
// fn errors, what it did is undone, and the error is returned. ctx bounds the
// waiting for a turn, never a step that has begun.
func (s *Store) write(ctx context.Context, fn func(*Tx) error) error {
	if err := s.Healthy(); err != nil {
		return err
	}
	j := &job{ctx: ctx, fn: fn, ok: make(chan struct{})}
	select {
	case s.queue <- j:
	case <-s.done:
		return fault.New(fault.Unavailable, "the store is closed")
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, "waiting for the store", ctx.Err())
	}
	select {
	case <-j.ok:
		return j.err
	case <-s.done:
		select { // the writer may have finished it on its way out
		case <-j.ok:
			return j.err
		default:
			return fault.New(fault.Unavailable, "the store is closed")
		}
	}
}

// writer is the one goroutine that writes.
func (s *Store) writer(ctx context.Context) {
	defer close(s.done)
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-s.queue:
			s.commit(s.gather(j))
		}
	}
}

// gather takes what waits; it sets no timer, so a lone caller pays one fsync.
func (s *Store) gather(first *job) []*job {
	batch := []*job{first}
	for len(batch) < maxBatch {
		select {
		case j := <-s.queue:
			batch = append(batch, j)
		default:
			return batch
		}
	}
	return batch
}

// commit runs a batch in one transaction and answers each job.
func (s *Store) commit(batch []*job) {
	err := crash.Try(context.Background(), s.guard.Log, func() error { return s.transact(batch) })
	if _, panicked := errors.AsType[*crash.Panic](err); panicked { // nobody knows what was made of the batch
		err = fault.Wrap(fault.Unavailable, "the store has stopped", err)
		s.breakDown(err)
	}
	for _, j := range batch {
		if err != nil {
			j.err = err
		}
		if errors.Is(j.err, errDamaged) {
			s.breakDown(fault.Wrap(fault.Unavailable, "the store has stopped", j.err))
		}
		close(j.ok)
	}
}

// breakDown ends the writing of this process, for the first reason there is.
func (s *Store) breakDown(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = why
	}
}

func (s *Store) transact(jobs []*job) error {
	ctx := context.Background() // a step that has begun is never cut
	tx, err := s.once.on.BeginTx(ctx, nil)
	if err != nil {
		return storeErr("beginning a transaction", err)
	}
	defer tx.Rollback() // after a commit it is a no-op
	rows, queued, notices := s.begin(), false, false
	log := s.seq.Begin(auditTx{ctx, s.once, rows.heads})
	t := &Tx{s: s, ctx: ctx, once: s.once, log: log, rows: rows, entries: map[ident.Tenant]int64{}, queued: &queued, notices: &notices, shred: &s.shred}
	if err := t.steps(jobs); err != nil {
		return err
	}
	if err := log.Seal(); err != nil {
		return fault.Wrap(fault.Unavailable, "sealing the audit log", err)
	}
	if err := rows.seal(t); err != nil {
		return fault.Wrap(fault.Unavailable, "sealing the rows", err)
	}
	if err := tx.Commit(); err != nil {
		// Whether it is on disk is not known; nothing more is written by this
		// process, so that what is decided next is decided from the disk.
		err = storeErr("committing", err)
		s.breakDown(fault.Wrap(fault.Unavailable, "the store has stopped after a commit that may or may not be on disk; restart", err))
		return err
	}
	log.Committed()
	rows.publish()
	if s.shred && s.snapshots.Load() == 0 { // a backup would be in the way of each try
		s.shred = !s.emptyWAL(ctx)
	}
	signal(queued, s.outboxed)
	signal(notices, s.noticed)
	return nil
}

// signal puts an element into a channel of one, unless it has it already.
func signal(there bool, to chan<- struct{}) {
	if !there {
		return
	}
	select {
	case to <- struct{}{}:
	default:
	}
}

// emptyWAL moves everything into the database and empties the write-ahead log,
// which still has the pages as they were before the last writes. It reports
// whether it did: a reader can be in the way, and then the next commit tries again.
func (s *Store) emptyWAL(ctx context.Context) bool {
	conn := s.once.on
	var busy, pages, moved int
	_, err := conn.ExecContext(ctx, "PRAGMA busy_timeout = 100") // every other write waits for this one
	if err == nil {
		err = conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
	}
	if _, berr := conn.ExecContext(ctx, "PRAGMA busy_timeout = 5000"); berr != nil {
		return false
	}
	return err == nil && busy == 0
}

// steps runs every job in a savepoint of its own. A tenant of whom nothing is
// known yet is taken up first, and what was refused is recorded after, both in
// savepoints of their own: a step that fails takes neither with it.
func (t *Tx) steps(jobs []*job) error {
	for _, j := range jobs {
		for {
			if err := step(t, j); err != nil {
				return err
			}
			unknown, ok := errors.AsType[*notLoaded](j.err)
			if !ok {
				break
			}
			up := &job{ctx: t.ctx, fn: func(t *Tx) error { return t.load(unknown.tenant) }}
			if err := step(t, up); err != nil {
				return err
			}
			if up.err != nil {
				j.err = up.err
				break
			}
		}
		if bad, ok := errors.AsType[*refusal](j.err); ok {
			t.rows.pending = append(t.rows.pending, bad)
		}
	}
	for _, bad := range t.rows.pending {
		// When it can't be recorded now, it is when it is met again.
		if err := step(t, &job{ctx: t.ctx, fn: func(t *Tx) error { return t.tell(bad) }}); err != nil {
			return err
		}
	}
	return nil
}

// step runs one job in a savepoint. It returns an error only when the whole
// transaction can't go on.
func step(t *Tx, j *job) error {
	if j.ctx.Err() != nil {
		j.err = fault.Wrap(fault.Unavailable, "waiting for the store", j.ctx.Err())
		return nil
	}
	if _, err := t.once.ExecContext(t.ctx, "SAVEPOINT step"); err != nil {
		return storeErr("beginning a step", err)
	}
	clear(t.entries)
	mark, known := t.log.Mark(), len(t.rows.undo)
	j.err = t.run(j.fn)
	ends := []string{"RELEASE step"}
	if j.err != nil {
		t.log.Reset(mark)
		t.rows.back(known)
		ends = []string{"ROLLBACK TO step", "RELEASE step"}
	}
	for _, end := range ends {
		if _, err := t.once.ExecContext(t.ctx, end); err != nil {
			if fault.Is(j.err, fault.Unavailable) {
				return j.err // it ended the whole transaction, and says why
			}
			return storeErr("ending a step", err)
		}
	}
	return nil
}

// run turns a panic in a step into its error: it must not take the writer, and
// with it every other caller, down.
func (t *Tx) run(fn func(*Tx) error) error {
	err := crash.Try(t.ctx, t.s.guard.Log, func() error { return fn(t) })
	if p, panicked := errors.AsType[*crash.Panic](err); panicked {
		return fault.Wrap(fault.Internal, "a step of the store panicked", p)
	}
	return err
}

// Exec runs a statement of the step.
func (t *Tx) Exec(query string, args ...any) (sql.Result, error) {
	r, err := t.once.ExecContext(t.ctx, query, args...)
	return r, storeErr("writing", err)
}

// ExecOne runs a statement that has to change exactly one row: a
// compare-and-swap that lost is a Conflict.
func (t *Tx) ExecOne(what, query string, args ...any) error {
	r, err := t.Exec(query, args...)
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n != 1 {
		return fault.Newf(fault.Conflict, "%s has changed in the meantime", what)
	}
	return nil
}

// QueryRow reads one row in the step.
func (t *Tx) QueryRow(query string, args ...any) *sql.Row {
	return t.once.QueryRowContext(t.ctx, query, args...)
}

// Query reads rows in the step. The caller closes them before its next statement.
func (t *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	r, err := t.once.QueryContext(t.ctx, query, args...)
	return r, storeErr("reading", err)
}

// Audit appends an event to its tenant's log, in the same transaction.
func (t *Tx) Audit(ev audit.Event) error {
	if _, err := t.rows.of(ev.Tenant); err != nil {
		return err // before the log moves on, the rows have to be compared with where it is
	}
	if err := t.append(ev); err != nil {
		return err
	}
	return t.announceEvent(ev)
}

func (t *Tx) append(ev audit.Event) error {
	if err := t.checkClock(ev.Tenant); err != nil {
		return err
	}
	put(t.rows, t.rows.touched, ev.Tenant, true)
	index, err := t.log.Append(ev)
	t.entries[ev.Tenant] = index
	return err
}
