package cli_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport.dev/internal/cli"
)

// A fence that shows commands; its tag is "sh" or "text".
var shown = regexp.MustCompile("(?ms)^```(?:sh|text)\n(.*?)^```$")

// inline is a command in a sentence: a verb, with what follows it.
var inline = regexp.MustCompile("`sallyport ((?:seal|key|serve|backup|restore|incident|explain)[^`\n]*)`")

// What a document tells a reader to type is a command that there is, with flags
// and arguments that it takes.
func TestEveryCommandOfTheDocumentationIsOneThatThereIs(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	seen := map[string]int{}
	for _, file := range append(files, "../../README.md") {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range commands(string(b)) {
			seen[filepath.Base(file)]++
			if err := cli.Understands(words(line)); err != nil {
				t.Errorf("%s: sallyport %s: %v", filepath.Base(file), line, err)
			}
		}
	}
	if seen["seals.md"] < 20 || seen["unseal-and-rotate.md"] < 15 {
		t.Errorf("the commands are not found: %v", seen)
	}
}

func TestACommandThatThereIsNotIsFoundInADocument(t *testing.T) {
	for _, line := range []string{"seal add --recovery", "seal unseal --recovery", "seal rotate", "seal ad passphrase", "serve --date DIR"} {
		if cli.Understands(words(line)) == nil {
			t.Errorf("sallyport %s is understood", line)
		}
	}
}

// commands are the lines of fences that call the program, without it, and the
// commands in sentences.
func commands(doc string) (out []string) {
	for _, m := range shown.FindAllStringSubmatch(doc, -1) {
		for line := range strings.Lines(strings.ReplaceAll(m[1], "\\\n", " ")) {
			for _, call := range []string{"sallyport ", "./bin/sallyport "} {
				if rest, ok := strings.CutPrefix(strings.TrimSpace(line), call); ok {
					out = append(out, rest)
				}
			}
		}
	}
	for _, m := range inline.FindAllStringSubmatch(shown.ReplaceAllString(doc, ""), -1) {
		if m[1] != "backup 1" { // the first line of a backup
			out = append(out, m[1])
		}
	}
	return out
}

// words splits a line as a shell does, up to a comment, a redirection or a pipe.
func words(line string) (out []string) {
	var quote rune
	word, begun := "", false
	end := func() {
		if begun {
			out = append(out, word)
		}
		word, begun = "", false
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case r == '\'' || r == '"':
			quote, begun = r, true
		case r == ' ' || r == '\n':
			end()
		case strings.ContainsRune("#<>|&;", r) && !begun:
			return out
		default:
			word, begun = word+string(r), true
		}
	}
	end()
	return out
}
