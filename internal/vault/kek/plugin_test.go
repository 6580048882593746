package kek_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/internal/vault/kek"
)

// TestMain is the seal's program too: started with what only a test configures,
// the test binary answers as one, in the way that is asked for.
func TestMain(m *testing.M) {
	if how := os.Getenv("TEST_PLUGIN"); how != "" {
		os.Exit(behave(how))
	}
	code := m.Run()
	if pluginDir != "" {
		_ = os.RemoveAll(pluginDir)
	}
	os.Exit(code)
}

var pluginDir string

// pluginFile is a copy of the test binary where nobody else can write.
func pluginFile(t *testing.T) string {
	t.Helper()
	if pluginDir == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		if pluginDir, err = os.MkdirTemp("", "plugin-*"); err != nil { //nolint:usetesting // it serves all tests
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(pluginDir, "plugin"), read(t, self), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(pluginDir, "plugin")
}

// plugin is a seal whose program behaves in a way.
func plugin(t *testing.T, how string, args ...string) *kek.Exec {
	t.Helper()
	e, err := kek.NewExec(kek.ExecConfig{Path: pluginFile(t), Args: args, Env: map[string]string{"TEST_PLUGIN": how}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

type pluginRequest struct {
	V                          int
	Op                         string
	AAD, Plaintext, Ciphertext []byte
}

// behave is the program.
func behave(how string) int {
	if len(os.Args) == 3 && os.Args[2] == "again" {
		return hang(os.Args[1:])
	}
	var in pluginRequest
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		return 2
	}
	how, text, _ := strings.Cut(how, ":")
	switch how {
	case "says": // at every operation
		_, _ = io.WriteString(os.Stdout, text)
		return 0
	case "says-at-unwrap":
		if in.Op == "unwrap" {
			_, _ = io.WriteString(os.Stdout, text)
			return 0
		}
	case "fails":
		_, _ = io.WriteString(os.Stdout, text)
		_, _ = io.WriteString(os.Stderr, "the device said no\n")
		return 3
	case "leaks":
		leak(text, in.Plaintext)
		return 1
	case "floods":
		for {
			if _, err := os.Stdout.Write(make([]byte, 4096)); err != nil {
				return 1
			}
		}
	case "hangs":
		return hang(os.Args[1:])
	case "leaves":
		return leave(os.Args[1])
	case "reports":
		report(os.Args[1])
	}
	out := good(in, how == "forgets")
	if how == "pretends" && in.Op == "wrap" {
		out["ciphertext"] = append([]byte("wrapped: "), in.Plaintext...)
	}
	_ = json.NewEncoder(os.Stdout).Encode(out)
	return 0
}

// good is an answer by the contract; forgets: without the associated data.
func good(in pluginRequest, forgets bool) map[string]any {
	key, aad := sha256.Sum256([]byte("the test's key")), in.AAD
	if forgets {
		aad = nil
	}
	out := map[string]any{"v": 1, "id": "test/1"}
	switch in.Op {
	case "wrap":
		out["ciphertext"] = gcm(key[:]).Seal(nil, nil, in.Plaintext, aad)
	case "unwrap":
		b, err := gcm(key[:]).Open(nil, nil, in.Ciphertext, aad)
		if err != nil {
			return map[string]any{"v": 1, "error": map[string]string{"kind": "denied", "message": "it was not wrapped here"}}
		}
		out["plaintext"] = b
	}
	return out
}

// leak says the plaintext in a way of its own, on standard error or in an error.
func leak(how string, b []byte) {
	where, how, _ := strings.Cut(how, "-")
	words := map[string]string{"raw": string(b), "base64": base64.StdEncoding.EncodeToString(b), "url": base64.RawURLEncoding.EncodeToString(b),
		"hex": hex.EncodeToString(b), "HEX": strings.ToUpper(hex.EncodeToString(b)), "numbers": fmt.Sprint(b), "go": fmt.Sprintf("%#v", b), "colons": fmt.Sprintf("% x", b)}[how]
	if where == "stderr" {
		_, _ = io.WriteString(os.Stderr, "wrapping "+words)
		return
	}
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"v": 1, "error": map[string]string{"kind": "denied", "message": "wrapping " + words}})
}

// hang never ends, and neither does what it started; both hold a pipe open.
func hang(args []string) int {
	pipe, err := os.OpenFile(args[0], os.O_WRONLY, 0)
	if err != nil {
		return 1
	}
	signal.Notify(make(chan os.Signal, 1), os.Interrupt) // so that the runtime sees no deadlock
	if len(args) == 1 {
		child := exec.Command(os.Args[0], args[0], "again")
		child.Env = os.Environ()
		if child.Start() != nil {
			return 1
		}
	}
	defer pipe.Close()
	_, _ = pipe.WriteString("x")
	select {}
}

// leave ends with an answer, and a process that holds the output and the pipe.
func leave(pipe string) int {
	child := exec.Command(os.Args[0], pipe, "again")
	child.Env, child.Stdout = []string{"TEST_PLUGIN=hangs"}, os.Stdout
	if child.Start() != nil {
		return 1
	}
	_, _ = io.WriteString(os.Stdout, `{"v":1,"id":"test/1"}`)
	return 0
}

// report writes what the program sees of its surroundings to a file.
func report(path string) {
	dir, _ := os.Getwd()
	var open []string
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		for _, fd := range fds {
			to, _ := os.Readlink("/proc/self/fd/" + fd.Name())
			open = append(open, to)
		}
	}
	b, _ := json.Marshal(map[string]any{"dir": dir, "env": os.Environ(), "open": open})
	_ = os.WriteFile(path, b, 0o600)
}
