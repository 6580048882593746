package audit

import (
	"maps"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// Batch is the appends of one transaction. What it appends is written by Seal;
// until Committed, nothing outside it changes. It is used by one goroutine.
type Batch struct {
	seq     *Sequencer
	tx      Tx
	tails   map[ident.Tenant]*tail
	journal []undo
}

// tail is what a batch adds to one log.
type tail struct {
	from   logState // as the transaction found it
	edge   edge     // with what was added
	rows   []Row
	hashes []tlog.Hash
}

// undo is how to take one append back. With err set, the append failed: a batch
// that still has it when it is sealed fails as a whole, so that no step can
// ignore that its record could not be written.
type undo struct {
	tail         *tail
	edge         edge
	rows, hashes int
	err          error
}

// Mark is a point to which a batch can go back.
type Mark int

// Mark is called when a savepoint is set.
func (b *Batch) Mark() Mark { return Mark(len(b.journal)) }

// Reset takes back every append since m: the savepoint was rolled back.
func (b *Batch) Reset(m Mark) {
	for i := len(b.journal) - 1; i >= int(m); i-- {
		if u := b.journal[i]; u.err == nil {
			u.tail.edge = u.edge
			u.tail.rows = u.tail.rows[:u.rows]
			u.tail.hashes = u.tail.hashes[:u.hashes]
		}
	}
	b.journal = b.journal[:m]
}

// Append adds an event to its tenant's log and returns its index there. The
// first event of a log is preceded by [LogOpened] with the verifier key. Errors
// are Invalid for what the allow-list refuses, [ErrDiverged], or the store's;
// a step whose append failed has to fail.
func (b *Batch) Append(ev Event) (int64, error) {
	index, err := b.append(ev)
	if err != nil {
		b.journal = append(b.journal, undo{err: err})
	}
	return index, err
}

func (b *Batch) append(ev Event) (int64, error) {
	if ev.Type == LogOpened {
		return 0, fault.New(fault.Invalid, "log.opened is written by the log itself")
	}
	t, err := b.tail(ev.Tenant)
	if err != nil {
		return 0, err
	}
	if t.edge.size == 0 {
		first := Event{Type: LogOpened, Tenant: ev.Tenant, At: ev.At, Actor: "system:audit",
			Fields: map[string]any{"verifier": t.from.signer.verifier}}
		if err := b.add(t, first); err != nil {
			return 0, err
		}
	}
	index := t.edge.size
	return index, b.add(t, ev)
}

func (b *Batch) tail(t ident.Tenant) (*tail, error) {
	if x := b.tails[t]; x != nil {
		return x, nil
	}
	st, err := b.seq.state(b.tx, t)
	if err != nil {
		return nil, err
	}
	x := &tail{from: st, edge: st.edge}
	b.tails[t] = x
	return x, nil
}

func (b *Batch) add(t *tail, ev Event) error {
	row, err := newRow(t.edge.size, ev)
	if err != nil {
		return err
	}
	b.journal = append(b.journal, undo{tail: t, edge: t.edge, rows: len(t.rows), hashes: len(t.hashes)})
	t.rows = append(t.rows, row)
	t.edge, t.hashes = t.edge.add(tlog.RecordHash(row.Entry), t.hashes)
	return nil
}

// Head is a log's head as the transaction found it, checked against the log's key
// and the right edge of its tree; the zero Head where there is no log yet.
func (b *Batch) Head(t ident.Tenant) (Head, error) {
	x, err := b.tail(t)
	if err != nil {
		return Head{}, err
	}
	return x.from.head, nil
}

// Seal writes what was appended, and one signed checkpoint for each log. After
// it, the transaction commits or everything is undone.
func (b *Batch) Seal() error {
	for _, u := range b.journal {
		if u.err != nil {
			return fault.Wrap(fault.KindOf(u.err), "a step went on after its audit entry was refused", u.err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.tails)) { // one order, so that transactions can't deadlock
		if t := b.tails[name]; len(t.rows) > 0 {
			if err := b.seal(name, t); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Batch) seal(name ident.Tenant, t *tail) error {
	prev := t.from.head.Size
	if err := b.tx.Insert(name, t.rows, tlog.StoredHashIndex(0, prev), t.hashes); err != nil {
		return err
	}
	sg := t.from.signer
	cp, err := sg.sign(t.edge.size, t.edge.root())
	if err != nil {
		return err
	}
	t.from.head = Head{Size: t.edge.size, Checkpoint: cp, Verifier: sg.verifier}
	return b.tx.SetHead(name, prev, t.from.head)
}

// Committed makes the new heads known: the transaction is on disk.
func (b *Batch) Committed() {
	for name, t := range b.tails {
		if t.from.head.Size > 0 {
			b.seq.publish(name, logState{signer: t.from.signer, head: t.from.head, edge: t.edge})
		}
	}
}
