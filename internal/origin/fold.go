package origin

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// invisible are marks and letters that look like nothing, besides the format
// characters (zero-width ones, marks of direction).
var invisible = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x034F, Hi: 0x034F, Stride: 1}, {Lo: 0x115F, Hi: 0x1160, Stride: 1}, {Lo: 0x17B4, Hi: 0x17B5, Stride: 1}, {Lo: 0x180B, Hi: 0x180F, Stride: 1},
		{Lo: 0x2800, Hi: 0x2800, Stride: 1}, {Lo: 0x3164, Hi: 0x3164, Stride: 1}, {Lo: 0xFE00, Hi: 0xFE0F, Stride: 1}, {Lo: 0xFFA0, Hi: 0xFFA0, Stride: 1},
	},
	R32: []unicode.Range32{{Lo: 0xE0100, Hi: 0xE01EF, Stride: 1}},
}

// fold appends a text as it is compared: compatibility forms composed, lower case,
// one kind of dash, nothing invisible, and each white space one space. Space at its
// ends is left out. It stops after about most bytes.
func fold(dst []byte, s string, most int) []byte {
	from, space := len(dst), false
	put := func(r rune) {
		switch {
		case unicode.IsSpace(r):
			space = true
			return
		case r >= utf8.RuneSelf && (unicode.In(r, unicode.Cf, unicode.Co, unicode.Variation_Selector) || unicode.Is(invisible, r)), unicode.IsControl(r):
			return
		case r >= utf8.RuneSelf && unicode.Is(unicode.Pd, r):
			r = '-'
		}
		if space && len(dst) > from {
			dst = append(dst, ' ')
		}
		space = false
		dst = utf8.AppendRune(dst, unicode.ToLower(r))
	}
	if isASCII(s) {
		for i := range len(s) {
			put(rune(s[i]))
		}
		return dst
	}
	// First what is invisible goes: it would keep apart what composes.
	s = strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf && (unicode.Is(unicode.Cf, r) || unicode.Is(invisible, r)) {
			return -1
		}
		return r
	}, s)
	var it norm.Iter
	it.InitString(norm.NFKC, s)
	for !it.Done() && len(dst)-from < most {
		for b := it.Next(); len(b) > 0; {
			r, n := utf8.DecodeRune(b)
			put(r)
			b = b[n:]
		}
	}
	return dst
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func isWord(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z'
	}
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r))
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func digits[T string | []byte](s T) (n int) {
	for i := range len(s) {
		if isDigit(s[i]) {
			n++
		}
	}
	return n
}

// bounded says whether view[a:b] begins and ends where words do.
func bounded(view []byte, a, b int) bool {
	if first, _ := utf8.DecodeRune(view[a:b]); isWord(first) {
		if before, _ := utf8.DecodeLastRune(view[:a]); a > 0 && isWord(before) {
			return false
		}
	}
	if last, _ := utf8.DecodeLastRune(view[a:b]); isWord(last) {
		if next, _ := utf8.DecodeRune(view[b:]); b < len(view) && isWord(next) {
			return false
		}
	}
	return true
}

// compact appends the ASCII letters and digits of a folded text; with offsets, where
// each of them stands.
func compact(dst []byte, offsets []int32, folded []byte) ([]byte, []int32) {
	for i, c := range folded {
		if isDigit(c) || c >= 'a' && c <= 'z' {
			dst = append(dst, c)
			if offsets != nil {
				offsets = append(offsets, int32(i))
			}
		}
	}
	return dst, offsets
}

// grouped says whether a folded text is an identifier that people write in groups:
// an account, a phone or a card number. compacted is what is left without the
// signs between.
func grouped(folded []byte) (compacted []byte, ok bool) {
	for _, c := range folded {
		if c >= utf8.RuneSelf || !isWord(rune(c)) && !strings.ContainsRune(" -./()+_:'", rune(c)) {
			return nil, false
		}
	}
	compacted, _ = compact(nil, nil, folded)
	n := digits(compacted)
	return compacted, len(compacted) >= 6 && len(compacted) <= 64 && n >= 4 && 3*n >= len(compacted)
}
