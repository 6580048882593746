package deltas

import "container/list"

// view is what channels have in hand: the end of their text, which may be the
// beginning of a secret. Channels that have the same in hand share a view; one
// that has nothing in hand has none.
type view struct {
	keys []uint64 // of the channels
	held []byte
	refs []ref // where held is
	sure bool  // held is more than chance
	late int   // bytes at the end of held that were not read yet
	told bool  // a part of held was withheld, and said so
	idle *list.Element
	// Whether the byte before held was covered: what follows is the same place.
	under bool
}

// ref is a part of held: text[from:to] of a piece, or of one that left.
type ref struct {
	piece    *piece // nil: it left
	from, to int
}

// room makes place for n more views. When there are too many, the oldest go that
// may hold their bytes by chance; it is false when all others hold more.
func (c *channels) room(n int) bool {
	for c.count+n > maxChannels {
		oldest := c.unsure.Front()
		if oldest == nil {
			return false
		}
		v, _ := oldest.Value.(*view)
		c.close(v)
	}
	return true
}

func (c *channels) make() *view {
	c.count++
	if n := len(c.spare); n > 0 {
		v := c.spare[n-1]
		c.spare = c.spare[:n-1]
		return v
	}
	return &view{}
}

// keep registers a view that has something in hand.
func (c *channels) keep(v *view) {
	for _, k := range v.keys {
		c.open[k] = v
	}
	switch {
	case v.sure && v.idle != nil:
		c.unsure.Remove(v.idle)
		v.idle = nil
	case !v.sure && v.idle == nil:
		v.idle = c.unsure.PushBack(v)
	case !v.sure:
		c.unsure.MoveToBack(v.idle)
	}
}

// close forgets a view: what it has in hand leaves as it is.
func (c *channels) close(v *view) {
	for _, k := range v.keys {
		if c.open[k] == v {
			delete(c.open, k)
		}
	}
	if v.idle != nil {
		c.unsure.Remove(v.idle)
	}
	v.drop(len(v.refs))
	c.count--
	clear(v.held[:cap(v.held)])
	*v = view{keys: v.keys[:0], held: v.held[:0], refs: v.refs[:0]}
	if cap(v.held) <= keep && len(c.spare) < maxQueue {
		c.spare = append(c.spare, v)
	}
}
