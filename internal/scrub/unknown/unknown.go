package unknown

import (
	"slices"
	"sync"
)

// Confidence says how well a rule knows what it finds.
type Confidence int8

// Likely is a value that its surroundings make a secret; Sure is a format that
// nothing else has, or a checksum that holds.
const (
	Likely Confidence = 1
	Sure   Confidence = 2
)

// String is "likely" or "sure".
func (c Confidence) String() string {
	if c >= Sure {
		return "sure"
	}
	return "likely"
}

// MarshalText is the same word, for JSON and logs.
func (c Confidence) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Rule is one kind of secret.
type Rule struct {
	Name       string     // like "github-token"
	Family     string     // like "vcs"
	Confidence Confidence // the best that it gives; a wrong checksum gives less
}

// Finding is a place in a text that a rule takes for a secret. It never holds
// the value.
type Finding struct {
	Rule, Family string
	Confidence   Confidence
	Start, End   int // bytes of the text: text[Start:End]
}

// Scanner looks for a choice of the rules. It is immutable, and serves any
// number of goroutines.
type Scanner struct {
	table    *table
	least    Confidence
	on       []bool // by rule
	words    *automaton
	triggers [][]trigger // by word
	idle     sync.Pool   // of *scan
}

// Rules are all rules that there are, by family and name.
func Rules() []Rule {
	rules := slices.Clone(theTable().rules)
	slices.SortFunc(rules, func(a, b Rule) int {
		if a.Family != b.Family {
			return compare(a.Family, b.Family)
		}
		return compare(a.Name, b.Name)
	})
	return rules
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// New is a scanner with the rules that on accepts (nil: all) that gives what is
// found with the confidence least or more.
func New(least Confidence, on func(Rule) bool) *Scanner {
	t := theTable()
	s := &Scanner{table: t, least: least, on: make([]bool, len(t.rules))}
	for i, r := range t.rules {
		s.on[i] = r.Confidence >= least && (on == nil || on(r))
	}
	s.buildTriggers()
	return s
}

// everything has all rules on.
var everything = sync.OnceValue(func() *Scanner { return New(Likely, nil) })

// Find gives what all rules find in the text, in its order, without overlaps.
func Find(text []byte) []Finding { return everything().Find(text) }

// Mask gives the text with "[secret?:RULE]" in place of each finding of all
// rules, and the findings, whose bounds are those in the text that was given.
// Without findings it is the text itself, not a copy.
func Mask(text []byte) ([]byte, []Finding) { return everything().Mask(text) }

// Mask is [Mask] with the scanner's rules.
func (s *Scanner) Mask(text []byte) ([]byte, []Finding) {
	found := s.Find(text)
	return Replace(text, found), found
}

// String is [Mask] for a string, without the findings.
func String(text string) string {
	out, found := Mask([]byte(text))
	if len(found) == 0 {
		return text
	}
	return string(out)
}

// Replace gives the text with a mark in place of each of the findings, which are
// some of those that Find gave for it, in their order. Without findings it is the
// text itself, not a copy.
func Replace(text []byte, found []Finding) []byte {
	if len(found) == 0 {
		return text
	}
	out := make([]byte, 0, len(text))
	at := 0
	for _, f := range found {
		out = append(out, text[at:f.Start]...)
		out = append(out, maskOpen...)
		out = append(out, f.Rule...)
		out = append(out, ']')
		at = f.End
	}
	return append(out, text[at:]...)
}

// maxPasses bounds how often a text is looked at.
const maxPasses = 5

// Find is [Find] with the scanner's rules. What is left besides the findings is
// looked at again, as it will be seen: a mark can end a command or bring two
// parts of a structure nearer. So masking what was masked changes nothing.
func (s *Scanner) Find(text []byte) []Finding {
	found := s.pass(text)
	for n := 1; n < maxPasses && len(found) > 0; n++ {
		more := s.pass(Replace(text, found))
		if len(more) == 0 {
			break
		}
		found = unmask(found, more)
	}
	return found
}

// unmask puts findings in a masked text to those that it was masked for, with
// the bounds that they have in the text itself.
func unmask(found, more []Finding) []Finding {
	out := make([]Finding, 0, len(found)+len(more))
	shift := 0 // from the masked text to the text
	k := 0
	next := func() int { // where the mark of found[k] ends in the masked text
		return found[k].Start - shift + len(maskOpen) + len(found[k].Rule) + 1
	}
	pass := func() {
		end := next()
		shift = found[k].End - end
		k++
	}
	for _, m := range more {
		for k < len(found) && next() <= m.Start {
			out = append(out, found[k])
			pass()
		}
		m.Start += shift
		end := m.End
		m.End = end + shift
		for k < len(found) && found[k].Start-shift < end { // a mark inside
			m.Start, m.End = min(m.Start, found[k].Start), found[k].End
			pass()
			m.End = max(m.End, end+shift)
		}
		out = append(out, m)
	}
	return append(out, found[k:]...)
}

func (s *Scanner) pass(text []byte) []Finding {
	c, _ := s.idle.Get().(*scan)
	if c == nil {
		c = &scan{s: s}
	}
	c.run(text)
	found := s.merge(c.found)
	c.forget()
	s.idle.Put(c)
	return found
}

// candidate is what one rule found.
type candidate struct {
	start, end int
	rule       int32
	conf       Confidence
}

// merge makes findings of candidates in any order. Of those that overlap, the
// surest names all that they cover together, so that nothing of any stays.
func (s *Scanner) merge(c []candidate) []Finding {
	if len(c) == 0 {
		return nil
	}
	slices.SortFunc(c, func(a, b candidate) int {
		if a.start != b.start {
			return a.start - b.start
		}
		return b.end - a.end
	})
	var out []Finding
	best := c[0]
	end := best.end
	start := best.start
	flush := func() {
		r := s.table.rules[best.rule]
		out = append(out, Finding{r.Name, r.Family, best.conf, start, end})
	}
	for _, next := range c[1:] {
		if next.start >= end {
			flush()
			best, start, end = next, next.start, next.end
			continue
		}
		if s.better(next, best) {
			best = next
		}
		end = max(end, next.end)
	}
	flush()
	return out
}

// better says which of two candidates names a place: the surer, then one of a
// provider rather than a general one.
func (s *Scanner) better(a, b candidate) bool {
	if a.conf != b.conf {
		return a.conf > b.conf
	}
	return int(b.rule) < len(builtin) && int(a.rule) >= len(builtin)
}
