package gate

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"sallyport.dev/internal/intent"
)

// leaf is a string or a number of a JSON text.
type leaf struct {
	pointer    string // RFC 6901
	start, end int    // of it in the text, with its quotes
	text       string // decoded
}

// leaves lists the strings and numbers of a JSON text in their order, names of
// members too: such a leaf has its member's pointer. A text that is no JSON has
// those before the place where it is not.
func leaves(doc []byte) []leaf {
	type level struct {
		pointer string
		list    bool
		n       int    // of a list: the next index
		name    string // of an object: of the member whose value is next
		named   bool
	}
	var out []leaf
	var stack []level
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	for {
		from := int(d.InputOffset())
		tok, err := d.Token()
		if err != nil {
			return out
		}
		pointer := ""
		if len(stack) > 0 && tok != json.Delim(']') && tok != json.Delim('}') {
			top := &stack[len(stack)-1]
			switch {
			case top.list:
				pointer = top.pointer + "/" + strconv.Itoa(top.n)
				top.n++
			case !top.named:
				top.name, _ = tok.(string)
				top.named = true
				pointer = top.pointer + "/" + escape.Replace(top.name)
			default:
				pointer = top.pointer + "/" + escape.Replace(top.name)
				top.named = false
			}
		}
		switch v := tok.(type) {
		case json.Delim:
			if v == '[' || v == '{' {
				stack = append(stack, level{pointer: pointer, list: v == '['})
			} else {
				stack = stack[:len(stack)-1]
			}
		case string, json.Number:
			end := int(d.InputOffset())
			start := from + bytes.IndexFunc(doc[from:end], func(r rune) bool { return !strings.ContainsRune(" \t\r\n,:", r) })
			text, ok := v.(string)
			if !ok {
				text = string(doc[start:end])
			}
			out = append(out, leaf{pointer, start, end, text})
		}
	}
}

// spelled gives the same JSON text with its strings as plain as they can be
// written: a rule for how a token looks does not see through escapes.
func spelled(doc []byte) []byte {
	if bytes.IndexByte(doc, '\\') < 0 || !json.Valid(doc) {
		return doc
	}
	out := make([]byte, 0, len(doc))
	at := 0
	for _, l := range leaves(doc) {
		if bytes.IndexByte(doc[l.start:l.end], '\\') < 0 || strings.ContainsRune(l.text, utf8.RuneError) {
			continue // half a surrogate pair has no other way to be written
		}
		plain, err := intent.Marshal(l.text)
		if err != nil {
			return doc
		}
		out, at = append(append(out, doc[at:l.start]...), plain...), l.end
	}
	return append(out, doc[at:]...)
}

// escape writes a member's name into a pointer.
var escape = strings.NewReplacer("~", "~0", "/", "~1")

// fits reports whether a pointer is one that a pattern means, in which "*"
// stands for any name or index.
func fits(pattern, pointer string) bool {
	a, b := strings.Split(pattern, "/"), strings.Split(pointer, "/")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && a[i] != "*" {
			return false
		}
	}
	return true
}
