package audit

import (
	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/fault"
)

// Replay hands a log's entries to each, in order, for what has to be known from
// the record alone. head is one whose signature was checked; rows gives the rows
// from an index on, at most limit. Denied: the entries are not those that were
// signed, and what each was told is worth nothing. Of a log that is said to be pruned
// below a minimum, the entries that are kept are told, and leaves gives the stored
// hashes of the others: that it was pruned the rest of the log has to say.
func Replay(head Head, minimum int64, rows func(from int64, limit int) ([]Row, error), leaves func(from, n int64) ([]tlog.Hash, error), each func(Entry)) error {
	c, err := OpenCheckpoint(head.Checkpoint, head.Verifier)
	if err != nil {
		return err
	}
	var e edge
	p := Pruning{Minimum: minimum}
	fill := func(to int64) error {
		for e.size < min(to, minimum) {
			hashes, err := leaves(e.size, min(to, minimum, e.size+hashPage)-e.size)
			if err != nil {
				return err
			}
			for _, h := range hashes {
				e, _ = e.add(h, nil)
			}
		}
		return nil
	}
	for e.size < c.Size {
		page, err := rows(e.size, int(min(rowPage, c.Size-e.size)))
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return errReplay
		}
		for _, r := range page {
			if err := fill(r.Index); err != nil {
				return err
			}
			if e.size == c.Size {
				break
			}
			entry, err := ParseEntry(r.Entry)
			if err != nil || r.Index != e.size || entry.Index != e.size {
				return errReplay
			}
			e, _ = e.add(tlog.RecordHash(r.Entry), nil)
			p.There(entry.Index)
			p.Entry(entry.Index, entry)
			each(entry)
		}
	}
	if e.root() != c.Root || p.Verdict() != "" {
		return errReplay
	}
	return nil
}

var errReplay error = fault.New(fault.Denied, "the audit log's entries are not those that were signed")
