package sqlite

import (
	"context"
	"math"
	"time"

	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
)

// lostScope stands, in place of a scope, in the one row that says that rows were
// lost: until all that could have been among them would be free again, nothing
// limited can be counted, and so it is not let through.
const lostScope = "*"

// keepUses is how much longer a use is kept than it counts: a clock that was ahead
// for a while must not have them forgotten.
const keepUses = 24 * time.Hour

// PolicyUse is what other Intents have used of a limit within its window before
// now, and whether this one has its place already; see gate.Earlier.
func (s *Store) PolicyUse(ctx context.Context, tenant ident.Tenant, u policy.Use, intentID string, now time.Time) (used int64, held bool, err error) {
	err = s.read(ctx, func(r *reader) error {
		c, err := r.uses(tenant, u, intentID, now)
		used, held = c.used, c.held >= u.Amount
		return err
	})
	return used, held, err
}

// counted is what is used of a scope.
type counted struct {
	used   int64 // by other Intents, within the window
	held   int64 // by the Intent itself; -1: it has none
	newest time.Time
}

// uses counts. A use that lies ahead of now counts too: the clock was set back.
func (r *reader) uses(tenant ident.Tenant, u policy.Use, intentID string, now time.Time) (counted, error) {
	c := counted{held: -1}
	lost, err := r.scope(tenant, lostScope)
	if err != nil {
		return c, err
	}
	if len(lost) > 0 {
		return c, r.s.refuse(lost[0].id(), whyUses)
	}
	rows, err := r.scope(tenant, u.Scope)
	since := ms(now.Add(-u.Window))
	for _, x := range rows {
		if at := x.instant("at"); at.After(c.newest) {
			c.newest = at
		}
		switch n := x.number("amount"); {
		case x.text("intent") == intentID:
			c.held = n
		case x.number("at") <= since:
		case n < 0 || c.used > math.MaxInt64-n:
			c.used = math.MaxInt64
		default:
			c.used += n
		}
	}
	return c, err
}

// useUp takes what an Intent uses of rates and budgets, if there is room for it
// beside what is used by now: gate.ErrUsedUp when there is none. What it has taken
// before it takes once.
func (t *Tx) useUp(p gate.Proposed) error {
	i := p.Intent
	done := map[string]*row{}
	for _, u := range p.Uses {
		if u.Amount == 0 {
			continue // there was room for nothing when it was evaluated, and still is
		}
		c, err := t.reader().uses(i.Tenant, u, i.ID, i.CreatedAt)
		if err != nil {
			return err
		}
		if !u.Observed && !u.Within(c.used) {
			return gate.ErrUsedUp
		}
		at := i.CreatedAt
		if c.newest.After(at) {
			at = c.newest // the clock was set back: it counts no shorter than what was used before
		}
		until := at.Add(u.Window)
		if x := done[u.Scope]; x != nil { // two windows over the same
			if until.After(x.instant("until")) {
				err = t.put(x, cols{"until": until})
			}
		} else if c.held >= 0 { // it was proposed before
			if x, err = t.reader().byKey(tbUse, i.Tenant, u.Scope, i.ID); err == nil {
				if was := x.instant("until"); was.After(until) {
					until = was
				}
				err = t.put(x, cols{"amount": max(c.held, u.Amount), "until": until})
			}
		} else {
			done[u.Scope], err = t.insert(tbUse, cols{"tenant": i.Tenant, "scope": u.Scope, "intent": i.ID, "at": at, "amount": u.Amount, "until": until})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// SweepUses forgets what counts no more. The use of an Intent that is under way is
// kept: it has its place when it is dispatched. What is refused is left where it is.
func (s *Store) SweepUses(ctx context.Context, now time.Time) error {
	return s.write(ctx, func(t *Tx) error {
		rows, err := t.reader().good(tbUse, `WHERE until < $1 AND NOT EXISTS (SELECT 1 FROM intent
			WHERE intent.tenant = policy_use.tenant AND intent.id = policy_use.intent AND intent.state IN (`+openStates+`)) LIMIT 1000`, ms(now.Add(-keepUses)))
		if err != nil {
			return err
		}
		return t.removeAll(rows)
	})
}

// loseUses takes the uses of a tenant away, of which some were removed or put back
// and nobody can tell which, and puts down that they were lost.
func (t *Tx) loseUses(tenant ident.Tenant) error {
	if _, err := t.Exec("DELETE FROM policy_use WHERE tenant = $1", tenant); err != nil {
		return err
	}
	for id := range t.rows.loaded[tenant].rows {
		if id.table == tbUse {
			t.rows.change(id, nil)
		}
	}
	now := t.s.guard.Now()
	_, err := t.insert(tbUse, cols{"tenant": tenant, "scope": lostScope, "intent": "lost", "at": now, "amount": int64(math.MaxInt64),
		"until": now.Add(resource.MaxDecision)})
	return err
}

// scope reads all rows of a scope; one that is refused refuses
// the whole, and so does one that is known and not there.
func (r *reader) scope(tenant ident.Tenant, scope string) ([]*row, error) {
	if r.t != nil {
		if _, err := r.t.rows.of(tenant); err != nil {
			return nil, err
		}
	}
	rows, err := r.all(tbUse, "WHERE tenant = $1 AND scope = $2", tenant, scope)
	if err != nil {
		return nil, err
	}
	have := map[rowID]bool{}
	for _, x := range rows {
		have[x.id()] = true
	}
	for _, id := range r.ids(tbUse, tenant, scope) {
		if !have[id] {
			return nil, r.s.refuse(id, whyRemoved)
		}
	}
	return rows, nil
}
