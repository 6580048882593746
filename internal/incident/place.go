package incident

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"sallyport.dev/internal/audit"
)

// Place says where in a document of JSON a secret stands, when holds has said yes
// to the whole: the name of the whole with the JSON pointer (RFC 6901) of the
// first leaf that holds says yes to, like "arguments: /vendor/notes". Of a hit in
// the name of a member it is the object that has it; of one that is in no leaf
// alone, or in no JSON, the whole. What it gives holds no secret: holds is asked
// about it too.
func Place(whole string, doc []byte, holds func([]byte) bool) string {
	pointer, found := leaf(doc, holds)
	if !found {
		return whole
	}
	if pointer == "" {
		return whole
	}
	place := audit.Short(whole + ": " + pointer)
	if holds([]byte(place)) {
		return whole
	}
	return place
}

// level is an object or an array that is being read.
type level struct {
	object bool
	name   string // of the member that is being read
	named  bool   // the member's name was read, its value comes
	index  int    // of the element that is being read
}

// leaf reads token by token: no depth of nesting takes a stack.
func leaf(doc []byte, holds func([]byte) bool) (pointer string, found bool) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var in []level
	for {
		t, err := d.Token()
		if err != nil { // also where it is no JSON any more
			return "", false
		}
		text := ""
		switch v := t.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				in = append(in, level{object: v == '{'})
				continue
			}
			in = in[:len(in)-1]
			if len(in) == 0 {
				return "", false
			}
			in[len(in)-1].next()
			continue
		case string:
			text = v
		case json.Number:
			text = v.String()
		}
		if len(in) == 0 {
			return "", text != "" && holds([]byte(text))
		}
		at := &in[len(in)-1]
		if at.object && !at.named {
			if at.name, at.named = text, true; holds([]byte(text)) {
				return pointerTo(in[:len(in)-1]) + ", the name of a member", true
			}
			continue
		}
		if text != "" && holds([]byte(text)) {
			return pointerTo(in), true
		}
		at.next()
	}
}

// next goes on behind a value.
func (l *level) next() {
	l.named = false
	l.index++
}

var escapes = strings.NewReplacer("~", "~0", "/", "~1")

func pointerTo(in []level) string {
	var b strings.Builder
	for _, l := range in {
		_ = b.WriteByte('/') // a strings.Builder takes everything
		if l.object {
			_, _ = io.WriteString(&b, escapes.Replace(l.name))
		} else {
			b.WriteString(strconv.Itoa(l.index))
		}
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}
