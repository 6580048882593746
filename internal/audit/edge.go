package audit

import (
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// edge is the right edge of a log's tree (RFC 6962): the roots of the complete
// subtrees that make it up, one for each bit of its size. It is all that an
// append and the tree's root need. An edge is a value: adding to it makes a
// new one and leaves the old one as it was, so that undoing is keeping the old.
type edge struct {
	size int64
	top  *subtree // the smallest, rightmost one
}

type subtree struct {
	hash tlog.Hash
	left *subtree // the next larger one, or nil
}

// add gives the edge with one more leaf, and stored with the hashes that the
// leaf completes, in the order of tlog's stored-hash indexes.
func (e edge) add(leaf tlog.Hash, stored []tlog.Hash) (edge, []tlog.Hash) {
	h, left := leaf, e.top
	stored = append(stored, h)
	for range bits.TrailingZeros64(uint64(e.size) + 1) { // each 1 at the end of size is a subtree that is complete now
		h = tlog.NodeHash(left.hash, h)
		left = left.left
		stored = append(stored, h)
	}
	return edge{size: e.size + 1, top: &subtree{h, left}}, stored
}

// root is the tree's hash; that of an empty tree is never asked for, because a
// log begins with its first entry.
func (e edge) root() tlog.Hash {
	if e.top == nil {
		return tlog.Hash{}
	}
	h := e.top.hash
	for s := e.top.left; s != nil; s = s.left {
		h = tlog.NodeHash(s.hash, h)
	}
	return h
}

// edgeIndexes lists where the subtrees of a tree of n leaves are stored, the
// largest first.
func edgeIndexes(n int64) []int64 {
	var out []int64
	for level := bits.Len64(uint64(n)) - 1; level >= 0; level-- {
		if n>>level&1 == 1 {
			out = append(out, tlog.StoredHashIndex(level, n>>level-1))
		}
	}
	return out
}

// edgeOf is the edge of a tree of n leaves from the hashes at edgeIndexes(n).
func edgeOf(n int64, hashes []tlog.Hash) edge {
	e := edge{size: n}
	for _, h := range hashes {
		e.top = &subtree{h, e.top}
	}
	return e
}
