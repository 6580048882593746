package demo_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/leaktest"
	"sallyport.dev/internal/mcptest"
	"sallyport.dev/internal/resource"
)

// Two more ways in are MCP servers: over HTTP, and as a child of the server. And one
// way out is an MCP server: the program itself.

// envChild is set in the children: the name of the door.
const envChild = "SALLYPORT_TEST_CHILD"

// credentialIn is the variable that has a child's credential, or the path of the
// descriptor that it is read from.
const credentialIn = "LEAK_TOKEN"

// mcpShapes are the places of a message that answers a call.
var mcpShapes = []struct{ name, message string }{
	{"text", `"result":{"resultType":"complete","content":[{"type":"text","text":"I was sent TEXT"}]}`},
	{"two texts", `"result":{"resultType":"complete","content":[{"type":"text","text":"it is"},{"type":"text","text":"TEXT"}]}`},
	{"structured content", `"result":{"resultType":"complete","content":[],"structuredContent":{"it is":"TEXT","and":{"TEXT":1}}}`},
	{"a failure", `"result":{"resultType":"complete","isError":true,"content":[{"type":"text","text":"not with TEXT"}]}`},
	{"a resource", `"result":{"resultType":"complete","content":[{"type":"resource","resource":{"uri":"file:///TEXT","mimeType":"TEXT","text":"TEXT"}}]}`},
	{"a link", `"result":{"resultType":"complete","content":[{"type":"resource_link","uri":"file:///TEXT","name":"TEXT","description":"TEXT"}]}`},
	{"a picture", `"result":{"resultType":"complete","content":[{"type":"image","data":"TEXT","mimeType":"TEXT"}]}`},
	{"content of no kind", `"result":{"resultType":"TEXT","content":[{"type":"TEXT","TEXT":"TEXT"}]}`},
	{"metadata", `"result":{"resultType":"complete","_meta":{"TEXT":"TEXT"},"content":[]}`},
	{"an error", `"error":{"code":-32000,"message":"TEXT","data":{"TEXT":"TEXT"}}`},
	{"what it asks", `"result":{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"message":"TEXT"}}},"requestState":"TEXT"}`},
}

func anyText(string) bool { return true }

// line is a message with the text, for the request "REQUEST".
func mcpLine(shape, text string) string {
	return `{"jsonrpc":"2.0","id":REQUEST,` + strings.ReplaceAll(shape, "TEXT", leaktest.GoJSON(text)) + "}"
}

// mcpCarriers are the ways in which an MCP server answers: over HTTP each shape as a
// body and in a stream, after a message for the log, and answers that are none.
func mcpCarriers(overHTTP bool) (all []leaktest.Carrier) {
	add := func(name string, answer func(text string) string) {
		all = append(all, leaktest.Carrier{Name: "mcp " + name, Takes: anyText, Shown: true, Answer: func(text string, _ func(string) []string) string { return answer(text) }})
	}
	logged := func(text string) string {
		return `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"` + leaktest.GoJSON(text) + `"}}`
	}
	if !overHTTP {
		add("log", func(text string) string { return logged(text) + "\n" + mcpLine(mcpShapes[0].message, text) })
		add("no message", func(text string) string { return leaktest.GoJSON(text) + "\n" + mcpLine(mcpShapes[0].message, text) })
		for _, s := range mcpShapes {
			add(s.name, func(text string) string { return mcpLine(s.message, text) })
		}
		return all
	}
	head := func(status, media string) string {
		return "HTTP/1.1 " + status + "\r\nContent-Type: " + media + "\r\nConnection: close\r\n\r\n"
	}
	for _, s := range mcpShapes {
		add(s.name, func(text string) string { return head("200 OK", "application/json") + mcpLine(s.message, text) })
		add(s.name+" in a stream", func(text string) string {
			return head("200 OK", "text/event-stream") + "data: " + logged(text) + "\n\nevent: message\nid: " + leaktest.GoJSON(text) + "\ndata: " + mcpLine(s.message, text) + "\n\n"
		})
	}
	for _, status := range []string{"401 x", "403 x", "500 x"} {
		add(status, func(text string) string {
			return head(status, "application/json") + `{"error":"` + leaktest.GoJSON(text) + `"}`
		})
	}
	return all
}

// mcpAsked reads a request of ours. Where it is no call, said is the answer.
func mcpAsked(body string) (id, said string, is bool) {
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
	}
	if json.Unmarshal([]byte(body), &m) != nil || m.Method == "" {
		return "", "", false
	}
	result := map[string]string{
		"server/discover": `{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"leak","version":"1"}}}`,
		"tools/list":      `{"resultType":"complete","ttlMs":0,"tools":[` + mcpEcho + `]}`,
	}[m.Method]
	switch {
	case m.Method == "tools/call":
		return string(m.ID), "", true
	case len(m.ID) == 0:
		return "", "", true
	case result == "":
		return string(m.ID), `{"jsonrpc":"2.0","id":` + string(m.ID) + `,"error":{"code":-32601,"message":"no such method"}}`, true
	}
	return string(m.ID), `{"jsonrpc":"2.0","id":` + string(m.ID) + `,"result":` + result + `}`, true
}

const mcpEcho = `{"name":"echo","inputSchema":{"type":"object","properties":{"how":{"type":"string"}}}}`

// overMCP makes the door's Integration one of an MCP server.
func (d door) overMCP(t *testing.T, in *resource.Integration, addr string) {
	in.MCP = &resource.MCP{URL: addr + "/" + d.name + "/mcp", Network: resource.Network{AllowLoopbackHTTP: true}, DefinitionsFile: "leak.mcp.json",
		Tools:       map[string]resource.ToolRule{d.tool: {Effect: resource.Read}},
		Definitions: json.RawMessage(`{"protocolVersion":"2026-07-28","server":{"name":"leak","version":"1"},"tools":[` + mcpEcho + `],"resources":false,"prompts":false}`)}
	if d.provider != "stdio" {
		return
	}
	self := childProgram(t)
	in.MCP.URL, in.MCP.Network = "", resource.Network{}
	in.MCP.Stdio = &resource.Stdio{Command: []string{self}, Read: []string{filepath.Dir(self)}, Env: map[string]string{envChild: d.name}, Sandbox: resource.SandboxBestEffort}
}

// children are where childProgram has put it, by test.
var children sync.Map

// childProgram is this test's program, at a path that does not look like a key.
func childProgram(t *testing.T) string {
	t.Helper()
	if at, ok := children.Load(t.Name()); ok {
		return at.(string)
	}
	at := newChildProgram(t)
	children.Store(t.Name(), at)
	return at
}

func newChildProgram(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "leak") //nolint:usetesting // that one's numbers look like a key
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	at := filepath.Join(dir, "server")
	if os.Link(self, at) == nil {
		return at
	}
	b, err := os.ReadFile(self)
	if err == nil {
		err = os.WriteFile(at, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// childMain is an MCP server over standard input and output that is out to give its
// credential back.
func childMain() {
	d := doors[slices.IndexFunc(doors, func(d door) bool { return d.name == os.Getenv(envChild) })]
	credential := os.Getenv(credentialIn)
	if d.scheme == resource.SchemeFile {
		b, _ := os.ReadFile(credential)
		credential = string(b)
	}
	fmt.Fprintln(os.Stderr, "began with", credential)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		id, said, _ := mcpAsked(lines.Text())
		if how := strings.LastIndex(lines.Text(), "say-"); said == "" && id != "" && how >= 0 {
			var carrier, encoding, cut int
			_, _ = fmt.Sscanf(lines.Text()[how:], "say-%d-%d-%d", &carrier, &encoding, &cut)
			c := d.carriers()[carrier]
			said = strings.ReplaceAll(c.Answer(d.says(c, encoding, credential), nil), "REQUEST", id)
		}
		if said != "" {
			_, _ = fmt.Fprintln(os.Stdout, said)
		}
	}
}

// throughMCP drives the program's own MCP door, with what must not be known in every
// place of a request, in both eras, and its bridge.
func (w *world) throughMCP(s *sinks, secret string) (run string) {
	w.t.Helper()
	k := w.outside("requester", "leak", nil)
	c := mcptest.Client{URL: w.URL() + "/mcp", Token: k.token, HTTP: &http.Client{Transport: tap{s}}}
	q := leaktest.GoJSON(secret)
	echo := `{"name":"leak-mcp__echo","arguments":{"how":"say-0-1-0"}}`
	asked := 0
	// Not in a request's id, nor as a resource's URI: those come back as they were sent.
	// Who is told that a part of them was taken out has guessed a Secret.
	for _, caps := range []string{"", mcptest.WithTasks} {
		c.Capabilities = caps
		for _, r := range [][3]string{
			{"1", "server/discover", `{}`}, {"1", "tools/list", `{}`}, {"1", "tools/call", echo}, {"1", "resources/list", `{}`}, {"1", "prompts/list", `{}`},
			{"1", "tools/call", `{"name":"leak-write__submit","arguments":{"how":"say-0-1-0","reason":"` + q + `"}}`},
			{"1", "tools/call", `{"name":"leak-mcp__echo","arguments":{"how":"` + q + `"}}`}, {"1", "tools/call", `{"name":"leak-mcp__echo","arguments":{"` + q + `":1}}`},
			{"1", "tools/call", `{"name":"` + q + `","arguments":{}}`}, {"1", "prompts/get", `{"name":"` + q + `"}`},
			{"1", "tasks/get", `{"taskId":"` + q + `"}`}, {"1", "tasks/cancel", `{"taskId":"` + q + `"}`}, {"1", "tasks/update", `{"taskId":"` + q + `","inputResponses":{"` + q + `":1}}`},
			{"1", "tools/call", `{"name":"await_decision","arguments":{"id":"` + q + `"}}`}, {"1", "tools/call", `{"name":"withdraw_decision","arguments":{"id":"` + q + `"}}`},
			{"1", "tools/call", `{"name":"list_my_pending","arguments":{}}`}, {"1", "tools/call", `{"name":"note_observation","arguments":{"kind":"plan","title":"it is ` + q + `","text":"` + q + `"}}`}, {"1", q, `{}`},
		} {
			if a, err := c.Do(w.t.Context(), r[0], r[1], r[2]); err == nil && (a.Result != nil || a.Error != nil) {
				asked++
			} else if !strings.ContainsAny(r[1], q) { // a header has no place for it
				w.t.Errorf("%v: %v", r, err)
			}
		}
	}
	if asked < 34 {
		w.t.Errorf("%d requests were answered", asked)
	}
	w.bridged(s, k.token, secret, echo)
	return k.run
}

// bridged has the stdio bridge carry the same, from a client of the older era.
func (w *world) bridged(s *sinks, token, secret, call string) {
	w.t.Helper()
	self, err := os.Executable()
	w.must(err)
	file := filepath.Join(w.t.TempDir(), "token")
	w.must(os.WriteFile(file, []byte(token), 0o600))
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "mcp", "--server", w.URL(), "--token-file", file)
	cmd.Env = append(os.Environ(), envCLI+"=1")
	cmd.WaitDelay = time.Second
	in, err := cmd.StdinPipe()
	w.must(err)
	out, err := cmd.StdoutPipe()
	w.must(err)
	var said bytes.Buffer
	cmd.Stderr = &said
	w.must(cmd.Start())
	lines := bufio.NewReader(out)
	for i, line := range []string{
		`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"` + leaktest.GoJSON(secret) + `","version":"1"}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}`, `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":` + call + `}`,
		`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"leak-mcp__echo","arguments":{"how":"` + leaktest.GoJSON(secret) + `"}}}`,
	} {
		_, err := io.WriteString(in, line+"\n")
		w.must(err)
		for answered := false; !answered; {
			b, err := lines.ReadBytes('\n')
			if err != nil {
				w.t.Fatalf("the bridge answers no more: %v\n%s", err, said.String())
			}
			_, _ = s.at(theBridge).Write(b)
			answered = bytes.Contains(b, fmt.Appendf(nil, `"id":%d`, i))
		}
	}
	w.must(in.Close())
	_ = cmd.Wait() // its pipes were read by us
	_, _ = s.at(theBridge).Write(said.Bytes())
}

// theBridge is the sink of what it prints.
const theBridge = "output of the bridge"
