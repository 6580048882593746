package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"sallyport.dev/internal/audit"
)

// witness is somebody else's key.
type witness struct {
	name string
	key  ed25519.PrivateKey
}

func newWitness(name string) witness {
	seed := sha256.Sum256([]byte("test witness " + name))
	return witness{name, ed25519.NewKeyFromSeed(seed[:])}
}

func (w witness) id() (hash [4]byte, encoded []byte) {
	encoded = append([]byte{4}, w.key.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(w.name+"\n"), encoded...))
	return [4]byte(sum[:4]), encoded
}

func (w witness) vkey() string {
	hash, encoded := w.id()
	return fmt.Sprintf("%s+%x+%s", w.name, hash, base64.StdEncoding.EncodeToString(encoded))
}

func (w witness) verifier(t testing.TB) audit.Witness {
	t.Helper()
	v, err := audit.ParseWitness(w.vkey())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// cosign adds a cosignature to a checkpoint, written from C2SP tlog-cosignature.
func (w witness) cosign(checkpoint []byte, at uint64) []byte {
	text, _, _ := strings.Cut(string(checkpoint), "\n\n")
	hash, _ := w.id()
	sig := binary.BigEndian.AppendUint64(hash[:], at)
	sig = append(sig, ed25519.Sign(w.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s\n", at, text))...)
	return fmt.Appendf(bytes.Clone(checkpoint), "— %s %s\n", w.name, base64.StdEncoding.EncodeToString(sig))
}

func TestACosignatureCountsOncePerKnownWitness(t *testing.T) {
	m := newMemory()
	grown(t, sequencer(t), m, 5)
	h := m.logs["acme"].head
	a, b, stranger := newWitness("a.example"), newWitness("b.example"), newWitness("stranger.example")
	known := []audit.Witness{a.verifier(t), b.verifier(t)}
	msg := stranger.cosign(a.cosign(a.cosign(h.Checkpoint, 1_800_000_000), 1_800_000_000), 7)
	c, cs, err := audit.OpenCosigned(msg, h.Verifier, known)
	if err != nil || c.Size != 5 || len(cs) != 1 || cs[0].Witness != "a.example" || cs[0].At.Unix() != 1_800_000_000 {
		t.Errorf("%+v, %+v, %v", c, cs, err)
	}
	for name, bad := range map[string][]byte{
		"another time": bytes.Replace(msg, []byte("AAAAaz"), []byte("AAAAbz"), 1),
		"no time":      a.cosign(h.Checkpoint, 0),
		"another key in the name": func() []byte {
			forged := stranger.cosign(h.Checkpoint, 9)
			i := bytes.LastIndex(forged, []byte("stranger.example "))
			raw, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(string(forged[i+len("stranger.example "):])))
			hash, _ := a.id()
			copy(raw, hash[:])
			return fmt.Appendf(bytes.Clone(h.Checkpoint), "— a.example %s\n", base64.StdEncoding.EncodeToString(raw))
		}(),
	} {
		if bytes.Equal(bad, msg) {
			continue
		}
		if _, cs, err := audit.OpenCosigned(bad, h.Verifier, known); err == nil || len(cs) > 0 {
			t.Errorf("%s: %+v counts", name, cs)
		}
	}
}

func TestOnlyAWitnessKeyIsOne(t *testing.T) {
	good := newWitness("w.example").vkey()
	if _, err := audit.ParseWitness(good); err != nil {
		t.Fatal(err)
	}
	m := newMemory()
	grown(t, sequencer(t), m, 2)
	name, rest, _ := strings.Cut(good, "+")
	for _, bad := range []string{"", "+", "++", name, good + "A", "x" + good, name + "+" + strings.ToUpper(rest), name + "+0" + rest, "a b+" + rest, m.logs["acme"].head.Verifier} {
		if w, err := audit.ParseWitness(bad); err == nil && bad != good {
			t.Errorf("%q is taken as %s", bad, w.Name())
		}
	}
}

func FuzzParseWitness(f *testing.F) {
	f.Add(newWitness("w.example").vkey())
	f.Add("w.example+00000000+BA==")
	f.Add("a+b+c")
	f.Fuzz(func(t *testing.T, s string) {
		w, err := audit.ParseWitness(s)
		if err == nil && (w.String() != s || w.Name() == "" || w.Verify([]byte("x"), nil)) {
			t.Errorf("%q is taken as %q", s, w)
		}
	})
}
