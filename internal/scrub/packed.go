package scrub

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"io"
)

// Of a complete text, what is packed in it is unpacked and searched as well:
// runs of base64, which may hold text that was escaped, encoded or compressed
// before, and data of gzip and zlib. A place where something is found is hidden
// as a whole.

const (
	maxLayers   = 3       // of packing
	minRun      = 24      // characters of base64; less holds no secret that its own patterns miss
	wrappedLine = 60      // characters of a line from which on the next may continue it
	maxUnpacked = 1 << 20 // bytes that a compressed run may have; more is not read, and hidden
)

// unreadable is whom a place counts for that holds more than is unpacked. It is
// hidden: what can't be searched does not leave.
const unreadable = "unreadable"

// packed finds secrets in what t packs.
func (sc *scanner) packed(t []byte, budget *int, layer int) {
	const least = minRun - 2 // without its padding
	for a := 0; a+least <= len(t); {
		// From the far end: most words are short, and are not read through.
		p := a + least - 1
		for p >= a && inRun[t[p]] {
			p--
		}
		if p >= a {
			a = p + 1
			continue
		}
		b := runEnd(t, a)
		if b-a >= minRun {
			sc.run(t, a, b, budget, layer)
		}
		a = b + 1
	}
	sc.compressed(t, 0, len(t), budget, layer)
}

// packedLines finds secrets in runs of base64 that were wrapped: v is src without
// its white space.
func (sc *scanner) packedLines(src []byte, v *view, budget *int) {
	for k := 0; k < len(v.jumps); k++ {
		at := int(v.jumps[k].at)
		from := 0
		if k > 0 {
			from = int(v.jumps[k-1].at)
		}
		// A line is long enough to be cut, and nothing but base64.
		if at-from < wrappedLine || !v.jumps[k].endsLine(src) || runEnd(v.buf[:at], at-wrappedLine) < at { // of a fixed length
			continue
		}
		for begin := at; ; begin-- { // back to where the run begins, on this line
			if begin == from || !inRun[v.buf[begin-1]] {
				from = begin
				break
			}
		}
		// The lines after it, the first that is shorter included.
		end, cut := at, k
		for ; cut < len(v.jumps) && v.jumps[cut].endsLine(src); cut++ {
			to := len(v.buf)
			if cut+1 < len(v.jumps) {
				to = int(v.jumps[cut+1].at)
			}
			if end = runEnd(v.buf[:to], int(v.jumps[cut].at)); end < to || to-int(v.jumps[cut].at) < at-from {
				break
			}
		}
		if end > at {
			sc.run(v.buf, from, end, budget, 1)
		}
		k = max(k, cut)
	}
}

// endsLine reports whether the white space that a jump leaves out has a line's end.
func (j jump) endsLine(src []byte) bool {
	gap := src[j.from : j.from+j.len]
	for _, eol := range [...]string{"\n", `\n`, "%0A", "%0a", "&#10;", "&#xA;", "&#xa;"} {
		if bytes.Contains(gap, []byte(eol)) {
			return true
		}
	}
	return false
}

// runEnd is where the run of base64 that begins at a ends, its padding included;
// a itself where there is none.
func runEnd(t []byte, a int) int {
	b := a
	for b < len(t) && inRun[t[b]] {
		b++
	}
	for n := 0; n < 2 && b > a && b < len(t) && t[b] == '='; n++ {
		b++
	}
	return b
}

// inRun are the characters of base64, in both alphabets.
var inRun = func() (in [256]bool) {
	for c := range 256 {
		in[c] = alnum(byte(c)) || c == '+' || c == '/' || c == '-' || c == '_'
	}
	return in
}()

// run searches t[a:b], a run of base64 that may begin with up to three characters
// that are not part of it.
func (sc *scanner) run(t []byte, a, b int, budget *int, layer int) {
	plain := bytes.Map(func(r rune) rune {
		switch r {
		case '-':
			return '+'
		case '_':
			return '/'
		}
		return r
	}, bytes.TrimRight(t[a:b], "="))
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(plain)))
	for skip := range 4 {
		in := plain[min(skip, len(plain)):]
		if len(in)%4 == 1 {
			in = in[:len(in)-1]
		}
		n, _ := base64.RawStdEncoding.Decode(out, in) // as far as it goes
		if sc.inner(out[:n], a, b, budget, layer) || sc.compressed(out[:n], a, b, budget, layer) {
			return
		}
	}
}

// compressed searches gzip and zlib data in p, which is at t[a:b] of the text.
func (sc *scanner) compressed(p []byte, a, b int, budget *int, layer int) bool {
	if i := bytes.Index(p, []byte{0x1f, 0x8b, 8}); i >= 0 {
		if r, err := gzip.NewReader(bytes.NewReader(p[i:])); err == nil && sc.unpack(r, a, b, budget, layer) {
			return true
		}
	}
	if len(p) > 2 && p[0] == 0x78 && (uint(p[0])<<8|uint(p[1]))%31 == 0 {
		if r, err := zlib.NewReader(bytes.NewReader(p)); err == nil && sc.unpack(r, a, b, budget, layer) {
			return true
		}
	}
	return false
}

// unpack searches what r gives, up to its limit and its first error.
func (sc *scanner) unpack(r io.Reader, a, b int, budget *int, layer int) bool {
	data, _ := io.ReadAll(io.LimitReader(r, maxUnpacked+1)) // what was cut off is searched as far as it goes
	if len(data) > maxUnpacked {
		*budget -= len(data)
		sc.found = append(sc.found, match{a, b, int32(len(sc.e.names) - 1)})
		return true
	}
	return sc.inner(data, a, b, budget, layer)
}

// inner searches data that t[a:b] stands for, and what that packs in turn.
func (sc *scanner) inner(data []byte, a, b int, budget *int, layer int) bool {
	if *budget -= len(data); *budget < 0 {
		sc.found = append(sc.found, match{a, b, int32(len(sc.e.names) - 1)})
		return true
	}
	in := sc.e.scratch()
	defer sc.e.idle.Put(in)
	in.scan(sc.e, data, true)
	if len(in.found) == 0 && layer < maxLayers {
		in.packed(data, budget, layer+1)
	}
	for _, m := range in.found {
		sc.found = append(sc.found, match{a, b, m.secret})
	}
	return len(in.found) > 0
}

// scratch is a scanner that nobody uses.
func (e *engine) scratch() *scanner {
	if sc, ok := e.idle.Get().(*scanner); ok {
		return sc
	}
	return &scanner{}
}
