package mcp_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/resource"
)

// real starts a server of somebody else's, and waits until it listens.
func real(t *testing.T, env []string, command string, args ...string) *client {
	t.Helper()
	dir := modules(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
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
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "node_modules", ".bin", command), args...)
	cmd.Env = append(append(os.Environ(), "PORT="+port), env...)
	if command != "dbhub" { // its database is built for the machine's own Node
		cmd.Env = append(append(node(dir), "PORT="+port), env...)
	}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	c := newClient(t, "http://127.0.0.1:"+port+"/mcp")
	for end := time.Now().Add(60 * time.Second); ; {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = conn.Close()
			return c
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not listen: %v", command, err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

func TestARealServerThatShowsItsEnvironment(t *testing.T) {
	const canary = "cnry-everything-4f81Kq0ZxW"
	c := real(t, []string{"CANARY=" + canary}, "mcp-server-everything", "streamableHttp")
	c.pin(c.pull())
	if a := c.call("echo", `{"message":"hi"}`); a.Outcome != connector.Done || !strings.Contains(string(a.Body), "hi") {
		t.Fatalf("%+v %s", a, a.Body)
	}
	// Without the vault's door it comes through as it is; package app has the test with it.
	if a := c.call("get-env", `{}`); a.Outcome != connector.Done || !strings.Contains(string(a.Body), canary) {
		t.Errorf("%+v", a)
	}
	c.in.MCP.Tools = nil
	c.build()
	for _, tool := range c.kind.Tools() {
		own := tool.Name == "list_resources" || tool.Name == "read_resource" || tool.Name == "list_prompts" || tool.Name == "get_prompt"
		if (tool.Effect == resource.Read) != own {
			t.Errorf("%s is a %s, whatever it says of itself", tool.Name, tool.Effect)
		}
	}
	a := c.call("list_resources", `{}`)
	all := uris(a)
	if a.Outcome != connector.Done || len(all) == 0 {
		t.Fatalf("%+v", a)
	}
	if a := c.call("read_resource", fmt.Sprintf(`{"uri":%q}`, all[0])); a.Outcome != connector.Done || !strings.Contains(string(a.Body), "contents") {
		t.Errorf("%+v %.300s", a, a.Body)
	}
	if a := c.call("list_prompts", `{}`); a.Outcome != connector.Done {
		t.Errorf("%+v", a)
	}
}

func TestARealServerThatWrites(t *testing.T) {
	c := real(t, nil, "dbhub", "--demo", "--transport", "http", "--port", "PORT")
	c.pin(c.pull())
	c.in.MCP.Tools = nil
	c.build()
	found := false
	for _, tool := range c.kind.Tools() {
		if tool.Name == "execute_sql" {
			found = tool.Effect == resource.Write
		}
	}
	if !found {
		t.Fatalf("execute_sql is no write: %+v", c.kind.Tools())
	}
	if a := c.call("execute_sql", `{"sql":"SELECT count(*) AS n FROM employee"}`); a.Outcome != connector.Done || !json.Valid(a.Body) {
		t.Errorf("%+v %s", a, a.Body)
	}
}
