package scrub_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/scrub"
)

const canary = "q7Zt3VbN9xKc2LwE5mRd"

func TestASetShowsNothingOfWhatItKnows(t *testing.T) {
	set := build(t, canary)
	type inner struct{ set *scrub.Set }
	type outer struct {
		*scrub.Set
		Plain scrub.Set
		Deep  inner
		List  []*scrub.Set
	}
	var h scrub.Holder
	h.Store(set)
	st := set.Stream(&bytes.Buffer{})
	if _, err := st.Write([]byte(canary[:12])); err != nil || st.Held() != 12 {
		t.Fatal(err, st.Held())
	}
	r := set.Reader(strings.NewReader("text " + canary[:12] + " more"))
	if _, err := r.Read(make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{set, *set, inner{set}, outer{Set: set, Plain: *set, Deep: inner{set}, List: []*scrub.Set{set}}, &h, st, r} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			shows(t, fmt.Sprintf(verb, v))
		}
		b, _ := json.Marshal(v)
		shows(t, string(b))
		for _, handler := range []func(*bytes.Buffer) slog.Handler{
			func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
			func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		} {
			var out bytes.Buffer
			slog.New(handler(&out)).Info("a set", "set", v, slog.Group("g", "set", v))
			shows(t, out.String())
		}
	}
	walk(t, reflect.ValueOf(set), 0)
}

// shows fails when text has the canary or half of it, in any form.
func shows(t *testing.T, text string) {
	t.Helper()
	if leaks(text, canary) != "" || leaks(text, canary[:10]) != "" || leaks(text, strings.ToLower(canary[:10])) != "" {
		t.Fatalf("shows a pattern: %.200q", text)
	}
}

// walk follows everything that reflection can read, as deep printers do.
func walk(t *testing.T, v reflect.Value, depth int) {
	if depth > 20 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			walk(t, v.Elem(), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			walk(t, v.Field(i), depth+1)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			walk(t, v.Index(i), depth+1)
		}
		shows(t, fmt.Sprint(v))
	case reflect.String:
		shows(t, v.String())
	case reflect.Func: // the end of the way
	default:
	}
}

func TestAnEmptySetChangesNothing(t *testing.T) {
	empty, err := scrub.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	in := []byte("some text, " + canary)
	for _, set := range []*scrub.Set{nil, {}, empty, new(scrub.Holder).Load()} {
		out, r := set.Bytes(in)
		if &out[0] != &in[0] || r.Found() || set.Len() != 0 || set.Contains(in) != nil {
			t.Fatal("an empty set found something")
		}
		if out, _ := streamed(t, set, string(in), chunkers[1], nil); out != string(in) {
			t.Fatalf("%q", out)
		}
		if out, _ := set.String(string(in)); out != string(in) {
			t.Fatalf("%q", out)
		}
	}
}

func TestATextWithoutSecretsIsReturnedAsItIs(t *testing.T) {
	in := []byte("a text of no consequence")
	if out, r := build(t, canary).Bytes(in); &out[0] != &in[0] || r.Found() || len(r.Hits) != 0 {
		t.Fatal("copied or hit")
	}
}

func TestASetKeepsNoReferenceToItsInput(t *testing.T) {
	v := []byte(canary)
	set, err := scrub.Build([]scrub.Secret{{Name: "a", Value: v}})
	if err != nil {
		t.Fatal(err)
	}
	clear(v)
	if out, _ := set.String(canary); out != "[secret:a]" {
		t.Fatalf("%q", out)
	}
	in := []byte("x " + canary)
	set.Bytes(in)
	if string(in) != "x "+canary {
		t.Fatal("the input was written to")
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, s := range map[string]scrub.Secret{
		"short":           {Name: "a", Value: []byte("k9#Qv!2")},
		"short in space":  {Name: "a", Value: []byte("  k9#Qv!2 \n")},
		"empty":           {Name: "a"},
		"long":            {Name: "a", Value: make([]byte, scrub.MaxLen+1)},
		"nameless":        {Value: []byte(canary)},
		"name in bracket": {Name: "a]b", Value: []byte(canary)},
		"name of lines":   {Name: "a\nb", Value: []byte(canary)},
		"name too long":   {Name: strings.Repeat("n", 121), Value: []byte(canary)},
	} {
		set, err := scrub.Build([]scrub.Secret{{Name: "good", Value: []byte(canary)}, s})
		if !fault.Is(err, fault.Invalid) || set != nil {
			t.Errorf("%s: %v, %v", name, set, err)
		}
		if err != nil && (strings.Contains(err.Error(), "k9#Qv") || strings.Contains(err.Error(), canary)) {
			t.Errorf("%s: the error has the value", name)
		}
	}
}

func TestANameThatHoldsASecretIsNotShown(t *testing.T) {
	set, err := scrub.Build([]scrub.Secret{{Name: "is-" + canary, Value: []byte("another-Secret-77")}, {Name: "b", Value: []byte(canary)}})
	if err != nil {
		t.Fatal(err)
	}
	out, r := set.String("x another-Secret-77 y")
	if out != "x [secret] y" || fmt.Sprint(r) != "{[{secret 1}]}" {
		t.Fatalf("%q %v", out, r)
	}
}

func TestCheck(t *testing.T) {
	for v, want := range map[string]string{
		"k9#Qv!2x":                    "",
		canary:                        "",
		"correct7 horse+ battery":     "",
		"lowercaseenoughfora":         "",
		"7c9e6679-7425-40de":          "",
		"k9Q2v!":                      "shorter",
		"   padded   ":                "shorter",
		"password":                    "word",
		"Password":                    "word",
		"PASSWORD1!":                  "word",
		"Welcome2024":                 "word",
		"abcdefghijk":                 "word",
		"12345678":                    "guess",
		"11111111111111111111":        "guess",
		"abcabcabcabc":                "guess",
		"99999999-0000":               "guess",
		strings.Repeat(canary, 10000): "longer",
	} {
		err := scrub.Check([]byte(v))
		switch {
		case want == "" && err != nil:
			t.Errorf("%.30q: %v", v, err)
		case want != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want)):
			t.Errorf("%.30q: %v, want %s", v, err, want)
		case want != "" && fault.HintOf(err) == "" && want != "longer":
			t.Errorf("%.30q: no hint", v)
		}
		if err != nil && strings.Contains(err.Error(), v) {
			t.Errorf("%.30q: the error has the value", v)
		}
	}
}

func TestReportsCountPlaces(t *testing.T) {
	set, err := scrub.Build([]scrub.Secret{
		{Name: "b", Value: []byte("bbbb-2222-cccc")}, {Name: "a", Value: []byte("aaaa-1111-bbbb")},
		{Name: "b", Value: []byte("another-Secret-77")}, {Name: "pre", Value: []byte("aaaa-1111")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"aaaa-1111-bbbb":                        "[secret:a] {[{a 1} {pre 1}]}",
		"aaaa-1111-bbbb-2222-cccc":              "[secret:a] {[{a 1} {b 1} {pre 1}]}",
		"aaaa-1111aaaa-1111":                    "[secret:pre][secret:pre] {[{pre 2}]}",
		"bbbb-2222-cccc another-Secret-77":      "[secret:b] [secret:b] {[{b 2}]}",
		"another-Secret-77 and aaaa-1111-bbb":   "[secret:b] and [secret:pre]-bbb {[{b 1} {pre 1}]}",
		"bbbb-2222-ccc and aaaa_1111_bbbb":      "bbbb-2222-ccc and aaaa_1111_bbbb {[]}",
		strings.Repeat("bbbb-2222-cccc,", 5000): strings.Repeat("[secret:b],", 5000) + " {[{b 5000}]}",
	} {
		out, r := set.String(in)
		if got := out + " " + fmt.Sprint(r); got != want {
			t.Errorf("%.60q: %.200q, want %.200q", in, got, want)
		}
		for _, c := range chunkers[:4] {
			out, r := streamed(t, set, in, c, nil)
			if got := out + " " + fmt.Sprint(r); got != want {
				t.Errorf("%.60q in %s: %.200q, want %.200q", in, c.Name, got, want)
			}
		}
	}
	if got := set.Contains([]byte("YWFhYS0xMTExLWJiYmI= and another-secret-77")); fmt.Sprint(got) != "[a b pre]" {
		t.Error(got)
	}
}

func TestErrorKeepsKindAndHintAndNothingElse(t *testing.T) {
	set := build(t, canary)
	err := fmt.Errorf("dial: %w", fault.New(fault.Unavailable, "no answer from user:"+canary+"@host").WithHint("try %s later", canary))
	clean := set.Error(err)
	if clean.Error() != "dial: no answer from user:[secret:s0]@host" || !fault.Is(clean, fault.Unavailable) || fault.HintOf(clean) != "try [secret:s0] later" {
		t.Fatalf("%v %v %v", clean, fault.KindOf(clean), fault.HintOf(clean))
	}
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		shows(t, fmt.Sprintf(verb, clean))
	}
	if errors.Unwrap(clean) != nil {
		t.Fatal("the chain can be reached")
	}
	if plain := set.Error(errors.New("x")); fault.KindOf(plain) != fault.Internal || plain.Error() != "x" {
		t.Fatal(plain)
	}
	if set.Error(nil) != nil || (*scrub.Set)(nil).Error(nil) != nil {
		t.Fatal("nil became an error")
	}
}

func TestASetServesManyGoroutines(t *testing.T) {
	set := build(t, canary, kinds["quotes"])
	in := strings.Repeat(`some text \u0071`+canary[1:]+" ", 20)
	want, _ := set.String(in)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20 {
				if got, r := set.String(in); got != want || r.Total() != 20 {
					t.Error("differs")
				}
			}
		})
	}
	all.Wait()
}
