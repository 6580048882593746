package console

import (
	"fmt"
	"strings"
	"testing"
)

// It must see inside: pages show a difference only of what a server has changed.

func oneLine(lines []diffLine) string {
	var b strings.Builder
	for _, l := range lines {
		if l.Skipped > 0 {
			fmt.Fprintf(&b, "(%d)", l.Skipped)
			continue
		}
		b.WriteString(l.Mark + l.Text + ";")
	}
	return b.String()
}

func TestADifferenceIsWhatIsThereNowAndWasNot(t *testing.T) {
	for _, c := range [][3]string{
		{"a\nb\nc", "a\nx\nc", "a;-b;+x;c;"},
		{"", "a\nb", "+a;+b;"},
		{"a\nb", "", "-a;-b;"},
		{"a\na\nb", "a\nb", "a;-a;b;"},
		{"1\n2\n3\n4\n5\n6\nx\n7\n8\n9\n10\n11", "1\n2\n3\n4\n5\n6\ny\n7\n8\n9\n10\n11", "(3)4;5;6;-x;+y;7;8;9;(2)"},
		{"a", "a", "(1)"},
	} {
		if got := oneLine(difference(c[0], c[1])); got != c[2] {
			t.Errorf("%q to %q: %s", c[0], c[1], got)
		}
	}
}

func FuzzDifference(f *testing.F) {
	f.Add("a\nb", "a\nc")
	f.Add("", "\n\n")
	f.Add(strings.Repeat("x\n", 3000), strings.Repeat("y\n", 3000))
	f.Fuzz(func(t *testing.T, was, is string) {
		a, b := diffLines(was), diffLines(is)
		var left, right []string
		for _, l := range diffMiddle(a, b) {
			if l.Mark != "+" {
				left = append(left, l.Text)
			}
			if l.Mark != "-" {
				right = append(right, l.Text)
			}
		}
		if strings.Join(left, "\n") != strings.Join(a, "\n") || strings.Join(right, "\n") != strings.Join(b, "\n") {
			t.Fatalf("%q to %q loses something", was, is)
		}
		difference(was, is)
	})
}
