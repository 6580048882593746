package scrub

import (
	"bytes"
	"slices"
)

// scanWhole scans a complete text: as [scanner.scan] does, and once more with
// all white space taken out, for what was wrapped at a line's end, indented,
// spaced, or dumped in groups; both times also in what the text packs. Only a
// complete text allows that: in a stream every space would have to wait for what
// follows.
func (sc *scanner) scanWhole(e *engine, t []byte) {
	sc.scan(e, t, true)
	budget := 16*len(t) + 4*maxUnpacked
	sc.packed(t, &budget, 1)
	v := &sc.views[maxDepth]
	v.strip(t)
	if len(v.buf) == len(t) {
		return
	}
	n := len(sc.found)
	sc.search(e, v.buf, false)
	sc.packedLines(t, v, &budget)
	v.back(sc.found[n:])
}

// stripAtOnce is for how many bytes room is made for the most words that they can
// have: one in every second.
const stripAtOnce = 4096

// strip fills v with t without white space, be it plain or escaped. Every word
// is a segment.
func (v *view) strip(t []byte) {
	v.buf = slices.Grow(v.buf[:0], len(t))[:len(t)]
	n, words := 0, 0
	begins := 1 // 1 when the next character begins a word
	for i := 0; i < len(t); {
		v.segs = slices.Grow(v.segs[:words], stripAtOnce/2+2)
		segs, buf := v.segs[:cap(v.segs)], v.buf
		for end := min(i+stripAtOnce, len(t)); i < end; i++ {
			// Without a branch for each word, since nothing can guess their
			// lengths: all is written, and counts or is written over.
			c := int(blankKind[t[i]])
			if c == maybeBlank {
				size, blank := escapedBlank(t, i)
				if !blank {
					segs[words] = segment{int32(n), int32(i), 1, 1}
					words += begins
					n += copy(buf[n:], t[i:i+size])
					begins = 0
				} else {
					begins = 1
				}
				i += size - 1
				continue
			}
			buf[n] = t[i]
			segs[words] = segment{int32(n), int32(i), 1, 1}
			words += begins &^ c
			n += c ^ 1
			begins = c
		}
	}
	v.buf, v.segs = v.buf[:n], v.segs[:words]
}

// escapedBlank says whether the escape at t[i:] is white space, and how much to
// go on by: a line end or tab behind backslashes (any number: JSON in JSON), in
// percent or as an entity. An escaped space stays: it belongs to a value more
// often.
func escapedBlank(t []byte, i int) (size int, blank bool) {
	if t[i] == '\\' {
		for size = 1; i+size < len(t); size++ {
			switch t[i+size] {
			case '\\':
				continue
			case 'n', 'r', 't':
				return size + 1, true
			}
			return size, false
		}
		return size, false
	}
	if i+1 == len(t) || t[i+1] != '0' && t[i+1] != '#' {
		return 1, false
	}
	for _, s := range [...]string{"%0A", "%0D", "%0a", "%0d", "&#10;", "&#13;", "&#xA;", "&#xD;", "&#xa;", "&#xd;"} {
		if bytes.HasPrefix(t[i:], []byte(s)) {
			return len(s), true
		}
	}
	return 1, false
}

const maybeBlank = 2 // see escapedBlank

// blankKind is 1 for white space.
var blankKind = [256]uint8{' ': 1, '\t': 1, '\n': 1, '\r': 1, '\f': 1, '\v': 1, '\\': maybeBlank, '%': maybeBlank, '&': maybeBlank}
