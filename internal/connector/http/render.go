package http

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/http/httpguts"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

// Render makes the request of a Tool: what a Worker's arguments can reach is
// the inside of a path segment, the values of declared query and header
// parameters, and the JSON body. Kind Invalid for a value that can't be
// written as what it is.
func (k *Kind) Render(tool string, args json.RawMessage, reference string) (intent.Request, error) {
	op, err := k.op(tool)
	if err != nil {
		return intent.Request{}, err
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(args, &given); err != nil {
		return intent.Request{}, fault.New(fault.Invalid, "the arguments are not a JSON object")
	}
	r := intent.Request{Method: op.Method, Headers: map[string]string{"Accept": op.Accept}}
	path := map[string]string{}
	query := url.Values{}
	for _, p := range op.Params {
		raw, ok := given[p.Arg]
		if !ok {
			continue
		}
		v, err := decode(raw)
		if err == nil {
			err = p.write(v, raw, path, query, r.Headers)
		}
		if err != nil {
			return intent.Request{}, fault.Wrap(fault.Invalid, "the argument "+p.Arg, err)
		}
	}
	rest, err := expand(op.Path, path)
	if err != nil {
		return intent.Request{}, err
	}
	r.URL = k.base + rest
	if len(query) > 0 {
		r.URL += "?" + query.Encode()
	}
	if err := op.writeBody(given, &r); err != nil {
		return intent.Request{}, err
	}
	if op.Reference != "" && reference != "" {
		if !plainReference.MatchString(reference) {
			return intent.Request{}, fault.New(fault.Internal, "the reference is not an Intent's id")
		}
		r.Headers[op.Reference] = reference
	}
	if op.Idempotency != nil && reference != "" {
		r.Headers[op.Idempotency.Header] = intent.IdempotencyKey(reference)
	}
	return r, k.admits(op, r)
}

var plainReference = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)

func decode(raw json.RawMessage) (any, error) {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fault.New(fault.Invalid, "is not JSON")
	}
	return v, nil
}

// write puts one value where its parameter goes.
func (p param) write(v any, raw json.RawMessage, path map[string]string, query url.Values, headers map[string]string) error {
	if p.JSON {
		c, err := intent.Canonical(raw)
		query.Set(p.Name, string(c))
		return err
	}
	if o, ok := v.(map[string]any); ok {
		return p.writeObject(o, query)
	}
	var vs []string
	list, isList := v.([]any)
	if !isList {
		list = []any{v}
	}
	for _, item := range list {
		s, err := scalar(item)
		if err != nil {
			return err
		}
		vs = append(vs, s)
	}
	switch p.In {
	case "path":
		if isList {
			return fault.New(fault.Invalid, "is a list, and has to be one value")
		}
		s, err := segment(vs[0])
		path[p.Name] = s
		return err
	case "header":
		s, err := join(vs, ",", isList)
		if err != nil {
			return err
		}
		if !httpguts.ValidHeaderFieldValue(s) || strings.TrimSpace(s) != s {
			return fault.New(fault.Invalid, "has a character that a header can't have")
		}
		headers[p.Name] = s
		return nil
	}
	if p.Explode || !isList {
		query[p.Name] = append(query[p.Name], vs...)
		return nil
	}
	s, err := join(vs, map[string]string{"spaceDelimited": " ", "pipeDelimited": "|"}[p.Style], true)
	query.Set(p.Name, s)
	return err
}

func (p param) writeObject(o map[string]any, query url.Values) error {
	if p.In != "query" || p.Style != "deepObject" {
		return fault.New(fault.Invalid, "is an object, and has to be one value")
	}
	for key, item := range o {
		s, err := scalar(item)
		if err != nil {
			return err
		}
		if strings.ContainsAny(key, "[]") {
			return fault.New(fault.Invalid, "has a bracket in a name")
		}
		query.Set(p.Name+"["+key+"]", s)
	}
	return nil
}

// join refuses an item that would be read as two.
func join(vs []string, sep string, isList bool) (string, error) {
	if sep == "" {
		sep = ","
	}
	if isList && slices.ContainsFunc(vs, func(s string) bool { return strings.Contains(s, sep) }) {
		return "", fault.Newf(fault.Invalid, "has an item with %q, which separates items here", sep)
	}
	return strings.Join(vs, sep), nil
}

func scalar(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		if v {
			return "true", nil
		}
		return "false", nil
	}
	return "", fault.New(fault.Invalid, "is not a text, a number or a boolean")
}

// segment escapes a path value so that it stays one segment, also for a system
// that unescapes before it splits, or twice.
func segment(s string) (string, error) {
	if s == "" {
		return "", fault.New(fault.Invalid, "is empty, and is part of the path")
	}
	for seen := s; ; {
		if strings.ContainsFunc(seen, unicode.IsControl) || dotSegment(strings.ReplaceAll(seen, "\\", "/")) {
			return "", fault.New(fault.Invalid, "would lead elsewhere in the path")
		}
		next, err := url.PathUnescape(seen)
		if err != nil || next == seen {
			return url.PathEscape(s), nil
		}
		seen = next
	}
}

// dotSegment reports whether a path has a segment "." or "..", with or without
// parameters (";").
func dotSegment(path string) bool {
	for s := range strings.SplitSeq(path, "/") {
		s, _, _ = strings.Cut(s, ";")
		if s == "." || s == ".." {
			return true
		}
	}
	return false
}

var placeholderIn = regexp.MustCompile(`\{([^{}/]*)\}`)

// expand fills the path template with escaped values.
func expand(template string, values map[string]string) (string, error) {
	out := placeholderIn.ReplaceAllStringFunc(template, func(m string) string { return values[m[1:len(m)-1]] })
	for _, m := range placeholderIn.FindAllStringSubmatch(template, -1) {
		if values[m[1]] == "" {
			return "", fault.Newf(fault.Invalid, "the path's %q is missing", fault.Quote(m[1]))
		}
	}
	if dotSegment(out) { // "{a}{b}" of "." and "."
		return "", fault.New(fault.Invalid, "the arguments together would lead elsewhere in the path")
	}
	return out, nil
}

// pathPattern matches what a template expands to, and nothing else.
func pathPattern(template string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString("^")
	at := 0
	for _, m := range placeholderIn.FindAllStringIndex(template, -1) {
		b.WriteString(regexp.QuoteMeta(template[at:m[0]]) + "[^/?#]+")
		at = m[1]
	}
	b.WriteString(regexp.QuoteMeta(template[at:]) + "$")
	return regexp.MustCompile(b.String()) // quoted text and a constant: it always compiles
}

// checkTemplate says whether a path can be expanded: plain, and each of its
// names a path parameter.
func checkTemplate(path string, params []param) error {
	plain := placeholderIn.ReplaceAllString(path, "x")
	bad := !strings.HasPrefix(path, "/") || strings.Contains(plain, "//") || dotSegment(plain) ||
		strings.ContainsAny(plain, "?#%\\{}\"<>^`|") || strings.ContainsFunc(plain, func(r rune) bool { return r <= ' ' || r > '~' })
	if bad {
		return fault.New(fault.Invalid, "has a path that is not plain")
	}
	for _, m := range placeholderIn.FindAllStringSubmatch(path, -1) {
		if !slices.ContainsFunc(params, func(p param) bool { return p.In == "path" && p.Name == m[1] }) {
			return fault.Newf(fault.Invalid, "has no parameter for the path's %q", fault.Quote(m[1]))
		}
	}
	for _, p := range params {
		if p.In == "path" && !strings.Contains(path, "{"+p.Name+"}") {
			return fault.Newf(fault.Invalid, "has a path parameter %q that is not in the path", fault.Quote(p.Name))
		}
	}
	return nil
}

func (op *operation) writeBody(given map[string]json.RawMessage, r *intent.Request) error {
	if op.Body == nil {
		return nil
	}
	var v any
	if op.Body.Whole {
		raw, ok := given[wholeBody]
		if !ok {
			return nil
		}
		v = raw
	} else {
		m := map[string]json.RawMessage{}
		for _, name := range op.Body.Props {
			if raw, ok := given[name]; ok {
				m[name] = raw
			}
		}
		if len(m) == 0 && !op.Body.Required {
			return nil
		}
		v = m
	}
	b, err := intent.Marshal(v)
	if err != nil {
		return err
	}
	r.Body = string(b)
	r.Headers["Content-Type"] = op.Body.Type
	return nil
}
