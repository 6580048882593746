package scrub

import "bytes"

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
	if len(v.jumps) == 0 {
		return
	}
	n := len(sc.found)
	for in := e; in != nil; in = in.recent {
		sc.e = in
		sc.literal(v.buf, false)
		sc.decode(v.buf, 0, escAll, false)
	}
	sc.e = e
	sc.packedLines(t, v, &budget)
	sc.back(v, n)
}

// strip fills v with t without white space, be it plain or escaped.
func (v *view) strip(t []byte) {
	v.reset(0)
	from := 0
	for i := 0; i < len(t); {
		if !blankLead[t[i]] {
			i++
			continue
		}
		n := blank(t, i)
		if n == 0 {
			i++
			continue
		}
		begin := i
		for n > 0 {
			i += n
			n = blank(t, i)
		}
		v.buf = append(v.buf, t[from:begin]...)
		v.jump(len(v.buf), 0, begin, i-begin)
		from = i
	}
	v.buf = append(v.buf, t[from:]...)
}

// blank is the length of the white space at t[i:]: a plain character, or a
// line end or tab behind backslashes (any number: JSON in JSON), in percent or
// as an entity. An escaped space stays: it belongs to a value more often.
func blank(t []byte, i int) int {
	if i == len(t) || !blankLead[t[i]] {
		return 0
	}
	switch c := t[i]; c {
	case '\\':
		n := 1
		for i+n < len(t) && t[i+n] == '\\' {
			n++
		}
		if i+n < len(t) && (t[i+n] == 'n' || t[i+n] == 'r' || t[i+n] == 't') {
			return n + 1
		}
		return 0
	case '%', '&':
		for _, s := range [...]string{"%0A", "%0D", "%0a", "%0d", "&#10;", "&#13;", "&#xA;", "&#xD;", "&#xa;", "&#xd;"} {
			if bytes.HasPrefix(t[i:], []byte(s)) {
				return len(s)
			}
		}
		return 0
	}
	return 1
}

var blankLead = [256]bool{' ': true, '\t': true, '\n': true, '\r': true, '\f': true, '\v': true, '\\': true, '%': true, '&': true}
