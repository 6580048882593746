package scrub

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"math"
	"net/url"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// form derives texts in which a value may show up as a whole. What is encoded
// character by character is not a form: escapes are found by decoding the text
// (see views). To find one more encoding, add its form to the list.
type form struct {
	texts func(v []byte) [][]byte
	plain bool // never escaped: its characters don't need it
	// parts: how many characters stand for a byte, where a part of the value
	// shows as a part of the form; 0 where fragments are not looked for.
	parts float64
}

var formList = []form{
	{texts: spellings, parts: 1}, {texts: reversed}, {texts: hexed, parts: 2}, {texts: base64InURL, parts: 4. / 3},
	{texts: base64Twice}, {texts: base32Cores}, {texts: wide}, {texts: numbers, plain: true},
}

// patterns lists every text that stands for v, each of MinLen bytes or more.
func patterns(v []byte, secret int32) []pattern {
	var all []pattern
	from, to, least := fragment(v)
	for _, f := range formList {
		for i, t := range f.texts(v) {
			if len(t) < MinLen {
				continue
			}
			p := pattern{text: lowered(t), secret: secret, plain: f.plain}
			switch {
			case least == 0 || f.parts == 0 || f.parts == 1 && i > 0:
			case from == 0 && to == len(v): // any part of the form is one of the value
				p.to, p.least = len(t), int(math.Ceil(f.parts*float64(least)))
			case f.parts == 1:
				p.from, p.to, p.least = from, to, least
			}
			all = append(all, p)
		}
	}
	return all
}

// spellings are the value; what its own escapes decode to, since a view decodes
// those too; and each of these with a form's "+" for a space.
func spellings(v []byte) [][]byte {
	all := [][]byte{v}
	for _, k := range []kind{escAll, escPercent, escBackslash, escEntity} {
		d := v
		for range maxDepth {
			n := decodeAll(d, k)
			if bytes.Equal(n, d) {
				break
			}
			// Nothing may begin with a line end, or every frame of a stream
			// would wait for what follows it.
			all = append(all, bytes.TrimSpace(n))
			d = n
		}
	}
	for _, p := range slices.Clone(all) {
		if bytes.IndexByte(p, ' ') >= 0 {
			all = append(all, bytes.ReplaceAll(p, []byte(" "), []byte("+")))
		}
	}
	return all
}

// reversed is the value backwards, by bytes and by characters.
func reversed(v []byte) [][]byte {
	b := slices.Clone(v)
	slices.Reverse(b)
	r := []rune(string(v))
	slices.Reverse(r)
	return [][]byte{b, []byte(string(r))}
}

// hexed is two digits a byte; their case doesn't matter to a match.
func hexed(v []byte) [][]byte {
	var all [][]byte
	for _, u := range inURL(v) {
		all = append(all, hex.AppendEncode(nil, u))
	}
	return all
}

// inURL is a value, and how a URL has it: what a system encodes as a whole may be
// the URL that it was asked with.
func inURL(v []byte) [][]byte {
	all := [][]byte{v}
	for _, escape := range []func(string) string{url.QueryEscape, url.PathEscape} {
		if e := []byte(escape(string(v))); !bytes.Equal(e, all[len(all)-1]) {
			all = append(all, e)
		}
	}
	return all
}

// base64InURL is base64Cores of these.
func base64InURL(v []byte) [][]byte {
	var all [][]byte
	for _, u := range inURL(v) {
		all = append(all, base64Cores(u)...)
	}
	return all
}

// base64Cores are the characters that the value alone determines, in both
// alphabets, when 0, 1 or 2 bytes (modulo 3) stand before it.
func base64Cores(v []byte) [][]byte {
	all := make([][]byte, 0, 6)
	for lead := range 3 {
		padded := append(make([]byte, lead, lead+len(v)), v...)
		text := base64.RawStdEncoding.AppendEncode(nil, padded)
		from := (lead*8 + 5) / 6      // the first whole character after the lead
		to := (lead + len(v)) * 8 / 6 // the last that no later byte shares
		all = append(all, text[from:to])
	}
	for _, text := range all[:3] {
		if bytes.ContainsAny(text, "+/") {
			all = append(all, bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("+"), []byte("-")), []byte("/"), []byte("_")))
		}
	}
	return all
}

// base64Twice are the characters that the value alone determines after it was
// encoded twice, as a credential in a document that is itself sent in base64.
func base64Twice(v []byte) [][]byte {
	var all [][]byte
	for _, once := range base64Cores(v) {
		all = append(all, base64Cores(once)...)
	}
	return all
}

// base32Cores are the characters that the value alone determines, when 0 to 4
// bytes (modulo 5) stand before it.
func base32Cores(v []byte) [][]byte {
	var all [][]byte
	for lead := range 5 {
		padded := append(make([]byte, lead, lead+len(v)), v...)
		text := base32.StdEncoding.WithPadding(base32.NoPadding).AppendEncode(nil, padded)
		all = append(all, text[(lead*8+4)/5:(lead+len(v))*8/5])
	}
	return all
}

// wide is UTF-16. The zero byte that differs between the two byte orders of
// ASCII is left out, so that one text serves both.
func wide(v []byte) [][]byte {
	if !utf8.Valid(v) {
		return nil
	}
	var le, be []byte
	for _, u := range utf16.Encode([]rune(string(v))) {
		le = append(le, byte(u), byte(u>>8))
		be = append(be, byte(u>>8), byte(u))
	}
	return [][]byte{bytes.TrimRight(le, "\x00"), bytes.TrimLeft(be, "\x00")}
}

// numbers are the bytes in decimal, as a byte slice is printed by Go and a
// Buffer by JSON.stringify.
func numbers(v []byte) [][]byte {
	var all [][]byte
	for _, sep := range []byte{' ', ','} {
		var b []byte
		for i, c := range v {
			if i > 0 {
				b = append(b, sep)
			}
			b = strconv.AppendUint(b, uint64(c), 10)
		}
		all = append(all, b)
	}
	return all
}

// reaches gives for each byte the length of the longest pattern that has it, in
// either case: how far around its escape a match can extend. What an escape of
// an escape is made of reaches as far as any. Lists of numbers don't count:
// nobody escapes their separators, and those are the most common escapes of all.
func reaches(pats []pattern) (reach [256]int, most int) {
	for _, p := range pats {
		if p.plain {
			continue
		}
		most = max(most, len(p.text))
		for _, c := range p.text {
			reach[c] = max(reach[c], len(p.text))
		}
	}
	for c := range reach {
		if alnum(byte(c)) || bytes.IndexByte([]byte("#;{}"), byte(c)) >= 0 {
			reach[c] = most
		}
	}
	return reach, most
}
