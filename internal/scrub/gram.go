package scrub

import "encoding/binary"

// gramCount says how common four bytes are, in the patterns and in a sample of
// ordinary text. Two grams may share a counter.
type gramCount struct {
	n     [1 << 16]uint16
	again [1 << 16]uint16 // by another hash: few share both
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

func countGrams(pats *patterns) *gramCount {
	var g gramCount
	g.add([]byte(ordinary), ordinaryWeight)
	for i := range pats.list {
		g.add(pats.of(&pats.list[i]), 1)
	}
	return &g
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

func (g *gramCount) at(p []byte, i int) *uint16 { return &g.n[gramAt(p, i)*2654435761>>16] }

func (g *gramCount) second(p []byte, i int) *uint16 { return &g.again[gramAt(p, i)*2246822519>>16] }

func gramAt(p []byte, i int) uint32 {
	return binary.LittleEndian.Uint32(p[i:]) | uint32(foldAll&0xffffffff)
}

// common says that the four bytes at p[i:] are no sign of one secret.
func (g *gramCount) common(p []byte, i int) bool {
	limit := g.limit()
	return *g.at(p, i) > limit && *g.second(p, i) > limit
}

func (g *gramCount) add(p []byte, weight uint16) {
	for i := 0; i+4 <= len(p); i++ {
		for _, c := range [...]*uint16{g.at(p, i), g.second(p, i)} {
			*c = uint16(min(int(*c)+int(weight), 1<<16-1))
		}
		g.total += int(weight)
	}
}

// rarest is the offset of the window of m bytes in p whose most common gram is
// the least common: secrets that share a prefix are told apart by the rest.
func (g *gramCount) rarest(p []byte, m int) int {
	best, least := 0, int(^uint(0)>>1)
	// most is the greatest count in the window, at the last place that has it:
	// it is looked for again only when that place is left behind.
	most, place := 0, -1
	for w := 0; w+m <= len(p); w++ {
		last := w + m - 4
		if place < w {
			most = -1
			for i := w; i < last; i++ {
				if n := int(*g.at(p, i)); n >= most {
					most, place = n, i
				}
			}
		}
		if n := int(*g.at(p, last)); n >= most {
			most, place = n, last
		}
		if most < least {
			best, least = w, most
		}
	}
	return best
}
