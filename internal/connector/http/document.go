package http

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"sallyport.dev/internal/fault"
)

// The limits of a document.
const (
	maxDocument   = 4 << 20 // bytes
	maxDepth      = 100     // nesting of its JSON
	maxOperations = 1000
	maxSchema     = 256 << 10 // bytes of one Tool's schema
)

// object is a node of the document.
type object = map[string]any

// document is a checked OpenAPI document as the JSON tree that it is. The tree,
// and not a parser's types, is what Tools are made of: nothing is lost or made
// up on the way.
type document struct {
	root object
	v30  bool // 3.0, whose schemas differ from JSON Schema
}

// load reads a document; kind Invalid. It is scanned first, so that no later
// error can repeat a secret that is in it.
func load(b []byte) (*document, error) {
	if len(b) > maxDocument {
		return nil, fault.Newf(fault.Invalid, "the OpenAPI document is larger than %d MiB", maxDocument>>20)
	}
	if err := scan(b); err != nil {
		return nil, err
	}
	d := &document{}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&d.root); err != nil {
		return nil, fault.New(fault.Invalid, "the OpenAPI document is not a JSON object")
	}
	version, _ := d.root["openapi"].(string)
	switch {
	case strings.HasPrefix(version, "3.0"):
		d.v30 = true
	case strings.HasPrefix(version, "3.1"):
	default:
		return nil, fault.Newf(fault.Invalid, "the document's OpenAPI version %q is not 3.0 or 3.1", fault.Quote(version)).
			WithHint("convert a Swagger 2.0 document first")
	}
	return d, validate(b)
}

// validate asks the OpenAPI library whether the document is one. Examples and
// defaults are not compared with their schemas: they are not used, and many
// real documents have them wrong.
func validate(b []byte) error {
	l := openapi3.NewLoader()
	l.IsExternalRefsAllowed = false
	doc, err := l.LoadFromData(b)
	if err != nil {
		return fault.Newf(fault.Invalid, "the OpenAPI document can't be read: %s", fault.Quote(err.Error()))
	}
	err = doc.Validate(context.Background(), openapi3.DisableExamplesValidation(), openapi3.DisableSchemaDefaultsValidation(),
		openapi3.DisableSchemaPatternValidation(), openapi3.AllowExtensionsWithRef(), openapi3.AllowExtraSiblingFields("description", "summary"))
	if err != nil {
		return fault.Newf(fault.Invalid, "the OpenAPI document is not valid: %s", fault.Quote(err.Error()))
	}
	return nil
}

// deref follows local references from a node to the object that is meant.
func (d *document) deref(node any) (object, error) {
	for range 16 {
		o, ok := node.(object)
		if !ok {
			return nil, fault.New(fault.Invalid, "is not an object")
		}
		ref, ok := o["$ref"].(string)
		if !ok {
			return o, nil
		}
		if node, ok = d.lookup(ref); !ok {
			return nil, fault.New(fault.Invalid, "refers to nothing")
		}
	}
	return nil, fault.New(fault.Invalid, "refers to itself")
}

// lookup finds the node of a reference "#/a/b" (RFC 6901).
func (d *document) lookup(ref string) (any, bool) {
	path, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil, false
	}
	var node any = d.root
	for tok := range strings.SplitSeq(path, "/") {
		o, ok := node.(object)
		if !ok {
			return nil, false
		}
		if node, ok = o[strings.NewReplacer("~1", "/", "~0", "~").Replace(tok)]; !ok {
			return nil, false
		}
	}
	return node, true
}

// pointer writes a place in the document (RFC 6901).
func pointer(tokens ...string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(t))
	}
	return b.String()
}
