package sqlite

import (
	"context"
	"database/sql"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Restored is what becomes true at one instant when a backup is restored.
type Restored struct {
	At     time.Time
	Steps  []commit.Step // of every Intent that is not final
	Runs   []EndedRun    // every Run that is not
	Events []audit.Event // one for each tenant: what was restored
}

// EndedRun is how one Run ends.
type EndedRun struct {
	Tenant           ident.Tenant
	ID               string
	Verdict, Summary string
	Event            audit.Event
	Observe          explain.Observation
}

// OpenIntents lists the Intents of every tenant that are not final, the oldest
// first.
func (s *Store) OpenIntents(ctx context.Context) ([]commit.Left, error) {
	return list(ctx, s, "open Intents", func(row scanner) (l commit.Left, err error) {
		l.Intent, err = scanIntent(scanMore{row, []any{&l.Fence, &l.Claimant}})
		return l, err
	}, `SELECT `+intentColumns+`, fence, claimant FROM intent
		WHERE state IN ('PROPOSED', 'PARKED', 'APPROVED', 'CLAIMED', 'SENDING', 'UNKNOWN') ORDER BY created_at, tenant, id`)
}

// Restored makes a restored database safe to serve from, in one transaction: what
// was open ends as r says, the Decisions on it are void, nothing waits in the
// outbox, nobody is signed in, no confirmation or Run's token is worth anything,
// and schedules begin now. It returns how many sessions it has ended.
func (s *Store) Restored(ctx context.Context, r Restored) (sessions int, err error) {
	err = s.write(ctx, func(t *Tx) error {
		for _, ev := range r.Events {
			if err := t.Audit(ev); err != nil {
				return err
			}
		}
		if sessions, err = t.endSessions(r.At); err != nil {
			return err
		}
		for _, st := range r.Steps {
			if err := t.closeRestored(st); err != nil {
				return err
			}
		}
		for _, run := range r.Runs {
			if err := t.endRestored(run, r.At); err != nil {
				return err
			}
		}
		return t.voidTokens(r.At)
	})
	return sessions, err
}

// closeRestored closes one Intent and voids its Decision.
func (t *Tx) closeRestored(st commit.Step) error {
	if _, err := t.step(st); err != nil {
		return err
	}
	_, err := t.Exec(`UPDATE decision SET state = 'void' WHERE tenant = $1 AND intent = $2 AND state IN ('open', 'approved')`, st.Tenant, st.Intent)
	return err
}

func (t *Tx) endRestored(r EndedRun, at time.Time) error {
	if err := t.ExecOne("the run", `UPDATE run SET state = $1, verdict = $2, summary = $3, ended_at = $4 WHERE tenant = $5 AND id = $6 AND state <> $1`,
		intent.RunEnded, r.Verdict, r.Summary, ms(at), r.Tenant, r.ID); err != nil {
		return err
	}
	if err := t.endRunTokens(r.Tenant, r.ID, at); err != nil {
		return err
	}
	return t.follow(r.Tenant, r.ID, commit.Step{Events: []audit.Event{r.Event}, Observe: []explain.Observation{r.Observe}})
}

// endSessions ends everybody's, each with its entry.
func (t *Tx) endSessions(at time.Time) (n int, err error) {
	var events []audit.Event
	err = each(t.ctx, t.tx, `SELECT tenant, id, account FROM session WHERE ended_at = 0 ORDER BY tenant, id`, func(r *sql.Rows) error {
		ev := audit.Event{Type: audit.SessionEnded, At: at, Actor: "system:restore"}
		var id, account string
		err := r.Scan(&ev.Tenant, &id, &account)
		ev.Fields = map[string]any{"session": id, "account": account, "why": "a backup was restored"}
		events = append(events, ev)
		return err
	})
	if err != nil {
		return 0, storeErr("listing the sessions", err)
	}
	for _, ev := range events {
		if err := t.Audit(ev); err != nil {
			return 0, err
		}
	}
	_, err = t.Exec(`UPDATE session SET ended_at = $1 WHERE ended_at = 0`, ms(at))
	return len(events), err
}

// voidTokens takes away what only the time before the restore could use.
func (t *Tx) voidTokens(at time.Time) error {
	for _, text := range []string{`DELETE FROM factor WHERE used_at = 0`, `DELETE FROM run_token`, `DELETE FROM outbox`} {
		if _, err := t.Exec(text); err != nil {
			return err
		}
	}
	_, err := t.Exec(`UPDATE schedule_mark SET last_at = $1 WHERE last_at < $1`, ms(at))
	return err
}
