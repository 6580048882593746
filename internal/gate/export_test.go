package gate

// Pointer is tested by itself: what it finds says whether a write was applied.
var Pointer = pointer

// Leaf is a leaf as tests see it.
type Leaf struct {
	Pointer, Text string
	Start, End    int
}

// Leaves lists the leaves of a JSON text.
func Leaves(doc []byte) (out []Leaf) {
	t := parse(doc)
	for _, l := range t.leaves {
		out = append(out, Leaf{t.pointer(l.node), l.text, l.start, l.end})
	}
	return out
}

// Fits asks whether a pattern means the place of the n-th leaf.
func Fits(pattern string, doc []byte, n int) bool {
	t := parse(doc)
	return t.fits(pattern, t.leaves[n].node)
}

// Parse reads a JSON text and forgets it.
func Parse(doc []byte) { _ = parse(doc) }

// Spelled writes strings plainly.
var Spelled = spelled

// PlaceIn says where in a document a secret stands.
var PlaceIn = placeIn
