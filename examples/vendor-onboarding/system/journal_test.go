package system_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/examples/vendor-onboarding/system"
)

type entry struct {
	N int `json:"n"`
}

func openJournal(t *testing.T, path string) (*system.Journal[entry], []entry) {
	t.Helper()
	j, got, err := system.OpenJournal[entry](path)
	if err != nil {
		t.Fatal(err)
	}
	return j, got
}

func TestAJournalGoesOnWhereItWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j.jsonl")
	for n := range 3 {
		j, got := openJournal(t, path)
		if len(got) != n {
			t.Fatalf("start %d found %v", n, got)
		}
		if err := j.Append(entry{n}); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if err := j.Append(entry{9}); err == nil {
			t.Error("a closed journal took a record")
		}
	}
}

// A crash can cut an append at any byte: what was acknowledged stays, what was
// not is gone, and the next append is whole.
func TestACutRecordIsForgottenWhereverItIsCut(t *testing.T) {
	whole := "{\"n\":1}\n{\"n\":2}\n"
	for cut := range len(whole) + 1 {
		path := filepath.Join(t.TempDir(), "j.jsonl")
		if err := os.WriteFile(path, []byte(whole[:cut]), 0o600); err != nil {
			t.Fatal(err)
		}
		j, got := openJournal(t, path)
		want := []entry{{1}, {2}}[:strings.Count(whole[:cut], "\n")]
		if !slices.Equal(got, want) {
			t.Errorf("cut at %d: %v", cut, got)
		}
		if err := j.Append(entry{3}); err != nil {
			t.Fatal(err)
		}
		_ = j.Close()
		if _, got := openJournal(t, path); !slices.Equal(got, append(slices.Clone(want), entry{3})) {
			t.Errorf("cut at %d, then appended: %v", cut, got)
		}
	}
}

func TestADamagedJournalIsNotOpened(t *testing.T) {
	for _, text := range []string{"{\"n\":1}\nnonsense\n{\"n\":2}\n", "{\"n\":\"x\"}\n", "{\"other\":1}\n", "{\"n\":1} {\"n\":2}\n", "\n"} {
		path := filepath.Join(t.TempDir(), "j.jsonl")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := system.OpenJournal[entry](path); err == nil {
			t.Errorf("%q was opened", text)
		}
	}
}
