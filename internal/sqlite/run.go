package sqlite

import (
	"context"
	"encoding/json"
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

func runOf(x *row) (intent.Run, error) {
	r := intent.Run{
		Tenant: x.tenant(), ID: x.text("id"), Mission: x.text("mission"), Starter: x.text("starter"), StarterName: x.text("starter_name"),
		Via: x.text("via"), Worker: x.text("worker"), Auth: x.text("auth"), Source: x.text("source"), Input: json.RawMessage(x.text("input")), Salt: x.text("salt"), State: intent.RunState(x.text("state")),
		Verdict: x.text("verdict"), Summary: x.text("summary"), Segment: int(x.number("segment")), Incidents: int(x.number("incidents")),
		CreatedAt: x.instant("created_at"), EndedAt: x.instant("ended_at"),
	}
	r.Used.Turns, r.Used.InputTokens, r.Used.OutputTokens = int(x.number("turns")), x.number("tokens_in"), x.number("tokens_out")
	r.Used.CostUSD = x.real("cost_usd")
	return r, nil
}

// Run reads one; kind NotFound.
func (s *Store) Run(ctx context.Context, tenant ident.Tenant, id string) (intent.Run, error) {
	return oneRow(ctx, s, runOf, func(r *reader) (*row, error) { return r.byKey(tbRun, tenant, id) })
}

// Runs lists a tenant's, the newest first; starter limits it to one person's.
func (s *Store) Runs(ctx context.Context, tenant ident.Tenant, starter string, limit int) ([]intent.Run, error) {
	return listRows(ctx, s, tbRun, runOf, "WHERE tenant = $1 AND ($2 = '' OR starter = $2) ORDER BY created_at DESC, id LIMIT $3", tenant, starter, limit)
}

// OpenRuns lists those of every tenant that have not ended.
func (s *Store) OpenRuns(ctx context.Context) ([]intent.Run, error) {
	return listRows(ctx, s, tbRun, runOf, "WHERE state <> 'ended' ORDER BY created_at LIMIT 100000")
}

// CreateRun stores a Run with its first entries, or returns the one that the
// same starter began with the same key.
func (s *Store) CreateRun(ctx context.Context, n gate.NewRun) (r intent.Run, err error) {
	err = s.write(ctx, func(t *Tx) error {
		r = n.Run
		if n.Key != "" {
			old, err := t.started(n)
			if fault.Is(err, fault.NotFound) { // then it is one that has ended
				old, err = t.reader().one(tbRun, "WHERE tenant = $1 AND mission = $2 AND starter = $3 AND start_key = $4", r.Tenant, r.Mission, r.Starter, n.Key)
			}
			if !fault.Is(err, fault.NotFound) {
				if err == nil {
					r, err = runOf(old)
				}
				return err
			}
		}
		if n.Alone {
			open, err := t.reader().openRunOf(r.Tenant, r.Mission, r.Starter)
			if !fault.Is(err, fault.NotFound) {
				if err == nil {
					r, err = runOf(open)
				}
				return err
			}
		}
		if err := t.roomFor(r.Tenant, n.Quotas, countRuns); err != nil {
			return err
		}
		if _, err := t.insert(tbRun, cols{"tenant": r.Tenant, "id": r.ID, "mission": r.Mission, "starter": r.Starter, "starter_name": r.StarterName,
			"via": r.Via, "worker": r.Worker, "auth": r.Auth, "source": r.Source, "input": string(r.Input), "salt": r.Salt, "state": r.State, "verdict": "", "summary": "", "segment": 0, "turns": 0,
			"tokens_in": 0, "tokens_out": 0, "cost_usd": 0.0, "incidents": 0, "refusals": 0, "rests": 0, "start_key": nullText(n.Key),
			"created_at": r.CreatedAt, "ended_at": 0, "erased_at": 0}); err != nil {
			return err
		}
		return t.follow(r.Tenant, r.ID, commit.Step{Events: n.Events, Observe: n.Observe, Outbox: n.Outbox})
	})
	return r, err
}

// started finds the Run that the same key has started and that has not ended; kind
// NotFound.
func (t *Tx) started(n gate.NewRun) (*row, error) {
	live, err := t.reader().live(tbRun, n.Run.Tenant, startOf(n.Run.Mission, n.Run.Starter, n.Key))
	if err == nil && len(live) == 0 {
		err = fault.New(fault.NotFound, "no Run of that key is under way")
	}
	if err != nil {
		return nil, err
	}
	return live[0], nil
}

// EndRun ends a Run once; ending it again is a Conflict. What it still has in
// the Decision Queue is withdrawn, and its tokens end with it.
func (s *Store) EndRun(ctx context.Context, tenant ident.Tenant, id, verdict, summary string, at time.Time, ev audit.Event, o explain.Observation) error {
	return s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbRun, tenant, id)
		if fault.Is(err, fault.NotFound) || err == nil && x.text("state") == string(intent.RunEnded) {
			return errRunChanged
		}
		if err != nil {
			return err
		}
		if err := t.put(x, cols{"state": intent.RunEnded, "verdict": verdict, "summary": summary, "ended_at": at}); err != nil {
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
	undone, err := t.reader().good(tbIntent, "WHERE tenant = $1 AND run = $2 AND state IN ('PARKED', 'APPROVED') ORDER BY id", tenant, run)
	if err != nil {
		return err
	}
	for _, it := range undone {
		ds, err := t.reader().good(tbDecision, "WHERE tenant = $1 AND intent = $2 AND state IN ('open', 'approved')", tenant, it.text("id"))
		if err != nil {
			return err
		}
		for _, d := range ds {
			if err := t.Audit(audit.Event{Type: audit.IntentDecided, Tenant: tenant, At: at, Actor: actor, Run: run, Intent: it.text("id"),
				Fields: map[string]any{"decision": d.text("id"), "verdict": string(decision.Withdrawn), "state": string(intent.Withdrawn), "why": "the Run ended"}}); err != nil {
				return err
			}
			if d.text("state") == string(decision.Open) {
				d.set(cols{"decided_at": at})
			}
			if err := t.putDecision(d, cols{"state": decision.Withdrawn}); err != nil {
				return err
			}
		}
		if err := t.put(it, cols{"state": intent.Withdrawn, "why": "the Run ended", "updated_at": at}); err != nil {
			return err
		}
	}
	return nil
}

var errRunChanged error = fault.New(fault.Conflict, "the run has changed in the meantime")

// runOpen refuses work for a Run that has ended.
func (t *Tx) runOpen(tenant ident.Tenant, id string) error {
	x, err := t.reader().byKey(tbRun, tenant, id)
	if err == nil && x.text("state") == string(intent.RunEnded) {
		err = fault.New(fault.Denied, "the Run has ended")
	}
	return err
}

// Refuse counts a refused proposal against a Run and writes it down; it returns
// the count.
func (s *Store) Refuse(ctx context.Context, run string, ev audit.Event, o explain.Observation) (int, error) {
	return s.counted(ctx, ev.Tenant, run, "refusals", ev, o)
}

func (s *Store) counted(ctx context.Context, tenant ident.Tenant, run, column string, ev audit.Event, o explain.Observation) (n int, err error) {
	err = s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbRun, tenant, run)
		if err != nil {
			return err
		}
		x.add(column, 1)
		n = int(x.number(column))
		if err := t.put(x, nil); err != nil {
			return err
		}
		return t.follow(tenant, run, commit.Step{Events: []audit.Event{ev}, Observe: []explain.Observation{o}})
	})
	return n, err
}

// Wait marks a Run as waiting for the Intents in open. It is a Conflict when one
// of them is final: then there is something to go on with, also if others wait,
// and what ended it found the Run running and started nothing.
func (s *Store) Wait(ctx context.Context, tenant ident.Tenant, run string, open []string) error {
	return s.write(ctx, func(t *Tx) error {
		for _, id := range open {
			x, err := t.reader().byKey(tbIntent, tenant, id)
			if err == nil && x.text("run") != run {
				err = fault.New(fault.NotFound, "the Run has no such intent")
			}
			if err != nil {
				return err
			}
			if x.state("state").Final() {
				return fault.New(fault.Conflict, "an action that the Run would wait for has ended")
			}
		}
		x, err := t.runAt(tenant, run, intent.RunRunning, errRunChanged)
		if err != nil {
			return err
		}
		return t.put(x, cols{"state": intent.RunWaiting})
	})
}

// runAt reads a Run that has to be in a state, or gives an error.
func (t *Tx) runAt(tenant ident.Tenant, id string, state intent.RunState, not error) (*row, error) {
	x, err := t.reader().byKey(tbRun, tenant, id)
	if fault.Is(err, fault.NotFound) || err == nil && x.text("state") != string(state) {
		return nil, not
	}
	return x, err
}

// Rest makes a running Run wait until a time, when something that it needs does
// not answer. It says how often in a row it has rested now.
func (s *Store) Rest(ctx context.Context, tenant ident.Tenant, run string, until func(n int) time.Time) (n int, err error) {
	err = s.write(ctx, func(t *Tx) error {
		x, err := t.runAt(tenant, run, intent.RunRunning, fault.New(fault.Conflict, "the run is not running"))
		if err != nil {
			return err
		}
		x.add("rests", 1)
		n = int(x.number("rests"))
		if err := t.put(x, cols{"state": intent.RunWaiting}); err != nil {
			return err
		}
		return t.enqueue(tenant, commit.MsgSegment, run, until(n))
	})
	return n, err
}

// rested ends the counting of a Run's rests: it has gone on.
func (t *Tx) rested(tenant ident.Tenant, run string) error {
	x, err := t.reader().byKey(tbRun, tenant, run)
	if fault.Is(err, fault.NotFound) || err == nil && x.number("rests") == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	return t.put(x, cols{"rests": 0})
}

// NextSegment makes a waiting Run running and gives the number of its next
// segment. A Run that does not wait is a Conflict.
func (s *Store) NextSegment(ctx context.Context, tenant ident.Tenant, run string) (n int, err error) {
	err = s.write(ctx, func(t *Tx) error {
		x, err := t.runAt(tenant, run, intent.RunWaiting, fault.New(fault.Conflict, "the run does not wait"))
		if err != nil {
			return err
		}
		x.add("segment", 1)
		n = int(x.number("segment"))
		return t.put(x, cols{"state": intent.RunRunning})
	})
	return n, err
}

// SkipSegment goes on with the next segment of a running Run whose segment n the
// engine holds for ended.
func (s *Store) SkipSegment(ctx context.Context, tenant ident.Tenant, run string, n int) (next int, err error) {
	err = s.write(ctx, func(t *Tx) error {
		x, err := t.runAt(tenant, run, intent.RunRunning, errRunChanged)
		if err != nil {
			return err
		}
		if x.number("segment") != int64(n) {
			return errRunChanged
		}
		next = n + 1
		return t.put(x, cols{"segment": next})
	})
	return next, err
}
