package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"sallyport.dev/internal/notify"
	"sallyport.dev/internal/resource"
)

// Noticed has an element when something was put there for a Channel since it was
// last received from.
func (s *Store) Noticed() <-chan struct{} { return s.noticed }

// DueLanes lists the Channels of all tenants that have a message due and are not
// held back after failures.
func (s *Store) DueLanes(ctx context.Context, now time.Time) ([]notify.Lane, error) {
	return list(ctx, s, "due messages", func(r scanner) (l notify.Lane, err error) {
		err = r.Scan(&l.Tenant, &l.Channel)
		return l, storeErr("reading a due message", err)
	}, `SELECT DISTINCT n.tenant, n.channel FROM notice n LEFT JOIN channel_state c ON c.tenant = n.tenant AND c.channel = n.channel
		WHERE n.due_at <= $1 AND COALESCE(c.next_at, 0) <= $1`, ms(now))
}

// NextNotice is a Channel's oldest message that is due, under the condition of
// DueLanes; kind NotFound.
func (s *Store) NextNotice(ctx context.Context, l notify.Lane, now time.Time) (n notify.Notice, err error) {
	var at int64
	var event string
	err = s.ro.QueryRowContext(ctx, `SELECT n.id, n.event, n.decision, n.run, n.mission, n.team, n.at, n.tries FROM notice n
		LEFT JOIN channel_state c ON c.tenant = n.tenant AND c.channel = n.channel
		WHERE n.tenant = $1 AND n.channel = $2 AND n.due_at <= $3 AND COALESCE(c.next_at, 0) <= $3 ORDER BY n.due_at, n.id LIMIT 1`,
		l.Tenant, l.Channel, ms(now)).Scan(&n.ID, &event, &n.Decision, &n.Run, &n.Mission, &n.Team, &at, &n.Tries)
	if err != nil {
		return n, storeErr("reading a message", err)
	}
	n.Lane, n.Event, n.At = l, resource.Event(event), fromMS(at)
	return n, nil
}

// ChannelState is how a Channel does; the zero State of one that was never tried.
func (s *Store) ChannelState(ctx context.Context, l notify.Lane) (st notify.State, err error) {
	var since, toldAt, next, tried, sent int64
	err = s.ro.QueryRowContext(ctx, `SELECT fails, since, told_at, failing, next_at, tried_at, sent_at, dropped, problem FROM channel_state
		WHERE tenant = $1 AND channel = $2`, l.Tenant, l.Channel).Scan(&st.Fails, &since, &toldAt, &st.Failing, &next, &tried, &sent, &st.Dropped, &st.Problem)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return st, storeErr("reading a Channel's state", err)
	}
	st.Since, st.ToldAt, st.NextAt, st.TriedAt, st.SentAt = fromMS(since), fromMS(toldAt), fromMS(next), fromMS(tried), fromMS(sent)
	return st, nil
}

// WaitingNotices is how many messages of a Channel are due and not accepted yet.
func (s *Store) WaitingNotices(ctx context.Context, l notify.Lane, now time.Time) (n int, err error) {
	err = s.ro.QueryRowContext(ctx, `SELECT count(*) FROM notice WHERE tenant = $1 AND channel = $2 AND due_at <= $3`, l.Tenant, l.Channel, ms(now)).Scan(&n)
	return n, storeErr("counting messages", err)
}

// DropNotice takes out a message that is not to be sent any more.
func (s *Store) DropNotice(ctx context.Context, n notify.Notice) error {
	return s.write(ctx, func(t *Tx) error { return t.dropNotice(n) })
}

func (t *Tx) dropNotice(n notify.Notice) error {
	_, err := t.Exec(`DELETE FROM notice WHERE tenant = $1 AND id = $2`, n.Tenant, n.ID)
	return err
}

// Tried stores what became of a try, see notify.Try, in one transaction.
func (s *Store) Tried(ctx context.Context, r notify.Try) error {
	return s.write(ctx, func(t *Tx) error {
		if err := t.putState(r.Notice.Lane, r.State); err != nil {
			return err
		}
		if err := t.tried(r); err != nil {
			return err
		}
		for _, ev := range r.Events {
			if err := t.Audit(ev); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *Tx) tried(r notify.Try) error {
	n := r.Notice
	if r.Sent {
		return t.dropNotice(n)
	}
	if _, err := t.Exec(`UPDATE notice SET due_at = $1, tries = tries + 1 WHERE tenant = $2 AND id = $3`, ms(r.Again), n.Tenant, n.ID); err != nil {
		return err
	}
	res, err := t.Exec(`DELETE FROM notice WHERE tenant = $1 AND channel = $2 AND at <= $3 AND due_at <= $4`, n.Tenant, n.Channel, ms(r.GiveUp), ms(r.Again))
	if err != nil {
		return err
	}
	gone, err := res.RowsAffected()
	if err != nil || gone == 0 {
		return storeErr("giving up messages", err)
	}
	if _, err := t.Exec(`UPDATE channel_state SET dropped = dropped + $1 WHERE tenant = $2 AND channel = $3`, gone, n.Tenant, n.Channel); err != nil {
		return err
	}
	ev := r.Dropped
	ev.Fields["count"] = gone
	return t.Audit(ev)
}

// putState stores how a Channel does; what was dropped is counted elsewhere.
func (t *Tx) putState(l notify.Lane, st notify.State) error {
	_, err := t.Exec(`INSERT INTO channel_state (tenant, channel, fails, since, told_at, failing, next_at, tried_at, sent_at, dropped, problem)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10)
		ON CONFLICT (tenant, channel) DO UPDATE SET fails = excluded.fails, since = excluded.since, told_at = excluded.told_at, failing = excluded.failing,
			next_at = excluded.next_at, tried_at = excluded.tried_at, sent_at = excluded.sent_at, problem = excluded.problem`,
		l.Tenant, l.Channel, st.Fails, ms(st.Since), ms(st.ToldAt), st.Failing, ms(st.NextAt), ms(st.TriedAt), ms(st.SentAt), st.Problem)
	return err
}

// Opened begins a tenant's Channel anew: what it was held back for may have been
// mended.
func (s *Store) Opened(ctx context.Context, l notify.Lane, at time.Time) error {
	return s.write(ctx, func(t *Tx) error {
		*t.notices = true
		_, err := t.Exec(`INSERT INTO channel_state (tenant, channel, fails, since, told_at, failing, next_at, tried_at, sent_at, dropped, problem)
			VALUES ($1, $2, 0, 0, 0, false, 0, $3, $3, 0, '')
			ON CONFLICT (tenant, channel) DO UPDATE SET next_at = 0, tried_at = excluded.tried_at, sent_at = excluded.sent_at`, l.Tenant, l.Channel, ms(at))
		return err
	})
}

var _ notify.Store = (*Store)(nil)
