package intent_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"sallyport.dev/internal/intent"
)

func TestADifferenceIsOfTheSmallestValues(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{`{"a":1}`, `{"a":1.0}`, ``},
		{`{"a":1,"b":"x"}`, `{"b":"y","a":1}`, `/b "x" "y";`},
		{`{"a":{"b":[1,2,3]}}`, `{"a":{"b":[1,9]}}`, `/a/b/1 2 9;/a/b/2 3 ;`},
		{`{"a/b":1}`, `{"a/b":null,"m~n":2}`, `/a~1b 1 null;/m~0n  2;`},
		{`{"a":[]}`, `{"a":{}}`, `/a [] {};`},
		{`{}`, `not json`, ` {} not json;`},
	} {
		got := ""
		for _, d := range intent.Diff(json.RawMessage(c.a), json.RawMessage(c.b)) {
			got += fmt.Sprintf("%s %s %s;", d.Path, d.Was, d.Is)
		}
		if got != c.want {
			t.Errorf("%s and %s differ in %q, want %q", c.a, c.b, got, c.want)
		}
	}
}

// What is equal has no difference, and what is not has one.
func FuzzDiff(f *testing.F) {
	for _, s := range [][2]string{{`{}`, `{}`}, {`{"a":[1,{"b":null}]}`, `{"a":[1]}`}, {`[]`, `{"":0}`}, {`"x"`, ``}, {`{"a":1}`, `{"a":null}`}} {
		f.Add([]byte(s[0]), []byte(s[1]))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		x, err1 := intent.Canonical(a)
		y, err2 := intent.Canonical(b)
		ds := intent.Diff(a, b)
		if err1 == nil && err2 == nil && (string(x) == string(y)) != (len(ds) == 0) {
			t.Fatalf("%s and %s: %d differences", a, b, len(ds))
		}
	})
}
