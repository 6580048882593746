package mcp

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"sallyport.dev/internal/fault"
)

// The limits of one tool's schema.
const (
	maxDepth = 40
	// maxCost bounds how large a schema is with its references written out: a few
	// lines that refer to each other can mean more than a machine can check.
	maxCost = 20_000
)

// param is an argument that is repeated in a header, by 2026-07-28.
type param struct {
	header string   // its whole name
	path   []string // of keys in the arguments
	typ    string   // string, integer or boolean
}

// paramPrefix begins those headers.
const paramPrefix = "Mcp-Param-"

// readSchema checks a tool's schema of arguments, and gives it closed: an argument
// that it does not name is refused. Nothing is loaded from anywhere.
func readSchema(raw json.RawMessage) (closed json.RawMessage, params []param, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var root map[string]any
	if len(raw) == 0 || d.Decode(&root) != nil || root == nil {
		return nil, nil, fault.New(fault.Invalid, "it has no schema of its arguments, or one that is no object")
	}
	if t, ok := root["type"]; ok && t != "object" {
		return nil, nil, fault.New(fault.Invalid, "its arguments are no object")
	}
	g := &guard{root: root, cost: map[string]int{}, open: map[string]bool{}}
	if _, err := g.walk(root, 0); err != nil {
		return nil, nil, err
	}
	params, marks, err := headerParams(root, nil, map[string]bool{})
	if err != nil {
		return nil, nil, err
	}
	if marks != g.marks {
		return nil, nil, fault.New(fault.Invalid, "x-mcp-header stands where no argument can be found by its path")
	}
	root["type"] = "object"
	if !slices.ContainsFunc([]string{"additionalProperties", "unevaluatedProperties", "patternProperties", "allOf", "anyOf", "oneOf", "$ref", "if", "dependentSchemas"},
		func(k string) bool { _, there := root[k]; return there }) {
		root["additionalProperties"] = false
	}
	closed, err = json.Marshal(root)
	if err != nil {
		return nil, nil, fault.New(fault.Invalid, "its schema can't be written")
	}
	return closed, params, nil
}

// guard walks a schema once, and its references as often as they stand.
type guard struct {
	root  map[string]any
	cost  map[string]int  // of a reference's target
	open  map[string]bool // targets that are being walked: a schema may be recursive
	marks int             // how often x-mcp-header stands
}

// walk gives what a value costs with its references written out.
func (g *guard) walk(v any, depth int) (int, error) {
	if depth > maxDepth {
		return 0, fault.Newf(fault.Invalid, "its schema is nested deeper than %d", maxDepth)
	}
	cost := 1
	add := func(v any) error {
		c, err := g.walk(v, depth+1)
		if cost += c; err == nil && cost > maxCost {
			err = fault.Newf(fault.Invalid, "its schema has more than %d parts with its references written out", maxCost)
		}
		return err
	}
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if err := add(e); err != nil {
				return 0, err
			}
		}
	case map[string]any:
		for key, e := range v {
			if err := add(e); err != nil {
				return 0, err
			}
			switch key {
			case "$ref":
				c, err := g.ref(e)
				if cost += c; err != nil {
					return 0, err
				}
			case "$dynamicRef", "$recursiveRef", "$id", "$anchor", "$dynamicAnchor", "$vocabulary":
				if _, word := e.(string); word && !(key == "$id" && depth == 0 && len(g.open) == 0) {
					return 0, fault.Newf(fault.Invalid, "its schema uses %s", key)
				}
			case "x-mcp-header":
				g.marks++
			}
		}
	}
	if cost > maxCost {
		return 0, fault.Newf(fault.Invalid, "its schema has more than %d parts with its references written out", maxCost)
	}
	return cost, nil
}

// ref gives what the target of a reference costs. One that leads to what is being
// walked counts once: how deep it goes is up to the arguments, which are bounded.
func (g *guard) ref(v any) (int, error) {
	s, ok := v.(string)
	if !ok {
		return 0, nil // a property that is called so
	}
	if c, done := g.cost[s]; done {
		return c, nil
	}
	if g.open[s] {
		return 1, nil
	}
	target, ok := g.lookup(s)
	if !ok {
		return 0, fault.New(fault.Invalid, "its schema has a reference that leads out of it, or nowhere")
	}
	g.open[s] = true
	marks := g.marks
	c, err := g.walk(target, 0) // each target is entered once at a time, so this ends too
	g.marks = marks             // they are counted where they stand
	delete(g.open, s)
	g.cost[s] = c
	return c, err
}

// lookup finds the node of a reference "#" or "#/a/b" (RFC 6901).
func (g *guard) lookup(ref string) (any, bool) {
	if ref == "#" {
		return g.root, true
	}
	path, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil, false
	}
	var node any = g.root
	for tok := range strings.SplitSeq(path, "/") {
		tok = strings.NewReplacer("~1", "/", "~0", "~").Replace(tok)
		switch n := node.(type) {
		case map[string]any:
			if node, ok = n[tok]; !ok {
				return nil, false
			}
		case []any:
			i, err := strconv.Atoi(tok)
			if err != nil || i < 0 || i >= len(n) {
				return nil, false
			}
			node = n[i]
		default:
			return nil, false
		}
	}
	return node, true
}

// headerParams finds the arguments that have x-mcp-header, along properties alone,
// and counts the marks. Invalid: one that the specification does not permit.
func headerParams(schema map[string]any, path []string, taken map[string]bool) (out []param, marks int, err error) {
	props, _ := schema["properties"].(map[string]any)
	names := make([]string, 0, len(props))
	for name := range props {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p, ok := props[name].(map[string]any)
		if !ok {
			continue
		}
		at := append(slices.Clone(path), name)
		if mark, there := p["x-mcp-header"]; there {
			marks++
			h, text := mark.(string)
			typ, _ := p["type"].(string)
			switch {
			case !text || !token(h):
				return nil, 0, fault.New(fault.Invalid, "x-mcp-header is not a header's name")
			case taken[strings.ToLower(h)]:
				return nil, 0, fault.New(fault.Invalid, "x-mcp-header names one header twice")
			case !slices.Contains([]string{"string", "integer", "boolean"}, typ):
				return nil, 0, fault.New(fault.Invalid, "x-mcp-header stands at an argument that is no string, integer or boolean")
			}
			taken[strings.ToLower(h)] = true
			out = append(out, param{paramPrefix + h, at, typ})
		}
		more, n, err := headerParams(p, at, taken)
		if err != nil {
			return nil, 0, err
		}
		out, marks = append(out, more...), marks+n
	}
	return out, marks, nil
}

// token is the grammar of a header's name (RFC 9110, section 5.1).
func token(s string) bool {
	return s != "" && len(s) <= 100 && !strings.ContainsFunc(s, func(r rune) bool {
		return r > '~' || !strings.ContainsRune("!#$%&'*+-.^_`|~", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}
