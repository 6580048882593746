package scrub

import (
	"bytes"
	"cmp"
	"slices"
)

// Bytes scrubs a complete text, such as an Observation: it finds everything
// that [Set.Stream] finds, and what is broken up by white space. The result is
// b itself when there is nothing to replace; b is never written to.
func (s *Set) Bytes(b []byte) ([]byte, Report) { return s.whole(b, false) }

func (s *Set) whole(b []byte, fixed bool) ([]byte, Report) {
	e := s.engine()
	if e == nil || len(b) == 0 {
		return b, Report{}
	}
	sc := e.scratch()
	if len(b) <= keepUnder {
		defer e.idle.Put(sc)
	}
	sc.scanWhole(e, b)
	if len(sc.found) == 0 {
		return b, Report{}
	}
	r := redaction{fixed: fixed}
	out := r.apply(nil, e, b, sc.found, len(b))
	return out, r.report
}

// keepUnder is from which text's size on scratch space is not worth keeping.
const keepUnder = 1 << 20

// Fixed is [Set.Bytes] for a binary frame, whose lengths must stay true: what is
// found is written over with asterisks.
func (s *Set) Fixed(b []byte) ([]byte, Report) { return s.whole(b, true) }

// String is [Set.Bytes] for a string.
func (s *Set) String(t string) (string, Report) {
	if s.engine() == nil {
		return t, Report{}
	}
	out, r := s.Bytes([]byte(t))
	if !r.Found() {
		return t, r
	}
	return string(out), r
}

// Contains gives the names of the secrets that b holds in any way that
// [Set.Bytes] would find, sorted: the question for what comes from a Worker.
func (s *Set) Contains(b []byte) []string {
	_, r := s.Bytes(b)
	return r.Names()
}

// redaction replaces matches, and carries over from one stretch of a stream to
// the next what has been said already about the bytes in hand.
type redaction struct {
	fixed   bool // the length stays: asterisks instead of a mark
	report  Report
	covered int      // how many bytes at the start belong to a place that was replaced
	counted []string // whom that place was counted for
}

// place is a stretch of text that one replacement stands for.
type place struct {
	start, end int
	counted    []string
}

// cover writes over as much of a place as leaves now.
func (r *redaction) cover(out []byte, p place, lim int) []byte {
	if !r.fixed {
		return out
	}
	return append(out, bytes.Repeat([]byte{'*'}, max(0, min(p.end, lim)-p.start))...)
}

// apply appends t[:lim] to out with every place in it replaced. Matches that
// overlap make one place, shown by the name of the first (the longest of those);
// those that touch make two. A place that begins before lim and ends after it is
// replaced now, and the rest of it is covered when the next stretch, t[lim:] and
// more, comes.
func (r *redaction) apply(out []byte, e *engine, t []byte, found []match, lim int) []byte {
	if lim == 0 {
		return out
	}
	slices.SortFunc(found, func(a, b match) int {
		return cmp.Or(a.start-b.start, b.end-a.end, int(a.secret-b.secret))
	})
	cur := place{end: r.covered, counted: r.counted}
	for _, m := range found {
		if m.start >= cur.end {
			if m.start >= lim {
				break
			}
			out = append(r.cover(out, cur, lim), t[cur.end:m.start]...)
			if !r.fixed {
				out = append(out, e.marks[m.secret]...)
			}
			cur = place{start: m.start, end: m.end}
		}
		cur.end = max(cur.end, m.end)
		if name := e.names[m.secret]; !slices.Contains(cur.counted, name) {
			cur.counted = append(cur.counted, name)
			r.report.count(name, 1)
		}
	}
	out = r.cover(out, cur, lim)
	if cur.end < lim {
		out = append(out, t[cur.end:lim]...)
	}
	r.covered, r.counted = max(0, cur.end-lim), cur.counted
	return out
}
