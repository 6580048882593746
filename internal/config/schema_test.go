package config_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"sallyport.dev/internal/config"
)

var update = flag.Bool("update", false, "write generated and golden files")

const schemaFile = "../../docs/schema/resources.schema.json"

// go test ./internal/config -run TestSchemaFileIsCurrent -update writes it.
func TestSchemaFileIsCurrent(t *testing.T) {
	if *update {
		if err := os.MkdirAll(filepath.Dir(schemaFile), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(schemaFile, config.Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	was, err := os.ReadFile(schemaFile)
	if err != nil || !bytes.Equal(was, config.Schema()) {
		t.Errorf("%s is not what the types say (%v): run with -update", schemaFile, err)
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(config.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("s.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("s.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchemaTakesAMissionAndRefusesAMisspeltOne(t *testing.T) {
	s := compileSchema(t)
	for doc, want := range map[string]bool{
		`{"apiVersion":"sallyport.dev/v1","kind":"Mission","name":"a","goal":"g","connections":["c"],"limits":{"wallClock":"1h"}}`:                 true,
		`{"apiVersion":"sallyport.dev/v1","kind":"Mission","name":"a","gaol":"g","connections":["c"]}`:                                             false,
		`{"apiVersion":"sallyport.dev/v1","kind":"Mission","name":"a","goal":"g","connections":"c"}`:                                               false,
		`{"apiVersion":"sallyport.dev/v1","kind":"Connection","name":"a","integration":"i","tools":["t"],"auth":{"scheme":"bearer","secret":"s"}}`: true,
		`{"apiVersion":"sallyport.dev/v1","kind":"Connection","name":"a","integration":"i","tools":["t"],"auth":{"scheme":"digest","secret":"s"}}`: false,
		`{"apiVersion":"sallyport.dev/v2","kind":"Team","name":"a","members":["x"]}`:                                                               false,
	} {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(doc)))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(v); (err == nil) != want {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

func TestEveryFieldIsDescribed(t *testing.T) {
	var doc struct {
		Defs map[string]struct {
			Properties map[string]struct {
				Description string
				Const       string
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(config.Schema(), &doc); err != nil {
		t.Fatal(err)
	}
	n := 0
	for name, d := range doc.Defs {
		for field, p := range d.Properties {
			if n++; p.Description == "" && p.Const == "" {
				t.Errorf("%s.%s has no description", name, field)
			}
		}
	}
	if n < 60 {
		t.Errorf("the schema has %d fields", n)
	}
}
