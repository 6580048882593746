package intent_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

// The numbers of RFC 8785, appendix B: the bits of a float64, and its text.
func TestNumbersOfTheRFC(t *testing.T) {
	for bits, want := range map[uint64]string{
		0x0000000000000000: "0",
		0x8000000000000000: "0",
		0x0000000000000001: "5e-324",
		0x8000000000000001: "-5e-324",
		0x7fefffffffffffff: "1.7976931348623157e+308",
		0xffefffffffffffff: "-1.7976931348623157e+308",
		0x4340000000000000: "9007199254740992",
		0xc340000000000000: "-9007199254740992",
		0x4430000000000000: "295147905179352830000",
		0x44b52d02c7e14af5: "9.999999999999997e+22",
		0x44b52d02c7e14af6: "1e+23",
		0x44b52d02c7e14af7: "1.0000000000000001e+23",
		0x444b1ae4d6e2ef4e: "999999999999999700000",
		0x444b1ae4d6e2ef4f: "999999999999999900000",
		0x444b1ae4d6e2ef50: "1e+21",
		0x3eb0c6f7a0b5ed8c: "9.999999999999997e-7",
		0x3eb0c6f7a0b5ed8d: "0.000001",
		0x41b3de4355555553: "333333333.3333332",
		0x41b3de4355555554: "333333333.33333325",
		0x41b3de4355555555: "333333333.3333333",
		0x41b3de4355555556: "333333333.3333334",
		0x41b3de4355555557: "333333333.33333343",
		0xbecbf647612f3696: "-0.0000033333333333333333",
		0x43143ff3c1cb0959: "1424953923781206.2",
	} {
		in := fmt.Sprintf("%.17e", math.Float64frombits(bits)) // enough digits, in another form
		wantCanonical(t, in, want)
		wantCanonical(t, want, want)
	}
}

// The sample of section 3.2, with its escapes, literals and numbers.
func TestSampleOfTheRFC(t *testing.T) {
	wantCanonical(t, `{
  "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}`, `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`)
}

// The sample of section 3.2.3. By code points the emoji would come last.
func TestKeysAreSortedByUTF16(t *testing.T) {
	wantCanonical(t, `{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",`+
		`"\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`,
		`{"\r":"Carriage Return","1":"One","`+"\u0080"+`":"Control","ö":"Latin Small Letter O With Diaeresis","€":"Euro Sign",`+
			`"😀":"Emoji: Grinning Face","`+"\ufb33"+`":"Hebrew Letter Dalet With Dagesh"}`)
	wantCanonical(t, `{"aa":1,"a":2,"":3,"A":4}`, `{"":3,"A":4,"a":2,"aa":1}`)
}

func TestStringsHaveOneForm(t *testing.T) {
	wantCanonical(t, `"\u0000\b\t\n\u000b\f\r\u001f\u007f\u2028<>&\/"`, `"\u0000\b\t\n\u000b\f\r\u001f`+"\x7f\u2028"+`<>&/"`)
	wantCanonical(t, `"\\ud800"`, `"\\ud800"`) // an escaped backslash, not an escape
	wantCanonical(t, `"\\\ud83d\ude00"`, `"\\😀"`)
}

func TestWhatTwoParsersCouldReadInTwoWaysIsRefused(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, in := range map[string]string{
		"a repeated key":                 `{"a":1,"a":1}`,
		"a repeated key by an escape":    `{"a":1,"\u0061":2}`,
		"a repeated key further down":    `[{"x":{"b":1,"c":2,"b":3}}]`,
		"a first half alone":             `"\ud800"`,
		"a second half alone":            `"\udc00"`,
		"two first halves":               `"\ud800\ud800"`,
		"halves in the wrong order":      `"\ude00\ud83d"`,
		"a half before a character":      `"\ud83dx\ude00"`,
		"a half after a backslash":       `"\\\ud800"`,
		"a half in a key":                `{"\uDBFF":1}`,
		"a half at the end":              `"\ud83d\`,
		"text that is not UTF-8":         "\"\xff\"",
		"a surrogate as UTF-8":           "\"\xed\xa0\x80\"",
		"trailing data":                  `{} {}`,
		"a trailing comma":               `{"a":1},`,
		"a trailing NUL":                 "{}\x00",
		"a byte order mark":              "\ufeff{}",
		"a comment":                      `{/**/}`,
		"a comma too many in an object":  `{"a":1,}`,
		"a comma too many in an array":   `[1,]`,
		"a comma that is missing":        `[1 2]`,
		"a key that is no string":        `{1:2}`,
		"another bracket":                `[1}`,
		"nothing":                        ``,
		"white space":                    " \n",
		"half a value":                   `{"a":`,
		"single quotes":                  `{'a':1}`,
		"a control character":            "\"a\nb\"",
		"not a number":                   `NaN`,
		"a leading zero":                 `01`,
		"a plus":                         `+1`,
		"a number beyond float64":        `1e309`,
		"an integer that loses a digit":  `9007199254740993`,
		"a negative one":                 `-9007199254740993`,
		"an account number":              `[123456789012345678901]`,
		"an integer of 400 digits":       strings.Repeat("9", 400),
		"nesting that no reader follows": deep(66),
		"nesting without an end":         strings.Repeat(`{"a":`, 1_000_000),
	} {
		out, err := intent.Canonical([]byte(in))
		if !fault.Is(err, fault.Invalid) || out != nil {
			t.Errorf("%s: %.60q, %v", name, out, err)
		}
	}
	if _, err := intent.Canonical([]byte(deep(65))); err != nil {
		t.Errorf("64 levels below the first: %v", err)
	}
}

func TestARefusalDoesNotRepeatTheInput(t *testing.T) {
	secret := strings.Repeat("s3cret", 40)
	for _, in := range []string{`{"a":` + secret, `"` + secret, secret, `{"` + secret + `":1,"` + secret + `":2}`, `{"a":"` + secret + `"]`} {
		_, err := intent.Canonical([]byte(in))
		if err == nil || len(err.Error()) > 200 {
			t.Errorf("%.20q: %v", in, err)
		}
	}
}

func TestIntegersOfAnySizeKeepTheirDigits(t *testing.T) {
	for _, in := range []string{"0", "9007199254740991", "-9007199254740991", "9007199254740992", "9007199254740994", "123456789012345680000", "100000000000000000000"} {
		wantCanonical(t, in, in)
	}
	wantCanonical(t, "-0", "0")
}

// What was canonical stays it, and what means the same has the same bytes.
func TestOrderAndSpaceMeanNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2)) // a repeatable test
	for range 500 {
		v := value(r, 4)
		a, b := canonical(t, spaced(r, v)), canonical(t, spaced(r, v))
		if !bytes.Equal(a, b) {
			t.Fatalf("one value, two forms:\n%s\n%s", a, b)
		}
		if again := canonical(t, a); !bytes.Equal(a, again) {
			t.Fatalf("canonical is not canonical:\n%s\n%s", a, again)
		}
		m, err := intent.Marshal(v)
		if err != nil || !bytes.Equal(m, a) {
			t.Fatalf("Marshal: %s, %v, want %s", m, err, a)
		}
	}
}

// value makes a random JSON value.
func value(r *rand.Rand, depth int) any {
	n := r.IntN(8)
	if depth == 0 {
		n %= 5
	}
	switch n {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return math.Ldexp(r.Float64()-0.5, r.IntN(200)-100)
	case 3:
		return float64(r.IntN(1 << 40))
	case 4:
		return text(r)
	case 5:
		list := make([]any, r.IntN(4))
		for i := range list {
			list[i] = value(r, depth-1)
		}
		return list
	}
	m := map[string]any{}
	for range r.IntN(6) {
		m[text(r)] = value(r, depth-1)
	}
	return m
}

func text(r *rand.Rand) string {
	letters := []rune("aAzZ09 \"\\/\b\f\n\r\t\x01\x1f\x7fäß€\u2028\ufb33😀𝄞")
	out := make([]rune, r.IntN(5))
	for i := range out {
		out[i] = letters[r.IntN(len(letters))]
	}
	return string(out)
}

// spaced writes a value with its keys in any order and white space anywhere.
func spaced(r *rand.Rand, v any) []byte {
	space := func() string { return strings.Repeat(" ", r.IntN(3)) + strings.Repeat("\n\t", r.IntN(2)) }
	var b strings.Builder
	b.WriteString(space())
	switch v := v.(type) {
	case []any:
		b.WriteString("[" + space())
		for i, e := range v {
			if i > 0 {
				b.WriteString(",")
			}
			b.Write(spaced(r, e))
		}
		b.WriteString("]")
	case map[string]any:
		b.WriteString("{" + space())
		first := true
		for k, e := range v { // in Go's own random order
			if !first {
				b.WriteString(",")
			}
			first = false
			b.Write(spaced(r, k))
			b.WriteString(":")
			b.Write(spaced(r, e))
		}
		b.WriteString("}")
	default:
		j, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		b.Write(j)
	}
	b.WriteString(space())
	return []byte(b.String())
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{
		`{}`, `null`, `{"b":1,"a":[true,false,null,"x"]}`, `"\ud83d\ude00"`, `"\ud800"`, `{"a":1,"\u0061":2}`, `1e21`, `1E-7`, `-0.0`, `123456789012345680000`,
		`9007199254740993`, `5e-324`, `1e309`, `[[[[]]]]`, ` { "€" : "\u20ac" } `, `{"\ufb33":1,"\ud83d\ude00":2}`, `[1,]`, `{"a":1}{}`, "\"\xff\"", `"\u0000\u001f\/"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := intent.Canonical(in)
		if err != nil {
			if !fault.Is(err, fault.Invalid) || out != nil {
				t.Fatalf("refused with %q, %v", out, err)
			}
			return
		}
		if !json.Valid(in) {
			t.Fatalf("%q is no JSON and became %q", in, out)
		}
		again, err := intent.Canonical(out)
		if err != nil || !bytes.Equal(out, again) {
			t.Fatalf("%q became %q, and that %q, %v", in, out, again, err)
		}
		var a, b any
		if err := json.Unmarshal(in, &a); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &b); err != nil || !reflect.DeepEqual(a, b) {
			t.Fatalf("%q became %q, which means something else (%v)", in, out, err)
		}
	})
}

func wantCanonical(t *testing.T, in, want string) {
	t.Helper()
	if out := canonical(t, []byte(in)); string(out) != want {
		t.Errorf("%s became\n%s, want\n%s", in, out, want)
	}
}

func canonical(t *testing.T, in []byte) []byte {
	t.Helper()
	out, err := intent.Canonical(in)
	if err != nil {
		t.Fatalf("%s: %v", in, err)
	}
	return out
}
