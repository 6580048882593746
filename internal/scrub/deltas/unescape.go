package deltas

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// unescape reads the JSON escape at the beginning of raw. It appends what that
// says to *to (nil: to nothing), and returns how many bytes it has and how many
// it says. What is no escape stands for itself.
func unescape(to *[]byte, raw []byte) (n, said int) {
	r, n := escape(raw)
	if n == 1 {
		if to != nil {
			*to = append(*to, raw[0])
		}
		return 1, 1
	}
	if to != nil {
		*to = utf8.AppendRune(*to, r)
	}
	// Half a surrogate pair is not valid: it says what a decoder makes of it.
	return n, utf8.RuneLen(validRune(r))
}

func validRune(r rune) rune {
	if !utf8.ValidRune(r) {
		return utf8.RuneError
	}
	return r
}

// escape gives the character of an escape and its length; 1 where there is none.
func escape(raw []byte) (rune, int) {
	if len(raw) < 2 {
		return 0, 1
	}
	if raw[1] != 'u' {
		if i := strings.IndexByte(`nrtbf`, raw[1]); i >= 0 {
			return rune("\n\r\t\b\f"[i]), 2
		}
		if raw[1] >= utf8.RuneSelf {
			return 0, 1
		}
		return rune(raw[1]), 2 // with no other than JSON's own: lenient readers drop the backslash
	}
	r, ok := unit(raw)
	if !ok {
		return 0, 1
	}
	if low, ok := unit(raw[6:]); ok && utf16.IsSurrogate(r) {
		if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
			return both, 12
		}
	}
	return r, 6
}

// unit reads \uXXXX.
func unit(raw []byte) (r rune, ok bool) {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0, false
	}
	for _, c := range raw[2:6] {
		d := strings.IndexByte("0123456789abcdef", lowerHex(c))
		if d < 0 {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

func lowerHex(c byte) byte {
	if c >= 'A' && c <= 'F' {
		return c | 0x20
	}
	return c
}

// unescapeAll appends what a string's inside says.
func unescapeAll(to, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(to, raw...)
		}
		to = append(to, raw[:i]...)
		n, _ := unescape(&to, raw[i:])
		raw = raw[i+n:]
	}
}
