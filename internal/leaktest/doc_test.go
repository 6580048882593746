package leaktest_test

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"sallyport.dev/internal/leaktest"
)

//go:generate go test -run ^TestTheDocumentHasTheListsOfTheSuite$ -update .

var update = flag.Bool("update", false, "write the lists into docs/no-echo.md")

const document = "../../docs/no-echo.md"

// sample is what the document's table writes in every encoding.
const sample = `pa/ss"w+7`

// lists is the part of the document that the code makes: encodings, carriers,
// chunkings and kinds of value, as every suite walks them.
func lists() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d encodings, of which the last %d are found where a text is whole (an answer that is recorded, an Observation), not on the wire. The value is `%s`.\n\n| encoding | how it begins |\n| --- | --- |\n",
		len(leaktest.Encoders)+len(leaktest.WholeEncoders), len(leaktest.WholeEncoders), sample)
	for _, e := range append(leaktest.Encoders, leaktest.WholeEncoders...) {
		coded, _ := e.Encode(sample)
		fmt.Fprintf(&b, "| %s | `%s` |\n", strings.ReplaceAll(e.Name, `\`, `\\`), cell(coded))
	}
	fmt.Fprintf(&b, "\n%d carriers, the places of an HTTP answer that text can come in:\n\n| carrier | what is no secret there |\n| --- | --- |\n", len(leaktest.Carriers))
	for _, c := range leaktest.Carriers {
		fmt.Fprintf(&b, "| %s | %s |\n", c.Name, map[bool]string{true: "is passed on", false: "is dropped with the place"}[c.Shown])
	}
	var cuts []string
	for _, c := range leaktest.Chunkers {
		cuts = append(cuts, c.Name)
	}
	fmt.Fprintf(&b, "\n%d chunkings: %s. %d kinds of value: %s.\n", len(cuts), strings.Join(cuts, ", "), len(leaktest.CanaryKinds), strings.Join(leaktest.CanaryKinds, ", "))
	return b.String()
}

// cell is a text as a table can have it.
func cell(s string) string {
	if q := strconv.QuoteToGraphic(s); strings.ContainsAny(s, "\x00\n") {
		s = q[1 : len(q)-1]
	}
	if s = strings.ReplaceAll(s, "|", `\|`); len(s) > 60 {
		s = s[:60] + "..."
	}
	return s
}

const begin, end = "<!-- lists: made by go generate ./internal/leaktest -->\n", "<!-- end of lists -->"

func TestTheDocumentHasTheListsOfTheSuite(t *testing.T) {
	b, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	was, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatal("the document has no place for the lists")
	}
	if want := "\n" + lists() + "\n"; was != want {
		if *update {
			if err := os.WriteFile(document, []byte(before+begin+want+end+after), 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
		t.Error("docs/no-echo.md has other lists than the suite: run make docs")
	}
}
