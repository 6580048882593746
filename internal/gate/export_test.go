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
	for _, l := range leaves(doc) {
		out = append(out, Leaf{l.pointer, l.text, l.start, l.end})
	}
	return out
}

// Fits and Spelled are the two other functions on leaves.
var (
	Fits    = fits
	Spelled = spelled
)

// PlaceIn says where in a document a secret stands.
var PlaceIn = placeIn
