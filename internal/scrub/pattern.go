package scrub

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"sort"

	"sallyport.dev/internal/fault"
)

// patterns are texts to find, in lower case, one after the other in one piece of
// memory. Once they are in order, no two are the same.
type patterns struct {
	text []byte
	list []pattern
	// Of each pattern where it begins, and where the last ends.
	starts []uint32
	// owner has, for every block of text, the pattern of its first byte.
	owner []uint32
}

// pattern is one text, and the secret that it stands for.
type pattern struct {
	at, n  uint32 // in the patterns' text
	secret int32
	plain  bool // not met in escapes
	// A run of least bytes or more between from and to counts as well; 0: only
	// the whole text does.
	from, to, least uint32
}

// match is an occurrence: text[start:end] stands for a secret.
type match struct {
	start, end int
	secret     int32
}

const blockLog = 5 // 32 bytes: at most 5 patterns have a byte of one block

// pad is how many bytes may be read behind the last pattern.
const padding = 8

func (ps *patterns) add(p pattern, text []byte) {
	p.at, p.n = uint32(len(ps.text)), uint32(len(text))
	ps.list = append(ps.list, p)
	for _, c := range text {
		ps.text = append(ps.text, lower[c])
	}
}

// of is the text of a pattern.
func (ps *patterns) of(p *pattern) []byte { return ps.text[p.at : p.at+p.n] }

// at is the pattern that has the byte at a place of the text, which is one from
// k on.
func (ps *patterns) at(k, place uint32) *pattern {
	for ps.starts[k+1] <= place {
		k++
	}
	return &ps.list[k]
}

// ordered gives the patterns of all in the order of their texts. Of those with
// the same text, it takes the first.
func ordered(all ...patterns) (patterns, error) {
	type key struct {
		head uint64 // the first bytes, the first of them the highest
		part int32
		id   int32
	}
	size, count := padding, 0
	for _, ps := range all {
		size, count = size+len(ps.text), count+len(ps.list)
	}
	if size > math.MaxInt32 {
		return patterns{}, fault.New(fault.Invalid, "the secrets are too long to be looked for").
			WithHint("keep files out of secrets; register what is secret in them")
	}
	keys := make([]key, 0, count)
	for part, ps := range all {
		for id := range ps.list {
			keys = append(keys, key{binary.BigEndian.Uint64(ps.of(&ps.list[id])), int32(part), int32(id)})
		}
	}
	text := func(k key) []byte { return all[k.part].of(&all[k.part].list[k.id]) }
	slices.SortFunc(keys, func(a, b key) int {
		if a.head != b.head {
			return cmp.Compare(a.head, b.head)
		}
		return cmp.Or(bytes.Compare(text(a), text(b)), int(a.part-b.part), int(a.id-b.id))
	})
	out := patterns{text: make([]byte, 0, size), list: make([]pattern, 0, count)}
	for i, k := range keys {
		t := text(k)
		if i > 0 && keys[i-1].head == k.head && bytes.Equal(text(keys[i-1]), t) {
			continue
		}
		p := all[k.part].list[k.id]
		p.at = uint32(len(out.text))
		out.list, out.text = append(out.list, p), append(out.text, t...)
	}
	out.starts = make([]uint32, 0, len(out.list)+1)
	for _, p := range out.list {
		out.starts = append(out.starts, p.at)
	}
	out.starts = append(out.starts, uint32(len(out.text)))
	out.owner = make([]uint32, len(out.text)>>blockLog+1)
	k := 0
	for b := range out.owner {
		for k+1 < len(out.list) && int(out.starts[k+1]) <= b<<blockLog {
			k++
		}
		out.owner[b] = uint32(k)
	}
	out.text = out.text[:len(out.text)+padding]
	return out, nil
}

// begins reports whether t is a proper prefix of a pattern. Of the patterns in
// order, those that t begins follow t itself.
func (ps *patterns) begins(t []byte) bool {
	i := sort.Search(len(ps.list), func(i int) bool { return compareFold(ps.of(&ps.list[i]), t) > 0 })
	return i < len(ps.list) && compareFold(ps.of(&ps.list[i])[:min(len(t), int(ps.list[i].n))], t) == 0
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

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// lowerWord folds the case of eight ASCII letters at once, as lower does.
func lowerWord(x uint64) uint64 {
	seven := x &^ highs
	letter := ((seven + (0x80-'A')*ones) ^ (seven + (0x80-'Z'-1)*ones)) &^ x & highs
	return x | letter>>2
}

// equalFold compares t with a text in lower case of the same length, which is at
// least 8.
func equalFold(t, p []byte) bool {
	for i := 0; i+8 <= len(p); i += 8 {
		if lowerWord(binary.LittleEndian.Uint64(t[i:])) != binary.LittleEndian.Uint64(p[i:]) {
			return false
		}
	}
	last := len(p) - 8
	return lowerWord(binary.LittleEndian.Uint64(t[last:])) == binary.LittleEndian.Uint64(p[last:])
}
