package deltas

import "slices"

// place is where in what a view has in hand a part of it begins.
type place struct{ ref, at int }

// cover covers a stretch of what the view has in hand, which begins after pos.
// The mark goes to where it begins, or to the first piece that did not leave, but
// not where a part of the stretch was covered just before.
func (v *view) cover(s span, mark func() string, marked bool, pos *place) {
	for ; pos.ref < len(v.refs); pos.ref++ {
		r := v.refs[pos.ref]
		n := r.to - r.from
		from, to := max(s.start-pos.at, 0), min(s.end-pos.at, n)
		if p := r.piece; from < to && p != nil {
			k := cover{start: r.from + from, end: r.from + to}
			before := p.covers[max(0, len(p.covers)-8):]
			marked = marked || slices.ContainsFunc(before, func(o cover) bool { return o.start < k.end && k.start < o.end })
			if !marked {
				k.mark, marked = mark(), true
			}
			p.covers = append(p.covers, k)
		}
		if s.end < pos.at+n {
			return
		}
		pos.at += n
	}
}

// add takes a part into the hand: its frame waits.
func (v *view) add(r ref) {
	v.refs = append(v.refs, r)
	if r.piece != nil {
		r.piece.views = append(r.piece.views, v)
		r.piece.frame.waiting++
	}
}

// drop is the opposite of add, for the first n parts.
func (v *view) drop(n int) {
	for _, r := range v.refs[:n] {
		if r.piece != nil {
			r.piece.release(v)
		}
	}
	v.refs = slices.Delete(v.refs, 0, n)
}

func (p *piece) release(v *view) {
	if i := slices.Index(p.views, v); i >= 0 {
		p.views = slices.Delete(p.views, i, i+1)
		p.frame.waiting--
	}
}

// pass lets the first n bytes go, which are decided.
func (v *view) pass(n int, under bool) {
	if n == 0 {
		return
	}
	v.under, v.told = under, false
	k := 0
	for k < len(v.refs) && n >= v.refs[k].to-v.refs[k].from {
		n -= v.refs[k].to - v.refs[k].from
		k++
	}
	v.drop(k)
	if n > 0 {
		v.refs[0].from += n
	}
}

// withhold covers what the view has in hand in a frame, or in all, with a reason.
func (v *view) withhold(in *frame, why string) {
	for i, r := range v.refs {
		if r.piece != nil && (in == nil || r.piece.frame == in) {
			if v.told {
				why = ""
			}
			r.piece.covers, v.told = append(r.piece.covers, cover{r.from, r.to, why}), true
			r.piece.release(v)
			v.refs[i].piece = nil
		}
	}
}

func (v *view) letGo(f *frame) {
	for i, r := range v.refs {
		if r.piece != nil && r.piece.frame == f {
			r.piece.release(v)
			v.refs[i].piece = nil
		}
	}
}
