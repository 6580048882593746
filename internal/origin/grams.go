package origin

import "strings"

// gram is how many bytes of a folded text make up the least part that is found by
// itself, and gramDigits how many digits it has to have.
const (
	gram       = 12
	gramDigits = 2
	gramBase   = 0x9E3779B97F4A7C15 // odd
)

// grams finds parts that values and sources have in common.
type grams struct {
	first  map[uint64]hit // where a gram of a value was first seen
	filter []uint64       // a bit for some of each one's hash: most of a source's grams are none
}

const filterBits = 20

// rolling visits the grams of a text with enough digits, and where each ends.
func rolling(text []byte, visit func(hash uint64, end int)) {
	out := uint64(1)
	for range gram {
		out *= gramBase
	}
	var h uint64
	n := 0
	for i, c := range text {
		h = h*gramBase + uint64(c)
		if isDigit(c) {
			n++
		}
		if i >= gram {
			old := text[i-gram]
			h -= uint64(old) * out
			if isDigit(old) {
				n--
			}
		}
		if i >= gram-1 && n >= gramDigits {
			visit(h, i+1)
		}
	}
}

// add takes up a value's grams.
func (g *grams) add(text string) {
	if g.first == nil {
		g.first, g.filter = map[uint64]hit{}, make([]uint64, 1<<(filterBits-6))
	}
	rolling([]byte(text), func(h uint64, _ int) {
		g.first[h] = nowhere
		b := h >> (64 - filterBits)
		g.filter[b>>6] |= 1 << (b & 63)
	})
}

// read notes which of them a source's view has first. token names what is at an
// offset of it.
func (g *grams) read(view []byte, src int, token func(int) int) {
	if len(g.first) == 0 {
		return
	}
	rolling(view, func(h uint64, end int) {
		b := h >> (64 - filterBits)
		if g.filter[b>>6]>>(b&63)&1 == 0 {
			return
		}
		if at, ok := g.first[h]; ok && at.src < 0 {
			g.first[h] = hit{src: src, tok: token(end - gram), how: Contained}
		}
	})
}

// longest is the longest part of a value that such sources had first, and that has
// something with digits that is not known.
func (g *grams) longest(text string, such func(src int) bool, known func(string) bool) (hit, string) {
	best, shown := nowhere, ""
	from, to, at := 0, 0, nowhere
	end := func() {
		if to-from > len(shown) {
			a, b := widen(text, from, to)
			if !known(text[a:b]) {
				best, shown = at, strings.ToValidUTF8(text[from:to], "") // a gram can cut a character
			}
		}
	}
	rolling([]byte(text), func(h uint64, e int) {
		f, ok := g.first[h]
		if !ok || f.src < 0 || !such(f.src) {
			return
		}
		if e-gram > to || at.src < 0 {
			end()
			from, at = e-gram, f
		}
		to = e
	})
	end()
	return best, shown
}

// widen extends a part to the words that it cuts.
func widen(text string, from, to int) (int, int) {
	for from > 0 && text[from-1] != ' ' {
		from--
	}
	for to < len(text) && text[to] != ' ' {
		to++
	}
	return from, to
}
