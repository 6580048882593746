package console_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"sallyport.dev/internal/console"
	"sallyport.dev/internal/decision"
)

// attack is in every text of every page's data.
const attack = "\"'><img id=pwned src=x onerror=alert(1)><script>alert(2)</script><style>*{}</style>{{.}}\u202e</pre></textarea></title>javascript:alert(3)"

// Each template is executed with nothing, and with everything in every variant:
// a name that its data does not have is an error, and foreign text is only ever
// text.
func TestEveryPageTakesItsDataAndKeepsForeignTextInert(t *testing.T) {
	for _, empty := range console.Pages() {
		name := console.Name(empty)
		if name != "problem" { // is never without its problem
			check(t, name+" without data", empty)
		}
		for _, state := range []string{attack, "open", "approved", "PARKED", "NEEDS_HUMAN", "ended", "textarea", "select", "number"} {
			for _, yes := range []bool{true, false} {
				for _, held := range []bool{true, false} {
					v := reflect.New(reflect.TypeOf(empty).Elem())
					fill(v.Elem(), filling{text: attack, word: state, yes: yes, held: held})
					check(t, name+" in the state "+state[:min(len(state), 12)], v.Interface())
				}
			}
		}
	}
}

type filling struct {
	text, word string // word is for named string types, which are states and kinds, and for a field's type
	yes        bool
	held       bool // Decisions are: their pages have another content
}

func fill(v reflect.Value, f filling) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)))
		return
	case json.RawMessage:
		b, _ := json.Marshal(map[string]string{"key": f.text})
		v.Set(reflect.ValueOf(json.RawMessage(b)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(f.text)
		if v.Type().Name() != "string" {
			v.SetString(f.word)
		}
	case reflect.Bool:
		v.SetBool(f.yes)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Pointer:
		if v.Type() == reflect.TypeFor[*decision.Held]() && !f.held {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), f)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), f)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(k, f)
		fill(e, f)
		v.SetMapIndex(k, e)
	case reflect.Struct:
		if v.Type().Name() == "link" { // the frame's own, of constants
			return
		}
		for i := range v.NumField() {
			x := v.Field(i)
			if !v.Type().Field(i).IsExported() && !v.Type().Field(i).Anonymous {
				continue
			}
			if v.Type().Field(i).Name == "Type" && x.Type().Name() == "string" {
				x.SetString(f.word)
				continue
			}
			fill(settable(x), f)
		}
	}
}

// settable makes an embedded struct of an unexported type one that can be filled.
func settable(v reflect.Value) reflect.Value {
	if v.CanInterface() {
		return v
	}
	return reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
}

func check(t *testing.T, what string, data any) {
	t.Helper()
	s, err := console.Markup(data)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	mains, ids := 0, map[string]bool{}
	for n := range parse(t, s).Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "img", "style", "iframe", "object", "base":
			t.Errorf("%s: has the element %s", what, n.Data)
		case "script":
			if !strings.HasPrefix(attribute(n, "src"), "/assets/") || n.FirstChild != nil {
				t.Errorf("%s: has a script that is not ours", what)
			}
		case "main":
			mains++
		case "input", "select", "textarea":
			if attribute(n, "type") != "hidden" && attribute(n, "id") == "" && !has(n, "hidden") {
				t.Errorf("%s: the field %s has no id, so no label", what, attribute(n, "name"))
			}
		case "form":
			if !strings.HasPrefix(attribute(n, "action"), "/") {
				t.Errorf("%s: a form goes to %q", what, attribute(n, "action"))
			}
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "srcdoc" {
				t.Errorf("%s: %s has the attribute %s", what, n.Data, a.Key)
			}
			if (a.Key == "href" || a.Key == "src") && a.Val != "" && !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") {
				t.Errorf("%s: leads to %q", what, a.Val)
			}
		}
		ids[attribute(n, "id")] = true
	}
	if mains != 1 || ids["pwned"] {
		t.Errorf("%s: %d main elements, attacked %v", what, mains, ids["pwned"])
	}
	for n := range parse(t, s).Descendants() {
		if n.Type == html.TextNode && strings.Contains(n.Data, "\u202e") && n.Parent.Data != "textarea" && n.Parent.Data != "title" {
			t.Errorf("%s: shows a direction mark in <%s class=%.30q>", what, n.Parent.Data, attribute(n.Parent, "class"))
		}
	}
}

func has(n *html.Node, key string) bool {
	for _, a := range n.Attr {
		if a.Key == key {
			return true
		}
	}
	return false
}

func TestWhatCannotBeSeenIsShown(t *testing.T) {
	for in, want := range map[string]string{
		"plain, Größe, 漢字\n\ttab": "plain, Größe, 漢字\n\ttab",
		"a\u202eb":                "a<U+202E>b",
		"a\u200b\u200db":          "a<U+200B><U+200D>b",
		"\u3164\u2800\u115f":      "<U+3164><U+2800><U+115F>",
		"a\u00a0b\r\n":            "a<U+00A0>b<U+000D>\n",
		"\U000E0041\U000E0101":    "<U+E0041><U+E0101>",
		"\x00\x1b[0m":             "<U+0000><U+001B>[0m",
		"a\xffb":                  "a<byte FF>b",
		"\ufffd":                  "\ufffd",
		"<b>":                     "<b>",
	} {
		if got, _ := console.Visible(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

// FuzzVisible: what is not marked is printable, and nothing plain is lost.
func FuzzVisible(f *testing.F) {
	for _, s := range []string{"", "a\u202eb", "\xff\xfe", "\r\n", "\ufffd\xef\xbf", attack} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, plain := console.Visible(s)
		if again, rest := console.Visible(plain); again != plain || rest != plain {
			t.Errorf("%q has a plain part %q that is not plain", s, plain)
		}
		rest := s
		for _, r := range plain {
			i := strings.IndexRune(rest, r)
			if i < 0 {
				t.Fatalf("%q: the plain part %q is not in it in order", s, plain)
			}
			rest = rest[i+len(string(r)):]
		}
	})
}

func TestSigningInLeadsNowhereElse(t *testing.T) {
	for in, want := range map[string]string{
		"/decisions/dec_1?state=open": "/decisions/dec_1?state=open",
		"":                            "/", "//evil.example": "/", `/\evil.example`: "/", "https://evil.example/": "/", "javascript:alert(1)": "/",
		"/%2f%2fevil.example": "/", "/%5cevil.example": "/", "/a\nb": "/", "/signout": "/", "evil": "/", "/\t/evil.example": "/",
	} {
		if got := console.LocalPath(in); got != want {
			t.Errorf("%q leads to %q, want %q", in, got, want)
		}
	}
}

// FuzzLocalPath: whatever comes in, the browser stays here.
func FuzzLocalPath(f *testing.F) {
	for _, s := range []string{"/", "//x", "/\\x", "http:x", "/%2f/x", "/a?b=//c", "///x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := console.LocalPath(s)
		if !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\r\n\t ") {
			t.Errorf("%q leads to %q", s, got)
		}
	})
}
