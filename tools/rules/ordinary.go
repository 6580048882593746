package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/zricethezav/gitleaks/v8/detect"

	"sallyport.dev/internal/scrub/unknown"
)

// Of each kind of file so much is read, so that none makes up the whole; files
// are taken in the order of their paths, every eighth.
const (
	perKind = 8 << 20
	maxFile = 2 << 20
	every   = 8
)

// kinds are the endings of files that are text.
var kinds = []string{".go", ".md", ".txt", ".json", ".html", ".log", ".yaml", ".yml", ".js", ".py", ".sh", ".xml", ".toml", ".css", ".c", ".h",
	".rst", ".proto", ".sql", "LICENSE", "copyright", "README"}

// tally is what was found in one kind of file.
type tally struct {
	bytes, sure, likely, theirs int
}

// ordinary counts findings in files under the roots, those of gitleaks too, and
// what the scans cost.
func ordinary(w io.Writer, roots []string, verbose bool) error {
	tallies := map[string]*tally{}
	rules := map[string]int{}
	detector, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		return err
	}
	var spent, theirs time.Duration
	seen := 0
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || strings.Contains(path, "gitleaks") {
				return nil //nolint:nilerr // what can't be read is left out, and gitleaks' samples
			}
			kind := kindOf(d.Name())
			if seen++; kind == "" || seen%every != 0 {
				return nil
			}
			t := tallies[kind]
			if t == nil {
				t = &tally{}
				tallies[kind] = t
			}
			text, err := os.ReadFile(path)
			if err != nil || t.bytes > perKind || len(text) > maxFile || bytes.IndexByte(text, 0) >= 0 {
				return nil //nolint:nilerr // the same
			}
			begin := processor()
			found := unknown.Find(text)
			spent += processor() - begin
			begin = processor()
			t.theirs += len(detector.DetectBytes(text))
			theirs += processor() - begin
			t.bytes += len(text)
			for _, f := range found {
				rules[f.Confidence.String()+" "+f.Rule]++
				if f.Confidence == unknown.Sure {
					t.sure++
				} else {
					t.likely++
				}
				if verbose {
					from := max(0, f.Start-60, bytes.LastIndexByte(text[:f.Start], '\n')+1)
					fmt.Fprintf(w, "HIT %s %s %s: %.60q|%.80q\n", f.Confidence, f.Rule, path, text[from:f.Start], text[f.Start:f.End])
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	printTallies(w, tallies, rules, spent, theirs)
	return nil
}

// processor is the time that this program has used of the machine's processors,
// which says more than the clock where others use them too.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func kindOf(name string) string {
	for _, k := range kinds {
		if strings.HasSuffix(name, k) {
			return k
		}
	}
	return ""
}

func printTallies(w io.Writer, tallies map[string]*tally, rules map[string]int, spent, theirs time.Duration) {
	var names []string
	var sum tally
	for n, t := range tallies {
		names = append(names, n)
		sum.bytes += t.bytes
		sum.sure += t.sure
		sum.likely += t.likely
		sum.theirs += t.theirs
	}
	slices.Sort(names)
	tallies["**all**"] = &sum
	fmt.Fprintln(w, "\n| kind of file | MB | sure | likely | sure a MB | likely a MB | gitleaks | gitleaks a MB |")
	fmt.Fprintln(w, "| --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, n := range append(names, "**all**") {
		t := tallies[n]
		mb := float64(t.bytes) / 1e6
		fmt.Fprintf(w, "| %s | %.1f | %d | %d | %.2f | %.2f | %d | %.2f |\n", n, mb, t.sure, t.likely,
			float64(t.sure)/mb, float64(t.likely)/mb, t.theirs, float64(t.theirs)/mb)
	}
	mb := float64(sum.bytes) / 1e6
	fmt.Fprintf(w, "\nMB a second of processor time: %.0f, gitleaks %.1f\n\n", mb/spent.Seconds(), mb/theirs.Seconds())
	var by []string
	for r := range rules {
		by = append(by, r)
	}
	slices.SortFunc(by, func(a, b string) int { return rules[b] - rules[a] })
	for _, r := range by {
		fmt.Fprintf(w, "%6d %s\n", rules[r], r)
	}
}
