package sqlite

import (
	"context"
	"time"

	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Due is one message of the outbox.
type Due struct {
	Tenant ident.Tenant
	commit.Message
	Tries      int
	Generation int64
}

// Outboxed has an element when something was put into the outbox since it was
// last received from.
func (s *Store) Outboxed() <-chan struct{} { return s.outboxed }

// WakeWaiting puts a message into the outbox for each Run of the built-in Worker
// that waits while nothing of it is open, in case the message that should have
// woken it was lost.
func (s *Store) WakeWaiting(ctx context.Context, now time.Time) error {
	return s.write(ctx, func(t *Tx) error {
		*t.queued = true
		_, err := t.Exec(`INSERT INTO outbox (tenant, kind, ref, due_at) SELECT r.tenant, $1, r.id, $2 FROM run r WHERE r.state = 'waiting' AND r.worker = $3
			AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.tenant = r.tenant AND o.kind = $1 AND o.ref = r.id)
			AND NOT EXISTS (SELECT 1 FROM intent i WHERE i.tenant = r.tenant AND i.run = r.id
				AND i.state IN ('PARKED', 'APPROVED', 'CLAIMED', 'SENDING', 'UNKNOWN', 'NEEDS_HUMAN'))`, commit.MsgSegment, ms(now), intent.BuiltIn)
		return err
	})
}

// DueMessages lists what is due at now, segments of Runs or all else, the oldest
// first, and when the next one after those is due (zero: none).
func (s *Store) DueMessages(ctx context.Context, now time.Time, segments bool, limit int) (due []Due, next time.Time, err error) {
	rows, err := s.ro.QueryContext(ctx, `SELECT tenant, kind, ref, due_at, tries, generation FROM outbox WHERE (kind = $1) = $2 ORDER BY due_at LIMIT $3`, commit.MsgSegment, segments, limit+1)
	if err != nil {
		return nil, next, storeErr("reading the outbox", err)
	}
	defer rows.Close()
	for rows.Next() {
		var d Due
		var at int64
		if err := rows.Scan(&d.Tenant, &d.Kind, &d.Ref, &at, &d.Tries, &d.Generation); err != nil {
			return nil, next, storeErr("reading the outbox", err)
		}
		if d.Due = fromMS(at); d.Due.After(now) || len(due) == limit {
			return due, d.Due, nil
		}
		due = append(due, d)
	}
	return due, next, storeErr("reading the outbox", rows.Err())
}

// DoneMessage removes a message that was carried out, unless it was put in again
// meanwhile.
func (s *Store) DoneMessage(ctx context.Context, d Due) error {
	return s.write(ctx, func(t *Tx) error {
		_, err := t.Exec(`DELETE FROM outbox WHERE tenant = $1 AND kind = $2 AND ref = $3 AND generation = $4`, d.Tenant, d.Kind, d.Ref, d.Generation)
		return err
	})
}

// RetryMessage makes a message due again later.
func (s *Store) RetryMessage(ctx context.Context, d Due, at time.Time) error {
	return s.write(ctx, func(t *Tx) error {
		_, err := t.Exec(`UPDATE outbox SET due_at = $1, tries = tries + 1 WHERE tenant = $2 AND kind = $3 AND ref = $4 AND generation = $5`,
			ms(at), d.Tenant, d.Kind, d.Ref, d.Generation)
		return err
	})
}

// PostponeMessage makes a message due again later, without counting it as a try:
// what it is about is held up by a person.
func (s *Store) PostponeMessage(ctx context.Context, d Due, at time.Time) error {
	return s.write(ctx, func(t *Tx) error {
		_, err := t.Exec(`UPDATE outbox SET due_at = $1 WHERE tenant = $2 AND kind = $3 AND ref = $4 AND generation = $5`,
			ms(at), d.Tenant, d.Kind, d.Ref, d.Generation)
		return err
	})
}
