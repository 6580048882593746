package sqlite

import (
	"context"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
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
	return listRows(ctx, s, tbIntent, func(x *row) (commit.Left, error) {
		it, err := intentOf(x)
		return commit.Left{Intent: it, Fence: x.number("fence"), Claimant: x.text("claimant")}, err
	}, "WHERE state IN ('PROPOSED', 'PARKED', 'APPROVED', 'CLAIMED', 'SENDING', 'UNKNOWN') ORDER BY created_at, tenant, id")
}

// Restored makes a restored database safe to serve from, in one transaction: what
// was open ends as r says, the Decisions on it are void, nothing waits in the
// outbox, nobody is signed in, no confirmation, Run's or Worker's token is worth anything,
// and schedules begin now. It returns how many sessions it has ended.
func (s *Store) Restored(ctx context.Context, r Restored) (sessions int, err error) {
	tenants, err := s.peopled(ctx)
	if err != nil {
		return 0, err
	}
	err = s.write(ctx, func(t *Tx) error {
		for _, ev := range r.Events {
			if err := t.Audit(ev); err != nil {
				return err
			}
		}
		if sessions, err = t.endSessions(tenants, r.At); err != nil {
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
		for _, tenant := range tenants { // of one that was revoked since, the backup knows nothing
			if err := t.endWorkerTokens(tenant, "", "system:restore", "a backup was restored", r.At); err != nil {
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
	live, err := t.reader().good(tbDecision, "WHERE tenant = $1 AND intent = $2 AND state IN ('open', 'approved')", st.Tenant, st.Intent)
	if err != nil {
		return err
	}
	for _, d := range live {
		if err := t.putDecision(d, cols{"state": decision.Void}); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) endRestored(r EndedRun, at time.Time) error {
	x, err := t.reader().byKey(tbRun, r.Tenant, r.ID)
	if err != nil {
		return err
	}
	if err := t.put(x, cols{"state": intent.RunEnded, "verdict": r.Verdict, "summary": r.Summary, "ended_at": at}); err != nil {
		return err
	}
	if err := t.endRunTokens(r.Tenant, r.ID, at); err != nil {
		return err
	}
	return t.follow(r.Tenant, r.ID, commit.Step{Events: []audit.Event{r.Event}, Observe: []explain.Observation{r.Observe}})
}

// endSessions ends everybody's, each with its entry, and takes away what nobody
// has confirmed with yet.
func (t *Tx) endSessions(tenants []ident.Tenant, at time.Time) (n int, err error) {
	for _, tenant := range tenants {
		open, err := t.reader().good(tbSession, "WHERE tenant = $1 AND ended_at = 0 ORDER BY id", tenant)
		if err != nil {
			return 0, err
		}
		for _, x := range open {
			if err := t.put(x, cols{"ended_at": at}); err != nil {
				return 0, err
			}
			if err := t.Audit(audit.Event{Type: audit.SessionEnded, Tenant: tenant, At: at, Actor: "system:restore",
				Fields: map[string]any{"session": x.text("id"), "account": x.text("account"), "why": "a backup was restored"}}); err != nil {
				return 0, err
			}
			n++
		}
		unused, err := t.reader().good(tbFactor, "WHERE tenant = $1 AND used_at = 0", tenant)
		if err != nil {
			return 0, err
		}
		pending, err := t.reader().good(tbPending, "WHERE tenant = $1", tenant)
		if err != nil {
			return 0, err
		}
		for _, x := range append(unused, pending...) {
			if err := t.remove(x); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// voidTokens takes away what only the time before the restore could use.
func (t *Tx) voidTokens(at time.Time) error {
	for _, text := range []string{`DELETE FROM run_token`, `DELETE FROM outbox`, `DELETE FROM notice`, `DELETE FROM channel_state`} {
		if _, err := t.Exec(text); err != nil {
			return err
		}
	}
	_, err := t.Exec(`UPDATE schedule_mark SET last_at = $1 WHERE last_at < $1`, ms(at))
	return err
}
