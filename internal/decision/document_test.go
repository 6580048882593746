package decision_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/intent"
)

// constants are the values of the constants of a type, read from the code: a new one
// can't be forgotten in a list.
func constants(t *testing.T, file, typ string) (all []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := v.Type.(*ast.Ident); !ok || id.Name != typ {
			return true
		}
		for _, e := range v.Values {
			s, _ := strconv.Unquote(e.(*ast.BasicLit).Value) // the parser took it
			all = append(all, s)
		}
		return true
	})
	if len(all) < 5 {
		t.Fatalf("%s has only %q of the type %s", file, all, typ)
	}
	return all
}

var (
	line  = regexp.MustCompile("(?m)^\\| `([A-Za-z_]+)` \\| .{10,} \\|$")
	arrow = regexp.MustCompile(`(?m)^  ([A-Z_]+) --> ([A-Z_]+)$`)
)

// section is what stands below a heading.
func section(t *testing.T, doc, heading string) string {
	t.Helper()
	_, after, ok := strings.Cut(doc, "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("docs/decisions.md has no section %q", heading)
	}
	text, _, _ := strings.Cut(after, "\n## ")
	return text
}

func TestTheDocumentHasALineForEveryStateAndRule(t *testing.T) {
	b, err := os.ReadFile("../../docs/decisions.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	states := []string{}
	for _, s := range decision.States {
		states = append(states, string(s))
	}
	if all := constants(t, "decision.go", "State"); !slices.Equal(slices.Sorted(slices.Values(all)), slices.Sorted(slices.Values(states))) {
		t.Errorf("States lists %q, and the constants are %q", states, all)
	}
	for heading, wanted := range map[string][]string{
		"The states of an Intent":  constants(t, "../intent/state.go", "State"),
		"The states of a Decision": states,
		"The rules, one by one":    constants(t, "refusal.go", "Code"),
	} {
		have := map[string]bool{}
		for _, m := range line.FindAllStringSubmatch(section(t, doc, heading), -1) {
			if have[m[1]] {
				t.Errorf("%s: %s has two lines", heading, m[1])
			}
			have[m[1]] = true
		}
		for _, w := range wanted {
			if !have[w] {
				t.Errorf("%s: %s has no line", heading, w)
			}
			delete(have, w)
		}
		for left := range have {
			t.Errorf("%s: there is no %s any more", heading, left)
		}
	}
	drawn := map[string]bool{}
	for _, m := range arrow.FindAllStringSubmatch(section(t, doc, "The states of an Intent"), -1) {
		drawn[m[1]+" "+m[2]] = true
	}
	for _, from := range intent.States {
		for _, to := range intent.States {
			if step := string(from) + " " + string(to); from.Can(to) != drawn[step] {
				t.Errorf("the diagram has %q: %v, and the code %v", step, drawn[step], from.Can(to))
			} else {
				delete(drawn, step)
			}
		}
	}
	if left := slices.Collect(maps.Keys(drawn)); len(left) > 0 {
		t.Errorf("the diagram has steps between states that are none: %q", left)
	}
	section(t, doc, "Passkeys")
}
