package sqlite

import (
	"context"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

func decisionOf(x *row) (decision.Decision, error) {
	d := decision.Decision{
		Tenant: x.tenant(), ID: x.text("id"), Intent: x.text("intent"), Revision: int(x.number("revision")), Run: x.text("run"), Mission: x.text("mission"),
		Digest: x.digest("digest"), Team: x.text("team"), TeamID: x.text("team_id"), State: decision.State(x.text("state")),
		CreatedAt: x.instant("created_at"), ExpiresAt: x.instant("expires_at"), DecidedAt: x.instant("decided_at"),
		By: x.text("decided_by"), ByName: x.text("decided_by_name"), Factor: x.text("factor"), Method: x.text("method"), Reason: x.text("reason"),
		AutoBy: x.text("auto_by"), PolicySet: x.text("policy_set"), SelfApproval: x.flag("self_approval"), HeldAt: x.instant("held_at"),
	}
	if policies := x.text("policies"); policies != "" {
		d.Policies = strings.Split(policies, "\n")
	}
	return d, readOrigins(x, &d)
}

// Decision reads one; kind NotFound.
func (s *Store) Decision(ctx context.Context, tenant ident.Tenant, id string) (decision.Decision, error) {
	return oneRow(ctx, s, decisionOf, func(r *reader) (*row, error) { return r.byKey(tbDecision, tenant, id) })
}

// DecisionOf reads the one that counts for an Intent, or else the latest; kind
// NotFound.
func (s *Store) DecisionOf(ctx context.Context, tenant ident.Tenant, intentID string) (decision.Decision, error) {
	return oneRow(ctx, s, decisionOf, func(r *reader) (*row, error) {
		return r.one(tbDecision, "WHERE tenant = $1 AND intent = $2 ORDER BY CASE WHEN state IN ('open', 'approved') THEN 0 ELSE 1 END, created_at DESC, id", tenant, intentID)
	})
}

// Decisions lists a page of a tenant's, the oldest first. What a person sees by
// Member is not who may decide: that is looked up again with each verdict.
func (s *Store) Decisions(ctx context.Context, tenant ident.Tenant, f decision.Filter) ([]decision.Decision, error) {
	return listRows(ctx, s, tbDecision, decisionOf, `WHERE tenant = $1
		AND ($2 = '' OR state = $2) AND ($3 = '' OR run = $3) AND ($4 = '' OR intent = $4)
		AND ($5 = '' OR EXISTS (SELECT 1 FROM team_member m WHERE m.tenant = decision.tenant AND m.team = decision.team_id AND m.account = $5))
		AND ($6 = '' OR (created_at, id) > (SELECT a.created_at, a.id FROM decision a WHERE a.tenant = $1 AND a.id = $6))
		ORDER BY created_at, id LIMIT $7`, tenant, f.State, f.Run, f.Intent, f.Member, f.After, f.Limit)
}

// OverdueDecisions lists open ones of every tenant whose time is over.
func (s *Store) OverdueDecisions(ctx context.Context, now time.Time, limit int) ([]decision.Decision, error) {
	return listRows(ctx, s, tbDecision, decisionOf, "WHERE state = 'open' AND expires_at <= $1 ORDER BY expires_at, tenant, id LIMIT $2", ms(now), limit)
}

// insertDecision stores a Decision within somebody else's transaction. It finds
// the Team's id, and takes the place of an earlier Decision on the same Intent.
func (t *Tx) insertDecision(d decision.Decision) error {
	if d.AutoBy == "" {
		team, err := t.reader().teamHead(d.Tenant, d.Team)
		if fault.Is(err, fault.NotFound) {
			return fault.Newf(fault.Invalid, "the Team %s, which would have to decide, does not exist", fault.Quote(d.Team)).
				WithHint("apply the Team, then propose the action again")
		}
		if err != nil {
			return err
		}
		d.TeamID = team.text("id")
	}
	if _, err := t.reader().live(tbDecision, d.Tenant, d.Intent); err != nil { // one that is hidden would stay open
		return err
	}
	earlier, err := t.reader().all(tbDecision, "WHERE tenant = $1 AND intent = $2 AND state IN ('open', 'approved')", d.Tenant, d.Intent)
	if err != nil {
		return err
	}
	for _, x := range earlier {
		if err := t.put(x, cols{"state": decision.Void}); err != nil {
			return err
		}
	}
	origins, err := originsText(d)
	if err != nil {
		return err
	}
	_, err = t.insert(tbDecision, cols{"tenant": d.Tenant, "id": d.ID, "intent": d.Intent, "revision": d.Revision, "run": d.Run, "mission": d.Mission,
		"digest": d.Digest, "team": d.Team, "team_id": d.TeamID, "state": d.State, "created_at": d.CreatedAt, "expires_at": d.ExpiresAt,
		"decided_at": d.DecidedAt, "decided_by": d.By, "decided_by_name": d.ByName, "factor": d.Factor, "method": d.Method, "reason": d.Reason,
		"auto_by": d.AutoBy, "policies": strings.Join(d.Policies, "\n"), "policy_set": d.PolicySet, "self_approval": d.SelfApproval, "held_at": d.HeldAt, "origins": origins})
	return err
}

// Hold marks an open Decision as one that was held, once; see decision.Config.
func (s *Store) Hold(ctx context.Context, d decision.Decision, ev audit.Event, at time.Time) error {
	return s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbDecision, d.Tenant, d.ID)
		if err != nil || x.number("held_at") != 0 || x.text("state") != string(decision.Open) {
			return err
		}
		if err := t.put(x, cols{"held_at": at}); err != nil {
			return err
		}
		return t.Audit(ev)
	})
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
	x, err := t.reader().byKey(tbDecision, d.Tenant, d.ID)
	if fault.Is(err, fault.NotFound) {
		return decision.Refuse(decision.NotOpen)
	}
	if err != nil {
		return err
	}
	it, err := t.reader().byKey(tbIntent, d.Tenant, x.text("intent"))
	switch {
	case fault.Is(err, fault.NotFound):
		return decision.Refuse(decision.NotOpen)
	case err != nil:
		return err
	case x.text("state") != string(decision.Open), x.digest("digest") != d.Digest, d.By != "" && x.number("expires_at") <= ms(st.At),
		it.number("revision") != x.number("revision"), it.state("state") != intent.Parked:
		return decision.Refuse(decision.NotOpen)
	}
	return t.put(x, cols{"state": d.State, "decided_at": st.At, "decided_by": d.By, "decided_by_name": d.ByName, "factor": d.Factor,
		"method": d.Method, "reason": d.Reason, "self_approval": d.SelfApproval})
}

// checkApprover uses the factor up and looks at the membership once more.
func (t *Tx) checkApprover(st decision.Settlement) error {
	d, f := st.Decision, st.Factor
	if f == nil {
		return decision.Refuse(decision.NoFactor)
	}
	x, err := t.reader().byKey(tbFactor, d.Tenant, f.ID)
	switch {
	case fault.Is(err, fault.NotFound):
		return decision.Refuse(decision.FactorUsed)
	case err != nil:
		return err
	case x.text("account") != d.By, x.digest("act") != f.For, x.number("used_at") != 0,
		x.number("at") < ms(st.At.Add(-decision.FactorLife)), x.number("at") > ms(st.At):
		return decision.Refuse(decision.FactorUsed)
	}
	if err := t.put(x, cols{"used_at": st.At}); err != nil {
		return err
	}
	since, err := t.reader().memberSince(d.Tenant, d.TeamID, d.By)
	if fault.Is(err, fault.NotFound) {
		return decision.Refuse(decision.NotInTeam)
	}
	if err != nil {
		return err
	}
	it, err := t.reader().byKey(tbIntent, d.Tenant, d.Intent)
	if err != nil {
		return err
	}
	if ms(since) >= it.number("created_at") {
		return decision.Refuse(decision.NotInTeam)
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
