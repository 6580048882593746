package scrub

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// bank finds patterns by sampled q-grams. Of each pattern one window of m bytes
// is taken, and the q-grams at its first s = m-q+1 offsets are put into a Bloom
// bitmap and a table. Whatever the offset of an occurrence, one text position
// divisible by s falls on one of those, so that only every s-th position has to
// be looked at. Of a pattern of which parts count, all q-grams are in, and m is
// no more than the shortest part has.
//
// A q-gram is hashed with bit 0x20 of each byte set, which makes letters of
// either case (and a few signs) alike; what passes is compared in place.
type bank struct {
	m, q, s int
	gram    uint // how far a load of 8 bytes is shifted to leave q of them
	word    uint // how far a hash is shifted to index bloom
	slot    uint // how far a hash is shifted to index heads
	bloom   []uint64
	heads   []uint32 // places[heads[k]:heads[k+1]] have the slot k
	// Where a q-gram stands in the patterns' text, and above mask as much of its
	// hash as there is room for: most of the others in a slot differ in that, and
	// need no look at the text.
	places []uint32
	mask   uint32
}

const (
	foldAll      = 0x2020202020202020
	mix          = 0x9E3779B97F4A7C15 // 2^64 over the golden ratio
	maxWindow    = 16                 // and the least part of a secret that is looked for, where it has so many
	longGram     = 12                 // from this window on, q is 6
	bitsPerEntry = 20                 // of the Bloom bitmap
	minBloomLog  = 15                 // 4 KB: no less, it fits the nearest cache
	onePass      = 2000               // so few patterns share one bank, whatever their lengths: more would meet too many short q-grams by chance
)

// span is how much of p an occurrence has at least, up to a window's length.
func (p *pattern) span() int {
	n := int(p.n)
	if p.least > 0 {
		n = min(n, int(p.least))
	}
	return min(n, maxWindow)
}

// buildBanks puts the patterns into one bank; those that are much shorter than
// the others into one of their own, so that they don't set the pace for all.
func buildBanks(pats *patterns) []bank {
	if len(pats.list) == 0 {
		return nil
	}
	m := maxWindow
	for i := range pats.list {
		m = min(m, pats.list[i].span())
	}
	var long, short []uint32
	for i := range pats.list {
		if m >= longGram || len(pats.list) <= onePass || pats.list[i].span() < longGram {
			short = append(short, uint32(i))
		} else {
			long = append(long, uint32(i))
		}
	}
	common := countGrams(pats)
	banks := []bank{buildBank(pats, short, common)}
	if len(long) > 0 {
		banks = append(banks, buildBank(pats, long, common))
	}
	return banks
}

func buildBank(pats *patterns, ids []uint32, common *gramCount) bank {
	b := bank{m: maxWindow, q: 6}
	for _, id := range ids {
		b.m = min(b.m, pats.list[id].span())
	}
	if b.m < longGram {
		b.q = 5
	}
	b.s, b.gram = b.m-b.q+1, uint(64-8*b.q)
	all := inParts(len(ids), func(i, end int) []uint32 { return b.grams(pats, ids[i:end], common) })
	n := uint(len(all))
	bloomLog := max(uint(bits.Len(n*bitsPerEntry-1)), minBloomLog)
	slotLog := uint(bits.Len(n)) - 1
	b.word, b.slot = 64-(bloomLog-6), 64-slotLog
	b.mask = 1<<bits.Len(uint(len(pats.text))) - 1
	b.bloom = make([]uint64, 1<<(bloomLog-6))
	b.heads = make([]uint32, 1<<slotLog+1)
	for _, place := range all {
		h := b.hash(load(pats.text, int(place)))
		b.bloom[h>>b.word] |= bloomBits(h)
		b.heads[h>>b.slot]++
	}
	// Each q-gram goes to its slot: counting sorts what comparing would take
	// most of a start's time to sort. A slot is filled from its end, so that in
	// the end its head says where it begins.
	sum := uint32(0)
	for k, c := range b.heads {
		sum += c
		b.heads[k] = sum
	}
	b.places = make([]uint32, n)
	for _, place := range slices.Backward(all) {
		h := b.hash(load(pats.text, int(place)))
		k := h >> b.slot
		b.heads[k]--
		b.places[b.heads[k]] = place | tag(h)&^b.mask
	}
	return b
}

// tag is a part of the hash that neither the slot nor the bitmap's word is of.
func tag(h uint64) uint32 { return uint32(h >> 14) }

// grams lists where the q-grams stand by which the patterns are found.
func (b *bank) grams(pats *patterns, ids []uint32, common *gramCount) []uint32 {
	room := 0
	for _, id := range ids {
		p := &pats.list[id]
		if room += b.s; p.least > 0 {
			room += int(p.to - p.from)
		}
	}
	all := make([]uint32, 0, room)
	for _, id := range ids {
		p := &pats.list[id]
		t := pats.of(p)
		w := common.rarest(t, b.m)
		for o := w; o < w+b.s; o++ {
			all = append(all, p.at+uint32(o))
		}
		if p.least == 0 {
			continue
		}
		// Outside the window, those by which a part is found.
		for o := int(p.from); o+b.q <= int(p.to); o++ {
			if (o < w || o >= w+b.s) && !common.common(t, o) {
				all = append(all, p.at+uint32(o))
			}
		}
	}
	return all
}

// load reads 8 bytes, as if zeros followed the end.
func load(t []byte, i int) uint64 {
	if i+8 <= len(t) {
		return binary.LittleEndian.Uint64(t[i:])
	}
	var x uint64
	for k, c := range t[i:] {
		x |= uint64(c) << (8 * k)
	}
	return x
}

func (b *bank) hash(x uint64) uint64 { return (x | foldAll) << b.gram * mix }

// bloomBits are the two bits of a hash in its word. They come from the middle
// of the hash: its top chooses the word, its low end is weak.
func bloomBits(h uint64) uint64 { return 1<<(h>>20&63) | 1<<(h>>26&63) }
