package scrub

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"sort"
)

// Of a complete text, what is packed in it is unpacked and searched as well:
// runs of base64, which may hold text that was escaped, encoded or compressed
// before, and data of gzip and zlib. A place where something is found is hidden
// as a whole.

const (
	maxLayers   = 3        // of packing
	minRun      = 24       // characters of base64; less holds no secret that its own patterns miss
	maxUnpacked = 1 << 20  // bytes that a compressed run may have; more is not read, and hidden
	packSize    = 64 << 10 // bytes that are unpacked before they are searched
)

// unreadable is whom a place counts for that holds more than is unpacked. It is
// hidden: what can't be searched does not leave.
const unreadable = "unreadable"

// pack is what several runs hold, one after the other: short as most are, they
// are searched together.
type pack struct {
	buf   []byte
	parts []part
}

// part says that pack.buf from at on is what text[a:b] holds.
type part struct{ at, a, b int }

// packed finds secrets in what t packs.
func (sc *scanner) packed(t []byte, budget *int, layer int) {
	sc.runs(t, budget, layer)
	sc.compressed(t, 0, len(t), budget, layer)
}

// runs finds secrets in runs of base64.
func (sc *scanner) runs(t []byte, budget *int, layer int) {
	const least = minRun - 2 // without its padding
	for a := 0; a+least <= len(t); {
		// From the far end: most words are short, and are not read through.
		p := a + least - 1
		for p >= a && sextet[t[p]] != notSextet {
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
	sc.unpacked(budget, layer)
}

// run unpacks t[a:b], a run of base64 that may begin with up to three characters
// that are not part of it.
func (sc *scanner) run(t []byte, a, b int, budget *int, layer int) {
	in := bytes.TrimRight(t[a:b], "=")
	for skip := range min(4, len(in)) {
		from := len(sc.pack.buf)
		sc.pack.buf = unbase64(sc.pack.buf, in[skip:])
		data := sc.pack.buf[from:]
		if *budget -= len(data); *budget < 0 {
			sc.pack.buf = sc.pack.buf[:from]
			sc.hide(a, b)
			return
		}
		if sc.compressed(data, a, b, budget, layer) {
			return
		}
		sc.pack.parts = append(sc.pack.parts, part{from, a, b})
		sc.pack.buf = append(sc.pack.buf, '\n') // between what does not belong together
		if len(sc.pack.buf) >= packSize {
			sc.unpacked(budget, layer)
		}
	}
}

// unpacked searches what was unpacked from runs, and what that packs in turn.
func (sc *scanner) unpacked(budget *int, layer int) {
	parts := sc.pack.parts
	if len(parts) > 0 {
		sc.within(sc.pack.buf, budget, layer, (*scanner).runs, func(m match) {
			k := sort.Search(len(parts), func(k int) bool { return parts[k].at > m.start })
			sc.found = append(sc.found, match{parts[k-1].a, parts[k-1].b, m.secret})
		})
	}
	sc.pack.buf, sc.pack.parts = sc.pack.buf[:0], parts[:0]
}

// within searches data with another scanner, and gives what it finds to each.
func (sc *scanner) within(data []byte, budget *int, layer int, deeper func(*scanner, []byte, *int, int), each func(match)) {
	in := sc.e.scratch()
	in.scan(sc.e, data, true)
	if layer < maxLayers {
		deeper(in, data, budget, layer+1)
	}
	for _, m := range in.found {
		each(m)
	}
	sc.e.release(in, len(data))
}

// hide marks what can't be searched.
func (sc *scanner) hide(a, b int) {
	sc.found = append(sc.found, match{a, b, int32(len(sc.e.names) - 1)})
}

// compressed searches gzip and zlib data in p, which is at t[a:b] of the text.
func (sc *scanner) compressed(p []byte, a, b int, budget *int, layer int) bool {
	if i := bytes.Index(p, []byte{0x1f, 0x8b, 8}); i >= 0 {
		if r, err := gzip.NewReader(bytes.NewReader(p[i:])); err == nil && sc.unzip(r, a, b, budget, layer) {
			return true
		}
	}
	if len(p) > 2 && p[0] == 0x78 && (uint(p[0])<<8|uint(p[1]))%31 == 0 {
		if r, err := zlib.NewReader(bytes.NewReader(p)); err == nil && sc.unzip(r, a, b, budget, layer) {
			return true
		}
	}
	return false
}

// unzip searches what r gives, up to its limit and its first error.
func (sc *scanner) unzip(r io.Reader, a, b int, budget *int, layer int) bool {
	data, _ := io.ReadAll(io.LimitReader(r, maxUnpacked+1)) // what was cut off is searched as far as it goes
	*budget -= len(data)
	if len(data) > maxUnpacked || *budget < 0 {
		sc.hide(a, b)
		return true
	}
	n := len(sc.found)
	sc.within(data, budget, layer, (*scanner).packed, func(m match) {
		sc.found = append(sc.found, match{a, b, m.secret})
	})
	return len(sc.found) > n
}

// scratch is a scanner that nobody uses.
func (e *engine) scratch() *scanner {
	if sc, ok := e.idle.Get().(*scanner); ok {
		return sc
	}
	return &scanner{}
}

// keepUnder is from which text's size on scratch space is not worth keeping.
const keepUnder = 1 << 20

// release gives back a scanner that was used for a text of n bytes.
func (e *engine) release(sc *scanner, n int) {
	if n <= keepUnder {
		e.idle.Put(sc)
	}
}
