package cli_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"sallyport.dev/internal/cli"
)

func TestEachFindingHasACodeOfItsOwnWhichTheDocumentHas(t *testing.T) {
	doc, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]string{}
	for kind, code := range cli.AuditCodes() {
		if was := seen[code]; was != "" || code < 20 || code > 52 {
			t.Errorf("%s has the code %d, as %q", kind, code, was)
		}
		seen[code] = string(kind)
		if !strings.Contains(string(doc), fmt.Sprintf("| `%s` | %d |", kind, code)) {
			t.Errorf("docs/audit.md does not say that %s is %d", kind, code)
		}
	}
	if len(seen) != 33 {
		t.Errorf("there are %d codes", len(seen))
	}
}
