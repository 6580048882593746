package unknown

// automaton finds words in a text in one pass (Aho and Corasick), in any case.
// It is a table of states by kinds of bytes: one step for each byte, whatever
// the words and the text.
type automaton struct {
	kind   [256]uint8 // of a byte; 0 is in no word
	kinds  int
	next   []uint16  // state*kinds + kind
	output [][]int32 // by state: the words that end there
	length []int     // by word
}

// maxStates is what a uint16 can name.
const maxStates = 1 << 16

// newAutomaton reads the words, which are in lower case. The words' numbers are
// their indexes.
func newAutomaton(words []string) *automaton {
	a := &automaton{kinds: 1}
	for _, w := range words {
		a.length = append(a.length, len(w))
		for i := range len(w) {
			if c := w[i]; a.kind[c] == 0 {
				a.kind[c] = uint8(a.kinds)
				a.kinds++
			}
		}
	}
	for c := 'A'; c <= 'Z'; c++ {
		a.kind[c] = a.kind[c+'a'-'A']
	}
	a.grow()
	for id, w := range words {
		state := 0
		for i := range len(w) {
			k := state*a.kinds + int(a.kind[w[i]])
			if a.next[k] == 0 {
				a.next[k] = uint16(len(a.output))
				a.grow()
			}
			state = int(a.next[k])
		}
		a.output[state] = append(a.output[state], int32(id))
	}
	a.link()
	return a
}

// grow adds a state.
func (a *automaton) grow() {
	if len(a.output) == maxStates {
		panic("unknown: too many words for the automaton")
	}
	a.output = append(a.output, nil)
	a.next = append(a.next, make([]uint16, a.kinds)...)
}

// link turns the tree of words into the automaton: what has no edge goes on
// from the longest proper suffix that is a state.
func (a *automaton) link() {
	fail := make([]uint16, len(a.output))
	var queue []uint16
	for k := range a.kinds {
		if s := a.next[k]; s != 0 {
			queue = append(queue, s)
		}
	}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		f := fail[s]
		a.output[s] = append(a.output[s], a.output[f]...)
		for k := range a.kinds {
			at := int(s)*a.kinds + k
			back := a.next[int(f)*a.kinds+k]
			if t := a.next[at]; t != 0 {
				fail[t] = back
				queue = append(queue, t)
			} else {
				a.next[at] = back
			}
		}
	}
}

// find calls f for every word in t, with where it begins, in the order of where
// they end.
func (a *automaton) find(t []byte, f func(word int32, start int)) {
	state, kinds := 0, a.kinds
	for i, c := range t {
		state = int(a.next[state*kinds+int(a.kind[c])])
		for _, w := range a.output[state] {
			f(w, i+1-a.length[w])
		}
	}
}

// in reports whether t has one of the words. It stops at the first.
func (a *automaton) in(t []byte) bool {
	state, kinds := 0, a.kinds
	for _, c := range t {
		state = int(a.next[state*kinds+int(a.kind[c])])
		if len(a.output[state]) > 0 {
			return true
		}
	}
	return false
}
