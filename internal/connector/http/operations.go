package http

import (
	"maps"
	"net/textproto"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/connector/schema"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// operation is a Tool with what rendering needs. Its exported fields decide
// what a call does, and the Tool's digest covers them.
type operation struct {
	Method    string           `json:"method"`
	Base      string           `json:"base"`
	Path      string           `json:"path"` // template, with a slash first
	Params    []param          `json:"params"`
	Body      *body            `json:"body"`
	Accept    string           `json:"accept"`
	Reference string           `json:"reference"` // header for the Intent's id
	Lookup    *resource.Lookup `json:"lookup"`
	// Idempotency is where the Intent's key goes, and what the system makes of it.
	Idempotency *resource.Idempotency `json:"idempotency,omitempty"`

	tool    connector.Tool
	checker *schema.Checker
	pattern *regexp.Regexp // what Path expands to
	types   []string       // media types of a good answer, as declared
}

var methods = []string{"get", "put", "post", "delete", "options", "head", "patch"}

func (k *Kind) addOperations(d *document, rules map[string]resource.ToolRule) error {
	paths, _ := d.root["paths"].(object)
	used, count := map[string]bool{}, 0
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if strings.HasPrefix(path, "x-") {
			continue
		}
		item, err := d.deref(paths[path])
		if err != nil {
			return at(err, "paths", path)
		}
		for _, method := range methods {
			node, ok := item[method].(object)
			if !ok {
				continue
			}
			if count++; count > maxOperations {
				return fault.Newf(fault.Invalid, "the OpenAPI document has more than %d operations", maxOperations)
			}
			if err := k.addOperation(d, path, method, item, node, rules, used); err != nil {
				return err
			}
		}
	}
	for id := range rules {
		if !used[id] {
			return fault.Newf(fault.Invalid, "tools names %q, which is not an operation that can be offered", fault.Quote(id)).
				WithHint("%s", k.hintSkipped(id))
		}
	}
	return nil
}

func (k *Kind) hintSkipped(id string) string {
	for _, s := range k.skipped {
		if strings.Contains(s.Why, id) {
			return "it was left out: " + fault.Quote(s.Why)
		}
	}
	return "use an operationId of the document"
}

// at says where in the document an error is.
func at(err error, tokens ...string) error {
	f := fault.Newf(fault.Invalid, "%q in the OpenAPI document", pointer(tokens...))
	f.Err = err
	return f
}

func (k *Kind) addOperation(d *document, path, method string, item, node object, rules map[string]resource.ToolRule, used map[string]bool) error {
	id, _ := node["operationId"].(string)
	place := pointer("paths", path, method)
	if id == "" {
		k.skipped = append(k.skipped, Skip{place, "it has no operationId"})
		return nil
	}
	rule, ruled := rules[id]
	name := ToolName(id)
	if len(name) > 64 || name == "" {
		k.skipped = append(k.skipped, Skip{place, id + ": its operationId can't be a tool's name of at most 64 bytes"})
		return nil
	}
	op, err := d.operation(k.base, path, method, item, node, rule)
	if err != nil {
		if ruled && fault.HintOf(err) != "" { // the rule is at fault, not the document
			return at(err, "paths", path, method)
		}
		k.skipped = append(k.skipped, Skip{place, id + " " + err.Error()})
		return nil
	}
	if _, twice := k.ops[name]; twice {
		return at(fault.Newf(fault.Invalid, "the operationId %q makes the tool name %q a second time", fault.Quote(id), name), "paths", path, method)
	}
	used[id] = ruled
	op.tool.Name = name
	k.ops[name] = op
	return nil
}

var notName = regexp.MustCompile(`[^A-Za-z0-9-]+`)

// ToolName is the name of an operationId's Tool. It keeps what model providers
// and MCP take: letters, digits, "-" and single "_".
func ToolName(id string) string { return strings.Trim(notName.ReplaceAllString(id, "_"), "_") }

// operation makes one operation; an error says why it can't be offered. An
// error with a hint is the rule's fault.
func (d *document) operation(base, path, method string, item, node object, rule resource.ToolRule) (*operation, error) {
	op := &operation{Method: strings.ToUpper(method), Base: base, Path: path, Lookup: rule.Lookup}
	var err error
	if op.tool.Effect, err = effect(method, rule); err != nil {
		return nil, err
	}
	if op.Reference, err = referenceHeader(rule.ReferenceHeader); err != nil {
		return nil, err
	}
	if err = op.idempotency(rule.Idempotency); err != nil {
		return nil, err
	}
	c := &converter{doc: d, defs: object{}, queue: map[string]bool{}}
	args := &arguments{props: object{}}
	if err := d.parameters(op, item, node, c, args); err != nil {
		return nil, err
	}
	if err := checkTemplate(path, op.Params); err != nil {
		return nil, err
	}
	if err := d.body(op, node, c, args); err != nil {
		return nil, err
	}
	if err := d.answers(op, node); err != nil {
		return nil, err
	}
	if err := cost(c.defs); err != nil {
		return nil, err
	}
	if op.tool.Schema, err = args.schema(c.defs); err != nil {
		return nil, err
	}
	if op.checker, err = schema.Compile(op.tool.Schema); err != nil {
		return nil, err
	}
	op.pattern = pathPattern(path)
	op.tool.Title = text(node["summary"], 200)
	op.tool.Description = text(node["description"], 2000)
	op.tool.Lookup, op.tool.Idempotency, op.tool.NotSecret = rule.Lookup, op.Idempotency, rule.NotSecret
	op.tool.Record, op.tool.RecordPrivate = rule.Record, rule.RecordPrivate
	return op, op.digest()
}

func (op *operation) digest() error {
	b, err := intent.Marshal(struct {
		Version   int             `json:"version"`
		Effect    resource.Effect `json:"effect"`
		Schema    any             `json:"schema"`
		Operation *operation      `json:"operation"`
	}{1, op.tool.Effect, op.tool.Schema, op})
	if err != nil {
		return err
	}
	op.tool.Digest = string(intent.SHA256(b))
	return nil
}

// effect: GET and HEAD are reads, all else writes, unless the rule knows
// better. No rule makes a read of a method that is there to change something.
func effect(method string, rule resource.ToolRule) (resource.Effect, error) {
	switch {
	case rule.Effect == resource.Read && slices.Contains([]string{"put", "patch", "delete"}, method):
		return "", fault.Newf(fault.Invalid, "a rule calls a %s a read", strings.ToUpper(method)).
			WithHint("only GET, HEAD, OPTIONS and POST can be reads")
	case rule.Effect == resource.Read || rule.Effect == resource.Write:
		return rule.Effect, nil
	case rule.Effect != "":
		return "", fault.Newf(fault.Invalid, "a rule's effect %q is not read or write", fault.Quote(string(rule.Effect))).WithHint("write read or write")
	case method == "get" || method == "head":
		return resource.Read, nil
	}
	return resource.Write, nil
}

func referenceHeader(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	n := textproto.CanonicalMIMEHeaderKey(name)
	if !httpguts.ValidHeaderFieldName(name) || forbiddenHeader(n) && !slices.Contains(repeatHeaders, n) {
		return "", fault.Newf(fault.Invalid, "a rule's referenceHeader %q can't carry a reference", fault.Quote(name)).
			WithHint("name a header that the system stores with the record, like Client-Reference, or Idempotency-Key")
	}
	return n, nil
}

// idempotency takes the rule's declaration, with the header in its canonical form.
func (op *operation) idempotency(rule *resource.Idempotency) error {
	if rule == nil {
		return nil
	}
	if op.tool.Effect != resource.Write {
		return fault.New(fault.Invalid, "a rule declares an idempotency key for a read").WithHint("take it out: a read is read again")
	}
	n := textproto.CanonicalMIMEHeaderKey(rule.Header)
	if !httpguts.ValidHeaderFieldName(n) || n == op.Reference || forbiddenHeader(n) && !slices.Contains(repeatHeaders, n) {
		return fault.Newf(fault.Invalid, "a rule's idempotency header %q can't carry a key", fault.Quote(rule.Header)).
			WithHint("name the header that the system takes it in, like Idempotency-Key")
	}
	i := *rule
	i.Header = n
	op.Idempotency = &i
	return nil
}

// keyed reports whether a header is the one that carries the key.
func (op *operation) keyed(name string) bool {
	return op.Idempotency != nil && op.Idempotency.Header == textproto.CanonicalMIMEHeaderKey(name)
}

// sends reports whether a request of this operation may have a header.
func (op *operation) sends(name string) bool {
	switch name {
	case "Accept":
		return true
	case "Content-Type":
		return op.Body != nil
	case op.Reference:
		return name != ""
	}
	return op.keyed(name) || slices.ContainsFunc(op.Params, func(p param) bool { return p.In == "header" && p.Name == name })
}

// asks reports whether a request of this operation may have a query parameter.
func (op *operation) asks(name string) bool {
	return slices.ContainsFunc(op.Params, func(p param) bool {
		return p.In == "query" && (p.Name == name || p.Style == "deepObject" && strings.HasPrefix(name, p.Name+"["))
	})
}

// text takes a description, cut at max bytes.
func text(v any, limit int) string {
	s, _ := v.(string)
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return strings.TrimSpace(s)
}
