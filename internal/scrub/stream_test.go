package scrub_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/scrub"
)

func TestAFrameLeavesAtOnce(t *testing.T) {
	var values []string
	for _, s := range many(rand.New(rand.NewPCG(5, 6)), 500) {
		values = append(values, string(s.Value))
	}
	set := build(t, append(values, "*starred*secret*", `\nescaped-line-1`, kinds["two lines"])...)
	var out bytes.Buffer
	st := set.Stream(&out)
	for _, frame := range []string{"data: {\"delta\":\"hel\"}\n\n", "data: [DONE]\n\n", ": ping\n\n", "event: x\ndata: a\\nb\n\n", "{\"jsonrpc\":\"2.0\"}\n"} {
		out.Reset()
		if _, err := st.Write([]byte(frame)); err != nil || out.String() != frame || st.Held() != 0 {
			t.Fatalf("%q: %q left, %d bytes held, %v", frame, out.String(), st.Held(), err)
		}
	}
}

func TestAStreamHoldsNoMoreThanABeginning(t *testing.T) {
	set := build(t, canary)
	for in, held := range map[string]int{
		"text " + canary[:3]:                      3,
		"text " + canary[:19]:                     19,
		"text " + canary[:3] + " ":                0,
		"text " + canary:                          1, // read backwards it begins with a d, too
		`text \u007`:                              5,
		`text \u0071\u0037`:                       12, // q7
		`text \u0062`:                             0,  // b: no pattern begins with it
		"text " + strings.ToUpper(canary[:5]):     5,
		"text &#113;&#5":                          9,
		"text " + canary + canary[:2] + "\\u005a": 8,
	} {
		st := set.Stream(io.Discard)
		if _, err := st.Write([]byte(in)); err != nil || st.Held() != held {
			t.Errorf("%q: %d bytes held, want %d, %v", in, st.Held(), held, err)
		}
	}
}

// The two faults that a stream easily has: a match that reaches into what is
// held takes the beginning of the next with it, and an escape that is cut by a
// chunk's end is sent on as it is.
func TestAMatchThatReachesIntoWhatIsHeld(t *testing.T) {
	set := build(t, "abcd-1234-abcd", "abcd-9876-xyzw", "1234-abcd-1234-zz")
	for in, want := range map[string]string{
		"abcd-1234-abcd-9876-xyzw.":     "[secret:s0].",
		"abcd-1234-abcd-9876-xyz.":      "[secret:s0]-9876-xyz.",
		"abcd-1234-abcd-1234-zz.":       "[secret:s0].",
		"abcd-1234-abcd-1234-abcd.":     "[secret:s0].",
		"abcd-1234-abcdabcd-1234-abcd":  "[secret:s0][secret:s0]",
		"abcd-1234-abcd-1234-abcd-1234": "[secret:s0]-1234",
	} {
		for i := 1; i < len(in); i++ {
			var out bytes.Buffer
			st := set.Stream(&out)
			_, _ = st.Write([]byte(in[:i]))
			_, _ = st.Write([]byte(in[i:]))
			if err := st.Close(); err != nil || out.String() != want {
				t.Errorf("%q split at %d: %q, want %q, %v", in, i, out.String(), want, err)
			}
		}
		if out, _ := streamed(t, set, in, chunkers[1], nil); out != want {
			t.Errorf("%q by bytes: %q, want %q", in, out, want)
		}
	}
}

func TestBackToBackSecretsDoNotFillMemory(t *testing.T) {
	set := build(t, "abcd-1234-abcd")
	st := set.Stream(io.Discard)
	for range 2000 {
		_, _ = st.Write([]byte("abcd-1234-"))
		if st.Held() > 40 {
			t.Fatalf("%d bytes held", st.Held())
		}
	}
}

func TestASecretAddedDuringAStreamAppliesToWhatHasNotLeft(t *testing.T) {
	var h scrub.Holder
	var out bytes.Buffer
	h.Store(build(t, canary[:10]+"-other-end"))
	st := h.Stream(&out)
	_, _ = st.Write([]byte("one " + canary + " two " + canary[:10]))
	h.Store(build(t, canary))
	_, _ = st.Write([]byte(canary[10:] + " three"))
	if err := st.Close(); err != nil || out.String() != "one "+canary+" two [secret:s0] three" {
		t.Fatalf("%q %v", out.String(), err)
	}
}

func TestASecretForgottenDuringAStreamDoesNotUncoverWhatWasReplaced(t *testing.T) {
	var h scrub.Holder
	var out bytes.Buffer
	h.Store(build(t, "abcd-1234-abcd"))
	st := h.Stream(&out)
	_, _ = st.Write([]byte("x abcd-1234-abcd"))
	if st.Held() != 4 || out.String() != "x [secret:s0]" {
		t.Fatalf("%d held, %q", st.Held(), out.String())
	}
	h.Store(nil)
	_, _ = st.Write([]byte(" y"))
	if err := st.Close(); err != nil || out.String() != "x [secret:s0] y" {
		t.Fatalf("%q %v", out.String(), err)
	}
}

func TestAClosedStreamRefuses(t *testing.T) {
	var out bytes.Buffer
	st := build(t, canary).Stream(&out)
	_, _ = st.Write([]byte("tail " + canary[:4]))
	if err := st.Close(); err != nil || out.String() != "tail "+canary[:4] {
		t.Fatal(err, out.String())
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Write([]byte("x")); err == nil {
		t.Fatal("written after Close")
	}
}

func TestAStreamPassesOnTheErrorOfItsWriter(t *testing.T) {
	broken := errors.New("broken")
	r, w := io.Pipe()
	_ = r.CloseWithError(broken)
	st := build(t, canary).Stream(w)
	if _, err := st.Write([]byte("text")); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if err := st.Close(); !errors.Is(err, broken) {
		t.Fatal(err)
	}
}

func TestReader(t *testing.T) {
	set := build(t, canary)
	in := strings.Repeat("some text "+canary+` and \u0071`+canary[1:]+" more; ", 3000)
	want, _ := set.String(in)
	for name, r := range map[string]io.Reader{
		"whole": strings.NewReader(in), "bytes": iotest.OneByteReader(strings.NewReader(in)),
		"half": iotest.HalfReader(strings.NewReader(in)), "eof with data": iotest.DataErrReader(strings.NewReader(in)),
	} {
		got, err := io.ReadAll(set.Reader(r))
		if err != nil || string(got) != want || leaks(string(got[:200]), canary) != "" {
			t.Errorf("%s: %d bytes, want %d, %v", name, len(got), len(want), err)
		}
	}
}

type failing struct {
	io.Reader
	closed bool
}

func (f *failing) Close() error { f.closed = true; return errors.New("close " + canary) }

func TestAReadersErrorIsScrubbed(t *testing.T) {
	var h scrub.Holder
	h.Store(build(t, canary))
	src := &failing{Reader: io.MultiReader(strings.NewReader("start "+canary[:5]),
		iotest.ErrReader(fault.Wrap(fault.Unavailable, "read "+canary, context.Canceled)))}
	r := h.Reader(src)
	got, err := io.ReadAll(r)
	if string(got) != "start "+canary[:5] || !errors.Is(err, context.Canceled) || !fault.Is(err, fault.Unavailable) {
		t.Fatalf("%q %v", got, err)
	}
	shows(t, err.Error())
	if err := r.Close(); !src.closed || err == nil || strings.Contains(err.Error(), canary) {
		t.Fatal(err)
	}
}

func TestHeader(t *testing.T) {
	set := build(t, canary)
	h := http.Header{
		"Content-Type": {"text/plain"}, "X-Echo": {"Bearer " + canary, "fine", "Basic dXNlcjpxN1p0M1ZiTjl4S2MyTHdFNW1SZA=="},
		http.CanonicalHeaderKey("X-" + canary): {"v"},
	}
	r := set.Header(h)
	if len(h) != 2 || h["X-Echo"][0] != "Bearer [secret:s0]" || h["X-Echo"][1] != "fine" || leaks(h["X-Echo"][2], canary) != "" || r.Total() != 3 {
		t.Fatal(h, r)
	}
	(*scrub.Set)(nil).Header(h)
	set.Header(nil)
}
