package unknown_test

import (
	"bytes"
	"testing"

	"sallyport.dev/internal/scrub/unknown"
)

// seeds are every shape of secret that the tests know, alone and in pairs, and
// what hostile texts are made of.
func seeds(f *testing.F) {
	var all []string
	for _, s := range shapes() {
		all = append(all, s.text)
	}
	for i, s := range all {
		f.Add([]byte(s))
		f.Add([]byte(s + all[(i+7)%len(all)]))
		f.Add([]byte(`{"a":"` + s + `","b":"[secret:x] [secret?:jwt]` + s + `"}`))
	}
	for _, unit := range hostile() {
		f.Add(repeat(unit[:min(len(unit), 200)], 400))
	}
}

// check says what holds of every text.
func check(t *testing.T, text []byte) {
	t.Helper()
	before := bytes.Clone(text)
	out, found := unknown.Mask(text)
	if !bytes.Equal(text, before) {
		t.Fatal("the text was written to")
	}
	if len(found) == 0 && !bytes.Equal(out, text) {
		t.Fatalf("nothing was found, but %q became %q", text, out)
	}
	// The text around the findings is intact, and they are in order.
	at, rest := 0, out
	for _, f := range found {
		if f.Start < at || f.End <= f.Start || f.End > len(text) || f.Rule == "" || f.Family == "" {
			t.Fatalf("%+v after %d in %d bytes", f, at, len(text))
		}
		gap := text[at:f.Start]
		mark := "[secret?:" + f.Rule + "]"
		if !bytes.HasPrefix(rest, gap) || !bytes.HasPrefix(rest[len(gap):], []byte(mark)) {
			t.Fatalf("%q became %q", text, out)
		}
		rest = rest[len(gap)+len(mark):]
		at = f.End
	}
	if !bytes.Equal(rest, text[at:]) {
		t.Fatalf("%q became %q", text, out)
	}
	if again, more := unknown.Mask(out); len(more) > 0 {
		t.Fatalf("%q became %q, and then %q", text, out, again)
	}
}

func FuzzFindNeverPanics(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 16<<10 {
			return
		}
		check(t, text)
	})
}
