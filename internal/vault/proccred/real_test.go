package proccred_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/internal/mcptest"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault/proccred"
)

// node gives a real server's Stdio.
func node(t *testing.T, server string, args ...string) *resource.Stdio {
	t.Helper()
	peers := mcptest.Installed(t)
	return &resource.Stdio{Command: append([]string{peers.Node(t), peers.Script(server)}, args...), Read: []string{peers.Modules()}}
}

// client is what a client of the era 2025-11-25 does first.
func (w *world) client(t *testing.T, st *resource.Stdio, scheme resource.Scheme) http.RoundTripper {
	t.Helper()
	d := w.door(t, w.spec(t, scheme, func(s *proccred.Spec) { s.Stdio = st }))
	g := call(t, d, "initialize", map[string]any{"protocolVersion": "2025-11-25", "capabilities": map[string]any{}, "clientInfo": map[string]any{"name": "test", "version": "1"}})
	if g.err != nil || !strings.Contains(g.body, `"serverInfo"`) {
		t.Fatalf("%s\n%s", g.everything(), strings.Join(w.Tail("acme", "erp-tools"), "\n"))
	}
	if g := post(t, t.Context(), d, `{"jsonrpc":"2.0","method":"notifications/initialized"}`); g.err != nil {
		t.Fatal(g.everything())
	}
	return d
}

// tool calls one, and gives its result as text.
func tool(t *testing.T, d http.RoundTripper, name string, args map[string]any) string {
	t.Helper()
	if args == nil {
		args = map[string]any{}
	}
	g := call(t, d, "tools/call", map[string]any{"name": name, "arguments": args})
	if g.err != nil {
		t.Fatal(g.everything())
	}
	return g.body
}

func TestTheRealEverythingServerShowsNoCredential(t *testing.T) {
	for _, scheme := range []resource.Scheme{resource.SchemeEnv, resource.SchemeFile} {
		w := newWorld(t)
		d := w.client(t, node(t, "server-everything", "stdio"), scheme)
		if list := call(t, d, "tools/list", nil); !strings.Contains(list.body, `"get-env"`) {
			t.Fatal(list.everything())
		}
		env := tool(t, d, "get-env", nil) // call looks for the credential
		if want := map[resource.Scheme]string{resource.SchemeEnv: "[secret:erp]", resource.SchemeFile: "/dev/fd/3"}[scheme]; !strings.Contains(env, want) {
			t.Errorf("%s: get-env says %s", scheme, env)
		}
		if strings.Contains(env, "PATH") {
			t.Errorf("%s: it has more than it was given: %s", scheme, env)
		}
		if sum := tool(t, d, "get-sum", map[string]any{"a": 2, "b": 40}); !strings.Contains(sum, "42") {
			t.Error(sum)
		}
		long := call(t, d, "tools/call", map[string]any{"name": "trigger-long-running-operation", "arguments": map[string]any{"duration": 1, "steps": 4},
			"_meta": map[string]any{"progressToken": "mine"}})
		if long.media != "text/event-stream" || strings.Count(long.body, `"progressToken":"mine"`) < 3 {
			t.Error(long.everything())
		}
		if image := tool(t, d, "get-tiny-image", nil); !strings.Contains(image, `"image/png"`) {
			t.Errorf("%.200s", image)
		}
	}
}

func TestTheRealFilesystemServerStaysInItsDirectory(t *testing.T) {
	w := newWorld(t)
	mine, other := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "key"), []byte("not for you"), 0o644); err != nil {
		t.Fatal(err)
	}
	// The server is told that it may use both; the kernel says otherwise.
	st := node(t, "server-filesystem", mine, other)
	st.Write = []string{mine}
	d := w.client(t, st, resource.SchemeNone)
	path := filepath.Join(mine, "a.txt")
	if got := tool(t, d, "write_file", map[string]any{"path": path, "content": "hello"}); strings.Contains(got, `"isError":true`) {
		t.Error(got)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "hello" {
		t.Errorf("%q %v", b, err)
	}
	for _, got := range []string{
		tool(t, d, "read_text_file", map[string]any{"path": filepath.Join(other, "key")}),
		tool(t, d, "read_text_file", map[string]any{"path": "/etc/passwd"}),
		tool(t, d, "write_file", map[string]any{"path": filepath.Join(other, "b.txt"), "content": "x"}),
		tool(t, d, "list_directory", map[string]any{"path": other}),
	} {
		if !strings.Contains(got, `"isError":true`) || strings.Contains(got, "not for you") {
			t.Error(got)
		}
	}
}

func TestTheRealMemoryServerKeepsItsFileWhereItMayWrite(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	st := node(t, "server-memory")
	st.Write, st.Env = []string{dir}, map[string]string{"MEMORY_FILE_PATH": filepath.Join(dir, "memory.jsonl")}
	d := w.client(t, st, resource.SchemeFile)
	args := map[string]any{"entities": []any{map[string]any{"name": "Acme", "entityType": "vendor", "observations": []string{"is known"}}}}
	if got := tool(t, d, "create_entities", args); strings.Contains(got, `"isError":true`) {
		t.Error(got)
	}
	var got struct{ Result json.RawMessage }
	if body := tool(t, d, "read_graph", nil); json.Unmarshal([]byte(body), &got) != nil || !strings.Contains(string(got.Result), "Acme") {
		t.Error(body)
	}
}
