package audit

import (
	"context"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// VerifyOptions is what the verifier knows by itself. Keys and checkpoints say
// which log they are of; the other logs are verified without.
type VerifyOptions struct {
	// VerifierKey is a note verifier key of the log, or "": the one that signs, or
	// an earlier one, which its log.key_rotated entries lead on from.
	VerifierKey    string
	KeptCheckpoint []byte     // a checkpoint of an earlier verification, or nil
	Anchors        []Anchored // what was read from an anchor
	// Witnesses that are known, of which at least Quorum have to have cosigned the
	// last checkpoint that the source has of them.
	Witnesses []Witness
	Quorum    int
}

// Verify checks every log in src from the first byte: the form, index, tenant,
// order in time and columns of every entry, every stored hash, the head, the chain
// of keys from the first to the one that signs, the checkpoint's signature, and
// that the log continues each kept checkpoint. What is wrong is in the report; an
// error says that src could not be read or the options not be understood
// (Invalid). A store without any log has a finding too.
func Verify(ctx context.Context, src Source, opts VerifyOptions) (Report, error) {
	k, err := opts.read()
	if err != nil {
		return Report{}, err
	}
	tenants, err := src.Tenants(ctx)
	if err != nil {
		return Report{}, err
	}
	var rep Report
	for _, t := range tenants {
		v := verification{ctx: ctx, src: src, log: LogReport{Tenant: t, Findings: []Finding{}}, known: k.of(t)}
		if err := v.run(); err != nil {
			return Report{}, fault.Wrap(fault.KindOf(err), "verifying the audit log", err)
		}
		rep.Logs = append(rep.Logs, v.log)
	}
	for _, t := range k.tenants() {
		if !slices.Contains(tenants, t) {
			rep.Logs = append(rep.Logs, missing(t))
		}
	}
	if len(rep.Logs) == 0 {
		rep.Logs = append(rep.Logs, missing(""))
	}
	for _, line := range k.bad {
		rep.Logs[0].find(AnchorMalformed, -1, "line %d of the anchor is no checkpoint", line)
	}
	return rep, nil
}

func missing(t ident.Tenant) LogReport {
	l := LogReport{Tenant: t}
	l.find(LogMissing, -1, "the store has no such audit log")
	return l
}

// verification of one log.
type verification struct {
	ctx   context.Context
	src   Source
	known known
	log   LogReport
	keys  []string // the log's keys, each named by the one before; see walk
}

func (v *verification) run() error {
	head, err := v.src.Head(v.ctx, v.log.Tenant)
	if err != nil {
		return err
	}
	if err := v.addCosigned(); err != nil {
		return err
	}
	signed := v.head(head)
	minimum, err := v.src.Minimum(v.ctx, v.log.Tenant)
	if err != nil {
		return err
	}
	w := walk{verification: v, size: head.Size, open: head.Size == 0, roots: map[int64]*[2]tlog.Hash{}, pruning: Pruning{Minimum: minimum}}
	if signed != nil {
		w.size = signed.Size
	}
	for _, k := range v.known.kept {
		w.roots[k.Size] = nil
	}
	if err := w.run(); err != nil {
		return err
	}
	w.judge(signed)
	w.pruned()
	v.signer(head)
	if head.At != 0 && w.headAt != 0 && !w.torn && len(w.differ) == 0 && head.At != w.headAt {
		v.log.find(ColumnAltered, -1, "the head has another time than the latest entry")
	}
	v.continues(&w)
	return v.indexed(&w)
}

// indexed compares what the log can be searched by with its entries. A store that
// has lost some of it would answer a query without them.
func (v *verification) indexed(w *walk) error {
	x, ok := v.src.(interface {
		RefSum(ctx context.Context, t ident.Tenant) (RefSum, error)
	})
	if !ok || w.torn || w.open {
		return nil
	}
	stored, err := x.RefSum(v.ctx, v.log.Tenant)
	if err == nil && stored != w.refs {
		v.log.find(IndexAltered, -1, "the index for queries has %d references and the entries make %d; make it anew with \"sallyport audit reindex\"", stored.Count, w.refs.Count)
	}
	return err
}

// head checks the head by itself. It returns what the checkpoint says, signed
// or not, or nil where it says nothing readable.
func (v *verification) head(h Head) *Checkpoint {
	l := &v.log
	l.Size, l.Verifier, l.Checkpoint, l.Pinned = h.Size, h.Verifier, string(h.Checkpoint), v.known.key != ""
	if h.Size == 0 {
		l.find(HeadMissing, -1, "the log has no head")
		return nil
	}
	c, err := unsignedCheckpoint(h.Checkpoint)
	if err != nil {
		l.find(CheckpointBad, -1, "%s", err.Error())
		return nil
	}
	if tenantOf(c.Origin) != l.Tenant {
		l.find(CheckpointBad, -1, "the checkpoint is of another tenant's log")
	}
	if c.Size != h.Size {
		l.find(CheckpointSize, -1, "the head has %d entries, its checkpoint %d", h.Size, c.Size)
	}
	l.Root = c.Root.String()
	return &c
}

// signer checks, when the log's keys are known, that the last of them signs the
// checkpoint, and that the key which the verifier knows is one of them.
func (v *verification) signer(h Head) {
	l := &v.log
	if h.Size == 0 || len(v.keys) == 0 {
		return // there is a finding of what is missing
	}
	last := v.keys[len(v.keys)-1]
	if v.known.key != "" && !slices.Contains(v.keys, v.known.key) {
		l.find(KeyChanged, -1, "the log does not begin with the given verifier key, nor does it come to it")
	}
	if h.Verifier != "" && h.Verifier != last {
		l.find(KeyChanged, -1, "the log's head names another verifier key than its entries")
	}
	l.Verifier = last
	if _, err := OpenCheckpoint(h.Checkpoint, last); err != nil && l.Root != "" {
		l.find(CheckpointBad, -1, "%s", err.Error())
	}
}

// continues compares with what was kept elsewhere.
func (v *verification) continues(w *walk) {
	told := map[FindingKind]int{}
	find := func(k FindingKind, format string, args ...any) {
		if told[k]++; told[k] <= maxKept {
			v.log.find(k, -1, format, args...)
		} else {
			v.log.More++
		}
	}
	for _, k := range v.known.kept {
		v.log.Against = v.log.Against || !k.own
		if !slices.ContainsFunc(v.keys, func(key string) bool { _, err := OpenCheckpoint(k.note, key); return err == nil }) {
			find(KeptUnverifiable, "%s is not signed by the log's key", k.from)
		}
		switch roots := w.roots[k.Size]; {
		case k.Size > w.size:
			find(Truncated, "the log has %d entries, %s %d", w.size, k.from, k.Size)
		case roots == nil:
			find(Truncated, "the entries that %s covers are not all there", k.from)
		case roots[0] != k.Root && roots[1] != k.Root:
			find(Forked, "its first %d entries are not those that %s covers", k.Size, k.from)
		}
	}
	v.cosigned(find)
}

// maxKept is how many findings of a kind there are about kept checkpoints: after
// one, all later ones say the same.
const maxKept = 3

// addCosigned takes what the source says of witnesses for a checkpoint that was
// kept: the log has to continue it.
func (v *verification) addCosigned() error {
	msg, err := v.src.Cosigned(v.ctx, v.log.Tenant)
	if err != nil || msg == nil {
		return err
	}
	c, err := unsignedCheckpoint(msg)
	if err != nil || tenantOf(c.Origin) != v.log.Tenant {
		v.log.find(CheckpointBad, -1, "what witnesses are said to have cosigned is no checkpoint of this log")
		return nil
	}
	v.log.Cosigned = c.Size
	v.known.kept = append(slices.Clip(v.known.kept), kept{c, msg, "the cosigned checkpoint", true})
	return nil
}

// cosigned counts the known witnesses.
func (v *verification) cosigned(find func(FindingKind, string, ...any)) {
	most := 0
	for _, k := range v.known.kept {
		for _, key := range v.keys {
			_, cs, err := OpenCosigned(k.note, key, v.known.witnesses)
			if err == nil && k.own {
				v.log.Cosignatures = cs
			}
			most = max(most, len(cs))
		}
	}
	if most < v.known.quorum {
		find(WitnessesMissing, "%d of the known witnesses have cosigned a checkpoint of it, %d are needed", most, v.known.quorum)
	}
}

// sameColumns names the first column that is not what the entry says, or "".
func sameColumns(got, want Columns) string {
	for _, c := range []struct {
		name string
		same bool
	}{
		{"at", got.At == want.At}, {"type", got.Type == want.Type}, {"actor", got.Actor == want.Actor}, {"run", got.Run == want.Run},
		{"intent", got.Intent == want.Intent}, {"connection", got.Connection == want.Connection},
	} {
		if !c.same {
			return c.name
		}
	}
	return ""
}
