package sqlite

import (
	"context"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// pruneStep is how many entries one step drops at most: every call waits meanwhile.
const pruneStep = 32 * audit.PruneUnit

// Prune is what of a tenant's audit log is to be dropped.
type Prune struct {
	Tenant ident.Tenant
	Below  int64     // entries below this index
	Before time.Time // and only what happened before this; zero: whenever
	Event  audit.Event
}

// PrunedTo is how far a step has come.
type PrunedTo struct {
	Minimum int64  // index below which entries are dropped, from now on
	Dropped int64  // by this step
	Stopped string // why it goes no further; "": it may, with another step
}

// PruneAudit drops entries from the beginning of a log, in one transaction with the
// entry that says so. It goes no further than an entry of a Run whose bodies are
// there, of an action that is open, or of what a legal hold is on, and drops nothing
// that is not what was hashed. The tree stays, and so does what the rest of the log is
// checked and the rows are compared with, see [remains]. Denied: the log is not the
// one that was signed.
func (s *Store) PruneAudit(ctx context.Context, p Prune) (to PrunedTo, err error) {
	err = s.write(ctx, func(t *Tx) error {
		if _, err := t.rows.of(p.Tenant); err != nil {
			return err
		}
		to, err = t.prune(p)
		return err
	})
	return to, err
}

var errPrune error = fault.New(fault.Denied, "the audit log is not the one that was signed, so nothing of it is pruned").
	WithHint("verify it: sallyport audit verify --data DIR")

func (t *Tx) prune(p Prune) (PrunedTo, error) {
	last, err := audit.LastPruned(t.ctx, logOf{t}, p.Tenant)
	if err != nil {
		return PrunedTo{}, err
	}
	head, err := auditHead(t.ctx, t.once, p.Tenant) // what this transaction appends is not there yet
	if err != nil {
		return PrunedTo{}, err
	}
	end := min(p.Below, head.Size, last.Minimum+pruneStep)
	entries, err := t.toPrune(p.Tenant, last, end, head)
	if err != nil {
		return PrunedTo{}, err
	}
	b, err := t.blocks(p)
	if err != nil {
		return PrunedTo{}, err
	}
	stopped := ""
	for _, e := range entries {
		if e.Index < last.Minimum {
			continue
		}
		if stopped, err = b.why(e); err != nil {
			return PrunedTo{}, err
		}
		if stopped != "" {
			end = e.Index
			break
		}
	}
	if end -= end % audit.PruneUnit; end <= last.Minimum {
		if stopped == "" {
			stopped = "entries are pruned 256 at a time, and there are not so many more below it"
		}
		return PrunedTo{Minimum: last.Minimum, Stopped: stopped}, nil
	}
	dropped, err := t.dropBelow(p, last, end, entries)
	return PrunedTo{end, dropped, stopped}, err
}

// toPrune reads what is kept below the minimum, and the entries from there to end. Each
// is what the tree that was signed says, in this very transaction: what was altered is
// not made to vanish, nor judged by what it says now. That the head is the log's is
// seen when the entry of the pruning is appended to it.
func (t *Tx) toPrune(tenant ident.Tenant, last audit.Pruned, end int64, head audit.Head) (out []audit.Entry, err error) {
	var kept audit.KeptList
	var leaves []tlog.Hash
	var indexes []int64
	next := last.Minimum
	for from := int64(0); from < end; {
		rows, err := auditRows(t.ctx, t.once, tenant, audit.Filter{}, from, reindexPage)
		if err != nil {
			return nil, err
		}
		if len(rows) == 0 {
			break
		}
		for _, r := range rows {
			if from = r.Index + 1; r.Index >= end {
				break
			}
			e, err := audit.ParseEntry(r.Entry)
			if err != nil || e.Index != r.Index {
				return nil, errPrune
			}
			if r.Index < last.Minimum {
				kept.Add(r.Index)
			} else if next++; r.Index != next-1 {
				return nil, errPrune
			}
			leaves, indexes = append(leaves, audit.Leaf(r.Entry)), append(indexes, r.Index)
			out = append(out, e)
		}
	}
	n, digest := kept.Sum()
	if next != max(end, last.Minimum) || last.Minimum > 0 && (n != last.Kept || digest != last.Digest) {
		return nil, errPrune
	}
	if last.Index >= 0 { // what it says was kept is believed
		rows, err := auditRows(t.ctx, t.once, tenant, audit.Filter{}, last.Index, 1)
		if err != nil || len(rows) != 1 || rows[0].Index != last.Index {
			return nil, errPrune
		}
		leaves, indexes = append(leaves, audit.Leaf(rows[0].Entry)), append(indexes, last.Index)
	}
	signed, err := audit.SignedLeaves(head, tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) { return auditHashes(t.ctx, t.once, tenant, at) }), indexes)
	if err != nil || !slices.Equal(signed, leaves) {
		return nil, errPrune
	}
	return out, nil
}

// blocks is what must not be pruned.
type blocks struct {
	t      *Tx
	before time.Time
	holds  []intent.Hold
	open   map[string]bool   // Intents
	runs   map[string]string // what was found out about a Run; "": nothing
}

func (t *Tx) blocks(p Prune) (*blocks, error) {
	b := &blocks{t: t, before: p.Before, open: map[string]bool{}, runs: map[string]string{}}
	var err error
	if b.holds, err = t.reader().holds(p.Tenant); err != nil {
		return nil, err
	}
	for _, id := range t.reader().ids(tbIntent, p.Tenant, "") {
		b.open[id.key] = true
	}
	return b, nil
}

// why says why an entry has to stay, or "".
func (b *blocks) why(e audit.Entry) (string, error) {
	if !b.before.IsZero() && !e.At.Before(b.before) {
		return "what follows happened later", nil
	}
	for _, h := range b.holds {
		record, _ := e.Fields["record"].(string)
		hidden, _ := e.Fields["recordKey"].(string)
		if h.Kind == intent.HoldRun && h.Name == e.Run || h.Kind == intent.HoldMission && h.Name == e.Mission ||
			h.Kind == intent.HoldRecord && (h.Name == record || hidden != "" && h.Name == audit.HiddenRecord(hidden)) {
			return "there is a legal hold on the " + string(h.Kind) + " " + fault.Quote(h.Name), nil
		}
	}
	if b.open[e.Intent] {
		return "the action " + fault.Quote(e.Intent) + " is still open", nil
	}
	if e.Run == "" {
		return "", nil
	}
	why, known := b.runs[e.Run]
	if !known {
		x, err := b.t.reader().byKey(tbRun, e.Tenant, e.Run)
		switch {
		case fault.Is(err, fault.NotFound):
		case err != nil:
			return "", err
		case x.text("state") != string(intent.RunEnded):
			why = "the Run " + fault.Quote(e.Run) + " has not ended"
		case x.number("erased_at") == 0:
			why = "the bodies of the Run " + fault.Quote(e.Run) + " are not erased"
		}
		b.runs[e.Run] = why
	}
	return why, nil
}

// dropBelow drops what is below the new minimum and not needed, and says so in the log.
func (t *Tx) dropBelow(p Prune, last audit.Pruned, minimum int64, entries []audit.Entry) (dropped int64, err error) {
	r := newRemains(p.Tenant, last, minimum)
	for _, e := range entries {
		if e.Index < minimum {
			r.add(e)
		}
	}
	keep, err := r.keep(t)
	if err != nil {
		return 0, err
	}
	var kept audit.KeptList
	for _, e := range entries {
		if e.Index >= minimum {
			break
		}
		if keep[e.Index] {
			kept.Add(e.Index)
			continue
		}
		dropped++
		if err := t.dropEntry(e); err != nil {
			return 0, err
		}
	}
	now := audit.Pruned{Minimum: minimum, SecretChanges: last.SecretChanges + r.facts.marks[markSecrets], RingChanges: last.RingChanges + r.facts.marks[markRing]}
	now.Kept, now.Digest = kept.Sum()
	ev := p.Event
	ev.Type, ev.Tenant = audit.LogPruned, p.Tenant
	*t.shred = true
	return dropped, t.auditWith(ev, now.Fields())
}

// dropEntry takes an entry out of the store, with what it is found by.
func (t *Tx) dropEntry(e audit.Entry) error {
	if err := t.ExecOne("the audit log", "DELETE FROM audit_entry WHERE tenant = $1 AND idx = $2", e.Tenant, e.Index); err != nil {
		return err
	}
	for _, ref := range e.Refs() {
		if _, err := t.Exec("DELETE FROM audit_ref WHERE tenant = $1 AND kind = $2 AND value = $3 AND idx = $4", e.Tenant, string(ref.Kind), ref.Value, e.Index); err != nil {
			return err
		}
	}
	return nil
}
