package scrub

import (
	"encoding/binary"
	"math/bits"
)

// maxSpots is how many positions are picked before they are looked up: so many
// that the look-ups of several are under way at a time.
const maxSpots = 128

// finder finds patterns in a text. It is scratch space.
type finder struct {
	found []match
	spots [maxSpots]int32
	pairs []pair
	// The last occurrence: the patterns' text goes along with the text shift
	// bytes before, up to until. Its other q-grams say nothing new.
	shift, until int
}

// pair is a position of a text, and one of the patterns' text, which some pattern
// from owner on has.
type pair struct {
	spot         int32
	place, owner uint32
}

// find adds every occurrence of the bank's patterns in t to f.found. For every
// hit, much has to be fetched from far memory: it is fetched for many at a time,
// step by step and without a branch that waits for it, so that one need not wait
// for the other.
func (f *finder) find(b *bank, pats *patterns, t []byte) {
	f.until = 0
	for i := 0; i+b.q <= len(t); {
		var n int
		if n, i = f.pick(b, t, i); n == 0 {
			continue
		}
		for _, p := range f.same(b, pats, t, f.pair(b, t, f.spots[:n])) {
			f.verify(b, pats, t, p)
		}
	}
}

// pick collects the sampled positions of t from i on whose q-gram may be a
// pattern's: up to the end, or as many as there is room for. It returns how many
// these are, and where to go on.
func (f *finder) pick(b *bank, t []byte, i int) (n, next int) {
	s, word, gram := b.s, b.word&63, b.gram&63
	bloom, spots := b.bloom, &f.spots
	for ; i+3*s+8 <= len(t); i += 4 * s {
		// Four at a time keep four loads of the bitmap in flight.
		w := t[i : i+3*s+8]
		h0 := (binary.LittleEndian.Uint64(w) | foldAll) << gram * mix
		h1 := (binary.LittleEndian.Uint64(w[s:]) | foldAll) << gram * mix
		h2 := (binary.LittleEndian.Uint64(w[2*s:]) | foldAll) << gram * mix
		h3 := (binary.LittleEndian.Uint64(w[3*s:]) | foldAll) << gram * mix
		w0, w1, w2, w3 := bloom[h0>>word], bloom[h1>>word], bloom[h2>>word], bloom[h3>>word]
		k0 := w0 >> (h0 >> 20 & 63) & (w0 >> (h0 >> 26 & 63)) & 1
		k1 := w1 >> (h1 >> 20 & 63) & (w1 >> (h1 >> 26 & 63)) & 1
		k2 := w2 >> (h2 >> 20 & 63) & (w2 >> (h2 >> 26 & 63)) & 1
		k3 := w3 >> (h3 >> 20 & 63) & (w3 >> (h3 >> 26 & 63)) & 1
		if k0|k1|k2|k3 == 0 {
			continue
		}
		// Without a branch for each: in a text full of hits, each would be
		// guessed wrong.
		spots[n%maxSpots] = int32(i)
		n += int(k0)
		spots[n%maxSpots] = int32(i + s)
		n += int(k1)
		spots[n%maxSpots] = int32(i + 2*s)
		n += int(k2)
		spots[n%maxSpots] = int32(i + 3*s)
		if n += int(k3); n > maxSpots-4 {
			return n, i + 4*s
		}
	}
	for ; i+b.q <= len(t); i += s {
		if n == maxSpots {
			return n, i
		}
		h := b.hash(load(t, i))
		if want := bloomBits(h); bloom[h>>word]&want == want {
			spots[n] = int32(i)
			n++
		}
	}
	return n, i
}

// pair looks up the q-grams at the spots.
func (f *finder) pair(b *bank, t []byte, spots []int32) []pair {
	var from, to, tags [maxSpots]uint32
	slot := b.slot & 63
	room := 0
	for k, spot := range spots {
		h := b.hash(load(t, int(spot)))
		k %= maxSpots
		from[k], to[k], tags[k] = b.heads[h>>slot], b.heads[h>>slot+1], tag(h)
		room += int(to[k] - from[k])
	}
	if cap(f.pairs) <= room {
		f.pairs = make([]pair, room+maxSpots)
	}
	pairs := f.pairs[:cap(f.pairs)]
	n := 0
	for k, spot := range spots {
		k %= maxSpots
		for _, place := range b.places[from[k]:to[k]] {
			pairs[n] = pair{spot: spot, place: place & b.mask}
			n += none((place ^ tags[k]) &^ b.mask)
		}
	}
	return pairs[:n]
}

// none is 1 for 0, and else 0.
func none(x uint32) int { return int((uint64(x) - 1) >> 63) }

// same leaves the pairs that have the same q-gram.
func (f *finder) same(b *bank, pats *patterns, t []byte, pairs []pair) []pair {
	n := 0
	for _, p := range pairs {
		x := load(t, int(p.spot)) | foldAll
		y := binary.LittleEndian.Uint64(pats.text[p.place:]) | foldAll
		d := (x ^ y) << (b.gram & 63)
		p.owner = pats.owner[p.place>>blockLog]
		pairs[n] = p
		n += none(uint32(d>>32) | uint32(d))
	}
	return pairs[:n]
}

// verify finds the pattern that a pair is of.
func (f *finder) verify(b *bank, pats *patterns, t []byte, pr pair) {
	i, shift := int(pr.spot), int(pr.spot)-int(pr.place)
	if shift == f.shift && i+b.q <= f.until {
		return
	}
	p := pats.at(pr.owner, pr.place)
	if start, end, ok := p.occurs(pats, t, i, int(pr.place-p.at), b.q); ok {
		f.found = append(f.found, match{start, end, p.secret})
		f.shift, f.until = shift, end
	}
}

// occurs reports where p, or enough of it, stands in t, when t[i:] goes along
// with p from off on.
func (p *pattern) occurs(pats *patterns, t []byte, i, off, q int) (start, end int, ok bool) {
	text := pats.of(p)
	start, end = i-off, i-off+len(text)
	if p.least == 0 {
		return start, end, start >= 0 && end <= len(t) && equalFold(t[start:end], text)
	}
	before := sameBefore(t[max(0, start):i], text[:off])
	after := sameAfter(t[i:min(end, len(t))], text[off:])
	from, to := off-before, off+after
	if after < q { // the same but for what folding too much makes of it
		return 0, 0, false
	}
	enough := to-from == len(text) || min(to, int(p.to))-max(from, int(p.from)) >= int(p.least)
	return i - before, i + after, enough
}

// sameAfter is how many bytes t and a text in lower case have in common from
// their beginnings on.
func sameAfter(t, p []byte) int {
	n := min(len(t), len(p))
	k := 0
	for ; k+8 <= n; k += 8 {
		if d := lowerWord(binary.LittleEndian.Uint64(t[k:])) ^ binary.LittleEndian.Uint64(p[k:]); d != 0 {
			return k + bits.TrailingZeros64(d)/8
		}
	}
	for k < n && lower[t[k]] == p[k] {
		k++
	}
	return k
}

// sameBefore is how many bytes they have in common before their ends.
func sameBefore(t, p []byte) int {
	n := min(len(t), len(p))
	t, p = t[len(t)-n:], p[len(p)-n:]
	k := 0
	for ; k+8 <= n; k += 8 {
		if d := lowerWord(binary.LittleEndian.Uint64(t[n-k-8:])) ^ binary.LittleEndian.Uint64(p[n-k-8:]); d != 0 {
			return k + bits.LeadingZeros64(d)/8
		}
	}
	for k < n && lower[t[n-k-1]] == p[n-k-1] {
		k++
	}
	return k
}
