package audit

import (
	"context"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// Prove makes the receipt of an entry. It is over the last cosigned checkpoint,
// where that covers the entry, else over the log's last one. What it makes was
// checked: ErrDiverged where the stored log proves nothing of the kind. NotFound:
// there is no such entry.
func Prove(ctx context.Context, r Reader, t ident.Tenant, index int64) (Receipt, error) {
	head, err := r.Head(ctx, t)
	if err != nil {
		return Receipt{}, err
	}
	if index < 0 || index >= head.Size {
		return Receipt{}, fault.Newf(fault.NotFound, "the log has no entry %d", index)
	}
	rows, err := r.List(ctx, t, Filter{}, index, 1)
	if err != nil {
		return Receipt{}, err
	}
	if len(rows) != 1 || rows[0].Index != index {
		p, err := LastPruned(ctx, r, t)
		switch {
		case err != nil:
			return Receipt{}, err
		case index < p.Minimum:
			return Receipt{}, fault.Newf(fault.NotFound, "the entry %d was pruned", index).WithHint("a receipt that was made before still proves it")
		}
		return Receipt{}, ErrDiverged
	}
	out := Receipt{Index: index, Entry: rows[0].Entry, Checkpoint: head.Checkpoint}
	if note, err := r.Cosigned(ctx, t); err != nil {
		return Receipt{}, err
	} else if c, err := unsignedCheckpoint(note); note != nil && err == nil && c.Size > index && c.Size <= head.Size {
		out.Checkpoint = note
	}
	c, err := unsignedCheckpoint(out.Checkpoint)
	if err != nil {
		return Receipt{}, ErrDiverged
	}
	out.Proof, err = tlog.ProveRecord(c.Size, index, hashesOf(ctx, r, t))
	if err != nil {
		return Receipt{}, readingTree(err)
	}
	if err := tlog.CheckRecord(out.Proof, c.Size, c.Root, index, tlog.RecordHash(out.Entry)); err != nil {
		return Receipt{}, ErrDiverged
	}
	out.Handovers, err = Handovers(ctx, r, t, c.Size)
	return out, err
}

// Handovers are the notes by which a log's key was replaced, in its first size
// entries.
func Handovers(ctx context.Context, r Reader, t ident.Tenant, size int64) (out [][]byte, err error) {
	for from := int64(0); ; {
		rows, err := r.List(ctx, t, Filter{Type: LogKeyRotated}, from, rowPage)
		if err != nil || len(rows) == 0 {
			return out, err
		}
		for _, row := range rows {
			if row.Index >= size {
				return out, nil
			}
			e, err := ParseEntry(row.Entry)
			if err != nil || e.Type != LogKeyRotated {
				return nil, ErrDiverged
			}
			h, _ := e.Fields["handover"].(string)
			out, from = append(out, []byte(h)), row.Index+1
		}
	}
}

// ProveConsistency proves that a log's first size entries continue its first old
// ones (RFC 6962, section 2.1.2).
func ProveConsistency(ctx context.Context, r Reader, t ident.Tenant, old, size int64) ([]tlog.Hash, error) {
	if old <= 0 || old >= size {
		return nil, nil // nothing is to be proved
	}
	proof, err := tlog.ProveTree(size, old, hashesOf(ctx, r, t))
	if err != nil {
		return nil, readingTree(err)
	}
	return proof, nil
}

func hashesOf(ctx context.Context, r Reader, t ident.Tenant) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) { return r.Hashes(ctx, t, indexes) })
}

// readingTree is what a missing hash means: the log is not the one that was signed.
func readingTree(err error) error {
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Internal) {
		return ErrDiverged
	}
	return fault.Wrap(fault.KindOf(err), "proving from the audit log's tree", err)
}
