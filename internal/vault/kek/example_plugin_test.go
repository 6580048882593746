package kek_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/kek"
)

func TestTheExampleProgramBuildsAndKeepsTheContract(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil { // whatever the umask
		t.Fatal(err)
	}
	program, key := filepath.Join(dir, "seal-plugin"), filepath.Join(dir, "key")
	run := func(name string, args ...string) error {
		out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
		if err != nil {
			t.Logf("%s", out)
		}
		return err
	}
	if err := run("go", "build", "-o", program, "sallyport.dev/examples/seal-plugin"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	e, err := kek.NewExec(kek.ExecConfig{Path: program, Args: []string{"-key-file", key}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Wrap(t.Context(), aad, root()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("without its key: %v", err)
	}
	if err := run(program, "-new", "-key-file", key); err != nil {
		t.Fatal(err)
	}
	if err := run(program, "-new", "-key-file", key); err == nil {
		t.Error("it made a key over the one that is there")
	}
	s, err := e.Wrap(t.Context(), aad, root())
	if err != nil {
		t.Fatalf("%v (%s)", err, fault.HintOf(err))
	}
	if got, err := e.Unwrap(t.Context(), aad, s); err != nil || !bytes.Equal(plain.Bytes(got), plain.Bytes(root())) {
		t.Errorf("it does not open: %v", err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if err := run(program, "-new", "-key-file", key); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Unwrap(t.Context(), aad, s); !fault.Is(err, fault.Denied) {
		t.Errorf("with another key: %v", err)
	}
}
