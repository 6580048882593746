// Package object takes JSON apart that has plaintext in it. encoding/json makes
// strings, which can't be wiped; here a text is a slice of bytes that somebody owns.
//
// It refuses what is not JSON, and an object with one member twice: two readers would
// take two values out of it.
//
// # Security
//
// What it gives of an object shares the memory of the input; what it gives of a text
// is a copy. The caller wipes both.
package object

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/plain"
)

// maxMembers is the most members of an object.
const maxMembers = 1000

// Is reports whether raw begins as an object does.
func Is(raw []byte) bool { return bytes.HasPrefix(space(raw), []byte("{")) }

// Members gives an object's members as they are written. Invalid: it is no object,
// or a name is there twice.
func Members(raw []byte) (map[string][]byte, error) {
	raw = bytes.TrimSpace(raw)
	if !json.Valid(raw) || len(raw) == 0 || raw[0] != '{' {
		return nil, fault.New(fault.Invalid, "it is not a JSON object")
	}
	out := map[string][]byte{}
	for rest := space(raw[1:]); rest[0] != '}'; {
		n := length(rest)
		name, ok := Text(rest[:n])
		if !ok {
			return nil, fault.New(fault.Invalid, "a member's name is not UTF-8")
		}
		rest = space(space(rest[n:])[1:]) // after the colon
		n = length(rest)
		if _, twice := out[string(name)]; twice || len(out) == maxMembers {
			return nil, fault.New(fault.Invalid, "a JSON object has a member twice, or too many")
		}
		out[string(name)] = rest[:n:n]
		if rest = space(rest[n:]); rest[0] == ',' {
			rest = space(rest[1:])
		}
	}
	return out, nil
}

// Elements gives an array's elements as they are written. Invalid: it is no array, or
// has too many.
func Elements(raw []byte) ([][]byte, error) {
	raw = bytes.TrimSpace(raw)
	if !json.Valid(raw) || len(raw) == 0 || raw[0] != '[' {
		return nil, fault.New(fault.Invalid, "it is not a JSON array")
	}
	var out [][]byte
	for rest := space(raw[1:]); rest[0] != ']'; {
		if len(out) == maxMembers {
			return nil, fault.New(fault.Invalid, "a JSON array has too many elements")
		}
		n := length(rest)
		out = append(out, rest[:n:n])
		if rest = space(rest[n:]); rest[0] == ',' {
			rest = space(rest[1:])
		}
	}
	return out, nil
}

// Inside gives the members of the object that the path of names leads to.
func Inside(raw []byte, path ...string) (map[string][]byte, error) {
	m, err := Members(raw)
	for _, name := range path {
		if err != nil {
			return nil, err
		}
		m, err = Members(m[name])
	}
	return m, err
}

// Fields are the members of an object that are texts.
func Fields(raw []byte) (map[string]plain.Value, error) {
	m, err := Members(raw)
	if err != nil {
		return nil, err
	}
	out := map[string]plain.Value{}
	for name, v := range m {
		if b, ok := Text(v); ok {
			out[name] = plain.New(b)
		}
	}
	return out, nil
}

// Word is a text that is no secret.
func Word(raw []byte) string {
	b, _ := Text(raw)
	return string(b)
}

// Number is a whole number; false: it is none.
func Number(raw []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	return n, err == nil
}

func space(b []byte) []byte { return bytes.TrimLeft(b, " \t\r\n") }

// length is how long the value is that valid JSON begins with.
func length(b []byte) int {
	switch b[0] {
	case '"':
		return textLength(b)
	case '{', '[':
		depth := 0
		for i := 0; ; i++ {
			switch b[i] {
			case '"':
				i += textLength(b[i:]) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	for i, c := range b {
		if bytes.IndexByte([]byte(",]} \t\r\n"), c) >= 0 {
			return i
		}
	}
	return len(b)
}

// textLength is how long a text is with its quotes.
func textLength(b []byte) int {
	for i := 1; ; i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// Text gives what a JSON text says, as a copy; false: raw is no text, or not UTF-8.
func Text(raw []byte) ([]byte, bool) {
	if len(raw) < 2 || raw[0] != '"' || !json.Valid(raw) || !utf8.Valid(raw) || textLength(raw) != len(raw) {
		return nil, false
	}
	in := raw[1 : len(raw)-1]
	out := make([]byte, 0, len(in)+utf8.UTFMax) // never grown: an escape is longer than what it says
	for i := 0; i < len(in); i++ {
		if in[i] != '\\' {
			out = append(out, in[i])
			continue
		}
		i++
		switch c := in[i]; c {
		case 'u':
			r := unit(in[i:])
			i += 4
			if utf16.IsSurrogate(r) {
				low := utf8.RuneError
				if i+6 < len(in) && in[i+1] == '\\' && in[i+2] == 'u' {
					low = utf16.DecodeRune(r, unit(in[i+2:]))
				}
				if low == utf8.RuneError {
					return nil, false
				}
				r, i = low, i+6
			}
			out = utf8.AppendRune(out, r)
		case 'b', 'f', 'n', 'r', 't':
			out = append(out, map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}[c])
		default: // a quote, a slash, a backslash
			out = append(out, c)
		}
	}
	return out, true
}

// unit reads uXXXX.
func unit(b []byte) rune {
	n, _ := strconv.ParseUint(string(b[1:5]), 16, 16) // valid JSON has four digits
	return rune(n)
}

// Append writes b as a JSON text. False: it is not UTF-8.
func Append(to, b []byte) ([]byte, bool) {
	if !utf8.Valid(b) {
		return to, false
	}
	to = append(to, '"')
	for _, c := range b {
		switch {
		case c == '"' || c == '\\':
			to = append(to, '\\', c)
		case c < ' ':
			to = append(to, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		default:
			to = append(to, c)
		}
	}
	return append(to, '"'), true
}
