package scrub

import (
	"bytes"
	"slices"
)

// wrappedLine is how many characters a line of base64 has from which on the next
// may continue it.
const wrappedLine = 60

// notSextet marks a byte that is no character of base64.
const notSextet = 0xff

// sextet is the value of a character of base64, in either alphabet.
var sextet = func() (v [256]byte) {
	for c := range v {
		v[c] = notSextet
	}
	const abc = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	for i := range len(abc) {
		v[abc[i]] = byte(i)
	}
	v['+'], v['-'], v['/'], v['_'] = 62, 62, 63, 63
	return v
}()

// runEnd is where the run of base64 that begins at a ends, its padding included;
// a itself where there is none.
func runEnd(t []byte, a int) int {
	b := a
	for b < len(t) && sextet[t[b]] != notSextet {
		b++
	}
	for n := 0; n < 2 && b > a && b < len(t) && t[b] == '='; n++ {
		b++
	}
	return b
}

// unbase64 appends what a run without its padding stands for, in whole bytes.
func unbase64(out, in []byte) []byte {
	out = slices.Grow(out, len(in))
	for ; len(in) >= 4; in = in[4:] {
		x := uint32(sextet[in[0]])<<18 | uint32(sextet[in[1]])<<12 | uint32(sextet[in[2]])<<6 | uint32(sextet[in[3]])
		out = append(out, byte(x>>16), byte(x>>8), byte(x))
	}
	if len(in) >= 2 {
		x := uint32(sextet[in[0]])<<18 | uint32(sextet[in[1]])<<12
		out = append(out, byte(x>>16))
		if len(in) == 3 {
			out = append(out, byte((x|uint32(sextet[in[2]])<<6)>>8))
		}
	}
	return out
}

// packedLines finds secrets in runs of base64 that were wrapped: v is src without
// its white space.
func (sc *scanner) packedLines(src []byte, v *view, budget *int) {
	for k := 1; k < len(v.segs); k++ {
		at, from := int(v.segs[k].at), int(v.segs[k-1].at)
		// A line is long enough to be cut, and nothing but base64.
		if at-from < wrappedLine || !v.endsLine(src, k) || runEnd(v.buf[:at], at-wrappedLine) < at { // of a fixed length
			continue
		}
		for begin := at; ; begin-- { // back to where the run begins, on this line
			if begin == from || sextet[v.buf[begin-1]] == notSextet {
				from = begin
				break
			}
		}
		// The lines after it, the first that is shorter included.
		end, cut := at, k
		for ; cut < len(v.segs) && v.endsLine(src, cut); cut++ {
			to := len(v.buf)
			if cut+1 < len(v.segs) {
				to = int(v.segs[cut+1].at)
			}
			if end = runEnd(v.buf[:to], int(v.segs[cut].at)); end < to || to-int(v.segs[cut].at) < at-from {
				break
			}
		}
		if end > at {
			sc.run(v.buf, from, end, budget, 1)
		}
		k = max(k, cut)
	}
	sc.unpacked(budget, 1)
}

// endsLine reports whether the white space before a segment has a line's end.
func (v *view) endsLine(src []byte, k int) bool {
	s := v.segs[k-1]
	gap := src[s.src+v.segs[k].at-s.at : v.segs[k].src]
	if bytes.IndexByte(gap, '\n') >= 0 {
		return true
	}
	for _, eol := range [...]string{`\n`, "%0A", "%0a", "&#10;", "&#xA;", "&#xa;"} {
		if bytes.Contains(gap, []byte(eol)) {
			return true
		}
	}
	return false
}
