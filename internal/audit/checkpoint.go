package audit

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// DefaultHost begins the origin line of a log where no host is configured.
const DefaultHost = "sallyport.dev"

// Origin is the name of a tenant's log: the first line of its checkpoints, and
// the name of its key.
func Origin(host string, t ident.Tenant) string { return host + "/log/" + string(t) }

// checkHost refuses what can't be in a note's key name or an origin line.
func checkHost(host string) error {
	if len(host) > 200 || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '+' }) {
		return fault.Newf(fault.Invalid, "%q can't begin an audit log's origin", fault.Quote(host)).
			WithHint("use a host name, like audit.example.com")
	}
	return nil
}

// Checkpoint is what a log's key signs (C2SP tlog-checkpoint).
type Checkpoint struct {
	Origin string
	Size   int64 // entries
	Root   tlog.Hash
}

// text is the signed text: three lines, no extensions.
func (c Checkpoint) text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// OpenCheckpoint checks a signed checkpoint with a note verifier key, whose name
// has to be the checkpoint's origin. Kind Invalid.
func OpenCheckpoint(msg []byte, verifier string) (Checkpoint, error) {
	v, err := note.NewVerifier(verifier)
	if err != nil {
		return Checkpoint{}, fault.New(fault.Invalid, "the audit log's verifier key is not a note verifier key")
	}
	n, err := openNote(msg, v)
	if err != nil {
		return Checkpoint{}, fault.New(fault.Invalid, "the checkpoint is not signed by the log's key")
	}
	c, err := parseCheckpoint(n.Text)
	if err == nil && c.Origin != v.Name() {
		err = fault.New(fault.Invalid, "the checkpoint is of another log than its key")
	}
	return c, err
}

// openNote opens a signed note in its one form: a signature has no second spelling,
// which base64's unused bits would give it.
func openNote(msg []byte, keys ...note.Verifier) (*note.Note, error) {
	n, err := note.Open(msg, note.VerifierList(keys...))
	if err != nil {
		return nil, err
	}
	for _, s := range slices.Concat(n.Sigs, n.UnverifiedSigs) {
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return nil, fault.New(fault.Invalid, "a signature is not in canonical form")
		}
	}
	return n, nil
}

// parseCheckpoint reads the text of a checkpoint, in its one form.
func parseCheckpoint(text string) (Checkpoint, error) {
	bad := fault.New(fault.Invalid, "the checkpoint is malformed")
	lines := strings.Split(text, "\n")
	if len(lines) != 4 {
		return Checkpoint{}, bad
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	root, err2 := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || err2 != nil || size <= 0 || len(root) != tlog.HashSize {
		return Checkpoint{}, bad
	}
	c := Checkpoint{Origin: lines[0], Size: size, Root: tlog.Hash(root)}
	if c.Origin == "" || c.text() != text {
		return Checkpoint{}, bad
	}
	return c, nil
}

// unsignedCheckpoint reads a checkpoint without checking who signed it. It only
// serves to say what is wrong; nothing is trusted because of it.
func unsignedCheckpoint(msg []byte) (Checkpoint, error) {
	text, _, ok := strings.Cut(string(msg), "\n\n")
	if !ok {
		return Checkpoint{}, fault.New(fault.Invalid, "the checkpoint is not a signed note")
	}
	return parseCheckpoint(text + "\n")
}

// SizeOf is the size that a checkpoint says, whoever signed it; 0 where it says none.
func SizeOf(msg []byte) int64 {
	c, err := unsignedCheckpoint(msg)
	if err != nil {
		return 0
	}
	return c.Size
}

// signer signs the checkpoints of one log. It is a note.Signer over a
// crypto.Signer, so that the key need not be handed out.
type signer struct {
	note.Verifier        // name and key hash
	verifier      string // the note verifier key
	key           crypto.Signer
}

func newSigner(origin string, key crypto.Signer) (*signer, error) {
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fault.New(fault.Internal, "the audit log's key is not an Ed25519 key")
	}
	vk, err := note.NewEd25519VerifierKey(origin, pub)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "naming the audit log's key", err)
	}
	v, err := note.NewVerifier(vk)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "naming the audit log's key", err)
	}
	return &signer{Verifier: v, verifier: vk, key: key}, nil
}

// Sign implements note.Signer.
func (s *signer) Sign(msg []byte) ([]byte, error) { return s.key.Sign(nil, msg, crypto.Hash(0)) }

// sign signs a checkpoint; with it does before, where there is one.
func (s *signer) sign(size int64, root tlog.Hash, before *signer) ([]byte, error) {
	by := []note.Signer{s}
	if before != nil {
		by = append(by, before)
	}
	cp, err := note.Sign(&note.Note{Text: Checkpoint{s.Name(), size, root}.text()}, by...)
	return cp, fault.Wrap(fault.Unavailable, "signing the audit log's checkpoint", err)
}
