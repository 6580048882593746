package deltas_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"sallyport.dev/internal/leaktest"
	"sallyport.dev/internal/scrub"
)

// fuzzValues are known to the fuzzed set, each by its name.
var fuzzValues = []string{"q7Zt3VbN9xKc2LwE5mRd", "k9#Qv!2x", `p"a'ss\w/or<d>&k=9Q`, "abcd-1234-abcd", strings.Repeat("K3yPart/Of+A:Long;Secret", 5)}

func fuzzSet(f *testing.F) *scrub.Set {
	f.Helper()
	var all []scrub.Secret
	for i, v := range fuzzValues {
		all = append(all, scrub.Secret{Name: fmt.Sprint("s", i), Value: []byte(v)})
	}
	set, err := scrub.Build(all)
	if err != nil {
		f.Fatal(err)
	}
	return set
}

// FuzzDeltas puts an encoded secret into any text, cuts that into deltas, sends
// them in one of the shapes with other texts between, and reads what the channel
// says then.
func FuzzDeltas(f *testing.F) {
	for i := range leaktest.Encoders {
		f.Add([]byte("a text {\"with\": [\"quotes\"]} \\u0041 é"), uint64(i), uint8(i))
		f.Add([]byte(`\%&`), uint64(i*7), uint8(i))
	}
	set := fuzzSet(f)
	f.Fuzz(func(t *testing.T, noise []byte, seed uint64, which uint8) {
		if len(noise) > 1<<10 {
			return
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		enc := leaktest.Encoders[int(which)%len(leaktest.Encoders)]
		n := int(seed % uint64(len(fuzzValues)))
		coded, ok := enc.Encode(fuzzValues[n])
		if !ok || !utf8.ValidString(coded) {
			return
		}
		around := strings.ToValidUTF8(string(noise), "?")
		at := rng.IntN(len(around) + 1)
		for at < len(around) && !utf8.RuneStart(around[at]) {
			at++
		}
		text := around[:at] + "\n" + coded + "\n" + around[at:]
		shape := shapes[rng.IntN(len(shapes))]
		if shape.name == "hardly JSON" || shape.name == "data in lines" {
			return // no JSON in each line, which is read below
		}
		var in strings.Builder
		in.WriteString(shape.before)
		for i, size := 0, 1+rng.IntN(9); text != ""; i++ {
			k := min(len(text), 1+rng.IntN(size))
			for k < len(text) && !utf8.RuneStart(text[k]) {
				k++
			}
			fmt.Fprintf(&in, strings.ReplaceAll(shape.each, "$N", fmt.Sprint(i)), quote(text[:k]))
			text = text[k:]
			if rng.IntN(4) == 0 && shape.mediaType == sse && shape.name != "CR alone" {
				in.WriteString([]string{": ping\n\n", "event: ping\ndata: {}\n\n", "data: {\"index\":7,\"other\":\"k9#\"}\n\n"}[rng.IntN(3)])
			}
		}
		out := through(t, set, shape.mediaType, in.String(), 1+rng.IntN(200))
		found := false
		for where, said := range said(t, out) {
			if names := set.Contains([]byte(said)); len(names) > 0 && (where != "wire" && !strings.HasPrefix(where, "field")) {
				t.Fatalf("%s in %s: %s has %v: %q", enc.Name, shape.name, where, names, said)
			}
			found = found || strings.Contains(said, "\n[secret:s"+fmt.Sprint(n)+"]\n") || strings.Contains(said, "[withheld")
		}
		if enc.Exact && !found {
			t.Fatalf("%s in %s: it was not found in %q: %q", enc.Name, shape.name, in.String(), out)
		}
	})
}

// FuzzFrames reads any bytes as a stream, in which $ and ~ stand for the halves
// of a secret: however it is written the same comes out, lines of JSON stay that,
// and where there was nothing to find, every byte.
func FuzzFrames(f *testing.F) {
	for _, s := range []string{
		"data: {\"t\":\"$\"}\n\ndata: {\"t\":\"~\"}\n\n", "event: $\rid: 1\r\revent: ~\r\r", ": $\n\n:~\n\n", "\ufeffdata: $\r\n\r\ndata:~", "id\nretry: 1\ndata\n\n",
		"{\"t\":\"$\",\"t\":\"x\"}\n{\"t\":\"~\"}\n", "\x1e[\"$\",\"~\"]\n", "{\"a\":{\"b\":[1,2,{\"c\":\"$\\u00\"}]}}\r\n{\"a\":\"\\ud800\\udc00~", "{\"t\":\"x\",\"t\":\"$\"}\n{\"t\":1,\"t\":\"~\"}\n",
		"data: {\"t\":'$',}\ndata: \"~\n\n", "data: [[[{\"x\\\"\":\"$\\\\\"}]]\n\n", "data: tru\ndata: 1e9999\ndata: nul\n\n", "{}{}[]\"$\"\"~\"", "\n\n\r\r\n\x00\xff", "data: {\"$\":\"~\"}",
	} {
		f.Add([]byte(s), uint8(1))
		f.Add([]byte(s), uint8(2))
	}
	set := fuzzSet(f)
	f.Fuzz(func(t *testing.T, data []byte, how uint8) {
		if len(data) > 4<<10 {
			return
		}
		const half = 9
		in := strings.NewReplacer("$", fuzzValues[0][:half], "~", fuzzValues[0][half:]).Replace(string(data))
		mediaType := []string{sse, ndjson}[how%2]
		out := through(t, set, mediaType, in, len(in)+1)
		if parts := through(t, set, mediaType, in, 1+int(how)/2); parts != out {
			t.Fatalf("%q became %q, and in parts %q", in, out, parts)
		}
		if !strings.Contains(out, "[secret") && !strings.Contains(out, "[withheld") && in != out {
			t.Fatalf("%q became %q", in, out)
		}
		ins, outs := strings.Split(in, "\n"), strings.Split(out, "\n")
		if len(ins) != len(outs) {
			t.Fatalf("%d lines became %d: %q", len(ins), len(outs), out)
		}
		var is string
		for i := range ins {
			if json.Valid([]byte(ins[i])) != json.Valid([]byte(outs[i])) && mediaType == ndjson {
				t.Fatalf("%q became %q", ins[i], outs[i])
			}
			is += last(outs[i])
		}
		if mediaType == ndjson && strings.Contains(is, fuzzValues[0]) {
			t.Fatalf("%q still says %q", out, is)
		}
	})
}

// last is what a reader takes for the value of "t".
func last(line string) string {
	var v map[string]any
	if json.Unmarshal([]byte(line), &v) != nil {
		return ""
	}
	s, _ := v["t"].(string)
	return s
}
