package intent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"sallyport.dev/internal/fault"
)

// maxDepth bounds the nesting of a JSON value; Workers send what they like.
const maxDepth = 64

// Canonical rewrites one JSON value in the form of RFC 8785 (JCS): keys sorted
// by UTF-16 code units, no white space, shortest number form, minimal escapes.
// Two values that mean the same have the same bytes, so a digest binds the
// meaning. Refused, with kind Invalid: trailing data, a repeated key (parsers
// disagree about it: what was approved might not be what is sent), text that is
// not UTF-8, a lone surrogate, a number beyond float64, an integer whose digits
// float64 would change, nesting over 64.
func Canonical(in []byte) ([]byte, error) {
	if !utf8.Valid(in) {
		return nil, fault.New(fault.Invalid, "the JSON is not valid UTF-8")
	}
	if err := loneSurrogate(in); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(in))
	d.UseNumber()
	out, err := canonValue(d, make([]byte, 0, len(in)), 0)
	if err != nil {
		return nil, err
	}
	if d.InputOffset() < int64(len(bytes.TrimRight(in, " \t\r\n"))) {
		return nil, fault.New(fault.Invalid, "there is data after the JSON value")
	}
	return out, nil
}

// Marshal encodes v with encoding/json and returns the canonical form.
func Marshal(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "encoding JSON", err)
	}
	return Canonical(b)
}

func canonValue(d *json.Decoder, out []byte, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fault.Newf(fault.Invalid, "the JSON is nested deeper than %d", maxDepth)
	}
	tok, err := d.Token()
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "reading JSON", syntax(err))
	}
	switch t := tok.(type) {
	case nil:
		return append(out, "null"...), nil
	case bool:
		return strconv.AppendBool(out, t), nil
	case string:
		return AppendString(out, t), nil
	case json.Number:
		return appendNumber(out, t)
	case json.Delim:
		if t == '[' {
			return canonArray(d, out, depth)
		}
		return canonObject(d, out, depth)
	}
	return nil, fault.New(fault.Invalid, "reading JSON: unexpected token")
}

// syntax hides the decoder's text, which may quote the input.
func syntax(err error) error {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("syntax error at byte %d", e.Offset)
	}
	return fmt.Errorf("it ends too early or is not JSON")
}

func canonArray(d *json.Decoder, out []byte, depth int) ([]byte, error) {
	out = append(out, '[')
	for first := true; d.More(); first = false {
		if !first {
			out = append(out, ',')
		}
		var err error
		if out, err = canonValue(d, out, depth+1); err != nil {
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, fault.Wrap(fault.Invalid, "reading JSON", syntax(err))
	}
	return append(out, ']'), nil
}

func canonObject(d *json.Decoder, out []byte, depth int) ([]byte, error) {
	type member struct {
		key string
		val []byte
	}
	var ms []member
	seen := map[string]bool{}
	for d.More() {
		tok, err := d.Token()
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, "reading JSON", syntax(err))
		}
		k, ok := tok.(string)
		if !ok {
			return nil, fault.New(fault.Invalid, "reading JSON: an object's key is not a string")
		}
		if seen[k] {
			return nil, fault.Newf(fault.Invalid, "the JSON has the key %q twice", fault.Quote(k))
		}
		seen[k] = true
		v, err := canonValue(d, nil, depth+1)
		if err != nil {
			return nil, err
		}
		ms = append(ms, member{k, v})
	}
	if _, err := d.Token(); err != nil {
		return nil, fault.Wrap(fault.Invalid, "reading JSON", syntax(err))
	}
	slices.SortFunc(ms, func(a, b member) int { return slices.Compare(utf16.Encode([]rune(a.key)), utf16.Encode([]rune(b.key))) })
	out = append(out, '{')
	for i, m := range ms {
		if i > 0 {
			out = append(out, ',')
		}
		out = AppendString(out, m.key)
		out = append(out, ':')
		out = append(out, m.val...)
	}
	return append(out, '}'), nil
}

// AppendString appends a string of valid UTF-8 as canonical JSON: RFC 8785 section
// 3.2.2.2.
func AppendString(out []byte, s string) []byte {
	out = append(out, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\b':
			out = append(out, '\\', 'b')
		case c == '\t':
			out = append(out, '\\', 't')
		case c == '\n':
			out = append(out, '\\', 'n')
		case c == '\f':
			out = append(out, '\\', 'f')
		case c == '\r':
			out = append(out, '\\', 'r')
		case c < 0x20:
			out = fmt.Appendf(out, `\u%04x`, c)
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}

// appendNumber is RFC 8785 section 3.2.2.3: ECMAScript's Number to string.
func appendNumber(out []byte, n json.Number) ([]byte, error) {
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, fault.Newf(fault.Invalid, "the number %q is out of range", fault.Quote(string(n)))
	}
	if f == 0 {
		return append(out, '0'), nil // also -0
	}
	format := byte('f')
	if a := math.Abs(f); a < 1e-6 || a >= 1e21 {
		format = 'e'
	}
	s := strconv.FormatFloat(f, format, -1, 64)
	if format == 'e' { // Go writes 1e+21 and 1e-07, ECMAScript 1e+21 and 1e-7
		mant, exp, _ := strings.Cut(s, "e")
		s = mant + "e" + exp[:1] + strings.TrimLeft(exp[1:], "0")
	}
	// An id that lost its last digits is another id. What comes out of here goes
	// in again unchanged, so digits that stay the same are fine at any size.
	if math.Abs(f) >= 1<<53 && s != string(n) && !strings.ContainsAny(string(n), ".eE") {
		return nil, fault.Newf(fault.Invalid, "the integer %q can't be kept exactly; send it as a string", fault.Quote(string(n)))
	}
	return append(out, s...), nil
}

// loneSurrogate finds a \uD800–\uDFFF escape without its other half, which
// encoding/json would silently replace: then what is digested is not what came.
func loneSurrogate(in []byte) error {
	for i := 0; i+1 < len(in); i++ {
		if in[i] != '\\' {
			continue
		}
		if in[i+1] != 'u' {
			i++
			continue
		}
		r := hex4(in, i+2)
		switch {
		case r < 0xd800 || r > 0xdfff:
		case r < 0xdc00 && i+7 < len(in) && in[i+6] == '\\' && in[i+7] == 'u' && hex4(in, i+8) >= 0xdc00 && hex4(in, i+8) <= 0xdfff:
			i += 6
		default:
			return fault.New(fault.Invalid, "the JSON has half of a surrogate pair")
		}
		i += 5
	}
	return nil
}

func hex4(in []byte, at int) int {
	if at+4 > len(in) {
		return -1
	}
	n, err := strconv.ParseUint(string(in[at:at+4]), 16, 32)
	if err != nil {
		return -1
	}
	return int(n)
}
