package origin

import (
	"bytes"
	"encoding/json"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// hit is where something was found; src is -1 where it was not.
type hit struct {
	src   int
	tok   int // the token of the source, in its order
	how   How
	where string // its place, filled in at the end
}

var nowhere = hit{src: -1}

// better says whether a hit goes before another: the earlier source does, and in
// one source what is a value of its own.
func (h hit) better(than hit) bool {
	return h.src >= 0 && (than.src < 0 || h.src < than.src || h.src == than.src && h.how == Exact && than.how != Exact)
}

// needle is one form of a value, or of a part of one, that is looked for.
type needle struct {
	full string
	raw  string // as the arguments have it
	hit  hit
}

// open says whether a hit in a source would be news.
func (n *needle) open(src int) bool {
	return n.hit.src < 0 || n.hit.src == src && n.hit.how != Exact
}

// value is one value of the arguments.
type value struct {
	at     string
	key    bool
	text   string // folded
	forms  []*needle
	parts  []part
	lost   bool // it was not looked for in every way
	whole  hit
	inside hit    // of a part
	shown  string // that part
}

type part struct {
	text  string
	forms []*needle
}

// tracer is the work on one set of arguments.
type tracer struct {
	values []value
	more   bool // there are more values than are traced
	cut    bool
	size   int // bytes of values that were taken up

	plain, packed machine
	amounts       map[string]*needle
	significant   map[string][]*needle // by the digits of those, without zeros at the ends
	grams         grams
	trusted       []byte // what trusted sources say, folded
	work          int    // hits that may still be looked at

	view    []byte  // of the source at hand, folded: its values, then its names
	starts  []int32 // by token of the view: where it begins
	tokens  []int32 // by token of the view: its place in the source's order
	packing []byte
	offsets []int32
}

// machine looks for needles in a text.
type machine struct {
	automaton *automaton
	needles   map[string]*needle
	byPrefix  [][]*needle
}

const (
	minValue   = 4       // characters of a string, digits of a number
	maxNeedles = 600     // forms of values and of their parts
	maxWork    = 8 << 20 // hits that are looked at, before the search is given up
	maxTrusted = 256 << 10
)

func newTracer(args json.RawMessage, cut bool) *tracer {
	t := &tracer{cut: cut, amounts: map[string]*needle{}, significant: map[string][]*needle{}, work: maxWork}
	t.plain.needles, t.packed.needles = map[string]*needle{}, map[string]*needle{}
	walk(args, func(tok token, place func() string) bool {
		text := string(fold(nil, tok.text[:min(len(tok.text), maxText)], 2*maxText))
		if utf8.RuneCountInString(text) < minValue || tok.number && digits(text) < minValue || tok.key && wordy(text) {
			return true
		}
		if t.more = len(t.values) == maxValues; t.more {
			t.cut = true
			return false
		}
		v := value{at: place(), key: tok.key, text: text, whole: nowhere, inside: nowhere, lost: len(tok.text) > maxText}
		t.take(&v, tok)
		t.values = append(t.values, v)
		return true
	})
	return t
}

// wordy says whether a member's name is one that a schema would have.
func wordy(name string) bool {
	for _, r := range name {
		if r != '_' && r != '-' && !isWord(r) {
			return false
		}
	}
	return digits(name) < minValue
}

// take makes the forms of a value, and of its parts.
func (t *tracer) take(v *value, tok token) {
	if t.size += len(v.text); t.size > maxText {
		v.lost, t.cut = true, true
		return
	}
	v.forms = t.forms(v.text, tok.text, true)
	if tok.number {
		return
	}
	t.grams.add(v.text)
	for _, p := range addresses(v.text) {
		if p != v.text {
			v.parts = append(v.parts, part{p, t.forms(p, p, false)})
		}
	}
	for _, f := range v.forms {
		v.lost = v.lost || f == nil
	}
	v.forms = slices.DeleteFunc(v.forms, func(f *needle) bool { return f == nil })
}

// forms lists what a text is looked for as; one is nil where there are too many.
func (t *tracer) forms(folded, raw string, number bool) (out []*needle) {
	out = append(out, t.needle(t.plain.needles, folded, raw))
	if c, ok := grouped([]byte(folded)); ok {
		out = append(out, t.needle(t.packed.needles, string(c), raw))
	}
	if !number || folded[0] == '0' {
		return out
	}
	amounts := readings(folded)
	if a, ok := amount(folded); ok {
		amounts = []string{a}
	}
	for _, a := range amounts {
		if digits(a) >= minValue {
			n := t.needle(t.amounts, a, raw)
			if out = append(out, n); n != nil {
				t.significant[significant(a)] = append(t.significant[significant(a)], n)
			}
			if a != folded {
				out = append(out, t.needle(t.plain.needles, a, raw))
			}
		}
	}
	return out
}

func (t *tracer) needle(in map[string]*needle, full, raw string) *needle {
	if in[full] == nil {
		if len(t.plain.needles)+len(t.packed.needles)+len(t.amounts) >= maxNeedles {
			return nil
		}
		in[full] = &needle{full: full, raw: raw, hit: nowhere}
	}
	return in[full]
}

// compile makes the needles searchable.
func (t *tracer) compile() {
	for _, m := range []*machine{&t.plain, &t.packed} {
		var prefixes []string
		index := map[string]int{}
		for full, n := range m.needles {
			p := full[:min(len(full), maxPrefix)]
			i, ok := index[p]
			if !ok {
				i = len(prefixes)
				index[p], prefixes, m.byPrefix = i, append(prefixes, p), append(m.byPrefix, nil)
			}
			m.byPrefix[i] = append(m.byPrefix[i], n)
		}
		m.automaton = newAutomaton(prefixes)
	}
}

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
	if s.Kind.Trusted() && len(t.trusted) < maxTrusted {
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

// settle chooses where a value, or a part of it, was found first.
func (t *tracer) settle(v *value, sources []Source) {
	v.whole = first(v.forms)
	if v.whole.src >= 0 {
		return
	}
	for _, p := range v.parts {
		if h := first(p.forms); h.src >= 0 && !sources[h.src].Kind.Trusted() && (h.better(v.inside) || h.src == v.inside.src && len(p.text) > len(v.shown)) {
			v.inside, v.shown = h, p.text
		}
	}
	if v.inside.src < 0 {
		v.inside, v.shown = t.grams.longest(v.text, func(src int) bool { return !sources[src].Kind.Trusted() }, t.known)
	}
}

func first(forms []*needle) hit {
	h := nowhere
	for _, n := range forms {
		if n != nil && n.hit.better(h) {
			h = n.hit
		}
	}
	return h
}

// known says whether all that has digits in a text stands in what is trusted.
func (t *tracer) known(text string) bool {
	for _, w := range strings.Fields(text) {
		if w = strings.TrimFunc(w, func(r rune) bool { return !isWord(r) }); digits(w) > 0 && !bytes.Contains(t.trusted, []byte(w)) {
			return false
		}
	}
	return true
}

// places fills in where in their sources things were found.
func (t *tracer) places(sources []Source) {
	wanted := make([]map[int][]*hit, len(sources))
	want := func(h *hit) {
		if h.src >= 0 && h.how != Decoded {
			if wanted[h.src] == nil {
				wanted[h.src] = map[int][]*hit{}
			}
			wanted[h.src][h.tok] = append(wanted[h.src][h.tok], h)
		}
	}
	for i := range t.values {
		want(&t.values[i].whole)
		want(&t.values[i].inside)
	}
	for src, at := range wanted {
		left := len(at)
		if left == 0 {
			continue
		}
		walk(sources[src].Body, func(tok token, place func() string) bool {
			for _, h := range at[tok.n] {
				h.where = sources[src].place(place())
			}
			if len(at[tok.n]) > 0 {
				left--
			}
			return left > 0
		})
	}
}

// place is a pointer, or the word for a source that is a text.
func (s *Source) place(pointer string) string {
	switch {
	case pointer != "":
		return pointer
	case s.Name != "":
		return s.Name
	}
	return "text"
}
