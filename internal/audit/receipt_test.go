package audit_test

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
)

// rotate replaces the key of acme's log.
func rotate(t testing.TB, seq *audit.Sequencer, m *memory) {
	t.Helper()
	if err := m.do(seq, func(b *audit.Batch) error {
		_, err := b.RotateKey(audit.Event{Tenant: "acme", At: noon, Actor: "person:acc_1", Fields: map[string]any{"why": "it is time"}})
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func prove(t testing.TB, m *memory, i int64) audit.Receipt {
	t.Helper()
	r, err := audit.Prove(t.Context(), reader{m}, "acme", i)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAReceiptProvesItsEntryByItself(t *testing.T) {
	m, seq := newMemory(), sequencer(t)
	grown(t, seq, m, 300)
	first := m.logs["acme"].head.Verifier
	for _, i := range []int64{0, 1, 255, 256, 299} {
		b := prove(t, m, i).Marshal()
		p, err := audit.VerifyReceipt(b, audit.ReceiptOptions{VerifierKey: first})
		if err != nil || !p.OK() || p.Entry.Index != i || p.Checkpoint.Size != 300 {
			t.Errorf("entry %d: %+v, %v", i, p, err)
		}
	}
	if _, err := audit.Prove(t.Context(), reader{m}, "acme", 300); !fault.Is(err, fault.NotFound) {
		t.Errorf("an entry that is not there: %v", err)
	}
}

func TestAReceiptIsOverTheCosignedCheckpoint(t *testing.T) {
	m, seq := newMemory(), sequencer(t)
	grown(t, seq, m, 20)
	l := m.logs["acme"]
	a, b := newWitness("a.example"), newWitness("b.example")
	l.cosigned = b.cosign(a.cosign(l.head.Checkpoint, 1_800_000_000), 1_800_000_001)
	m.logs["acme"] = l
	grown(t, seq, m, 30)
	known := []audit.Witness{a.verifier(t), b.verifier(t), newWitness("c.example").verifier(t)}
	o := audit.ReceiptOptions{VerifierKey: l.head.Verifier, Witnesses: known, Quorum: 2}
	p, err := audit.VerifyReceipt(prove(t, m, 19).Marshal(), o)
	if err != nil || !p.OK() || p.Checkpoint.Size != 20 || len(p.Cosignatures) != 2 {
		t.Errorf("%+v, %v", p, err)
	}
	p, err = audit.VerifyReceipt(prove(t, m, 20).Marshal(), o) // no witness has seen it yet
	if err != nil || !found(p, audit.WitnessesMissing) {
		t.Errorf("%+v, %v", p, err)
	}
	for name, o := range map[string]audit.ReceiptOptions{
		"no key":              {},
		"a key that is none":  {VerifierKey: "x"},
		"the same one twice":  {VerifierKey: o.VerifierKey, Witnesses: []audit.Witness{known[0], known[0]}, Quorum: 2},
		"more than are known": {VerifierKey: o.VerifierKey, Witnesses: known, Quorum: 4},
	} {
		if _, err := audit.VerifyReceipt(prove(t, m, 1).Marshal(), o); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func found(p audit.Proven, kind audit.FindingKind) bool {
	return slices.ContainsFunc(p.Findings, func(f audit.Finding) bool { return f.Kind == kind })
}

func TestAReceiptThatWasChangedProvesNothing(t *testing.T) {
	m, seq := newMemory(), sequencer(t)
	grown(t, seq, m, 10)
	rotate(t, seq, m)
	grown(t, seq, m, 20)
	first := prove(t, m, 0)
	entry, err := audit.ParseEntry(first.Entry)
	if err != nil {
		t.Fatal(err)
	}
	o := audit.ReceiptOptions{VerifierKey: entry.Fields["verifier"].(string)}
	good := prove(t, m, 7)
	if p, err := audit.VerifyReceipt(good.Marshal(), o); err != nil || !p.OK() {
		t.Fatalf("%+v, %v", p, err)
	}
	elsewhere := newMemory()
	grown(t, seq2(t), elsewhere, 20)
	other := prove(t, elsewhere, 7)
	for name, c := range map[string]struct {
		change func(*audit.Receipt)
		want   audit.FindingKind
	}{
		"another entry":   {func(r *audit.Receipt) { r.Entry = prove(t, m, 8).Entry }, audit.NotIncluded},
		"a changed entry": {func(r *audit.Receipt) { r.Entry = bytes.Replace(r.Entry, []byte("run_7"), []byte("run_9"), 1) }, audit.NotIncluded},
		"another index":   {func(r *audit.Receipt) { r.Index = 6 }, audit.NotIncluded},
		"an index beyond": {func(r *audit.Receipt) { r.Index = 20 }, audit.NotIncluded},
		"a shorter proof": {func(r *audit.Receipt) { r.Proof = r.Proof[1:] }, audit.NotIncluded},
		"a longer proof":  {func(r *audit.Receipt) { r.Proof = append(r.Proof, r.Proof[0]) }, audit.NotIncluded},
		"a flipped hash":  {func(r *audit.Receipt) { r.Proof[1][5] ^= 1 }, audit.NotIncluded},
		"no handover":     {func(r *audit.Receipt) { r.Handovers = nil }, audit.CheckpointBad},
		"a forged handover": {func(r *audit.Receipt) {
			r.Handovers[0] = bytes.Replace(r.Handovers[0], []byte("\n10\n"), []byte("\n11\n"), 1)
		}, audit.CheckpointBad},
		"a flipped checkpoint": {func(r *audit.Receipt) { r.Checkpoint[30] ^= 1 }, audit.CheckpointBad},
		"another log's":        {func(r *audit.Receipt) { *r = other }, audit.CheckpointBad},
	} {
		t.Run(name, func(t *testing.T) {
			r := good
			r.Proof, r.Handovers, r.Checkpoint = slices.Clone(r.Proof), slices.Clone(r.Handovers), slices.Clone(r.Checkpoint)
			c.change(&r)
			p, err := audit.VerifyReceipt(r.Marshal(), o)
			if err != nil || !found(p, c.want) {
				t.Errorf("%+v, %v; want %s", p.Findings, err, c.want)
			}
		})
	}
	whole := string(good.Marshal())
	for name, bad := range map[string]string{
		"empty": "", "its head alone": "c2sp.org/tlog-proof@v1\n", "no entry": strings.Replace(whole, "extra ", "other ", 1),
		"a zero before the index": strings.Replace(whole, "index 7", "index 07", 1), "another version": strings.Replace(whole, "@v1", "@v2", 1),
		"a sign": strings.Replace(whole, "index 7", "index +7", 1), "a line end of another system": strings.ReplaceAll(whole, "\n", "\r\n"),
		"an entry that is cut": strings.Replace(whole, whole[strings.Index(whole, "extra "):strings.Index(whole, "\nindex")], "extra "+base64.StdEncoding.EncodeToString([]byte{0, 9, 1}), 1),
	} {
		if p, err := audit.VerifyReceipt([]byte(bad), o); err != nil || !found(p, audit.ReceiptMalformed) {
			t.Errorf("%s: %+v, %v", name, p.Findings, err)
		}
	}
}

// seq2 is the sequencer of another server.
func seq2(t testing.TB) *audit.Sequencer {
	t.Helper()
	s, err := audit.NewSequencer("other.example", key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func FuzzReceipt(f *testing.F) {
	m, seq := newMemory(), sequencer(f)
	grown(f, seq, m, 5)
	verifier := m.logs["acme"].head.Verifier
	rotate(f, seq, m)
	grown(f, seq, m, 9)
	for i := range int64(9) {
		f.Add(prove(f, m, i).Marshal())
	}
	f.Add([]byte("c2sp.org/tlog-proof@v1\nindex 0\n\nx"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := audit.ParseReceipt(b)
		if err == nil && !bytes.Equal(r.Marshal(), b) {
			t.Errorf("%q is not the one form of a receipt", b)
		}
		p, err := audit.VerifyReceipt(b, audit.ReceiptOptions{VerifierKey: verifier})
		if err != nil {
			t.Fatal(err)
		}
		if p.OK() && !bytes.Equal(r.Entry, m.logs["acme"].rows[r.Index].Entry) {
			t.Errorf("an entry is proved that is not in the log: %q", r.Entry)
		}
	})
}
