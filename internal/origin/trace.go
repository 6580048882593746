package origin

import (
	"bytes"
	"encoding/json"
	"slices"
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
	trusted       []byte // what was said before the Run began, folded
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

// known says whether all that has digits in a text was said before the Run began.
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
