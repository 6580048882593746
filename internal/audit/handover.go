package audit

import (
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/fault"
)

// A log's key is replaced by the key itself: it signs a checkpoint of the log as
// it is before the entry log.key_rotated, with one extension line that names the
// next key. The note is in that entry, and its text in what the log's tree is made
// of. So who knows any key of a log can follow to the one that signs today, with
// nothing but the log, or with a receipt.

const nextKey = "next-key "

// handOver signs which key is next.
func (s *signer) handOver(size int64, root tlog.Hash, next string) ([]byte, error) {
	msg, err := note.Sign(&note.Note{Text: Checkpoint{s.Name(), size, root}.text() + nextKey + next + "\n"}, s)
	return msg, fault.Wrap(fault.Unavailable, "signing the audit log's next key", err)
}

// OpenHandover checks a note in which verifier names the key that follows it. It
// gives the log as the old key left it, and the next note verifier key. Invalid.
func OpenHandover(msg []byte, verifier string) (Checkpoint, string, error) {
	bad := fault.New(fault.Invalid, "what hands the log over to another key is not signed by the key before")
	v, err := note.NewVerifier(verifier)
	if err != nil {
		return Checkpoint{}, "", bad
	}
	n, err := openNote(msg, v)
	if err != nil {
		return Checkpoint{}, "", bad
	}
	head, next, ok := strings.Cut(n.Text, "\n"+nextKey)
	if !ok {
		return Checkpoint{}, "", bad
	}
	c, err := parseCheckpoint(head + "\n")
	next, ok = strings.CutSuffix(next, "\n")
	if nv, nerr := note.NewVerifier(next); err != nil || !ok || nerr != nil || nv.Name() != v.Name() || c.Origin != v.Name() {
		return Checkpoint{}, "", bad
	}
	return c, next, nil
}

// successors gives key and every key that the handovers lead to from it, in order.
// A handover that none of them signed is passed over.
func successors(key string, handovers [][]byte) []string {
	out := []string{key}
	for _, h := range handovers {
		if _, next, err := OpenHandover(h, out[len(out)-1]); err == nil {
			out = append(out, next)
		}
	}
	return out
}
