package audit

import (
	"fmt"
	"slices"

	"sallyport.dev/internal/ident"
)

// FindingKind says what is wrong with a log.
type FindingKind string

// The kinds of finding.
const (
	EntryMissing     FindingKind = "entry-missing"     // the row is gone
	EntryExtra       FindingKind = "entry-extra"       // a row that the checkpoint does not cover
	EntryAltered     FindingKind = "entry-altered"     // not the bytes that were hashed
	EntryMalformed   FindingKind = "entry-malformed"   // not an entry in canonical form
	EntryMisplaced   FindingKind = "entry-misplaced"   // says another index or tenant than its row
	ColumnAltered    FindingKind = "column-altered"    // a column for queries is not what the entry says
	HashMissing      FindingKind = "hash-missing"      // Index is the stored hash's
	HashExtra        FindingKind = "hash-extra"        // Index is the stored hash's
	HashAltered      FindingKind = "hash-altered"      // Index is the stored hash's
	HeadMissing      FindingKind = "head-missing"      // there are rows or hashes and no head
	LogMissing       FindingKind = "log-missing"       // there is no log where one has to be
	KeyChanged       FindingKind = "key-changed"       // the log names another verifier key
	CheckpointBad    FindingKind = "checkpoint-bad"    // malformed, not signed by the key, or of another log
	CheckpointSize   FindingKind = "checkpoint-size"   // of another size than the head
	RootMismatch     FindingKind = "root-mismatch"     // neither entries nor stored hashes make the signed root
	Truncated        FindingKind = "truncated"         // shorter than the kept checkpoint says it was
	Forked           FindingKind = "forked"            // not a continuation of the kept checkpoint
	KeptUnverifiable FindingKind = "kept-unverifiable" // the kept checkpoint is not signed by the log's key

	// Of verdicts by passkey, see proof.go.
	ProofMissing     FindingKind = "proof-missing"     // an entry says that a passkey was used, or had to be, and has no proof of it
	ProofBad         FindingKind = "proof-bad"         // it does not prove this verdict by this key
	ProofReplayed    FindingKind = "proof-replayed"    // the same nonce was signed for before
	ProofCounter     FindingKind = "proof-counter"     // the authenticator's count went back: the key was copied
	ProofEarly       FindingKind = "proof-early"       // the passkey's waiting period was not over
	KeyUnknown       FindingKind = "key-unknown"       // no such passkey of this account was enrolled before, or it was removed
	KeyBad           FindingKind = "key-bad"           // what was enrolled is no key that counts
	HandoverBad      FindingKind = "handover-bad"      // the log's key was replaced, and not by the key before
	ClockBack        FindingKind = "clock-back"        // an entry is earlier than one before it
	WitnessesMissing FindingKind = "witnesses-missing" // fewer witnesses have cosigned than there have to be
	ReceiptMalformed FindingKind = "receipt-malformed" // not a receipt in canonical form
	NotIncluded      FindingKind = "not-included"      // a receipt's proof does not lead from its entry to the signed root
	IndexAltered     FindingKind = "index-altered"     // what queries search by is not what the entries say
	AnchorMalformed  FindingKind = "anchor-malformed"  // a line of an anchor file is none
	PrunedBad        FindingKind = "pruned-bad"        // what is gone below the minimum index is not what the log says was pruned
)

// FindingKinds are all of them, what says most about a log first.
var FindingKinds = []FindingKind{
	Forked, Truncated, RootMismatch, KeyChanged, HandoverBad, CheckpointBad, KeptUnverifiable, CheckpointSize, LogMissing, HeadMissing, PrunedBad,
	EntryMisplaced, EntryAltered, EntryMalformed, EntryMissing, EntryExtra, HashMissing, HashAltered, HashExtra, ColumnAltered, IndexAltered, ClockBack,
	ReceiptMalformed, NotIncluded, AnchorMalformed, WitnessesMissing,
	ProofBad, ProofMissing, ProofReplayed, KeyUnknown, KeyBad, ProofCounter, ProofEarly,
}

// Finding is one thing that is wrong.
type Finding struct {
	Tenant ident.Tenant `json:"tenant"`
	Kind   FindingKind  `json:"kind"`
	Index  int64        `json:"index"` // of the entry, or of the stored hash; -1 where it is about the log
	Detail string       `json:"detail,omitempty"`
}

// String is one line for people.
func (f Finding) String() string {
	s := fmt.Sprintf("%s: %s", f.Tenant, f.Kind)
	if f.Index >= 0 {
		s += fmt.Sprintf(" at %d", f.Index)
	}
	if f.Detail != "" {
		s += ": " + f.Detail
	}
	return s
}

// maxFindings is how many findings of a log are listed, and one of each kind
// beyond; the rest is counted.
const maxFindings = 100

// LogReport is what verification found out about one log.
type LogReport struct {
	Tenant   ident.Tenant `json:"tenant"`
	Verifier string       `json:"verifier"` // the key that the signature was checked with
	// Pinned says that Verifier came from whoever verifies. Otherwise the log
	// vouches for itself: compare Verifier with the one you know.
	Pinned bool `json:"pinned"`
	// Against says that the log was compared with a kept checkpoint.
	Against bool  `json:"against"`
	Size    int64 `json:"size"` // entries
	// Minimum is the index below which entries were pruned, but for Kept, as the entry
	// Pruned says; 0: none were.
	Minimum int64  `json:"minimum,omitempty"`
	Kept    int64  `json:"kept,omitempty"`
	Pruned  int64  `json:"pruned,omitempty"`
	Root    string `json:"root"` // base64
	// Checkpoint is for keeping, outside the reach of who runs the server:
	// the next verification can then find a truncation or a fork.
	Checkpoint string `json:"checkpoint"`
	// Cosigned is the size of the last checkpoint that witnesses cosigned, as the
	// source has it, and Cosignatures are those of the known ones.
	Cosigned     int64         `json:"cosigned,omitempty"`
	Cosignatures []Cosignature `json:"cosignatures,omitempty"`
	Findings     []Finding     `json:"findings"`
	More         int           `json:"more,omitempty"` // findings beyond those listed
}

func (l *LogReport) find(k FindingKind, index int64, format string, args ...any) {
	if len(l.Findings) >= maxFindings && slices.ContainsFunc(l.Findings, func(f Finding) bool { return f.Kind == k }) {
		l.More++
		return
	}
	l.Findings = append(l.Findings, Finding{l.Tenant, k, index, fmt.Sprintf(format, args...)})
}

// Report is the verification of every log of a store.
type Report struct {
	Logs []LogReport `json:"logs"`
}

// OK says that there is at least one log and nothing wrong with any.
func (r Report) OK() bool {
	for _, l := range r.Logs {
		if len(l.Findings) > 0 {
			return false
		}
	}
	return len(r.Logs) > 0
}

// Findings of all logs.
func (r Report) Findings() []Finding {
	var out []Finding
	for _, l := range r.Logs {
		out = append(out, l.Findings...)
	}
	return out
}
