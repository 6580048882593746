package origin

// automaton finds all of its patterns in one pass over a text (Aho and Corasick).
type automaton struct {
	class   [256]uint8
	classes int
	next    []int32 // by state and class
	ends    []int32 // by state: the pattern that ends there, or -1
	shorter []int32 // by state: where the next shorter pattern ends, or 0
	lengths []int32 // by pattern
}

// maxPrefix is how much of a pattern the automaton has. The rest is compared.
const maxPrefix = 64

// newAutomaton makes one of patterns that are all different in their prefixes, and
// not empty.
func newAutomaton(patterns []string) *automaton {
	a := &automaton{classes: 1} // 0: a byte that no pattern has
	for _, p := range patterns {
		for i := range len(p) {
			if c := &a.class[p[i]]; *c == 0 && a.classes < 256 {
				*c = uint8(a.classes)
				a.classes++
			}
		}
	}
	a.state()
	for i, p := range patterns {
		at := int32(0)
		for k := range len(p) {
			edge := int(at)*a.classes + int(a.class[p[k]])
			if a.next[edge] == 0 {
				a.next[edge] = a.state()
			}
			at = a.next[edge]
		}
		a.ends[at] = int32(i)
		a.lengths = append(a.lengths, int32(len(p)))
	}
	a.link()
	return a
}

func (a *automaton) state() int32 {
	a.next = append(a.next, make([]int32, a.classes)...)
	a.ends = append(a.ends, -1)
	a.shorter = append(a.shorter, 0)
	return int32(len(a.ends) - 1)
}

// link completes the edges, in the order of the states' depths.
func (a *automaton) link() {
	fail := make([]int32, len(a.ends))
	var queue []int32
	for _, s := range a.next[:a.classes] {
		if s != 0 {
			queue = append(queue, s)
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		s := queue[0]
		f := fail[s]
		if a.shorter[s] = f; a.ends[f] < 0 {
			a.shorter[s] = a.shorter[f]
		}
		for c := range a.classes {
			to, other := &a.next[int(s)*a.classes+c], a.next[int(f)*a.classes+c]
			if *to == 0 {
				*to = other
				continue
			}
			fail[*to] = other
			queue = append(queue, *to)
		}
	}
}

// find visits the patterns in t, until visit returns false.
func (a *automaton) find(t []byte, visit func(pattern, from, to int) bool) {
	s := int32(0)
	for i, c := range t {
		s = a.next[int(s)*a.classes+int(a.class[c])]
		for e := s; e != 0; e = a.shorter[e] {
			if p := a.ends[e]; p >= 0 && !visit(int(p), i+1-int(a.lengths[p]), i+1) {
				return
			}
		}
	}
}
