package demo_test

import (
	"go/ast"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The suite is worth what it is driven through. These tests fail when the product
// has a door or a sink that it does not know.

// unprinted are the commands that the suite does not run against a server, with
// the reason: of every other one the output is searched.
var unprinted = map[string]string{
	"account add":            "it shows a new person's password, once, to who makes the account",
	"account passkey-link":   "it asks for a person's factor at a terminal, and shows a link once",
	"account passkey-remove": "it asks for a person's factor at a terminal",
	"backup":                 "it asks for a person's factor at a terminal; the backup itself is a sink of its own",
	"demo":                   "it runs a server; its standard error is searched when it is killed",
	"demo code":              "it shows a demo person's one-time code, which is what it is for",
	"help":                   "text of the binary alone",
	"login":                  "it asks for a person's factor at a terminal; its scripts search the transcript",
	"logout":                 "it ends the session that the others are run with",
	"restore":                "it reads a backup, without a server",
	"seal recovery-key":      "it makes a key, without a server",
	"worker token create":    "it asks for a person's factor at a terminal, and shows a token once",
	"serve":                  "it runs a server; its standard streams are searched",
}

// TestLeakEveryCommandIsSearched asks the program which commands there are: the
// output of each is searched, or there is a reason why not.
func TestLeakEveryCommandIsSearched(t *testing.T) {
	t.Parallel()
	all := commandsOf(t, "")
	if len(all) < 45 {
		t.Fatalf("only %d commands were read: %v", len(all), all)
	}
	runs := func(c string) bool {
		return slices.ContainsFunc(commands, func(line string) bool { return line == c || strings.HasPrefix(line, c+" ") })
	}
	for _, c := range all {
		why := unprinted[c]
		switch {
		case runs(c) && why != "":
			t.Errorf("%q is run, and has a reason why not", c)
		case !runs(c) && why == "":
			t.Errorf("the output of the command %q is searched by no test: put it into commands, or say why not in unprinted", c)
		}
	}
	for c := range unprinted {
		if !slices.Contains(all, c) {
			t.Errorf("there is no command %q any more", c)
		}
	}
}

// commandsOf asks the program itself, by its help, which commands there are below
// one: each that has none below it, with its noun.
func commandsOf(t *testing.T, noun string) (all []string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, append(strings.Fields(noun), "--help")...)
	cmd.Env = append(os.Environ(), envCLI+"=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(out), "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for line := range strings.Lines(list) {
		if strings.Fields(line)[0] == "completion" { // cobra's own, from the binary alone
			continue
		}
		name := strings.TrimSpace(noun + " " + strings.Fields(line)[0])
		below := commandsOf(t, name)
		if all = append(all, below...); len(below) == 0 || name == "demo" { // which is a command and has one
			all = append(all, name)
		}
	}
	return all
}

// writers are the files that begin a log or write to a standard stream, with why
// what they write is searched or holds nothing.
var writers = map[string]string{
	"app/app.go":                      "the process's log, through the scrubber; the vault puts its own before the other",
	"app/enginelog.go":                "the same log, for the engine",
	"app/listen.go":                   "the same log, for net/http",
	"app/restore.go":                  "a restore's log; the vault scrubs what it writes",
	"app/restored.go":                 "the same, with the scrubber for the store",
	"confine/confine.go":              "two inherited descriptors: what a child is to be, and fixed sentences about how that went",
	"vault/proccred/process_linux.go": "the file without a name that a child reads its credential from",
	"cli/demo.go":                     "the demo's log file; package app puts the scrubber before it",
	"cli/restore.go":                  "where a restore's log goes",
	"cli/serve.go":                    "where the server's log goes; package app puts the scrubber before it",
	"cli/shield.go":                   "names of functions and lines of files, of a server that was ended by the runtime",
	"vault/vault.go":                  "puts the scrubber before the vault's log",
}

// TestLeakEveryLogIsKnown reads from the code where logs begin, and who writes to
// the standard streams: each place has a reason.
func TestLeakEveryLogIsKnown(t *testing.T) {
	found := map[string]bool{}
	begins := []string{"slog.New", "slog.NewTextHandler", "slog.NewJSONHandler", "slog.NewLogLogger", "slog.NewMultiHandler", "slog.SetDefault", "log.New", "log.Printf", "log.Println", "log.Print",
		"os.Stdout", "os.Stderr", "os.NewFile", "debug.SetCrashOutput", "debug.PrintStack", "pprof.Lookup", "expvar.Publish"}
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "test"+string(filepath.Separator)) {
			return err
		}
		parsed(t, path, func(_ string, n ast.Node) {
			if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(begins, exprText(s.X)+"."+s.Sel.Name) {
				found[filepath.ToSlash(path[3:])] = true
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range slices.Sorted(maps.Keys(found)) {
		if writers[path] == "" {
			t.Errorf("%s begins a log or writes to a standard stream: name it in writers, and see that it is searched", path)
		}
	}
	for path := range writers {
		if !found[path] {
			t.Errorf("%s begins no log any more", path)
		}
	}
}
