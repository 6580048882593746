package audit

import (
	"math"
	"math/bits"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Pages of reading a whole log, and a size that no log has.
const (
	rowPage  = 500
	hashPage = 4000
	maxSize  = 1 << 56
)

// walk reads a log's rows and stored hashes side by side, in order, and builds
// its tree twice: from the entries, and from the stored hashes of the entries.
// Where an entry and its hash disagree, the tree whose root was signed says
// which of the two was altered.
type walk struct {
	refs RefSum // of the entries so far
	*verification
	size   int64                   // how many entries there have to be
	open   bool                    // there is no head: as many as there are
	roots  map[int64]*[2]tlog.Hash // of both trees at these sizes; nil until the walk was there
	latest int64                   // time with which the next entry's is compared, milliseconds
	headAt int64                   // as the head has to have it

	rows   stream[Row]
	hashes stream[HashRow]

	entries, stored edge    // the two trees
	torn            bool    // an entry and its hash are both gone: no tree beyond
	differ          []int64 // entries that are not what their stored hash says
	offEntries      tally   // stored hashes that are not those of the entries' tree
	offStored       tally   // stored inner hashes that are not those of the stored leaves' tree
	proofs          proofs
	pruning         Pruning
}

// tally is a bounded list.
type tally struct {
	first []int64
	more  int
}

func (t *tally) add(i int64) {
	if len(t.first) < maxFindings {
		t.first = append(t.first, i)
	} else {
		t.more++
	}
}

func (w *walk) run() error {
	w.rows = stream[Row]{index: func(r Row) int64 { return r.Index }, fetch: func(from int64) ([]Row, error) {
		return w.src.Rows(w.ctx, w.log.Tenant, from, rowPage)
	}, next: math.MinInt64}
	w.hashes = stream[HashRow]{index: func(h HashRow) int64 { return h.Index }, fetch: func(from int64) ([]HashRow, error) {
		return w.src.HashRows(w.ctx, w.log.Tenant, from, hashPage)
	}, next: math.MinInt64}
	for i := int64(0); w.open || i < w.size; i++ {
		j, ok, err := w.lowest()
		if err != nil {
			return err
		}
		if !ok {
			if !w.open {
				w.log.find(EntryMissing, i, "what is stored ends here, the head says %d entries", w.size)
				w.torn = true
			}
			break
		}
		if j > i {
			if !w.open {
				j = min(j, w.size)
			}
			w.log.find(EntryMissing, i, "%d entries are gone, with their hashes", j-i)
			w.torn = true
			if i = j; !w.open && i == w.size {
				break
			}
		}
		if err := w.entry(i); err != nil {
			return err
		}
	}
	return w.rest()
}

// lowest is the next entry of which a row or a hash is stored. It lets the walk
// jump over what is gone: a row put at a giant index must not keep it busy.
func (w *walk) lowest() (int64, bool, error) {
	row, isRow, err := w.rows.peek()
	if err != nil {
		return 0, false, err
	}
	hash, isHash, err := w.hashes.peek()
	if err != nil {
		return 0, false, err
	}
	low := int64(maxSize)
	if isRow {
		low = min(low, row.Index)
	}
	if isHash && hash.Index < maxSize {
		level, n := tlog.SplitStoredHashIndex(max(hash.Index, 0))
		low = min(low, (n+1)<<level-1) // the entry that completes the node
	}
	return low, low < maxSize, nil
}

// entry checks entry i and the stored hashes that it completes.
func (w *walk) entry(i int64) error {
	row, ok, err := w.rows.at(i, func(r Row) { w.log.find(EntryExtra, r.Index, "") })
	if err != nil {
		return err
	}
	n := bits.TrailingZeros64(uint64(i)+1) + 1 // the leaf, and a node for each subtree that it completes
	stored := make([]*tlog.Hash, n)
	for k := range stored {
		if stored[k], err = w.hash(tlog.StoredHashIndex(0, i) + int64(k)); err != nil {
			return err
		}
	}
	leaf := stored[0]
	if ok {
		w.check(i, row)
		h := tlog.RecordHash(row.Entry)
		if leaf != nil && *leaf != h {
			if len(w.differ) < maxFindings {
				w.differ = append(w.differ, i)
			}
		}
		w.grow(i, &h, leaf, stored)
		return nil
	}
	if !w.pruning.Gone(i) {
		w.log.find(EntryMissing, i, "")
	}
	w.grow(i, leaf, leaf, stored)
	return nil
}

// hash takes the stored hash at an index; nil where it is missing or has not a
// hash's length.
func (w *walk) hash(index int64) (*tlog.Hash, error) {
	row, ok, err := w.hashes.at(index, func(h HashRow) { w.log.find(HashExtra, h.Index, "") })
	switch {
	case err != nil:
		return nil, err
	case !ok:
		w.log.find(HashMissing, index, "")
		return nil, nil
	case len(row.Hash) != tlog.HashSize:
		w.log.find(HashAltered, index, "it has %d bytes", len(row.Hash))
		return nil, nil
	}
	h := tlog.Hash(row.Hash)
	return &h, nil
}

// grow adds the leaf to both trees, each from the other's where it has none, and
// compares the stored nodes with both.
func (w *walk) grow(i int64, entry, leaf *tlog.Hash, stored []*tlog.Hash) {
	if leaf == nil {
		leaf = entry
	}
	if leaf == nil {
		w.torn = true
	}
	if w.torn {
		return
	}
	var nodes, nodes2 []tlog.Hash
	w.entries, nodes = w.entries.add(*entry, nil)
	w.stored, nodes2 = w.stored.add(*leaf, nil)
	first := tlog.StoredHashIndex(0, i)
	for k, s := range stored {
		if s != nil && *s != nodes[k] {
			w.offEntries.add(first + int64(k))
		}
		if s != nil && *s != nodes2[k] {
			w.offStored.add(first + int64(k))
		}
	}
	if _, wanted := w.roots[i+1]; wanted {
		w.roots[i+1] = &[2]tlog.Hash{w.entries.root(), w.stored.root()}
	}
}

// check looks at an entry by itself.
func (w *walk) check(i int64, row Row) {
	w.pruning.There(i)
	e, err := ParseEntry(row.Entry)
	if err != nil {
		w.log.find(EntryMalformed, i, "%s", err.Error())
		return
	}
	if e.Index != i || e.Tenant != w.log.Tenant {
		w.log.find(EntryMisplaced, i, "it says that it is entry %d of tenant %s", e.Index, e.Tenant)
	}
	if c := sameColumns(row.Columns, e.columns()); c != "" {
		w.log.find(ColumnAltered, i, "column %s", c)
	}
	for _, r := range e.Refs() {
		w.refs.Add(i, r)
	}
	if first := i == 0; first != (e.Type == LogOpened) {
		w.log.find(KeyChanged, i, "the log has to begin, once, with the key that signs it")
	}
	w.pruning.Entry(i, e)
	w.proofs.check(i, e, &w.log)
	w.key(i, e)
	w.clock(i, e)
}

// key follows the log's keys: the first is in its first entry, and each other in an
// entry for which the key before it has signed, over all that was before.
func (w *walk) key(i int64, e Entry) {
	next, _ := e.Fields["verifier"].(string)
	switch {
	case e.Type == LogOpened && i == 0:
		w.keys = []string{next}
	case e.Type != LogKeyRotated:
	case len(w.keys) == 0 || w.torn:
		w.log.find(HandoverBad, i, "the key before it is not known")
	default:
		msg, _ := e.Fields["handover"].(string)
		c, named, err := OpenHandover([]byte(msg), w.keys[len(w.keys)-1])
		if err != nil || named != next || c.Size != i || c.Root != w.entries.root() && c.Root != w.stored.root() {
			w.log.find(HandoverBad, i, "the key before it has not signed this entry's key over the log as it was")
			return
		}
		w.keys = append(w.keys, next)
	}
}

// ClockSlack is how far a clock may be behind a log's latest entry, for a store that
// appends to it: more than that, and it was set back.
const ClockSlack = time.Minute

// entrySlack is how much earlier than those before it an entry may be. An entry says
// when it happened, and what takes long is written when it has ended.
const entrySlack = 15 * time.Minute

// clock finds where entries go back in time. A clock that was ahead is accepted by
// an operator, on the record.
func (w *walk) clock(i int64, e Entry) {
	at := e.At.UnixMilli()
	if w.headAt = max(w.headAt, at); e.Type == LogClockAccepted {
		w.headAt = at
	}
	if at < w.latest-entrySlack.Milliseconds() {
		if e.Type != LogClockAccepted {
			w.log.find(ClockBack, i, "it is %s earlier than an entry before it", time.Duration(w.latest-at)*time.Millisecond)
		}
		w.latest = at // what follows is compared with where the clock is now
		return
	}
	w.latest = max(w.latest, at)
}

// rest finds what the checkpoint does not cover.
func (w *walk) rest() error {
	if err := w.rows.drain(func(r Row) { w.log.find(EntryExtra, r.Index, "") }); err != nil {
		return err
	}
	return w.hashes.drain(func(h HashRow) { w.log.find(HashExtra, h.Index, "") })
}

// judge says what the two trees and the signed root mean together.
func (w *walk) judge(signed *Checkpoint) {
	off := w.offStored
	if signed != nil && !w.torn && w.entries.size == signed.Size && w.entries.root() == signed.Root {
		off = w.offEntries // the entries are those that were signed
	} else {
		for _, i := range w.differ {
			w.log.find(EntryAltered, i, "it is not what was hashed")
		}
		if signed != nil && !w.torn && w.stored.root() != signed.Root {
			w.log.find(RootMismatch, -1, "neither the entries nor the stored hashes make the signed root")
		}
	}
	for _, i := range off.first {
		w.log.find(HashAltered, i, "")
	}
	w.log.More += off.more
}

// pruned says whether what is gone below the minimum index was pruned. Where the
// entries are not those that were signed, the log says nothing about it.
func (w *walk) pruned() {
	last := w.pruning.Last()
	w.log.Minimum, w.log.Kept, w.log.Pruned = last.Minimum, last.Kept, last.Index
	if last.Minimum == 0 {
		w.log.Pruned = 0
	}
	if why := w.pruning.Verdict(); why != "" {
		w.log.find(PrunedBad, -1, "%s", why)
	}
}
