package app

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/mcptest"
	"sallyport.dev/internal/resource"
)

// Servers of other people behind the whole product: an agent over HTTP, the gate, the
// policy, the audit log on disk, the vault's door, the server.

const realKey = "cnry-3Kq81LmmYpT7d46-real"

// realHall is the program with some more Secrets, none of which any server may show.
func realHall(t *testing.T) *hall {
	h := newHall(t, nil)
	h.known("real-key", realKey)
	h.known("other-key", "cnry-9w41Nq8ZxW4v81-other")
	return h
}

// stdio is a server as a child, with no more than the modules to read.
func stdio(t *testing.T, p mcptest.Peers, server string, args ...string) *resource.Stdio {
	return &resource.Stdio{Command: append([]string{p.Node(t), p.Script(server)}, args...), Read: []string{p.Modules()}}
}

func refusedBy(t *testing.T, a mcptest.Answer, secret string) {
	t.Helper()
	if a.Field("isError") != "true" || strings.Contains(string(a.Result), secret) {
		t.Errorf("%s", a.Result)
	}
}

func TestRealServerEverythingShowsNoSecretOverHTTP(t *testing.T) {
	peers := mcptest.Installed(t)
	h := realHall(t)
	// It has one of ours in its environment: somebody was careless.
	h.behind("every", resource.MCP{URL: peers.Everything(t, "LEAKED="+realKey), Network: loopback}, resource.Auth{Scheme: resource.SchemeBearer, Secret: "real-key"}, true)
	c := h.agent()
	env := string(h.tool(c, "every__get-env", map[string]string{"reason": "to see what it shows"}).Result)
	if !strings.Contains(env, "[secret:real-key]") || strings.Contains(env, realKey) {
		t.Errorf("get-env: %.2000s", env)
	}
	// Its word that it has "readOnlyHint" makes it no read.
	list, err := c.Do(t.Context(), "1", "tools/list", `{}`)
	h.must(err)
	var tools struct {
		Tools []struct {
			Name        string
			Annotations struct{ ReadOnlyHint bool }
		}
	}
	h.must(json.Unmarshal(list.Result, &tools))
	found := false
	for _, tool := range tools.Tools {
		if found = found || tool.Name == "every__get-env"; tool.Name == "every__get-env" && tool.Annotations.ReadOnlyHint {
			t.Error("get-env is a read")
		}
	}
	if !found {
		t.Errorf("get-env is not offered: %s", list.Result)
	}
	image := string(h.tool(c, "every__get-tiny-image", map[string]string{"reason": "to see it"}).Result)
	if !strings.Contains(image, `"image/png"`) {
		t.Errorf("an image: %.300s", image)
	}
}

func TestRealServerEverythingShowsNoSecretOverStdio(t *testing.T) {
	peers := mcptest.Installed(t)
	h := realHall(t)
	h.behind("every", resource.MCP{Stdio: stdio(t, peers, "server-everything", "stdio")}, resource.Auth{Scheme: resource.SchemeEnv, Name: "SERVICE_TOKEN", Secret: "real-key"}, true)
	c := h.agent()
	env := string(h.tool(c, "every__get-env", map[string]string{"reason": "to see what it shows"}).Result)
	if !strings.Contains(env, "[secret:real-key]") || strings.Contains(env, "PATH") || strings.Contains(env, "cnry-") {
		t.Errorf("get-env: %s", env)
	}
	if sum := h.tool(c, "every__get-sum", map[string]any{"a": 40, "b": 2, "reason": "to see that it works"}); !strings.Contains(sum.Text(), "42") {
		t.Errorf("%s", sum.Result)
	}
}

func TestRealServerFilesystemStaysInItsDirectory(t *testing.T) {
	peers := mcptest.Installed(t)
	h := realHall(t)
	mine, other := shortDir(t), shortDir(t)
	h.must(os.WriteFile(filepath.Join(other, "key"), []byte("not for you"), 0o644))
	h.must(os.Symlink(filepath.Join(other, "key"), filepath.Join(mine, "link")))
	st := stdio(t, peers, "server-filesystem", mine, other) // it is told that it may; the kernel says otherwise
	st.Write = []string{mine}
	h.behind("files", resource.MCP{Stdio: st}, noAuth, true, "read_text_file")
	c := h.agent()
	path := filepath.Join(mine, "a.txt")
	h.tool(c, "files__write_file", map[string]string{"path": path, "content": "hello", "reason": "to keep it"})
	if b, err := os.ReadFile(path); err != nil || string(b) != "hello" {
		t.Errorf("%q %v", b, err)
	}
	if a := h.tool(c, "files__read_text_file", map[string]string{"path": path}); a.Text() != "hello" {
		t.Errorf("%s", a.Result)
	}
	for _, p := range []string{filepath.Join(other, "key"), filepath.Join(mine, "link"), filepath.Join(mine, "..", "..", "..", "..", "etc", "passwd"), filepath.Join(h.dir, "seal.key")} {
		refusedBy(t, h.tool(c, "files__read_text_file", map[string]string{"path": p}), "not for you")
	}
	h.tool(c, "files__write_file", map[string]string{"path": filepath.Join(other, "b.txt"), "content": "x", "reason": "to get out"})
	if _, err := os.Stat(filepath.Join(other, "b.txt")); err == nil {
		t.Error("it wrote where it may not")
	}
}

func TestRealServerMemoryKeepsWhatItIsTold(t *testing.T) {
	peers := mcptest.Installed(t)
	h := realHall(t)
	dir := shortDir(t)
	st := stdio(t, peers, "server-memory")
	st.Write, st.Env = []string{dir}, map[string]string{"MEMORY_FILE_PATH": filepath.Join(dir, "memory.jsonl")}
	h.behind("memory", resource.MCP{Stdio: st}, noAuth, true, "read_graph")
	c := h.agent()
	h.tool(c, "memory__create_entities", map[string]any{"reason": "to keep it",
		"entities": []any{map[string]any{"name": "Acme", "entityType": "vendor", "observations": []string{"it is known"}}}})
	if a := h.tool(c, "memory__read_graph", struct{}{}); !strings.Contains(string(a.Result), "it is known") {
		t.Errorf("%s", a.Result)
	}
}

// parked gives what waits, once something does.
func parked(h *hall) <-chan decision.Item {
	out := make(chan decision.Item, 1)
	go func() { out <- h.waiting(1)[0] }()
	return out
}

// shortDir is a new directory whose name does not look like a key.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mcp") //nolint:usetesting // that one's numbers look like a key
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// What destroys is held for a person, executed once when they say so, and never when
// they don't; what comes back is searched for Secrets.
func TestRealServerDBHubDestroysOnlyWhatAPersonApproves(t *testing.T) {
	peers := mcptest.Installed(t)
	h := realHall(t)
	h.behind("db", resource.MCP{URL: peers.DBHub(t), Network: loopback}, noAuth, false)
	c := h.agent()
	sql := func(text string) <-chan mcptest.Answer {
		out := make(chan mcptest.Answer, 1)
		args, _ := json.Marshal(map[string]string{"sql": text, "reason": "the auditor asked for it"})
		go func() {
			a, err := c.Tool(t.Context(), "db__execute_sql", string(args))
			if err != nil {
				t.Error(err)
			}
			out <- a
		}()
		return out
	}
	held := func(text, verdict string) mcptest.Answer {
		t.Helper()
		got := sql(text)
		select {
		case a := <-got:
			t.Fatalf("nobody was asked: %s", a.Result)
		case it := <-parked(h):
			h.must(h.decide("fay", it, verdict))
		}
		return <-got
	}
	held("CREATE TABLE note (text TEXT)", "approve")
	hidden := strings.Join(strings.Split(realKey, ""), " ! ") // nobody would take an action with a Secret in it
	held("INSERT INTO note VALUES (replace('"+hidden+"', ' ! ', ''))", "approve")
	a := held("SELECT count(*) AS n, max(text) AS text FROM note", "approve")
	if s := string(a.Result); !strings.Contains(s, "[secret:real-key]") || strings.Contains(s, realKey) || !strings.Contains(strings.Join(strings.Fields(a.Text()), ""), `"n":1`) {
		t.Errorf("what was put in once: %s", s)
	}
	if a := held("DROP TABLE note", "reject"); !strings.HasPrefix(a.Text(), "NOT EXECUTED.") {
		t.Errorf("%s", a.Result)
	}
	if a := held("SELECT count(*) AS n FROM note", "approve"); !strings.Contains(strings.Join(strings.Fields(a.Text()), ""), `"n":1`) {
		t.Errorf("after the rejection: %s", a.Result)
	}
	cl, _ := h.signedIn("rita")
	var out struct{ Intents []intent.Intent }
	var runs struct{ Runs []intent.Run }
	h.must(cl.Call(t.Context(), http.MethodGet, "/v1/runs", nil, &runs))
	h.must(cl.Call(t.Context(), http.MethodGet, "/v1/runs/"+runs.Runs[0].ID+"/intents", nil, &out))
	states := map[intent.State]int{}
	for _, it := range out.Intents {
		states[it.State]++
	}
	if states[intent.Committed] != 4 || states[intent.Rejected] != 1 || len(out.Intents) != 5 {
		t.Errorf("%v", states)
	}
}
