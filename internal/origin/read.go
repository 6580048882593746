package origin

import (
	"slices"
	"sort"
)

// read searches one source.
func (t *tracer) read(src int, s *Source) {
	if len(t.values) == 0 || !t.look(s) {
		return
	}
	t.search(&t.plain, t.view, func(n *needle, from, to int) {
		if n.open(src) && bounded(t.view, from, to) {
			t.found(n, src, from, t.isToken(from, to))
		}
	})
	t.packing, t.offsets = compact(t.packing[:0], append(t.offsets[:0], 0)[:0], t.view)
	t.search(&t.packed, t.packing, func(n *needle, from, to int) {
		a, b := int(t.offsets[from]), int(t.offsets[to-1])+1
		if n.open(src) && bounded(t.view, a, b) {
			t.found(n, src, a, t.alone(from, to))
		}
	})
	if len(t.amounts) > 0 {
		wanted := func(digits []byte) bool {
			return slices.ContainsFunc(t.significant[string(digits)], func(n *needle) bool { return n.hit.src < 0 })
		}
		figures(t.view, wanted, func(from, to int, amounts []string) {
			for _, a := range amounts {
				if n := t.amounts[a]; n != nil {
					t.found(n, src, from, t.isToken(from, to))
				}
			}
		})
	}
	t.grams.read(t.view, src, t.tokenAt)
	if s.Kind.Trusted() && s.Kind != Person && len(t.trusted) < maxTrusted { // a person can speak of what an answer had before
		t.trusted = append(append(t.trusted, t.view...), '\n')
	}
}

// look makes the view of a source. It says no to one that grows beyond measure when
// it is folded.
func (t *tracer) look(s *Source) bool {
	t.view, t.starts, t.tokens = t.view[:0], t.starts[:0], t.tokens[:0]
	most := 4*len(s.Body) + 4096
	var names []byte
	var nameStarts, nameTokens []int32
	walk(s.Body, func(tok token, _ func() string) bool {
		if tok.key {
			nameStarts, nameTokens = append(nameStarts, int32(len(names))), append(nameTokens, int32(tok.n))
			names = append(fold(names, tok.text, most-len(names)), '\n')
		} else {
			t.starts, t.tokens = append(t.starts, int32(len(t.view))), append(t.tokens, int32(tok.n))
			t.view = append(fold(t.view, tok.text, most-len(t.view)), '\n')
			if tok.number && len(t.amounts) > 0 { // also as the value that it is
				if a, ok := amount(tok.text); ok && a != tok.text && t.amounts[a] != nil {
					t.view = append(append(t.view[:len(t.view)-1], ' '), a...)
					t.view = append(t.view, '\n')
				}
			}
		}
		return len(t.view)+len(names) < most
	})
	for i := range nameStarts {
		t.starts, t.tokens = append(t.starts, nameStarts[i]+int32(len(t.view))), append(t.tokens, nameTokens[i])
	}
	t.view = append(t.view, names...)
	if len(t.view) >= most {
		t.cut = true
		return false
	}
	return true
}

// search gives what a machine finds to each, the rest of long needles compared.
func (t *tracer) search(m *machine, text []byte, each func(n *needle, from, to int)) {
	m.automaton.find(text, func(p, from, to int) bool {
		for _, n := range m.byPrefix[p] {
			if t.work--; t.work < 0 {
				t.cut = true
				return false
			}
			if end := from + len(n.full); len(n.full) == to-from {
				each(n, from, end)
			} else if end <= len(text) {
				t.work -= len(n.full) / 64
				if string(text[from:end]) == n.full {
					each(n, from, end)
				}
			}
		}
		return true
	})
}

func (t *tracer) found(n *needle, src, at int, exact bool) {
	h := hit{src: src, how: Contained}
	if exact {
		h.how = Exact
	}
	if h.better(n.hit) {
		h.tok = t.tokenAt(at)
		n.hit = h
	}
}

// entry is which token of the view has the byte at.
func (t *tracer) entry(at int) int {
	return sort.Search(len(t.starts), func(i int) bool { return int(t.starts[i]) > at }) - 1
}

func (t *tracer) tokenAt(at int) int {
	if i := t.entry(at); i >= 0 {
		return int(t.tokens[i])
	}
	return 0
}

// isToken says whether view[from:to] is the whole of a token.
func (t *tracer) isToken(from, to int) bool {
	return (from == 0 || t.view[from-1] == '\n') && to < len(t.view) && t.view[to] == '\n'
}

// alone says whether packing[from:to] has all letters and digits of one token.
func (t *tracer) alone(from, to int) bool {
	i := t.entry(int(t.offsets[from]))
	return i >= 0 && (from == 0 || t.offsets[from-1] < t.starts[i]) && t.entry(int(t.offsets[to-1])) == i &&
		(to == len(t.offsets) || t.entry(int(t.offsets[to])) != i)
}
