package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
)

// indented is JSON over several lines, or as it is where it is none.
func indented(b []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, b, "", "  ") != nil {
		return string(b)
	}
	return out.String()
}

// sorted gives a map's keys in order.
func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
