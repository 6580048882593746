// Package origin says where the values in an action's arguments come from: for
// each of them, which of the texts that the Worker had seen had it first. A value
// that a system's answer had first may be what an injected instruction asked for,
// and whoever decides should look twice.
//
// It refuses to call a value clean that it could not look for: more arguments than
// are traced, or a part of what was seen that was not searched, make it unknown,
// which is untrusted too. It gives no verdict: it is a flag for a person.
//
// It does not find what a model paraphrases or computes, what it puts together
// from pieces that did not stand beside each other, letters that only look alike,
// and encoded values of under eight characters. See docs/origins.md.
//
// # Security
//
// What was seen is hostile text. Time and memory are in proportion to it and to the
// arguments, both bounded, whatever it says. The first text that has a value counts:
// an answer that repeats what the Run's input said makes nothing of it untrusted.
// An encoded value counts in untrusted text only, since a part of one may be found
// for the whole.
package origin

import (
	"encoding/json"
	"slices"
	"unicode/utf8"
)

// Kind is what sort of text had a value first.
type Kind string

// The kinds.
const (
	Input   Kind = "input"   // the Run's input: of who started it
	Mission Kind = "mission" // the Mission's goal, or its Tool's definition
	Person  Kind = "person"  // what a person said during the Run
	Answer  Kind = "answer"  // what a system answered
	Worker  Kind = "worker"  // none: the model's own
	Unknown Kind = "unknown" // it could not be looked for everywhere
)

// Trusted says whether texts of this kind are written by people of the company.
func (k Kind) Trusted() bool { return k == Input || k == Mission || k == Person }

// Untrusted says whether a value of this kind is flagged. The model's own words are
// neither: nobody put them into its mouth.
func (k Kind) Untrusted() bool { return !k.Trusted() && k != Worker }

// How says in which form a value was found.
type How string

// The forms.
const (
	Exact     How = "exact"     // as a value of its own, but for case, spaces and grouping
	Contained How = "contained" // as a part of a longer text
	Contains  How = "contains"  // not the whole of it: the part that is named
	Decoded   How = "decoded"   // encoded or escaped, or inside of a longer word
)

// Source is one text that the Worker had seen.
type Source struct {
	Kind       Kind
	Ref        string // of an answer or a person's words: the Intent's id
	Connection string
	Tool       string
	// Body is JSON, or a text. Its strings and numbers are searched, and the names
	// of its members.
	Body []byte
	// Name stands for the place in a Body that is a text: "text" if it is empty.
	Name string
}

// Origin is where one value of the arguments comes from.
type Origin struct {
	At         string `json:"at"`            // JSON pointer in the arguments; "" for what no pointer names
	Key        bool   `json:"key,omitempty"` // it is the member's name, not its value
	Kind       Kind   `json:"kind"`
	Trusted    bool   `json:"trusted"`
	Ref        string `json:"ref,omitempty"` // the Intent's id
	Connection string `json:"connection,omitempty"`
	Tool       string `json:"tool,omitempty"`
	Where      string `json:"where,omitempty"` // JSON pointer in the source, or a word
	How        How    `json:"how,omitempty"`
	Part       string `json:"part,omitempty"` // of [Contains]: lower case, at most 80 characters
}

// Untrusted says whether the value is flagged.
func (o Origin) Untrusted() bool { return o.Kind.Untrusted() }

// Report is where all values of the arguments come from, in their order.
type Report struct {
	Origins []Origin `json:"values"`
	// Cut: not all of what the Worker saw was searched, or not for all arguments.
	Cut bool `json:"cut,omitempty"`
}

// Flagged are the origins that are untrusted; of nil there are none.
func (r *Report) Flagged() (out []Origin) {
	if r == nil {
		return nil
	}
	for _, o := range r.Origins {
		if o.Untrusted() {
			out = append(out, o)
		}
	}
	return out
}

// Pointers are the places of what is flagged, each once.
func (r *Report) Pointers() (out []string) {
	for _, o := range r.Flagged() {
		if !slices.Contains(out, o.At) {
			out = append(out, o.At)
		}
	}
	return out
}

// Bounds of one trace.
const (
	MaxSeen    = 4 << 20 // bytes of what was seen that are searched: the last ones
	maxValues  = 200     // of the arguments; the rest is unknown
	maxText    = 64 << 10
	maxPointer = 300 // bytes of a place
	maxPart    = 80  // characters
)

// Seen is what a Worker had seen, in order. The zero value is nothing.
type Seen struct {
	sources []Source
	size    int
	cut     bool
}

// Add appends one text. Of texts that are no trusted ones the oldest are forgotten
// where all of them are longer than MaxSeen; a trusted one that is, is not taken.
func (s *Seen) Add(src Source) {
	if len(src.Body) > MaxSeen {
		s.cut = true
		return
	}
	s.sources = append(s.sources, src)
	for s.size += len(src.Body); s.size > MaxSeen; {
		i := slices.IndexFunc(s.sources, func(o Source) bool { return !o.Kind.Trusted() })
		if i < 0 {
			i = 0
		}
		s.size -= len(s.sources[i].Body)
		s.sources, s.cut = slices.Delete(s.sources, i, i+1), true
	}
}

// Cut notes that something that was seen is not here.
func (s *Seen) Cut() { s.cut = true }

// Nowhere is the report of arguments that could not be traced at all: every value
// is unknown.
func Nowhere(args json.RawMessage) Report {
	var s Seen
	s.Cut()
	return Trace(args, &s)
}

// Trace says where each value of the arguments comes from: each string of four or
// more characters, each number of four or more digits, and each member's name that
// is no plain word.
func Trace(args json.RawMessage, seen *Seen) Report {
	t := newTracer(args, seen.cut)
	t.compile()
	for i := range seen.sources {
		t.read(i, &seen.sources[i])
	}
	t.decode(seen.sources)
	t.places(seen.sources)
	r := Report{Cut: t.cut}
	for i := range t.values {
		r.Origins = append(r.Origins, t.origin(&t.values[i], seen.sources))
	}
	if t.more {
		r.Origins = append(r.Origins, Origin{Kind: Unknown})
	}
	return r
}

// origin puts into words what was found of a value.
func (t *tracer) origin(v *value, sources []Source) Origin {
	o := Origin{At: v.at, Key: v.key, Kind: Worker}
	h, part := v.whole, ""
	if h.src < 0 {
		h, part = v.inside, v.shown
		h.how = Contains
	}
	switch {
	case h.src >= 0:
		s := sources[h.src]
		o.Kind, o.Ref, o.Connection, o.Tool, o.Where, o.How, o.Part = s.Kind, s.Ref, s.Connection, s.Tool, h.where, h.how, short(part)
		if s.Kind == Person && t.cut { // an answer may have said it before
			o.Kind = Unknown
		}
	case t.cut, v.lost:
		o.Kind = Unknown
	}
	o.Trusted = o.Kind.Trusted()
	return o
}

// short cuts a text to what a line can show.
func short(s string) string {
	if utf8.RuneCountInString(s) <= maxPart {
		return s
	}
	return string([]rune(s)[:maxPart-3]) + "..."
}
