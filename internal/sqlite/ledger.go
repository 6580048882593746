package sqlite

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"maps"
	"sync"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

// ledger is what this process knows of the rows that steer: the MAC of every
// live one, as of the last commit. The writer alone changes it.
type ledger struct {
	mu      sync.RWMutex
	tenants map[ident.Tenant]*tenantRows
	told    map[refusal]bool // what is in the audit log already
}

// tenantRows is a tenant's part of it. In the database it is the row of
// row_head: the sum, of each table, of what its live rows have there, and how
// many they are, hidden by a pad, under a MAC that names the audit log's checkpoint. Rows and sums that
// were put back together do not fit the log's head.
type tenantRows struct {
	key     []byte // of shares and pads
	sums    [maxTables]sum
	rows    map[rowID]known
	marks   marks
	parts   map[part]map[rowID]bool // the same rows, by what they belong to
	damaged bool                    // the resources are not the set that was applied
	lost    bool                    // rows of Intents are refused or gone that are under way, see rowlost.go
	head    string                  // the audit log's checkpoint, "" for none
}

// marks are the revisions of what the vault keeps by itself: the number of changes
// that the audit log has of each. They are stored with the sums, so that what the
// vault compares with is not a column of the log that anybody can write.
type marks [2]int64

const (
	markSecrets = iota // of the tenant's register of Secrets
	markRing           // of the ring of keys; of the one tenant whose log has them
)

// noMark is a revision that nothing has: the log is not the one that was signed.
const noMark = -1

// maxTables is how many sums are stored.
const maxTables = 24

// batch is what one transaction changes in the ledger. Until it is published,
// nothing outside of the transaction sees it.
type batch struct {
	s        *Store
	loaded   map[ident.Tenant]*tenantRows // tenants that this transaction takes up
	rows     map[rowID]*known             // nil: it is gone
	added    map[part]map[rowID]bool      // of those, what they belong to; may have more
	touched  map[ident.Tenant]bool        // their row_head is written
	repair   map[ident.Tenant]bool        // their resources are whole again
	undo     []func()
	marks    map[ident.Tenant]marks
	heads    map[ident.Tenant]string // the audit log's, as this transaction leaves it
	sealed   map[ident.Tenant][maxTables]sum
	accepted map[ident.Tenant]bool // an earlier time is on the record
	pending  []*refusal            // to be recorded in a step of their own
	telling  map[refusal]bool      // that this transaction records
}

func (s *Store) begin() *batch {
	return &batch{s: s, loaded: map[ident.Tenant]*tenantRows{}, rows: map[rowID]*known{}, added: map[part]map[rowID]bool{}, touched: map[ident.Tenant]bool{},
		repair: map[ident.Tenant]bool{}, marks: map[ident.Tenant]marks{}, heads: map[ident.Tenant]string{}, sealed: map[ident.Tenant][maxTables]sum{}, telling: map[refusal]bool{}, accepted: map[ident.Tenant]bool{}}
}

// back takes back what was changed since a mark: the savepoint was rolled back.
func (b *batch) back(mark int) {
	for i := len(b.undo) - 1; i >= mark; i-- {
		b.undo[i]()
	}
	b.undo = b.undo[:mark]
}

// put changes a map so that it can be taken back.
func put[K comparable, V any](b *batch, m map[K]V, k K, v V) {
	old, had := m[k]
	b.undo = append(b.undo, func() {
		if had {
			m[k] = old
		} else {
			delete(m, k)
		}
	})
	m[k] = v
}

// of is what is known of a tenant as the transaction began.
func (b *batch) of(t ident.Tenant) (*tenantRows, error) {
	if a := b.loaded[t]; a != nil {
		return a, nil
	}
	if a := b.s.ledger.tenants[t]; a != nil { // no lock: the writer is who asks, and who writes
		return a, nil
	}
	return nil, &notLoaded{t}
}

// find is what is known of a row now.
func (b *batch) find(id rowID) (known, bool, error) {
	if id.nobodys() {
		return known{}, false, nil
	}
	a, err := b.of(id.tenant)
	if err != nil {
		return known{}, false, err
	}
	if k, changed := b.rows[id]; changed {
		if k == nil {
			return known{}, false, nil
		}
		return *k, true, nil
	}
	k, ok := a.rows[id]
	return k, ok, nil
}

// change makes a row known as k, or unknown.
func (b *batch) change(id rowID, k *known) {
	put(b, b.rows, id, k)
	if k != nil {
		enlist(b.added, id, k.of)
	}
	put(b, b.touched, id.tenant, true)
}

// marked gives a tenant's revisions as the transaction leaves them.
func (b *batch) marked(t ident.Tenant) (marks, error) {
	a, err := b.of(t)
	if err != nil {
		return marks{}, err
	}
	if m, changed := b.marks[t]; changed {
		return m, nil
	}
	return a.marks, nil
}

// mark changes one of them.
func (b *batch) mark(t ident.Tenant, which int, rev int64) error {
	m, err := b.marked(t)
	if err != nil {
		return err
	}
	m[which] = rev
	put(b, b.marks, t, m)
	put(b, b.touched, t, true)
	return nil
}

// seal writes the row_head of every tenant whose rows or audit log the
// transaction changes.
func (b *batch) seal(t *Tx) error {
	for tenant := range b.touched {
		a, err := b.of(tenant)
		if err != nil {
			return err
		}
		sums := a.sums
		for id, k := range b.rows {
			if id.tenant != tenant {
				continue
			}
			if old, ok := a.rows[id]; ok {
				sums[id.table.number].sub(old.share)
			}
			if k != nil {
				sums[id.table.number].add(k.share)
			}
		}
		head, moved := b.heads[tenant]
		if !moved {
			head = a.head
		}
		if err := b.write(t, tenant, a, sums, head); err != nil {
			return err
		}
		b.sealed[tenant] = sums
	}
	return nil
}

func (b *batch) write(t *Tx, tenant ident.Tenant, a *tenantRows, sums [maxTables]sum, head string) error {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never errors
	body := []byte{byte(flag(a.damaged && !b.repair[tenant]) | flag(a.lost)<<1)}
	for i := range sums {
		sums[i].hide(pad(a.key, nonce, i))
		body = append(body, sums[i][:]...)
	}
	m, err := b.marked(tenant)
	if err != nil {
		return err
	}
	for _, rev := range m {
		body = binary.BigEndian.AppendUint64(body, uint64(rev))
	}
	mac, err := b.s.guard.Keys.MAC(vault.RowMAC, tenant, macSums, string(nonce), string(body), head)
	if err != nil {
		return err
	}
	return t.ExecOne("what is known of the rows", `INSERT INTO row_head (tenant, nonce, body, mac) VALUES ($1, $2, $3, $4)
		ON CONFLICT (tenant) DO UPDATE SET nonce = excluded.nonce, body = excluded.body, mac = excluded.mac`, tenant, nonce, body, mac)
}

// pad hides a sum: from two sums, the part of the row that they differ in could
// be had, and with enough parts another set of rows with the same sum be found.
func pad(key, nonce []byte, table int) (out sum) {
	m := hmac.New(sha256.New, key)
	_, _ = m.Write([]byte{0xff, byte(table)}) // no part of a sum begins so: table names are short
	_, _ = m.Write(nonce)
	m.Sum(out[:0])
	return out
}

// open reads a stored row_head back. It says false when it is not one that was
// written with this head of the audit log.
func (s *Store) openHead(tenant ident.Tenant, a *tenantRows, nonce, body, mac []byte) (bool, error) {
	want, err := s.guard.Keys.MAC(vault.RowMAC, tenant, macSums, string(nonce), string(body), a.head)
	if err != nil {
		return false, err
	}
	const size = 1 + maxTables*sumSize
	if !hmac.Equal(want, mac) || len(body) != size+8*len(a.marks) {
		return false, nil
	}
	for i := range a.marks {
		a.marks[i] = int64(binary.BigEndian.Uint64(body[size+8*i:]))
	}
	a.damaged, a.lost = body[0]&1 != 0, body[0]&2 != 0
	for i := range a.sums {
		a.sums[i] = sum(body[1+i*sumSize:][:sumSize])
		a.sums[i].hide(pad(a.key, nonce, i))
	}
	return true, nil
}

// publish makes a committed transaction's changes known to all.
func (b *batch) publish() {
	l := &b.s.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.Copy(l.tenants, b.loaded)
	for id, k := range b.rows {
		a := l.tenants[id.tenant]
		if old, had := a.rows[id]; had {
			a.delist(id, old.of)
		}
		if k == nil {
			delete(a.rows, id)
		} else {
			a.rows[id] = *k
			enlist(a.parts, id, k.of)
		}
	}
	for tenant, sums := range b.sealed {
		l.tenants[tenant].sums = sums
		if b.repair[tenant] {
			l.tenants[tenant].damaged = false
		}
	}
	for tenant, m := range b.marks {
		l.tenants[tenant].marks = m
	}
	for tenant, head := range b.heads {
		if a := l.tenants[tenant]; a != nil {
			a.head = head
		}
	}
	for tenant, a := range b.loaded {
		if len(a.rows) == 0 && a.head == "" { // a stranger's guess at a tenant leaves nothing
			delete(l.tenants, tenant)
		}
	}
	for r := range b.telling {
		l.told[r] = true
		b.s.guard.Log.Error("a stored row is refused", slog.String("tenant", string(r.id.tenant)), slog.String("table", r.id.table.name),
			slog.String("row", r.name), slog.String("why", r.why))
	}
}

// nobodys says that no tenant can have the row: its tenant's name is none. Of such
// a row nothing is known, ever, and it keeps nobody from starting.
func (id rowID) nobodys() bool { return ident.CheckName(string(id.tenant)) != nil }

// find is what is known of a row, for readers.
func (l *ledger) find(id rowID) (k known, ok bool, err error) {
	if id.nobodys() {
		return known{}, false, nil
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	a := l.tenants[id.tenant]
	if a == nil {
		return known{}, false, &notLoaded{id.tenant}
	}
	k, ok = a.rows[id]
	return k, ok, nil
}

// whole says whether the resources of a tenant are the set that was applied.
func (a *tenantRows) whole(s *Store, tenant ident.Tenant) error {
	if a.damaged {
		return s.refuse(rowID{tenant: tenant, table: tbResource}, whyDamaged)
	}
	return nil
}
