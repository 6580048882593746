package deltas

import "bytes"

// tree reads JSON far enough to know the path of each string, without minding
// what is wrong with it: anything in quotes is a string, and odd says that there
// was something that JSON does not have.
type tree struct {
	nodes  []node
	leaves []leaf
	odd    bool
	data   []byte
	open   []int32 // the nodes that are not closed yet
}

// node is an object or a list. The first is the place of the whole.
type node struct {
	parent      int32
	list        bool
	state       state
	name        uint64 // its key in its parent, or of the list that it is in
	pos         int    // its place in a list
	count       int    // of a list: how many came
	index, id   uint64 // hashes of what tells it from its like
	key         uint64 // the key that was read last
	tells       byte   // whether that key is of an index or an id
	exact, path uint64
}

type state byte

const (
	wantKey state = iota
	wantColon
	wantValue
	wantComma
)

// leaf is a string: where its inside is, and in what.
type leaf struct {
	span
	node int32
	name uint64 // its key, or its list's
	pos  int    // in a list
	past bool   // the same key comes again in its object: readers see that one
}

// again is how many strings back the same key is looked for.
const again = 32

// read takes a text apart. It returns why it is refused, or "".
func (t *tree) read(data []byte) string {
	t.data, t.odd = data, false
	t.nodes = append(t.nodes[:0], node{list: true, state: wantValue})
	t.leaves, t.open = t.leaves[:0], append(t.open[:0], 0)
	for i := 0; i < len(data); {
		switch c := data[i]; c {
		case ' ', '\t', '\n', '\r', 0x1e:
			i++
		case '{', '[':
			if len(t.open) > maxDepth {
				return tooDeep
			}
			t.enter(c == '[')
			i++
		case '}', ']':
			t.leave(c == ']')
			i++
		case ':':
			t.step(wantColon, wantValue)
			i++
		case ',':
			t.comma()
			i++
		case '"':
			i = t.quote(i + 1)
		default:
			i = t.bare(i)
		}
		if len(t.leaves) > maxTexts || len(t.nodes) > maxTexts {
			return tooMany
		}
	}
	t.odd = t.odd || len(t.open) > 1
	return ""
}

func (t *tree) top() *node { return &t.nodes[t.open[len(t.open)-1]] }

func (t *tree) step(from, to state) {
	n := t.top()
	t.odd = t.odd || n.state != from
	n.state = to
}

// value is called where a value begins, and gives its name and place.
func (t *tree) value() (name uint64, pos int) {
	n := t.top()
	t.odd = t.odd || n.state != wantValue
	n.count++
	// Values in a row, as lines of JSON are, need nothing between them.
	if n.state = wantComma; len(t.open) == 1 {
		n.state = wantValue
	}
	if n.list {
		return n.name, n.count
	}
	return n.key, 0
}

func (t *tree) enter(list bool) {
	name, pos := t.value()
	s := wantKey
	if list {
		s = wantValue
	}
	t.nodes = append(t.nodes, node{parent: t.open[len(t.open)-1], list: list, state: s, name: name, pos: pos})
	t.open = append(t.open, int32(len(t.nodes)-1))
}

func (t *tree) leave(list bool) {
	n := t.top()
	if len(t.open) == 1 || n.list != list {
		t.odd = true
		return
	}
	empty := n.count == 0 && (n.state == wantKey || n.list && n.state == wantValue)
	t.odd = t.odd || n.state != wantComma && !empty
	t.open = t.open[:len(t.open)-1]
}

func (t *tree) comma() {
	if len(t.open) == 1 {
		t.odd = true
		return
	}
	if t.top().list {
		t.step(wantComma, wantValue)
		return
	}
	t.step(wantComma, wantKey)
}

// quote reads the string whose inside begins at i, and returns where to go on.
func (t *tree) quote(i int) int {
	end := i
	for {
		n := bytes.IndexByte(t.data[end:], '"')
		if n < 0 {
			t.odd, end = true, len(t.data)
			break
		}
		if end += n; !escapedAt(t.data[i:end]) {
			break
		}
		end++
	}
	n := t.top()
	if !n.list && n.state == wantKey {
		n.key, n.tells = hash(t.data[i:end]), tells(t.data[i:end])
		n.state = wantColon
		t.repeated(n.key)
		return end + 1
	}
	t.tell(n, t.data[i:end])
	name, pos := t.value()
	t.leaves = append(t.leaves, leaf{span: span{i, end}, node: t.open[len(t.open)-1], name: name, pos: pos})
	return end + 1
}

// repeated notes that the open object had a key already.
func (t *tree) repeated(key uint64) {
	node := t.open[len(t.open)-1]
	for i := len(t.leaves) - 1; i >= max(0, len(t.leaves)-again) && t.leaves[i].node >= node; i-- {
		if l := &t.leaves[i]; l.node == node && l.name == key {
			l.past = true
			return
		}
	}
}

// escapedAt says that a quote after b is escaped.
func escapedAt(b []byte) bool {
	n := 0
	for n < len(b) && b[len(b)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// The bytes that end a word, and those that a number has.
var ends, digits = table(" \t\n\r\x1e{}[]:,\""), table("0123456789+-.eE")

func table(of string) (in [256]bool) {
	for i := range len(of) {
		in[of[i]] = true
	}
	return in
}

// bare reads a number or a word.
func (t *tree) bare(i int) int {
	end := i
	for end < len(t.data) && !ends[t.data[end]] {
		end++
	}
	word := t.data[i:end]
	switch string(word) {
	case "true", "false", "null":
	default:
		for _, c := range word {
			t.odd = t.odd || !digits[c]
		}
	}
	t.tell(t.top(), word)
	t.value()
	return end
}

// What the value of a key says about the object that it is in.
const (
	nothing = iota
	anIndex
	anID
)

func tells(key []byte) byte {
	switch {
	case bytes.Equal(key, []byte("index")), bytes.HasSuffix(key, []byte("_index")), bytes.HasSuffix(key, []byte("Index")):
		return anIndex
	case bytes.Equal(key, []byte("id")), bytes.HasSuffix(key, []byte("_id")), bytes.HasSuffix(key, []byte("Id")), bytes.Equal(key, []byte("type")):
		return anID
	}
	return nothing
}

// tell notes a value that tells an object from its like, whatever the order.
func (t *tree) tell(n *node, value []byte) {
	if n.list || n.state != wantValue {
		return
	}
	switch n.tells {
	case anIndex:
		n.index += mix(n.key, hash(value))
	case anID:
		n.id += mix(n.key, hash(value))
	}
}
