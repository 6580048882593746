package audit_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
)

// prune prunes acme's log but for some entries, as a store does.
func prune(t testing.TB, seq *audit.Sequencer, m *memory, minimum int64, kept ...int64) {
	t.Helper()
	var list audit.KeptList
	for _, i := range kept {
		list.Add(i)
	}
	p := audit.Pruned{Minimum: minimum}
	p.Kept, p.Digest = list.Sum()
	if err := m.do(seq, one(audit.Event{Type: audit.LogPruned, Tenant: "acme", At: noon, Actor: "person:acc_adm", Fields: p.Fields()})); err != nil {
		t.Fatal(err)
	}
	for i := range minimum {
		if !slices.Contains(kept, i) {
			delete(m.logs["acme"].rows, i)
		}
	}
}

func TestBothVerifiersTellAPrunedLogFromATamperedOne(t *testing.T) {
	m, seq := newMemory(), sequencer(t)
	grown(t, seq, m, 300)
	before := m.logs["acme"].head
	receipt := prove(t, m, 100).Marshal()
	rotate(t, seq, m)
	grown(t, seq, m, 900)
	whole := m.clone()
	prune(t, seq, m, 512, 0, 300)
	grown(t, seq, m, 1000)
	o := audit.VerifyOptions{VerifierKey: before.Verifier, KeptCheckpoint: before.Checkpoint}
	good := saved(t, m)
	if got := both(t, good, o, nil); len(got) > 0 {
		t.Fatal(got)
	}
	if rep := verifyTiles(t, good, o); rep.Logs[0].Minimum != 512 || rep.Logs[0].Kept != 2 || rep.Logs[0].Pruned != 900 {
		t.Errorf("%+v", rep.Logs[0])
	}
	if p, err := audit.VerifyReceipt(receipt, audit.ReceiptOptions{VerifierKey: before.Verifier}); err != nil || !p.OK() {
		t.Errorf("a receipt of before: %v, %v", p.Findings, err)
	}
	if good["tile/entries/000"] != nil || good["tile/entries/001"] != nil || good["tile/entries/002"] == nil || good["tile/0/000"] == nil {
		t.Error("what is saved is not what is left")
	}
	entry := func(f files, i int64) []byte {
		b := f["kept"]
		at := bytes.Index(b, binary.BigEndian.AppendUint64(nil, uint64(i)))
		return b[at : at+10+int(binary.BigEndian.Uint16(b[at+8:]))]
	}
	for name, c := range map[string]struct {
		spoil func(files)
		want  audit.FindingKind
	}{
		"another minimum":      {func(f files) { f["kept"] = bytes.Replace(f["kept"], []byte("512\n"), []byte("768\n"), 1) }, audit.PrunedBad},
		"no minimum":           {func(f files) { delete(f, "kept") }, audit.EntryMissing},
		"a garbled minimum":    {func(f files) { f["kept"] = append([]byte("0"), f["kept"]...) }, audit.PrunedBad},
		"a giant minimum":      {func(f files) { f["kept"] = append([]byte("99999999999999999999"), f["kept"]...) }, audit.PrunedBad},
		"a kept entry is gone": {func(f files) { f["kept"] = bytes.Replace(f["kept"], entry(f, 300), nil, 1) }, audit.PrunedBad},
		"a kept one is bent":   {func(f files) { e := entry(f, 300); e[len(e)-3] ^= 1 }, audit.EntryAltered},
		"one more is kept": {func(f files) {
			row := whole.logs["acme"].rows[400].Entry
			f["kept"] = append(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64(f["kept"], 400), uint16(len(row))), row...)
		}, audit.PrunedBad},
		"the list is torn":     {func(f files) { f["kept"] = f["kept"][:len(f["kept"])-1] }, audit.PrunedBad},
		"a bundle above":       {func(f files) { delete(f, "tile/entries/002") }, audit.EntryMissing},
		"a tile of the pruned": {func(f files) { f["tile/0/000"][40] ^= 1 }, audit.HashAltered},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := files{}
			for path, b := range good {
				f[path] = bytes.Clone(b)
			}
			c.spoil(f)
			if got := both(t, f, o, nil); !slices.Contains(got, string(c.want)) {
				t.Errorf("found %v, want %s", got, c.want)
			}
		})
	}
}

// Attack: who has not the log's key takes the beginning away and says that it was
// pruned.
func TestAMinimumThatNoEntrySaysIsFound(t *testing.T) {
	m := newMemory()
	grown(t, sequencer(t), m, 600)
	f := saved(t, m)
	delete(f, "tile/entries/000")
	row := m.logs["acme"].rows[0].Entry
	f["kept"] = append(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64([]byte("256\n"), 0), uint16(len(row))), row...)
	if got := both(t, f, audit.VerifyOptions{VerifierKey: m.logs["acme"].head.Verifier}, nil); !slices.Equal(got, []string{"pruned-bad"}) {
		t.Errorf("found %v", got)
	}
}

// Attack: who has the key says that less is gone than was said before, so that more
// can be.
func TestAMinimumNeverGoesBack(t *testing.T) {
	m, seq := newMemory(), sequencer(t)
	grown(t, seq, m, 1000)
	prune(t, seq, m, 512, 0)
	prune(t, seq, m, 256, 0)
	rep, err := audit.Verify(t.Context(), source{m}, audit.VerifyOptions{})
	if err != nil || !slices.ContainsFunc(rep.Findings(), func(f audit.Finding) bool { return f.Kind == audit.PrunedBad }) {
		t.Errorf("found %v, %v", rep.Findings(), err)
	}
}

func TestAReceiptOfWhatIsGoneIsNotMade(t *testing.T) {
	m, seq := newMemory(), sequencer(t)
	grown(t, seq, m, 600)
	prune(t, seq, m, 512, 0)
	for i, gone := range map[int64]bool{0: false, 1: true, 511: true, 512: false} {
		if _, err := audit.Prove(t.Context(), reader{m}, "acme", i); gone != fault.Is(err, fault.NotFound) || !gone && err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
	}
}

func FuzzParseKept(f *testing.F) {
	f.Add([]byte("256\n"), int64(300))
	f.Add(append([]byte("512\n\x00\x00\x00\x00\x00\x00\x00\x05\x00\x02"), "{}"...), int64(600))
	f.Add([]byte("00256\n"), int64(300))
	f.Add([]byte("99999999999999999999999\n"), int64(1)<<60)
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		minimum, rows, ok := audit.ParseKept(b, size)
		if !ok && (minimum != 0 || rows != nil) || ok && (minimum <= 0 || minimum > size || minimum%audit.PruneUnit != 0) {
			t.Fatalf("%d, %d rows, %v", minimum, len(rows), ok)
		}
		last := int64(-1)
		for _, r := range rows {
			if r.Index <= last || r.Index >= minimum {
				t.Fatalf("index %d after %d, below %d", r.Index, last, minimum)
			}
			last = r.Index
		}
	})
}
