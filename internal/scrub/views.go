package scrub

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// maxDepth is how many escapes around a character are undone: three layers, as
// of JSON in JSON in JSON, and one for escapes that the secret itself has.
const maxDepth = 4

// scanner finds all matches in one text. It is scratch space: not for use by
// two goroutines, and reused to save allocations.
type scanner struct {
	finder
	e     *engine
	views [maxDepth + 1]view
	pack  pack
}

// scan looks at t itself and at its decoded views. It leaves the matches in
// sc.found and returns from where on t may be the beginning of another match;
// when final, no more text comes, and that is len(t).
func (sc *scanner) scan(e *engine, t []byte, final bool) (hold int) {
	sc.found = sc.found[:0]
	hold = sc.search(e, t, !final)
	// A run of backslashes is read in pairs: what is held begins with a whole
	// run, so that it is read again as it was read now.
	for n := 0; hold > 0 && hold < len(t) && t[hold-1] == '\\' && n < 1<<(maxDepth+1); n++ {
		hold--
	}
	return hold
}

// search adds the matches in t, with the patterns of e and its recent ones.
func (sc *scanner) search(e *engine, t []byte, live bool) (hold int) {
	hold = len(t)
	for in := e; in != nil; in = in.recent {
		sc.e = in
		hold = min(hold, sc.literal(t, live))
		hold = min(hold, sc.decode(t, 0, escAll, live))
	}
	sc.e = e
	return hold
}

// literal finds patterns in t as it is.
func (sc *scanner) literal(t []byte, live bool) (hold int) {
	for i := range sc.e.banks {
		sc.find(&sc.e.banks[i], &sc.e.pats, t)
	}
	if live {
		return sc.e.hold(t)
	}
	return len(t)
}

// decode finds what stands behind escapes of the kinds k. Only the stretches
// around escapes that some pattern could have are decoded, each with as much
// unescaped text before and after as a match can have.
func (sc *scanner) decode(t []byte, depth int, k kind, live bool) (hold int) {
	hold = len(t)
	c := newCursor(t, k)
	alone := farFrom // from where on what stands before an escape is what it seems
	for i := c.next(0); i < len(t); {
		r, n := parse(t[i:], live)
		reach := sc.e.maxLen
		if n >= 0 {
			reach = sc.reach(r, t[i+n:], k)
		}
		if n == 0 || reach == 0 || n > 0 && i >= alone && sc.e.signs.ruleOut(t, i, n, r, k) {
			alone = max(alone, i+shadow(t, i, n, r))
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
		alone = end + farFrom
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
	v.back(sc.found[n:])
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
	v.reset()
	pos := start
	end = i + 1
	for i < end {
		v.copy(t, pos, i)
		r, n := parse(t[i:], live)
		switch {
		case n == partial:
			return i, kinds | leadKind[t[i]], true
		case n == 0:
			n = 1
			v.copy(t, i, i+1)
		default:
			v.put(r, i, n)
			kinds |= leadKind[t[i]]
			if reach := sc.reach(r, t[i+n:], c.kinds); reach > 0 {
				end = max(end, i+n+reach)
			}
		}
		pos = i + n
		if kinds&leadKind[t[i]] != 0 {
			pos, end = sc.row(v, t, pos, end, t[i])
		}
		end = min(max(end, pos), len(t))
		if i = pos; i == len(t) || leadKind[t[i]]&c.kinds == 0 {
			i = c.next(pos) // else escapes stand in a row
		}
	}
	v.copy(t, pos, end)
	return end, kinds, false
}

// row goes on decoding at pos for as long as the escapes are the simplest of
// their kind: %41 of no lead, or backslashes in pairs. It returns where it ended,
// and where the stretch does.
func (sc *scanner) row(v *view, t []byte, pos, end int, lead byte) (at, far int) {
	if pos >= end || pos+3 > len(t) || t[pos] != lead {
		return pos, end
	}
	if lead == '\\' {
		n := (backslashes(t[pos:]) - 1) / 2 // the last pair may be one with what follows
		if n == 0 {
			return pos, end
		}
		v.segment(pos, 1, 2)
		v.buf = append(v.buf, t[pos:pos+n]...)
		v.next = pos + 2*n
		return v.next, max(end, v.next+sc.e.maxLen)
	}
	for ; lead == '%' && pos < end && pos+3 <= len(t) && t[pos] == lead; pos += 3 {
		high, low := unhex[t[pos+1]], unhex[t[pos+2]]
		c := high<<4 | low
		if high|low >= notHex || c >= utf8.RuneSelf || leadKind[c] != 0 {
			break
		}
		v.segment(pos, 1, 3)
		v.next = pos + 3
		v.buf = append(v.buf, c)
		if n := sc.e.reach[c]; n > 0 {
			end = max(end, pos+3+n)
		}
	}
	return pos, end
}

// backslashes is how many t begins with.
func backslashes(t []byte) int {
	n := 0
	for ; n+8 <= len(t); n += 8 {
		if d := binary.LittleEndian.Uint64(t[n:]) ^ '\\'*ones; d != 0 {
			return n + bits.TrailingZeros64(d)/8
		}
	}
	for n < len(t) && t[n] == '\\' {
		n++
	}
	return n
}

// reach is how far from an escape for r a match can extend in the text that is
// not escaped: the length of the longest pattern with r; of any, when r and what
// follows it may be an escape in turn; 0 when no match can have r.
func (sc *scanner) reach(r rune, rest []byte, k kind) int {
	if r < 0 || r >= utf8.RuneSelf {
		var b [4]byte
		return sc.e.reach[appendRune(b[:0], r)[0]]
	}
	if leadKind[r] != 0 && nests(byte(r), rest, k) {
		return sc.e.maxLen
	}
	return sc.e.reach[r]
}
