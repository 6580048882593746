package unknown

import (
	"fmt"
	"strconv"
	"strings"
)

// part is a piece of a pattern: a text, or a number of bytes of a class.
type part struct {
	text     string
	class    class
	min, max int // of a class; max 0 is no limit
}

// pattern is a sequence of parts. One of its texts is what is searched for; the
// parts before it are matched backwards.
type pattern struct {
	parts  []part
	anchor int  // index of the part that is searched for, -1 when there is none
	fold   bool // its texts are in lower case, and stand for any case
	free   bool // may stand right behind a letter or digit
	pad    bool // "=" may follow
	after  bool // its leading text is no part of the secret
}

// maxAlternatives bounds what the brackets of one pattern make.
const maxAlternatives = 64

// parsePatterns reads a pattern of the tables; each choice of its alternatives
// is one.
func parsePatterns(s string) ([]pattern, error) {
	texts, err := expand(s)
	if err != nil {
		return nil, err
	}
	var out []pattern
	for _, t := range texts {
		p := pattern{anchor: -1}
		if p.parts, err = parseParts(t); err != nil {
			return nil, err
		}
		p.anchor = chooseAnchor(p.parts)
		out = append(out, p)
	}
	return out, nil
}

// expand writes every choice of (a|b) out.
func expand(s string) ([]string, error) {
	open := strings.IndexByte(s, '(')
	if open < 0 {
		return []string{s}, nil
	}
	n := strings.IndexByte(s[open:], ')')
	if n < 0 {
		return nil, fmt.Errorf("%q has no closing bracket", s)
	}
	rest, err := expand(s[open+n+1:])
	if err != nil {
		return nil, err
	}
	var out []string
	for _, choice := range strings.Split(s[open+1:open+n], "|") {
		for _, r := range rest {
			out = append(out, s[:open]+choice+r)
		}
	}
	if len(out) > maxAlternatives {
		return nil, fmt.Errorf("%q has more than %d alternatives", s, maxAlternatives)
	}
	return out, nil
}

func parseParts(s string) ([]part, error) {
	var parts []part
	for s != "" {
		open := strings.IndexByte(s, '{')
		if open != 0 {
			text := s
			if open > 0 {
				text = s[:open]
			}
			parts, s = append(parts, part{text: text}), s[len(text):]
			continue
		}
		n := strings.IndexByte(s, '}')
		if n < 3 {
			return nil, fmt.Errorf("%q is not {C8}, {C8-16} or {C8+}", s)
		}
		p, err := parseRun(s[1:n])
		if err != nil {
			return nil, err
		}
		parts, s = append(parts, p), s[n+1:]
	}
	return parts, nil
}

func parseRun(s string) (part, error) {
	p := part{class: class(s[0])}
	if _, ok := sets[p.class]; !ok {
		return p, fmt.Errorf("no set is called %q", s[:1])
	}
	least, most, bounded := strings.Cut(s[1:], "-")
	least, more := strings.CutSuffix(least, "+")
	var err error
	if p.min, err = strconv.Atoi(least); err != nil || p.min < 1 {
		return p, fmt.Errorf("%q has no length", s)
	}
	switch {
	case more:
		p.max = 0
	case bounded:
		if p.max, err = strconv.Atoi(most); err != nil || p.max < p.min {
			return p, fmt.Errorf("%q has no length", s)
		}
	default:
		p.max = p.min
	}
	return p, nil
}

// chooseAnchor takes the first text of three bytes or more, or else the longest.
func chooseAnchor(parts []part) int {
	best := -1
	for i, p := range parts {
		if len(p.text) >= 3 {
			return i
		}
		if p.text != "" && (best < 0 || len(p.text) > len(parts[best].text)) {
			best = i
		}
	}
	return best
}

// at matches the pattern whose anchor stands at text[i:]. It gives the bounds of
// the whole match, and where the part behind a leading text begins.
func (p *pattern) at(r *runs, i int) (start, secret, end int, ok bool) {
	if end, ok = p.forward(r, p.anchor, i); !ok {
		return 0, 0, 0, false
	}
	if start, ok = p.backward(r.text, i); !ok {
		return 0, 0, 0, false
	}
	if p.pad {
		for k := 0; k < 3 && end < len(r.text) && r.text[end] == '='; k++ {
			end++
		}
	}
	secret = start
	if p.anchor == 0 {
		secret = i + len(p.parts[0].text)
	}
	return start, secret, end, true
}

// whole matches all of text[i:j].
func (p *pattern) whole(r *runs, i, j int) bool {
	end, ok := p.forward(r, 0, i)
	return ok && end == j
}

func (p *pattern) forward(r *runs, from, i int) (int, bool) {
	for k := from; k < len(p.parts); k++ {
		q := &p.parts[k]
		if q.text != "" {
			if !p.hasText(r.text, i, q.text) {
				return 0, false
			}
			i += len(q.text)
			continue
		}
		end := r.end(q.class, i)
		n := end - i
		last := k == len(p.parts)-1
		for k := 0; k < 3 && last && n > q.min && r.text[i+n-1] == '.'; k++ {
			n-- // the end of a sentence
		}
		if n < q.min {
			return 0, false
		}
		if q.max > 0 && n > q.max {
			if last {
				return 0, false // a longer run is something else
			}
			n = q.max
		}
		i += n
	}
	return i, true
}

// backward matches the parts before the anchor, which stands at text[i:].
func (p *pattern) backward(text []byte, i int) (int, bool) {
	for k := p.anchor - 1; k >= 0; k-- {
		q := &p.parts[k]
		if q.text != "" {
			if i -= len(q.text); i < 0 || !p.hasText(text, i, q.text) {
				return 0, false
			}
			continue
		}
		n := 0
		for n < i && (q.max == 0 || n < q.max) && q.class.has(text[i-n-1]) {
			n++
		}
		if n < q.min {
			return 0, false
		}
		i -= n
	}
	return i, true
}

func (p *pattern) hasText(text []byte, i int, want string) bool {
	if i+len(want) > len(text) {
		return false
	}
	if p.fold {
		return hasFold(text[i:], want)
	}
	return string(text[i:i+len(want)]) == want
}
