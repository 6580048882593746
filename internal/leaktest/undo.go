package leaktest

import (
	"bytes"
	"html"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// undoer takes one layer off: off the whole text, or, where a run of characters
// is a code, it gives what such runs stand for.
type undoer struct {
	name  string
	group group
	undo  func([]byte) []byte
	// Of a code: which runs it is, and what one stands for.
	least int
	in    *[256]bool
	code  func(out, run []byte) []byte
}

type group int

const (
	none      group = iota
	escape          // characters written otherwise
	code            // a text of another alphabet
	smallOnly       // of small texts only
)

// follows says whether a layer is worth undoing under another in a big text.
func (u undoer) follows(last undoer) bool {
	switch {
	case u.group == smallOnly:
		return false
	case u.group == escape && last.group == escape:
		return u.name == last.name || u.name == "mixture"
	}
	return true
}

var undoers = []undoer{
	{name: "percent", group: escape, undo: func(t []byte) []byte { return unescape(t, "%", false) }},
	{name: "json", group: escape, undo: func(t []byte) []byte { return unescape(t, `\`, true) }},
	{name: "backslash", group: escape, undo: func(t []byte) []byte { return unescape(t, `\`, false) }},
	{name: "entity", group: escape, undo: entities},
	{name: "mixture", group: escape, undo: func(t []byte) []byte { return unescape(t, `%\&`, false) }},
	{name: "plus", group: smallOnly, undo: func(t []byte) []byte { return bytes.ReplaceAll(t, []byte("+"), []byte(" ")) }},
	{name: "utf16", group: smallOnly, undo: wide},
	{name: "zeroes", group: escape, undo: unzero},
	{name: "base64", group: code, least: 10, in: isBase64, code: unbase64},
	{name: "base32", group: code, least: 13, in: isBase32, code: unbase32},
	{name: "hex", group: code, least: 16, in: isHex, code: unhex},
	{name: "numbers", group: code, least: 2*window - 1, in: isNumbers, code: unnumber},
	{name: "lines", group: code, undo: unwrap},
	{name: "packed", group: code, undo: inflate},
	{name: "deltas", group: code, undo: deltas},
}

func unzero(t []byte) []byte {
	if bytes.IndexByte(t, 0) < 0 {
		return nil
	}
	return bytes.ReplaceAll(t, []byte{0}, nil)
}

func entities(t []byte) []byte {
	if bytes.IndexByte(t, '&') < 0 {
		return nil
	}
	return []byte(html.UnescapeString(string(t)))
}

// unescape decodes the escapes that begin with one of the leads, left to right.
// strict knows JSON's alone.
func unescape(t []byte, leads string, strict bool) []byte {
	if !bytes.ContainsAny(t, leads) {
		return nil
	}
	out := make([]byte, 0, len(t))
	var lead [256]bool
	for i := range len(leads) {
		lead[leads[i]] = true
	}
	for i := 0; i < len(t); {
		n := 0
		switch c := t[i]; {
		case !lead[c]:
		case c == '%':
			out, n = percent(out, t[i:])
		case c == '\\':
			out, n = backslash(out, t[i:], strict)
		case c == '&':
			out, n = entity(out, t[i:])
		}
		if n == 0 {
			out, n = append(out, t[i]), 1
		}
		i += n
	}
	return out
}

// number reads up to most digits of a base at the beginning of t; n is how many.
func number(t []byte, base, least, most int) (v rune, n int) {
	for n < most && n < len(t) {
		d, err := strconv.ParseUint(string(t[n:n+1]), base, 8)
		if err != nil {
			break
		}
		v, n = v*rune(base)+rune(d), n+1
	}
	if n < least {
		return 0, 0
	}
	return v, n
}

func percent(out, t []byte) ([]byte, int) {
	if len(t) > 1 && (t[1] == 'u' || t[1] == 'U') {
		if v, n := number(t[2:], 16, 4, 4); n > 0 {
			return unit(out, t, v, 6, `%u`)
		}
	}
	if v, n := number(t[1:], 16, 2, 2); n > 0 {
		return append(out, byte(v)), 3
	}
	return out, 0
}

// unit appends a UTF-16 unit, with the second half of a pair where one follows.
func unit(out, t []byte, v rune, n int, lead string) ([]byte, int) {
	if utf16.IsSurrogate(v) && bytes.HasPrefix(t[n:], []byte(lead)) {
		if w, m := number(t[n+2:], 16, 4, 4); m > 0 {
			return utf8.AppendRune(out, utf16.DecodeRune(v, w)), n + 6
		}
	}
	return utf8.AppendRune(out, v), n
}

func backslash(out, t []byte, strict bool) ([]byte, int) {
	if len(t) < 2 {
		return out, 0
	}
	switch c := t[1]; {
	case c == 'u':
		if v, n := number(t[2:], 16, 4, 4); n > 0 {
			return unit(out, t, v, 6, `\u`)
		}
		if len(t) > 2 && t[2] == '{' && !strict {
			if v, n := number(t[3:], 16, 1, 6); n > 0 && len(t) > 3+n && t[3+n] == '}' {
				return utf8.AppendRune(out, v), n + 4
			}
		}
	case c == 'n' || c == 'r' || c == 't':
		return append(out, map[byte]byte{'n': '\n', 'r': '\r', 't': '\t'}[c]), 2
	case c == 'x' && !strict:
		if v, n := number(t[2:], 16, 2, 2); n > 0 {
			return append(out, byte(v)), 4
		}
	case c == 'U' && !strict:
		if v, n := number(t[2:], 16, 8, 8); n > 0 {
			return utf8.AppendRune(out, v), 10
		}
	case c >= '0' && c <= '7' && !strict:
		if v, n := number(t[1:], 8, 3, 3); n > 0 {
			return append(out, byte(v)), 4
		}
	case !alnum(c):
		return append(out, c), 2
	}
	return out, 0
}

func alnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

func entity(out, t []byte) ([]byte, int) {
	end := bytes.IndexByte(t[:min(len(t), 14)], ';')
	if end < 0 {
		return out, 0
	}
	s := html.UnescapeString(string(t[:end+1]))
	if len(s) > end {
		return out, 0
	}
	return append(out, s...), end + 1
}
