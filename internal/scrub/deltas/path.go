package deltas

// name gives every node the hashes of its path: exact with its place, its index
// or else its id, and without them. A place in a list is not counted where an
// index is beside it, which says more: systems leave out choices that say nothing.
func (t *tree) name(root uint64) {
	for i := range t.nodes {
		n := &t.nodes[i]
		if i == 0 {
			n.exact, n.path = root, byPath
			continue
		}
		up := &t.nodes[n.parent]
		step := n.name
		if n.path = mix(up.path, step); up.list {
			if n.path = mix(up.path, inList); n.index == 0 && n.parent != 0 {
				step = uint64(n.pos)
			} else {
				step = inList
			}
		}
		n.exact = mix(up.exact, step)
		switch {
		case n.index != 0:
			n.exact = mix(n.exact, n.index)
		case n.id != 0:
			n.exact = mix(n.exact, n.id)
		}
	}
}

// keys are the channels of a leaf: the exact one, that of its path, of its name.
func (t *tree) keys(l *leaf) keys {
	n := &t.nodes[l.node]
	if n.list {
		return keysOf(mix(n.exact, uint64(l.pos)), mix(n.path, inList), mix(byName, l.name))
	}
	if l.past {
		return keysOf(mix(mix(n.exact, byName), l.name)) // in the others it would come between
	}
	return keysOf(mix(n.exact, l.name), mix(n.path, l.name), mix(byName, l.name))
}
