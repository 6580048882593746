package leaktest

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2" //nolint:depguard // cases have to be the same each time
	"net/url"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Kinds are the secrets of the matrix: shapes that systems really issue, and
// shapes made of what escapes are made of.
var Kinds = map[string]string{ //nolint:gosec // made up, to be looked for
	"token":     "q7Zt3VbN9xKc2LwE5mRd",
	"shortest":  "k9#Qv!2x",
	"base64":    "mX9/+Zq7r+B/t3w8YkP1c5vJ0aQ=",
	"hex":       "2f8a6c01d9e47b35aa90cf1e66d3b7482f8a6c01d9e47b35aa90cf1e66d3b748",
	"uuid":      "7c9e6679-7425-40de-944b-e07fc1f90ae7",
	"jwt":       "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
	"quotes":    `p"a'ss\w/or<d>&k=9Q`,
	"escapes":   `9%41x\u0042y&amp;z\x43%2525w`,
	"leads":     `\\%%&&##;;uu00x`,
	"spaces":    "correct7 horse+ battery% staple",
	"accents":   "pässwörd-Ünïq-漢字-😀",
	"binary":    "\x00\xff\xfe\x80k3y\x01\xc3\x28\xa0\xa1",
	"two lines": "MIIEvQIBADANBg\nkqhkiG9w0BAQEF",
	"repeats":   "abcabcabcabcabcabc9",
	"long":      strings.Repeat("K3yPart/Of+A:Long;Secret", 9),
}

// Encoder writes a value as some system would. Encode's ok is false where it
// can't.
type Encoder struct {
	Name   string
	Exact  bool // the whole value is in it, and nothing else
	Encode func(v string) (coded string, ok bool)
}

func always(f func(v string) string) func(string) (string, bool) {
	return func(v string) (string, bool) { return f(v), true }
}

func text(f func(v string) string) func(string) (string, bool) {
	return func(v string) (string, bool) {
		if !utf8.ValidString(v) {
			return "", false
		}
		return f(v), true
	}
}

// GoJSON is the inside of encoding/json's string.
func GoJSON(v string) string {
	b, _ := json.Marshal(v)
	return string(b[1 : len(b)-1])
}

func phpJSON(v string) string { return strings.ReplaceAll(GoJSON(v), "/", `\/`) }

// Unicodes escapes every UTF-16 unit.
func Unicodes(verb string) func(string) string {
	return func(v string) string {
		var b strings.Builder
		for _, u := range utf16.Encode([]rune(v)) {
			fmt.Fprintf(&b, verb, u)
		}
		return b.String()
	}
}

func perRune(verb string) func(string) string {
	return func(v string) string {
		var b strings.Builder
		for _, r := range v {
			fmt.Fprintf(&b, verb, r)
		}
		return b.String()
	}
}

// PerByte writes each byte with a verb.
func PerByte(verb string) func(string) string {
	return func(v string) string {
		var b strings.Builder
		for i := range len(v) {
			fmt.Fprintf(&b, verb, v[i])
		}
		return b.String()
	}
}

func twice(f func(string) string) func(string) string {
	return func(v string) string { return f(f(v)) }
}

func named(v string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;", "/", "&sol;",
		"+", "&plus;", "=", "&equals;", "#", "&num;", "%", "&percnt;", `\`, "&bsol;", "!", "&excl;", "-", "&#45;", "_", "&lowbar;").Replace(v)
}

// mixed escapes each character in a way of its own; deep, some of them twice,
// which a value that is made of escapes itself would make ambiguous.
func mixed(seed uint64, deep bool) func(string) (string, bool) {
	return func(v string) (string, bool) {
		if !utf8.ValidString(v) || deep && strings.ContainsAny(v, `\%&`) {
			return "", false
		}
		rng := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // the same each time
		var b strings.Builder
		for _, r := range v {
			s := string(r)
			switch c := s[0]; rng.IntN(8) {
			case 6:
				if deep {
					b.WriteString(PerByte("%%25%02x")(s))
					continue
				}
				b.WriteString(PerByte("%%%02X")(s))
			case 0:
				b.WriteString(PerByte("%%%02X")(s))
			case 1:
				b.WriteString(Unicodes(`\u%04x`)(s))
			case 2:
				fmt.Fprintf(&b, "&#%d;", r)
			case 3:
				fmt.Fprintf(&b, "&#x%X;", r)
			case 4:
				b.WriteString(PerByte(`\x%02x`)(s))
			default:
				if strings.ContainsRune(`%\&`, rune(c)) {
					b.WriteString(PerByte("%%%02x")(s))
				} else {
					b.WriteString(s)
				}
			}
		}
		return b.String(), true
	}
}

// Base64After is base64 of a value with n bytes before it and a line end after.
func Base64After(n int, enc *base64.Encoding) func(string) string {
	return func(v string) string { return enc.EncodeToString([]byte("user:"[5-n:] + v + "\n")) }
}

func twiceBase64(in, out int) func(string) string {
	return func(v string) string {
		return Base64After(out, base64.StdEncoding)(Base64After(in, base64.StdEncoding)(v))
	}
}

func utf16Bytes(order binary.AppendByteOrder) func(string) string {
	return func(v string) string {
		var b []byte
		for _, u := range utf16.Encode([]rune(v)) {
			b = order.AppendUint16(b, u)
		}
		return string(b)
	}
}

// Encoders are found in a stream as in a whole text.
var Encoders = []Encoder{
	{"raw", true, always(func(v string) string { return v })},
	{"upper", true, always(Upper)},
	{"json go", true, text(GoJSON)},
	{"json php", true, text(phpJSON)},
	{"json dotnet", true, text(func(v string) string {
		return strings.NewReplacer("+", `\u002B`, "'", `\u0027`, "`", `\u0060`).Replace(GoJSON(v))
	})},
	{"json every char", true, text(Unicodes(`\u%04x`))},
	{"json every char upper", true, text(Unicodes(`\u%04X`))},
	{"json in json", true, text(twice(GoJSON))},
	{"json in json php", true, text(twice(phpJSON))},
	{"json depth 3", true, text(func(v string) string { return GoJSON(GoJSON(phpJSON(v))) })},
	{"braced", true, text(perRune(`\u{%x}`))},
	{"U8", true, text(perRune(`\U%08x`))},
	{"octal", true, always(PerByte(`\%03o`))},
	{"\\xNN", true, always(PerByte(`\x%02x`))},
	{"\\xNN upper", true, always(PerByte(`\x%02X`))},
	{"query", true, always(url.QueryEscape)},
	{"path", true, always(url.PathEscape)},
	{"percent lower", true, always(func(v string) string { return lowerEscapes(url.QueryEscape(v)) })},
	{"percent every byte", true, always(PerByte("%%%02X"))},
	{"percent every byte lower", true, always(PerByte("%%%02x"))},
	{"percent twice", true, always(twice(PerByte("%%%02X")))},
	{"query twice", true, always(twice(url.PathEscape))},
	{"percent u", true, text(Unicodes("%%u%04x"))},
	{"html", true, text(html.EscapeString)},
	{"html named", true, text(named)},
	{"html decimal", true, text(perRune("&#%d;"))},
	{"html decimal padded", true, text(perRune("&#%07d;"))},
	{"html hex", true, text(perRune("&#x%x;"))},
	{"html hex upper", true, text(perRune("&#X%X;"))},
	{"html twice", true, text(twice(html.EscapeString))},
	{"html in json", true, text(func(v string) string { return GoJSON(html.EscapeString(v)) })},
	{"json in percent", true, text(func(v string) string { return url.QueryEscape(GoJSON(v)) })},
	{"mixed 1", true, mixed(1, false)},
	{"mixed deep 1", true, mixed(1, true)},
	{"mixed 2", true, mixed(2, false)},
	{"mixed deep 2", true, mixed(2, true)},
	{"mixed 3", true, mixed(3, false)},
	{"mixed deep 3", true, mixed(3, true)},
	{"hex", true, always(func(v string) string { return hex.EncodeToString([]byte(v)) })},
	{"hex upper", true, always(func(v string) string { return strings.ToUpper(hex.EncodeToString([]byte(v))) })},
	{"base64 0", false, always(Base64After(0, base64.StdEncoding))},
	{"base64 1", false, always(Base64After(1, base64.StdEncoding))},
	{"base64 2", false, always(Base64After(2, base64.StdEncoding))},
	{"base64 basic", false, always(Base64After(5, base64.StdEncoding))},
	{"base64url 0", false, always(Base64After(0, base64.RawURLEncoding))},
	{"base64url 1", false, always(Base64After(1, base64.URLEncoding))},
	{"base64url 2", false, always(Base64After(2, base64.RawURLEncoding))},
	{"base64 alone", false, always(func(v string) string { return base64.StdEncoding.EncodeToString([]byte(v)) })},
	{"base64 in php json", false, always(func(v string) string { return phpJSON(Base64After(1, base64.StdEncoding)(v)) })},
	{"base64 in query", false, always(func(v string) string { return url.QueryEscape(Base64After(2, base64.StdEncoding)(v)) })},
	{"base64 in base64 0", false, always(twiceBase64(0, 0))},
	{"base64 in base64 1", false, always(twiceBase64(1, 2))},
	{"base64 in base64 2", false, always(twiceBase64(2, 1))},
	{"base64 in base64 3", false, always(twiceBase64(1, 3))},
	{"base32", false, always(func(v string) string { return base32.StdEncoding.EncodeToString([]byte(v)) })},
	{"base32 after 3", false, always(func(v string) string { return base32.StdEncoding.EncodeToString([]byte("ab:" + v + "\n")) })},
	{"base32 after 4", false, always(func(v string) string {
		return strings.ToLower(base32.StdEncoding.EncodeToString([]byte("abc:" + v)))
	})},
	{"reversed", true, always(func(v string) string {
		b := []byte(v)
		slices.Reverse(b)
		return string(b)
	})},
	{"utf16le", false, text(utf16Bytes(binary.LittleEndian))},
	{"utf16be", false, text(utf16Bytes(binary.BigEndian))},
	{"go bytes", true, always(func(v string) string { return strings.Trim(fmt.Sprint([]byte(v)), "[]") })},
	{"node buffer", true, always(func(v string) string { return strings.ReplaceAll(strings.Trim(fmt.Sprint([]byte(v)), "[]"), " ", ",") })},
}

// WholeEncoders are found in a whole text, not in a stream: an Observation is
// searched for them, the wire is not.
var WholeEncoders = []Encoder{
	{"gzip in base64", false, always(func(v string) string { return base64.StdEncoding.EncodeToString([]byte(gzipped("token=" + v))) })},
	{"zlib in base64url", false, always(func(v string) string { return base64.RawURLEncoding.EncodeToString([]byte(zlibbed("token=" + v))) })},
	{"wrapped base64", false, always(func(v string) string {
		coded := base64.StdEncoding.EncodeToString([]byte("a line before it: " + v + " and after"))
		var b strings.Builder
		for i := 0; i < len(coded); i += 20 {
			b.WriteString(coded[i:min(i+20, len(coded))] + "\n")
		}
		return b.String()
	})},
	{"json in base64", false, text(func(v string) string {
		return base64.StdEncoding.EncodeToString([]byte(`{"token":"` + GoJSON(v) + `"}`))
	})},
	{"percent in base64", false, always(func(v string) string {
		return base64.StdEncoding.EncodeToString([]byte("token=" + PerByte("%%%02x")(v)))
	})},
}

// Upper turns ASCII letters into capitals, and nothing else.
func Upper(v string) string {
	b := []byte(v)
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 32
		}
	}
	return string(b)
}

func lowerEscapes(v string) string {
	b := []byte(v)
	for i := range b {
		if b[i] == '%' {
			copy(b[i:], bytes.ToLower(b[i:i+3]))
		}
	}
	return string(b)
}

// Chunker cuts a text into writes.
type Chunker struct {
	Name string
	Cut  func(n int, rng *rand.Rand) int // the size of the next write, when n bytes are left
}

// Chunkers begin with the whole text at once.
var Chunkers = []Chunker{
	{"whole", func(n int, _ *rand.Rand) int { return n }},
	{"bytes", func(int, *rand.Rand) int { return 1 }},
	{"threes", func(int, *rand.Rand) int { return 3 }},
	{"sevens", func(int, *rand.Rand) int { return 7 }},
	{"random", func(_ int, rng *rand.Rand) int { return 1 + rng.IntN(40) }},
}
