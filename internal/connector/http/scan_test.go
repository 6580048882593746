package http_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/internal/connector/http"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

// with puts a JSON fragment under the place of one operation's parameter.
func with(fragment string) []byte {
	return document(`{"/x":{"get":{"operationId":"x","parameters":[{"name":"p","in":"query",` + fragment + `}],"responses":{"200":{"description":"ok"}}}}}`)
}

func TestADocumentWithASecretIsRefusedByItsPlace(t *testing.T) {
	const canary = "kX9vQ2mZ7rT4wB8nL5pH3sJ6"
	// The forms of well-known issuers are put together here, so that no scanner
	// of repositories takes this file for a leak.
	aws, gh, stripe := "AKIA"+"IOSFODNN7EXAMPLQ", "ghp"+"_"+strings.Repeat("a1B2", 9), "sk"+"_live_"+"4eC39HqLyjWDarjtT1zdp7dc"
	jwt := "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0In0.c2ln"
	for doc, place := range map[string]string{
		string(with(`"schema":{"type":"string","default":"` + canary + `"}`)):                                               "/schema/default",
		string(with(`"example":"` + canary + `","schema":{"type":"string"}`)):                                               "/example",
		string(with(`"schema":{"type":"object","properties":{"password":{"type":"string","example":"hunter2!"}}}`)):         "/password/example",
		string(with(`"schema":{"type":"object","example":{"login":{"client_secret":"hunter2!"}}}`)):                         "/client_secret",
		string(with(`"description":"use ` + aws + `","schema":{"type":"string"}`)):                                          "/description",
		string(with(`"description":"use ` + gh + `","schema":{"type":"string"}`)):                                           "/description",
		string(with(`"schema":{"type":"string","enum":["` + stripe + `"]}`)):                                                "/enum/0",
		string(with(`"description":"Authorization: Bearer ` + canary + `","schema":{"type":"string"}`)):                     "/description",
		string(with(`"x-demo":"` + jwt + `","schema":{"type":"string"}`)):                                                   "/x-demo",
		string(with(`"description":"see https://admin:hunter2!@api.example.com/","schema":{"type":"string"}`)):              "/description",
		string(with(`"description":"see https://api.example.com/?api_key=hunter2!","schema":{"type":"string"}`)):            "/description",
		strings.Replace(string(document(`{}`)), `"paths"`, `"servers":[{"url":"https://u:hunter2!@x.example"}],"paths"`, 1): "/servers/0/url",
		string(document(`{"/x?key=` + canary + `":{}}`)):                                                                    "a key of",
	} {
		_, err := http.New(integration("https://api.example.com", []byte(doc)))
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), place) {
			t.Errorf("%s:\n%v", doc, err)
			continue
		}
		for _, s := range []string{canary, "hunter2!", aws, gh, stripe, jwt} {
			if strings.Contains(err.Error()+fault.HintOf(err), s) {
				t.Errorf("the error repeats the secret: %v", err)
			}
		}
	}
}

func TestWhatOnlyLooksLikeASecretIsTaken(t *testing.T) {
	for _, fragment := range []string{
		`"schema":{"type":"string","format":"password","example":"<password>"}`,
		`"schema":{"type":"object","properties":{"token":{"type":"string","example":"YOUR_TOKEN"},"page_token":{"type":"string","example":"CAUQAA"}}}`,
		`"schema":{"type":"object","properties":{"credential_type":{"type":"string","enum":["oauth2","saml"]}}}`,
		`"example":"3fa85f64-5717-4562-b3fc-2c963f66afa6","schema":{"type":"string"}`,
		`"example":"01ARZ3NDEKTSV4RRFFQ69G5FAV","schema":{"type":"string"}`,
		`"example":"2024-01-02T03:04:05Z","schema":{"type":"string"}`,
		`"description":"send Authorization: Bearer <token>; see https://docs.example.com/auth?lang=en","schema":{"type":"string"}`,
		`"description":"Basic authentication, a bearer authenticationmechanism","schema":{"type":"string"}`,
		`"schema":{"type":"string","default":"created_at_descending_order_by_name"}`,
	} {
		if _, err := http.New(integration("https://api.example.com", with(fragment))); err != nil {
			t.Errorf("%s: %v", fragment, err)
		}
	}
}

func TestDocumentsThatAreNotTaken(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200)
	for name, doc := range map[string]string{
		"nothing":          "",
		"not JSON":         "openapi: 3.0.0",
		"a list":           "[]",
		"Swagger 2":        `{"swagger":"2.0","info":{"title":"T","version":"1"},"paths":{}}`,
		"trailing data":    string(document(files)) + "{}",
		"a key twice":      strings.Replace(string(document(files)), `"info"`, `"info":{"title":"U","version":"1"},"info"`, 1),
		"a file reference": string(with(`"schema":{"$ref":"/etc/passwd"}`)),
		"a URL reference":  string(with(`"schema":{"$ref":"http://169.254.169.254/latest"}`)),
		"a dangling one":   string(with(`"schema":{"$ref":"#/components/schemas/None"}`)),
		"deep nesting":     string(with(`"schema":{"type":"string"},"x-deep":` + deep)),
		"too large":        `{"x":"` + strings.Repeat("a", 5<<20) + `"}`,
		"two of one name":  string(document(`{"/a":{"get":{"operationId":"a/b","responses":{"200":{"description":"ok"}}}},"/b":{"get":{"operationId":"a.b","responses":{"200":{"description":"ok"}}}}}`)),
	} {
		if _, err := http.New(integration("https://api.example.com", []byte(doc))); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Forty definitions that each refer twice to the next take 2^40 steps to check.
func TestASchemaThatMultipliesIsNotOffered(t *testing.T) {
	var schemas strings.Builder
	for i := range 40 {
		fmt.Fprintf(&schemas, `"S%d":{"allOf":[{"$ref":"#/components/schemas/S%d"},{"$ref":"#/components/schemas/S%d"}]},`, i, i+1, i+1)
	}
	doc := `{"openapi":"3.0.3","info":{"title":"T","version":"1"},"components":{"schemas":{` + schemas.String() + `"S40":{"type":"object"}}},"paths":{` +
		`"/x":{"post":{"operationId":"x","requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/S0"}}}},"responses":{"200":{"description":"ok"}}}}}}`
	k, err := http.New(integration("https://api.example.com", []byte(doc)))
	if err != nil || len(k.Tools()) != 0 || len(k.Skipped()) != 1 || !strings.Contains(k.Skipped()[0].Why, "multiply") {
		t.Fatal(k, err)
	}
}

func FuzzNew(f *testing.F) {
	docs, _ := filepath.Glob("testdata/golden/*.json")
	for _, path := range docs {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(document(files))
	f.Add(with(`"schema":{"$ref":"#/paths/~1x/get/parameters/0/schema"}`))
	f.Add([]byte(`{"openapi":"3.1.0","info":{"title":"","version":""},"paths":{"/a":{"$ref":"#/paths/~1a"}}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		k, err := http.New(integration("https://api.example.com", doc))
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("kind %s: %v", fault.KindOf(err), err)
			}
			return
		}
		for _, tool := range k.Tools() {
			if c, err := intent.Canonical(tool.Schema); err != nil || string(c) != string(tool.Schema) || tool.Digest == "" {
				t.Fatalf("%s: schema %s, %v", tool.Name, tool.Schema, err)
			}
		}
	})
}

func FuzzRender(f *testing.F) {
	for _, s := range []string{`{"name":"a"}`, `{"name":"../x","q":"1"}`, `{"name":"a","tag":["x","y"],"X-Note":"a\r\nb"}`, `{"name":"%2e%2e%2f","any":{"a":1}}`} {
		f.Add([]byte(s))
	}
	k, err := http.New(integration("https://api.example.com/base", document(files)))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := intent.Canonical(in)
		if err != nil || k.Check("getFile", c) != nil {
			return
		}
		r, err := k.Render("getFile", c, "int_1")
		if err != nil {
			return
		}
		rest, ok := strings.CutPrefix(r.URL, "https://api.example.com/base/files/")
		path, _, _ := strings.Cut(rest, "?")
		if !ok || path == "" || strings.ContainsAny(path, "/\\#\r\n") || path == "." || path == ".." {
			t.Fatalf("%s became %q", c, r.URL)
		}
		for name, v := range r.Headers {
			if name != "Accept" && name != "X-Note" || strings.ContainsAny(v, "\r\n\x00") {
				t.Fatalf("%s became header %q: %q", c, name, v)
			}
		}
		if again, err := k.Render("getFile", c, "int_1"); err != nil || again.URL != r.URL {
			t.Fatalf("%s: rendered twice, two URLs", c)
		}
	})
}
