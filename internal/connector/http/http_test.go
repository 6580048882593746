package http_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sallyport.dev/internal/connector/http"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

func integration(base string, doc []byte) *resource.Integration {
	return &resource.Integration{HTTP: &resource.HTTP{BaseURL: base, OpenAPI: doc, Network: resource.Network{AllowLoopbackHTTP: true}}}
}

// document wraps paths into an OpenAPI document.
func document(paths string) []byte {
	return []byte(`{"openapi":"3.0.3","info":{"title":"T","version":"1"},"paths":` + paths + `}`)
}

const files = `{"/files/{name}":{"get":{"operationId":"getFile","parameters":[
	{"name":"name","in":"path","required":true,"schema":{"type":"string"}},
	{"name":"tag","in":"query","schema":{"type":"array","items":{"type":"string"}}},
	{"name":"q","in":"query","schema":{"type":"string"}},
	{"name":"ids","in":"query","explode":false,"schema":{"type":"array","items":{"type":"string"}}},
	{"name":"any","in":"query","schema":{}},
	{"name":"X-Note","in":"header","schema":{"type":"string"}}],
	"responses":{"200":{"description":"ok"}}}},
	"/files/{a}{b}/x":{"get":{"operationId":"pair","parameters":[{"name":"a","in":"path","required":true,"schema":{"type":"string"}},{"name":"b","in":"path","required":true,"schema":{"type":"string"}}],
	"responses":{"200":{"description":"ok"}}}},
	"/files":{"post":{"operationId":"putFile","requestBody":{"required":true,"content":{"application/json":{"schema":{"type":"object","properties":{"name":{"type":"string"},"n":{"type":"number"}}}}}},
	"responses":{"200":{"description":"ok"}}}}}`

func newKind(t *testing.T, in *resource.Integration) *http.Kind {
	t.Helper()
	k, err := http.New(in)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func args(v any) json.RawMessage {
	b, err := intent.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func TestARequestIsWhatTheArgumentsSay(t *testing.T) {
	in := integration("https://api.example.com/base", document(files))
	in.HTTP.Tools = map[string]resource.ToolRule{"putFile": {ReferenceHeader: "client-reference"}}
	k := newKind(t, in)
	r, err := k.Render("getFile", args(map[string]any{"name": "a b/ü%3", "tag": []string{"y&z=1", "x"}, "q": "ä", "X-Note": "hi", "ids": []string{"1", "2"}}), "int_1")
	if err != nil {
		t.Fatal(err)
	}
	want := "https://api.example.com/base/files/a%20b%2F%C3%BC%253?ids=1%2C2&q=%C3%A4&tag=y%26z%3D1&tag=x"
	if r.URL != want || r.Method != "GET" || r.Headers["X-Note"] != "hi" || r.Body != "" || len(r.Headers) != 2 {
		t.Errorf("got %+v\nwant %s", r, want)
	}
	r, err = k.Render("putFile", json.RawMessage(`{"n":1e2,"name":"<é>"}`), "int_1")
	if err != nil || r.Body != `{"n":100,"name":"<é>"}` || r.Headers["Client-Reference"] != "int_1" || r.Headers["Content-Type"] != "application/json" {
		t.Errorf("%+v %v", r, err)
	}
	if r, err = k.Render("putFile", json.RawMessage(`{}`), ""); err != nil || r.Body != "{}" {
		t.Errorf("a required body is sent also when it is empty: %+v %v", r, err)
	}
}

func TestAPathValueStaysOneSegment(t *testing.T) {
	k := newKind(t, integration("https://api.example.com/base", document(files)))
	for _, v := range []string{
		"", ".", "..", "../admin", "a/../b", "..%2fadmin", "%2e%2e", "%252e%252e%252fadmin", `..\admin`, `a\..\b`, "..;x=1", "..;/admin", "a\x00b", "a\r\nHost: x", "%0d%0a", "./x",
	} {
		if r, err := k.Render("getFile", args(map[string]any{"name": v}), ""); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q became %q, %v", v, r.URL, err)
		}
	}
	for _, v := range []string{"a/b", "...", "a..b", "x?y=1#z", "100%", "//evil.example/x", "@evil.example", "http://evil.example"} {
		r, err := k.Render("getFile", args(map[string]any{"name": v}), "")
		rest := strings.TrimPrefix(r.URL, "https://api.example.com/base/files/")
		if err != nil || strings.ContainsAny(rest, "/?#") || rest == r.URL {
			t.Errorf("%q became %q, %v", v, r.URL, err)
		}
	}
	if r, err := k.Render("pair", args(map[string]any{"a": ".", "b": "."}), ""); !fault.Is(err, fault.Invalid) {
		t.Errorf("two dots in one segment became %q, %v", r.URL, err)
	}
}

func TestValuesThatWouldBeReadAsSomethingElseAreRefused(t *testing.T) {
	k := newKind(t, integration("https://api.example.com", document(files)))
	for name, v := range map[string]any{
		"a header with a line break": map[string]any{"name": "x", "X-Note": "a\r\nAuthorization: Bearer x"},
		"a header with a null":       map[string]any{"name": "x", "X-Note": "a\x00"},
		"a list item with a comma":   map[string]any{"name": "x", "ids": []string{"1,2"}},
		"an object in a query":       map[string]any{"name": "x", "any": map[string]any{"api_key": "1"}},
		"a null in a query":          map[string]any{"name": "x", "any": nil},
		"no path value":              map[string]any{},
	} {
		if r, err := k.Render("getFile", args(v), ""); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if _, err := k.Render("putFile", json.RawMessage(`{}`), "a\r\nb"); err != nil {
		t.Error("no rule names a header, so no reference is sent:", err)
	}
}

func TestNoArgumentIsAPlaceForACredentialOrAHost(t *testing.T) {
	params := []string{}
	for _, p := range []string{
		"header/Authorization", "header/authorization", "header/Host", "header/Cookie", "header/X-Api-Key", "header/X_Api_Key", "header/Proxy-Authorization", "header/X-Forwarded-Host",
		"header/X-Auth-Token", "header/Forwarded", "header/Via", "header/Idempotency-Key", "header/Transfer-Encoding", "header/Content-Length", "header/Content-Type", "header/X-HTTP-Method-Override",
		"header/X-Original-URL", "header/Upgrade", "header/X-Authenticated-User", "header/X-Authorization", "header/X-Middleware-Subrequest", "header/Connection", "header/TE", "header/Range", "cookie/sid", "query/api_key", "query/access_token", "query/_method", "query/APIKEY",
	} {
		in, name, _ := strings.Cut(p, "/")
		params = append(params, fmt.Sprintf(`{"name":%q,"in":%q,"schema":{"type":"string"}}`, name, in))
	}
	k := newKind(t, integration("https://api.example.com", document(`{"/x":{"get":{"operationId":"x","parameters":[`+strings.Join(params, ",")+`],"responses":{"200":{"description":"ok"}}}}}`)))
	if got := string(k.Tools()[0].Schema); got != `{"additionalProperties":false,"properties":{},"type":"object"}` {
		t.Error(got)
	}
	if err := k.Check("x", json.RawMessage(`{"Authorization":"Bearer x"}`)); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
}

func TestABusinessHeaderIsAnArgument(t *testing.T) {
	k := newKind(t, integration("https://api.example.com", document(`{"/x":{"get":{"operationId":"x","parameters":[{"name":"x-author","in":"header","schema":{"type":"string"}}],"responses":{"200":{"description":"ok"}}}}}`)))
	r, err := k.Render("x", json.RawMessage(`{"x-author":"Ann"}`), "")
	if err != nil || r.Headers["X-Author"] != "Ann" {
		t.Error(r, err)
	}
}

func TestAConnectionsCredentialIsNotAlsoAnArgument(t *testing.T) {
	k := newKind(t, integration("https://api.example.com", document(files)))
	for _, c := range []struct {
		auth resource.Auth
		ok   bool
	}{
		{resource.Auth{Scheme: resource.SchemeHeader, Name: "x-note"}, false}, {resource.Auth{Scheme: resource.SchemeQuery, Name: "q"}, false},
		{resource.Auth{Scheme: resource.SchemeHeader, Name: "q"}, true}, {resource.Auth{Scheme: resource.SchemeBearer}, true},
		{resource.Auth{Scheme: resource.SchemeQuery, Name: "key"}, true},
	} {
		if err := k.CheckAuth(c.auth); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.auth, err)
		}
	}
}

func TestRulesThatCanNotHold(t *testing.T) {
	for name, rules := range map[string]map[string]resource.ToolRule{
		"an unknown operation":     {"nothing": {Effect: resource.Read}},
		"a credential's header":    {"putFile": {ReferenceHeader: "Authorization"}},
		"a header that is no name": {"putFile": {ReferenceHeader: "a b"}},
		"an unknown effect":        {"putFile": {Effect: "maybe"}},
	} {
		in := integration("https://api.example.com", document(files))
		in.HTTP.Tools = rules
		if _, err := http.New(in); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	in := integration("https://api.example.com", document(`{"/x":{"delete":{"operationId":"x","responses":{"204":{"description":"ok"}}}}}`))
	in.HTTP.Tools = map[string]resource.ToolRule{"x": {Effect: resource.Read}}
	if _, err := http.New(in); !fault.Is(err, fault.Invalid) {
		t.Errorf("a DELETE called a read: %v", err)
	}
}

func TestTheDigestCoversWhatACallDoes(t *testing.T) {
	digest := func(base, doc string, rule resource.ToolRule) string {
		in := integration(base, []byte(doc))
		in.HTTP.Tools = map[string]resource.ToolRule{"putFile": rule}
		k := newKind(t, in)
		for _, tool := range k.Tools() {
			if tool.Name == "putFile" {
				return tool.Digest
			}
		}
		t.Fatal("no putFile")
		return ""
	}
	doc := string(document(files))
	seen := map[string]string{digest("https://api.example.com", doc, resource.ToolRule{}): "the first"}
	if len(seen) != 1 || seen[digest("https://api.example.com", doc, resource.ToolRule{})] == "" {
		t.Error("the same definition has two digests")
	}
	for name, d := range map[string]string{
		"another host":      digest("https://api2.example.com", doc, resource.ToolRule{}),
		"another base path": digest("https://api.example.com/v2", doc, resource.ToolRule{}),
		"another method":    digest("https://api.example.com", strings.Replace(doc, `"post":`, `"patch":`, 1), resource.ToolRule{}),
		"another property":  digest("https://api.example.com", strings.Replace(doc, `"n":{"type":"number"}`, `"n":{"type":"integer"}`, 1), resource.ToolRule{}),
		"another effect":    digest("https://api.example.com", doc, resource.ToolRule{Effect: resource.Read}),
		"a reference":       digest("https://api.example.com", doc, resource.ToolRule{ReferenceHeader: "Ref"}),
		"a lookup":          digest("https://api.example.com", doc, resource.ToolRule{Lookup: &resource.Lookup{Tool: "getFile"}}),
	} {
		if seen[d] != "" {
			t.Errorf("%s has the digest of %s", name, seen[d])
		}
		seen[d] = name
	}
}

func TestAnIntegerThatCanNotBeKeptExactlyIsNotInTheWay(t *testing.T) {
	k := newKind(t, integration("https://api.example.com", document(strings.Replace(files, `"type":"number"`, `"type":"integer","maximum":9223372036854775807,"format":"int64"`, 1))))
	if err := k.Check("putFile", json.RawMessage(`{"n":7}`)); err != nil {
		t.Error(err)
	}
}
