package mcp

import (
	"encoding/json"
	"maps"
	"slices"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/connector/schema"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// The methods that a call can have.
const (
	methodCall         = "tools/call"
	methodReadResource = "resources/read"
	methodResources    = "resources/list"
	methodPrompts      = "prompts/list"
	methodPrompt       = "prompts/get"
)

// operation is a Tool and how it is called.
type operation struct {
	tool    connector.Tool
	checker *schema.Checker
	method  string
	name    string          // of the server's own tool
	def     json.RawMessage // as pinned; empty: one that we add
	pin     string          // of it
	params  []param
	// reference is the argument that the Boundary fills with the Intent's id; "": none.
	reference string
	definite  bool // an error that a write ends with means that nothing was applied
}

// own are the Tools that read a server's resources and prompts.
var own = []struct {
	name, method, title, text, schema string
	prompts                           bool
}{
	{"list_resources", methodResources, "List resources", "Lists the resources of the server, a page at a time.",
		`{"type":"object","additionalProperties":false,"properties":{"cursor":{"type":"string","maxLength":2000}}}`, false},
	{"read_resource", methodReadResource, "Read a resource", "Reads one resource of the server.",
		`{"type":"object","additionalProperties":false,"required":["uri"],"properties":{"uri":{"type":"string","minLength":1,"maxLength":2000}}}`, false},
	{"list_prompts", methodPrompts, "List prompts", "Lists the prompts of the server, a page at a time.",
		`{"type":"object","additionalProperties":false,"properties":{"cursor":{"type":"string","maxLength":2000}}}`, true},
	{"get_prompt", methodPrompt, "Get a prompt", "Gives one prompt of the server, filled in.",
		`{"type":"object","additionalProperties":false,"required":["name"],"properties":{"name":{"type":"string","minLength":1,"maxLength":200},"arguments":{"type":"object","additionalProperties":{"type":"string"}}}}`, true},
}

// add makes the Tools of a document.
func (k *Kind) add(d Definitions, rules map[string]resource.ToolRule) error {
	for _, o := range own {
		if o.prompts && !d.Prompts || !o.prompts && !d.Resources {
			continue
		}
		op := &operation{method: o.method, tool: connector.Tool{Name: o.name, Title: o.title, Description: o.text, Schema: json.RawMessage(o.schema), Effect: resource.Read}}
		if err := k.finish(op, rules[o.name]); err != nil {
			return err
		}
		k.ops[o.name] = op
	}
	upstream, ours := map[string]int{}, map[string]int{}
	for _, raw := range d.Tools {
		upstream[nameOf(raw)]++
		ours[OurName(nameOf(raw))]++
	}
	for _, raw := range d.Tools {
		name := nameOf(raw)
		op, err := k.operation(raw, rules)
		switch {
		case upstream[name] > 1:
			err = fault.New(fault.Invalid, "it is defined twice")
		case err == nil && ours[op.tool.Name] > 1:
			err = fault.Newf(fault.Invalid, "another tool would have the same name here, %s", op.tool.Name)
		case err == nil && k.ops[op.tool.Name] != nil:
			return fault.Newf(fault.Invalid, "the server has a tool %q, which is how resources and prompts are read here", fault.Quote(name)).
				WithHint("set resources or prompts to false in the definitions document")
		}
		if err != nil {
			k.skipped = append(k.skipped, Skip{fault.Quote(name), err.Error()})
			continue
		}
		k.ops[op.tool.Name] = op
	}
	for _, name := range slices.Sorted(maps.Keys(k.ops)) {
		k.tools = append(k.tools, k.ops[name].tool)
	}
	return nil
}

// operation makes one of a tool's definition; kind Invalid.
func (k *Kind) operation(raw json.RawMessage, rules map[string]resource.ToolRule) (*operation, error) {
	d, err := readDefinition(raw)
	if err != nil {
		return nil, err
	}
	name := OurName(d.Name)
	if name == "" {
		return nil, fault.New(fault.Invalid, "its name has no letter or digit")
	}
	if len(d.Description) > maxText || len(d.Title) > maxText {
		return nil, fault.Newf(fault.Invalid, "its description is longer than %d KiB", maxText>>10)
	}
	closed, params, err := readSchema(d.InputSchema)
	if err != nil {
		return nil, err
	}
	op := &operation{method: methodCall, name: d.Name, def: raw, pin: Pin(raw), params: params,
		tool: connector.Tool{Name: name, Title: d.Title, Description: d.Description, Schema: closed, Effect: resource.Write}}
	if a := rules[name].ReferenceArgument; a != "" {
		if err := op.refer(a); err != nil {
			return nil, err
		}
	}
	return op, k.finish(op, rules[name])
}

// finish applies the operator's rule, and digests what decides what a call does.
func (k *Kind) finish(op *operation, r resource.ToolRule) (err error) {
	t := &op.tool
	// The operator's word alone lowers an effect; a hint of the server's never does.
	if r.Effect != "" {
		t.Effect = r.Effect
	}
	op.definite = r.Errors == resource.Definite
	t.Lookup, t.NotSecret, t.Record, t.RecordPrivate = r.Lookup, r.NotSecret, r.Record, r.RecordPrivate
	if op.checker, err = schema.Compile(t.Schema); err != nil {
		return err
	}
	b, err := json.Marshal(map[string]any{"version": 1, "kind": "mcp", "url": k.url, "method": op.method, "pin": op.pin, "schema": t.Schema, "effect": t.Effect, "reference": op.reference})
	if err != nil {
		return fault.New(fault.Invalid, "the tool can't be digested")
	}
	t.Digest = string(intent.SHA256(b))
	return nil
}
