package scrub_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"sallyport.dev/internal/scrub"
)

func build(t testing.TB, values ...string) *scrub.Set {
	t.Helper()
	var secrets []scrub.Secret
	for i, v := range values {
		secrets = append(secrets, scrub.Secret{Name: fmt.Sprintf("s%d", i), Value: []byte(v)})
	}
	set, err := scrub.Build(secrets)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// streamed writes text in chunks and gives what came out.
func streamed(t testing.TB, set *scrub.Set, text string, c chunker, rng *rand.Rand) (string, scrub.Report) {
	t.Helper()
	var out bytes.Buffer
	st := set.Stream(&out)
	for len(text) > 0 {
		n := min(c.Cut(len(text), rng), len(text))
		if k, err := st.Write([]byte(text[:n])); k != n || err != nil {
			t.Fatal(k, err)
		}
		text = text[n:]
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String(), st.Report()
}

// around is what may stand before and after a secret: first the ordinary,
// which has to survive, then the hostile, which may be read as a part of it.
var around = [][2]string{
	{"", ""}, {`{"token":"`, `","n":1}`}, {"x=", "&y=2"}, {" ", "\n"}, {"<b>", "</b>"}, {"data: ", "\n\n"},
	{"100%", "%"}, {`\\`, `\`}, {"&", ";"}, {"%25", "41"}, {"&#", "amp;"}, {`\\\"`, `\u00`}, {"Zg", "=="},
}

const ordinaryAround = 6

func TestNoSecretLeavesInAnyEncodingAtAnyChunking(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	cases := 0
	for kind, value := range kinds {
		set := build(t, value, "another-Secret-77")
		for _, enc := range encoders {
			coded, ok := enc.Encode(value)
			if !ok {
				continue
			}
			places := around
			if kind == "long" {
				places = around[:2]
			}
			for i, a := range places {
				enc.Exact = enc.Exact && i < ordinaryAround
				in := a[0] + coded + a[1]
				whole, r := set.Bytes([]byte(in))
				check(t, kind, enc, a, value, string(whole), r)
				for _, c := range chunkers {
					if kind == "long" && c.Name == "bytes" {
						continue // threes and sevens do, in a fraction of the time
					}
					out, sr := streamed(t, set, in, c, rng)
					if out != string(whole) || !reflect.DeepEqual(r, sr) {
						check(t, kind+"/"+c.Name, enc, a, value, out, sr)
					}
					cases++
				}
			}
		}
	}
	t.Log(cases, "cases")
}

// check says what is wrong with a scrubbed text.
func check(t *testing.T, kind string, enc encoder, a [2]string, value, out string, r scrub.Report) {
	t.Helper()
	at := fmt.Sprintf("%s in %s between %q and %q", kind, enc.Name, a[0], a[1])
	if !strings.Contains(out, "[secret:s0]") {
		t.Fatalf("%s: no replacement in %q", at, out)
	}
	if len(value) < 200 {
		if way := leaks(out, value); way != "" {
			t.Fatalf("%s leaks by %s: %q", at, way, out)
		}
	}
	if enc.Exact && !periodic(value) && out != a[0]+"[secret:s0]"+a[1] {
		t.Fatalf("%s: the text around is damaged: %q", at, out)
	}
	if len(r.Hits) != 1 || r.Hits[0].Name != "s0" || r.Total() < 1 || enc.Exact && !periodic(value) && r.Total() != 1 {
		t.Fatalf("%s: report %v", at, r)
	}
}

// periodic values may match a second time in what surrounds them.
func periodic(v string) bool { return len(v) > 200 }

func TestTheLeakCheckFindsWhatIsPlanted(t *testing.T) {
	for kind, value := range kinds {
		if len(value) > 200 {
			continue
		}
		for _, enc := range encoders {
			coded, ok := enc.Encode(value)
			if !ok {
				continue
			}
			if kind == "escapes" || kind == "leads" || kind == "quotes" {
				continue // their own escapes make every decoder of mixtures guess
			}
			if leaks("before "+coded+" after", value) == "" {
				t.Errorf("%s in %s is not found", kind, enc.Name)
			}
		}
	}
	if way := leaks("an ordinary text, nothing in it", kinds["token"]); way != "" {
		t.Errorf("found where there is nothing: %s", way)
	}
}

func TestWrappedBase64IsFoundInAWholeText(t *testing.T) {
	for kind, value := range kinds {
		if kind == "long" {
			continue // slow to check, and no other case than its parts
		}
		set := build(t, value)
		for _, eol := range []string{"\n", "\r\n", `\n`, `\\r\\n`, "%0A", "\n    "} {
			for shift := 0; shift < 76; shift += 15 {
				coded := lead(shift%5, encodingStd)(strings.Repeat("p", shift) + value + "tail of the text, which goes on for a while")
				var wrapped strings.Builder
				for i := 0; i < len(coded); i += 76 {
					wrapped.WriteString(coded[i:min(i+76, len(coded))] + eol)
				}
				out, r := set.Bytes([]byte(wrapped.String()))
				if !r.Found() {
					t.Fatalf("%s wrapped by %q after %d bytes is not found: %q", kind, eol, shift, out)
				}
				if way := leaks(spaceless(string(out)), value); way != "" {
					t.Fatalf("%s wrapped by %q leaks by %s", kind, eol, way)
				}
			}
		}
	}
}

func TestEverySplitInTwo(t *testing.T) {
	value := kinds["quotes"]
	set := build(t, value)
	for _, enc := range encoders {
		coded, _ := enc.Encode(value)
		in := `a\` + coded + "%2"
		whole, _ := streamed(t, set, in, chunkers[0], nil)
		for i := 1; i < len(in); i++ {
			first := true
			c := chunker{Cut: func(n int, _ *rand.Rand) int {
				if first {
					first = false
					return i
				}
				return n
			}}
			if out, _ := streamed(t, set, in, c, nil); out != whole || leaks(out, value) != "" {
				t.Fatalf("%s split at %d: %q, not %q", enc.Name, i, out, whole)
			}
		}
	}
}

// What looks like an escape may be a part of a secret, before or after one that
// is real.
func TestAnEscapeOfAnotherFamilySpoilsNothing(t *testing.T) {
	for value, in := range map[string]string{
		"3Cabc/defgh1jk": `x%3Cabc\/defgh1jk`, "3Cabc/defgh1jz": `\/abc%3Cabc\/defgh1jz`, "5;KNe*10!-/9X~": `x%25;KNe*10!-\/9X~`, "q7Zt/VbN&lt9x": `q7Zt\/VbN&lt9x`,
		"/a1b2c3d4%3Ce5": `\/a1b2c3d4%3Ce5`, "amp;k9Qv2x/7": `&amp;k9Qv2x\/7`,
	} {
		set := build(t, value)
		out, r := set.String(in)
		if s, _ := streamed(t, set, in, chunkers[1], nil); s != out || !r.Found() || strings.Contains(out, value[len(value)-4:]) {
			t.Errorf("%q: %q, by bytes %q", in, out, s)
		}
	}
}
