package doctest_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/doctest"
)

const document = "# Title\n\n```sh\nmake demo\n```\n\ntext ```sh in a line\n\n" +
	"```yaml\nkind: Mission\n```\n\n" +
	"<!-- doctest: skip it asks for a passphrase -->\n```sh\nsallyport vault init\n```\n\n" +
	"1. in a list\n   <!-- doctest: until ready at -->\n   ```sh\n   sallyport serve\n     --data x\n   ```\n" +
	"<!-- doctest: exit 2 -->\n```sh\nsallyport secret get\n```\n"

func TestParseFindsTheShellBlocks(t *testing.T) {
	got, err := doctest.Parse("README.md", document)
	if err != nil {
		t.Fatal(err)
	}
	want := []doctest.Block{
		{File: "README.md", Line: 4, Text: "make demo\n"},
		{File: "README.md", Line: 15, Text: "sallyport vault init\n", Skip: "it asks for a passphrase"},
		{File: "README.md", Line: 21, Text: "sallyport serve\n  --data x\n", Until: "ready at"},
		{File: "README.md", Line: 26, Text: "sallyport secret get\n", Exit: 2},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
}

func TestParseRefusesWhatWouldTurnATestOff(t *testing.T) {
	for name, document := range map[string]string{
		"skip without a reason":     "<!-- doctest: skip -->\n```sh\nx\n```\n",
		"an unknown word":           "<!-- doctest: ignore me -->\n```sh\nx\n```\n",
		"a comment without a block": "<!-- doctest: skip x -->\n\n```sh\nx\n```\n",
		"a comment without an end":  "<!-- doctest: skip x\n```sh\nx\n```\n",
		"a fence without an end":    "```sh\nx\n",
		"an exit code of zero":      "<!-- doctest: exit 0 -->\n```sh\nx\n```\n",
	} {
		if blocks, err := doctest.Parse("x.md", document); err == nil || !strings.HasPrefix(err.Error(), "x.md:") {
			t.Errorf("%s: got %v, %v", name, blocks, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(document)
	f.Add("   ```sh\nx\n ```\n```")
	f.Fuzz(func(t *testing.T, markdown string) {
		blocks, err := doctest.Parse("x.md", markdown)
		if err != nil {
			return
		}
		lines := strings.Count(markdown, "\n") + 1
		for _, b := range blocks {
			if b.Line < 2 || b.Line > lines || !strings.HasSuffix(b.Text, "\n") && b.Text != "" {
				t.Errorf("impossible block %#v", b)
			}
		}
	})
}

func open(t *testing.T) (*doctest.Session, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	return doctest.Open(t.TempDir(), os.Environ(), &out), &out
}

func TestASessionRunsBlocksInOneDirectory(t *testing.T) {
	s, out := open(t)
	for _, text := range []string{"echo one > file\n", "cat file\n"} {
		if err := s.Run(t.Context(), doctest.Block{Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	if out.String() != "one\n" {
		t.Errorf("printed %q", out)
	}
}

func TestABlockFailsAtItsFirstFailingLine(t *testing.T) {
	s, out := open(t)
	err := s.Run(t.Context(), doctest.Block{File: "x.md", Line: 7, Text: "echo before\nfalse | cat\necho after\n"})
	if err == nil || !strings.HasPrefix(err.Error(), "x.md:7: exit code 1") || strings.Contains(out.String(), "after") {
		t.Errorf("err %v, printed %q", err, out)
	}
}

func TestABlockHasToEndWithItsExitCode(t *testing.T) {
	s, _ := open(t)
	if err := s.Run(t.Context(), doctest.Block{Text: "exit 2\n", Exit: 2}); err != nil {
		t.Error(err)
	}
	if err := s.Run(t.Context(), doctest.Block{Text: "true\n", Exit: 2}); err == nil {
		t.Error("it ended well and should not have")
	}
}

func TestABackgroundBlockIsInterruptedWithItsChildren(t *testing.T) {
	s, out := open(t)
	err := s.Run(t.Context(), doctest.Block{
		Text:  "trap 'echo ended; exit 0' INT\necho ready at 7\nwhile :; do sleep 0.05; done\n",
		Until: "ready at",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "ended") {
		t.Errorf("printed %q", out)
	}
}

func TestABackgroundBlockThatEndsTooEarlyFails(t *testing.T) {
	s, _ := open(t)
	err := s.Run(t.Context(), doctest.Block{Text: "echo no\n", Until: "ready"})
	if err == nil || !strings.Contains(err.Error(), "ended before") {
		t.Error(err)
	}
}

func TestABlockThatHangsIsKilled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	s, _ := open(t)
	if err := s.Run(ctx, doctest.Block{Text: "sleep 600\n"}); err == nil || !strings.Contains(err.Error(), "did not end in time") {
		t.Error(err)
	}
}

// The documents whose commands are run have to be readable by a shell, wherever
// they are run.
func TestTheDocumentsHaveCommandsThatAShellUnderstands(t *testing.T) {
	for _, file := range []string{"README.md", "docs/getting-started.md", "docs/unseal-and-rotate.md", "docs/seals.md", "docs/backup.md"} {
		b, err := os.ReadFile(filepath.Join("../..", file))
		if err != nil {
			t.Error(err)
			continue
		}
		blocks, err := doctest.Parse(file, string(b))
		if err != nil {
			t.Error(err)
		}
		if len(blocks) == 0 {
			t.Errorf("%s has no commands", file)
		}
		for _, b := range blocks {
			bash := exec.CommandContext(t.Context(), "bash", "-n")
			bash.Stdin = strings.NewReader(b.Text)
			if out, err := bash.CombinedOutput(); err != nil {
				t.Errorf("%s:%d: %s", b.File, b.Line, out)
			}
		}
	}
}
