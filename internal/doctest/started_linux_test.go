package doctest_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
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
	out, home := typed(t, "docs/getting-started.md")
	for _, said := range []string{`"state":"COMMITTED"`, "Welcome!", "approved by Ann", "a guest of mine", "Ada was greeted once.", "entries verified", "hello-token@v1  hello sendGreeting  Ada"} {
		if !strings.Contains(out, said) {
			t.Errorf("nothing printed %q:\n%s", said, out)
		}
	}
	unprinted(t, out, filepath.Join(home, "try", "hello.token"))
}

// TestSecretsDocument does so with docs/secrets.md.
func TestSecretsDocument(t *testing.T) {
	out, home := typed(t, "docs/secrets.md")
	for _, said := range []string{"crm-token: version 2 is active", "crm-token: version 3 is destroyed", "crm-login: destroyed", "would be created", "two places", "ticket-token  v1"} {
		if !strings.Contains(out, said) {
			t.Errorf("nothing printed %q:\n%s", said, out)
		}
	}
	unprinted(t, out, filepath.Join(home, "try", "token"))
	unprinted(t, out, filepath.Join(home, "try", "new-token"))
}

// TestBackup does what docs/backup.md says: a backup, its check, a restore, and a
// server on what was restored.
func TestBackup(t *testing.T) {
	out, _ := typed(t, "docs/backup.md")
	for _, said := range []string{"entries verified", "and every one opens", "only the header was read", "the key file is not in it", "is ready"} {
		if !strings.Contains(out, said) {
			t.Errorf("nothing printed %q:\n%s", said, out)
		}
	}
}

// TestAuditDocument does what docs/audit.md says: the log is verified by the program
// and by the verifier that was written without it, and an altered one is found.
func TestAuditDocument(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3 here")
	}
	out, _ := typed(t, "docs/audit.md")
	for _, said := range []string{"entries verified", "ok: ", "ok: an entry of sallyport.dev/log/default", "it is entry 1 of sallyport.dev/log/default", "checkpoint-bad"} {
		if !strings.Contains(out, said) {
			t.Errorf("nothing printed %q:\n%s", said, out)
		}
	}
}

// typed types a document's commands, and gives what they printed and the home.
func typed(t *testing.T, file string) (printed, home string) {
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
	return out.String(), home
}

// unprinted fails when what was printed has the value in a file.
func unprinted(t *testing.T, printed, file string) {
	t.Helper()
	token, err := os.ReadFile(file)
	must(t, err)
	if strings.Contains(printed, strings.TrimSpace(string(token))) {
		t.Errorf("the value in %s was printed", file)
	}
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

// free is an address that nobody listens on, below the ports that the system gives out
// by itself: those may be another's by the time that it is used.
func free(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000)))
		if err == nil {
			must(t, l.Close())
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
