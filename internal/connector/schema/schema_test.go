package schema_test

import (
	"strings"
	"testing"

	"sallyport.dev/internal/connector/schema"
	"sallyport.dev/internal/fault"
)

const vendor = `{"type":"object","additionalProperties":false,"required":["name"],"properties":{
	"name":{"type":"string","minLength":2,"pattern":"^[A-Z]"},"kind":{"enum":["supplier","customer"]},
	"mail":{"type":"string","format":"email"},
	"lines":{"type":"array","items":{"type":"object","properties":{"qty":{"type":"integer","minimum":1}}}}}}`

func TestAnErrorNamesThePlaceAndTheRuleButNoValue(t *testing.T) {
	c, err := schema.Compile([]byte(vendor))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check([]byte(`{"name":"Acme","lines":[{"qty":2}],"mail":"a@b.example"}`)); err != nil {
		t.Fatal(err)
	}
	const canary = "hunter2-canary-value"
	for args, want := range map[string]string{
		`{}`: `/: lacks "name"`,
		`{"name":"Acme","host":"` + canary + `"}`:  `/: has no place for "host"`,
		`{"name":"` + canary + `"}`:                `/name: does not match the pattern ^[A-Z]`,
		`{"name":"Acme","kind":"` + canary + `"}`:  `/kind: has to be one of "supplier","customer"`,
		`{"name":"Acme","mail":"` + canary + `"}`:  `/mail: is not in the format email`,
		`{"name":"Acme","lines":[{"qty":0}]}`:      `/lines/0/qty: is less than 1`,
		`{"name":"Acme","lines":"` + canary + `"}`: `/lines: is string, has to be array`,
		`"` + canary + `"`:                         `/: is string, has to be object`,
		`{`:                                        `not JSON`,
	} {
		err := c.Check([]byte(args))
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestASchemaLoadsNothing(t *testing.T) {
	for _, s := range []string{
		`{"$ref":"https://evil.example/x.json"}`, `{"$ref":"file:///etc/passwd"}`, `{"$ref":"other.json#/x"}`,
		`{"type":"nonsense"}`, `{"type":"string","pattern":"(?<=x)"}`, `{`,
	} {
		if _, err := schema.Compile([]byte(s)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func FuzzCompileAndCheck(f *testing.F) {
	f.Add([]byte(vendor), []byte(`{"name":"Acme"}`))
	f.Add([]byte(`{"$defs":{"a":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"}`), []byte(`1`))
	f.Fuzz(func(t *testing.T, s, args []byte) {
		c, err := schema.Compile(s)
		if err != nil {
			return
		}
		if err := c.Check(args); err != nil && !fault.Is(err, fault.Invalid) {
			t.Fatalf("kind %s", fault.KindOf(err))
		}
	})
}
