package origin

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// token is a string, a number or a member's name of a JSON text.
type token struct {
	n      int // in the text's order, from 0
	text   string
	number bool
	key    bool
}

// frame is a level of nesting.
type frame struct {
	list  bool
	index int    // of a list: the next
	name  string // of an object: the member whose value is next
	named bool
}

// walk visits a text's tokens in order, until visit returns false. place gives the
// JSON pointer of the token at hand. What is no JSON is one text.
func walk(doc []byte, visit func(t token, place func() string) bool) {
	if !json.Valid(doc) {
		visit(token{text: string(doc)}, func() string { return "" })
		return
	}
	var stack []frame
	place := func() string { return pointer(stack) }
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	for n := 0; ; {
		tok, err := d.Token()
		if err != nil {
			return
		}
		if tok == json.Delim(']') || tok == json.Delim('}') {
			stack = stack[:len(stack)-1]
			after(stack)
			continue
		}
		if len(stack) > 0 {
			if top := &stack[len(stack)-1]; !top.list && !top.named {
				top.name, _ = tok.(string)
				top.named = true
				if !visit(token{n: n, text: top.name, key: true}, place) {
					return
				}
				n++
				continue
			}
		}
		switch v := tok.(type) {
		case json.Delim:
			stack = append(stack, frame{list: v == '['})
			continue
		case string:
			if !visit(token{n: n, text: v}, place) {
				return
			}
			n++
		case json.Number:
			if !visit(token{n: n, text: v.String(), number: true}, place) {
				return
			}
			n++
		}
		after(stack)
	}
}

// after goes on to the next value of a list or the next member.
func after(stack []frame) {
	if len(stack) > 0 {
		top := &stack[len(stack)-1]
		top.index++
		top.named = false
	}
}

var escape = strings.NewReplacer("~", "~0", "/", "~1")

// pointer is a place as of RFC 6901, bounded.
func pointer(stack []frame) string {
	var b strings.Builder
	for _, f := range stack {
		b.WriteByte('/')
		if f.list {
			b.WriteString(strconv.Itoa(f.index))
		} else {
			b.WriteString(escape.Replace(f.name))
		}
		if b.Len() > maxPointer {
			return strings.ToValidUTF8(b.String()[:maxPointer], "") + "..."
		}
	}
	return b.String()
}
