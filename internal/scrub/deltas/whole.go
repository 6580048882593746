package deltas

import (
	"bytes"

	"sallyport.dev/internal/scrub"
)

// Bytes scrubs a whole stream that was kept, as [scrub.Set.Bytes] does a whole
// text: in each channel it finds what [Stream] does and what is seen in whole
// texts only, such as packed data and what is broken up by white space. The
// frames themselves are not scanned as they stand. The result is text itself when
// there is nothing to replace.
func Bytes(s *scrub.Set, contentType string, text []byte) ([]byte, scrub.Report) {
	if s.Len() == 0 {
		return text, scrub.Report{}
	}
	var out sink
	st := NewStream(s, contentType, &out)
	st.chans.whole = map[uint64]*view{}
	_, _ = st.Write(text) // a sink never fails
	_ = st.Close()
	if bytes.Equal(out.b, text) {
		return text, scrub.Report{}
	}
	return out.b, st.Report()
}

// collect adds a piece to all that its channels say.
func (c *channels) collect(p *piece, keys []uint64) {
	for _, k := range keys {
		v := c.whole[k]
		if v == nil {
			v = &view{}
			c.whole[k] = v
			c.order = append(c.order, v)
		}
		v.held = append(v.held, p.text...)
		v.refs = append(v.refs, ref{p, 0, len(p.text)})
	}
	p.frame.waiting++ // for the end
}

// finish reads what was not read yet of what the channels say.
func (c *channels) finish() {
	for _, v := range c.open {
		if v.late > 0 {
			c.text = append(c.text[:0], v.held...)
			c.settle(v, c.text)
		}
	}
	for _, v := range c.order {
		if out, r := c.set.Fixed(v.held); r.Found() {
			c.cover(v, v.held, out)
		}
	}
}
