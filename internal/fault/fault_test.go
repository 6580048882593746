package fault_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"sallyport.dev/internal/fault"
)

func TestAKindIsTheOutermostFaults(t *testing.T) {
	denied := fault.New(fault.Denied, "no")
	for name, c := range map[string]struct {
		err  error
		want fault.Kind
	}{
		"nothing":                  {nil, ""},
		"somebody else's error":    {io.EOF, fault.Internal},
		"a fault":                  {denied, fault.Denied},
		"a fault that was wrapped": {fmt.Errorf("doing it: %w", denied), fault.Denied},
		"a fault in a fault":       {fault.Wrap(fault.Unavailable, "doing it", denied), fault.Unavailable},
		"a fault among others":     {errors.Join(io.EOF, denied), fault.Denied},
		"a fault around another's": {fault.Wrap(fault.Limit, "doing it", io.EOF), fault.Limit},
	} {
		if got := fault.KindOf(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if fault.Is(c.err, c.want) != (c.err != nil) || fault.Is(c.err, fault.Pending) {
			t.Errorf("%s: Is does not agree with KindOf", name)
		}
	}
}

func TestNothingWrappedStaysNothing(t *testing.T) {
	if err := fault.Wrap(fault.Denied, "doing it", nil); err != nil {
		t.Errorf("it became %v", err)
	}
}

func TestWrappingKeepsCauseAndHint(t *testing.T) {
	cause := fault.New(fault.NotFound, "no such row").WithHint("look for %s", "it")
	err := fault.Wrap(fault.Denied, "opening the door", cause)
	if err.Error() != "opening the door: no such row" || fault.HintOf(err) != "look for it" || !errors.Is(err, cause) {
		t.Errorf("%v (%s)", err, fault.HintOf(err))
	}
}

func TestAHintIsTheOutermost(t *testing.T) {
	inner := fault.New(fault.Denied, "in").WithHint("inner")
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"nothing":          {nil, ""},
		"no fault":         {io.EOF, ""},
		"no hint":          {fault.New(fault.Denied, "x"), ""},
		"one further in":   {&fault.Error{Kind: fault.Denied, Msg: "out", Err: fmt.Errorf("between: %w", inner)}, "inner"},
		"the one outside":  {&fault.Error{Kind: fault.Denied, Msg: "out", Err: inner, Hint: "outer"}, "outer"},
		"none to the core": {&fault.Error{Kind: fault.Denied, Msg: "out", Err: io.EOF}, ""},
	} {
		if got := fault.HintOf(c.err); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestAHintIsGivenToACopy(t *testing.T) {
	plain := fault.New(fault.Denied, "no")
	if hinted := plain.WithHint("100%% %d", 7); plain.Hint != "" || hinted.Hint != "100% 7" || hinted.Msg != "no" || hinted.Kind != fault.Denied {
		t.Errorf("%+v and %+v", plain, hinted)
	}
}

func TestAnErrorReadsFromOutsideIn(t *testing.T) {
	for want, e := range map[string]*fault.Error{
		"alone": {Msg: "alone"}, "EOF": {Err: io.EOF}, "reading: EOF": {Msg: "reading", Err: io.EOF},
	} {
		if e.Error() != want {
			t.Errorf("%q, want %q", e.Error(), want)
		}
	}
}

func TestForeignTextIsOneShortPrintableLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "",
		"erp-read":                       "erp-read",
		"a\r\nSet-Cookie: x":             "a Set-Cookie: x",
		"  many \t spaces ":              "many spaces",
		"\x1b[31mred\x1b[0m":             "[31mred [0m",
		"invoice\u202egnp.exe":           "invoice gnp.exe",
		"zero\u200bwidth\ufeff":          "zero width",
		"\xff\xfe":                       "",
		"tag\U000E0041s":                 "tag s",
		"grüße 世界":                       "grüße 世界",
		strings.Repeat("x", 80):          strings.Repeat("x", 80),
		strings.Repeat("x", 81):          strings.Repeat("x", 77) + "…",
		strings.Repeat("x", 76) + "€€€€": strings.Repeat("x", 76) + "…",
	} {
		if got := fault.Quote(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a b", "\x00\n", strings.Repeat("€", 40), strings.Repeat("\xf0\x9f\x98\x80", 30), "\u202e\u2066x", strings.Repeat("a ", 60)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q := fault.Quote(s)
		if len(q) > 80 || !utf8.ValidString(q) || strings.ContainsFunc(q, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q became %q", s, q)
		}
		if again := fault.Quote(q); again != q {
			t.Errorf("%q became %q, and that %q", s, q, again)
		}
	})
}
