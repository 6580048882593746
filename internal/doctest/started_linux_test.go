package doctest_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/doctest"
)

// TestGettingStarted does what a reader of docs/getting-started.md does: types
// the commands at the top of the project, in order, with an empty home.
func TestGettingStarted(t *testing.T) {
	home, out := follow(t, "docs/getting-started.md", `"state":"COMMITTED"`, "Welcome!", "approved by Ann", "a guest of mine", "Ada was greeted once.", "entries verified")
	token, err := os.ReadFile(filepath.Join(home, "try", "hello.token"))
	must(t, err)
	if strings.Contains(out, strings.TrimSpace(string(token))) {
		t.Error("the token was printed")
	}
}

// TestBackup does what docs/backup.md says: a backup, its check, a restore, and a
// server on what was restored.
func TestBackup(t *testing.T) {
	follow(t, "docs/backup.md", "entries verified", "and every one opens", "only the header was read", "the key file is not in it", "is ready")
}

// follow types a document's commands, which have to print what is said.
func follow(t *testing.T, file string, said ...string) (home, printed string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", file))
	must(t, err)
	blocks, err := doctest.Parse(file, string(text))
	must(t, err)
	ports := strings.NewReplacer("127.0.0.1:7411", free(t), "127.0.0.1:7412", free(t))
	home = t.TempDir()
	out := &bytes.Buffer{}
	s := doctest.Open("../..", surroundings(t, home), out)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	for _, b := range blocks {
		b.Text = ports.Replace(b.Text)
		if err := s.Run(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range said {
		if !strings.Contains(out.String(), line) {
			t.Errorf("nothing printed %q:\n%s", line, out)
		}
	}
	return home, out.String()
}

// surroundings is the environment of somebody with an empty home, whose program
// is this one. Go keeps its caches.
func surroundings(t *testing.T, home string) []string {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	bin, people := t.TempDir(), t.TempDir()
	must(t, os.Symlink(self, filepath.Join(bin, "sallyport")))
	env := []string{"HOME=" + home, "PATH=" + bin + ":" + os.Getenv("PATH"), envPeople + "=" + people, "TMPDIR=" + t.TempDir(), "LANG=C.UTF-8"}
	goEnv, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY").Output()
	must(t, err)
	values := strings.Split(string(goEnv), "\n")
	for i, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY"} {
		env = append(env, name+"="+values[i])
	}
	return env
}

// free is an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close())
	return l.Addr().String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
