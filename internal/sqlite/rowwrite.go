package sqlite

import (
	"encoding/hex"
	"maps"
	"slices"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/ident"
)

// insert stores a new row; kind Conflict when there is one like it.
func (t *Tx) insert(tb *table, c cols) (*row, error) {
	r, err := newRow(tb, c)
	if err != nil {
		return nil, err
	}
	k, err := t.learn(r)
	if err != nil {
		return nil, err
	}
	if err := t.ExecOne("what is stored as "+tb.name, tb.insertSQL, append(slices.Clone(r.vals), r.mac)...); err != nil {
		return nil, err
	}
	t.note(r, k)
	return r, nil
}

// put stores a row that was read in this step, and changed.
func (t *Tx) put(r *row, c cols) error {
	r.set(c)
	k, err := t.learn(r)
	if err != nil {
		return err
	}
	query, args := r.update()
	if err := t.ExecOne("what is stored as "+r.tb.name, query, args...); err != nil {
		return err
	}
	r.dirty = 0
	t.note(r, k)
	return nil
}

// remove forgets a row that was read in this step.
func (t *Tx) remove(r *row) error {
	if err := t.ExecOne("what is stored as "+r.tb.name, r.tb.deleteSQL, r.vals[:r.tb.keys]...); err != nil {
		return err
	}
	t.rows.change(r.id(), nil)
	return nil
}

// removeAll forgets rows that were read in this step.
func (t *Tx) removeAll(rows []*row) error {
	for _, x := range rows {
		if err := t.remove(x); err != nil {
			return err
		}
	}
	return nil
}

// unlearn forgets what is known of rows that somebody else has removed.
func (t *Tx) unlearn(tb *table, tenant ident.Tenant) error {
	for _, id := range t.reader().ids(tb, tenant, "") {
		rows, err := t.reader().scan(tb, tb.whereSQL, id.parts()...)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			t.rows.change(id, nil)
		}
	}
	return nil
}

func (t *Tx) learn(r *row) (known, error) {
	a, err := t.rows.of(r.tenant())
	if err != nil {
		return known{}, err
	}
	if !r.alive() { // only of live rows more is known
		r.mac, err = t.s.mac(r, macRow)
		return known{}, err
	}
	return t.s.learn(r, a.key)
}

func (t *Tx) note(r *row, k known) {
	if r.alive() {
		t.rows.change(r.id(), &k)
	} else {
		t.rows.change(r.id(), nil)
	}
}

// auditRow appends the entry of a change of one row, with its fingerprint.
func (t *Tx) auditRow(ev audit.Event, r *row, more cols) error {
	print, err := t.s.print(r)
	if err != nil {
		return err
	}
	return t.auditWith(ev, cols{"row": hex.EncodeToString(print)}, more)
}

// auditWith appends an entry with fields that the store knows best.
func (t *Tx) auditWith(ev audit.Event, more ...cols) error {
	fields := maps.Clone(ev.Fields)
	if fields == nil {
		fields = map[string]any{}
	}
	for _, c := range more {
		maps.Copy(fields, c)
	}
	ev.Fields = fields
	return t.Audit(ev)
}
