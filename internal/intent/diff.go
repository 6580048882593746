package intent

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Change is one place at which two sets of arguments differ.
type Change struct {
	Path string          `json:"path"`          // a JSON pointer, "" for the whole
	Was  json.RawMessage `json:"was,omitempty"` // canonical; none: it was not there
	Is   json.RawMessage `json:"is,omitempty"`  // none: it is not there any more
}

// Diff lists where the arguments b differ from a, in the order of the document: the
// smallest values that are different, so that together the changes make b of a.
// Both have to be what [Canonical] takes; else the whole is one change.
func Diff(a, b json.RawMessage) []Change {
	x, err1 := Canonical(a)
	y, err2 := Canonical(b)
	if err1 != nil || err2 != nil {
		return []Change{{Was: a, Is: b}}
	}
	return diff(nil, "", x, y)
}

func diff(out []Change, path string, a, b json.RawMessage) []Change {
	if a != nil && b != nil && bytes.Equal(a, b) {
		return out
	}
	var m, n map[string]json.RawMessage
	var l, r []json.RawMessage
	switch {
	case a == nil || b == nil:
	case a[0] == '{' && b[0] == '{' && json.Unmarshal(a, &m) == nil && json.Unmarshal(b, &n) == nil:
		for _, k := range names(m, n) {
			out = diff(out, path+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(k), m[k], n[k])
		}
		return out
	case a[0] == '[' && b[0] == '[' && json.Unmarshal(a, &l) == nil && json.Unmarshal(b, &r) == nil:
		for i := range max(len(l), len(r)) {
			out = diff(out, path+"/"+strconv.Itoa(i), at(l, i), at(r, i))
		}
		return out
	}
	return append(out, Change{Path: path, Was: a, Is: b})
}

func names(m, n map[string]json.RawMessage) []string {
	all := maps.Clone(m)
	maps.Copy(all, n)
	return slices.Sorted(maps.Keys(all))
}

func at(l []json.RawMessage, i int) json.RawMessage {
	if i < len(l) {
		return l[i]
	}
	return nil
}
