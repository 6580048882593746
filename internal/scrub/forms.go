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
	texts func(f *forge, v []byte)
	plain bool // never escaped: its characters don't need it
	// parts: how many characters stand for a byte, where a part of the value
	// shows as a part of the form; 0 where fragments are not looked for.
	parts float64
}

var formList = []form{
	{texts: (*forge).spellings, parts: 1}, {texts: (*forge).reversed}, {texts: (*forge).hexed, parts: 2},
	{texts: (*forge).base64InURL, parts: 4. / 3}, {texts: (*forge).base64Twice}, {texts: (*forge).base32Cores},
	{texts: (*forge).wide}, {texts: (*forge).numbers, plain: true},
}

// forge makes patterns, in memory that it uses again for each value.
type forge struct {
	made patterns
	out  [][]byte // what a form derives
	mem  []byte   // where that is
}

// add makes a pattern of every text that stands for v and has MinLen bytes or
// more.
func (f *forge) add(v []byte, secret int32) {
	from, to, least := fragment(v)
	for _, form := range formList {
		f.out, f.mem = f.out[:0], f.mem[:0]
		form.texts(f, v)
		for i, t := range f.out {
			if len(t) < MinLen {
				continue
			}
			p := pattern{secret: secret, plain: form.plain}
			switch {
			case least == 0 || form.parts == 0 || form.parts == 1 && i > 0:
			case from == 0 && to == len(v): // any part of the form is one of the value
				p.to, p.least = uint32(len(t)), uint32(math.Ceil(form.parts*float64(least)))
			case form.parts == 1:
				p.from, p.to, p.least = uint32(from), uint32(to), uint32(least)
			}
			f.made.add(p, t)
		}
	}
}

// room is where to append n bytes that stay until the next form.
func (f *forge) room(n int) []byte {
	if cap(f.mem)-len(f.mem) < n {
		f.mem = make([]byte, 0, max(1<<14, 4*n))
	}
	at := len(f.mem)
	f.mem = f.mem[:at+n]
	return f.mem[at : at : at+n]
}

// put gives a text that was derived, once.
func (f *forge) put(t []byte) {
	if !slices.ContainsFunc(f.out, func(o []byte) bool { return bytes.Equal(o, t) }) {
		f.out = append(f.out, t)
	}
}

// spellings are the value; what its own escapes decode to, since a view decodes
// those too; and each of these with a form's "+" for a space.
func (f *forge) spellings(v []byte) {
	f.put(v)
	for _, k := range [...]kind{escAll, escPercent, escBackslash, escEntity} {
		d := v
		for range maxDepth {
			n := decodeAll(d, k)
			if bytes.Equal(n, d) {
				break
			}
			// Nothing may begin with a line end, or every frame of a stream
			// would wait for what follows it.
			f.put(bytes.TrimSpace(n))
			d = n
		}
	}
	for _, p := range f.out[:len(f.out):len(f.out)] {
		if bytes.IndexByte(p, ' ') >= 0 {
			f.put(bytes.ReplaceAll(p, []byte(" "), []byte("+")))
		}
	}
}

// reversed is the value backwards, by bytes and by characters.
func (f *forge) reversed(v []byte) {
	b := append(f.room(len(v)), v...)
	slices.Reverse(b)
	f.put(b)
	if bytes.ContainsFunc(v, func(r rune) bool { return r >= utf8.RuneSelf }) {
		r := []rune(string(v))
		slices.Reverse(r)
		f.put([]byte(string(r)))
	}
}

// hexed is two digits a byte; their case doesn't matter to a match.
func (f *forge) hexed(v []byte) {
	for _, u := range inURL(v) {
		f.put(hex.AppendEncode(f.room(2*len(u)), u))
	}
}

// inURL is a value, and how a URL has it: what a system encodes as a whole may be
// the URL that it was asked with.
func inURL(v []byte) [][]byte {
	all := append(make([][]byte, 0, 3), v)
	for _, escape := range [...]func(string) string{url.QueryEscape, url.PathEscape} {
		if e := []byte(escape(string(v))); !bytes.Equal(e, all[len(all)-1]) {
			all = append(all, e)
		}
	}
	return all
}

// base64InURL is base64Cores of these.
func (f *forge) base64InURL(v []byte) {
	for _, u := range inURL(v) {
		f.base64Cores(u)
	}
}

// base64Cores are the characters that the value alone determines, in both
// alphabets, when 0, 1 or 2 bytes (modulo 3) stand before it.
func (f *forge) base64Cores(v []byte) {
	for lead := range 3 {
		padded := append(f.room(lead + len(v))[:lead], v...)
		clear(padded[:lead])
		text := base64.RawStdEncoding.AppendEncode(f.room(base64.RawStdEncoding.EncodedLen(len(padded))), padded)
		from := (lead*8 + 5) / 6      // the first whole character after the lead
		to := (lead + len(v)) * 8 / 6 // the last that no later byte shares
		text = text[from:to]
		f.put(text)
		if bytes.ContainsAny(text, "+/") {
			text = append(f.room(len(text)), text...)
			for i, c := range text {
				switch c {
				case '+':
					text[i] = '-'
				case '/':
					text[i] = '_'
				}
			}
			f.put(text)
		}
	}
}

// base64Twice are the characters that the value alone determines after it was
// encoded twice, as a credential in a document that is itself sent in base64.
func (f *forge) base64Twice(v []byte) {
	f.base64Cores(v)
	once := slices.Clone(f.out)
	f.out = f.out[:0]
	for _, t := range once {
		f.base64Cores(t)
	}
}

// base32Cores are the characters that the value alone determines, when 0 to 4
// bytes (modulo 5) stand before it.
func (f *forge) base32Cores(v []byte) {
	code := base32.StdEncoding.WithPadding(base32.NoPadding)
	for lead := range 5 {
		padded := append(f.room(lead + len(v))[:lead], v...)
		clear(padded[:lead])
		text := code.AppendEncode(f.room(code.EncodedLen(len(padded))), padded)
		f.put(text[(lead*8+4)/5 : (lead+len(v))*8/5])
	}
}

// wide is UTF-16. The zero byte that differs between the two byte orders of
// ASCII is left out, so that one text serves both.
func (f *forge) wide(v []byte) {
	if !utf8.Valid(v) {
		return
	}
	le, be := f.room(4*len(v)), f.room(4*len(v))
	for _, r := range string(v) {
		for _, u := range utf16.AppendRune(make([]uint16, 0, 2), r) {
			le = append(le, byte(u), byte(u>>8))
			be = append(be, byte(u>>8), byte(u))
		}
	}
	f.put(bytes.TrimRight(le, "\x00"))
	f.put(bytes.TrimLeft(be, "\x00"))
}

// numbers are the bytes in decimal, as a byte slice is printed by Go and a
// Buffer by JSON.stringify.
func (f *forge) numbers(v []byte) {
	for _, sep := range [...]byte{' ', ','} {
		b := f.room(4 * len(v))
		for i, c := range v {
			if i > 0 {
				b = append(b, sep)
			}
			b = strconv.AppendUint(b, uint64(c), 10)
		}
		f.put(b)
	}
}
