package http_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/connector/http"
	"sallyport.dev/internal/resource"
)

var update = flag.Bool("update", false, "write the golden files")

// TestTheToolsOfADocument compares testdata/golden/X.json, a document, with
// X.golden, the Tools and what was left out.
func TestTheToolsOfADocument(t *testing.T) {
	docs, err := filepath.Glob("testdata/golden/*.json")
	if err != nil || len(docs) == 0 {
		t.Fatal("no golden documents", err)
	}
	for _, path := range docs {
		doc, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		in := integration("https://api.example.com/base/", doc)
		if strings.Contains(path, "orders") {
			in.HTTP.Tools = map[string]resource.ToolRule{"searchOrders": {Effect: resource.Read}, "createOrder": {ReferenceHeader: "Client-Reference"}}
		}
		k, err := http.New(in)
		if err != nil {
			t.Fatal(path, err)
		}
		var got bytes.Buffer
		e := json.NewEncoder(&got)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(struct {
			Tools   []connector.Tool
			Skipped []http.Skip
		}{k.Tools(), k.Skipped()}); err != nil {
			t.Fatal(err)
		}
		golden := strings.TrimSuffix(path, ".json") + ".golden"
		if *update {
			if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || !bytes.Equal(want, got.Bytes()) {
			t.Errorf("%s differs (run with -update and look): %v\n%s", golden, err, got.String())
		}
	}
}

// TestTheExamplesDocuments: every operation of the example's systems is a Tool.
func TestTheExamplesDocuments(t *testing.T) {
	docs, err := filepath.Glob("../../../examples/*/resources/openapi/*.json")
	if err != nil || len(docs) == 0 {
		t.Fatal("no example documents", err)
	}
	for _, path := range docs {
		doc, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		k, err := http.New(integration("https://api.example.com", doc))
		if err != nil {
			t.Fatal(path, err)
		}
		if len(k.Tools()) == 0 || len(k.Skipped()) > 0 {
			t.Errorf("%s: %d tools, skipped %v", path, len(k.Tools()), k.Skipped())
		}
	}
}
