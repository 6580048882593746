package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"

	"sallyport.dev/internal/fault"
)

// Types of key in a note verifier key (C2SP signed-note).
const algCosignature = 4 // cosignature/v1: Ed25519 with a time

// Witness is the verifier key of a witness: somebody else's server that signs
// checkpoints which continue the last one that it saw (C2SP tlog-cosignature,
// Ed25519). It is a note.Verifier.
type Witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
	text string
}

var _ note.Verifier = Witness{}

// ParseWitness reads "name+hash+base64". Kind Invalid.
func ParseWitness(vkey string) (Witness, error) {
	bad := fault.New(fault.Invalid, "it is not the verifier key of a witness").
		WithHint("it looks like witness.example.com+1a2b3c4d+BA..., with an Ed25519 key for cosignature/v1")
	name, rest, _ := strings.Cut(vkey, "+")
	hash, encoded, _ := strings.Cut(rest, "+")
	h, err := strconv.ParseUint(hash, 16, 32)
	key, err2 := base64.StdEncoding.DecodeString(encoded)
	if err != nil || err2 != nil || len(hash) != 8 || strings.ToLower(hash) != hash || len(key) != 1+ed25519.PublicKeySize || key[0] != algCosignature ||
		name == "" || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return Witness{}, bad
	}
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	if binary.BigEndian.Uint32(sum[:4]) != uint32(h) {
		return Witness{}, bad
	}
	return Witness{name, uint32(h), ed25519.PublicKey(key[1:]), vkey}, nil
}

// Name of the witness's key.
func (w Witness) Name() string { return w.name }

// KeyHash of the witness's key.
func (w Witness) KeyHash() uint32 { return w.hash }

// String is the verifier key.
func (w Witness) String() string { return w.text }

// Verify checks a cosignature over a checkpoint's text. One without a time is none.
func (w Witness) Verify(text, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize || w.key == nil {
		return false
	}
	at := binary.BigEndian.Uint64(sig)
	if at == 0 || at > 1<<62 {
		return false
	}
	return ed25519.Verify(w.key, append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", at), text...), sig[8:])
}

// Cosignature says that a witness saw a checkpoint, and when by its own clock.
type Cosignature struct {
	Witness string    `json:"witness"` // its key's name
	At      time.Time `json:"at"`
	Line    string    `json:"-"` // of the note, with its end
	key     string
}

// OpenCosigned checks a checkpoint as [OpenCheckpoint] does, and gives who of the
// witnesses has cosigned it, each key once. Others' signatures are passed over; a
// wrong one in the name of a known witness makes it Invalid.
func OpenCosigned(msg []byte, verifier string, witnesses []Witness) (Checkpoint, []Cosignature, error) {
	c, err := OpenCheckpoint(msg, verifier)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	v, err := note.NewVerifier(verifier)
	if err != nil {
		return Checkpoint{}, nil, fault.New(fault.Invalid, "the audit log's verifier key is not a note verifier key")
	}
	list := []note.Verifier{v}
	for _, w := range witnesses {
		list = append(list, w)
	}
	n, err := openNote(msg, list...)
	if err != nil {
		return Checkpoint{}, nil, fault.New(fault.Invalid, "a cosignature in the name of a known witness is not that witness's")
	}
	return c, cosignatures(n, witnesses), nil
}

func cosignatures(n *note.Note, witnesses []Witness) (out []Cosignature) {
	for _, s := range n.Sigs {
		for _, w := range witnesses {
			if s.Name != w.name || s.Hash != w.hash {
				continue
			}
			raw, _ := base64.StdEncoding.DecodeString(s.Base64) // note.Open has verified it
			out = append(out, Cosignature{Witness: w.name, At: time.Unix(int64(binary.BigEndian.Uint64(raw[4:12])), 0).UTC(),
				Line: "— " + s.Name + " " + s.Base64 + "\n", key: w.text})
			break
		}
	}
	return out
}
