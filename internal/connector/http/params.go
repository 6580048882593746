package http

import (
	"encoding/json"
	"maps"
	"mime"
	"net/textproto"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

// param is one parameter of a request.
type param struct {
	Arg     string `json:"arg"`  // the argument's name
	Name    string `json:"name"` // on the wire
	In      string `json:"in"`   // path, query or header
	Style   string `json:"style"`
	Explode bool   `json:"explode"`
	JSON    bool   `json:"json"` // the value is JSON text
}

// body is a request's body.
type body struct {
	Type     string   `json:"type"`
	Required bool     `json:"required"`
	Whole    bool     `json:"whole"` // the argument "body"; else Props
	Props    []string `json:"props"`
}

const wholeBody = "body"

// arguments collects the one object that a Worker sends.
type arguments struct {
	props    object
	required []any
}

func (a *arguments) add(name string, s any, required bool) {
	a.props[name] = s
	if required {
		a.required = append(a.required, name)
	}
}

// schema is the closed schema, in canonical form.
func (a *arguments) schema(defs object) (json.RawMessage, error) {
	s := object{"type": "object", "properties": a.props, "additionalProperties": false}
	if len(a.required) > 0 {
		s["required"] = a.required
	}
	if len(defs) > 0 {
		s["$defs"] = defs
	}
	b, err := intent.Marshal(s)
	if err == nil && len(b) > maxSchema {
		err = fault.Newf(fault.Invalid, "has a schema larger than %d KiB", maxSchema>>10)
	}
	return b, err
}

var argName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`) // what model providers take

var notArgName = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// parameters adds the operation's parameters: its own and its path's, in the
// document's order, without those that are not a Worker's.
func (d *document) parameters(op *operation, item, node object, c *converter, args *arguments) error {
	nodes, err := d.parameterNodes(item, node)
	if err != nil {
		return err
	}
	pos := d.positions()
	for _, o := range nodes {
		in, _ := o["in"].(string)
		name, _ := o["name"].(string)
		if pos.taken(in, name) || in == "header" && (textproto.CanonicalMIMEHeaderKey(name) == op.Reference || op.keyed(name)) {
			continue
		}
		required := o["required"] == true || in == "path"
		p, s, err := d.parameter(o, in, name)
		if err != nil {
			if required {
				return err
			}
			continue // an optional parameter that can't be rendered faithfully is not offered
		}
		made, err := c.schema(s, true)
		if err != nil {
			return err
		}
		if p.Arg = strings.Trim(notArgName.ReplaceAllString(name, "_"), "_"); args.props[p.Arg] != nil {
			p.Arg += "_" + in
		}
		if !argName.MatchString(p.Arg) || args.props[p.Arg] != nil {
			return fault.Newf(fault.Invalid, "has a parameter %q whose name can't be an argument's or is taken", fault.Quote(name))
		}
		args.add(p.Arg, described(made, o["description"]), required)
		op.Params = append(op.Params, p)
	}
	return nil
}

func (d *document) parameterNodes(item, node object) ([]object, error) {
	var out []object
	for _, list := range []any{item["parameters"], node["parameters"]} {
		ps, _ := list.([]any)
		for _, p := range ps {
			o, err := d.deref(p)
			if err != nil {
				return nil, fault.Wrap(fault.Invalid, "has a parameter that", err)
			}
			same := func(q object) bool { return q["name"] == o["name"] && q["in"] == o["in"] }
			if i := slices.IndexFunc(out, same); i >= 0 {
				out[i] = o // an operation's own parameter replaces its path's
			} else {
				out = append(out, o)
			}
		}
	}
	return out, nil
}

// parameter reads how a parameter is written, and its schema.
func (d *document) parameter(o object, in, name string) (param, any, error) {
	p := param{Name: name, In: in, Style: map[string]string{"query": "form"}[in]}
	if in == "header" {
		if !httpguts.ValidHeaderFieldName(name) {
			return p, nil, fault.New(fault.Invalid, "has a header whose name is not valid")
		}
		p.Name = textproto.CanonicalMIMEHeaderKey(name)
	}
	if p.Style == "" {
		p.Style = "simple"
	}
	if s, ok := o["style"].(string); ok {
		p.Style = s
	}
	p.Explode = p.Style == "form"
	if e, ok := o["explode"].(bool); ok {
		p.Explode = e
	}
	s, ok := o["schema"]
	if content, has := o["content"].(object); has {
		media, isJSON := content["application/json"].(object)
		if !isJSON || in != "query" {
			return p, nil, fault.Newf(fault.Invalid, "has a parameter %q in a form that is not supported", fault.Quote(name))
		}
		p.JSON, s, ok = true, media["schema"], true
	}
	if !ok || s == nil {
		s = object{"type": "string"}
	}
	return p, s, d.renderable(p, s)
}

// renderable refuses a style that would be written in another way than the
// document says. An exploded object would let its keys be any query parameter.
func (d *document) renderable(p param, s any) error {
	kind := ""
	if o, err := d.deref(s); err == nil {
		kind, _ = o["type"].(string)
		if _, ok := o["properties"]; ok {
			kind = "object"
		}
	}
	ok := map[string][]string{"path": {"simple"}, "header": {"simple"}, "query": {"form", "spaceDelimited", "pipeDelimited", "deepObject"}}[p.In]
	switch {
	case p.JSON:
		return nil
	case slices.Contains(ok, p.Style) && (kind != "object" || p.Style == "deepObject") && (kind != "array" || p.In != "path"):
		return nil
	}
	return fault.Newf(fault.Invalid, "has a parameter %q in a form that is not supported", fault.Quote(p.Name))
}

func described(s, description any) any {
	o, ok := s.(object)
	if t := text(description, 1000); ok && t != "" && o["description"] == nil {
		o = maps.Clone(o)
		o["description"] = t
		return o
	}
	return s
}

// body adds the request's body.
func (d *document) body(op *operation, node object, c *converter, args *arguments) error {
	if node["requestBody"] == nil || op.Method == "GET" || op.Method == "HEAD" {
		return nil
	}
	rb, err := d.deref(node["requestBody"])
	if err != nil {
		return fault.Wrap(fault.Invalid, "has a body that", err)
	}
	required := rb["required"] == true
	content, _ := rb["content"].(object)
	ctype := jsonType(content)
	if ctype == "" {
		if required {
			return fault.New(fault.Invalid, "takes a body that is not JSON")
		}
		return nil
	}
	media, _ := content[ctype].(object)
	op.Body = &body{Type: ctype, Required: required}
	if o, err := d.deref(media["schema"]); err == nil && d.inlines(o, args, required) {
		return op.inline(o, c, args)
	}
	if args.props[wholeBody] != nil {
		return fault.New(fault.Invalid, "has a parameter named body beside a body")
	}
	op.Body.Whole = true
	made := any(true)
	if media["schema"] != nil {
		if made, err = c.schema(media["schema"], true); err != nil {
			return err
		}
	}
	args.add(wholeBody, made, required)
	return nil
}

func jsonType(content object) string {
	best := ""
	for _, k := range slices.Sorted(maps.Keys(content)) {
		t, _, err := mime.ParseMediaType(k)
		if err == nil && isJSON(t) && httpguts.ValidHeaderFieldValue(k) && (best == "" || t == "application/json") {
			best = k
		}
	}
	return best
}

// inlines reports whether a body's properties can be arguments themselves: it
// is a plain object that lists them all, and no name is taken.
func (d *document) inlines(o object, args *arguments, required bool) bool {
	props, ok := o["properties"].(object)
	if !ok || len(props) == 0 || !required && o["required"] != nil {
		return false
	}
	for k, v := range o {
		switch {
		case slices.Contains([]string{"type", "properties", "required", "title", "description", "example", "examples", "externalDocs", "xml", "deprecated"}, k):
		case k == "additionalProperties" && v == false, strings.HasPrefix(k, "x-"):
		default:
			return false
		}
	}
	for name := range props {
		if !argName.MatchString(name) || args.props[name] != nil {
			return false
		}
	}
	t, typed := o["type"]
	return !typed || t == "object"
}

func (op *operation) inline(o object, c *converter, args *arguments) error {
	made, err := c.schema(o, true)
	if err != nil {
		return err
	}
	m, _ := made.(object)
	props, _ := m["properties"].(object)
	required, _ := m["required"].([]any)
	for _, name := range slices.Sorted(maps.Keys(props)) {
		args.add(name, props[name], slices.Contains(required, any(name)))
		op.Body.Props = append(op.Body.Props, name)
	}
	return nil
}
