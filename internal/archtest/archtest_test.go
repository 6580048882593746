package archtest

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

//go:generate go test -run ^TestPictureIsUpToDate$ -update .

var update = flag.Bool("update", false, "write the picture into docs/architecture.md")

// root is the module's directory, as seen from this package's.
const root = "../.."

// The module is loaded once for all tests; the first that needs it may not end
// it for the others, so the context is nobody's.
var (
	imported = sync.OnceValues(func() (Graph, error) { return load(context.Background(), root) })
	typed    = sync.OnceValues(func() (Graph, error) {
		g, err := imported()
		if err != nil {
			return g, err
		}
		path, err := modulePath(root)
		if err != nil {
			return g, err
		}
		return g, typeCheck(context.Background(), root, path, &g)
	})
)

func loaded(t *testing.T, load func() (Graph, error)) Graph {
	t.Helper()
	g, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func report(t *testing.T, bad []string) {
	t.Helper()
	for _, b := range bad {
		t.Error(b)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestArchitecture(t *testing.T) {
	g := loaded(t, typed)
	for _, c := range Checks {
		t.Run(c.Says, func(t *testing.T) { report(t, c.Find(g)) })
	}
}

func TestTheBinaryLinksTheModulesOnTheListAndNoOthers(t *testing.T) {
	report(t, linkedModules(loaded(t, imported), "cmd/sallyport"))
}

func TestEveryDirectDependencyIsExplained(t *testing.T) {
	mod, err := readModFile(root)
	if err != nil {
		t.Fatal(err)
	}
	var direct []string
	for _, r := range mod.Require {
		if !r.Indirect {
			direct = append(direct, r.Mod.Path)
		}
	}
	report(t, documented(direct, read(t, "docs/dependencies.md")))
}

func TestPictureIsUpToDate(t *testing.T) {
	const file = "docs/architecture.md"
	have := read(t, file)
	want, err := withPicture(have, loaded(t, imported))
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case have == want:
	case *update:
		if err := os.WriteFile(filepath.Join(root, file), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s shows another architecture than the code has; run: make docs", file)
	}
}
