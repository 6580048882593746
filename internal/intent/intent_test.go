package intent_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

func TestAProposalIsBounded(t *testing.T) {
	object := func(bytes int) json.RawMessage { // of exactly so many canonical bytes
		return json.RawMessage(`{"a":"` + strings.Repeat("x", bytes-len(`{"a":""}`)) + `"}`)
	}
	for name, c := range map[string]struct {
		p  intent.Proposal
		ok bool
	}{
		"no arguments":                {intent.Proposal{}, true},
		"the largest arguments":       {intent.Proposal{Args: object(intent.MaxArgs)}, true},
		"a byte more":                 {intent.Proposal{Args: object(intent.MaxArgs + 1)}, false},
		"small behind white space":    {intent.Proposal{Args: json.RawMessage(strings.Repeat(" ", intent.MaxArgs) + "{}")}, true},
		"small behind too much of it": {intent.Proposal{Args: json.RawMessage(strings.Repeat(" ", 4*intent.MaxArgs) + "{}")}, false},
		"a list":                      {intent.Proposal{Args: json.RawMessage(`[]`)}, false},
		"null":                        {intent.Proposal{Args: json.RawMessage(`null`)}, false},
		"a text":                      {intent.Proposal{Args: json.RawMessage(`"{}"`)}, false},
		"not JSON":                    {intent.Proposal{Args: json.RawMessage(`{`)}, false},
		"the longest reason":          {intent.Proposal{Reason: strings.Repeat("r", intent.MaxReason)}, true},
		"a longer reason":             {intent.Proposal{Reason: strings.Repeat("r", intent.MaxReason+1)}, false},
		"the longest key":             {intent.Proposal{Key: strings.Repeat("k", intent.MaxKey)}, true},
		"a longer key":                {intent.Proposal{Key: strings.Repeat("k", intent.MaxKey+1)}, false},
	} {
		if err := c.p.Check(); (err == nil) != c.ok || err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAProposalsArgumentsBecomeCanonical(t *testing.T) {
	for in, want := range map[string]string{"": "{}", ` { "b" : 1.0, "a" : 1e20 } `: `{"a":100000000000000000000,"b":1}`} {
		p := intent.Proposal{Args: json.RawMessage(in)}
		if err := p.Check(); err != nil || string(p.Args) != want {
			t.Errorf("%q became %q, %v", in, p.Args, err)
		}
		if _, err := (intent.Bound{Args: p.Args}).Digest(); err != nil {
			t.Errorf("%q: what was checked has no digest: %v", in, err)
		}
	}
}

// Whatever is added to Bound is covered by the digest, or this fails.
func TestTheDigestCoversEveryField(t *testing.T) {
	base := intent.Bound{Args: json.RawMessage(`{}`), Request: intent.Request{Headers: map[string]string{"A": "1"}}}
	was := digest(t, base)
	seen := map[intent.Digest]string{was: "nothing"}
	n := each(reflect.TypeFor[intent.Bound](), nil, func(path []int, name string) {
		b := base
		b.Request.Headers = map[string]string{"A": "1"}
		change(t, reflect.ValueOf(&b).Elem().FieldByIndex(path), name)
		d := digest(t, b)
		if other, taken := seen[d]; taken {
			t.Errorf("a change of %s gives the digest of a change of %s", name, other)
		}
		seen[d] = name
	})
	if n < 18 {
		t.Errorf("%d fields were changed", n)
	}
}

// each visits the fields of a struct and of the structs in it.
func each(typ reflect.Type, at []int, visit func([]int, string)) (n int) {
	for i := range typ.NumField() {
		path := append(append([]int(nil), at...), i)
		if f := typ.Field(i); f.Type.Kind() == reflect.Struct {
			n += each(f.Type, path, visit)
		} else {
			visit(path, f.Name)
			n++
		}
	}
	return n
}

func change(t *testing.T, f reflect.Value, name string) {
	t.Helper()
	switch f.Interface().(type) {
	case json.RawMessage:
		f.Set(reflect.ValueOf(json.RawMessage(`{"changed":1}`)))
		return
	case map[string]string:
		f.Set(reflect.ValueOf(map[string]string{"A": "2"}))
		return
	}
	switch f.Kind() {
	case reflect.String:
		f.SetString("changed")
	case reflect.Int, reflect.Int64:
		f.SetInt(7)
	case reflect.Bool:
		f.SetBool(!f.Bool())
	default:
		t.Fatalf("%s is of a kind that this test does not know how to change", name)
	}
}

func TestTheDigestIsOfTheMeaning(t *testing.T) {
	a := digest(t, intent.Bound{Args: json.RawMessage(`{"a":1,"b":2}`), Request: intent.Request{Headers: map[string]string{"A": "1", "B": "2"}}})
	b := digest(t, intent.Bound{Args: json.RawMessage(` {"b":2.0, "a":1e0}`), Request: intent.Request{Headers: map[string]string{"B": "2", "A": "1"}}})
	if a != b || len(a) != 64 {
		t.Errorf("%s and %s", a, b)
	}
}

func TestWhatHasNoCanonicalFormHasNoDigest(t *testing.T) {
	for _, args := range []string{`{"a":1,"a":2}`, `{`, `{"a":9007199254740993}`} {
		if d, err := (intent.Bound{Args: json.RawMessage(args)}).Digest(); err == nil || d != "" {
			t.Errorf("%s: %q", args, d)
		}
	}
}

func TestAnEmptyDigestEqualsNothing(t *testing.T) {
	d := intent.SHA256([]byte("x"))
	if intent.Digest("").Equal("") || d.Equal("") || intent.Digest("").Equal(d) || !d.Equal(intent.SHA256([]byte("x"))) || d.Equal(d[:63]) || d.Equal(intent.SHA256([]byte("y"))) {
		t.Error("digests are compared wrongly")
	}
	if d != "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" {
		t.Errorf("it is %s", d)
	}
}

func digest(t *testing.T, b intent.Bound) intent.Digest {
	t.Helper()
	d, err := b.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}
