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
	keys   keys
}

// keys is what signs a log.
type keys struct {
	signer     *signer
	before     *signer // that a rotation in this transaction replaces, or nil: both sign its checkpoint
	generation int64
}

// undo is how to take one append back. With err set, the append failed: a batch
// that still has it when it is sealed fails as a whole, so that no step can
// ignore that its record could not be written.
type undo struct {
	tail         *tail
	edge         edge
	keys         keys
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
			u.tail.edge, u.tail.keys = u.edge, u.keys
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
	if ev.Type == LogOpened || ev.Type == LogKeyRotated {
		return 0, fault.Newf(fault.Invalid, "%s is written by the log itself", ev.Type)
	}
	t, err := b.tail(ev.Tenant)
	if err != nil {
		return 0, err
	}
	if t.edge.size == 0 {
		first := Event{Type: LogOpened, Tenant: ev.Tenant, At: ev.At, Actor: "system:audit",
			Fields: map[string]any{"verifier": t.keys.signer.verifier}}
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
	x := &tail{from: st, edge: st.edge, keys: keys{signer: st.signer, generation: st.head.Generation}}
	b.tails[t] = x
	return x, nil
}

func (b *Batch) add(t *tail, ev Event) error {
	row, err := newRow(t.edge.size, ev)
	if err != nil {
		return err
	}
	b.journal = append(b.journal, undo{tail: t, edge: t.edge, keys: t.keys, rows: len(t.rows), hashes: len(t.hashes)})
	t.rows = append(t.rows, row)
	t.edge, t.hashes = t.edge.add(tlog.RecordHash(row.Entry), t.hashes)
	return nil
}

// RotateKey goes on with the next generation of the log's key. ev says who did
// it and why; its type and what proves the step are filled in here: the old key
// signs, over the log as it is, which key is next. Invalid: there is no log yet.
func (b *Batch) RotateKey(ev Event) (int64, error) {
	index, err := b.rotateKey(ev)
	if err != nil {
		b.journal = append(b.journal, undo{err: err})
	}
	return index, err
}

func (b *Batch) rotateKey(ev Event) (int64, error) {
	t, err := b.tail(ev.Tenant)
	if err != nil {
		return 0, err
	}
	if t.edge.size == 0 {
		return 0, fault.New(fault.Invalid, "there is no audit log yet whose key could be replaced")
	}
	next, err := b.seq.signer(ev.Tenant, Head{Size: t.edge.size, Verifier: t.keys.signer.verifier, Generation: t.keys.generation + 1})
	if err != nil {
		return 0, err
	}
	handover, err := t.keys.signer.handOver(t.edge.size, t.edge.root(), next.verifier)
	if err != nil {
		return 0, err
	}
	fields := map[string]any{"verifier": next.verifier, "generation": t.keys.generation + 1, "handover": string(handover)}
	maps.Copy(fields, ev.Fields)
	ev.Type, ev.Fields = LogKeyRotated, fields
	index := t.edge.size
	if err := b.add(t, ev); err != nil {
		return 0, err
	}
	t.keys = keys{signer: next, before: t.keys.signer, generation: t.keys.generation + 1}
	return index, nil
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
	k := t.keys
	cp, err := k.signer.sign(t.edge.size, t.edge.root(), k.before)
	if err != nil {
		return err
	}
	at := t.from.head.At
	for _, r := range t.rows {
		if at = max(at, r.At); r.Type == LogClockAccepted {
			at = r.At
		}
	}
	t.from.signer = k.signer
	t.from.head = Head{Size: t.edge.size, Checkpoint: cp, Verifier: k.signer.verifier, Generation: k.generation, At: at}
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
