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
	defer e.release(sc, len(b))
	sc.scanWhole(e, b)
	if len(sc.found) == 0 {
		return b, Report{}
	}
	r := redaction{fixed: fixed}
	out := r.apply(nil, e, b, sc.found, len(b))
	return out, r.report()
}

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
	fixed   bool    // the length stays: asterisks instead of a mark
	covered int     // how many bytes at the start belong to a place that was replaced
	e       *engine // whose secrets are counted here
	counted []int32 // the secrets for which that place was counted
	counts  []int   // by secret
	before  Report  // what was counted with other engines
}

// report says what was replaced so far.
func (r *redaction) report() Report {
	var all Report
	all.Add(r.before)
	for i, n := range r.counts {
		if n > 0 {
			all.count(r.e.names[i], n)
		}
	}
	return all
}

// use counts for the secrets of e from now on.
func (r *redaction) use(e *engine) {
	if r.e == e {
		return
	}
	// For whom the place in hand was counted is known by the name.
	var counted []int32
	for _, old := range r.counted {
		if i := slices.Index(e.names, r.e.names[old]); i >= 0 {
			counted = append(counted, int32(i))
		}
	}
	r.before, r.counted = r.report(), counted
	r.e, r.counts = e, make([]int, len(e.names))
}

// count counts a place for a secret, once for all secrets of one name.
func (r *redaction) count(secret int32) {
	for _, c := range r.counted {
		if c == secret || r.e.names[c] == r.e.names[secret] {
			return
		}
	}
	r.counted = append(r.counted, secret)
	r.counts[secret]++
}

// cover writes over t[start:end], of which what is before lim leaves now.
func (r *redaction) cover(out []byte, start, end, lim int) []byte {
	if !r.fixed {
		return out
	}
	return append(out, bytes.Repeat([]byte{'*'}, max(0, min(end, lim)-start))...)
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
	if len(found) > 0 {
		r.use(e)
	}
	slices.SortFunc(found, func(a, b match) int {
		if a.start != b.start {
			return a.start - b.start
		}
		return cmp.Or(b.end-a.end, int(a.secret-b.secret))
	})
	start, end := 0, r.covered // the place in hand
	for _, m := range found {
		if m.start >= end {
			if m.start >= lim {
				break
			}
			out = append(r.cover(out, start, end, lim), t[end:m.start]...)
			if !r.fixed {
				out = append(out, e.marks[m.secret]...)
			}
			start, end, r.counted = m.start, m.end, r.counted[:0]
		}
		end = max(end, m.end)
		r.count(m.secret)
	}
	out = r.cover(out, start, end, lim)
	if end < lim {
		out = append(out, t[end:lim]...)
	}
	r.covered = max(0, end-lim)
	return out
}
