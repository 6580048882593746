package scrub

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// pattern is one text to find, in lower case, and the secret it stands for.
type pattern struct {
	text   []byte
	secret int32
	plain  bool // not met in escapes
	// A run of least bytes or more between from and to counts as well; 0: only
	// the whole text does.
	from, to, least int
}

// match is an occurrence: text[start:end] stands for a secret.
type match struct {
	start, end int
	secret     int32
}

// bank finds the patterns of a range of lengths by sampled q-grams. Of each
// pattern one window of m bytes is taken, and the q-grams at its first
// s = m-q+1 offsets are put into a Bloom bitmap and a table. Whatever the
// offset of an occurrence, one text position divisible by s falls on one of
// those, so that only every s-th position has to be looked at.
//
// A q-gram is hashed with bit 0x20 of each byte set, which makes letters of
// either case (and a few signs) alike; what passes is compared in place.
type bank struct {
	m, q, s int
	gram    uint // how far a load of 8 bytes is shifted to leave q of them
	word    uint // how far a hash is shifted to index bloom
	slot    uint // how far a hash is shifted to index heads
	bloom   []uint64
	heads   []uint32 // entries[heads[k]:heads[k+1]] have the slot k
	entries []entry
}

// entry is a q-gram: where it stands in which pattern.
type entry struct {
	hash uint64
	pat  int32
	off  int32
}

// layout lists the banks; a pattern goes to the first that it is long enough
// for. The last takes MinLen.
var layout = []struct{ m, q int }{{16, 6}, {12, 6}, {MinLen, 5}}

const (
	foldAll      = 0x2020202020202020
	mix          = 0x9E3779B97F4A7C15 // 2^64 over the golden ratio
	bitsPerEntry = 24                 // of the Bloom bitmap
	minBloomLog  = 15                 // 4 KB: no less, it fits the nearest cache
	onePass      = 2000               // so few patterns share one bank: more would meet too many q-grams by chance
)

func buildBanks(pats []pattern) []bank {
	if len(pats) == 0 {
		return nil
	}
	common := countGrams(pats)
	by := make([][]int32, len(layout))
	least := 0
	for i, p := range pats {
		k := 0
		for len(p.text) < layout[k].m {
			k++
		}
		by[k], least = append(by[k], int32(i)), max(least, k)
	}
	if len(pats) <= onePass {
		// Where the text has to be looked at this often anyway, once is enough.
		for k := range least {
			by[least], by[k] = append(by[least], by[k]...), nil
		}
	}
	var banks []bank
	for k, ids := range by {
		if len(ids) > 0 {
			banks = append(banks, buildBank(layout[k].m, layout[k].q, pats, ids, common))
		}
	}
	return banks
}

func buildBank(m, q int, pats []pattern, ids []int32, common *gramCount) bank {
	b := bank{m: m, q: q, s: m - q + 1, gram: uint(64 - 8*q)}
	all := inParts(len(ids), func(i, end int) []entry { return b.grams(pats, ids[i:end], common) })
	n := uint(len(all))
	bloomLog := max(uint(bits.Len(n*bitsPerEntry-1)), minBloomLog)
	slotLog := uint(bits.Len(n))
	b.word, b.slot = 64-(bloomLog-6), 64-slotLog
	b.bloom = make([]uint64, 1<<(bloomLog-6))
	b.heads = make([]uint32, 1<<slotLog+1)
	for _, e := range all {
		b.bloom[e.hash>>b.word] |= bloomBits(e.hash)
		b.heads[e.hash>>b.slot+1]++
	}
	for k := range len(b.heads) - 1 {
		b.heads[k+1] += b.heads[k]
	}
	// Each entry goes to its slot: counting sorts what comparing would take
	// most of a start's time to sort.
	b.entries = make([]entry, n)
	next := slices.Clone(b.heads)
	for _, e := range all {
		k := e.hash >> b.slot
		b.entries[next[k]] = e
		next[k]++
	}
	return b
}

// grams lists the q-grams by which the patterns are found.
func (b *bank) grams(pats []pattern, ids []int32, common *gramCount) []entry {
	room := 0
	for _, id := range ids {
		if room += b.s; pats[id].least > 0 {
			room += pats[id].to - pats[id].from
		}
	}
	all := make([]entry, 0, room)
	for _, id := range ids {
		p := pats[id].text
		w := common.rarest(p, b.m)
		for o := w; o < w+b.s; o++ {
			all = append(all, entry{b.hash(load(p[o:])), id, int32(o)})
		}
		all = b.fragments(&pats[id], id, w, common, all)
	}
	return all
}

// commonGram is from how many occurrences on, in the patterns and in ordinary
// text, four bytes are no sign of one secret: what many begin with. Counters are
// shared, so twice what each has on average is let pass besides: else, of a
// thousand secrets, half of all q-grams would count as common and parts of a
// secret be missed.
const commonGram = 16

func (g *gramCount) limit() uint16 {
	return uint16(min(commonGram+2*g.total/len(g.n), 1<<16-1))
}

// fragments adds the q-grams outside the window at w, by which a part of the
// pattern is found.
func (b *bank) fragments(p *pattern, id int32, w int, common *gramCount, all []entry) []entry {
	if p.least == 0 {
		return all
	}
	limit := common.limit()
	for o := p.from; o+b.q <= p.to; o++ {
		if o >= w && o < w+b.s || *common.at(p.text, o) > limit {
			continue
		}
		all = append(all, entry{b.hash(load(p.text[o:])), id, int32(o)})
	}
	return all
}

// load reads up to 8 bytes, as if zeros followed the end.
func load(p []byte) uint64 {
	if len(p) >= 8 {
		return binary.LittleEndian.Uint64(p)
	}
	var x uint64
	for i, c := range p {
		x |= uint64(c) << (8 * i)
	}
	return x
}

func (b *bank) hash(x uint64) uint64 { return (x | foldAll) << b.gram * mix }

// bloomBits are the two bits of a hash in its word. They come from the middle
// of the hash: its top chooses the word, its low end is weak.
func bloomBits(h uint64) uint64 { return 1<<(h>>20&63) | 1<<(h>>26&63) }

// find appends every occurrence of the bank's patterns in t.
func (b *bank) find(pats []pattern, t []byte, out []match) []match {
	s, word, gram := b.s, b.word&63, b.gram&63
	bloom := b.bloom
	i := 0
	for ; i+3*s+8 <= len(t); i += 4 * s {
		// Four at a time keep four loads of the bitmap in flight.
		w := t[i : i+3*s+8]
		h0 := (binary.LittleEndian.Uint64(w) | foldAll) << gram * mix
		h1 := (binary.LittleEndian.Uint64(w[s:]) | foldAll) << gram * mix
		h2 := (binary.LittleEndian.Uint64(w[2*s:]) | foldAll) << gram * mix
		h3 := (binary.LittleEndian.Uint64(w[3*s:]) | foldAll) << gram * mix
		w0, w1, w2, w3 := bloom[h0>>word], bloom[h1>>word], bloom[h2>>word], bloom[h3>>word]
		k0 := w0 >> (h0 >> 20 & 63) & (w0 >> (h0 >> 26 & 63))
		k1 := w1 >> (h1 >> 20 & 63) & (w1 >> (h1 >> 26 & 63))
		k2 := w2 >> (h2 >> 20 & 63) & (w2 >> (h2 >> 26 & 63))
		k3 := w3 >> (h3 >> 20 & 63) & (w3 >> (h3 >> 26 & 63))
		if (k0|k1|k2|k3)&1 == 0 {
			continue
		}
		for j, h := range [4]uint64{h0, h1, h2, h3} {
			out = b.probe(pats, t, i+j*s, h, out)
		}
	}
	for ; i+b.q <= len(t); i += s {
		out = b.probe(pats, t, i, b.hash(load(t[i:])), out)
	}
	return out
}

// probe looks up the q-gram at t[i:] and verifies each pattern that has it.
func (b *bank) probe(pats []pattern, t []byte, i int, h uint64, out []match) []match {
	if want := bloomBits(h); b.bloom[h>>b.word]&want != want {
		return out
	}
	for _, e := range b.entries[b.heads[h>>b.slot]:b.heads[h>>b.slot+1]] {
		if e.hash != h {
			continue
		}
		p := &pats[e.pat]
		if p.least > 0 && i+b.q <= len(t) {
			if start, end, ok := p.fragmentOf(t, i, int(e.off), b.q); ok {
				out = append(out, match{start, end, p.secret})
			}
			continue
		}
		start := i - int(e.off)
		if start < 0 || start+len(p.text) > len(t) {
			continue
		}
		if equalFold(t[start:start+len(p.text)], p.text) {
			out = append(out, match{start, start + len(p.text), p.secret})
		}
	}
	return out
}

// equalFold compares t with a text in lower case of the same length.
func equalFold(t, p []byte) bool {
	for i := 0; i+8 <= len(p); i += 8 {
		if binary.LittleEndian.Uint64(t[i:])|foldAll != binary.LittleEndian.Uint64(p[i:])|foldAll {
			return false
		}
	}
	for i, c := range p {
		if lower[t[i]] != c {
			return false
		}
	}
	return true
}

// gramCount says how common four bytes are, in the patterns and in a sample of
// ordinary text. Two grams may share a counter.
type gramCount struct {
	n     [1 << 16]uint16
	total int
}

// ordinary is text whose four-byte runs are no good to search by.
const ordinary = `{"id": 1000, "name": "", "type": "string", "status": "error", "message": "the ` +
	`https://www.example.com/api/v1/users?page= http application/json; charset=utf-8 ` +
	`<div class="content"><span> href=" </a></p> content-type: authorization: bearer token ` +
	`that with this from have which there their would about tion ment ing and for not you ` +
	`-----begin private key----- 0000000000000000 ffffffffffffffff aaaaaaaaaaaaaaaa ---------------- ` +
	`miievgibadanbgkqhkig9w0baqefaascbkgwggskageaaoibaqc miievqibadanbgkqhkig9w0baqefaascbkcwggsjageaaoibaqd ` +
	`miibijanbgkqhkig9w0baqefaaocaq8amiibcgkcaqea mighageambmgbyqgsm49agegccqgsm49awehbg0wawibaqqg miieowibaakcaqea miiepaibaakcaqea ` +
	`mfkwewyhkozizj0caqyikozizj0daqcdqgae mc4caqawbqydk2vwbcieii mcowbqydk2vwaye b3blbnnzac1rzxktdjeaaaaabg5vbmuaaaaebm9uzqaaaaaaaaabaaaa ` +
	`aaaab3nzac1yc2eaaaadaqabaaabaq aaaac3nzac1lzdi1nte5aaaai ` +
	`eyjhbgcioijiuzi1niisinr5cci6ikpxvcj9 202020202020 2026-01-01t00:00:00.000z null, true, false, `

// ordinaryWeight makes ordinary text count more than other secrets' patterns.
const ordinaryWeight = 16

func countGrams(pats []pattern) *gramCount {
	var g gramCount
	g.add([]byte(ordinary), ordinaryWeight)
	for _, p := range pats {
		g.add(p.text, 1)
	}
	return &g
}

func (g *gramCount) at(p []byte, i int) *uint16 {
	x := binary.LittleEndian.Uint32(p[i:]) | uint32(foldAll&0xffffffff)
	return &g.n[x*2654435761>>16]
}

func (g *gramCount) add(p []byte, weight uint16) {
	for i := 0; i+4 <= len(p); i++ {
		c := g.at(p, i)
		*c = uint16(min(int(*c)+int(weight), 1<<16-1))
		g.total += int(weight)
	}
}

// rarest is the offset of the window of m bytes in p whose most common gram is
// the least common: secrets that share a prefix are told apart by the rest.
func (g *gramCount) rarest(p []byte, m int) int {
	best, least := 0, int(^uint(0)>>1)
	for w := 0; w+m <= len(p); w++ {
		most := 0
		for i := w; i+4 <= w+m && most < least; i++ {
			most = max(most, int(*g.at(p, i)))
		}
		if most < least {
			best, least = w, most
		}
	}
	return best
}
