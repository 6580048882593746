package deltas

import (
	"cmp"
	"slices"
	"strings"
)

// frame is an event, or a line.
type frame struct {
	raw     []byte
	plain   []byte // where the texts are that had escapes
	pieces  []piece
	waiting int // how many views have an undecided part of it
}

// piece is one text of a frame: a string's inside, or a stretch of a line.
type piece struct {
	frame      *frame
	start, end int    // in frame.raw
	text       []byte // what it says
	escaped    bool   // raw has escapes, which text has undone
	quoted     bool   // it stands in quotes: what is put in is escaped
	covers     []cover
	views      []*view // that have an undecided part of it
}

// cover is a stretch of a piece's text that does not leave.
type cover struct {
	start, end int
	mark       string // what stands there; of a place that goes on from another piece, nothing
}

func (f *frame) reset() {
	*f = frame{raw: f.raw[:0], plain: f.plain[:0], pieces: f.pieces[:0]}
}

// add makes a piece, in the memory of one of an earlier use.
func (f *frame) add(start, end int) *piece {
	n := len(f.pieces)
	if n == cap(f.pieces) {
		f.pieces = append(f.pieces, piece{})
	}
	f.pieces = f.pieces[:n+1]
	p := &f.pieces[n]
	*p = piece{frame: f, start: start, end: end, text: f.raw[start:end], covers: p.covers[:0], views: p.views[:0]}
	return p
}

// The reasons for which something is withheld.
const (
	tooLarge    = "[withheld: the event is too large to be looked through]"
	tooDeep     = "[withheld: the event's JSON is nested too deep]"
	tooMany     = "[withheld: the event has too many texts]"
	tooManyOpen = "[withheld: too many texts come at once]"
	undecided   = "[withheld: this may be a part of a secret]"
)

// withhold puts a reason in the place of all that the frame says.
func (f *frame) withhold(why string, line bool) {
	f.reset()
	f.raw = append(f.raw, "data: "+why+"\n\n"...)
	if line {
		f.raw = append(f.raw[:0], `"`+why+"\"\n"...)
	}
}

// render appends the frame as it leaves.
func (f *frame) render(out []byte) []byte {
	pos := 0
	for i := range f.pieces {
		p := &f.pieces[i]
		if len(p.covers) == 0 {
			continue
		}
		out = append(out, f.raw[pos:p.start]...)
		out = p.render(out)
		pos = p.end
	}
	return append(out, f.raw[pos:]...)
}

// render appends the piece without what is covered. Around that, its bytes stay
// as they were written.
func (p *piece) render(out []byte) []byte {
	covers := p.merged()
	raw := p.frame.raw[p.start:p.end]
	for i, at := 0, 0; i < len(raw); {
		n, said := 1, 1
		if p.escaped && raw[i] == '\\' {
			n, said = unescape(nil, raw[i:])
		}
		for len(covers) > 0 && covers[0].end <= at {
			covers = covers[1:]
		}
		if len(covers) > 0 && covers[0].start < at+said {
			if covers[0].mark != "" {
				out = append(out, p.escapeMark(covers[0].mark)...)
				covers[0].mark = ""
			}
		} else {
			out = append(out, raw[i:i+n]...)
		}
		i, at = i+n, at+said
	}
	return out
}

// merged sorts the covers; those that overlap become one.
func (p *piece) merged() []cover {
	slices.SortStableFunc(p.covers, func(a, b cover) int { return cmp.Or(a.start-b.start, b.end-a.end) })
	all := p.covers[:1]
	for _, c := range p.covers[1:] {
		last := &all[len(all)-1]
		if c.start >= last.end {
			all = append(all, c)
			continue
		}
		last.end, last.mark = max(last.end, c.end), cmp.Or(last.mark, c.mark)
	}
	return all
}

// escapeMark writes a mark as a piece of JSON, where it has to be.
func (p *piece) escapeMark(m string) string {
	if !p.quoted || !strings.ContainsAny(m, `\"`) {
		return m
	}
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(m)
}
