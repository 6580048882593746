package stream_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/stream"
)

var (
	key     = bytes.Repeat([]byte{7}, stream.KeySize)
	binding = []byte("what it belongs to")
)

const chunk = stream.ChunkSize + stream.Overhead

// text is n bytes, in which no two chunks are alike.
func text(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(i*31 + i>>16*17)
	}
	return out
}

// sealed is text encrypted, written in pieces of an odd size.
func sealed(t testing.TB, plain []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := stream.NewWriter(&out, key, binding)
	if err != nil {
		t.Fatal(err)
	}
	for piece := range slices.Chunk(plain, 12345) {
		if n, err := w.Write(piece); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func open(src io.Reader, key, binding []byte) ([]byte, error) {
	r, err := stream.NewReader(src, key, binding)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func TestAStreamOfAnySizeComesBack(t *testing.T) {
	for _, n := range []int{0, 1, stream.ChunkSize - 1, stream.ChunkSize, stream.ChunkSize + 1, 2 * stream.ChunkSize, 3*stream.ChunkSize + 77} {
		in := text(n)
		enc := sealed(t, in)
		if int64(len(enc)) != stream.Length(int64(n)) {
			t.Errorf("%d bytes became %d, not %d", n, len(enc), stream.Length(int64(n)))
		}
		for name, src := range map[string]io.Reader{"at once": bytes.NewReader(enc), "in halves": iotest.HalfReader(bytes.NewReader(enc)), "with its error": iotest.DataErrReader(bytes.NewReader(enc))} {
			if got, err := open(src, key, binding); err != nil || !bytes.Equal(got, in) {
				t.Errorf("%d bytes, %s: %d came back: %v", n, name, len(got), err)
			}
		}
	}
}

func TestNoTwoStreamsOfTheSameTextAreAlike(t *testing.T) {
	a, b := sealed(t, text(1000)), sealed(t, text(1000))
	if bytes.Equal(a, b) || bytes.Contains(a, text(1000)[:16]) {
		t.Error("the ciphertext tells about the text")
	}
}

// refused says that the stream is refused, and that nothing but an authentic
// beginning of it was given out.
func refused(t *testing.T, what string, enc, in []byte) {
	t.Helper()
	got, err := open(bytes.NewReader(enc), key, binding)
	if !fault.Is(err, fault.Invalid) || fault.HintOf(err) == "" {
		t.Errorf("%s: %v", what, err)
	}
	if !bytes.HasPrefix(in, got) || len(got)%stream.ChunkSize != 0 {
		t.Errorf("%s: %d bytes were given out that are not the beginning", what, len(got))
	}
}

func TestAStreamThatWasTamperedWithIsRefused(t *testing.T) {
	in := text(3*stream.ChunkSize + 500)
	enc := sealed(t, in)
	c := func(i int) []byte { return enc[i*chunk : min((i+1)*chunk, len(enc))] }
	for what, b := range map[string][]byte{
		"two chunks swapped":      slices.Concat(c(1), c(0), c(2), c(3)),
		"a chunk dropped":         slices.Concat(c(0), c(2), c(3)),
		"the first dropped":       slices.Concat(c(1), c(2), c(3)),
		"a chunk twice":           slices.Concat(c(0), c(1), c(1), c(2), c(3)),
		"the last twice":          slices.Concat(enc, c(3)),
		"the last alone":          c(3),
		"the last first":          slices.Concat(c(3), c(0), c(1), c(2)),
		"a byte more":             append(slices.Clone(enc), 0),
		"another stream after it": slices.Concat(enc, enc),
		"a chunk of another":      slices.Concat(c(0), sealed(t, in)[chunk:2*chunk], c(2), []byte{1}),
		"nothing":                 {},
	} {
		refused(t, what, b, in)
	}
	for i := 0; i < len(enc); i += 997 {
		b := slices.Clone(enc)
		b[i] ^= 1 << (i % 8)
		refused(t, fmt.Sprintf("a bit of byte %d", i), b, in)
	}
}

func TestAStreamThatWasCutShortIsRefusedAndSaysSo(t *testing.T) {
	for _, n := range []int{3 * stream.ChunkSize, 3*stream.ChunkSize + 500} {
		in := text(n)
		enc := sealed(t, in)
		for at := chunk; at < len(enc); at += chunk {
			refused(t, fmt.Sprintf("cut at %d", at), enc[:at], in)
			if _, err := open(bytes.NewReader(enc[:at]), key, binding); !bytes.Contains([]byte(err.Error()), []byte("cut short")) {
				t.Errorf("cut at %d: %v", at, err)
			}
		}
		for _, at := range []int{0, 1, 27, 28, chunk - 1, chunk + 1, chunk + 28, len(enc) - 1} {
			refused(t, fmt.Sprintf("cut at %d", at), enc[:at], in)
		}
	}
}

func TestAnUnclosedStreamIsRefused(t *testing.T) {
	var out bytes.Buffer
	w, err := stream.NewWriter(&out, key, binding)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text(2*stream.ChunkSize + 1)); err != nil {
		t.Fatal(err)
	}
	refused(t, "not closed", out.Bytes(), text(2*stream.ChunkSize+1))
}

func TestAnotherKeyOrBindingOpensNothing(t *testing.T) {
	enc := sealed(t, text(100))
	other := bytes.Repeat([]byte{8}, stream.KeySize)
	if got, err := open(bytes.NewReader(enc), other, binding); !fault.Is(err, fault.Invalid) || len(got) > 0 {
		t.Error("another key:", len(got), err)
	}
	if got, err := open(bytes.NewReader(enc), key, []byte("what it belongs to!")); !fault.Is(err, fault.Invalid) || len(got) > 0 {
		t.Error("another binding:", len(got), err)
	}
	for name, err := range map[string]error{
		"a short key": func() error { _, err := stream.NewReader(nil, key[1:], binding); return err }(),
		"no binding":  func() error { _, err := stream.NewWriter(nil, key, nil); return err }(),
	} {
		if !fault.Is(err, fault.Internal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestErrorsOfTheOtherSidePassThrough(t *testing.T) {
	broken := errors.New("the disk is on fire")
	enc := sealed(t, text(2*stream.ChunkSize))
	if _, err := open(io.MultiReader(bytes.NewReader(enc[:chunk+5]), iotest.ErrReader(broken)), key, binding); !errors.Is(err, broken) {
		t.Error("reading:", err)
	}
	w, err := stream.NewWriter(failing{broken}, key, binding)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text(2 * stream.ChunkSize)); !errors.Is(err, broken) {
		t.Error("writing:", err)
	}
	if err := w.Close(); !errors.Is(err, broken) {
		t.Error("closing:", err)
	}
	var out bytes.Buffer
	if w, err = stream.NewWriter(&out, key, binding); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("more")); err == nil || w.Close() == nil {
		t.Error("a closed stream goes on")
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// Whatever the bytes are: no panic, and nothing but the one stream is accepted.
func FuzzReader(f *testing.F) {
	in := text(stream.ChunkSize + 100)
	enc := sealed(f, in)
	f.Add(enc)
	f.Add(enc[:chunk])
	f.Add([]byte{})
	f.Add(append(slices.Clone(enc), enc...))
	f.Add(sealed(f, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := open(bytes.NewReader(b), key, binding)
		switch {
		case err == nil && len(got) > 0 && !bytes.Equal(got, in): // the seeds are all that was ever encrypted
			t.Errorf("%d bytes that nobody encrypted were accepted", len(b))
		case err != nil && len(got)%stream.ChunkSize != 0:
			t.Errorf("half a chunk was given out: %d bytes", len(got))
		}
	})
}

func BenchmarkStream(b *testing.B) {
	in := text(8 << 20)
	enc := sealed(b, in)
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(in)))
		for b.Loop() {
			w, _ := stream.NewWriter(io.Discard, key, binding)
			_, _ = w.Write(in)
			_ = w.Close()
		}
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(len(in)))
		for b.Loop() {
			r, _ := stream.NewReader(bytes.NewReader(enc), key, binding)
			_, _ = io.Copy(io.Discard, r)
		}
	})
}
