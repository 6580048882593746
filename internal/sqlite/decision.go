package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

const decisionColumns = `tenant, id, intent, revision, run, mission, digest, team, team_id, state, created_at, expires_at,
	decided_at, decided_by, decided_by_name, factor, method, reason, auto_by, policies, policy_set, self_approval`

func scanDecision(row scanner) (decision.Decision, error) {
	var d decision.Decision
	var policies string
	var created, expires, decided int64
	err := row.Scan(&d.Tenant, &d.ID, &d.Intent, &d.Revision, &d.Run, &d.Mission, &d.Digest, &d.Team, &d.TeamID, &d.State, &created, &expires,
		&decided, &d.By, &d.ByName, &d.Factor, &d.Method, &d.Reason, &d.AutoBy, &policies, &d.PolicySet, &d.SelfApproval)
	if err != nil {
		return decision.Decision{}, storeErr("reading the Decision", err)
	}
	if policies != "" {
		d.Policies = strings.Split(policies, "\n")
	}
	d.CreatedAt, d.ExpiresAt, d.DecidedAt = fromMS(created), fromMS(expires), fromMS(decided)
	return d, nil
}

// Decision reads one; kind NotFound.
func (s *Store) Decision(ctx context.Context, tenant ident.Tenant, id string) (decision.Decision, error) {
	return scanDecision(s.ro.QueryRowContext(ctx, `SELECT `+decisionColumns+` FROM decision WHERE tenant = $1 AND id = $2`, tenant, id))
}

// DecisionOf reads the one that counts for an Intent, or else the latest; kind
// NotFound.
func (s *Store) DecisionOf(ctx context.Context, tenant ident.Tenant, intentID string) (decision.Decision, error) {
	return scanDecision(s.ro.QueryRowContext(ctx, `SELECT `+decisionColumns+` FROM decision WHERE tenant = $1 AND intent = $2
		ORDER BY CASE WHEN state IN ('open', 'approved') THEN 0 ELSE 1 END, created_at DESC, id LIMIT 1`, tenant, intentID))
}

// Decisions lists a page of a tenant's, the oldest first.
func (s *Store) Decisions(ctx context.Context, tenant ident.Tenant, f decision.Filter) ([]decision.Decision, error) {
	return s.decisions(ctx, `SELECT `+decisionColumns+` FROM decision d WHERE tenant = $1
		AND ($2 = '' OR state = $2) AND ($3 = '' OR run = $3) AND ($4 = '' OR intent = $4)
		AND ($5 = '' OR EXISTS (SELECT 1 FROM team_member m WHERE m.tenant = d.tenant AND m.team = d.team_id AND m.account = $5))
		AND ($6 = '' OR (created_at, id) > (SELECT a.created_at, a.id FROM decision a WHERE a.tenant = $1 AND a.id = $6))
		ORDER BY created_at, id LIMIT $7`, tenant, f.State, f.Run, f.Intent, f.Member, f.After, f.Limit)
}

// OverdueDecisions lists open ones of every tenant whose time is over.
func (s *Store) OverdueDecisions(ctx context.Context, now time.Time, limit int) ([]decision.Decision, error) {
	return s.decisions(ctx, `SELECT `+decisionColumns+` FROM decision WHERE state = 'open' AND expires_at <= $1 ORDER BY expires_at, tenant, id LIMIT $2`, ms(now), limit)
}

func (s *Store) decisions(ctx context.Context, query string, args ...any) ([]decision.Decision, error) {
	return list(ctx, s, "Decisions", scanDecision, query, args...)
}

// insertDecision stores a Decision within somebody else's transaction. It finds
// the Team's id, and takes the place of an earlier Decision on the same Intent.
func (t *Tx) insertDecision(d decision.Decision) error {
	if d.AutoBy == "" {
		id, err := t.teamID(d.Tenant, d.Team)
		if fault.Is(err, fault.NotFound) {
			return fault.Newf(fault.Invalid, "the Team %s, which would have to decide, does not exist", fault.Quote(d.Team)).
				WithHint("apply the Team, then propose the action again")
		}
		if err != nil {
			return err
		}
		d.TeamID = id
	}
	if _, err := t.Exec(`UPDATE decision SET state = 'void' WHERE tenant = $1 AND intent = $2 AND state IN ('open', 'approved')`, d.Tenant, d.Intent); err != nil {
		return err
	}
	_, err := t.Exec(`INSERT INTO decision (`+decisionColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)`,
		d.Tenant, d.ID, d.Intent, d.Revision, d.Run, d.Mission, d.Digest, d.Team, d.TeamID, d.State, ms(d.CreatedAt), ms(d.ExpiresAt),
		ms(d.DecidedAt), d.By, d.ByName, d.Factor, d.Method, d.Reason, d.AutoBy, strings.Join(d.Policies, "\n"), d.PolicySet, flag(d.SelfApproval))
	return err
}

// Settle ends an open Decision with all that follows; see decision.Settlement.
func (s *Store) Settle(ctx context.Context, st decision.Settlement) error {
	return s.write(ctx, func(t *Tx) error {
		if err := t.closeDecision(st); err != nil {
			return err
		}
		if st.Decision.By != "" {
			if err := t.checkApprover(st); err != nil {
				return err
			}
		}
		return t.settled(st)
	})
}

// Refused appends the entry of a verdict that does not count.
func (s *Store) Refused(ctx context.Context, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error { return t.Audit(ev) })
}

// closeDecision is the compare-and-swap: of two at the same time, the second
// finds it closed.
func (t *Tx) closeDecision(st decision.Settlement) error {
	d := st.Decision
	res, err := t.Exec(`UPDATE decision SET state = $1, decided_at = $2, decided_by = $3, decided_by_name = $4, factor = $5, method = $6, reason = $7, self_approval = $8
		WHERE tenant = $9 AND id = $10 AND state = 'open' AND digest = $11 AND ($3 = '' OR expires_at > $2)
		AND EXISTS (SELECT 1 FROM intent i WHERE i.tenant = decision.tenant AND i.id = decision.intent AND i.revision = decision.revision AND i.state = 'PARKED')`,
		d.State, ms(st.At), d.By, d.ByName, d.Factor, d.Method, d.Reason, flag(d.SelfApproval), d.Tenant, d.ID, d.Digest)
	if err != nil {
		return err
	}
	return changedOne(res, decision.NotOpen)
}

// checkApprover uses the factor up and looks at the membership once more.
func (t *Tx) checkApprover(st decision.Settlement) error {
	d, f := st.Decision, st.Factor
	if f == nil {
		return decision.Refuse(decision.NoFactor)
	}
	res, err := t.Exec(`UPDATE factor SET used_at = $1 WHERE tenant = $2 AND id = $3 AND account = $4 AND act = $5 AND used_at = 0 AND at >= $6 AND at <= $1`,
		ms(st.At), d.Tenant, f.ID, d.By, f.For, ms(st.At.Add(-decision.FactorLife)))
	if err != nil {
		return err
	}
	if err := changedOne(res, decision.FactorUsed); err != nil {
		return err
	}
	var one int
	err = t.QueryRow(`SELECT 1 FROM team_member m
		JOIN account a ON a.tenant = m.tenant AND a.id = m.account JOIN intent i ON i.tenant = m.tenant AND i.id = $4
		WHERE m.tenant = $1 AND m.team = $2 AND m.account = $3 AND a.disabled = 0 AND m.since < i.created_at`,
		d.Tenant, d.TeamID, d.By, d.Intent).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return decision.Refuse(decision.NotInTeam)
	}
	return storeErr("checking the membership", err)
}

func changedOne(res sql.Result, c decision.Code) error {
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return decision.Refuse(c)
	}
	return nil
}

// settled writes what follows from the Decision.
func (t *Tx) settled(st decision.Settlement) error {
	d := st.Decision
	if err := t.moveIntent(d.Tenant, d.Intent, "PARKED", st.To, st.Why, st.At); err != nil {
		return err
	}
	if err := t.Audit(st.Event); err != nil {
		return err
	}
	if err := t.observe(explain.Observation{Tenant: d.Tenant, Run: d.Run, At: st.At, Kind: explain.Decision, Title: st.Title, Text: st.Text, Intent: d.Intent}); err != nil {
		return err
	}
	if d.State == decision.Approved {
		return t.enqueue(d.Tenant, commit.MsgDispatch, d.Intent, st.At)
	}
	return t.enqueue(d.Tenant, commit.MsgSegment, d.Run, st.At)
}
