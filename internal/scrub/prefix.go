package scrub

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// prefixes tells whether the end of a text may be the start of a pattern.
type prefixes struct {
	bloom []uint64 // of the first four bytes, folded
	shift uint
	first [256]bool // of the first byte
}

func buildPrefixes(pats *patterns) prefixes {
	var p prefixes
	log := max(uint(bits.Len(uint(len(pats.list)*16))), 10)
	p.shift = 64 - (log - 6)
	p.bloom = make([]uint64, 1<<(log-6))
	for i := range pats.list {
		t := pats.of(&pats.list[i])
		h := prefixHash(t)
		p.bloom[h>>p.shift] |= 1 << (h & 63)
		p.first[t[0]] = true
	}
	return p
}

func prefixHash(t []byte) uint64 {
	x := uint64(binary.LittleEndian.Uint32(t)|foldAll&0xffffffff) * mix
	return x ^ x>>40&63
}

// hold is the least i such that t[i:] is the beginning of some pattern but not
// all of it; len(t) when there is none.
func (e *engine) hold(t []byte) int {
	p := &e.prefix
	i := max(0, len(t)-e.longest+1)
	for ; i+4 <= len(t); i++ {
		h := prefixHash(t[i:])
		if p.bloom[h>>p.shift]>>(h&63)&1 != 0 && e.pats.begins(t[i:]) {
			return i
		}
	}
	for ; i < len(t); i++ {
		if p.first[lower[t[i]]] && e.pats.begins(t[i:]) {
			return i
		}
	}
	return len(t)
}

// signs knows what may stand beside a sign in a pattern: the three characters
// before it and the three after. Most escapes in ordinary text are of signs, and
// most of them stand where no pattern has one.
type signs [1 << (signsLog - 6)]uint64

const signsLog = 17

// farFrom is from how many bytes without the lead of an escape on, those before
// an escape are no part of another, however nested: the longest after its lead
// is a name, or ten digits.
const farFrom = 32

// beside is how many bytes on each side of an escape are looked at.
const beside = 3

// shadow is for how long after t[i], where the escape t[i:i+n] for r is, the text
// may not be what it seems: part of an escape that r is a part of. Most signs
// are part of none.
func shadow(t []byte, i, n int, r rune) int {
	switch {
	case n == 0 && i+1 < len(t) && t[i+1] <= ' ':
		return 1 + beside
	case n > 0 && (r < 0 || r >= utf8.RuneSelf || !partOfEscape[r]):
		return n + beside
	}
	return max(n, 1) + farFrom
}

// partOfEscape has the characters that may stand in an escape: its lead, letters,
// digits, and some signs.
var partOfEscape = func() (in [256]bool) {
	for c := range in {
		in[c] = alnum(byte(c)) || leadKind[c] != 0 || bytes.IndexByte([]byte("#;{}"), byte(c)) >= 0
	}
	return in
}()

func buildSigns(pats *patterns) *signs {
	var s signs
	for i := range pats.list {
		p := &pats.list[i]
		if p.plain {
			continue
		}
		t := pats.of(p)
		for o, c := range t {
			if alnum(c) {
				continue
			}
			if o+beside < len(t) {
				s.set(signHash(binary.LittleEndian.Uint32(t[o:]), 0))
			}
			if o >= beside {
				s.set(signHash(binary.LittleEndian.Uint32(t[o-beside:]), 1))
			}
		}
	}
	return &s
}

func (s *signs) set(h uint32)      { s[h>>6] |= 1 << (h & 63) }
func (s *signs) has(h uint32) bool { return s[h>>6]>>(h&63)&1 != 0 }

// signHash is of four folded bytes, the first (side 0) or last of them a sign.
func signHash(x, side uint32) uint32 {
	return ((x | foldAll&0xffffffff) ^ side<<7) * 2654435761 >> (32 - signsLog)
}

// ruleOut reports that no match can have r, which the escape t[i:i+n] stands for:
// it is a sign and no lead of another escape, the bytes beside it are what they
// seem (see shadow), and no pattern has it between these. Every pattern has so
// many more characters on one side of any.
func (s *signs) ruleOut(t []byte, i, n int, r rune, k kind) bool {
	if r < 0 || r >= utf8.RuneSelf || alnum(byte(r)) || i+n+beside > len(t) {
		return false
	}
	after := t[i+n : i+n+beside]
	if (leadKind[after[0]]|leadKind[after[1]]|leadKind[after[2]])&k != 0 || leadKind[r] != 0 && nests(byte(r), after, k) {
		return false
	}
	before := t[i-beside : i]
	right := uint32(r) | uint32(after[0])<<8 | uint32(after[1])<<16 | uint32(after[2])<<24
	left := uint32(before[0]) | uint32(before[1])<<8 | uint32(before[2])<<16 | uint32(r)<<24
	return !s.has(signHash(right, 0)) && !s.has(signHash(left, 1))
}

// reaches gives for each byte the length of the longest pattern that has it, in
// either case: how far around its escape a match can extend. What an escape of
// an escape is made of reaches as far as any. Lists of numbers don't count:
// nobody escapes their separators, and those are the most common escapes of all.
func reaches(pats *patterns) (reach [256]int, most int) {
	for i := range pats.list {
		p := &pats.list[i]
		if p.plain {
			continue
		}
		n := int(p.n)
		most = max(most, n)
		for _, c := range pats.of(p) {
			reach[c] = max(reach[c], n)
		}
	}
	for c := range reach {
		if partOfEscape[c] && leadKind[c] == 0 {
			reach[c] = most
		}
	}
	return reach, most
}
