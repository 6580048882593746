package audit_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/audit"
)

// grown is a store with a log of n entries of tenant acme.
func grown(t testing.TB, seq *audit.Sequencer, m *memory, n int64) {
	t.Helper()
	if err := m.do(seq, func(b *audit.Batch) error {
		for i := m.logs["acme"].head.Size; i < n; {
			at, err := b.Append(ended("acme", int(i)))
			if err != nil {
				return err
			}
			i = at + 1
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("GET %s: %s, %v", url, resp.Status, err)
	}
	return b
}

// tileReader is a foreign client's view: tlog's own tile reader over the API.
type tileReader struct {
	t    *testing.T
	base string
}

func (tileReader) Height() int { return 8 }

func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, x := range tiles {
		out = append(out, get(r.t, r.base+"/"+strings.Replace(x.Path(), "tile/8/", "tile/", 1)))
	}
	return out, nil
}

func (tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

func checkpoint(t *testing.T, base, verifier string) tlog.Tree {
	t.Helper()
	c, err := audit.OpenCheckpoint(get(t, base+"/checkpoint"), verifier)
	if err != nil {
		t.Fatal(err)
	}
	return tlog.Tree{N: c.Size, Hash: c.Root}
}

func TestAForeignClientProvesInclusionAndConsistency(t *testing.T) {
	m, seq := newMemory(), sequencer(t)
	srv := httptest.NewServer(audit.Handler(reader{m}, "acme"))
	defer srv.Close()
	var before []tlog.Tree
	for _, size := range []int64{2, 255, 256, 257, 600, 1024} {
		grown(t, seq, m, size)
		tree := checkpoint(t, srv.URL, m.logs["acme"].head.Verifier)
		if tree.N != size {
			t.Fatalf("the checkpoint is of %d entries, want %d", tree.N, size)
		}
		hashes := tlog.TileHashReader(tree, tileReader{t, srv.URL}) // checks each tile against the root
		for _, i := range []int64{0, 1, size / 2, size - 1} {
			proof, err := tlog.ProveRecord(size, i, hashes)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckRecord(proof, size, tree.Hash, i, tlog.RecordHash(entryOf(t, srv.URL, size, i))); err != nil {
				t.Errorf("entry %d of %d: %v", i, size, err)
			}
		}
		for _, old := range before {
			proof, err := tlog.ProveTree(size, old.N, hashes)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckTree(proof, size, tree.Hash, old.N, old.Hash); err != nil {
				t.Errorf("%d does not continue %d: %v", size, old.N, err)
			}
		}
		before = append(before, tree)
	}
}

// entryOf reads entry i from its bundle.
func entryOf(t *testing.T, base string, size, i int64) []byte {
	t.Helper()
	tile := tlog.Tile{H: 8, L: -1, N: i / 256, W: int(min(256, size-i/256*256))}
	b := get(t, base+"/"+strings.Replace(tile.Path(), "tile/8/data", "tile/entries", 1))
	for n := int64(0); ; n++ {
		size := binary.BigEndian.Uint16(b)
		if n == i%256 {
			return b[2 : 2+size]
		}
		b = b[2+size:]
	}
}

func TestOnlyWhatTheCheckpointCoversIsServed(t *testing.T) {
	m := newMemory()
	grown(t, sequencer(t), m, 300)
	h := audit.Handler(reader{m}, "acme")
	for path, want := range map[string]int{
		"/checkpoint":             200,
		"/tile/0/000":             200,
		"/tile/0/001.p/44":        200,
		"/tile/0/001.p/7":         200,
		"/tile/1/000.p/1":         200,
		"/tile/entries/000":       200,
		"/tile/entries/001.p/44":  200,
		"/tile/entries/000.p/255": 200,
		"/tile/0/001":             404,
		"/tile/0/001.p/45":        404,
		"/tile/entries/001":       404,
		"/tile/entries/001.p/45":  404,
		"/tile/1/000":             404,
		"/tile/2/000.p/1":         404,
		"/tile/0/000.p/0":         404,
		"/tile/0/000.p/256":       404,
		"/tile/0/000.p/01":        404,
		"/tile/0/0":               404,
		"/tile/0/1000":            404,
		"/tile/0/x000/000":        404,
		"/tile/00/000":            404,
		"/tile/-1/000":            404,
		"/tile/+0/000":            404,
		"/tile/6/000.p/1":         404,
		"/tile/data/000":          404,
		"/tile/8/0/000":           404,
		"/tile/0/-01":             404,
		"/tile/0/x999/x999/x999/x999/x999/x999/999":        404,
		"/tile/entries/x099/x999/x999/x999/x999/999.p/1":   404,
		"/tile/0/" + strings.Repeat("x999/", 4000) + "999": 404,
		"/tile/": 404,
		"/":      404,
		"/other": 404,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want {
			t.Errorf("GET %.60s: %d, want %d", path, w.Code, want)
		}
	}
	for _, other := range []struct{ method, path string }{{"POST", "/checkpoint"}, {"PUT", "/tile/0/000"}, {"DELETE", "/tile/0/000"}} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(other.method, other.path, nil))
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s %s: %d", other.method, other.path, w.Code)
		}
	}
	w := httptest.NewRecorder()
	audit.Handler(reader{m}, "globex").ServeHTTP(w, httptest.NewRequest("GET", "/checkpoint", nil))
	if w.Code != 404 {
		t.Errorf("a tenant without a log got %d", w.Code)
	}
}

func TestASpoiledLogIsNotServed(t *testing.T) {
	m := newMemory()
	grown(t, sequencer(t), m, 10)
	delete(m.logs["acme"].rows, 4)
	w := httptest.NewRecorder()
	audit.Handler(reader{m}, "acme").ServeHTTP(w, httptest.NewRequest("GET", "/tile/entries/000.p/10", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("a bundle with a hole: %d", w.Code)
	}
}

func FuzzTilePath(f *testing.F) {
	m := newMemory()
	grown(f, sequencer(f), m, 300)
	h := audit.Handler(reader{m}, "acme")
	for _, s := range []string{"0/000", "0/001.p/44", "entries/000", "entries/001.p/1", "1/000.p/1", "0/x001/000", "data/000", "-1/000", "0/001.p/", "5/999.p/255"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		req := httptest.NewRequest("GET", "/tile/0/000", nil)
		req.URL.Path = "/tile/" + path
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != 200 {
			return
		}
		if w.Body.Len() == 0 {
			t.Errorf("%q is an empty tile", path)
		}
		level, rest, _ := strings.Cut(path, "/")
		if level == "entries" {
			level = "data"
		}
		tile, err := tlog.ParseTilePath("tile/8/" + level + "/" + rest)
		if err != nil {
			t.Fatalf("%q was served: %v", path, err)
		}
		if level != "data" && w.Body.Len() != tile.W*tlog.HashSize {
			t.Errorf("%q has %d bytes", path, w.Body.Len())
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	m := newMemory()
	grown(f, sequencer(f), m, 3)
	head := m.logs["acme"].head
	f.Add(head.Checkpoint)
	f.Add([]byte(""))
	f.Add([]byte("sallyport.dev/log/acme\n3\nAAAA\n\n— x y\n"))
	f.Add([]byte("sallyport.dev/log/acme\n03\n" + strings.Repeat("A", 43) + "=\n\n"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		c, err := audit.OpenCheckpoint(msg, head.Verifier)
		if err == nil && (c.Size != 3 || c.Origin != "sallyport.dev/log/acme") {
			t.Errorf("%q was taken as %+v", msg, c)
		}
		rep, err := audit.Verify(t.Context(), source{m}, audit.VerifyOptions{KeptCheckpoint: msg})
		if err == nil && rep.OK() && rep.Logs[0].Against && c.Size != 3 {
			t.Errorf("the log continues a kept checkpoint that nobody signed: %q", msg)
		}
	})
}

func TestBundlesAreCompressedForWhoTakesIt(t *testing.T) {
	m := newMemory()
	grown(t, sequencer(t), m, 300)
	h := audit.Handler(reader{m}, "acme")
	fetch := func(path, accept string) *httptest.ResponseRecorder {
		req := httptest.NewRequest("GET", path, nil)
		req.Header.Set("Accept-Encoding", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		return w
	}
	plain := fetch("/tile/entries/000", "").Body.Bytes()
	for accept, want := range map[string]bool{"gzip": true, "deflate, GZIP;q=0.5": true, "gzip;q=0": false, "gzip; q=0.0": false, "identity": false, "br, xgzip": false} {
		w := fetch("/tile/entries/000", accept)
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != want || w.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q: %v", accept, w.Header())
			continue
		}
		b := w.Body.Bytes()
		if want {
			z, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			if b, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(b, plain) {
			t.Errorf("%q: it is another bundle", accept)
		}
	}
	w := fetch("/tile/0/000", "gzip")
	if w.Header().Get("Content-Encoding") != "" || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || w.Body.Len() != 8192 {
		t.Errorf("a tile of hashes: %v", w.Header())
	}
}
