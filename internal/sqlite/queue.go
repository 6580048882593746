package sqlite

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// A page of the Decision Queue is read in two steps, each through an index: the
// places of what comes next, and the rows at them. So it costs what a page has,
// however many wait; and a row that is refused has a place like every other, so
// that neither it nor a thousand like it hide what comes after.

// place is where a Decision stands in a queue.
type place struct {
	at int64 // created_at, in milliseconds
	id string
}

func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.at, o.at), strings.Compare(p.id, o.id))
}

// mostPlaces bounds how many places are looked at for one page: who has changed a
// hundred thousand rows does not have a request read them all.
const mostPlaces = 5000

// Decisions lists a page of a tenant's, the oldest first. What a person sees by
// Member is not who may decide: that is looked up again with each verdict.
func (s *Store) Decisions(ctx context.Context, tenant ident.Tenant, f decision.Filter) (out []decision.Decision, err error) {
	err = s.read(ctx, func(r *reader) error {
		out, err = (&queue{reader: r, tenant: tenant, f: f}).page()
		return err
	})
	return out, err
}

// queue reads one page.
type queue struct {
	*reader
	tenant ident.Tenant
	f      decision.Filter
	teams  []string // ids of those that the Member is in
}

func (q *queue) page() (out []decision.Decision, err error) {
	after := place{at: -1 << 63}
	if q.f.After != "" {
		after.id = q.f.After
		rows, err := q.places(placeQuery, q.tenant, q.f.After)
		if err != nil || len(rows) == 0 {
			return nil, err
		}
		after = rows[0]
	}
	if q.f.Member != "" {
		if q.teams, err = q.teamsOf(q.tenant, q.f.Member); err != nil || len(q.teams) == 0 {
			return nil, err
		}
	}
	for looked := 0; len(out) < q.f.Limit && looked < mostPlaces; {
		want := q.f.Limit - len(out)
		next, err := q.next(after, want)
		if err != nil {
			return nil, err
		}
		ds, err := q.at(next)
		if err != nil {
			return nil, err
		}
		if out = append(out, ds...); len(next) < want {
			break
		}
		after, looked = next[len(next)-1], looked+len(next)
	}
	return out, nil
}

// memberOf is which rows those are.
const memberOf = "WHERE tenant = $1 AND account = $2"

// teamsOf are the ids of the Teams that an account is in.
func (r *reader) teamsOf(tenant ident.Tenant, account string) (ids []string, err error) {
	rows, err := r.good(tbMember, memberOf, tenant, account)
	for _, x := range rows {
		ids = append(ids, x.text("team"))
	}
	return ids, err
}

// next are the places after one, at most limit.
func (q *queue) next(after place, limit int) ([]place, error) {
	if q.f.Member == "" || q.f.Run != "" || q.f.Intent != "" { // of one Run or Intent there are few
		query, args := placesQuery(q.tenant, q.f, after, limit)
		return q.places(query, args...)
	}
	states := []decision.State{q.f.State}
	if q.f.State == "" {
		states = decision.States
	}
	var all []place
	for _, team := range q.teams {
		for _, state := range states {
			l, err := q.places(teamQuery, q.tenant, team, string(state), after.at, after.id, limit)
			if err != nil {
				return nil, err
			}
			all = append(all, l...)
		}
	}
	slices.SortFunc(all, place.compare)
	all = slices.Compact(all) // one that needs two of the Teams
	return all[:min(limit, len(all))], nil
}

// placeQuery asks for the place of one, which may have been removed.
const placeQuery = `SELECT created_at, id FROM decision WHERE tenant = $1 AND id = $2
	UNION ALL SELECT created_at, decision FROM decision_team WHERE tenant = $1 AND decision = $2`

// teamQuery asks for a Team's in one state.
const teamQuery = `SELECT created_at, decision FROM decision_team WHERE tenant = $1 AND team = $2 AND state = $3
	AND (created_at, decision) > ($4, $5) ORDER BY created_at, decision LIMIT $6`

// placesQuery asks for a tenant's. Of the conditions one has the index: a plus keeps
// the others from being taken for it.
func placesQuery(tenant ident.Tenant, f decision.Filter, after place, limit int) (query string, args []any) {
	query, args = `SELECT created_at, id FROM decision WHERE tenant = $1`, []any{tenant}
	plus := ""
	for _, c := range []struct{ column, value string }{{"intent", f.Intent}, {"run", f.Run}, {"state", string(f.State)}} {
		if c.value != "" {
			args = append(args, c.value)
			query += " AND " + plus + c.column + " = " + dollar(len(args))
			plus = "+"
		}
	}
	args = append(args, after.at, after.id, limit)
	n := len(args)
	return query + " AND (created_at, id) > (" + dollar(n-2) + ", " + dollar(n-1) + ") ORDER BY created_at, id LIMIT " + dollar(n), args
}

func (q *queue) places(query string, args ...any) (out []place, err error) {
	rows, err := q.q.QueryContext(q.ctx, query, args...)
	if err != nil {
		return nil, storeErr("listing Decisions", err)
	}
	defer rows.Close()
	for rows.Next() {
		var p place
		if err := rows.Scan(&p.at, &p.id); err != nil {
			return nil, storeErr("listing Decisions", err)
		}
		out = append(out, p)
	}
	return out, storeErr("listing Decisions", rows.Err())
}

// rowsAt reads rows by their ids.
const rowsAt = "WHERE tenant = $1 AND id IN (SELECT value FROM json_each($2))"

// at reads the Decisions at places, and checks those rows alone.
func (q *queue) at(places []place) (out []decision.Decision, err error) {
	if len(places) == 0 {
		return nil, nil
	}
	ids := make([]string, len(places))
	for i, p := range places {
		ids[i] = p.id
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "listing Decisions", err)
	}
	rows, err := q.scan(tbDecision, rowsAt, q.tenant, string(list))
	if err != nil {
		return nil, err
	}
	have := make(map[string]*row, len(rows))
	for _, x := range rows {
		have[x.text("id")] = x
	}
	for _, p := range places {
		d, err := q.judged(p, have[p.id])
		if bad, refused := errors.AsType[*refusal](err); refused {
			if err := q.leaveOut(err); err != nil {
				return nil, err
			}
			if !q.f.Refused || bad.name != p.id { // what is not shown as it is can't be gone on after
				continue
			}
			d = decision.Decision{Tenant: q.tenant, ID: p.id, State: q.f.State, CreatedAt: fromMS(p.at), Refused: bad.why}
		} else if err != nil {
			return nil, err
		}
		if d.ID != "" {
			out = append(out, d)
		}
	}
	return out, nil
}

// judged is the Decision at a place; without an id where that leads to none that was
// asked for, as only a place that somebody has changed does. An error is a refusal.
func (q *queue) judged(p place, x *row) (d decision.Decision, err error) {
	if x == nil {
		gone := rowID{q.tenant, tbDecision, p.id}
		if _, known, err := q.find(gone); err != nil || !known {
			return d, err
		}
		return d, q.s.refuse(gone, whyRemoved)
	}
	if err := q.check(x); err != nil {
		return d, err
	}
	if d, err = decisionOf(x); err != nil {
		return d, err
	}
	concerned := q.f.Member == "" || slices.ContainsFunc(d.Needs, func(n decision.Need) bool { return slices.Contains(q.teams, n.TeamID) })
	if !concerned || q.f.State != "" && d.State != q.f.State {
		return decision.Decision{}, nil
	}
	return d, nil
}

// overdueQuery asks for open ones whose time is over, of every tenant, after one of
// them.
const overdueQuery = `WHERE state = 'open' AND expires_at <= $1 AND (expires_at, tenant, id) > ($2, $3, $4)
	ORDER BY expires_at, tenant, id LIMIT $5`

// OverdueDecisions lists open ones of every tenant whose time is over, after one of
// them, the zero Decision being before all.
func (s *Store) OverdueDecisions(ctx context.Context, now time.Time, after decision.Decision, limit int) (out []decision.Decision, err error) {
	err = s.read(ctx, func(r *reader) error {
		out = nil
		at, tenant, id := ms(after.ExpiresAt), string(after.Tenant), after.ID
		for looked := 0; len(out) < limit && looked < mostPlaces; {
			want := limit - len(out)
			rows, err := r.scan(tbDecision, overdueQuery, ms(now), at, tenant, id, want)
			if err != nil {
				return err
			}
			for _, x := range rows {
				at, tenant, id = x.number("expires_at"), string(x.tenant()), x.text("id")
				if err := r.check(x); err != nil {
					if err = r.leaveOut(err); err != nil {
						return err
					}
					continue
				}
				d, err := decisionOf(x)
				if err != nil {
					return err
				}
				out = append(out, d)
			}
			if looked += len(rows); len(rows) < want {
				break
			}
		}
		return nil
	})
	return out, err
}

// queueUp gives a new Decision its place in the queue of each Team that it needs.
func (t *Tx) queueUp(x *row, needs []decision.Need) error {
	for _, n := range needs {
		if _, err := t.Exec(`INSERT INTO decision_team (tenant, team, state, created_at, decision) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
			x.tenant(), n.TeamID, x.text("state"), x.number("created_at"), x.text("id")); err != nil {
			return err
		}
	}
	return nil
}

// requeue moves a Decision to the queues of its new state.
func (t *Tx) requeue(x *row) error {
	_, err := t.Exec(`UPDATE decision_team SET state = $1 WHERE tenant = $2 AND decision = $3`, x.text("state"), x.tenant(), x.text("id"))
	return err
}

// requeueAll does so with Decisions that are in one state each.
func (t *Tx) requeueAll(rows []*row) error {
	type queue struct {
		tenant ident.Tenant
		state  string
	}
	ids := map[queue][]string{}
	for _, x := range rows {
		q := queue{x.tenant(), x.text("state")}
		ids[q] = append(ids[q], x.text("id"))
	}
	for q, list := range ids {
		b, err := json.Marshal(list)
		if err != nil {
			return fault.Wrap(fault.Internal, "moving Decisions to another queue", err)
		}
		if _, err := t.Exec(`UPDATE decision_team SET state = $1 WHERE tenant = $2 AND decision IN (SELECT value FROM json_each($3))`, q.state, q.tenant, string(b)); err != nil {
			return err
		}
	}
	return nil
}
