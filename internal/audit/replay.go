package audit

import (
	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/fault"
)

// Replay hands a log's entries to each, in order, for what has to be known from
// the record alone. head is one whose signature was checked; rows gives the rows
// from an index on, at most limit. Denied: the entries are not those that were
// signed, and what each was told is worth nothing.
func Replay(head Head, rows func(from int64, limit int) ([]Row, error), each func(Entry)) error {
	c, err := OpenCheckpoint(head.Checkpoint, head.Verifier)
	if err != nil {
		return err
	}
	var e edge
	for e.size < c.Size {
		page, err := rows(e.size, int(min(rowPage, c.Size-e.size)))
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return errReplay
		}
		for _, r := range page {
			entry, err := ParseEntry(r.Entry)
			if err != nil || r.Index != e.size || entry.Index != e.size {
				return errReplay
			}
			e, _ = e.add(tlog.RecordHash(r.Entry), nil)
			each(entry)
		}
	}
	if e.root() != c.Root {
		return errReplay
	}
	return nil
}

var errReplay error = fault.New(fault.Denied, "the audit log's entries are not those that were signed")
