package unknown

import "testing"

func TestX(t *testing.T) {
	_, err := parseTable(tokensTable, assignmentsTable)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(len(theTable().rules), len(everything().triggers), len(everything().words.output))
}
