package console

import "strings"

// diffLine is a line of a difference between two texts. Of lines that are the same and
// far from any other, Skipped says how many are left out in its place.
type diffLine struct {
	Mark    string // "-" what was there, "+" what is there now, "" the same
	Text    string
	Skipped int
}

const (
	diffContext = 3       // lines that are the same, around what is not
	diffCells   = 2 << 20 // comparisons; above that, all of it is shown as changed
)

// difference compares two texts line by line.
func difference(was, is string) []diffLine {
	a, b := diffLines(was), diffLines(is)
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	var out []diffLine
	for _, s := range a[:head] {
		out = append(out, diffLine{Text: s})
	}
	out = append(out, diffMiddle(a[head:len(a)-tail], b[head:len(b)-tail])...)
	for _, s := range a[len(a)-tail:] {
		out = append(out, diffLine{Text: s})
	}
	return abridge(out)
}

func diffLines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}

// diffMiddle is the difference by a longest common subsequence.
func diffMiddle(a, b []string) (out []diffLine) {
	n, m := len(a), len(b)
	i, j := 0, 0
	if n > 0 && m > 0 && n*m <= diffCells {
		long := make([][]int32, n+1)
		for x := range long {
			long[x] = make([]int32, m+1)
		}
		for x := n - 1; x >= 0; x-- {
			for y := m - 1; y >= 0; y-- {
				if a[x] == b[y] {
					long[x][y] = long[x+1][y+1] + 1
				} else {
					long[x][y] = max(long[x+1][y], long[x][y+1])
				}
			}
		}
		for i < n && j < m {
			switch {
			case a[i] == b[j]:
				out = append(out, diffLine{Text: a[i]})
				i, j = i+1, j+1
			case long[i+1][j] >= long[i][j+1]:
				out = append(out, diffLine{Mark: "-", Text: a[i]})
				i++
			default:
				out = append(out, diffLine{Mark: "+", Text: b[j]})
				j++
			}
		}
	}
	for ; i < n; i++ {
		out = append(out, diffLine{Mark: "-", Text: a[i]})
	}
	for ; j < m; j++ {
		out = append(out, diffLine{Mark: "+", Text: b[j]})
	}
	return out
}

// abridge leaves out what is the same and far from what is not.
func abridge(in []diffLine) (out []diffLine) {
	near := make([]bool, len(in))
	for i, l := range in {
		if l.Mark != "" {
			for k := max(0, i-diffContext); k <= min(len(in)-1, i+diffContext); k++ {
				near[k] = true
			}
		}
	}
	for i, l := range in {
		switch last := len(out) - 1; {
		case near[i]:
			out = append(out, l)
		case last >= 0 && out[last].Skipped > 0:
			out[last].Skipped++
		default:
			out = append(out, diffLine{Skipped: 1})
		}
	}
	return out
}
