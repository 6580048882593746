package http

import (
	"encoding/json"
	"math"
	"slices"
	"strings"

	"sallyport.dev/internal/fault"
)

// maxNodes bounds the work on one Tool's schema.
const maxNodes = 20000

// converter turns the document's schemas into one self-contained JSON Schema
// 2020-12 for a Tool: OpenAPI 3.0's own keywords translated, what only
// describes dropped, and every object closed that lists its properties, so
// that a Worker can't send a field that nobody described.
type converter struct {
	doc   *document
	defs  object          // finished $defs
	queue map[string]bool // asked for and not finished
	nodes int
}

// verbatim keywords mean the same in both and hold no schema.
var verbatim = []string{
	"type", "title", "description", "enum", "const", "default", "format", "pattern", "minLength", "maxLength", "multipleOf", "minItems", "maxItems",
	"uniqueItems", "required", "minProperties", "maxProperties", "minContains", "maxContains", "dependentRequired", "contentEncoding", "contentMediaType",
	"deprecated",
}

// Keywords that hold one schema, a list, or a map of them. The ones of the
// second group apply to the same place as their parent: they are not closed by
// themselves, but by unevaluatedProperties in the parent.
var (
	oneElsewhere  = []string{"items", "contains", "additionalProperties", "propertyNames", "unevaluatedItems"}
	mapElsewhere  = []string{"properties", "patternProperties"}
	listElsewhere = []string{"prefixItems"}
	oneInPlace    = []string{"not", "if", "then", "else"}
	listInPlace   = []string{"allOf", "anyOf", "oneOf"}
	mapInPlace    = []string{"dependentSchemas"}
	unsupported   = []string{"$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$defs"}
)

// schema converts a node and all that it refers to. closed: nothing beyond what
// it lists may be there.
func (c *converter) schema(node any, closed bool) (any, error) {
	c.nodes++
	if c.nodes > maxNodes {
		return nil, fault.Newf(fault.Invalid, "has a schema of more than %d parts", maxNodes)
	}
	in, ok := node.(object)
	if b, isBool := node.(bool); isBool {
		return b, nil
	}
	if !ok {
		return nil, fault.New(fault.Invalid, "has a schema that is not an object")
	}
	out := object{}
	if ref, ok := in["$ref"].(string); ok {
		sibling := !c.doc.v30 && len(in) > 1
		name, err := c.define(ref, closed && !sibling)
		if err != nil {
			return nil, err
		}
		out["$ref"] = "#/$defs/" + name
		if c.doc.v30 { // where siblings of a reference mean nothing
			return out, nil
		}
	}
	for _, k := range unsupported {
		if _, ok := in[k]; ok {
			return nil, fault.Newf(fault.Invalid, "uses %s, which is not supported", k)
		}
	}
	for _, k := range verbatim {
		if v, ok := in[k]; ok {
			out[k] = v
		}
	}
	if err := c.children(in, out); err != nil {
		return nil, err
	}
	c.bounds(in, out)
	if c.doc.v30 {
		nullable(in, out)
	}
	if closed {
		closeObject(out)
	}
	return out, nil
}

func (c *converter) children(in, out object) error {
	one := func(k string, closed bool) (err error) {
		if v, ok := in[k]; ok {
			out[k], err = c.schema(v, closed)
		}
		return err
	}
	list := func(k string, closed bool) (err error) {
		vs, ok := in[k].([]any)
		if !ok {
			return nil
		}
		made := make([]any, len(vs))
		for i, v := range vs {
			if made[i], err = c.schema(v, closed); err != nil {
				return err
			}
		}
		out[k] = made
		return nil
	}
	dict := func(k string, closed bool) (err error) {
		vs, ok := in[k].(object)
		if !ok {
			return nil
		}
		made := object{}
		for name, v := range vs {
			if readOnly(v) {
				continue
			}
			if made[name], err = c.schema(v, closed); err != nil {
				return err
			}
		}
		out[k] = made
		return nil
	}
	for _, g := range []struct {
		f      func(string, bool) error
		keys   []string
		closed bool
	}{
		{one, oneElsewhere, true}, {list, listElsewhere, true}, {dict, mapElsewhere, true},
		{one, oneInPlace, false}, {list, listInPlace, false}, {dict, mapInPlace, false},
	} {
		for _, k := range g.keys {
			if err := g.f(k, g.closed); err != nil {
				return err
			}
		}
	}
	if v, ok := in["unevaluatedProperties"].(bool); ok {
		out["unevaluatedProperties"] = v
	}
	dropReadOnly(in, out)
	return nil
}

// readOnly: what only the system sets is not asked of a Worker.
func readOnly(node any) bool {
	o, ok := node.(object)
	return ok && o["readOnly"] == true
}

func dropReadOnly(in, out object) {
	props, _ := in["properties"].(object)
	req, ok := out["required"].([]any)
	if !ok {
		return
	}
	req = slices.DeleteFunc(slices.Clone(req), func(v any) bool {
		name, _ := v.(string)
		return readOnly(props[name])
	})
	if out["required"] = req; len(req) == 0 {
		delete(out, "required")
	}
}

// define puts the target of a reference into $defs, once as it is and once
// open where another schema adds to it, and gives its name there.
func (c *converter) define(ref string, closed bool) (string, error) {
	name, ok := strings.CutPrefix(ref, "#/components/schemas/")
	if !ok || strings.ContainsAny(name, "/~%") {
		return "", fault.New(fault.Invalid, "has a schema reference to something other than /components/schemas")
	}
	node, ok := c.doc.lookup(ref)
	if !ok {
		return "", fault.New(fault.Invalid, "has a schema reference to nothing")
	}
	if !closed {
		name += ".open"
	}
	if _, done := c.defs[name]; done || c.queue[name] {
		return name, nil
	}
	c.queue[name] = true
	made, err := c.schema(node, closed)
	if err != nil {
		return "", err
	}
	delete(c.queue, name)
	c.defs[name] = made
	return name, nil
}

// bounds translates 3.0's boolean exclusive bounds, and leaves out bounds that
// canonical arguments keep anyway: an integer beyond 2^53 is refused before.
func (c *converter) bounds(in, out object) {
	for _, k := range []string{"minimum", "maximum"} {
		ex := "exclusive" + strings.ToUpper(k[:1]) + k[1:]
		if n, ok := in[k].(json.Number); ok && exact(n) {
			if in[ex] == true {
				out[ex] = n
			} else {
				out[k] = n
			}
		}
		if n, ok := in[ex].(json.Number); ok && exact(n) {
			out[ex] = n
		}
	}
}

func exact(n json.Number) bool {
	f, err := n.Float64()
	return err == nil && math.Abs(f) <= 1<<53
}

func nullable(in, out object) {
	if in["nullable"] != true {
		return
	}
	if t, ok := out["type"].(string); ok {
		out["type"] = []any{t, "null"}
	}
	if e, ok := out["enum"].([]any); ok && !slices.Contains(e, nil) {
		out["enum"] = append(slices.Clone(e), nil)
	}
}

// closeObject forbids what is not listed. An object that lists nothing is one
// that the document leaves open.
func closeObject(out object) {
	_, additional := out["additionalProperties"]
	_, unevaluated := out["unevaluatedProperties"]
	_, properties := out["properties"]
	composed := slices.ContainsFunc(slices.Concat(listInPlace, mapInPlace, []string{"if", "$ref"}), func(k string) bool {
		_, ok := out[k]
		return ok && (k != "$ref" || len(out) > 1)
	})
	switch {
	case additional || unevaluated:
	case composed:
		out["unevaluatedProperties"] = false
	case properties:
		out["additionalProperties"] = false
	}
}
