package config

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// decoder fills a resource from a node and remembers where each field stands.
type decoder struct {
	*report
	places places
	whole  reflect.Type // where a misplaced key is looked for; nil: nowhere
}

func (d *decoder) decode(n *node, v reflect.Value, path string) {
	d.places[path] = n.at
	if v.Type() == reflect.TypeFor[json.RawMessage]() {
		d.exact(n, v)
		return
	}
	if n.kind == aNothing {
		d.add(n.at, fault.New(fault.Invalid, "it has no value").WithHint("leave the key out, or give it a value"))
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if n.kind != aText || u.UnmarshalText([]byte(n.text)) != nil {
			d.add(n.at, fault.New(fault.Invalid, "it is not a duration").WithHint("write it like 30s, 15m or 48h"))
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		d.decode(n, p.Elem(), path)
		v.Set(p)
	case reflect.Struct:
		d.object(n, v, path)
	case reflect.Map:
		d.mapping(n, v, path)
	case reflect.Slice:
		if !d.is(n, aList) {
			return
		}
		s := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
		for i, e := range n.items {
			d.decode(e, s.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
		v.Set(s)
	case reflect.Interface:
		d.free(n, v)
	default:
		d.scalar(n, v)
	}
}

// free sets a value of any type as encoding/json decodes it, so that a resource
// from YAML equals the same one from the store.
func (d *decoder) free(n *node, v reflect.Value) {
	b, err := json.Marshal(n.any())
	if err == nil {
		err = json.Unmarshal(b, v.Addr().Interface())
	}
	if err != nil {
		d.addf(n.at, "it is not plain data")
	}
}

// exact sets a value as JSON, numbers as they are written.
func (d *decoder) exact(n *node, v reflect.Value) {
	b, err := json.Marshal(n.exact())
	if err != nil {
		d.addf(n.at, "it is not plain data")
		return
	}
	v.SetBytes(b)
}

func (d *decoder) is(n *node, want kind) bool {
	if n.kind == want {
		return true
	}
	f := fault.Newf(fault.Invalid, "it is %s, and %s is needed", n.kind, want)
	if want == aText && (n.kind == aNumber || n.kind == aBoolean) {
		f = f.WithHint("put it in quotes")
	}
	d.add(n.at, f)
	return false
}

func (d *decoder) scalar(n *node, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if d.is(n, aText) {
			v.SetString(n.text)
		}
	case reflect.Bool:
		if b, err := strconv.ParseBool(n.text); n.plain && err == nil && (n.text == "true" || n.text == "false") {
			v.SetBool(b)
		} else if d.is(n, aBoolean) {
			v.SetBool(n.value.(bool))
		}
	case reflect.Int, reflect.Int64:
		if d.isNumber(n) {
			i, err := strconv.ParseInt(n.text, 10, v.Type().Bits())
			if err != nil {
				d.addf(n.at, "it is not a whole number, or too large")
				return
			}
			v.SetInt(i)
		}
	case reflect.Float64:
		if d.isNumber(n) {
			f, err := strconv.ParseFloat(n.text, 64)
			if err != nil {
				d.addf(n.at, "it is not a number")
				return
			}
			v.SetFloat(f)
		}
	default:
		d.addf(n.at, "this field can't be set")
	}
}

func (d *decoder) isNumber(n *node) bool {
	return n.plain && decimal.MatchString(n.text) || d.is(n, aNumber)
}

func (d *decoder) mapping(n *node, v reflect.Value, path string) {
	if !d.is(n, aMapping) {
		return
	}
	m := reflect.MakeMap(v.Type())
	for i, k := range n.keys {
		e := reflect.New(v.Type().Elem()).Elem()
		if n.items[i].kind != aNothing || e.Kind() != reflect.Interface { // a null argument is a value
			d.decode(n.items[i], e, join(path, k.text))
		}
		m.SetMapIndex(reflect.ValueOf(k.text), e)
	}
	v.Set(m)
}

func (d *decoder) object(n *node, v reflect.Value, path string) {
	if !d.is(n, aMapping) {
		return
	}
	known := fields(v.Type())
	for i, k := range n.keys {
		at := slices.IndexFunc(known, func(f field) bool { return f.name == k.text })
		if at < 0 {
			var names []string
			for _, f := range known {
				names = append(names, f.name)
			}
			hint := suggest(k.text, names)
			if there := homes(d.whole, k.text, ""); len(there) > 0 {
				hint = "it belongs into " + strings.Join(there, ", ")
			}
			d.add(k.at, fault.Newf(fault.Invalid, "the key %q is not known here", fault.Quote(k.text)).WithHint("%s", hint))
			continue
		}
		d.decode(n.items[i], v.FieldByIndex(known[at].index), join(path, k.text))
	}
}

// suggest is the nearest name, or all of them where there are few.
func suggest(name string, names []string) string {
	if s := resource.DidYouMean(name, names); s != "" || len(names) > 16 {
		return s
	}
	return "there are " + strings.Join(names, ", ")
}

// homes are the parts of a file in which there is a key of the name. The types have
// no cycles.
func homes(t reflect.Type, name, path string) (out []string) {
	if t == nil {
		return nil
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for _, f := range fields(t) {
		if f.name == name && path != "" {
			out = append(out, path)
		}
		out = append(out, homes(f.typ, name, join(path, f.name))...)
	}
	return out
}

// field is a struct's field as YAML has it.
type field struct {
	name     string
	optional bool
	index    []int
	typ      reflect.Type
}

func fields(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if f.Anonymous {
			for _, sub := range fields(f.Type) {
				sub.index = append([]int{i}, sub.index...)
				out = append(out, sub)
			}
		} else if name != "-" && name != "" {
			out = append(out, field{name, opts == "omitempty", []int{i}, f.Type})
		}
	}
	return out
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
