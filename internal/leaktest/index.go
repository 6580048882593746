package leaktest

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"slices"
)

const (
	window   = 8    // bytes that are looked up at once; no part is shorter
	whole    = 22   // a part of fewer bytes counts as a whole only
	fragment = 16   // of a longer one so many bytes count, or half of it
	maxDepth = 6    // layers that are undone
	maxTexts = 1500 // that one stretch may decode to
)

// Hit is a canary that was found.
type Hit struct {
	Canary Canary
	Way    string // what had to be undone: "plain", "plain<base64<percent"
	Near   string // the text around it, where it was found
}

// Index finds any of many canaries in texts, each text decoded once for all.
// It is not for use by two goroutines.
type Index struct {
	needles []needle
	filter  [1 << 10]uint64 // of the hashes of the first four bytes of each window
	at      map[uint64][]place
	seed    maphash.Seed
	seen    map[uint64]bool // stretches that were searched: sinks repeat themselves
	// Clipped counts the stretches that decode to more than is looked at. A suite
	// that wants to be sure fails when it is not zero.
	Clipped int
}

type needle struct {
	canary Canary
	text   []byte // in capitals
	least  int
}

type place struct {
	needle, from int32
}

// NewIndex prepares a search for canaries.
func NewIndex(canaries ...Canary) *Index {
	x := &Index{at: map[uint64][]place{}, seed: maphash.MakeSeed(), seen: map[uint64]bool{}}
	for _, c := range canaries {
		for _, p := range c.Parts {
			forth := []byte(Upper(p))
			back := slices.Clone(forth)
			slices.Reverse(back)
			x.add(c, forth)
			x.add(c, back)
		}
	}
	return x
}

func (x *Index) add(c Canary, text []byte) {
	if len(text) < window {
		panic("leaktest: a canary of fewer than 8 bytes: " + c.String())
	}
	n := needle{c, text, len(text)}
	if len(text) >= whole && !c.Whole {
		n.least = min(fragment, len(text)/2)
	}
	x.needles = append(x.needles, n)
	for i := 0; i+window <= len(text); i++ {
		key := binary.LittleEndian.Uint64(text[i:])
		h := hash4(uint32(key))
		x.filter[h>>6] |= 1 << (h & 63)
		x.at[key] = append(x.at[key], place{int32(len(x.needles) - 1), int32(i)})
	}
}

func hash4(v uint32) uint32 { return v * 0x9E3779B1 >> 16 }

// Forget makes the next search look again at what was searched before.
func (x *Index) Forget() { clear(x.seen) }

// Search finds canaries in a text of any size, each once for each way. What an
// earlier search has seen already is not reported again.
func (x *Index) Search(text []byte) (hits []Hit) {
	for _, s := range stretches(text) {
		hits = append(hits, x.stretch(s)...)
	}
	return hits
}

// stretch undoes layers breadth first until nothing new comes: in any order, but
// for a big text, in which the kinds of escapes are not mixed one after the other
// (there is one that undoes all at once).
func (x *Index) stretch(text []byte) (hits []Hit) {
	type step struct {
		text []byte
		way  string
		last undoer
	}
	big := len(text) > small
	if !x.fresh(text) {
		return nil
	}
	found := map[string]bool{}
	texts := 1
	for todo, depth := []step{{text: text, way: "plain"}}, 0; len(todo) > 0 && depth < maxDepth; depth++ {
		var next []step
		for _, s := range todo {
			for _, h := range x.scan(s.text, s.way) {
				if !found[h.Canary.String()] {
					found[h.Canary.String()] = true
					hits = append(hits, h)
				}
			}
			if depth == maxDepth-1 {
				continue
			}
			for _, u := range undoers {
				if big && !u.follows(s.last) {
					continue
				}
				t := x.undo(u, s.text, big)
				if len(t) < window || !x.fresh(t) {
					continue
				}
				if texts++; texts > maxTexts {
					x.Clipped++
					return hits
				}
				next = append(next, step{t, s.way + "<" + u.name, u})
			}
		}
		todo = next
	}
	return hits
}

// undo takes one layer off. Of a big text each run of a code is decoded once,
// wherever else it is met.
func (x *Index) undo(u undoer, t []byte, big bool) []byte {
	if u.code == nil {
		return u.undo(t)
	}
	return runs(t, u.least, u.in, func(out, run []byte) []byte {
		if !big {
			return u.code(out, run)
		}
		if !x.fresh(append([]byte(u.name+"\x00"), run...)) {
			return out
		}
		from := len(out)
		if out = u.code(out, run); !readable(out[from:]) {
			return out[:from]
		}
		return out
	})
}

func (x *Index) fresh(t []byte) bool {
	h := maphash.Bytes(x.seed, t)
	if x.seen[h] {
		return false
	}
	x.seen[h] = true
	return true
}

// scan finds parts in one text as it is, in any case of its letters.
func (x *Index) scan(text []byte, way string) (hits []Hit) {
	t := []byte(Upper(string(text)))
	for i := 0; i+window <= len(t); i++ {
		h := hash4(binary.LittleEndian.Uint32(t[i:]))
		if x.filter[h>>6]&(1<<(h&63)) == 0 {
			continue
		}
		for _, p := range x.at[binary.LittleEndian.Uint64(t[i:])] {
			n := x.needles[p.needle]
			if run(t, i, n.text, int(p.from)) < n.least {
				continue
			}
			near := bytes.ToValidUTF8(text[max(0, i-40):min(len(text), i+60)], []byte("?"))
			hits = append(hits, Hit{n.canary, way, string(near)})
		}
	}
	return hits
}

// run is how many bytes around t[i] and n[from] are equal.
func run(t []byte, i int, n []byte, from int) int {
	start, end := 0, window
	for i+start > 0 && from+start > 0 && t[i+start-1] == n[from+start-1] {
		start--
	}
	for i+end < len(t) && from+end < len(n) && t[i+end] == n[from+end] {
		end++
	}
	return end - start
}

const (
	stretchSize = 16 << 10
	overlap     = 3 << 10 // what an encoded canary fits into
)

// stretches cuts a text where its content says so, so that what two sinks share
// is cut alike and searched once. Each reaches into the next.
func stretches(text []byte) (out [][]byte) {
	if len(text) <= 4*stretchSize {
		return [][]byte{text}
	}
	for start := 0; start < len(text); {
		end, h := start, uint32(0)
		for end < len(text) && (end-start < stretchSize/4 || h&(stretchSize-1) != 0) && end-start < 2*stretchSize {
			h = h<<1 + uint32(text[end])*0x9E3779B1
			end++
		}
		out = append(out, text[start:min(len(text), end+overlap)])
		start = end
	}
	return out
}

// Leaks searches a text for one value alone, and returns the way it was found,
// or "".
func Leaks(text, value string) string {
	hits := NewIndex(Canary{Value: value, Parts: []string{value}, Whole: true}).Search([]byte(text))
	if len(hits) == 0 {
		return ""
	}
	return hits[0].Way
}
