package unknown

import "bytes"

// pending is a name in which words were met, until all of it was seen.
type pending struct {
	first, last, end int // where the words begin and end, and the name
	rules            []int32
	general          bool // a word like "secret" is among them
	active           bool
}

// named notes a word, text[from:i], that belongs to a name.
// A short one has to be a word of it: sumo is none of sumOfAll.
func (c *scan) named(t trigger, from, i int) {
	if t.kind == onAssignment && i-from < unmistakable && !wordAt(c.text, from, i) {
		return
	}
	end := c.runs.end(name, i)
	n := &c.name
	if !n.active || n.end != end {
		c.judge()
		*n = pending{first: i, end: end, rules: n.rules[:0], active: true}
	}
	n.last = i
	if t.kind == onAssignment {
		n.rules = append(n.rules, t.index)
	} else {
		n.general = true
	}
}

// unmistakable is the length from which a provider's word is not met by chance.
const unmistakable = 6

// wordAt reports whether text[i:j] begins where a word of a name does, and is
// written as one: etsy, ETSY, Etsy.
func wordAt(t []byte, i, j int) bool {
	_, up, _, _ := kinds(t[i:j])
	first := t[i] >= 'A' && t[i] <= 'Z'
	if up > 1 && up < j-i || up == 1 && !first {
		return false
	}
	if i == 0 || !class('c').has(t[i-1]) {
		return true
	}
	return first && t[i-1] >= 'a'
}

// spot is a value in the text, as an assignment has it.
type spot struct {
	start, end int
	quoted     bool
	comma      bool // after a comma, like an argument after its name
}

// judge looks at what is assigned to the name that is pending.
func (c *scan) judge() {
	n := &c.name
	if !n.active {
		return
	}
	n.active = false
	if n.end-n.last > maxName/2 {
		return
	}
	start := n.first
	for start > 0 && n.end-start < maxName && name.has(c.text[start-1]) {
		start--
	}
	if n.end-start >= maxName || markEnds(c.text, start) {
		return
	}
	v, ok := c.assigned(start, n.end)
	if !ok {
		return
	}
	p := c.text[v.start:v.end]
	if low, up, dig, sign := kinds(p); len(p) < 8 || dig == 0 && sign == 0 && (low < 4 || up < 4) {
		return // most values are words; this is quick
	}
	if ownID(p) || named(p) || dated(p) || resource(p) {
		return
	}
	if c.provider(start, v) {
		return
	}
	if n.general && (!v.comma || random(p, 10, 3)) {
		c.general(c.text[start:n.end], v)
	}
}

// provider tries the lines of assignments.txt whose words are in the name.
func (c *scan) provider(start int, v spot) bool {
	n := &c.name
	if len(n.rules) == 0 {
		return false
	}
	p := c.text[v.start:v.end]
	if words := splitName(c.text[start:n.end]); len(words) > 0 && notHeads[words[len(words)-1]] && !n.general {
		return false
	}
	ambiguous := uuid(p) || digest(p)
	if ambiguous && !n.general || madeUp(p) || len(p) > 0 && p[0] == '$' {
		return false
	}
	for _, i := range n.rules {
		a := &c.s.table.assignments[i]
		for k := range a.patterns {
			if a.patterns[k].whole(&c.runs, v.start, v.end) && !lowEntropy(p, a.entropy) && !plain(p) {
				c.add(a.rule, Likely, v.start, v.end)
				return true
			}
		}
	}
	return false
}

// plain reports whether p has words and no digit.
func plain(p []byte) bool {
	_, _, dig, _ := kinds(p)
	return dig == 0 && wordy(p)
}

// general judges the value of a name that says by itself that it is a secret.
func (c *scan) general(of []byte, v spot) {
	p := c.text[v.start:v.end]
	switch s := judgeName(of); s {
	case none:
	case password:
		if plausiblePassword(p, v.quoted) {
			c.add(rulePassword, Likely, v.start, v.end)
		}
	case strong, weak:
		if s == strong && v.quoted && !value.all(p) {
			if _, _, dig, _ := kinds(p); dig > 1 && plausiblePassword(p, true) {
				c.add(ruleGeneric, Likely, v.start, v.end)
			}
			return
		}
		if s == weak && (uuid(p) || digest(p) || len(p) < 16) || !value.all(p) {
			return
		}
		if len(p) > maxGeneric || bytes.ContainsAny(p, "@^*?$#%!") && !v.quoted {
			return
		}
		if dotted(p) || bytes.Contains(p, []byte("://")) || located(p) {
			return
		}
		floor := 3.3
		if class('x').all(p) || class('h').all(p) {
			floor = 2.7
		}
		if random(p, 10, floor) {
			c.add(ruleGeneric, Likely, v.start, v.end)
		}
	}
}

// maxGeneric is the length of the longest value that a name alone makes a secret.
const maxGeneric = 600

// plausiblePassword reports whether p can be somebody's password rather than an
// expression, a placeholder or a word.
func plausiblePassword(p []byte, quoted bool) bool {
	if len(p) < 8 || len(p) > 128 || chosen(p) || lowEntropy(p, 2.4) || bytes.ContainsAny(p, " \t") || bytes.Contains(p, []byte("://")) {
		return false
	}
	if digest(p) && !class('h').all(p) || p[0] == '$' || p[0] == '%' || p[0] == '@' || p[0] == '/' {
		return false
	}
	low, up, dig, sign := kinds(p)
	if dig == 0 && (sign == 0 || !quoted || wordy(p)) {
		return false
	}
	if low+up == 0 {
		return false
	}
	return quoted || dig >= 2 && (!wordy(p) || sign > 1) || dig >= 1 && up > 0 && low > 0 && !bytes.ContainsAny(p, "./")
}
