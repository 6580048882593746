package deltas

import (
	"bytes"
	"container/list"
	"slices"

	"sallyport.dev/internal/scrub"
)

// What waits although nothing goes on.
const (
	patience = 32 // frames that wait for a text that may have ended by chance as a secret begins
	chance   = 4  // so few bytes are chance, whatever they were made of
	word     = 8  // so few are, at the end of one text: an ordinary word may be
)

// lazy is for views that have much in hand: they are read again only when a
// part of it, one in so many, has come; else many small texts would cost the
// square of their number.
const lazy = 128

// channels are all views of a stream, by channel.
type channels struct {
	set    *scrub.Set
	dec    *scrub.Stream // what decides; between two calls it holds nothing
	sink   sink
	text   []byte
	known  [512]verdict
	whole  map[uint64]*view // of a whole text: all that each channel says
	order  []*view          // those, by what came first
	open   map[uint64]*view
	unsure *list.List // views that may be let go, the one that came last at the end
	count  int
	spare  []*view
	report scrub.Report
}

func (c *channels) init(s *scrub.Set) {
	c.set, c.open, c.unsure = s, map[uint64]*view{}, list.New()
	c.dec = s.FixedStream(&c.sink)
}

// feed adds a piece to its channels.
func (c *channels) feed(p *piece, keys []uint64) {
	if c.whole != nil {
		c.collect(p, keys)
		return
	}
	var views [4]*view
	var lone [4]uint64
	n, alone := 0, lone[:0]
	full := !c.room(len(keys))
	for _, k := range keys {
		v := c.open[k]
		switch {
		case v == nil:
			alone = append(alone, k)
			continue
		case slices.Contains(views[:n], v):
			continue
		case slices.ContainsFunc(v.keys, func(k uint64) bool { return !slices.Contains(keys, k) }):
			v = c.split(v, keys)
		}
		views[n] = v
		n++
	}
	if len(alone) > 0 {
		v := c.make()
		v.keys = append(v.keys, alone...)
		views[n] = v
		n++
	}
	var like *view
	for i, v := range views[:n] {
		clean := c.push(v, p)
		if full && len(alone) > 0 && i == n-1 {
			v.withhold(nil, tooManyOpen)
			v.held = v.held[:0]
		}
		switch {
		case len(v.held) == 0:
			c.close(v)
		case clean && len(v.held) <= len(p.text) && like == nil:
			like = v
			c.keep(v)
		case clean && like != nil && len(v.held) == len(like.held):
			// Both have the same end of the same piece in hand.
			for _, k := range v.keys {
				c.open[k] = like
			}
			like.keys = append(like.keys, v.keys...)
			v.keys = v.keys[:0]
			c.close(v)
		default:
			c.keep(v)
		}
	}
}

// split gives those of v's channels that are among keys a view of their own.
func (c *channels) split(v *view, keys []uint64) *view {
	w := c.make()
	w.held, w.under, w.late = append(w.held, v.held...), v.under, v.late
	for _, r := range v.refs {
		w.add(r)
	}
	rest := v.keys[:0]
	for _, k := range v.keys {
		if slices.Contains(keys, k) {
			w.keys = append(w.keys, k)
			c.open[k] = w
		} else {
			rest = append(rest, k)
		}
	}
	v.keys = rest
	return w
}

// push reads what v holds together with p, and says whether nothing was found
// there.
func (c *channels) push(v *view, p *piece) bool {
	if v.late+len(p.text) < len(v.held)/lazy && len(v.held) < maxHeld {
		v.held = append(v.held, p.text...)
		v.late += len(p.text)
		v.add(ref{p, 0, len(p.text)})
		return true
	}
	t := p.text
	if len(v.held) > 0 {
		c.text = append(append(c.text[:0], v.held...), p.text...)
		t = c.text
	}
	v.add(ref{p, 0, len(p.text)})
	return c.settle(v, t)
}

// settle decides as much as can be decided of t, all that v has in hand.
func (c *channels) settle(v *view, t []byte) (clean bool) {
	v.late = 0
	held, clean := c.look(t)
	if !clean {
		c.cover(v, t, c.sink.b)
	}
	v.pass(len(t)-held, !clean && covered(t, c.sink.b, len(t)-held-1))
	if held > maxHeld {
		v.withhold(nil, undecided)
		held = 0
	}
	v.held = append(v.held[:0], t[len(t)-held:]...)
	v.sure = held >= word || held >= chance && len(v.refs) > 1
	return clean
}

// look reads a text: how much of its end may be the beginning of a secret, and
// whether nothing was found; what was is written over in sink. That depends on
// the text alone, and much of a stream says the same again and again.
func (c *channels) look(t []byte) (held int, clean bool) {
	var known *verdict
	if len(t) <= 64 {
		h := hash(t)
		if known = &c.known[h%uint64(len(c.known))]; known.of == h && h != 0 {
			return known.held, true
		}
		*known = verdict{of: h}
	}
	c.sink.b = c.sink.b[:0]
	_, _ = c.dec.Write(t) // a sink never fails
	held = c.dec.Held()
	_ = c.dec.Flush()
	clean = bytes.Equal(c.sink.b, t)
	if known != nil {
		if known.held = held; !clean {
			known.of = 0
		}
	}
	return held, clean
}

// verdict is what was found out about a text in which there is no secret, by the
// text's hash.
type verdict struct {
	of   uint64
	held int
}

func covered(t, out []byte, i int) bool { return i >= 0 && t[i] != out[i] }

// cover marks in the pieces what differs in out, which is as long as t.
func (c *channels) cover(v *view, t, out []byte) {
	at := place{}
	for i := 0; i < len(t); i++ {
		if t[i] == out[i] {
			continue
		}
		end := i + 1
		// An asterisk within the place was written over with one.
		for end < len(t) && (t[end] != out[end] || t[end] == '*' && end+1 < len(t) && t[end+1] != out[end+1]) {
			end++
		}
		v.cover(span{i, end}, func() string { return c.mark(t[i:end]) }, i == 0 && v.under, &at)
		i = end
	}
}

// mark is what is shown in the place of a secret, as package scrub shows it.
func (c *channels) mark(place []byte) string {
	names := c.set.Contains(place)
	if len(names) == 0 || names[0] == "secret" {
		names = []string{"secret"}
	}
	c.report.Add(scrub.Report{Hits: []scrub.Hit{{Name: names[0], Count: 1}}})
	if names[0] == "secret" {
		return "[secret]"
	}
	return "[secret:" + names[0] + "]"
}

// decide lets go of what is undecided in a frame, which then doesn't wait: what
// may be chance as it is, the rest withheld, but that only when it must. The
// views keep what they have in hand: what follows is still found.
func (c *channels) decide(f *frame, must bool) {
	for i := range f.pieces {
		p := &f.pieces[i]
		for j := len(p.views) - 1; j >= 0; j-- { // what is let go is taken out
			v := p.views[j]
			switch {
			case !v.sure:
				v.letGo(f)
			case must:
				v.withhold(f, undecided)
			}
		}
	}
}
