package http

import (
	"strings"

	"sallyport.dev/internal/fault"
)

// maxCost bounds how many schemas apply to one place of the arguments. A chain
// of definitions that each refer twice to the next is small to write and takes
// exponential time to check.
const maxCost = 10000

// cost refuses, with kind Invalid, a schema that would be slow to check.
func cost(defs object) error {
	c := coster{defs: defs, known: map[string]int{}}
	for name := range defs {
		if c.def(name) > maxCost {
			return fault.New(fault.Invalid, "has a schema whose parts multiply beyond what can be checked")
		}
	}
	return nil
}

type coster struct {
	defs  object
	known map[string]int // of a definition; 0 while it is being counted
}

func (c *coster) def(name string) int {
	if n, ok := c.known[name]; ok {
		if n == 0 {
			return maxCost + 1 // it applies to the same place as itself
		}
		return n
	}
	c.known[name] = 0
	c.known[name] = c.inPlace(c.defs[name])
	return c.known[name]
}

// inPlace counts the schemas that apply where node does.
func (c *coster) inPlace(node any) int {
	o, ok := node.(object)
	if !ok {
		return 1
	}
	n := 1
	add := func(v any) { n = min(n+c.inPlace(v), maxCost+1) }
	if ref, ok := o["$ref"].(string); ok {
		n = min(n+c.def(strings.TrimPrefix(ref, "#/$defs/")), maxCost+1)
	}
	for _, k := range oneInPlace {
		if v, ok := o[k]; ok {
			add(v)
		}
	}
	for _, k := range listInPlace {
		vs, _ := o[k].([]any)
		for _, v := range vs {
			add(v)
		}
	}
	for _, k := range mapInPlace {
		vs, _ := o[k].(object)
		for _, v := range vs {
			add(v)
		}
	}
	return n
}
