package httpcred_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/leaktest"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/httpcred"
	"sallyport.dev/internal/vault/internal/plain"
)

// mesh is the matrix: a canary for each kind of value and each encoding, all of
// them known, and one credential that is injected.
type mesh struct {
	set      *scrub.Set
	index    *leaktest.Index
	canaries []leaktest.Canary
	coded    map[string]string // by canary
}

const injected = "cnry-4f27Kq0ZxW4v81mesh"

func newMesh(t *testing.T) *mesh {
	t.Helper()
	m := &mesh{coded: map[string]string{}}
	own := leaktest.Canary{Door: "door", How: "injected", Kind: "token", Value: injected, Parts: []string{injected}}
	secrets := []scrub.Secret{{Name: "own", Value: []byte(injected)}}
	all := []leaktest.Canary{own}
	for _, kind := range leaktest.CanaryKinds {
		for _, enc := range leaktest.Encoders {
			c := leaktest.Mint("door", enc.Name, kind)
			coded, ok := enc.Encode(c.Value)
			if !ok {
				continue // an encoding that has no way to write it
			}
			m.coded[c.String()] = coded
			m.canaries = append(m.canaries, c)
			for _, v := range append(c.Parts, strings.TrimSpace(c.Value)) {
				secrets = append(secrets, scrub.Secret{Name: "mesh", Value: []byte(v)})
			}
		}
	}
	m.index = leaktest.NewIndex(append(all, m.canaries...)...)
	var err error
	if m.set, err = scrub.Build(secrets); err != nil {
		t.Fatal(err)
	}
	return m
}

// call sends a request through a door to a system that answers with the bytes,
// and gives all that the caller sees of it.
func (m *mesh) call(t *testing.T, answer string, cut leaktest.Chunker, rng *rand.Rand) string {
	t.Helper()
	line := &wire{answer: answer, cut: cut, rng: rng, asked: make(chan struct{})}
	tr := &http.Transport{DisableKeepAlives: true, DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return line, nil }}
	door, err := httpcred.New(httpcred.Config{Auth: schemes["bearer"], Origin: resource.Origin{Scheme: "http", Host: "system:80"}, Method: "GET", Base: tr,
		Known: m.set, Latest: func() *scrub.Set { return m.set }, Fields: map[string]plain.Value{"token": plain.New([]byte(injected))}})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := door.RoundTrip(request(t, "GET", "http://system/x", ""))
	if !strings.Contains(line.got.String(), "Authorization: Bearer "+injected) {
		t.Fatalf("the system did not get its credential: %q", line.got.String())
	}
	if err != nil {
		return everything(nil, err) + fault.HintOf(err)
	}
	defer resp.Body.Close()
	var out bytes.Buffer
	fmt.Fprintln(&out, resp.Status)
	_ = resp.Header.Write(&out) // to memory
	_, err = out.ReadFrom(resp.Body)
	fmt.Fprintf(&out, "\n%v %s\n", err, fault.HintOf(err))
	_ = resp.Trailer.Write(&out)
	if err == nil {
		return out.String()
	}
	return out.String() + everything(nil, err)
}

// wire is a connection to a system that answers with fixed bytes, cut as it
// likes, once it has been asked.
type wire struct {
	answer string
	cut    leaktest.Chunker
	rng    *rand.Rand
	mu     sync.Mutex
	got    bytes.Buffer
	asked  chan struct{}
	once   sync.Once
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got.Write(p)
	if bytes.Contains(w.got.Bytes(), []byte("\r\n\r\n")) {
		w.once.Do(func() { close(w.asked) })
	}
	return len(p), nil
}

func (w *wire) Read(p []byte) (int, error) {
	<-w.asked
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.answer == "" {
		return 0, io.EOF
	}
	n := copy(p, w.answer[:max(1, min(w.cut.Cut(len(w.answer), w.rng), len(w.answer)))])
	w.answer = w.answer[n:]
	return n, nil
}

func (w *wire) Close() error                     { w.once.Do(func() { close(w.asked) }); return nil }
func (w *wire) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (w *wire) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// pieces cuts a body as a chunker does.
func pieces(cut leaktest.Chunker, rng *rand.Rand) func(string) []string {
	return func(s string) (out []string) {
		for len(s) > 0 {
			n := min(cut.Cut(len(s), rng), len(s))
			out, s = append(out, s[:n]), s[n:]
		}
		return out
	}
}

// TestLeakMatrix is carrier x encoding x kind of value x chunking. Without
// SALLYPORT_LEAK=full the chunkings take turns.
func TestLeakMatrix(t *testing.T) {
	m := newMesh(t)
	full := os.Getenv("SALLYPORT_LEAK") == "full"
	rng := rand.New(rand.NewPCG(20, 21))
	cases, exercised := 0, map[string]int{}
	for ci, carrier := range leaktest.Carriers {
		for i, c := range m.canaries {
			coded := m.coded[c.String()]
			if !carrier.Takes(coded) {
				continue
			}
			if !full && strings.HasPrefix(carrier.Name, "deltas") && (ci+i)%4 != 0 {
				continue // many events, and many ways to join them: slow to search
			}
			chunkings := leaktest.Chunkers
			if !full {
				chunkings = chunkings[(ci+i)%len(chunkings):][:1]
			}
			for _, cut := range chunkings {
				if len(coded) > 400 && cut.Name == "bytes" && carrier.Name != "JSON" {
					cut = leaktest.Chunkers[3] // sevens say the same, in a fraction of the time
				}
				cases++
				exercised[carrier.Name]++
				out := m.call(t, carrier.Answer(coded, pieces(cut, rng)), cut, rng)
				for _, h := range m.index.Search([]byte(out)) {
					t.Errorf("%s, in %s: %s came through, %s: %.200q", carrier.Name, cut.Name, h.Canary, h.Way, h.Near)
				}
				if t.Failed() && cases > 200 {
					t.FailNow()
				}
			}
		}
	}
	for _, carrier := range leaktest.Carriers {
		if exercised[carrier.Name] == 0 {
			t.Errorf("nothing went through %s", carrier.Name)
		}
	}
	if m.index.Clipped > 0 {
		t.Errorf("%d texts decode to more than was looked at", m.index.Clipped)
	}
	t.Logf("leak matrix at the door: %d cases, %d carriers, %d encodings, %d kinds of value, %d chunkings",
		cases, len(leaktest.Carriers), len(leaktest.Encoders), len(leaktest.CanaryKinds), len(leaktest.Chunkers))
}

// What is no secret comes through where a carrier shows it: so the cases above
// lost nothing but the secrets.
func TestLeakMatrixPassesOnWhatIsNoSecret(t *testing.T) {
	m := newMesh(t)
	for _, carrier := range leaktest.Carriers {
		for _, cut := range leaktest.Chunkers {
			out := m.call(t, carrier.Answer("nothing7secret", pieces(cut, rand.New(rand.NewPCG(1, 2)))), cut, rand.New(rand.NewPCG(1, 2)))
			if got := strings.Contains(strings.ToLower(leaktest.Joined(out)), "nothing7secret"); got != carrier.Shown {
				t.Errorf("%s, in %s: shown %v, not %v: %.300q", carrier.Name, cut.Name, got, carrier.Shown, out)
			}
		}
	}
}

// The search does find what the door did not see.
func TestLeakMatrixFindsWhatIsPlanted(t *testing.T) {
	m := newMesh(t)
	m.set = &scrub.Set{}
	for _, carrier := range leaktest.Carriers {
		c := m.canaries[0]
		if !carrier.Shown || c.How != "raw" {
			continue
		}
		m.index.Forget()
		cut := leaktest.Chunkers[1]
		out := m.call(t, carrier.Answer(c.Value, pieces(cut, nil)), cut, nil)
		if hits := m.index.Search([]byte(out)); len(hits) == 0 || hits[0].Canary.String() != c.String() {
			t.Errorf("%s: %v in %.200q", carrier.Name, hits, out)
		}
	}
}
