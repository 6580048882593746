package doctest_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/doctest"
)

// TestReadme does what a newcomer does with README.md: types its commands at the
// top of a clone, with an empty home. What `make demo` starts ends with Ctrl-C.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	must(t, err)
	blocks, err := doctest.Parse("README.md", string(text))
	must(t, err)
	out := &bytes.Buffer{}
	s := doctest.Open("../..", surroundings(t, t.TempDir()), out)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	for _, b := range blocks {
		if err := s.Run(ctx, b); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for _, said := range []string{"approver", "not a language model", "onboarded", "rejected", "duplicate", "the audit log verifies"} {
		if !strings.Contains(out.String(), said) {
			t.Errorf("nothing printed %q:\n%s", said, out)
		}
	}
}
