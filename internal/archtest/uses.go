package archtest

import (
	"context"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

// typeCheck fills in what needs types: who uses what, and what the vault exports.
func typeCheck(ctx context.Context, root, module string, g *Graph) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	fset := token.NewFileSet()
	loaded, err := packages.Load(&packages.Config{
		Context: ctx,
		Mode:    packages.NeedName | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedSyntax | packages.NeedImports,
		Dir:     root,
		Fset:    fset,
	}, "./internal/...")
	if err != nil {
		return err
	}
	vault := map[string]*types.Package{}
	g.Declared = map[string]bool{}
	for _, p := range loaded {
		if len(p.Errors) > 0 {
			return fmt.Errorf("type-checking %s: %w", p.PkgPath, p.Errors[0])
		}
		by := short(module, p.PkgPath)
		for _, object := range p.TypesInfo.Defs {
			if object != nil {
				g.Declared[objectName(module, object)] = true
			}
		}
		for ident, object := range p.TypesInfo.Uses {
			name := objectName(module, object)
			if name == "" {
				continue
			}
			g.Uses = append(g.Uses, Use{By: by, Object: name, At: position(fset, root, ident.Pos())})
		}
		for _, file := range p.Syntax {
			ast.Inspect(file, func(n ast.Node) bool {
				if _, is := n.(*ast.GoStmt); is {
					g.Uses = append(g.Uses, Use{By: by, Object: goStatement, At: position(fset, root, n.Pos())})
				}
				return true
			})
		}
		if slices.Contains(vaultAPI, by) {
			vault[by] = p.Types
		}
	}
	slices.SortFunc(g.Uses, func(a, b Use) int {
		return slices.Compare([]string{a.At, a.Object}, []string{b.At, b.Object})
	})
	for _, path := range vaultAPI {
		if vault[path] == nil {
			return fmt.Errorf("%s is not in the module", path)
		}
		g.Exports = append(g.Exports, exports(vault[path])...)
	}
	return nil
}

// goStatement stands among the uses for the statement, which is no object.
const goStatement = "go"

// position is "file:line", below the module's directory.
func position(fset *token.FileSet, root string, pos token.Pos) string {
	at := fset.Position(pos)
	return fmt.Sprintf("%s:%d", filepath.ToSlash(strings.TrimPrefix(at.Filename, root+string(filepath.Separator))), at.Line)
}

// objectName names a function, type, variable or method of a package:
// "time.Now", "net/http.Header.Del". Constants and fields are left out (they do
// nothing by themselves), and so are names inside functions.
func objectName(module string, object types.Object) string {
	if object.Pkg() == nil {
		return ""
	}
	pkg := short(module, object.Pkg().Path())
	switch o := object.(type) {
	case *types.Func:
		if recv := o.Signature().Recv(); recv != nil {
			if n, ok := namedOf(recv.Type()); ok {
				return pkg + "." + n.Obj().Name() + "." + o.Name()
			}
			return "" // a method of an interface without a name
		}
		return pkg + "." + o.Name()
	case *types.TypeName, *types.Var:
		if o.Parent() != object.Pkg().Scope() {
			return ""
		}
		return pkg + "." + o.Name()
	}
	return ""
}

// namedOf gives the named type of t or of what t points to.
func namedOf(t types.Type) (*types.Named, bool) {
	if p, ok := types.Unalias(t).(*types.Pointer); ok {
		t = p.Elem()
	}
	n, ok := types.Unalias(t).(*types.Named)
	return n, ok
}
