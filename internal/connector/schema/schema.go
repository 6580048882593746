// Package schema checks a Worker's arguments against a Tool's JSON Schema
// (2020-12), compiled once.
//
// It refuses to load anything: a schema's references stay inside it. And it
// refuses to repeat a value: an error names the place and the rule, since what
// a Worker put there might be a secret.
//
// # Security
//
// Patterns are RE2, so that no schema and no argument makes matching slow.
package schema

import (
	"bytes"
	"errors"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"sallyport.dev/internal/fault"
)

// root is where a schema lives for the compiler; nothing is loaded from there.
const root = "https://sallyport.invalid/arguments.json"

// Checker is a compiled schema. Safe for concurrent use.
type Checker struct{ s *jsonschema.Schema }

type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("references stay inside the schema")
}

// Compile compiles a schema; kind Invalid.
func Compile(b []byte) (*Checker, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return nil, fault.New(fault.Invalid, "the schema is not JSON")
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noLoader{})
	c.AssertFormat()
	if err := c.AddResource(root, doc); err != nil {
		return nil, fault.New(fault.Invalid, "the schema can't be used")
	}
	s, err := c.Compile(root)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "the schema is not valid JSON Schema: %s", fault.Quote(why(err)))
	}
	return &Checker{s}, nil
}

// why takes the last part of a compiler's error: what is wrong, without the
// URLs that we made up.
func why(err error) string {
	s := strings.ReplaceAll(err.Error(), root, "")
	if ve, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		if v, ok := errors.AsType[*jsonschema.ValidationError](ve.Err); ok {
			return strings.Join(violations(v, nil), "; ")
		}
	}
	return s
}

// Check validates one JSON value; kind Invalid, with up to five violations.
func (c *Checker) Check(args []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(args))
	if err != nil {
		return fault.New(fault.Invalid, "the arguments are not JSON")
	}
	err = c.s.Validate(v)
	if err == nil {
		return nil
	}
	ve, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return fault.New(fault.Invalid, "the arguments can't be checked against the tool's schema")
	}
	return fault.New(fault.Invalid, "the arguments don't fit the tool's schema: "+strings.Join(violations(ve, nil), "; "))
}
