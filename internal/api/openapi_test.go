package api_test

import (
	"bytes"
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/vault"
)

var update = flag.Bool("update", false, "write generated files")

const document = "../../docs/openapi.json"

//go:generate go test -run ^TestTheOpenAPIDocumentIsCurrent$ -update .

func TestTheOpenAPIDocumentIsCurrent(t *testing.T) {
	now := api.New(api.Config{}).OpenAPI()
	if !bytes.Equal(now, api.New(api.Config{}).OpenAPI()) {
		t.Error("it is not the same twice")
	}
	if *update {
		if err := os.WriteFile(document, now, 0o644); err != nil { // a document for everybody
			t.Fatal(err)
		}
	}
	was, err := os.ReadFile(document)
	if err != nil || !bytes.Equal(was, now) {
		t.Errorf("%s is not what the routes say (%v): run \"make docs\"", document, err)
	}
}

func TestTheOpenAPIDocumentIsValid(t *testing.T) {
	l := openapi3.NewLoader()
	l.IsExternalRefsAllowed = false
	doc, err := l.LoadFromData(api.New(api.Config{}).OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	ids := map[string]string{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if was := ids[op.OperationID]; was != "" {
				t.Errorf("%s %s and %s have one operationId", method, path, was)
			}
			ids[op.OperationID] = method + " " + path
			if open := op.Security == nil; open != slices.Contains([]string{"/healthz", "/readyz", "/v1/sessions", "/v1/seal", "/v1/unseal", "/v1/hooks/rotation/{secret}", "/v1/hooks/backend/{backend}"}, path) {
				t.Errorf("%s %s is open: %t", method, path, open)
			}
			for _, p := range op.Parameters {
				if p.Value.In == "path" && !strings.Contains(path, "{"+p.Value.Name+"}") {
					t.Errorf("%s %s has the parameter %s", method, path, p.Value.Name)
				}
			}
		}
	}
	served := open(t).do("", "GET", "/v1/openapi.json", nil)
	if !bytes.Equal(served.Body.Bytes(), api.New(api.Config{}).OpenAPI()) {
		t.Error("what is served is another document")
	}
}

// Nothing that an answer can hold is a Secret's value, or a person's factor: the
// types are walked to the end. The answers that show something once are named
// here, and are not of a Secret; so are the ciphertexts of a sealed start.
func TestNoAnswerHasAPlaceForASecretsValue(t *testing.T) {
	once := map[string]bool{
		"Session.Token": true, "Started.Token": true, "MintedWorkerToken.Token": true, "Enrolled.Password": true, "Enrolled.OTPAuth": true,
	}
	// Of a sealed start: public keys, and ciphertexts under keys of 256 bits.
	sealed := map[string]bool{
		"UnsealKey.Public": true, "RootRow.Derive": true, "RootRow.MAC": true, "Sealed.Params": true, "Sealed.Box": true,
		"SealRow.Public": true, "SealRow.Tag": true, "SealRow.Root": true, "SealRow.MAC": true,
	}
	// What a browser hands to an authenticator: hashes, and ids that are public.
	asked := map[string]bool{"Challenge.Challenge": true, "EnrolChallenge.User": true}
	says := map[string]bool{"UnsealKey.Passphrase": true} // whether there is one
	never := []reflect.Type{reflect.TypeFor[api.Value](), reflect.TypeFor[api.SecretValue](), reflect.TypeFor[vault.Write](),
		reflect.TypeFor[identity.Record](), reflect.TypeFor[identity.Enrolment]()}
	routes := api.New(api.Config{}).Routes()
	for route, answer := range routes {
		walk(answer, map[reflect.Type]bool{}, func(owner reflect.Type, f reflect.StructField) {
			place := owner.Name() + "." + f.Name
			for _, n := range never {
				if f.Type == n || owner == n {
					t.Errorf("%s answers with %s in %s", route, n, place)
				}
			}
			switch name := strings.ToLower(f.Name); {
			case once[place], asked[place], says[place] && f.Type.Kind() == reflect.Bool, sealed[place] && (route == "GET /v1/seal" || route == "POST /v1/unseal"), f.Tag.Get("json") == "-":
			case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Uint8 && f.Type.Name() != "RawMessage",
				strings.Contains(name, "password"), strings.Contains(name, "plain"), name == "token", name == "value", name == "values", name == "otpauth":
				t.Errorf("%s answers with %s (%s)", route, place, f.Type)
			}
		})
	}
}

// walk visits every field that encoding/json would write of a type.
func walk(t reflect.Type, seen map[reflect.Type]bool, visit func(owner reflect.Type, f reflect.StructField)) {
	if seen[t] || t == reflect.TypeFor[time.Time]() {
		return
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		walk(t.Elem(), seen, visit)
	case reflect.Struct:
		for f := range t.Fields() {
			if !f.IsExported() && !f.Anonymous {
				continue
			}
			visit(t, f)
			walk(f.Type, seen, visit)
		}
	default:
	}
}
