package sqlite

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// Replace puts changes, which say the whole set, in the place of everything that
// is stored: the way out when Resources refuses it. Nothing of what is stored is
// used, but for who was in a Team that is not refused, and since when.
func (s *Store) Replace(ctx context.Context, tenant ident.Tenant, actor string, changes []ResourceChange, at time.Time) error {
	return s.write(ctx, func(t *Tx) error {
		if err := t.clear(tenant, actor, changes, at); err != nil {
			return err
		}
		return t.apply(tenant, actor, changes, at)
	})
}

// clear forgets the stored set: every resource, the Teams that are refused, and
// those that the new set does not have.
func (t *Tx) clear(tenant ident.Tenant, actor string, changes []ResourceChange, at time.Time) error {
	if _, err := t.rows.of(tenant); err != nil {
		return err
	}
	put(t.rows, t.rows.repair, tenant, true)
	stay := map[rowID]bool{} // what the log goes on to have
	keep := map[string]bool{}
	for _, c := range changes {
		stay[rowID{tenant, tbResource, string(c.Kind) + "/" + c.Name}] = true
		if c.Kind == resource.KindTeam {
			keep[c.Name] = true
		}
	}
	was, err := t.onRecord(tenant)
	if err != nil {
		return err
	}
	if err := t.forget(tbResource, "WHERE tenant = $1", tenant); err != nil {
		return err
	}
	if err := t.endWorkerTokens(tenant, "", actor, "the whole set was applied again", at); err != nil {
		return err
	}
	heads, err := t.reader().scan(tbTeam, "WHERE tenant = $1", tenant)
	if err != nil {
		return err
	}
	for _, h := range heads {
		_, err := t.reader().team(h)
		_, refused := errors.AsType[*refusal](err)
		if err != nil && !refused {
			return err
		}
		switch {
		case !refused && keep[h.text("name")]:
			stay[h.id()] = true
		case !refused:
			stay[h.id()] = true // its own entry says more
			err = t.forgetTeam(h, actor, at)
		default: // whatever it says
			err = t.forgetTeamRows(h)
		}
		if err != nil {
			return err
		}
	}
	if err := t.forget(tbMember, "WHERE tenant = $1 AND team NOT IN (SELECT id FROM team WHERE tenant = $1)", tenant); err != nil {
		return err
	}
	for _, tb := range []*table{tbResource, tbTeam, tbMember} {
		if err := t.unlearn(tb, tenant); err != nil {
			return err
		}
	}
	for _, id := range was {
		if stay[id] {
			continue
		}
		if err := t.recordDropped(id, actor, at); err != nil {
			return err
		}
	}
	return nil
}

// onRecord lists, in order, the resources and Teams that the audit log says are
// there, and those that are known to be. The log is read whole: what was removed by
// somebody else is nowhere but in it.
func (t *Tx) onRecord(tenant ident.Tenant) ([]rowID, error) {
	head, err := t.log.Head(tenant)
	if err != nil {
		return nil, err
	}
	f, err := t.replay(tenant, head)
	if err != nil {
		return nil, err
	}
	all := map[rowID]bool{}
	if f != nil {
		for id := range f.prints {
			all[id] = id.table == tbResource || id.table == tbTeam
		}
	}
	for _, tb := range []*table{tbResource, tbTeam} {
		for _, id := range t.reader().ids(tb, tenant, "") {
			k, _, err := t.rows.find(id)
			if err != nil {
				return nil, err
			}
			all[id] = all[id] || k.why == "" // whose row is refused may not even have a name
		}
	}
	maps.DeleteFunc(all, func(_ rowID, there bool) bool { return !there })
	return slices.SortedFunc(maps.Keys(all), byID), nil
}

// recordDropped appends that a resource or a Team is there no more: what the log
// still had could be put back with the row, once the sums are lost.
func (t *Tx) recordDropped(id rowID, actor string, at time.Time) error {
	ev := audit.Event{Type: audit.TeamChanged, Tenant: id.tenant, At: at, Actor: actor, Fields: map[string]any{"team": id.key, "why": whyDropped}}
	if id.table == tbResource {
		key := id.parts()
		ev.Type, ev.Fields = audit.ResourceRemoved, map[string]any{"kind": key[1], "name": key[2], "why": whyDropped}
	}
	return t.Audit(ev)
}

const whyDropped = "the whole set was applied again, without it"

// forget removes rows, whatever they are.
func (t *Tx) forget(tb *table, cond string, args ...any) error {
	rows, err := t.reader().scan(tb, cond, args...)
	if err != nil {
		return err
	}
	return t.removeAll(rows)
}
