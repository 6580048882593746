package sqlite

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

func decisionOf(x *row) (decision.Decision, error) {
	d := decision.Decision{
		Tenant: x.tenant(), ID: x.text("id"), Intent: x.text("intent"), Revision: int(x.number("revision")), Run: x.text("run"), Mission: x.text("mission"),
		Digest: x.digest("digest"), State: decision.State(x.text("state")),
		CreatedAt: x.instant("created_at"), ExpiresAt: x.instant("expires_at"), DecidedAt: x.instant("decided_at"), Reason: x.text("reason"),
		AutoBy: x.text("auto_by"), PolicySet: x.text("policy_set"), Note: x.text("note"), BreakGlass: x.flag("break_glass"), Passkey: x.flag("passkey"), Notes: int(x.number("notes")),
		HeldAt: x.instant("held_at"),
	}
	if policies := x.text("policies"); policies != "" {
		d.Policies = strings.Split(policies, "\n")
	}
	if err := json.Unmarshal([]byte(x.text("needs")), &d.Needs); err != nil {
		return d, fault.Wrap(fault.Internal, "reading what a Decision needs", err)
	}
	if err := json.Unmarshal([]byte(x.text("votes")), &d.Votes); err != nil {
		return d, fault.Wrap(fault.Internal, "reading the votes on a Decision", err)
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

// insertDecision stores a Decision within somebody else's transaction. It finds
// the Teams' ids, and takes the place of an earlier Decision on the same Intent.
func (t *Tx) insertDecision(d decision.Decision) error {
	if err := t.teamsOf(&d); err != nil {
		return err
	}
	if _, err := t.reader().live(tbDecision, d.Tenant, d.Intent); err != nil { // one that is hidden would stay open
		return err
	}
	earlier, err := t.reader().all(tbDecision, "WHERE tenant = $1 AND intent = $2", d.Tenant, d.Intent)
	if err != nil {
		return err
	}
	notes := int64(0)
	for _, x := range earlier {
		notes = max(notes, x.number("notes"))
		if s := decision.State(x.text("state")); s == decision.Open || s == decision.Approved {
			if err := t.putDecision(x, cols{"state": decision.Void}); err != nil {
				return err
			}
		}
	}
	needs, err := encodeList(d.Needs)
	if err != nil {
		return err
	}
	origins, err := originsText(d)
	if err != nil {
		return err
	}
	votes, err := encodeList(d.Votes)
	if err != nil {
		return err
	}
	x, err := t.insert(tbDecision, cols{"tenant": d.Tenant, "id": d.ID, "intent": d.Intent, "revision": d.Revision, "run": d.Run, "mission": d.Mission,
		"digest": d.Digest, "needs": needs, "votes": votes, "state": d.State, "created_at": d.CreatedAt, "expires_at": d.ExpiresAt,
		"decided_at": d.DecidedAt, "reason": d.Reason, "auto_by": d.AutoBy, "policies": strings.Join(d.Policies, "\n"), "policy_set": d.PolicySet,
		"note": d.Note, "break_glass": d.BreakGlass, "passkey": d.Passkey, "notes": notes, "held_at": d.HeldAt, "origins": origins})
	if err != nil {
		return err
	}
	if err := t.queueUp(x, d.Needs); err != nil || d.State != decision.Open {
		return err
	}
	return t.announceWait(d)
}

// teamsOf finds the ids of the Teams that a Decision needs.
func (t *Tx) teamsOf(d *decision.Decision) error {
	d.Needs = slices.Clone(d.Needs)
	if d.AutoBy == "" && len(d.Needs) == 0 {
		return fault.New(fault.Invalid, "nobody is named who could decide")
	}
	for i := range d.Needs {
		n := &d.Needs[i]
		team, err := t.reader().teamHead(d.Tenant, n.Team)
		if fault.Is(err, fault.NotFound) {
			return fault.Newf(fault.Invalid, "the Team %s, which would have to decide, does not exist", fault.Quote(n.Team)).
				WithHint("apply the Team, then propose the action again")
		}
		if err != nil {
			return err
		}
		n.TeamID = team.text("id")
	}
	return nil
}

// putDecision stores a Decision that was read in this step, and changed.
func (t *Tx) putDecision(x *row, c cols) error {
	was := x.text("state")
	if err := t.put(x, c); err != nil || x.text("state") == was {
		return err
	}
	return t.requeue(x)
}

// encodeList is a list as JSON; none is [].
func encodeList[T any](list []T) (string, error) {
	if list == nil {
		list = []T{}
	}
	return encode(list)
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

// Refused appends the entry of a verdict that does not count.
func (s *Store) Refused(ctx context.Context, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error { return t.Audit(ev) })
}
