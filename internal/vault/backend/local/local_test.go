package local_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/backendtest"
	"sallyport.dev/internal/vault/backend/local"
	"sallyport.dev/internal/vault/internal/plain"
)

func TestFilesKeepTheContract(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.World {
		dir := t.TempDir()
		b, err := local.NewFiles(local.Files{Directory: dir})
		if err != nil {
			t.Fatal(err)
		}
		return backendtest.World{Backend: local.Hurry(b), Path: func(word string) string { return "team/" + word },
			Put: func(t *testing.T, path string, fields map[string]string) string {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, path), []byte(fields[backend.Whole]+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				return ""
			},
			Remove: func(t *testing.T, path string) {
				if err := os.Remove(filepath.Join(dir, path)); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

func TestTheEnvironmentKeepsTheContract(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.World {
		b, err := local.NewEnvironment(local.Environment{Prefix: "SALLYPORT_TEST_SECRET_"})
		if err != nil {
			t.Fatal(err)
		}
		name := func(path string) string { return "SALLYPORT_TEST_SECRET_" + path }
		return backendtest.World{Backend: b, Path: func(word string) string { return strings.ToUpper(strings.ReplaceAll(word, "-", "_")) },
			Put: func(t *testing.T, path string, fields map[string]string) string {
				t.Setenv(name(path), fields[backend.Whole])
				return ""
			},
			Remove: func(t *testing.T, path string) {
				if err := os.Unsetenv(name(path)); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

func TestAFileThatIsNotTheOperatorsIsRefused(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	dir := t.TempDir()
	put := func(path, text string, mode os.FileMode) {
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	put(outside, "cnry-outside", 0o600)
	put(in("writable"), "cnry-writable", 0o622)
	put(in("empty"), "\n", 0o600)
	put(in("long"), strings.Repeat("x", backend.MaxAnswer+1), 0o600)
	put(in("good"), "good\n", 0o400)
	for name, to := range map[string]string{"link": outside, "climbs": "../" + filepath.Base(filepath.Dir(outside)) + "/outside", "within": "good"} {
		if err := os.Symlink(to, in(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(in("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := local.NewFiles(local.Files{Directory: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "climbs", "writable", "empty", "long", "pipe", "."} {
		if got, err := b.Fetch(t.Context(), backend.Ask{Path: name}); err == nil || strings.Contains(err.Error(), "cnry") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if got, err := b.Fetch(t.Context(), backend.Ask{Path: "within"}); err != nil || string(plain.Bytes(got.Fields[backend.Whole])) != "good" {
		t.Errorf("a link within the directory, as Kubernetes makes them: %v", err)
	}
	for _, c := range []string{"", "secrets", "/"} {
		if _, err := local.NewFiles(local.Files{Directory: c}); err == nil {
			t.Errorf("the directory %q was taken", c)
		}
	}
	for _, c := range []string{"", "path", "_X"} {
		if _, err := local.NewEnvironment(local.Environment{Prefix: c}); err == nil {
			t.Errorf("the prefix %q was taken", c)
		}
	}
}
