package mcp

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

// withoutReference takes the argument that the Boundary fills in out of a closed
// schema, so that no Worker is offered it, or can set it. Kind Invalid: the tool has no
// such argument, or one that can't take a text.
func withoutReference(closed json.RawMessage, name string) (json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(closed))
	d.UseNumber()
	var root map[string]any
	if d.Decode(&root) != nil {
		return nil, fault.New(fault.Internal, "a closed schema can't be read")
	}
	props, _ := root["properties"].(map[string]any)
	p, _ := props[name].(map[string]any)
	if t, ok := p["type"].(string); !ok || t != "string" {
		return nil, fault.Newf(fault.Invalid, "it has no argument %q that is a string, for the reference", fault.Quote(name))
	}
	if root["additionalProperties"] != false {
		return nil, fault.New(fault.Invalid, "its schema takes arguments that it does not name, so a Worker could set the reference")
	}
	delete(props, name)
	if required, ok := root["required"].([]any); ok {
		root["required"] = slices.DeleteFunc(required, func(v any) bool { return v == name })
	}
	out, err := json.Marshal(root)
	if err != nil {
		return nil, fault.New(fault.Invalid, "its schema can't be written")
	}
	return out, nil
}

var plainReference = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)

// referred adds the reference to the arguments.
func referred(args json.RawMessage, name, reference string) (json.RawMessage, error) {
	if !plainReference.MatchString(reference) {
		return nil, fault.New(fault.Internal, "the reference is not an Intent's id")
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(args, &all) != nil || all == nil || all[name] != nil {
		return nil, fault.New(fault.Internal, "the arguments can't take the reference")
	}
	all[name] = json.RawMessage(`"` + reference + `"`)
	return intent.Marshal(all)
}
