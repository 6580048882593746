package policy

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"sallyport.dev/internal/fault"
)

// shape is the Cedar type of a value of a JSON Schema. nil is a value that
// Cedar can't type (a union, anything goes): a policy can't speak about it.
type shape struct {
	kind   shapeKind
	elem   *shape            // of a set
	fields map[string]member // of a record
}

type member struct {
	*shape        // nil: it has no shape in this Tool, so merged ones have none either
	required bool // always there and never null
}

type shapeKind string

const (
	isBool    shapeKind = "Boolean"
	isLong    shapeKind = "Long"
	isString  shapeKind = "String"
	isDecimal shapeKind = "decimal"
	isSet     shapeKind = "Set"
	isRecord  shapeKind = "Record"
	isTime    shapeKind = "datetime" // of the context only
	isAddress shapeKind = "ipaddr"   // of the context only
)

// maxShape bounds nesting and $ref chains; what is deeper has no shape.
const maxShape = 16

// parseShape reads the JSON Schema of a Tool's arguments, which is an object.
func parseShape(raw json.RawMessage) (*shape, error) {
	if len(raw) == 0 {
		return &shape{kind: isRecord}, nil
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fault.New(fault.Invalid, "it is not a JSON object")
	}
	p := shaper{root: doc, budget: 10_000}
	s, _ := p.shape(doc, 0)
	if s == nil || s.kind != isRecord {
		return nil, fault.New(fault.Invalid, "it does not describe an object")
	}
	return s, nil
}

type shaper struct {
	root   map[string]any
	budget int // schemas that may still be visited: a $ref can multiply them
}

// shape gives a schema's shape, and whether null is a value of it.
func (p *shaper) shape(v any, depth int) (s *shape, nullable bool) {
	m, ok := v.(map[string]any)
	if p.budget--; !ok || depth > maxShape || p.budget < 0 {
		return nil, true
	}
	if ref, ok := m["$ref"].(string); ok {
		return p.shape(p.resolve(ref), depth+1)
	}
	for _, k := range []string{"anyOf", "oneOf", "allOf", "not", "if"} {
		if _, there := m[k]; there {
			return nil, true
		}
	}
	kind, nullable := typeOf(m)
	switch kind {
	case "boolean":
		return &shape{kind: isBool}, nullable
	case "integer":
		return &shape{kind: isLong}, nullable
	case "number":
		return &shape{kind: isDecimal}, nullable
	case "string":
		return &shape{kind: isString}, nullable
	case "array":
		elem, _ := p.shape(m["items"], depth+1)
		if elem == nil {
			return nil, nullable
		}
		return &shape{kind: isSet, elem: elem}, nullable
	case "object":
		return p.record(m, depth), nullable
	}
	return nil, true
}

func (p *shaper) record(m map[string]any, depth int) *shape {
	s := &shape{kind: isRecord, fields: map[string]member{}}
	required, _ := m["required"].([]any)
	props, _ := m["properties"].(map[string]any)
	for name, sub := range props {
		f, nullable := p.shape(sub, depth+1)
		s.fields[name] = member{f, !nullable && slices.Contains(required, any(name))}
	}
	return s
}

// typeOf reads "type": one name, or one beside "null". Values that are listed
// may also be null.
func typeOf(m map[string]any) (kind string, nullable bool) {
	if enum, ok := m["enum"].([]any); ok && slices.Contains(enum, nil) {
		nullable = true
	}
	switch t := m["type"].(type) {
	case string:
		return t, nullable
	case []any:
		for _, e := range t {
			switch s, _ := e.(string); {
			case s == "null":
				nullable = true
			case kind == "":
				kind = s
			default:
				return "", true
			}
		}
	}
	return kind, nullable
}

// resolve follows a pointer within the document; anything else has no shape.
func (p *shaper) resolve(ref string) any {
	rest, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil
	}
	var at any = p.root
	for part := range strings.SplitSeq(rest, "/") {
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
	}
	return at
}

// merge is what can be said of both shapes: a field of two types has none, and
// one that is missing in either is optional.
func merge(a, b *shape) *shape {
	if a == nil || b == nil || a.kind != b.kind {
		return nil
	}
	switch a.kind {
	case isSet:
		elem := merge(a.elem, b.elem)
		if elem == nil {
			return nil
		}
		return &shape{kind: isSet, elem: elem}
	case isRecord:
		out := &shape{kind: isRecord, fields: map[string]member{}}
		for name, f := range a.fields {
			g, both := b.fields[name]
			if !both {
				out.fields[name] = member{f.shape, false}
			} else {
				out.fields[name] = member{merge(f.shape, g.shape), f.required && g.required}
			}
		}
		for name, g := range b.fields {
			if _, both := a.fields[name]; !both {
				out.fields[name] = member{g.shape, false}
			}
		}
		return out
	case isBool, isLong, isString, isDecimal, isTime, isAddress: // the same in both
	}
	return a
}

// cedarType writes the shape as Cedar's JSON schema format has it.
func (s *shape) cedarType() map[string]any {
	switch s.kind {
	case isSet:
		return map[string]any{"type": "Set", "element": s.elem.cedarType()}
	case isDecimal, isTime, isAddress:
		return map[string]any{"type": "Extension", "name": string(s.kind)}
	case isRecord:
		attrs := map[string]any{}
		for name, f := range s.fields {
			if f.shape == nil {
				continue
			}
			t := f.cedarType()
			t["required"] = f.required
			attrs[name] = t
		}
		return map[string]any{"type": "Record", "attributes": attrs}
	case isBool, isLong, isString: // Cedar calls them as shapeKind does
	}
	return map[string]any{"type": string(s.kind)}
}

// contextOf is what a statement finds in "context", with these arguments.
func contextOf(args *shape) *shape {
	is := func(k shapeKind) member { return member{&shape{kind: k}, true} }
	return &shape{kind: isRecord, fields: map[string]member{
		"args": {args, true}, "connection": is(isString), "tool": is(isString), "mission": is(isString), "starter": is(isString),
		"worker": is(isString), "now": is(isTime), "hour": is(isLong), "weekday": is(isLong), "source": {&shape{kind: isAddress}, false},
		"untrusted": {&shape{kind: isSet, elem: &shape{kind: isString}}, true},
	}}
}

// newValidator makes a strict validator of the vocabulary with this context.
func newValidator(context *shape) (*validate.Validator, error) {
	text := map[string]any{"type": "String"}
	action := map[string]any{"appliesTo": map[string]any{
		"principalTypes": []string{string(typeWorker)}, "resourceTypes": []string{string(typeTool)},
		"context": context.cedarType(),
	}}
	record := func(attrs map[string]any) map[string]any {
		return map[string]any{"type": "Record", "attributes": attrs}
	}
	doc := map[string]any{"": map[string]any{
		"entityTypes": map[string]any{
			string(typeMission): map[string]any{}, string(typeIntegration): map[string]any{}, string(typeConnection): map[string]any{},
			string(typeWorker): map[string]any{"memberOfTypes": []string{string(typeMission)}, "shape": record(map[string]any{"starter": maps.Clone(text), "name": maps.Clone(text), "owner": maps.Clone(text)})},
			string(typeTool):   map[string]any{"memberOfTypes": []string{string(typeIntegration), string(typeConnection)}, "shape": record(map[string]any{"effect": maps.Clone(text)})},
		},
		"actions": map[string]any{string(actionCall.ID): action, string(actionUnattended.ID): action},
	}}
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "writing the Cedar schema", err)
	}
	var sch schema.Schema
	if err := sch.UnmarshalJSON(b); err != nil {
		return nil, fault.Newf(fault.Invalid, "the tools' schemas have no Cedar form: %s", clip(err.Error()))
	}
	res, err := sch.Resolve()
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "the tools' schemas have no Cedar form: %s", clip(err.Error()))
	}
	return validate.New(res, validate.WithStrict()), nil
}
