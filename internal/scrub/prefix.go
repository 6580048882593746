package scrub

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"sort"
)

// prefixes tells whether the end of a text may be the start of a pattern.
type prefixes struct {
	sorted [][]byte
	maxLen int
	bloom  []uint64 // of the first four bytes, folded
	shift  uint
	first  [256]bool // of the first byte
}

func buildPrefixes(pats []pattern) prefixes {
	var p prefixes
	log := max(uint(bits.Len(uint(len(pats)*16))), 10)
	p.shift = 64 - (log - 6)
	p.bloom = make([]uint64, 1<<(log-6))
	for _, pat := range pats {
		p.sorted = append(p.sorted, pat.text)
		p.maxLen = max(p.maxLen, len(pat.text))
		h := prefixHash(pat.text)
		p.bloom[h>>p.shift] |= 1 << (h & 63)
		p.first[pat.text[0]] = true
	}
	slices.SortFunc(p.sorted, bytes.Compare)
	return p
}

func prefixHash(t []byte) uint64 {
	x := uint64(binary.LittleEndian.Uint32(t)|foldAll&0xffffffff) * mix
	return x ^ x>>40&63
}

// hold is the least i such that t[i:] is the beginning of some pattern but not
// all of it; len(t) when there is none.
func (p *prefixes) hold(t []byte) int {
	i := max(0, len(t)-p.maxLen+1)
	for ; i+4 <= len(t); i++ {
		h := prefixHash(t[i:])
		if p.bloom[h>>p.shift]>>(h&63)&1 != 0 && p.begins(t[i:]) {
			return i
		}
	}
	for ; i < len(t); i++ {
		if p.first[lower[t[i]]] && p.begins(t[i:]) {
			return i
		}
	}
	return len(t)
}

// begins reports whether t is a proper prefix of a pattern. Of the patterns in
// order, those that t begins follow t itself.
func (p *prefixes) begins(t []byte) bool {
	i := sort.Search(len(p.sorted), func(i int) bool { return compareFold(p.sorted[i], t) > 0 })
	return i < len(p.sorted) && len(p.sorted[i]) > len(t) && equalFold(t, p.sorted[i][:len(t)])
}

// compareFold orders a pattern and a text that is folded on the way.
func compareFold(pat, t []byte) int {
	for i := range min(len(pat), len(t)) {
		if a, b := pat[i], lower[t[i]]; a != b {
			return int(a) - int(b)
		}
	}
	return len(pat) - len(t)
}
