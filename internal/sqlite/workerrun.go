package sqlite

import (
	"context"
	"encoding/json"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// OpenRunOf is a starter's Run of a Mission that has not ended; kind NotFound.
func (s *Store) OpenRunOf(ctx context.Context, tenant ident.Tenant, mission, starter string) (intent.Run, error) {
	return oneRow(ctx, s, runOf, func(r *reader) (*row, error) { return r.openRunOf(tenant, mission, starter) })
}

func (r *reader) openRunOf(tenant ident.Tenant, mission, starter string) (*row, error) {
	return r.one(tbRun, "WHERE tenant = $1 AND starter = $2 AND mission = $3 AND state <> 'ended' ORDER BY created_at, id", tenant, starter, mission)
}

// UnderWay lists a Run's open Intents, the oldest first.
func (s *Store) UnderWay(ctx context.Context, tenant ident.Tenant, run string) ([]intent.Intent, error) {
	return listRows(ctx, s, tbIntent, intentOf, "WHERE tenant = $1 AND run = $2 AND state IN ("+openStates+") ORDER BY created_at, id LIMIT 1000", tenant, run)
}

// A Quota's Runs: of the starters that it names, or of every outside Worker at its
// Mission. The one argument after the tenant is the list of starters, as JSON.
const quotaRuns = ` FROM run r WHERE r.tenant = $1 AND r.starter >= 'worker:' AND r.starter < 'worker;'
	AND ($2 = '[]' OR r.starter IN (SELECT value FROM json_each($2))) AND ($3 = '' OR r.mission = $3)`

func quotaArgs(tenant ident.Tenant, q gate.Quota) ([]any, error) {
	names := q.Starters
	if names == nil {
		names = []string{}
	}
	b, err := json.Marshal(names)
	if err != nil || len(names) == 0 && q.Mission == "" {
		return nil, fault.New(fault.Internal, "a quota that names nobody")
	}
	return []any{string(tenant), string(b), q.Mission}, nil
}

// WorkerCalls counts the Intents that those of a Quota have proposed since.
func (s *Store) WorkerCalls(ctx context.Context, tenant ident.Tenant, q gate.Quota, since time.Time) (n int, err error) {
	args, err := quotaArgs(tenant, q)
	if err != nil {
		return 0, err
	}
	err = s.ro.QueryRowContext(ctx, `SELECT count(*) FROM intent WHERE tenant = $1 AND created_at > $4 AND run IN (SELECT r.id`+quotaRuns+
		` AND (r.ended_at = 0 OR r.ended_at > $4))`, append(args, ms(since))...).Scan(&n)
	return n, storeErr("counting a Worker's calls", err)
}

// roomFor refuses what is over a Quota: count says what is counted of its open Runs.
func (t *Tx) roomFor(tenant ident.Tenant, qs []gate.Quota, count string) error {
	for _, q := range qs {
		args, err := quotaArgs(tenant, q)
		if err != nil {
			return err
		}
		var n int
		if err := t.QueryRow(count, args...).Scan(&n); err != nil {
			return storeErr("counting what Workers have", err)
		}
		if n >= q.Most {
			return &gate.OverLimit{Quota: q}
		}
	}
	return nil
}

const (
	countRuns   = `SELECT count(*)` + quotaRuns + ` AND r.state <> 'ended'`
	countParked = `SELECT count(*) FROM intent WHERE tenant = $1 AND state = 'PARKED' AND run IN (SELECT r.id` + quotaRuns + ` AND r.state <> 'ended')`
)

// CountExcess adds to what is kept, by tenant, Worker and minute; see gate.Excess.
func (s *Store) CountExcess(ctx context.Context, more []gate.Excess) error {
	return s.write(ctx, func(t *Tx) error {
		for _, x := range more {
			if _, err := t.Exec(`INSERT INTO worker_excess (tenant, worker, minute, denied, why) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (tenant, worker, minute) DO UPDATE SET denied = denied + excluded.denied`,
				x.Tenant, x.Worker, ms(x.Minute), x.Denied, x.Why); err != nil {
				return err
			}
		}
		return nil
	})
}

// maxMinutes is how many minutes are told in one transaction.
const maxMinutes = 100

// TellExcess makes one entry of each minute that began before, and keeps it no longer;
// left is how many it still keeps.
func (s *Store) TellExcess(ctx context.Context, before time.Time, entry func(gate.Excess) gate.Told) (left int, err error) {
	err = s.write(ctx, func(t *Tx) error {
		rows, err := t.Query(`SELECT tenant, worker, minute, denied, why FROM worker_excess WHERE minute < $1 ORDER BY minute, tenant, worker LIMIT $2`, ms(before), maxMinutes)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		var done []gate.Excess
		for rows.Next() {
			var x gate.Excess
			var minute int64
			if err := rows.Scan(&x.Tenant, &x.Worker, &minute, &x.Denied, &x.Why); err != nil {
				return storeErr("reading what Workers were denied", err)
			}
			x.Minute = fromMS(minute).UTC()
			done = append(done, x)
		}
		if err := rows.Err(); err != nil {
			return storeErr("reading what Workers were denied", err)
		}
		for _, x := range done {
			if err := t.Audit(entry(x)); err != nil {
				return err
			}
			if _, err := t.Exec(`DELETE FROM worker_excess WHERE tenant = $1 AND worker = $2 AND minute = $3`, x.Tenant, x.Worker, ms(x.Minute)); err != nil {
				return err
			}
		}
		return storeErr("counting what Workers were denied", t.QueryRow(`SELECT count(*) FROM worker_excess`).Scan(&left))
	})
	return left, err
}
