package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
)

// files are a log's tiles as they were saved.
type files map[string][]byte

func (f files) get(_ context.Context, path string) ([]byte, error) {
	b, ok := f[path]
	if !ok {
		return nil, fault.New(fault.NotFound, "no such file")
	}
	return b, nil
}

func saved(t testing.TB, m *memory) files {
	t.Helper()
	out := files{}
	if _, err := audit.SaveTiles(t.Context(), audit.Files(reader{m}, "acme"), func(path string, b []byte) error {
		out[path] = bytes.Clone(b)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func verifyTiles(t testing.TB, f files, o audit.VerifyOptions) audit.Report {
	t.Helper()
	src, err := audit.OpenTiles(t.Context(), f.get)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := audit.Verify(t.Context(), src, o)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func TestSavedTilesVerifyWithoutTheirServer(t *testing.T) {
	m, seq := newMemory(), sequencer(t)
	grown(t, seq, m, 2)
	first := m.logs["acme"].head.Verifier
	for _, size := range []int64{2, 255, 256, 257, 511, 700} {
		if size > 257 && size < 600 {
			rotate(t, seq, m)
		}
		grown(t, seq, m, size)
		rep := verifyTiles(t, saved(t, m), audit.VerifyOptions{VerifierKey: first})
		if !rep.OK() || rep.Logs[0].Size != size || !rep.Logs[0].Pinned {
			t.Errorf("%d entries: %+v", size, rep)
		}
	}
	names := slices.Sorted(maps.Keys(saved(t, m)))
	if want := []string{"checkpoint", "tile/0/000", "tile/0/001", "tile/0/002.p/188", "tile/1/000.p/2", "tile/entries/000", "tile/entries/001", "tile/entries/002.p/188"}; !slices.Equal(names, want) {
		t.Errorf("the files are %v", names)
	}
}

// spoils are ways to change saved tiles of 700 entries, with what is found first.
var spoils = map[string]struct {
	spoil func(files)
	want  audit.FindingKind
}{
	"a flipped bit in an entry":      {func(f files) { f["tile/entries/001"][5000] ^= 1 }, audit.EntryAltered},
	"a changed name in an entry":     {func(f files) { replace(f, "tile/entries/000", "run_77\"", "run_78\"") }, audit.EntryAltered},
	"a flipped bit in a leaf hash":   {func(f files) { f["tile/0/001"][77] ^= 1 }, audit.HashAltered},
	"a flipped bit in an upper hash": {func(f files) { f["tile/1/000.p/2"][40] ^= 1 }, audit.HashAltered},
	"swapped leaf tiles":             {func(f files) { f["tile/0/000"], f["tile/0/001"] = f["tile/0/001"], f["tile/0/000"] }, audit.HashAltered},
	"swapped bundles": {func(f files) {
		f["tile/entries/000"], f["tile/entries/001"] = f["tile/entries/001"], f["tile/entries/000"]
	}, audit.EntryMisplaced},
	"a missing bundle":               {func(f files) { delete(f, "tile/entries/001") }, audit.EntryMissing},
	"a missing leaf tile":            {func(f files) { delete(f, "tile/0/001") }, audit.HashMissing},
	"a missing upper tile":           {func(f files) { delete(f, "tile/1/000.p/2") }, audit.HashMissing},
	"a cut leaf tile":                {func(f files) { f["tile/0/001"] = f["tile/0/001"][:8000] }, audit.HashMissing},
	"a cut bundle":                   {func(f files) { f["tile/entries/002.p/188"] = f["tile/entries/002.p/188"][:9000] }, audit.EntryMalformed},
	"a longer bundle":                {func(f files) { f["tile/entries/002.p/188"] = append(f["tile/entries/002.p/188"], 0) }, audit.EntryMalformed},
	"a flipped bit in the root":      {func(f files) { replace(f, "checkpoint", "\n700\n", "\n701\n") }, audit.CheckpointBad},
	"a flipped bit in the signature": {func(f files) { b := f["checkpoint"]; b[len(b)-9] ^= 1 }, audit.CheckpointBad},
	"a giant size":                   {func(f files) { replace(f, "checkpoint", "\n700\n", "\n70000000000000\n") }, audit.CheckpointBad},
}

func replace(f files, path, old, now string) {
	if !bytes.Contains(f[path], []byte(old)) {
		panic(fmt.Sprintf("%s has no %q", path, old))
	}
	f[path] = bytes.Replace(f[path], []byte(old), []byte(now), 1)
}

func TestWhatIsWrongWithSavedTilesIsNamed(t *testing.T) {
	m := newMemory()
	grown(t, sequencer(t), m, 700)
	key := m.logs["acme"].head.Verifier
	for name, c := range spoils {
		t.Run(name, func(t *testing.T) {
			f := saved(t, m)
			c.spoil(f)
			var got []string
			for _, x := range verifyTiles(t, f, audit.VerifyOptions{VerifierKey: key}).Findings() {
				got = append(got, string(x.Kind))
			}
			if !slices.Contains(got, string(c.want)) {
				t.Errorf("found %.200s, want %s", strings.Join(slices.Compact(got), " "), c.want)
			}
		})
	}
}

func FuzzBundle(f *testing.F) {
	f.Add([]byte("\x00\x03one\x00\x03two\x00\x00"), 3)
	f.Add([]byte("\x00\x03one"), 2)
	f.Add([]byte{0xff, 0xff, 1}, 1)
	f.Add([]byte(nil), 0)
	f.Fuzz(func(t *testing.T, b []byte, width int) {
		width &= 0xff
		entries := audit.Bundle(b, width)
		n := 0
		for _, e := range entries {
			n += len(e)
		}
		if len(entries) > width || width > 0 && n+2*len(entries) < len(b) {
			t.Fatalf("%d entries of at most %d, %d bytes of %d", len(entries), width, n, len(b))
		}
	})
}

func FuzzAnchor(f *testing.F) {
	m := newMemory()
	grown(f, sequencer(f), m, 3)
	good := audit.AnchorLine("2026-11-23T12:00:00Z", m.logs["acme"].head.Checkpoint)
	f.Add(good)
	f.Add(append(bytes.Clone(good), good[:20]...))
	f.Add([]byte("{}\n[]\nnull\n\"\"\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		lines := audit.ParseAnchor(b)
		if len(lines) != bytes.Count(b, []byte("\n")) {
			t.Fatalf("%d lines of %q", len(lines), b)
		}
		rep, err := audit.Verify(t.Context(), source{m}, audit.VerifyOptions{Anchors: lines})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			if c, err := audit.OpenCheckpoint(l.Checkpoint, m.logs["acme"].head.Verifier); rep.OK() && (err != nil || c.Size != 3) {
				t.Errorf("the log continues %q", l.Checkpoint)
			}
		}
	})
}
