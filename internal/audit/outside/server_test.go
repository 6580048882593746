package outside_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/audit/outside"
)

// witness is a server written from C2SP tlog-witness: it keeps the last checkpoint
// of each log that it knows, and refuses what does not continue it.
type witness struct {
	*httptest.Server
	name string
	key  ed25519.PrivateKey

	mu    sync.Mutex
	logs  map[string]note.Verifier // by origin
	state map[string]tlog.Tree
	asked int
	spoil func(status int, body string) (int, string) // what an attacker makes of an answer
}

func newWitness(t testing.TB, name string, logs ...string) *witness {
	seed := sha256.Sum256([]byte(name))
	w := &witness{name: name, key: ed25519.NewKeyFromSeed(seed[:]), logs: map[string]note.Verifier{}, state: map[string]tlog.Tree{}}
	for _, key := range logs {
		w.trust(t, key)
	}
	w.Server = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.Close)
	return w
}

func (w *witness) trust(t testing.TB, key string) {
	v, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logs[v.Name()] = v
}

func (w *witness) vkey() string {
	raw := append([]byte{4}, w.key.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(w.name+"\n"), raw...))
	return fmt.Sprintf("%s+%x+%s", w.name, sum[:4], base64.StdEncoding.EncodeToString(raw))
}

func (w *witness) client(t testing.TB) *outside.Witness {
	t.Helper()
	c, err := outside.NewWitness(w.URL, w.vkey())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *witness) serve(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	status, answer := http.StatusBadRequest, ""
	if err == nil && r.Method == http.MethodPost && r.URL.Path == "/add-checkpoint" {
		status, answer = w.add(string(body))
	}
	if w.spoil != nil {
		status, answer = w.spoil(status, answer)
	}
	if status == http.StatusConflict {
		rw.Header().Set("Content-Type", "text/x.tlog.size")
	}
	rw.WriteHeader(status)
	_, _ = io.WriteString(rw, answer)
}

// add is add-checkpoint, in the order of its specification.
func (w *witness) add(body string) (int, string) {
	head, checkpoint, ok := strings.Cut(body, "\n\n")
	lines := strings.Split(head, "\n")
	oldText, isOld := strings.CutPrefix(lines[0], "old ")
	old, err := strconv.ParseInt(oldText, 10, 64)
	if !ok || !isOld || err != nil || strconv.FormatInt(old, 10) != oldText || old < 0 || len(lines) > 64 {
		return http.StatusBadRequest, ""
	}
	var proof tlog.TreeProof
	for _, l := range lines[1:] {
		h, err := tlog.ParseHash(l)
		if err != nil {
			return http.StatusBadRequest, ""
		}
		proof = append(proof, h)
	}
	origin, _, _ := strings.Cut(checkpoint, "\n")
	v, known := w.logs[origin]
	if !known {
		return http.StatusNotFound, ""
	}
	n, err := note.Open([]byte(checkpoint), note.VerifierList(v))
	if err != nil {
		return http.StatusForbidden, ""
	}
	text := strings.SplitN(n.Text, "\n", 4)
	size, err := strconv.ParseInt(text[1], 10, 64)
	root, err2 := tlog.ParseHash(text[2])
	if err != nil || err2 != nil || old > size {
		return http.StatusBadRequest, ""
	}
	last := w.state[origin]
	if last.N != old {
		return http.StatusConflict, fmt.Sprintf("%d\n", last.N)
	}
	switch {
	case old == 0 || old == size:
		if len(proof) > 0 || old == size && root != last.Hash {
			return http.StatusUnprocessableEntity, ""
		}
	case tlog.CheckTree(proof, size, root, old, last.Hash) != nil:
		return http.StatusUnprocessableEntity, ""
	}
	w.state[origin] = tlog.Tree{N: size, Hash: root}
	return http.StatusOK, w.line(n.Text, 1_800_000_000)
}

// line is a cosignature over a checkpoint's text.
func (w *witness) line(text string, at uint64) string {
	raw := append([]byte{4}, w.key.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(w.name+"\n"), raw...))
	sig := binary.BigEndian.AppendUint64(sum[:4:4], at)
	sig = append(sig, ed25519.Sign(w.key, []byte(fmt.Sprintf("cosignature/v1\ntime %d\n%s", at, text)))...)
	return fmt.Sprintf("— %s %s\n", w.name, base64.StdEncoding.EncodeToString(sig))
}
