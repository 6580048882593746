// Package doctest runs the commands of the documentation, so that what a reader
// is told to type works. Parse takes the shell blocks out of a Markdown file, a
// Session runs them one after the other in one directory.
//
// A block is a fence tagged "sh". A comment on the line before it says how it is
// run; without one it has to end by itself with exit code 0:
//
//	<!-- doctest: skip REASON -->      it is shown only, for that reason
//	<!-- doctest: until TEXT -->       it goes on, in the background, as soon as its
//	                                   output has TEXT; Close interrupts it, and
//	                                   it has to end well
//	<!-- doctest: exit 8 -->           it ends with that code
//
// It refuses a comment that it doesn't understand, and a skip without a reason:
// a typing mistake must not turn a test off. Fences with other tags ("yaml",
// "text") are not commands.
package doctest

import (
	"fmt"
	"strconv"
	"strings"
)

// Block is one shell block.
type Block struct {
	File  string
	Line  int    // of the first command, from 1
	Text  string // the commands, ending in a newline
	Skip  string // the reason, or empty
	Until string // the text to wait for, or empty
	Exit  int    // the expected exit code
}

// Parse gives the shell blocks of a Markdown document. The file's name is for
// messages.
func Parse(file, markdown string) ([]Block, error) {
	var out []Block
	lines := strings.Split(markdown, "\n")
	mark := ""
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if inner, ok := strings.CutPrefix(line, "<!-- doctest:"); ok {
			inner, ok = strings.CutSuffix(inner, "-->")
			if !ok {
				return nil, fmt.Errorf("%s:%d: the comment has no end on its line", file, i+1)
			}
			mark = strings.TrimSpace(inner)
			if i+1 == len(lines) || strings.TrimSpace(lines[i+1]) != "```sh" {
				return nil, fmt.Errorf("%s:%d: the line after the comment is no ```sh fence", file, i+1)
			}
			continue
		}
		tag, fence := strings.CutPrefix(line, "```")
		if !fence {
			continue
		}
		end := i + 1
		for end < len(lines) && strings.TrimSpace(lines[end]) != "```" {
			end++
		}
		if end == len(lines) {
			return nil, fmt.Errorf("%s:%d: the fence has no end", file, i+1)
		}
		if tag == "sh" {
			b := Block{File: file, Line: i + 2, Text: dedent(lines[i], lines[i+1:end])}
			if err := b.mark(mark); err != nil {
				return nil, err
			}
			out = append(out, b)
		}
		mark, i = "", end
	}
	return out, nil
}

// mark applies the comment before the block.
func (b *Block) mark(text string) error {
	if text == "" {
		return nil
	}
	word, rest, _ := strings.Cut(text, " ")
	rest = strings.TrimSpace(rest)
	switch {
	case rest == "":
	case word == "skip":
		b.Skip = rest
		return nil
	case word == "until":
		b.Until = rest
		return nil
	case word == "exit":
		if code, err := strconv.Atoi(rest); err == nil && code > 0 && code < 126 {
			b.Exit = code
			return nil
		}
	}
	return fmt.Errorf("%s:%d: doctest: %q is not understood; use \"skip REASON\", \"until TEXT\" or \"exit CODE\"",
		b.File, b.Line-2, text)
}

// dedent takes the fence's own indentation (in a list) from its lines.
func dedent(fence string, lines []string) string {
	indent := fence[:len(fence)-len(strings.TrimLeft(fence, " "))]
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(strings.TrimPrefix(l, indent) + "\n")
	}
	return b.String()
}
