package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/config"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
)

// vars are what every golden case is loaded with.
var vars = map[string]string{"PORT": "8080", "URL": "https://erp.example", "EVIL": "x\nkind: Team", "TURNS": "7"}

const api = `{"openapi":"3.1.0"}`

// Each file in testdata is a YAML file, a line of dashes, and what loading says:
// the errors with their hints, or the resources that there are.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			in, want, _ := strings.Cut(string(b), "----\n")
			got := outcome(in)
			if *update {
				if err := os.WriteFile(name, []byte(in+"----\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func outcome(in string) string {
	b, err := config.LoadFS(fstest.MapFS{"r.yaml": {Data: []byte(in)}, "api.json": {Data: []byte(api)}}, []string{"r.yaml"}, config.Options{Vars: vars})
	var out strings.Builder
	for _, e := range config.Errors(err) {
		fmt.Fprintf(&out, "%s\n", e)
		if h := fault.HintOf(e); h != "" {
			fmt.Fprintf(&out, "  hint: %s\n", h)
		}
	}
	if err == nil {
		for _, r := range b.Resources {
			fmt.Fprintf(&out, "ok: %s %s\n", r.Header().Kind, r.Header().Name)
		}
	}
	return out.String()
}

func load(t *testing.T, files map[string]string) (*config.Bundle, error) {
	t.Helper()
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return config.LoadFS(m, nil, config.Options{Vars: vars})
}

const team = "apiVersion: sallyport.dev/v1\nkind: Team\nname: finance\nmembers: [ann]\n"

func integration(openapi string) string {
	return "apiVersion: sallyport.dev/v1\nkind: Integration\nname: erp\nhttp:\n  baseURL: https://erp.example\n  openapi: " + openapi + "\n"
}

// Canaries of every shape, at every place of a file, are refused with their
// place and are in no error.
func TestSecretsAreRefusedAndNeverPrinted(t *testing.T) {
	canaries := map[string]string{
		"openai": "sk-proj-Ab3dEf6hIj9kLm2nOp5q", "anthropic": "sk-ant-api03-Ab3dEf6hIj9kLm2nOp5q", "github": "ghp_Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zAb3d", "gitlab": "glpat-Ab3dEf6hIj9kLm2nOp5q",
		"slack": "xoxb-123456789012-Ab3dEf6hIj9k", "aws": "AKIAIOSFODNN7EXAMPLE", "stripe": "sk_live_Ab3dEf6hIj9kLm2nOp5q", "vault": "hvs.Ab3dEf6hIj9kLm2nOp5qRs8t",
		"jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.Ab3dEf6hIj9kLm2nOp5q", "hex": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", "base64": "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=",
		"url": "https://ann:hunter2hunter2@erp.example", "bearer": "Bearer abcdefghijklmnopqrst", "pem": "-----BEGIN PRIVATE KEY-----",
	}
	for kind, c := range canaries {
		for place, text := range map[string]string{
			"value":   team + "title: '" + c + "'\n",
			"member":  strings.Replace(team, "[ann]", "['"+c+"']", 1),
			"key":     team + "'" + c + "': x\n",
			"comment": team + "# " + c + "\n",
			"block":   team + "description: |\n  one\n  " + c + "\n",
			"nested":  "a: [{b: {c: '" + c + "'}}]\n",
			"broken":  team + "x: '" + c + "'\n ]\n",
			"name":    "apiVersion: sallyport.dev/v1\nkind: Team\nname: '" + c + "'\nmembers: [ann]\n",
			"kind":    "kind: '" + c + "'\n",
			"secret":  "apiVersion: sallyport.dev/v1\nkind: Connection\nname: a\nintegration: b\ntools: [c]\nauth:\n  scheme: bearer\n  secret: '" + c + "'\n",
		} {
			b, err := load(t, map[string]string{"r.yaml": text})
			if b != nil || len(config.Errors(err)) == 0 {
				t.Fatalf("a %s secret as %s was loaded", kind, place)
			}
			for _, e := range config.Errors(err) {
				if strings.Contains(e.Error()+fault.HintOf(e), c[4:]) || e.Line == 0 {
					t.Errorf("a %s secret as %s: %s", kind, place, strings.ReplaceAll(e.Error(), c, "CANARY"))
				}
			}
		}
	}
}

func TestShortSecretsUnderTellingKeysAreRefused(t *testing.T) {
	for _, key := range []string{"password", "Password", "api_key", "apiKey", "client-secret", "token", "private_key", "authorization"} {
		_, err := load(t, map[string]string{"r.yaml": team + key + ": hunter2\n"})
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "r.yaml:5:") || !strings.Contains(err.Error(), "looks like a secret") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestASecretInAVariableIsRefused(t *testing.T) {
	const canary = "ghp_Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zAb3d"
	_, err := config.LoadFS(fstest.MapFS{"r.yaml": {Data: []byte(team + "title: ${T}\n")}}, nil, config.Options{Vars: map[string]string{"T": canary}})
	if err == nil || strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), "r.yaml:5:8") {
		t.Error("a secret came in through a variable")
	}
}

func TestEnvironmentIsNotRead(t *testing.T) {
	t.Setenv("ONLY_IN_ENV", "x")
	if _, err := load(t, map[string]string{"r.yaml": team + "title: ${ONLY_IN_ENV}\n"}); err == nil {
		t.Error("a variable came from the environment")
	}
}

func TestDocumentsStayInTheDirectory(t *testing.T) {
	dir := t.TempDir()
	res := filepath.Join(dir, "resources")
	outside := filepath.Join(dir, "outside.json")
	for name, text := range map[string]string{outside: api, filepath.Join(res, "r.yaml"): ""} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(res, "link.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(res, "up")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../outside.json", outside, "link.json", "up/outside.json", "a/../../outside.json", "..", ".", "no.json", "/dev/zero"} {
		if err := os.WriteFile(filepath.Join(res, "r.yaml"), []byte(integration(name)), 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := config.Load(config.Options{}, res); err == nil {
			t.Errorf("%s was read: %s", name, b.Resources[0].(*resource.Integration).HTTP.OpenAPI)
		} else if !strings.Contains(err.Error(), "r.yaml:6:12: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenAPIInYAMLAndJSONBelowOrBeside(t *testing.T) {
	for name, text := range map[string]string{
		"api.json": api, "openapi/api.json": api, "api.yaml": "openapi: 3.1.0\npaths:\n  /a:\n    get:\n      responses:\n        200: {description: ok}\n",
	} {
		b, err := load(t, map[string]string{"r.yaml": integration(name), name: text})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		doc := string(b.Resources[0].(*resource.Integration).HTTP.OpenAPI)
		if !strings.Contains(doc, `"openapi":"3.1.0"`) || strings.Contains(text, "200") && !strings.Contains(doc, `"200":{"description":"ok"}`) {
			t.Errorf("%s became %s", name, doc)
		}
	}
}

func TestSpoiledDocuments(t *testing.T) {
	for name, text := range map[string]string{
		"two":     "openapi: 3.1.0\n---\nopenapi: 3.1.0\n",
		"alias":   "openapi: &a 3.1.0\nx: *a\n",
		"empty":   "",
		"secret":  `{"openapi":"3.1.0","info":{"description":"ghp_Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zAb3d"}}`,
		"too big": strings.Repeat(" ", 5<<20),
	} {
		if _, err := load(t, map[string]string{"r.yaml": integration("sub/api.json"), "sub/api.json": text}); err == nil || strings.Contains(err.Error(), "ghp_") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := load(t, map[string]string{"r.yaml": team, "stray.yaml": "openapi: 3.1.0\n"}); err == nil || !strings.Contains(err.Error(), "no Integration") {
		t.Errorf("a stray document: %v", err)
	}
}

func TestBombsAndGiantsAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"flow":    team + "x: " + strings.Repeat("[", 200_000),
		"entries": strings.Repeat("- ", 200_000),
		"maps":    team + "x: " + strings.Repeat("{a: ", 50) + strings.Repeat("}", 50),
		"keys":    strings.Repeat("? ", 200_000),
		"mapping": strings.Repeat("a: b\n", 80_000),
		"alias":   "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n",
		"giant":   team + "description: " + strings.Repeat("x ", 1<<20),
	} {
		if b, err := load(t, map[string]string{"r.yaml": text}); err == nil || b != nil {
			t.Errorf("%s was loaded", name)
		}
	}
}

// One wrong file among good ones: all errors are told, nothing is loaded.
func TestNothingIsHalfLoaded(t *testing.T) {
	b, err := load(t, map[string]string{
		"a.yaml": team, "b.yaml": "apiVersion: sallyport.dev/v1\nkind: Team\nname: finance\nmembers: [bob]\nmember: x\n",
		"c.yaml": "apiVersion: sallyport.dev/v1\nkind: Team\nname: finance\nmembers: [bob]\n", "d.yml": "kind: [\n",
	})
	if b != nil {
		t.Fatal("there is a bundle beside an error")
	}
	var got []string
	for _, e := range config.Errors(err) {
		got = append(got, fmt.Sprintf("%s:%d", e.File, e.Line))
	}
	if s := strings.Join(got, " "); s != "b.yaml:5 c.yaml:3 d.yml:1" {
		t.Errorf("errors at %s\n%v", s, err)
	}
}

func TestKnownResourcesNeedNotBeInTheFiles(t *testing.T) {
	text := "apiVersion: sallyport.dev/v1\nkind: Mission\nname: m\ngoal: g\nconnections: [erp-read]\n"
	fsys := fstest.MapFS{"r.yaml": {Data: []byte(text)}}
	if _, err := config.LoadFS(fsys, nil, config.Options{}); err == nil || !strings.Contains(err.Error(), `r.yaml:5:15: there is no Connection "erp-read"`) {
		t.Errorf("error %v", err)
	}
	known := func(k resource.Kind, n string) bool { return k == resource.KindConnection && n == "erp-read" }
	if _, err := config.LoadFS(fsys, nil, config.Options{Known: known}); err != nil {
		t.Error(err)
	}
}

func TestLocateFindsTheLine(t *testing.T) {
	b, err := load(t, map[string]string{"t.yaml": team, "p.yaml": "apiVersion: sallyport.dev/v1\nkind: Policy\nname: rules\ncedar: |\n  // first\n  permit (principal, action, resource == Tool::\"x/y\");\n"})
	if err != nil {
		t.Fatal(err)
	}
	_, perr := policy.Compile([]resource.Policy{*b.Resources[1].(*resource.Policy)}, policy.World{})
	cerr := &catalog.Problem{Key: catalog.Key{Kind: resource.KindTeam, Name: "finance"}, Problem: resource.Problem{Path: "members[0]", Err: fault.New(fault.Invalid, "who is that")}}
	other := errors.New("something else")
	got := b.Locate(errors.Join(perr, cerr, other))
	for _, want := range []string{`p.yaml:6:3: there is no Tool "x/y"`, "t.yaml:4:11: who is that", "something else"} {
		if !strings.Contains(got.Error(), want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	if b.Locate(nil) != nil {
		t.Error("no error became one")
	}
}

func TestLoadNamesWhatIsNotThere(t *testing.T) {
	if _, err := config.Load(config.Options{}, filepath.Join(t.TempDir(), "no")); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
	if _, err := config.Load(config.Options{}, t.TempDir()); err == nil || !strings.Contains(err.Error(), "no file *.yaml") {
		t.Error(err)
	}
}

func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil {
			in, _, _ := strings.Cut(string(b), "----\n")
			f.Add(in)
		}
	}
	f.Fuzz(func(t *testing.T, in string) {
		b, err := config.LoadFS(fstest.MapFS{"r.yaml": {Data: []byte(in)}, "api.json": {Data: []byte(api)}}, []string{"r.yaml"}, config.Options{Vars: vars})
		if (b == nil) == (err == nil) || err != nil && !fault.Is(err, fault.Invalid) {
			t.Fatalf("bundle %v, error %v", b, err)
		}
		if b != nil {
			for _, r := range b.Resources {
				if r.Check() != nil {
					t.Errorf("%v was loaded and does not pass its check", r.Header())
				}
			}
		}
	})
}
