package archtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// Graph is what the checks look at. Packages of the module have the name of
// their directory ("internal/gate"), all others their import path.
type Graph struct {
	Packages map[string]*Package // of the module and all that it imports
	Lines    map[string]int      // of each Go file of the module
	Uses     []Use               // of the module's packages, without tests
	Declared map[string]bool     // functions, types, variables and methods of the module's packages
	Exports  []Export            // of the vault
}

// Package is one node.
type Package struct {
	Path    string
	Own     bool   // of this module
	Module  string // path of its module; empty for the standard library
	Imports []string
}

// Use is a mention of somebody else's object: a function, type, variable or
// method.
type Use struct {
	By     string // package
	Object string // "time.Now", "net/http.Header.Del"
	At     string // file:line
}

// own gives the packages of the module.
func (g Graph) own() []*Package {
	var out []*Package
	for _, path := range sortedKeys(g.Packages) {
		if p := g.Packages[path]; p.Own {
			out = append(out, p)
		}
	}
	return out
}

// reach gives every package that from imports, directly or by way of others,
// each with the package through which it was reached first.
func (g Graph) reach(from string) map[string]string {
	via := map[string]string{}
	queue := []string{from}
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		if g.Packages[p] == nil {
			continue
		}
		for _, next := range g.Packages[p].Imports {
			if _, seen := via[next]; !seen {
				via[next] = p
				queue = append(queue, next)
			}
		}
	}
	return via
}

// way spells out how from reaches to.
func way(via map[string]string, from, to string) string {
	steps := []string{to}
	for to != from {
		to = via[to]
		steps = append(steps, to)
	}
	slices.Reverse(steps)
	return strings.Join(steps, " > ")
}

// listed is what "go list" says about a package.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	ImportMap  map[string]string
	Module     *struct{ Path string }
}

// load reads the module at root with one call of the go command and one walk
// over its files. (The walk also tells the test cache what the result depends
// on; what the go command reads it can't see.)
func load(ctx context.Context, root string) (Graph, error) {
	module, err := modulePath(root)
	if err != nil {
		return Graph{}, err
	}
	g := Graph{Packages: map[string]*Package{}}
	if g.Lines, err = countLines(root); err != nil {
		return Graph{}, err
	}
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json=ImportPath,Standard,Imports,ImportMap,Module", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return Graph{}, fmt.Errorf("go list: %w\n%s", err, stderr.String())
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return g, nil
		} else if err != nil {
			return Graph{}, err
		}
		p := &Package{Path: short(module, l.ImportPath)}
		if l.Module != nil {
			p.Module = l.Module.Path
			p.Own = l.Module.Path == module
		}
		for _, i := range l.Imports {
			if real, ok := l.ImportMap[i]; ok {
				i = real
			}
			p.Imports = append(p.Imports, short(module, i))
		}
		g.Packages[p.Path] = p
	}
}

// short cuts the module's path from an import path.
func short(module, path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

// modulePath reads the module's path from its go.mod.
func modulePath(root string) (string, error) {
	mod, err := readModFile(root)
	if err != nil {
		return "", err
	}
	return mod.Module.Mod.Path, nil
}

// countLines counts the lines of every Go file of the module. Directories that
// the go command ignores, and nested modules, are left out.
func countLines(root string) (map[string]int, error) {
	lines := map[string]int{}
	tree := os.DirFS(root)
	return lines, fs.WalkDir(tree, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && file != "." {
			_, err := fs.Stat(tree, path.Join(file, "go.mod"))
			if err == nil || name == "testdata" || name == "vendor" || name[0] == '.' || name[0] == '_' {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		b, err := fs.ReadFile(tree, file)
		lines[file] = bytes.Count(b, []byte("\n"))
		return err
	})
}
