package kek_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport.dev/internal/vault/kek"
)

var fences = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// What docs/seals.md shows is what is read here.
func TestTheExamplesOfTheDocumentationAreAccepted(t *testing.T) {
	doc := string(read(t, "../../../docs/seals.md"))
	path, seen := filepath.Join(t.TempDir(), "example"), map[string]int{}
	for _, m := range fences.FindAllStringSubmatch(doc, -1) {
		tag, text := m[1], m[2]
		write(t, path, []byte(text), 0o600)
		var err error
		switch {
		case tag == "hcl":
			seen["policy"]++
			if text != fmt.Sprintf(sealPolicy, "transit", "sallyport", "transit", "sallyport") {
				t.Errorf("the contract is checked with another policy than\n%s", text)
			}
		case tag != "json":
		case strings.Contains(text, `"address"`):
			seen["transit"]++
			var c kek.TransitConfig
			if c, err = kek.ReadTransitConfig(path); err == nil {
				c.CAFile = "" // the file that it names is the reader's
				_, err = kek.NewTransit(c)
			}
		case strings.Contains(text, `"path"`):
			seen["exec"]++
			_, err = kek.ReadExecConfig(path) // the program is the reader's
		default:
			seen["answer"]++
			err = kek.AnswerForTest([]byte(text))
		}
		if err != nil {
			t.Errorf("%s\n%v", text, err)
		}
	}
	if seen["policy"] != 1 || seen["transit"] != 2 || seen["exec"] != 1 || seen["answer"] != 4 {
		t.Errorf("the examples are %v", seen)
	}
	if _, err := os.Stat("../../../examples/seal-plugin/main.go"); err != nil {
		t.Error(err)
	}
}
