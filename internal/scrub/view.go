package scrub

import (
	"sort"
	"unicode/utf8"
)

// view is a decoded stretch of a text, with what maps its offsets back.
type view struct {
	buf  []byte
	segs []segment
	next int // what the last segment goes on with
	step int
}

// segment says that buf from at on is made of units of unit bytes, each of which
// stands for step bytes of the text, the first of them for those from src on. It
// goes on to where the next begins.
type segment struct {
	at, src    int32
	unit, step uint8
}

func (v *view) reset() { v.buf, v.segs, v.next, v.step = v.buf[:0], v.segs[:0], 0, 0 }

// copy adds t[from:to] as it is.
func (v *view) copy(t []byte, from, to int) {
	if from < to {
		v.segment(from, 1, 1)
		v.next = to
		v.buf = append(v.buf, t[from:to]...)
	}
}

// put adds what parse found at src, which is step bytes long.
func (v *view) put(r rune, src, step int) {
	if uint32(r) < utf8.RuneSelf {
		v.segment(src, 1, step)
		v.next = src + step
		v.buf = append(v.buf, byte(r))
		return
	}
	c := appendRune(make([]byte, 0, utf8.UTFMax), r)
	v.segment(src, len(c), step)
	v.step = 0 // it does not go on
	v.buf = append(v.buf, c...)
}

// segment begins one at the end of buf, unless the last just goes on.
func (v *view) segment(src, unit, step int) {
	if src != v.next || step != v.step || unit != 1 {
		v.segs = append(v.segs, segment{int32(len(v.buf)), int32(src), uint8(unit), uint8(step)})
		v.step = step
	}
}

// source is where buf[i] comes from; of an escape, where it begins.
func (v *view) source(i int) int {
	if len(v.segs) == 0 {
		return 0
	}
	s := v.segs[v.at(i)]
	return int(s.src) + (i-int(s.at))/int(s.unit)*int(s.step)
}

// sourceEnd is where what buf[i-1] comes from ends.
func (v *view) sourceEnd(i int) int {
	s := v.segs[v.at(i-1)]
	return int(s.src) + ((i-1-int(s.at))/int(s.unit)+1)*int(s.step)
}

// at is the segment of buf[i].
func (v *view) at(i int) int {
	return max(0, sort.Search(len(v.segs), func(k int) bool { return int(v.segs[k].at) > i })-1)
}

// back maps the matches found in v, those from found[n:] on, to its text.
func (v *view) back(found []match) {
	for i := range found {
		m := &found[i]
		m.start, m.end = v.source(m.start), v.sourceEnd(m.end)
	}
}
