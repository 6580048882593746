package mcp

import (
	"bytes"
	"encoding/json"
	"slices"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

// refer takes the argument in which a tool takes the reference out of its schema: the
// Boundary fills it in, and a Worker that names it is refused. Without it a lookup
// would call absent what was applied.
func (op *operation) refer(argument string) error {
	d := json.NewDecoder(bytes.NewReader(op.tool.Schema))
	d.UseNumber()
	var root map[string]any
	if d.Decode(&root) != nil {
		return fault.New(fault.Invalid, "its schema can't be read again")
	}
	props, _ := root["properties"].(map[string]any)
	if _, ok := props[argument]; !ok {
		return fault.Newf(fault.Invalid, "it has no argument %q to take the reference", fault.Quote(argument))
	}
	delete(props, argument)
	if required, ok := root["required"].([]any); ok {
		root["required"] = slices.DeleteFunc(required, func(v any) bool { return v == argument })
	}
	b, err := json.Marshal(root)
	if err != nil {
		return fault.New(fault.Invalid, "its schema can't be written")
	}
	op.tool.Schema, op.reference = b, argument
	return nil
}

// referred are the arguments with the reference. A schema that takes any argument
// takes this one too, so it is looked for here.
func (op *operation) referred(args json.RawMessage, reference string) (json.RawMessage, error) {
	if op.reference == "" {
		return args, nil
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(args, &all); err != nil {
		return nil, fault.New(fault.Invalid, "the arguments are no object")
	}
	if _, there := all[op.reference]; there {
		return nil, fault.Newf(fault.Invalid, "the argument %q is not the Worker's to give", fault.Quote(op.reference))
	}
	value, err := json.Marshal(reference)
	if err != nil {
		return nil, fault.New(fault.Internal, "the reference can't be written")
	}
	all[op.reference] = value
	return intent.Marshal(all)
}
