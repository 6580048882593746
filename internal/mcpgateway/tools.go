package mcpgateway

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/wire/jsonrpc"
)

// listTools lists the Mission's Tools and the door's own, by name. There is one page.
func (c *call) listTools() ([]byte, error) {
	if err := c.onePage(); err != nil {
		return nil, err
	}
	b, err := c.offer(c.r.Context())
	if err != nil {
		return nil, err
	}
	tools := slices.SortedFunc(slices.Values(b.Tools), func(a, b intent.Tool) int { return cmp.Compare(c.Names.Tool(a), c.Names.Tool(b)) })
	out := []byte(`{"tools":[`)
	for _, t := range tools {
		out = append(c.appendTool(out, t), ',')
	}
	for _, t := range ownTools {
		if t.workers && c.who.Kind == ident.Run {
			continue
		}
		d := t.definition
		if t.workers {
			d = starting(b.Form)
		}
		out = append(append(out, d...), ',')
	}
	return append(bytes.TrimSuffix(out, []byte(",")), ']', '}'), nil
}

// onePage refuses a cursor: none was given out.
func (c *call) onePage() error {
	if _, ok := c.msg.Params.Get("cursor"); ok {
		return badParams("there is no such cursor")
	}
	return nil
}

// appendTool writes a Tool's definition. The annotations are ours: they come from the
// effect that the operator set, and nothing of the upstream server's.
func (c *call) appendTool(out []byte, t intent.Tool) []byte {
	read := t.Effect == resource.Read
	out = jsonrpc.AppendString(append(out, `{"name":`...), c.Names.Tool(t))
	if t.Description != "" {
		out = jsonrpc.AppendString(append(out, `,"description":`...), t.Description)
	}
	out = append(out, `,"inputSchema":`...)
	out = append(out, schemaOf(t)...)
	out = append(out, `,"annotations":{"readOnlyHint":`...)
	out = strconv.AppendBool(out, read)
	out = append(out, `,"destructiveHint":`...)
	out = strconv.AppendBool(out, !read)
	return append(out, `,"openWorldHint":true}}`...)
}

// The arguments of ours that a write takes besides its own.
const (
	reasonSchema = `{"type":"string","minLength":1,"maxLength":4096,"description":"Why this is done. Whoever approves it reads it."}`
	repeatSchema = `{"type":"boolean","description":"True only to do the very same again on purpose. Otherwise the same call finds what was decided before."}`
)

// extra is how the arguments of ours are called at a Tool.
type extra struct{ reason, repeat string }

// extraOf avoids the Tool's own names.
func extraOf(t intent.Tool) (extra, bool) {
	if t.Effect == resource.Read {
		return extra{}, false
	}
	schema, _ := jsonrpc.ReadObject(t.Schema)
	props, _ := schema.Object("properties")
	name := func(n string) string {
		if _, taken := props.Get(n); taken {
			return "sallyport_" + n
		}
		return n
	}
	return extra{name("reason"), name("repeat")}, true
}

// schemaOf is a Tool's schema, for writes with our arguments. Annotations that would
// have clients copy arguments into headers are left out: headers get logged.
func schemaOf(t intent.Tool) []byte {
	raw := []byte(t.Schema)
	if bytes.Contains(raw, []byte("x-mcp-header")) {
		raw = withoutHeaders(raw)
	}
	schema, err := jsonrpc.ReadObject(raw)
	if err != nil {
		schema = nil
	}
	x, write := extraOf(t)
	out := []byte{'{'}
	add := func(key string, value []byte) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(jsonrpc.AppendString(out, key), ':'), value...)
	}
	if _, ok := schema.Get("type"); !ok {
		add("type", []byte(`"object"`))
	}
	seen := map[string]bool{}
	for _, m := range schema {
		seen[m.Key] = true
		switch {
		case write && m.Key == "properties":
			add(m.Key, x.properties(m.Value))
		case write && m.Key == "required":
			add(m.Key, x.required(m.Value))
		default:
			add(m.Key, m.Value)
		}
	}
	if write && !seen["properties"] {
		add("properties", x.properties([]byte("{}")))
	}
	if write && !seen["required"] {
		add("required", x.required([]byte("[]")))
	}
	return append(out, '}')
}

func (x extra) properties(was []byte) []byte {
	ours := []byte(`"` + x.reason + `":` + reasonSchema + `,"` + x.repeat + `":` + repeatSchema + `}`)
	was = bytes.TrimSpace(was)
	if len(was) < 2 || was[0] != '{' {
		was = []byte("{}")
	}
	in := bytes.TrimSpace(was[1 : len(was)-1])
	if len(in) == 0 {
		return append([]byte{'{'}, ours...)
	}
	out := append([]byte{'{'}, in...)
	return append(append(out, ','), ours...)
}

func (x extra) required(was []byte) []byte {
	var names []string
	_ = json.Unmarshal(was, &names) // what is no list of names requires nothing
	out, _ := json.Marshal(append(names, x.reason))
	return out
}

// withoutHeaders takes x-mcp-header out of a schema, at every depth.
func withoutHeaders(schema []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(schema))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return schema
	}
	dropHeaders(v)
	out, err := json.Marshal(v)
	if err != nil {
		return schema
	}
	return out
}

func dropHeaders(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, annotation := v["x-mcp-header"].(string); annotation { // a property of that name is an object
			delete(v, "x-mcp-header")
		}
		for _, e := range v {
			dropHeaders(e)
		}
	case []any:
		for _, e := range v {
			dropHeaders(e)
		}
	}
}

// proposal turns the arguments of a call into what is proposed.
func proposal(t intent.Tool, args jsonrpc.Object) (intent.Proposal, error) {
	p := intent.Proposal{Connection: t.Connection, Tool: t.Tool}
	x, write := extraOf(t)
	out := []byte{'{'}
	for _, m := range args {
		switch {
		case write && m.Key == x.reason:
			if p.Reason, _ = args.Text(m.Key); p.Reason == "" {
				return p, fault.New(fault.Invalid, "the argument "+x.reason+" is not a text")
			}
			continue
		case write && m.Key == x.repeat:
			v, ok := args.Bool(m.Key)
			if !ok {
				return p, fault.New(fault.Invalid, "the argument "+x.repeat+" is neither true nor false")
			}
			p.Repeat = v
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(jsonrpc.AppendString(out, m.Key), ':'), m.Value...)
	}
	p.Args = append(out, '}')
	if write && p.Reason == "" {
		return p, fault.New(fault.Invalid, "the argument "+x.reason+" is missing").WithHint("say why: whoever approves it reads it")
	}
	return p, nil
}
