package gate

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// tree is a JSON text's strings and numbers, with where they are. It takes memory
// in proportion to the text: a place is put into words only for who asks.
type tree struct {
	nodes  []node
	leaves []leaf // in the text's order; a member's name is one too
}

// node is a value's step from what it is in.
type node struct {
	parent int32 // -1: the text itself
	index  int32 // in a list; -1: a member
	name   string
}

// leaf is a string or a number; a member's name has the member's node.
type leaf struct {
	node       int32
	start, end int    // of it in the text, with its quotes
	text       string // decoded
}

// parse reads a JSON text. One that is no JSON has what comes before the place
// where it is not.
func parse(doc []byte) *tree {
	type level struct {
		node  int32
		list  bool
		n     int32 // of a list: the next index
		named int32 // of an object: the node of the member whose value is next; -1: none
	}
	t := &tree{}
	add := func(n node) int32 {
		t.nodes = append(t.nodes, n)
		return int32(len(t.nodes) - 1)
	}
	var stack []level
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	for {
		from := int(d.InputOffset())
		tok, err := d.Token()
		if err != nil {
			return t
		}
		var at int32
		switch {
		case tok == json.Delim(']') || tok == json.Delim('}'):
			stack = stack[:len(stack)-1]
			continue
		case len(stack) == 0:
			at = add(node{parent: -1, index: -1})
		default:
			top := &stack[len(stack)-1]
			switch {
			case top.list:
				at = add(node{parent: top.node, index: top.n})
				top.n++
			case top.named < 0:
				name, _ := tok.(string)
				at = add(node{parent: top.node, index: -1, name: name})
				top.named = at
			default:
				at, top.named = top.named, -1
			}
		}
		switch v := tok.(type) {
		case json.Delim:
			stack = append(stack, level{node: at, list: v == '[', named: -1})
		case string:
			t.leaves = append(t.leaves, leafOf(doc, from, int(d.InputOffset()), at, v))
		case json.Number:
			t.leaves = append(t.leaves, leafOf(doc, from, int(d.InputOffset()), at, v.String()))
		}
	}
}

func leafOf(doc []byte, from, end int, at int32, text string) leaf {
	start := from + bytes.IndexFunc(doc[from:end], func(r rune) bool { return !strings.ContainsRune(" \t\r\n,:", r) })
	return leaf{at, start, end, text}
}

// deepest is how many steps of a place are put into words.
const deepest = 64

// path lists a node's steps from the text itself, at most deepest of them.
func (t *tree) path(at int32) []string {
	depth := 0
	for n := at; n >= 0 && t.nodes[n].parent >= 0; n = t.nodes[n].parent {
		depth++
	}
	out := make([]string, min(depth, deepest))
	for n := at; n >= 0 && t.nodes[n].parent >= 0; n = t.nodes[n].parent {
		if depth--; depth < deepest {
			out[depth] = t.nodes[n].step()
		}
	}
	return out
}

func (n node) step() string {
	if n.index >= 0 {
		return strconv.Itoa(int(n.index))
	}
	return n.name
}

// pointer is a node's place as of RFC 6901.
func (t *tree) pointer(at int32) string {
	var b strings.Builder
	for _, s := range t.path(at) {
		b.WriteString("/" + escape.Replace(s))
	}
	return b.String()
}

// fits reports whether a node's place is one that a pattern means: a pointer in
// which "*" stands for any name or index.
func (t *tree) fits(pattern string, at int32) bool {
	steps := strings.Split(pattern, "/")[1:]
	for i := len(steps) - 1; i >= 0; i-- {
		if at < 0 || t.nodes[at].parent < 0 || steps[i] != "*" && unescape.Replace(steps[i]) != t.nodes[at].step() {
			return false
		}
		at = t.nodes[at].parent
	}
	return at >= 0 && t.nodes[at].parent < 0
}

// spelled gives the same JSON text with its strings as plain as they can be
// written: a rule for how a token looks does not see through escapes.
func spelled(doc []byte) []byte {
	if bytes.IndexByte(doc, '\\') < 0 || !json.Valid(doc) {
		return doc
	}
	out := make([]byte, 0, len(doc))
	at := 0
	for _, l := range parse(doc).leaves {
		if bytes.IndexByte(doc[l.start:l.end], '\\') < 0 || strings.ContainsRune(l.text, utf8.RuneError) {
			continue // half a surrogate pair has no other way to be written
		}
		out, at = appendPlain(append(out, doc[at:l.start]...), l.text), l.end
	}
	return append(out, doc[at:]...)
}

// appendPlain writes a JSON string with no escape but those that it must have.
func appendPlain(out []byte, s string) []byte {
	out = append(out, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, '\\', 'n')
		case c < ' ':
			out = append(out, '\\', 'u', '0', '0', '0'+c>>4, "0123456789abcdef"[c&15])
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}

// escape writes a member's name into a pointer, and unescape reads it.
var (
	escape   = strings.NewReplacer("~", "~0", "/", "~1")
	unescape = strings.NewReplacer("~1", "/", "~0", "~")
)
