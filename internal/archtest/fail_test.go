package archtest

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"
)

// A check that can't fail proves nothing: each is shown a module that breaks it.

// graph makes a synthetic module from lines such as "internal/gate: internal/vault net".
func graph(lines ...string) Graph {
	g := Graph{Packages: map[string]*Package{}, Lines: map[string]int{}}
	for _, l := range lines {
		path, imports, _ := strings.Cut(l, ":")
		g.Packages[path] = &Package{Path: path, Own: true, Module: "sallyport.dev", Imports: strings.Fields(imports)}
	}
	for _, p := range g.own() {
		for _, i := range p.Imports {
			if g.Packages[i] != nil {
				continue
			}
			q := &Package{Path: i}
			if first, _, _ := strings.Cut(i, "/"); strings.Contains(first, ".") {
				q.Module = i
			}
			g.Packages[i] = q
		}
	}
	return g
}

func uses(g Graph, by, object string) Graph {
	g.Uses = append(g.Uses, Use{By: by, Object: object, At: "x.go:1"})
	return g
}

func TestEveryCheckCanFail(t *testing.T) {
	long := graph()
	long.Lines["internal/gate/gate.go"] = 501
	leak := graph()
	leak.Exports = []Export{{"vault.Vault.Reveal", "string"}}

	broken := map[string][]struct {
		g    Graph
		says string
	}{
		"every package is on the list, and the list has no others": {
			{graph("internal/util:"), "internal/util is not in Layers"},
			{graph("internal/fault:"), "internal/gate is in Layers but not in the module"},
		},
		"imports point down": {
			{graph("internal/audit: internal/gate", "internal/gate:"), "internal/audit (layer 1) imports internal/gate (layer 4)"},
			{graph("internal/policy: internal/decision", "internal/decision:"), "of its own layer"},
			{graph("internal/commit: internal/gate", "internal/gate:"), "against the order"},
			{graph("internal/vault/kek: internal/vault/httpcred", "internal/vault/httpcred:"), "against the order"},
			{graph("internal/vault: internal/connector/dial", "internal/connector/dial:"), "of its own layer"},
		},
		"nobody imports what the never-list keeps from them": {
			{graph("internal/gate: internal/vault/internal/plain", "internal/vault/internal/plain:"), "plaintext stays in the vault"},
			{graph("internal/mission: internal/connector/model", "internal/connector/model: internal/vault", "internal/vault:"),
				"internal/mission > internal/connector/model > internal/vault"},
			{graph("internal/cli: internal/sqlite", "internal/sqlite:"), "stores are wired in one place"},
			{graph("internal/cli: internal/engine/dbos", "internal/engine/dbos:"), "engines are wired in one place"},
			{graph("examples/vendor-onboarding/erp: internal/fault", "internal/fault:"), "somebody else's programs"},
			{graph("client: internal/fault", "internal/fault:"), "other people's programs"},
			{graph("internal/app: examples/vendor-onboarding/erp", "examples/vendor-onboarding/erp:"), "only the demo and its command"},
			{graph("internal/app: internal/archtest", "internal/archtest:"), "is for tests"},
		},
		"reserved functions are used by their owners only": {
			{uses(graph(), "internal/gate", "internal/scrub.Build"), "the vault alone builds one"},
			{uses(graph(), "internal/mission", "internal/commit.Machine.Execute"), "no effect without gate.Admit"},
			{graph(), "internal/commit.Machine.Execute is reserved, but there is no such thing"},
		},
		"layer 0 needs the standard library only": {
			{graph("internal/ident: github.com/google/uuid"), "internal/ident imports github.com/google/uuid"},
		},
		"pure packages import pure packages only": {
			{graph("internal/policy: internal/audit", "internal/audit:"), "internal/audit, which is not"},
			{graph("internal/policy: github.com/example/lib"), "not in pureModules"},
		},
		"pure packages touch no network, disk, logger or clock": {
			{uses(graph(), "internal/policy", "time.Now"), "uses time.Now"},
			{uses(graph(), "internal/intent", "net.Dial"), "uses net.Dial"},
			{uses(graph(), "internal/scrub", "net/http.Get"), "uses net/http.Get"},
			{uses(graph(), "internal/scrub", "log/slog.Info"), "uses log/slog.Info"},
			{uses(graph(), "internal/resource", "os.ReadFile"), "uses os.ReadFile"},
			{graph(), "the exception for net/http.Header in internal/scrub is not needed"},
		},
		"goroutines are begun by package crash, which catches their panics": {
			{uses(graph(), "internal/gate", "go"), "internal/gate begins a goroutine with go"},
			{uses(graph(), "internal/vault", "sync.WaitGroup.Go"), "with sync.WaitGroup.Go"},
			{graph(), "the exception for context.AfterFunc in internal/cli is not needed"},
		},
		"the vault exports no plaintext": {
			{leak, "vault.Vault.Reveal gives string"},
			{graph(), "is in NotPlaintext but is not exported any more"},
		},
		"a file of more than 500 lines has a reason": {
			{long, "internal/gate/gate.go has 501 lines"},
		},
	}
	for _, c := range Checks {
		if len(broken[c.Says]) == 0 {
			t.Errorf("nothing shows that this check can fail: %s", c.Says)
		}
		for _, b := range broken[c.Says] {
			found := c.Find(b.g)
			if !slices.ContainsFunc(found, func(s string) bool { return strings.Contains(s, b.says) }) {
				t.Errorf("%s: found %q, but not %q", c.Says, found, b.says)
			}
		}
	}
}

func TestHarmlessUsesAreNotReported(t *testing.T) {
	for _, object := range []string{"net.SplitHostPort", "time.Duration", "time.Time.Add", "net/url.Parse", "net/netip.ParseAddr"} {
		if isImpure(object) {
			t.Errorf("%s counts as impure", object)
		}
	}
}

func TestModuleListsCanFail(t *testing.T) {
	g := graph("cmd/sallyport: internal/cli", "internal/cli: evil.example/logger")
	bad := strings.Join(linkedModules(g, "cmd/sallyport"), "\n")
	for _, want := range []string{
		"the binary links evil.example/logger (cmd/sallyport > internal/cli > evil.example/logger)",
		"modernc.org/sqlite is in Linked but the binary doesn't link it",
	} {
		if !strings.Contains(bad, want) {
			t.Errorf("not found: %s, in:\n%s", want, bad)
		}
	}

	bad = strings.Join(documented([]string{"example.com/a"}, "| `example.com/b` | why | how |\n"), "\n")
	for _, want := range []string{"example.com/a is a direct dependency without a row", "example.com/b has a row"} {
		if !strings.Contains(bad, want) {
			t.Errorf("not found: %s, in:\n%s", want, bad)
		}
	}
}

// Every way to hand plaintext out that a signature has must be seen.
func TestExportsSeesEveryWayOut(t *testing.T) {
	const source = `package vault

import ("crypto"; "io"; "time")

type Vault struct{ secret string; Leak []byte; private []byte }
type Text string
type hidden struct{}
type Door interface { Send(body []byte) error; Name() Text }

var Last string

func (v *Vault) Reveal() string                           { return v.secret }
func (v *Vault) Pair() (int, []byte)                      { return 0, nil }
func (v *Vault) Reader() io.Reader                        { return nil }
func (v *Vault) Any() any                                 { return nil }
func (v *Vault) Map() map[string][]byte                   { return nil }
func (v *Vault) Closure() func() string                   { return nil }
func (v *Vault) With(f func(plain []byte))                {}
func (v *Vault) Hidden() hidden                           { return hidden{} }
func (v *Vault) Open(name string) (crypto.Signer, error)  { return nil, nil }
func (v *Vault) Set(value []byte) error                   { return nil }
func (v *Vault) At() time.Time                            { return time.Time{} }
func (v *Vault) inside() string                           { return "" }
func (hidden) Tell() string                               { return "" }
func Array() [32]byte                                     { return [32]byte{} }
func Channel() <-chan string                              { return nil }
`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "vault.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	config := types.Config{Importer: importer.ForCompiler(fset, "source", nil)}
	pkg, err := config.Check("sallyport.dev/internal/vault", fset, []*ast.File{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range exports(pkg) {
		names = append(names, strings.TrimPrefix(e.Name, "vault."))
	}
	slices.Sort(names)
	want := []string{
		"Array", "Channel", "Door.Send", "Last", "Text", "Vault.Any", "Vault.Closure", "Vault.Hidden", "Vault.Leak",
		"Vault.Map", "Vault.Pair", "Vault.Reader", "Vault.Reveal", "Vault.With", "hidden.Tell",
	}
	if !slices.Equal(names, want) {
		t.Errorf("found %q,\nwant  %q", names, want)
	}
}
