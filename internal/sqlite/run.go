package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

const runColumns = `tenant, id, mission, starter, starter_name, via, worker, input, state, verdict, summary, segment,
	turns, tokens_in, tokens_out, cost_usd, incidents, created_at, ended_at`

func scanRun(row scanner) (intent.Run, error) {
	var r intent.Run
	var input string
	var created, ended int64
	err := row.Scan(&r.Tenant, &r.ID, &r.Mission, &r.Starter, &r.StarterName, &r.Via, &r.Worker, &input, &r.State, &r.Verdict, &r.Summary, &r.Segment,
		&r.Used.Turns, &r.Used.InputTokens, &r.Used.OutputTokens, &r.Used.CostUSD, &r.Incidents, &created, &ended)
	if err != nil {
		return r, storeErr("reading the run", err)
	}
	r.Input, r.CreatedAt = json.RawMessage(input), fromMS(created)
	if ended != 0 {
		r.EndedAt = fromMS(ended)
	}
	return r, nil
}

// Run reads one; kind NotFound.
func (s *Store) Run(ctx context.Context, tenant ident.Tenant, id string) (intent.Run, error) {
	return scanRun(s.ro.QueryRowContext(ctx, `SELECT `+runColumns+` FROM run WHERE tenant = $1 AND id = $2`, tenant, id))
}

// Runs lists a tenant's, the newest first; starter limits it to one person's.
func (s *Store) Runs(ctx context.Context, tenant ident.Tenant, starter string, limit int) ([]intent.Run, error) {
	return s.runs(ctx, `SELECT `+runColumns+` FROM run WHERE tenant = $1 AND ($2 = '' OR starter = $2) ORDER BY created_at DESC, id LIMIT $3`, tenant, starter, limit)
}

// OpenRuns lists those of every tenant that have not ended.
func (s *Store) OpenRuns(ctx context.Context) ([]intent.Run, error) {
	return s.runs(ctx, `SELECT `+runColumns+` FROM run WHERE state <> 'ended' ORDER BY created_at LIMIT 100000`)
}

func (s *Store) runs(ctx context.Context, query string, args ...any) ([]intent.Run, error) {
	return list(ctx, s, "runs", scanRun, query, args...)
}

// CreateRun stores a Run with its first entries, or returns the one that the
// same starter began with the same key.
func (s *Store) CreateRun(ctx context.Context, n gate.NewRun) (r intent.Run, err error) {
	err = s.write(ctx, func(t *Tx) error {
		r = n.Run
		if n.Key != "" {
			old, err := scanRun(t.QueryRow(`SELECT `+runColumns+` FROM run WHERE tenant = $1 AND mission = $2 AND starter = $3 AND start_key = $4`, r.Tenant, r.Mission, r.Starter, n.Key))
			if !fault.Is(err, fault.NotFound) {
				r = old
				return err
			}
		}
		if _, err := t.Exec(`INSERT INTO run (tenant, id, mission, starter, starter_name, via, worker, input, state, start_key, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
			r.Tenant, r.ID, r.Mission, r.Starter, r.StarterName, r.Via, r.Worker, string(r.Input), r.State, nullText(n.Key), ms(r.CreatedAt)); err != nil {
			return err
		}
		return t.follow(r.Tenant, r.ID, commit.Step{Events: n.Events, Observe: n.Observe, Outbox: n.Outbox})
	})
	return r, err
}

// EndRun ends a Run once; ending it again is a Conflict. What it still has in
// the Decision Queue is withdrawn, and its tokens end with it.
func (s *Store) EndRun(ctx context.Context, tenant ident.Tenant, id, verdict, summary string, at time.Time, ev audit.Event, o explain.Observation) error {
	return s.write(ctx, func(t *Tx) error {
		if err := t.ExecOne("the run", `UPDATE run SET state = 'ended', verdict = $1, summary = $2, ended_at = $3 WHERE tenant = $4 AND id = $5 AND state <> 'ended'`,
			verdict, summary, ms(at), tenant, id); err != nil {
			return err
		}
		if err := t.withdrawOf(tenant, id, ev.Actor, at); err != nil {
			return err
		}
		if err := t.endRunTokens(tenant, id, at); err != nil {
			return err
		}
		return t.follow(tenant, id, commit.Step{Events: []audit.Event{ev}, Observe: []explain.Observation{o}})
	})
}

// withdrawOf takes a Run's open items out of the Decision Queue, each with its
// audit entry, and what was approved and not begun out of the outbox's reach.
func (t *Tx) withdrawOf(tenant ident.Tenant, run, actor string, at time.Time) error {
	open, err := t.undone(tenant, run)
	if err != nil {
		return err
	}
	for _, d := range open {
		if err := t.Audit(audit.Event{Type: audit.IntentDecided, Tenant: tenant, At: at, Actor: actor, Run: run, Intent: d.intent,
			Fields: map[string]any{"decision": d.id, "verdict": string(decision.Withdrawn), "state": string(intent.Withdrawn), "why": "the Run ended"}}); err != nil {
			return err
		}
	}
	if _, err := t.Exec(`UPDATE decision SET state = 'withdrawn', decided_at = CASE WHEN state = 'open' THEN $1 ELSE decided_at END
		WHERE tenant = $2 AND run = $3 AND intent IN (SELECT id FROM intent WHERE tenant = $2 AND run = $3 AND state IN ('PARKED', 'APPROVED')) AND state IN ('open', 'approved')`, ms(at), tenant, run); err != nil {
		return err
	}
	_, err = t.Exec(`UPDATE intent SET state = 'WITHDRAWN', why = 'the Run ended', updated_at = $1 WHERE tenant = $2 AND run = $3 AND state IN ('PARKED', 'APPROVED')`,
		ms(at), tenant, run)
	return err
}

type openDecision struct{ id, intent string }

// undone lists what was decided, or waits to be, and was not begun.
func (t *Tx) undone(tenant ident.Tenant, run string) (out []openDecision, err error) {
	rows, err := t.Query(`SELECT d.id, d.intent FROM decision d JOIN intent i ON i.tenant = d.tenant AND i.id = d.intent
		WHERE d.tenant = $1 AND d.run = $2 AND d.state IN ('open', 'approved') AND i.state IN ('PARKED', 'APPROVED') ORDER BY d.id`, tenant, run)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var d openDecision
		if err := rows.Scan(&d.id, &d.intent); err != nil {
			return nil, storeErr("reading the Decisions", err)
		}
		out = append(out, d)
	}
	return out, storeErr("reading the Decisions", rows.Err())
}

// runOpen refuses work for a Run that has ended.
func (t *Tx) runOpen(tenant ident.Tenant, id string) error {
	var state intent.RunState
	if err := t.QueryRow(`SELECT state FROM run WHERE tenant = $1 AND id = $2`, tenant, id).Scan(&state); err != nil {
		return storeErr("reading the run", err)
	}
	if state == intent.RunEnded {
		return fault.New(fault.Denied, "the Run has ended")
	}
	return nil
}

// Incident counts one against a Run and writes it down; it returns the count.
func (s *Store) Incident(ctx context.Context, tenant ident.Tenant, run string, ev audit.Event, o explain.Observation) (n int, err error) {
	err = s.write(ctx, func(t *Tx) error {
		if err := t.QueryRow(`UPDATE run SET incidents = incidents + 1 WHERE tenant = $1 AND id = $2 RETURNING incidents`, tenant, run).Scan(&n); err != nil {
			return storeErr("counting an incident", err)
		}
		return t.follow(tenant, run, commit.Step{Events: []audit.Event{ev}, Observe: []explain.Observation{o}})
	})
	return n, err
}

// Refuse counts a refused proposal against a Run and writes it down; it returns
// the count.
func (s *Store) Refuse(ctx context.Context, run string, ev audit.Event, o explain.Observation) (n int, err error) {
	err = s.write(ctx, func(t *Tx) error {
		if err := t.QueryRow(`UPDATE run SET refusals = refusals + 1 WHERE tenant = $1 AND id = $2 RETURNING refusals`, ev.Tenant, run).Scan(&n); err != nil {
			return storeErr("counting a refusal", err)
		}
		return t.follow(ev.Tenant, run, commit.Step{Events: []audit.Event{ev}, Observe: []explain.Observation{o}})
	})
	return n, err
}

// Wait marks a Run as waiting for the Intents in open. It is a Conflict when one
// of them is final: then there is something to go on with, also if others wait,
// and what ended it found the Run running and started nothing.
func (s *Store) Wait(ctx context.Context, tenant ident.Tenant, run string, open []string) error {
	return s.write(ctx, func(t *Tx) error {
		for _, id := range open {
			var state intent.State
			if err := t.QueryRow(`SELECT state FROM intent WHERE tenant = $1 AND run = $2 AND id = $3`, tenant, run, id).Scan(&state); err != nil {
				return storeErr("reading the intent", err)
			}
			if state.Final() {
				return fault.New(fault.Conflict, "an action that the Run would wait for has ended")
			}
		}
		return t.ExecOne("the run", `UPDATE run SET state = 'waiting' WHERE tenant = $1 AND id = $2 AND state = 'running'`, tenant, run)
	})
}

// Rest makes a running Run wait until a time, when something that it needs does
// not answer. It says how often in a row it has rested now.
func (s *Store) Rest(ctx context.Context, tenant ident.Tenant, run string, until func(n int) time.Time) (n int, err error) {
	err = s.write(ctx, func(t *Tx) error {
		err := t.QueryRow(`UPDATE run SET state = 'waiting', rests = rests + 1 WHERE tenant = $1 AND id = $2 AND state = 'running' RETURNING rests`, tenant, run).Scan(&n)
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.Conflict, "the run is not running")
		}
		if err != nil {
			return storeErr("resting", err)
		}
		return t.enqueue(tenant, commit.MsgSegment, run, until(n))
	})
	return n, err
}

// NextSegment makes a waiting Run running and gives the number of its next
// segment. A Run that does not wait is a Conflict.
func (s *Store) NextSegment(ctx context.Context, tenant ident.Tenant, run string) (n int, err error) {
	err = s.write(ctx, func(t *Tx) error {
		err := t.QueryRow(`UPDATE run SET state = 'running', segment = segment + 1 WHERE tenant = $1 AND id = $2 AND state = 'waiting' RETURNING segment`, tenant, run).Scan(&n)
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.Conflict, "the run does not wait")
		}
		return storeErr("starting a segment", err)
	})
	return n, err
}

// SkipSegment goes on with the next segment of a running Run whose segment n the
// engine holds for ended.
func (s *Store) SkipSegment(ctx context.Context, tenant ident.Tenant, run string, n int) (next int, err error) {
	err = s.write(ctx, func(t *Tx) error {
		next = n + 1
		return t.ExecOne("the run", `UPDATE run SET segment = segment + 1 WHERE tenant = $1 AND id = $2 AND state = 'running' AND segment = $3`, tenant, run, n)
	})
	return next, err
}

// Observe appends one Observation.
func (s *Store) Observe(ctx context.Context, o explain.Observation) error {
	return s.write(ctx, func(t *Tx) error { return t.observe(o) })
}

// Observations lists a page of a Run's rail; see explain.Store.
func (s *Store) Observations(ctx context.Context, tenant ident.Tenant, run string, after int64, limit int) ([]explain.Observation, error) {
	rows, err := s.ro.QueryContext(ctx, `SELECT seq, at, kind, title, text, intent, data FROM observation
		WHERE tenant = $1 AND run = $2 AND seq > $3 ORDER BY seq LIMIT $4`, tenant, run, after, limit)
	if err != nil {
		return nil, storeErr("reading the rail", err)
	}
	defer rows.Close()
	var out []explain.Observation
	for rows.Next() {
		o := explain.Observation{Tenant: tenant, Run: run}
		var at int64
		var data string
		if err := rows.Scan(&o.Seq, &at, &o.Kind, &o.Title, &o.Text, &o.Intent, &data); err != nil {
			return nil, storeErr("reading the rail", err)
		}
		o.At = fromMS(at)
		if data != "" {
			o.Data = json.RawMessage(data)
		}
		out = append(out, o)
	}
	return out, storeErr("reading the rail", rows.Err())
}
