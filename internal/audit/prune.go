package audit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// A log is pruned by a minimum index (C2SP tlog-tiles, "Pruning"): entries below it
// are dropped, and the tree stays as it was. Every hash is kept, so that each proof,
// receipt and checkpoint of before still verifies. What the rest of the log can't be
// checked or understood without is kept too: the log's keys, passkeys that still
// count, actions of which later entries go on. An entry of the log itself says what
// the minimum is and which entries below it were kept, and so does every checkpoint
// over it: without such an entry, what is gone was taken away.

// PruneUnit is what a minimum index is a multiple of: bundles are dropped whole.
const PruneUnit = tileWidth

// Pruned is what an entry log.pruned says.
type Pruned struct {
	Index   int64 // of the entry; -1: the log was never pruned
	Minimum int64 // entries below it are dropped
	Kept    int64 // but for so many
	Digest  string
	// SecretChanges and RingChanges are how many entries of those types the log had
	// below the minimum.
	SecretChanges, RingChanges int64
}

// prunedOf reads the entry; false where it is none, or says what can't be.
func prunedOf(e Entry) (Pruned, bool) {
	number := func(field string) int64 { n, _ := e.Fields[field].(int64); return n }
	p := Pruned{Index: e.Index, Minimum: number("minimum"), Kept: number("kept"), SecretChanges: number("secretChanges"), RingChanges: number("ringChanges")}
	p.Digest, _ = e.Fields["digest"].(string)
	return p, e.Type == LogPruned && p.Minimum > 0 && p.Minimum <= e.Index && p.Minimum%PruneUnit == 0 && p.Kept >= 0 && p.Kept <= p.Minimum
}

// Fields are those of an entry log.pruned.
func (p Pruned) Fields() map[string]any {
	return map[string]any{"minimum": p.Minimum, "kept": p.Kept, "digest": p.Digest, "secretChanges": p.SecretChanges, "ringChanges": p.RingChanges}
}

// KeptList adds up, in their order, the indexes of entries below a minimum that are
// kept. Their hashes are in the tree, so the indexes say which entries.
type KeptList struct {
	n   int64
	sum hash.Hash
}

// Add adds one.
func (k *KeptList) Add(index int64) {
	if k.sum == nil {
		k.sum = sha256.New()
	}
	_, _ = k.sum.Write(binary.BigEndian.AppendUint64(nil, uint64(index))) // a hash takes everything
	k.n++
}

// Sum is how many there are, and the digest of the list.
func (k *KeptList) Sum() (int64, string) {
	if k.sum == nil {
		k.sum = sha256.New()
	}
	return k.n, hex.EncodeToString(k.sum.Sum(nil))
}

// LastPruned is what the newest entry log.pruned says that a reader finds, whatever
// its column says; Index is -1 where there is none.
func LastPruned(ctx context.Context, r Lister, t ident.Tenant) (Pruned, error) {
	last := Pruned{Index: -1}
	for from := int64(0); ; {
		rows, err := r.List(ctx, t, Filter{Type: LogPruned}, from, rowPage)
		if err != nil || len(rows) == 0 {
			return last, err
		}
		for _, row := range rows {
			if e, err := ParseEntry(row.Entry); err == nil && e.Index == row.Index {
				if p, ok := prunedOf(e); ok {
					last = p
				}
			}
			from = row.Index + 1
		}
	}
}

// Lister reads rows of a log, see [Reader].
type Lister interface {
	List(ctx context.Context, t ident.Tenant, f Filter, from int64, limit int) ([]Row, error)
}

// Pruning follows a log from its beginning, and says at its end whether what is gone
// below the minimum was pruned. Begin with what is claimed as Minimum.
type Pruning struct {
	Minimum int64
	kept    KeptList
	last    Pruned
	bad     string
}

// There takes the index of the next entry that is there.
func (p *Pruning) There(i int64) {
	if i < p.Minimum {
		p.kept.Add(i)
	}
}

// Entry takes what it says, where it can be read.
func (p *Pruning) Entry(i int64, e Entry) {
	if e.Type != LogPruned {
		return
	}
	now, ok := prunedOf(e)
	switch {
	case !ok:
		p.bad = fmt.Sprintf("entry %d does not say what was pruned", i)
	case now.Minimum <= p.last.Minimum:
		p.bad = fmt.Sprintf("entry %d says that less was pruned than before", i)
	default:
		p.last = now
	}
}

// Gone says whether an entry that is not there may be gone.
func (p *Pruning) Gone(i int64) bool { return i < p.Minimum }

// Last is what the log's newest entry about it says; its Minimum is 0 where there is none.
func (p *Pruning) Last() Pruned { return p.last }

// Verdict is what is wrong, or "".
func (p *Pruning) Verdict() string {
	n, digest := p.kept.Sum()
	switch {
	case p.bad != "":
		return p.bad
	case p.Minimum != p.last.Minimum && p.last.Minimum == 0:
		return fmt.Sprintf("entries below %d are gone, and no entry says that they were pruned", p.Minimum)
	case p.Minimum != p.last.Minimum:
		return fmt.Sprintf("entry %d says that the entries below %d were pruned, and not those below %d", p.last.Index, p.last.Minimum, p.Minimum)
	case p.Minimum > 0 && (n != p.last.Kept || digest != p.last.Digest):
		return fmt.Sprintf("below %d there are %d entries, and they are not the %d that entry %d says were kept", p.Minimum, n, p.last.Kept, p.last.Index)
	}
	return ""
}

// keptPath is where the tiles have the entries below the minimum that are kept. It is
// not of the C2SP API, which has no place for the minimum index yet.
const keptPath = "kept"

// MaxKept is the most bytes of it that are read.
const MaxKept = 32 << 20

// keptFile is the minimum index on a line, then each kept entry after its index in
// eight bytes and its length in two, big-endian. NotFound: the log was not pruned.
func keptFile(ctx context.Context, r Reader, t ident.Tenant) ([]byte, error) {
	p, err := LastPruned(ctx, r, t)
	if err != nil {
		return nil, err
	}
	if p.Minimum == 0 {
		return nil, fault.New(fault.NotFound, "the log was not pruned")
	}
	out := fmt.Appendf(nil, "%d\n", p.Minimum)
	for from := int64(0); ; {
		rows, err := r.List(ctx, t, Filter{}, from, rowPage)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if row.Index >= p.Minimum {
				return out, nil
			}
			if len(row.Entry) > MaxEntry {
				return nil, ErrDiverged
			}
			if len(out) > MaxKept-MaxEntry-10 {
				return nil, fault.Newf(fault.Limit, "what is kept below the minimum index is more than %d MiB", MaxKept>>20).WithHint("verify the data directory itself: sallyport audit verify --data DIR")
			}
			out = binary.BigEndian.AppendUint64(out, uint64(row.Index))
			out = append(binary.BigEndian.AppendUint16(out, uint16(len(row.Entry))), row.Entry...)
			from = row.Index + 1
		}
		if len(rows) == 0 {
			return out, nil
		}
	}
}

// ParseKept reads such a file of a log of some size; ok is false where it is none.
func ParseKept(b []byte, size int64) (minimum int64, rows []Row, ok bool) {
	at := 0
	for at < len(b) && at < 20 && b[at] != '\n' {
		if b[at] < '0' || b[at] > '9' || minimum > maxSize {
			return 0, nil, false
		}
		minimum = 10*minimum + int64(b[at]-'0')
		at++
	}
	if at == 0 || at == len(b) || b[at] != '\n' || b[0] == '0' || minimum%PruneUnit != 0 || minimum > size {
		return 0, nil, false
	}
	last := int64(-1)
	for b = b[at+1:]; len(b) > 0; {
		if len(b) < 10 || len(b) < 10+int(binary.BigEndian.Uint16(b[8:])) {
			return 0, nil, false
		}
		index, end := binary.BigEndian.Uint64(b), 10+int(binary.BigEndian.Uint16(b[8:]))
		if index >= uint64(minimum) || int64(index) <= last {
			return 0, nil, false
		}
		last = int64(index)
		rows = append(rows, rowOf(last, b[10:end]))
		b = b[end:]
	}
	return minimum, rows, true
}

// rowOf is an entry's row with the columns that it says; one that can't be read is
// the verifier's finding.
func rowOf(index int64, b []byte) Row {
	row := Row{Index: index, Entry: b}
	if e, err := ParseEntry(b); err == nil {
		row.Columns = e.columns()
	}
	return row
}

// Leaf is the hash of an entry in the tree.
func Leaf(entry []byte) tlog.Hash { return tlog.RecordHash(entry) }

// SignedLeaves gives the hashes of entries of a log, each of them one that its head's
// checkpoint is about, by the stored hashes of the tree; [ErrDiverged] where they are
// not. Who calls it knows that the head is the log's.
func SignedLeaves(h Head, stored tlog.HashReader, entries []int64) ([]tlog.Hash, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	c, err := unsignedCheckpoint(h.Checkpoint)
	if err != nil || c.Size != h.Size {
		return nil, ErrDiverged
	}
	at := make([]int64, len(entries))
	for i, e := range entries {
		if e < 0 || e >= c.Size {
			return nil, ErrDiverged
		}
		at[i] = tlog.StoredHashIndex(0, e)
	}
	out, err := tlog.TileHashReader(tlog.Tree{N: c.Size, Hash: c.Root}, storedTiles{stored}).ReadHashes(at)
	if err != nil && fault.KindOf(err) != fault.Unavailable {
		return nil, ErrDiverged
	}
	return out, err
}

// storedTiles makes tiles of stored hashes.
type storedTiles struct{ stored tlog.HashReader }

// Height is that of a tile.
func (storedTiles) Height() int { return tileHeight }

// ReadTiles makes them.
func (s storedTiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		var err error
		if out[i], err = tlog.ReadTileData(t, s.stored); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// SaveTiles keeps nothing: they are stored already.
func (storedTiles) SaveTiles([]tlog.Tile, [][]byte) {}
