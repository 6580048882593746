package scrub

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// kind is a set of escape families.
type kind uint8

const (
	escPercent   kind = 1 << iota // %41 and %u0041
	escBackslash                  // \" \u0041 \x41 \u{41} \U00000041 \101
	escEntity                     // &amp; &#65; &#x41;
	escAll       = escPercent | escBackslash | escEntity
)

// partial is the length of an escape that the text may still complete.
const partial = -1

// maxDigits bounds the digits of a numeric entity, leading zeros included.
const maxDigits = 10

// parse reads the escape at the start of t, whose first byte is its lead. It
// returns what it stands for (a character, or a raw byte c from 0x80 on as -c-1)
// and its length: 0 when it is none, partial when t ends too early to tell and
// live says that more text may come.
func parse(t []byte, live bool) (r rune, n int) {
	switch t[0] {
	case '%':
		if len(t) >= 3 { // nearly always
			if high, low := unhex[t[1]], unhex[t[2]]; high|low < notHex {
				return raw(int(high<<4 | low)), 3
			}
		}
		r, n = parsePercent(t)
	case '\\':
		r, n = parseBackslash(t)
	case '&':
		r, n = parseEntity(t)
	}
	if n == partial && !live {
		// At the end of the text the shorter readings count.
		return parseEnd(t)
	}
	return r, n
}

// parseEnd reads an escape that the end of the text terminates.
func parseEnd(t []byte) (rune, int) {
	if t[0] == '&' {
		return parseEntity(append(bytes.Clone(t), ' '))
	}
	return 0, 0
}

// raw is a byte as parse returns it; ASCII is the same as a character.
func raw(c int) rune {
	if c < utf8.RuneSelf {
		return rune(c)
	}
	return rune(-c - 1)
}

// appendRune writes what parse found.
func appendRune(b []byte, r rune) []byte {
	if r < 0 {
		return append(b, byte(-r-1))
	}
	return utf8.AppendRune(b, r)
}

func parsePercent(t []byte) (rune, int) {
	if len(t) > 1 && t[1]|0x20 == 'u' {
		return parseUnit(t)
	}
	v, n := hexDigits(t[1:], 2)
	return pad(raw(v), n, 1)
}

// pad adds the length of an escape's lead to its digits'.
func pad(r rune, n, lead int) (rune, int) {
	if n <= 0 {
		return 0, n
	}
	return r, n + lead
}

func parseBackslash(t []byte) (rune, int) {
	if len(t) < 2 {
		return 0, partial
	}
	c := t[1]
	switch {
	case c == 'u' && len(t) > 2 && t[2] == '{':
		return parseBraced(t)
	case c == 'u':
		return parseUnit(t)
	case c == 'U':
		v, n := hexDigits(t[2:], 8)
		if v > utf8.MaxRune {
			return 0, 0
		}
		return pad(rune(v), n, 2)
	case c == 'x':
		v, n := hexDigits(t[2:], 2)
		return pad(raw(v), n, 2)
	case c >= '0' && c <= '3':
		return parseOctal(t)
	}
	if r := afterBackslash[c]; r != 0 {
		return rune(r), 2
	}
	return 0, 0
}

// parseUnit reads a lead of two bytes (\u or %u) and a UTF-16 unit in four
// digits; two of them for a surrogate pair.
func parseUnit(t []byte) (rune, int) {
	v, n := hexDigits(t[2:], 4)
	if n <= 0 || !utf16.IsSurrogate(rune(v)) {
		return pad(rune(v), n, 2)
	}
	lead, rest := t[:2], t[6:]
	if len(rest) < 2 && bytes.HasPrefix(lead, rest) {
		return 0, partial
	}
	if !bytes.HasPrefix(rest, lead) {
		return 0, 0
	}
	low, n := hexDigits(rest[2:], 4)
	r := utf16.DecodeRune(rune(v), rune(low))
	if n > 0 && r == utf8.RuneError {
		return 0, 0
	}
	return pad(r, n, 8)
}

// parseBraced reads \u{1F600}.
func parseBraced(t []byte) (rune, int) {
	v := 0
	for i := 3; i < len(t) && i < 3+8; i++ {
		d := unhex[t[i]]
		switch {
		case t[i] == '}' && i > 3 && v <= utf8.MaxRune:
			return rune(v), i + 1
		case d == notHex:
			return 0, 0
		}
		v = v<<4 | int(d)
	}
	if len(t) < 3+8 {
		return 0, partial
	}
	return 0, 0
}

func parseOctal(t []byte) (rune, int) {
	v := 0
	for i := 1; i < 4; i++ {
		if i == len(t) {
			return 0, partial
		}
		if t[i] < '0' || t[i] > '7' {
			return 0, 0
		}
		v = v<<3 | int(t[i]-'0')
	}
	return raw(v), 4
}

// parseEntity reads a character reference of HTML; its semicolon may be absent
// where browsers allow that.
func parseEntity(t []byte) (rune, int) {
	if len(t) < 2 {
		return 0, partial
	}
	if t[1] == '#' {
		return parseNumeric(t)
	}
	if stray(t) {
		return 0, 0
	}
	if len(t) > maxEntity {
		if r, n := parseBare(t); n > 0 { // nearly always
			return r, n
		}
	}
	i := 1
	for i < len(t) && i <= maxEntity && alnum(t[i]) {
		i++
	}
	if i == len(t) && entityPrefix(t[1:]) {
		return 0, partial
	}
	if i < len(t) && t[i] == ';' {
		if r, ok := entities[string(t[1:i])]; ok {
			return r, i + 1
		}
	}
	return parseBare(t)
}

// parseBare reads the entities that browsers know without a semicolon.
func parseBare(t []byte) (rune, int) {
	switch t[1] | 0x20 {
	case 'a', 'l', 'g', 'q':
		for _, e := range [...]struct {
			name string
			r    rune
		}{{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"AMP", '&'}, {"LT", '<'}, {"GT", '>'}, {"QUOT", '"'}} {
			if len(t) > len(e.name) && string(t[1:1+len(e.name)]) == e.name {
				n := 1 + len(e.name)
				if n < len(t) && t[n] == ';' {
					n++
				}
				return e.r, n
			}
		}
	}
	return 0, 0
}

func parseNumeric(t []byte) (rune, int) {
	i, base := 2, 10
	if len(t) > 2 && t[2]|0x20 == 'x' {
		i, base = 3, 16
	}
	v, from := 0, i
	for ; i < len(t) && i-from < maxDigits; i++ {
		d := int(unhex[t[i]])
		if d >= base {
			break
		}
		v = min(v*base+d, utf8.MaxRune+1)
	}
	switch {
	case i == len(t) && i-from < maxDigits:
		return 0, partial
	case i == from || v == 0 || v > utf8.MaxRune:
		return 0, 0
	case i < len(t) && t[i] == ';':
		return rune(v), i + 1
	}
	return rune(v), i
}

// hexDigits reads exactly n digits: 0 when they are not there, partial when t
// ends before they can be.
func hexDigits(t []byte, n int) (v, length int) {
	for i := range n {
		if i == len(t) {
			return 0, partial
		}
		d := unhex[t[i]]
		if d == notHex {
			return 0, 0
		}
		v = v<<4 | int(d)
	}
	return v, n
}

// decodeAll decodes every escape in t once.
func decodeAll(t []byte, k kind) []byte {
	var out []byte
	for i := 0; i < len(t); {
		if leadKind[t[i]]&k != 0 {
			if r, n := parse(t[i:], false); n > 0 {
				out = appendRune(out, r)
				i += n
				continue
			}
		}
		out = append(out, t[i])
		i++
	}
	return out
}
