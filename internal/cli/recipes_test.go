package cli_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var (
	recipe = regexp.MustCompile("(?ms)^```cedar\n(.*?)^```$")
	single = regexp.MustCompile("(?ms)^```yaml\ncases:\n(.*?)^```$")
)

// What docs/policy.md shows is what its cases try: each recipe stands in
// examples/policies, and every statement there has a recipe.
func TestEveryRecipeOfTheDocumentationIsTried(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	doc, policies := read("docs/policy.md"), strings.ReplaceAll(read("examples/policies/policies.yaml"), "\n  ", "\n")
	recipes := recipe.FindAllStringSubmatch(doc, -1)
	statements := 0
	for _, m := range recipes {
		if statements += strings.Count(m[1], "@id("); !strings.Contains(policies, m[1]) {
			t.Errorf("examples/policies does not have the recipe\n%s", m[1])
		}
	}
	if all := strings.Count(policies, "@id("); statements < 6 || statements != all {
		t.Errorf("%d statements are shown, of %d", statements, all)
	}
	if m := single.FindStringSubmatch(doc); m == nil || !strings.Contains(read("examples/policies/cases.yaml"), m[1]) {
		t.Error("the case that is shown is none of those in examples/policies")
	}
}

func TestTheRecipesPassTheirCases(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Files: []string{"testdata/recipes.txtar"},
		Setup: func(e *testscript.Env) error {
			return os.CopyFS(e.WorkDir+"/examples/policies", os.DirFS("../../examples/policies"))
		},
	})
}
