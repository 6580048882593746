package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/fault"
)

// Receipt proves, by itself and for as long as anybody has it, that one entry is
// in a log: a C2SP tlog-proof, whose extra data are the entry's own bytes and the
// handovers of the log's key.
type Receipt struct {
	Entry      []byte
	Handovers  [][]byte // notes, see OpenHandover; in order
	Index      int64
	Proof      []tlog.Hash
	Checkpoint []byte // with its cosignatures
}

const receiptHead = "c2sp.org/tlog-proof@v1\n"

// MaxReceipt is the most bytes in a receipt.
const MaxReceipt = 1 << 20

// maxProof is the longest inclusion proof that there can be.
const maxProof = 63

// Marshal writes the receipt.
func (r Receipt) Marshal() []byte {
	var extra []byte
	for _, part := range append([][]byte{r.Entry}, r.Handovers...) {
		extra = append(binary.BigEndian.AppendUint16(extra, uint16(len(part))), part...)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%sextra %s\nindex %d\n", receiptHead, base64.StdEncoding.EncodeToString(extra), r.Index)
	for _, h := range r.Proof {
		fmt.Fprintf(&b, "%s\n", h)
	}
	b.WriteString("\n")
	b.Write(r.Checkpoint)
	return b.Bytes()
}

// ParseReceipt reads a receipt in its one form; what it says is not checked yet.
// Kind Invalid.
func ParseReceipt(b []byte) (Receipt, error) {
	bad := func(what string) (Receipt, error) {
		return Receipt{}, fault.Newf(fault.Invalid, "the receipt is malformed: %s", what)
	}
	if len(b) > MaxReceipt {
		return bad("it is too large")
	}
	text, checkpoint, ok := strings.Cut(string(b), "\n\n")
	rest, head := strings.CutPrefix(text, receiptHead)
	if !ok || !head {
		return bad("it is not a c2sp.org/tlog-proof@v1")
	}
	lines := strings.Split(rest, "\n")
	if len(lines) < 2 || len(lines) > 2+maxProof {
		return bad("it has not the lines of a proof")
	}
	encoded, isExtra := strings.CutPrefix(lines[0], "extra ")
	index, isIndex := strings.CutPrefix(lines[1], "index ")
	extra, err := base64.StdEncoding.DecodeString(encoded)
	i, err2 := strconv.ParseInt(index, 10, 64)
	if !isExtra || !isIndex || err != nil || err2 != nil || i < 0 {
		return bad("it has no entry or no index")
	}
	r := Receipt{Index: i, Checkpoint: []byte(checkpoint)}
	parts, ok := split(extra)
	if !ok || len(parts) == 0 {
		return bad("its extra data are not an entry and handovers")
	}
	r.Entry, r.Handovers = parts[0], parts[1:]
	for _, l := range lines[2:] {
		h, err := tlog.ParseHash(l)
		if err != nil {
			return bad("a line of its proof is no hash")
		}
		r.Proof = append(r.Proof, h)
	}
	if !bytes.Equal(r.Marshal(), b) {
		return bad("it is not in canonical form")
	}
	return r, nil
}

// split takes length-prefixed parts apart.
func split(b []byte) (parts [][]byte, ok bool) {
	for len(b) > 0 {
		if len(b) < 2 || len(b) < 2+int(binary.BigEndian.Uint16(b)) {
			return nil, false
		}
		n := int(binary.BigEndian.Uint16(b))
		parts = append(parts, b[2:2+n])
		b = b[2+n:]
	}
	return parts, true
}

// ReceiptOptions is what the verifier of a receipt knows by itself.
type ReceiptOptions struct {
	// VerifierKey of the log: the one that signs, or an earlier one. Without it the
	// receipt proves nothing: it is needed.
	VerifierKey string
	// Witnesses that are known, of which at least Quorum have to have cosigned.
	Witnesses []Witness
	Quorum    int
}

// Proven is what a receipt proves.
type Proven struct {
	Entry        Entry         `json:"-"`
	Checkpoint   Checkpoint    `json:"-"`
	Verifier     string        `json:"verifier"` // the key that signed the checkpoint
	Cosignatures []Cosignature `json:"cosignatures"`
	Findings     []Finding     `json:"findings"` // why it proves nothing
}

// OK says that the receipt proves its entry.
func (p Proven) OK() bool { return len(p.Findings) == 0 }

// VerifyReceipt checks a receipt, without a log, a server or a network. What is
// wrong with it is in the findings; an error says that the options can't be
// understood.
func VerifyReceipt(b []byte, o ReceiptOptions) (Proven, error) {
	origin, err := checkOptions(o.VerifierKey, o.Witnesses, o.Quorum)
	if err != nil {
		return Proven{}, err
	}
	p := Proven{Findings: []Finding{}, Cosignatures: []Cosignature{}}
	find := func(k FindingKind, format string, args ...any) Proven {
		p.Findings = append(p.Findings, Finding{tenantOf(origin), k, -1, fmt.Sprintf(format, args...)})
		return p
	}
	r, err := ParseReceipt(b)
	if err != nil {
		return find(ReceiptMalformed, "%s", err), nil
	}
	keys := successors(o.VerifierKey, r.Handovers)
	for _, key := range keys {
		var cs []Cosignature
		if p.Checkpoint, cs, err = OpenCosigned(r.Checkpoint, key, o.Witnesses); err == nil {
			p.Verifier, p.Cosignatures = key, append(p.Cosignatures, cs...)
			break
		}
	}
	if err != nil {
		return find(CheckpointBad, "%s, nor by a key that follows it in the receipt", err), nil
	}
	if err := tlog.CheckRecord(r.Proof, p.Checkpoint.Size, p.Checkpoint.Root, r.Index, tlog.RecordHash(r.Entry)); err != nil || r.Index >= p.Checkpoint.Size {
		return find(NotIncluded, "the entry is not entry %d of the log that the checkpoint is of", r.Index), nil
	}
	if p.Entry, err = ParseEntry(r.Entry); err != nil {
		return find(EntryMalformed, "%s", err), nil
	}
	if p.Entry.Index != r.Index || p.Entry.Tenant != tenantOf(p.Checkpoint.Origin) {
		return find(EntryMisplaced, "it says that it is entry %d of tenant %s", p.Entry.Index, p.Entry.Tenant), nil
	}
	if len(p.Cosignatures) < o.Quorum {
		return find(WitnessesMissing, "%d of the known witnesses have cosigned it, %d are needed", len(p.Cosignatures), o.Quorum), nil
	}
	return p, nil
}

// checkOptions says whether a key, and witnesses, can be what verification starts
// from, and gives the key's origin.
func checkOptions(key string, witnesses []Witness, quorum int) (origin string, err error) {
	k, err := VerifyOptions{VerifierKey: key}.read()
	if err != nil {
		return "", err
	}
	if key == "" {
		return "", fault.New(fault.Invalid, "a receipt can't be verified without the log's verifier key").
			WithHint("give the key that you know with --key; the log's first entry has it")
	}
	return Origin(k.host, k.keyOf), CheckWitnesses(witnesses, quorum)
}

// CheckWitnesses refuses a witness that is there twice, by name or by key, and a
// quorum that they can't reach. Invalid.
func CheckWitnesses(witnesses []Witness, quorum int) error {
	seen := map[string]bool{}
	for _, w := range witnesses {
		if id := fmt.Sprintf("%s+%08x", w.name, w.hash); w.key == nil || seen[id] || seen[string(w.key)] {
			return fault.New(fault.Invalid, "a witness is named twice")
		} else {
			seen[id], seen[string(w.key)] = true, true
		}
	}
	if quorum < 0 || quorum > len(witnesses) {
		return fault.Newf(fault.Invalid, "%d witnesses are needed, and %d are known", quorum, len(witnesses))
	}
	return nil
}
