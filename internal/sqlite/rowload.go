package sqlite

import (
	"cmp"
	"context"
	"crypto/hmac"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

// VerifyRows takes up the rows that steer of every tenant, after the vault is
// unsealed: what was changed, removed, put in or put back while no process was
// there is found, set apart and recorded. It errors only when that can't be
// done; what was found is met where the row is read, as Denied.
func (s *Store) VerifyRows(ctx context.Context) error {
	tenants, err := s.peopled(ctx)
	if err != nil {
		return err
	}
	for _, tenant := range tenants {
		if err := s.write(ctx, func(t *Tx) error { _, err := t.rows.of(tenant); return err }); err != nil {
			return fault.Wrap(fault.KindOf(err), "checking the rows of the tenant "+fault.Quote(string(tenant)), err)
		}
	}
	return nil
}

// RefusedRow is a row that is not the one that was written last. It has no value of
// the row.
type RefusedRow struct {
	Tenant ident.Tenant `json:"tenant"`
	Table  string       `json:"table"`
	Name   string       `json:"name"` // "*": which ones can't be told
	Why    string       `json:"why"`
}

// RefusedRows lists the rows of every tenant that this process refuses so far, also
// those that were found at an earlier start. After VerifyRows those are all that
// can be found without a running server's knowledge.
func (s *Store) RefusedRows() (out []RefusedRow) {
	l := &s.ledger
	l.mu.RLock()
	defer l.mu.RUnlock()
	all := map[rowID]RefusedRow{}
	for tenant, a := range l.tenants {
		for id, k := range a.rows {
			if k.why != "" {
				all[id] = RefusedRow{tenant, id.table.name, s.refusal(id, k.why).name, k.why}
			}
		}
		if a.damaged {
			all[rowID{tenant, tbResource, ""}] = RefusedRow{tenant, tbResource.name, "*", whyDamaged}
		}
	}
	for r := range l.told {
		if _, has := all[r.id]; !has {
			all[r.id] = RefusedRow{r.id.tenant, r.id.table.name, r.name, r.why}
		}
	}
	out = slices.Collect(maps.Values(all))
	slices.SortFunc(out, func(x, y RefusedRow) int {
		return cmp.Or(cmp.Compare(x.Tenant, y.Tenant), cmp.Compare(x.Table, y.Table), cmp.Compare(x.Name, y.Name))
	})
	return out
}

// peopled lists everybody who has a row that steers, or an audit log.
func (s *Store) peopled(ctx context.Context) ([]ident.Tenant, error) {
	query := "SELECT tenant FROM row_head UNION SELECT tenant FROM audit_head"
	for _, tb := range tables {
		query += " UNION SELECT DISTINCT tenant FROM " + tb.name
	}
	all, err := list(ctx, s, "tenants", func(r scanner) (t ident.Tenant, err error) {
		err = r.Scan(&t)
		return t, storeErr("listing tenants", err)
	}, query+" ORDER BY 1")
	// Nobody is of a tenant whose name is none: such rows are never asked for.
	return slices.DeleteFunc(all, func(t ident.Tenant) bool { return ident.CheckName(string(t)) != nil }), err
}

// load takes up a tenant in a step of its own: every live row is read, and their
// sums compared with what was stored last. Where they differ, the audit log says
// which rows are not those that it speaks of; they are set apart.
func (t *Tx) load(tenant ident.Tenant) error {
	head, err := t.log.Head(tenant)
	if err != nil {
		return err
	}
	a := &tenantRows{rows: map[rowID]known{}, head: string(head.Checkpoint)}
	if a.key, err = t.s.guard.Keys.MAC(vault.RowMAC, tenant, macKey); err != nil {
		return err
	}
	genuine, err := t.openHead(tenant, a)
	if err != nil {
		return err
	}
	l := loading{t: t, tenant: tenant, a: a, bad: map[rowID]string{}, stored: map[rowID]*row{}}
	differ, err := l.read()
	if err != nil {
		return err
	}
	if !genuine {
		differ = slices.Clone(tables)
	}
	put(t.rows, t.rows.loaded, tenant, a)
	if len(differ) > 0 || len(l.bad) > 0 || a.lost {
		if err = l.apart(head, differ, genuine); err == nil && (slices.Contains(differ, tbUse) || l.found(tbUse)) {
			err = t.loseUses(tenant)
		}
	}
	a.list()
	return err
}

// openHead reads the sums; false: what is there was not written with this log.
// A tenant of whom there is nothing yet has none.
func (t *Tx) openHead(tenant ident.Tenant, a *tenantRows) (bool, error) {
	var nonce, body, mac []byte
	err := t.QueryRow("SELECT nonce, body, mac FROM row_head WHERE tenant = $1", tenant).Scan(&nonce, &body, &mac)
	if errors.Is(err, sql.ErrNoRows) {
		return a.head == "", nil
	}
	if err != nil {
		return false, storeErr("reading what is known of the rows", err)
	}
	return t.s.openHead(tenant, a, nonce, body, mac)
}

// loading is one tenant's rows while they are taken up.
type loading struct {
	t      *Tx
	tenant ident.Tenant
	a      *tenantRows
	stored map[rowID]*row
	bad    map[rowID]string // why a row is refused; one that is gone too
}

// read reads every live row. It gives the tables whose rows are not what their
// sum says.
func (l *loading) read() (differ []*table, err error) {
	for _, tb := range tables {
		cond := "WHERE tenant = $1"
		if tb.liveSQL != "" {
			cond += " AND " + tb.liveSQL
		}
		rows, err := l.t.reader().scan(tb, cond, l.tenant)
		if err != nil {
			return nil, err
		}
		var got sum
		for _, r := range rows {
			if err := l.take(r, &got); err != nil {
				return nil, err
			}
		}
		if got != l.a.sums[tb.number] {
			differ = append(differ, tb)
		}
	}
	return differ, nil
}

// take makes a row known: as itself, as one that was set apart earlier, or as one
// that nobody with the key wrote.
func (l *loading) take(r *row, got *sum) error {
	s, id := l.t.s, r.id()
	if id.tenant != l.tenant { // only a changed table finds it by our tenant's name
		l.bad[rowID{l.tenant, id.table, string(id.tenant) + "/" + id.key}] = whyForged
		return nil
	}
	if l.stored[id] != nil { // a key has one row: which of the two is it is not asked
		l.bad[id] = whyTwice
		return nil
	}
	l.stored[id] = r
	stored := r.mac
	k, err := s.learn(r, l.a.key)
	if err != nil {
		return err
	}
	if !hmac.Equal(k.mac, stored) {
		apart, err := s.mac(r, macRefused)
		if err != nil {
			return err
		}
		if !hmac.Equal(apart, stored) {
			l.bad[id] = whyForged
			return nil
		}
		k = known{mac: apart, why: whyEarlier, of: k.of} // no part of the sum: it may go
	}
	l.a.rows[id] = k
	got.add(k.share)
	return nil
}

// apart finds which rows are not those that were written last, takes them out of
// what is known, marks them so that the next start knows them, and records each.
func (l *loading) apart(head audit.Head, differ []*table, genuine bool) error {
	facts, err := l.t.replay(l.tenant, head)
	if err != nil {
		return err
	}
	if !genuine {
		if l.a.marks = (marks{noMark, noMark}); facts != nil {
			l.a.marks = facts.marks
		}
		if err := l.t.tell(l.t.s.refusal(rowID{l.tenant, tbHead, string(l.tenant)}, "it does not belong to the audit log's last checkpoint")); err != nil {
			return err
		}
	}
	l.compare(facts, differ, genuine)
	under := l.underWay(facts)
	l.a.damaged = l.a.damaged || l.found(tbResource) || l.found(tbTeam)
	for _, id := range slices.SortedFunc(maps.Keys(l.bad), byID) {
		if err := l.set(id, l.bad[id]); err != nil {
			return err
		}
	}
	if err := l.tellAll(); err != nil {
		return err
	}
	l.lose(under)
	// What is left is what there is from now on.
	l.a.sums = [maxTables]sum{}
	for id, k := range l.a.rows {
		l.a.sums[id.table.number].add(k.share)
	}
	put(l.t.rows, l.t.rows.touched, l.tenant, true)
	return l.stopLost()
}

// set sets one row apart.
func (l *loading) set(id rowID, why string) error {
	s := l.t.s
	delete(l.a.rows, id)
	if r := l.stored[id]; r != nil {
		mac, err := s.mac(r, macRefused)
		if err != nil {
			return err
		}
		// Each of them, where there are two.
		if _, err := l.t.Exec("UPDATE "+r.tb.name+" SET mac = "+dollar(r.tb.keys+1)+" "+r.tb.whereSQL, append(slices.Clone(r.vals[:r.tb.keys]), mac)...); err != nil {
			return err
		}
		l.a.rows[id] = known{mac: mac, why: why, of: r.of()}
	}
	return nil
}

// maxTold is how many rows a start records one by one: who can put in a million
// rows must not make the audit log grow by as many entries.
const maxTold = 100

// tellAll records what was set apart.
func (l *loading) tellAll() error {
	for n, id := range slices.SortedFunc(maps.Keys(l.bad), byID) {
		r := l.t.s.refusal(id, l.bad[id])
		if n == maxTold {
			r = l.t.s.refusal(rowID{l.tenant, id.table, ""}, fmt.Sprintf("%d more rows, of this table and others, are refused", len(l.bad)-maxTold))
		}
		if err := l.t.tell(r); err != nil || n == maxTold {
			return err
		}
	}
	return nil
}

// byID orders rows, so that what is recorded has one order.
func byID(x, y rowID) int {
	if x.table != y.table {
		return x.table.number - y.table.number
	}
	switch {
	case x.key < y.key:
		return -1
	case x.key > y.key:
		return 1
	}
	return 0
}

// tell appends a refusal's entry, once in the life of a process.
func (t *Tx) tell(r *refusal) error {
	if t.s.ledger.told[*r] || t.rows.telling[*r] {
		return nil
	}
	put(t.rows, t.rows.telling, *r, true)
	return t.append(t.s.refused(r))
}
