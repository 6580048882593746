package scrub

import "bytes"

// cursor finds the leads of escapes in t, left to right.
type cursor struct {
	t     []byte
	kinds kind
	// The next lead of each family; before the position that is asked for, it has
	// to be looked for again.
	percent, backslash, entity int
}

func newCursor(t []byte, k kind) cursor {
	c := cursor{t, k, len(t), len(t), len(t)}
	if k&escPercent != 0 {
		c.percent = -1
	}
	if k&escBackslash != 0 {
		c.backslash = -1
	}
	if k&escEntity != 0 {
		c.entity = -1
	}
	return c
}

// next is the first lead at or after from, len(t) when there is none. Calls
// have to be made with growing positions.
func (c *cursor) next(from int) int {
	if c.percent < from {
		c.percent = c.find('%', from)
	}
	if c.backslash < from {
		c.backslash = c.find('\\', from)
	}
	if c.entity < from {
		c.entity = c.find('&', from)
	}
	return min(c.percent, c.backslash, c.entity)
}

// find is the next lead of a family, but for those that surely begin no escape:
// before a blank, and of a row all but the last.
func (c *cursor) find(lead byte, from int) int {
	for from < len(c.t) {
		if c.t[from] != lead {
			i := bytes.IndexByte(c.t[from:], lead)
			if i < 0 {
				break
			}
			from += i
		}
		t := c.t[from:]
		if !stray(t) || t[1] > ' ' && t[1] != lead {
			return from
		}
		from++
	}
	return len(c.t)
}

// stray reports that no escape begins with t, whatever follows it.
func stray(t []byte) bool {
	if len(t) < 3 {
		return false
	}
	switch c := t[1]; t[0] {
	case '%':
		return c|0x20 != 'u' && unhex[c]|unhex[t[2]] >= notHex
	case '&':
		return c != '#' && !entityStart[int(c&0x7f)<<7|int(t[2]&0x7f)]
	default:
		return afterBackslash[c] == 0 && c != 'u' && c != 'U' && c != 'x' && (c < '0' || c > '3')
	}
}

// nests reports that a lead that was decoded may begin an escape with the text
// after it, of which escapes of the kinds k are decoded too.
func nests(lead byte, rest []byte, k kind) bool {
	if len(rest) < 2 {
		return len(rest) == 0 || rest[0] > ' '
	}
	return rest[0] > ' ' && ((leadKind[rest[0]]|leadKind[rest[1]])&k != 0 || !stray([]byte{lead, rest[0], rest[1]}))
}
