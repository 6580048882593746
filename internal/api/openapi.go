package api

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/resource"
)

// OpenAPI makes the OpenAPI 3.1 document of the routes, from the same table that
// serves them. The bytes are the same for the same program.
func (a *API) OpenAPI() []byte {
	g := &generator{schemas: map[string]any{}, named: map[string]reflect.Type{}}
	problem := map[string]any{"description": "An error", "content": map[string]any{"application/problem+json": map[string]any{"schema": g.ref(reflect.TypeFor[Problem]())}}}
	paths := map[string]any{}
	for _, rt := range a.routes {
		item, _ := paths[rt.pattern].(map[string]any)
		if item == nil {
			item = map[string]any{}
			paths[rt.pattern] = item
		}
		item[strings.ToLower(rt.method)] = g.operation(rt, problem)
	}
	doc := map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{"title": "Sallyport", "version": "v1",
			"description": "The API of Sallyport: Missions, Runs, the Decision Queue, Secrets that nobody can read back, and the audit log."},
		"paths":      paths,
		"components": map[string]any{"schemas": g.schemas, "securitySchemes": map[string]any{"token": map[string]any{"type": "http", "scheme": "bearer"}}},
	}
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		panic("api: the OpenAPI document can't be encoded: " + err.Error()) // of maps and strings
	}
	return append(b, '\n')
}

func (a *API) serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(a.OpenAPI()) // the client is gone when this fails
}

type generator struct {
	schemas map[string]any
	named   map[string]reflect.Type
}

var pathParam = regexp.MustCompile(`\{(\w+)\}`)
var queryParam = regexp.MustCompile(`\?(\w+)=`)

func (g *generator) operation(rt route, problem any) map[string]any {
	op := map[string]any{"summary": rt.summary, "operationId": operationID(rt)}
	var params []any
	for _, m := range pathParam.FindAllStringSubmatch(rt.pattern, -1) {
		params = append(params, map[string]any{"name": m[1], "in": "path", "required": true, "schema": map[string]any{"type": "string"}})
	}
	for _, m := range queryParam.FindAllStringSubmatch(rt.summary, -1) {
		params = append(params, map[string]any{"name": m[1], "in": "query", "schema": map[string]any{"type": "string"}})
	}
	if params != nil {
		op["parameters"] = params
	}
	if rt.req != reflect.TypeFor[none]() {
		op["requestBody"] = map[string]any{"required": true, "content": jsonContent(g.ref(rt.req))}
	}
	ok := map[string]any{"description": "Done"}
	status := rt.status
	switch {
	case rt.resp == reflect.TypeFor[none]():
		status = http.StatusNoContent
	case rt.resp == reflect.TypeFor[io.Reader]():
		ok["content"] = map[string]any{rt.media: map[string]any{}} // bytes
	case rt.media != "":
		ok["content"] = map[string]any{rt.media: map[string]any{"schema": g.ref(rt.resp)}}
	default:
		ok["content"] = jsonContent(g.ref(rt.resp))
	}
	op["responses"] = map[string]any{strconv.Itoa(status): ok, "default": problem}
	if !rt.access.open {
		op["security"] = []any{map[string]any{"token": []any{}}}
		op["description"] = rt.access.words()
	}
	return op
}

func (acc access) words() string {
	switch {
	case acc.run && acc.person:
		return "For people who may see the Run, and for the Run itself."
	case acc.run:
		return "For the Run's own Worker, with the Run's token."
	case acc.person:
		return "For everybody who is signed in."
	}
	return "For people: " + strings.TrimPrefix(acc.hint(), "it takes ") + "."
}

func operationID(rt route) string {
	parts := strings.FieldsFunc(rt.pattern, func(r rune) bool { return strings.ContainsRune("/{}.", r) })
	id := strings.ToLower(rt.method)
	for _, p := range parts {
		if p != "v1" {
			id += strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return id
}

func jsonContent(schema any) map[string]any {
	return map[string]any{"application/json": map[string]any{"schema": schema}}
}

// ref gives a reference to a type's schema, and makes the schema.
func (g *generator) ref(t reflect.Type) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() {
		return g.schema(t)
	}
	name := t.Name()
	if other, taken := g.named[name]; taken && other != t {
		name = strings.ToUpper(t.PkgPath()[strings.LastIndexByte(t.PkgPath(), '/')+1:][:1]) + t.PkgPath()[strings.LastIndexByte(t.PkgPath(), '/')+2:] + name
	}
	if _, done := g.named[name]; !done {
		g.named[name] = t
		g.schemas[name] = g.object(t)
	}
	return map[string]any{"$ref": "#/components/schemas/" + name}
}

func (g *generator) schema(t reflect.Type) any {
	switch t {
	case reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case reflect.TypeFor[json.RawMessage](), reflect.TypeFor[resource.Resource]():
		return map[string]any{}
	case reflect.TypeFor[resource.Duration]():
		return map[string]any{"type": "string", "description": "a duration such as 30s or 168h"}
	case reflect.TypeFor[[]byte]():
		return map[string]any{"type": "string", "contentEncoding": "base64"}
	case reflect.TypeFor[Value]():
		return map[string]any{"type": "string", "writeOnly": true}
	}
	switch t.Kind() {
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Slice, reflect.Array:
		return map[string]any{"type": "array", "items": g.ref(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": g.ref(t.Elem())}
	case reflect.Interface:
		return map[string]any{}
	default:
		return map[string]any{"type": "integer"}
	}
}

func (g *generator) object(t reflect.Type) any {
	props, required := map[string]any{}, []string{}
	for f := range t.Fields() {
		tag, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "-" || !f.IsExported() {
			continue
		}
		if f.Anonymous && tag == "" {
			embedded, _ := g.object(f.Type).(map[string]any)
			for k, v := range embedded["properties"].(map[string]any) {
				props[k] = v
			}
			required = append(required, embedded["required"].([]string)...)
			continue
		}
		if tag == "" {
			tag = f.Name
		}
		props[tag] = g.ref(f.Type)
		if !strings.Contains(opts, "omitempty") && !strings.Contains(opts, "omitzero") {
			required = append(required, tag)
		}
	}
	slices.Sort(required)
	return map[string]any{"type": "object", "properties": props, "required": required}
}
