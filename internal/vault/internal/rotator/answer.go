package rotator

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault/internal/plain"
)

// maxValue is the most bytes of a new value.
const maxValue = 8 << 10

// readMade takes a new version out of an answer. What the answer has not is taken
// over; the error has nothing of it. Where it is Invalid, ID is there all the same
// if the answer has it, so that what was made can be taken away.
func readMade(b []byte, h *resource.HTTPRotator, before Fields) (Made, error) {
	doc, err := document(b)
	if err != nil {
		return Made{}, err
	}
	m := Made{Fields: Fields{}}
	if h.ID != "" {
		var ok bool
		if m.ID, ok = idOf(at(doc, h.ID)); !ok {
			return Made{}, unusable("has no usable id where the policy says")
		}
	}
	for name, pointer := range h.Fields {
		s, ok := at(doc, pointer).(string)
		if !ok || s == "" || len(s) > maxValue {
			wipe(m.Fields)
			return Made{ID: m.ID}, unusable("has no value of a possible length where the policy says")
		}
		m.Fields[name] = plain.New([]byte(s))
	}
	for name, v := range before {
		if _, there := m.Fields[name]; !there {
			m.Fields[name] = plain.New(bytes.Clone(plain.Bytes(v)))
		}
	}
	return m, nil
}

func wipe(f Fields) {
	for _, v := range f {
		plain.Wipe(v)
	}
}

// document reads one JSON value. An answer that names a member twice can be read in
// two ways, and is refused.
func document(b []byte) (doc any, err error) {
	if !unique(b) {
		return nil, unusable("is not JSON that can be read in one way")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		return nil, unusable("is not JSON")
	}
	return doc, nil
}

// unique says that b is one JSON value in which no object has a name twice.
func unique(b []byte) bool {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if !value(d, 0) {
		return false
	}
	_, err := d.Token()
	return err == io.EOF
}

// maxDepth bounds what is nested.
const maxDepth = 32

func value(d *json.Decoder, depth int) bool {
	t, err := d.Token()
	if err != nil || depth > maxDepth {
		return false
	}
	open, ok := t.(json.Delim)
	if !ok {
		return true
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			name, err := d.Token()
			s, _ := name.(string)
			if err != nil || seen[s] {
				return false
			}
			seen[s] = true
		}
		if !value(d, depth+1) {
			return false
		}
	}
	_, err = d.Token()
	return err == nil
}

// at follows a JSON pointer (RFC 6901); nil: nothing is there.
func at(doc any, pointer string) any {
	if pointer == "" {
		return doc
	}
	for _, part := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		switch v := doc.(type) {
		case map[string]any:
			doc = v[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(v) {
				return nil
			}
			doc = v[i]
		default:
			return nil
		}
	}
	return doc
}

// idOf reads what a system calls a credential: it is shown, and put into a path.
func idOf(v any) (string, bool) {
	id := ""
	switch v := v.(type) {
	case string:
		id = v
	case json.Number:
		id = v.String()
	}
	if id == "" || len(id) > maxID || strings.Trim(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.:-") != "" || id == "." || id == ".." {
		return "", false
	}
	return id, true
}

// errNotOne is a rotator's step that it does not have.
func errNotOne(what string) error {
	return fault.New(fault.Internal, "a rotator was asked for a step that it has not: "+what)
}
