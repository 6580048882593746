package gate_test

import (
	"encoding/json"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"sallyport.dev/internal/gate"
)

func TestLeavesHaveTheirPointersAndPlaces(t *testing.T) {
	doc := `{"a/b": [1, {"~": "x\u0041"}, null, true], "": "e", "o": {}, "l": [[]], "n": -1.50e3}`
	want := map[string]string{"/a~1b/0": "1", "/a~1b/1/~0": "xA", "/": "e", "/n": "-1.50e3"}
	got := map[string]string{}
	for _, l := range gate.Leaves([]byte(doc)) {
		got[l.Pointer] = l.Text // a value comes after its name
	}
	for p, text := range want {
		if got[p] != text {
			t.Errorf("at %s is %q, not %q", p, got[p], text)
		}
	}
	for pattern, fits := range map[string]bool{"/a~1b/*/~0": true, "/a~1b/1": false, "/*/*/*": true, "/a~1b/1/~0/": false, "/a~1b/1/x": false} {
		if gate.Fits(pattern, []byte(doc), 3) != fits {
			t.Errorf("%s fits: %v", pattern, !fits)
		}
	}
}

func FuzzLeaves(f *testing.F) {
	for _, s := range []string{`{"a":[1,"x\u0041\/"],"b":{"c":"\ud800"}}`, `"\\\n"`, `[[],{},""]`, ` [ 1 , "a" ] `, `{"a":{"a":`, `1 2`, `]`, "\"\xff\"", `{"":{"":""}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		at := 0
		for _, l := range gate.Leaves(doc) {
			if l.Start < at || l.End <= l.Start || l.End > len(doc) {
				t.Fatalf("%q is at %d to %d after %d", l.Text, l.Start, l.End, at)
			}
			at = l.End
			raw := doc[l.Start:l.End]
			var v any
			if err := json.Unmarshal(raw, &v); err != nil {
				t.Fatalf("%q is no leaf: %v", raw, err)
			}
			if s, ok := v.(string); ok && s != l.Text || !ok && string(raw) != l.Text {
				t.Fatalf("%q is read as %q", raw, l.Text)
			}
		}
		var was, is any
		if json.Unmarshal(doc, &was) != nil {
			return
		}
		if err := json.Unmarshal(gate.Spelled(doc), &is); err != nil || !reflect.DeepEqual(was, is) {
			t.Fatalf("%q became %q: %v", doc, gate.Spelled(doc), err)
		}
	})
}

// A system chooses what its answer looks like: no form of it may take memory out
// of proportion, which nothing could catch.
func TestReadingAJSONTextTakesMemoryInProportion(t *testing.T) {
	long := strings.Repeat("n", 64<<10)
	for name, doc := range map[string]string{
		"a long name above many": `{"` + long + `":[` + strings.Repeat("1,", 64<<10) + `"\n"]}`,
		"many long names":        `{"` + long + `":{"` + long + `":[{"` + long + `":[1,2,3]}]}}`,
		"deep":                   strings.Repeat(`{"aaaaaaaa":[`, 4000) + `"\n"` + strings.Repeat("]}", 4000),
		"wide":                   "[" + strings.Repeat(`"\n",`, 32<<10) + "1]",
	} {
		for what, f := range map[string]func([]byte){"parse": gate.Parse, "spelled": func(b []byte) { gate.Spelled(b) }} {
			got := testing.AllocsPerRun(1, func() { f([]byte(doc)) })
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			f([]byte(doc))
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20+uint64(len(doc))*400 {
				t.Errorf("%s of %s: %d bytes of a text of %d, in %.0f allocations", what, name, used, len(doc), got)
			}
		}
	}
}
