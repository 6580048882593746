package sqlite

import (
	"strings"

	"sallyport.dev/internal/ident"
)

// part is what rows of a table belong to: the Intents of one Run, say. With an
// empty of it is the whole table.
type part struct {
	tenant ident.Tenant
	table  *table
	of     string
}

// enlist adds a row to an index by what rows belong to.
func enlist(index map[part]map[rowID]bool, id rowID, of string) {
	for _, p := range partsOf(id, of) {
		if index[p] == nil {
			index[p] = map[rowID]bool{}
		}
		index[p][id] = true
	}
}

func partsOf(id rowID, of string) []part {
	whole := part{id.tenant, id.table, ""}
	if of == "" {
		return []part{whole}
	}
	return []part{whole, {id.tenant, id.table, of}}
}

func (a *tenantRows) delist(id rowID, of string) {
	for _, p := range partsOf(id, of) {
		if delete(a.parts[p], id); len(a.parts[p]) == 0 {
			delete(a.parts, p)
		}
	}
}

// list makes the index of what is known.
func (a *tenantRows) list() {
	a.parts = map[part]map[rowID]bool{}
	for id, k := range a.rows {
		enlist(a.parts, id, k.of)
	}
}

// parts are the values of the key's columns.
func (id rowID) parts() []any {
	out := []any{string(id.tenant)}
	for _, v := range strings.SplitN(id.key, "/", id.table.keys-1) {
		out = append(out, v)
	}
	return out
}

// underWay gives the Intents that the audit log says are under way in a Run that
// has not ended, with their Runs; nil when the log can't be trusted. Rows that were
// lost at an earlier start are no part of any sum, so while there are such ones the
// log is asked at each start, and each is found again.
func (l *loading) underWay(f *facts) map[rowID]string {
	if f == nil {
		return nil
	}
	out := map[rowID]string{}
	for key, p := range f.intents {
		id := rowID{l.tenant, tbIntent, key}
		if !f.runs[p.run] {
			continue
		}
		out[id] = p.run
		switch why := l.a.rows[id].why; {
		case !l.a.lost || l.bad[id] != "":
		case l.stored[id] == nil:
			l.bad[id] = whyRemoved
		case why != "":
			l.bad[id] = why
		}
	}
	return out
}

// lose keeps the Intents known that are under way and whose rows are refused or
// gone: what became of them nobody can say, so their Runs may not propose a write
// again, as if there had been none.
func (l *loading) lose(under map[rowID]string) {
	if under == nil {
		return
	}
	l.a.lost = false
	for id, run := range under {
		if why := l.bad[id]; why != "" {
			k := l.a.rows[id]
			k.why, k.of = why, run // the row may say another
			l.a.rows[id], l.a.lost = k, true
		}
	}
}
