package secretfile

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// object is an entry that says more than a value.
type object struct {
	Fields       map[string]string `json:"fields"`
	Pointer      *Pointer          `json:"pointer"`
	Description  string            `json:"description"`
	Owner        string            `json:"owner"`
	Labels       map[string]string `json:"labels"`
	Origins      []string          `json:"origins"`
	AnyOrigin    bool              `json:"anyOrigin"`
	Integrations []string          `json:"integrations"`
	Schemes      []string          `json:"schemes"`
	Methods      []string          `json:"methods"`
	Missions     []string          `json:"missions"`
	Expires      string            `json:"expires"`
}

const form = `an entry is "NAME": "value", or "NAME": {"fields": {"token": "value"}} or "NAME": {"pointer": {"at": "backend:path"}}, with description, owner, labels, origins, anyOrigin, integrations, schemes, methods, missions and expires as you like`

// parseJSON reads one object. The decoder's own errors quote what they are about,
// so none of them is passed on.
func parseJSON(b []byte) (out []Entry, bad []Problem) {
	d := json.NewDecoder(bytes.NewReader(b))
	broken := func() ([]Entry, []Problem) {
		return nil, append(bad, Problem{lineAt(b, int(d.InputOffset())), "it is not JSON from here on", ""})
	}
	if _, err := d.Token(); err != nil { // the brace
		return broken()
	}
	for d.More() {
		t, err := d.Token()
		key, isText := t.(string)
		if err != nil || !isText {
			return broken()
		}
		line := lineAt(b, int(d.InputOffset()))
		var raw json.RawMessage
		if d.Decode(&raw) != nil {
			return broken()
		}
		e, what := entry(raw)
		if what != "" {
			bad = append(bad, Problem{line, what, form})
			continue
		}
		e.Key, e.Line = key, line
		out = append(out, e)
	}
	if _, err := d.Token(); err != nil {
		return broken()
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, append(bad, Problem{lineAt(b, int(d.InputOffset())), "there is something after the object", ""})
	}
	return out, bad
}

// entry reads one value of the object; what says why not.
func entry(raw json.RawMessage) (e Entry, what string) {
	var o object
	switch raw[0] {
	case '"':
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return e, "the value is not a text"
		}
		o.Fields = map[string]string{tokenField: s}
	case '{':
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if twice(json.NewDecoder(bytes.NewReader(raw))) {
			return e, "a name is in the entry twice"
		}
		if d.Decode(&o) != nil {
			return e, "the entry has an unknown part, or one of another type"
		}
	default:
		return e, "the entry is neither a text nor an object"
	}
	switch {
	case len(o.Fields) == 0 && o.Pointer == nil:
		return e, "the entry has no fields"
	case len(o.Fields) > 0 && o.Pointer != nil:
		return e, "the entry has fields and a pointer"
	}
	e = Entry{Fields: map[string][]byte{}, Pointer: o.Pointer, Description: o.Description, Owner: o.Owner, Labels: o.Labels, Expires: o.Expires,
		Scope: Scope{Origins: o.Origins, Integrations: o.Integrations, Schemes: o.Schemes, Methods: o.Methods, Missions: o.Missions, AnyOrigin: o.AnyOrigin}}
	for _, name := range slices.Sorted(maps.Keys(o.Fields)) {
		v := o.Fields[name]
		if v == "" {
			return e, "a value is empty"
		}
		if strings.ContainsRune(v, utf8.RuneError) || strings.ContainsRune(v, 0) { // half of a pair of \u escapes
			return e, "a value has an escape that is no character"
		}
		e.Fields[name] = []byte(v)
	}
	return e, ""
}

// Twice reports whether an object somewhere in a JSON text has a name twice, in
// any spelling.
func Twice(b []byte) bool { return twice(json.NewDecoder(bytes.NewReader(b))) }

// twice reports whether an object somewhere in the value has a name twice, in any
// spelling: one of them would be lost.
func twice(d *json.Decoder) bool {
	type level struct {
		names map[string]bool // nil: an array
		value bool            // the next token is a value
	}
	var stack []level
	for {
		t, err := d.Token()
		if err != nil {
			return false // its end; what is broken is found by who decodes it
		}
		top := len(stack) - 1
		if top >= 0 && stack[top].names != nil {
			if name, ok := t.(string); ok && !stack[top].value {
				if name = strings.ToLower(name); stack[top].names[name] {
					return true
				}
				stack[top].names[name], stack[top].value = true, true
				continue
			}
			stack[top].value = false
		}
		switch t {
		case json.Delim('{'):
			stack = append(stack, level{names: map[string]bool{}})
		case json.Delim('['):
			stack = append(stack, level{})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:top]
		}
	}
}
