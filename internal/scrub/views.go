package scrub

import (
	"bytes"
	"sort"
	"unicode/utf8"
)

// maxDepth is how many escapes around a character are undone: three layers, as
// of JSON in JSON in JSON, and one for escapes that the secret itself has.
const maxDepth = 4

// scanner finds all matches in one text. It is scratch space: not for use by
// two goroutines, and reused to save allocations.
type scanner struct {
	e     *engine
	found []match
	views [maxDepth + 1]view
}

// scan looks at t itself and at its decoded views. It leaves the matches in
// sc.found and returns from where on t may be the beginning of another match;
// when final, no more text comes, and that is len(t).
func (sc *scanner) scan(e *engine, t []byte, final bool) (hold int) {
	sc.found, hold = sc.found[:0], len(t)
	for in := e; in != nil; in = in.recent {
		sc.e = in
		hold = min(hold, sc.literal(t, !final))
		hold = min(hold, sc.decode(t, 0, escAll, !final))
	}
	sc.e = e
	if hold == len(t) {
		return hold
	}
	// A run of backslashes is read in pairs: what is held begins with a whole
	// run, so that it is read again as it was read now.
	for n := 0; hold > 0 && t[hold-1] == '\\' && n < 1<<(maxDepth+1); n++ {
		hold--
	}
	return hold
}

// literal finds patterns in t as it is.
func (sc *scanner) literal(t []byte, live bool) (hold int) {
	for i := range sc.e.banks {
		sc.found = sc.e.banks[i].find(sc.e.pats, t, sc.found)
	}
	if live {
		return sc.e.prefix.hold(t)
	}
	return len(t)
}

// view is a decoded stretch of a text, with what maps its offsets back.
type view struct {
	buf   []byte
	base  int // where in the text buf[0] comes from
	jumps []jump
}

// jump says that buf[at:at+n] stands for text[from:from+len].
type jump struct{ at, n, from, len int32 }

func (v *view) reset(base int) { v.buf, v.jumps, v.base = v.buf[:0], v.jumps[:0], base }

// source is where buf[i] comes from; of an escape, where it begins.
func (v *view) source(i int) int {
	k := v.before(i)
	if k < 0 {
		return v.base + i
	}
	if j := v.jumps[k]; i >= int(j.at+j.n) {
		return int(j.from+j.len-j.at-j.n) + i
	}
	return int(v.jumps[k].from)
}

// before is the last jump at or before buf[i], or -1.
func (v *view) before(i int) int {
	return sort.Search(len(v.jumps), func(k int) bool { return int(v.jumps[k].at) > i }) - 1
}

func (v *view) jump(at, n, from, length int) {
	v.jumps = append(v.jumps, jump{int32(at), int32(n), int32(from), int32(length)})
}

// sourceEnd is where what buf[i-1] comes from ends.
func (v *view) sourceEnd(i int) int {
	k := v.before(i - 1)
	if k >= 0 && i-1 < int(v.jumps[k].at+v.jumps[k].n) {
		return int(v.jumps[k].from + v.jumps[k].len)
	}
	return v.source(i-1) + 1
}

// back maps the matches found in v, those from sc.found[n:] on, to its text.
func (sc *scanner) back(v *view, n int) {
	for i := n; i < len(sc.found); i++ {
		m := &sc.found[i]
		m.start, m.end = v.source(m.start), v.sourceEnd(m.end)
	}
}

// decode finds what stands behind escapes of the kinds k. Only the stretches
// around escapes that some pattern could have are decoded, each with as much
// unescaped text before and after as a match can have.
func (sc *scanner) decode(t []byte, depth int, k kind, live bool) (hold int) {
	hold = len(t)
	c := cursor{t: t, kinds: k}
	for i := c.next(0); i < len(t); {
		r, n := parse(t[i:], live)
		reach := sc.e.maxLen
		if n >= 0 {
			reach = sc.reach(r, t[i+n:])
		}
		if n == 0 || reach == 0 {
			i = c.next(i + max(n, 1))
			continue
		}
		start := max(0, i-reach)
		end, kinds, open := sc.fill(&c, start, i, depth, live)
		more := live && (open || end == len(t))
		h := sc.look(depth, k, more)
		if open {
			end = len(t)
		}
		if depth == 0 && k == escAll && kinds&(kinds-1) != 0 {
			// Where families mix, a stray sign of one may spoil another: read
			// the stretch again, one family at a time.
			n := len(sc.found)
			h = min(h, start+sc.separately(t[start:end], kinds, more))
			for j := n; j < len(sc.found); j++ {
				sc.found[j].start += start
				sc.found[j].end += start
			}
		}
		if more {
			hold = min(hold, h) // elsewhere h is the stretch's end
		}
		i = c.next(end)
	}
	return hold
}

// look searches the view at a depth, and what its own escapes decode to.
func (sc *scanner) look(depth int, k kind, live bool) (hold int) {
	v := &sc.views[depth]
	n := len(sc.found)
	hold = sc.literal(v.buf, live)
	if depth+1 < maxDepth {
		hold = min(hold, sc.decode(v.buf, depth+1, k, live))
	}
	sc.back(v, n)
	return v.source(hold)
}

// separately decodes t once for each family among kinds.
func (sc *scanner) separately(t []byte, kinds kind, live bool) (hold int) {
	hold = len(t)
	for k := escPercent; k < escAll; k <<= 1 {
		if kinds&k == 0 {
			continue
		}
		hold = min(hold, sc.decode(t, 0, k, live))
	}
	return hold
}

// fill decodes the stretch of c's text from start on, whose first escape is at
// i. The stretch ends when no escape that may match was met for the length of
// the longest pattern, or, open, before an escape that the text cuts off.
func (sc *scanner) fill(c *cursor, start, i, depth int, live bool) (end int, kinds kind, open bool) {
	t, v := c.t, &sc.views[depth]
	v.reset(start)
	pos := start
	end = i + 1
	for i < end {
		v.buf = append(v.buf, t[pos:i]...)
		r, n := parse(t[i:], live)
		switch {
		case n == partial:
			return i, kinds | leadKind[t[i]], true
		case n == 0:
			v.buf = append(v.buf, t[i])
			n = 1
		default:
			at := len(v.buf)
			v.buf = appendRune(v.buf, r)
			v.jump(at, len(v.buf)-at, i, n)
			if reach := sc.reach(r, t[i+n:]); reach > 0 {
				kinds |= leadKind[t[i]]
				end = max(end, i+n+reach)
			}
		}
		pos = i + n
		end = min(max(end, pos), len(t))
		i = c.next(pos)
	}
	v.buf = append(v.buf, t[pos:end]...)
	return end, kinds, false
}

// reach is how far from an escape for r a match can extend in the text that is
// not escaped: the length of the longest pattern with r; of any, when r and what
// follows it may be an escape in turn; 0 when no match can have r.
func (sc *scanner) reach(r rune, rest []byte) int {
	switch {
	case r == '&' || r == '%' || r == '\\':
		if len(rest) == 0 || rest[0] > ' ' {
			return sc.e.maxLen
		}
	case r < 0 || r >= utf8.RuneSelf:
		var b [4]byte
		return sc.e.reach[appendRune(b[:0], r)[0]]
	}
	return sc.e.reach[r]
}

// cursor finds the leads of escapes in t, left to right.
type cursor struct {
	t     []byte
	kinds kind
	at    [3]int // the next lead of each family; valid from the position it was asked for
	known bool
}

// next is the first lead at or after from, len(t) when there is none. Calls
// have to be made with growing positions.
func (c *cursor) next(from int) int {
	if from < len(c.t) && leadKind[c.t[from]]&c.kinds != 0 {
		return from // escapes in a row: spare the search
	}
	first := len(c.t)
	for k, lead := range [...]byte{'%', '\\', '&'} {
		if c.kinds&leadKind[lead] == 0 {
			continue
		}
		if !c.known || c.at[k] < from {
			c.at[k] = len(c.t)
			if i := bytes.IndexByte(c.t[from:], lead); i >= 0 {
				c.at[k] = from + i
			}
		}
		first = min(first, c.at[k])
	}
	c.known = true
	return first
}
