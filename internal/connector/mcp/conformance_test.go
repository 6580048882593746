package mcp_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/connector/mcp"
	"sallyport.dev/internal/mcptest"
	"sallyport.dev/internal/resource"
)

// driven is set in the processes that the suite starts.
const driven = "SALLYPORT_CONFORMANCE_DRIVER"

// The suite starts this test's own program once for each scenario, which does what
// the product does: it asks for the list, pins it, and calls.
func TestConformanceClient(t *testing.T) {
	if os.Getenv(driven) != "" {
		drive(t, flag.Arg(0))
		return
	}
	peers := mcptest.Installed(t)
	expected, err := filepath.Abs("testdata/expected-failures.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, revision := range []string{"2026-07-28", "2025-11-25"} {
		t.Run(revision, func(t *testing.T) {
			cmd := peers.Suite(t, "client", "--requirements", revision, "--expected-failures", expected,
				"--command", os.Args[0]+" -test.run=^TestConformanceClient$ -test.v", "-o", t.TempDir())
			cmd.Env = append(cmd.Env, driven+"=1")
			out, err := cmd.CombinedOutput()
			t.Logf("%s", tail(out, 6000))
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// drive is one scenario's client.
func drive(t *testing.T, url string) {
	c := newClient(t, url)
	doc := c.pull()
	c.pin(doc)
	var hint struct {
		ToolCalls []struct {
			Name      string          `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		} `json:"toolCalls"`
	}
	_ = json.Unmarshal([]byte(os.Getenv("MCP_CONFORMANCE_CONTEXT")), &hint)
	for _, h := range hint.ToolCalls {
		c.send("cred", h.Name, string(h.Arguments)) // one has a null that the tool's own schema does not permit
	}
	for _, tool := range c.kind.Tools() {
		if len(hint.ToolCalls) > 0 {
			break
		}
		switch tool.Name {
		case "read_resource":
			for _, uri := range uris(c.call("list_resources", `{}`)) {
				c.call(tool.Name, fmt.Sprintf(`{"uri":%q}`, uri))
			}
		case "get_prompt":
			c.call(tool.Name, `{"name":"test_prompt"}`)
		default:
			c.call(tool.Name, example(tool.Schema))
		}
	}
}

var anURI = regexp.MustCompile(`"uri":"([^"]+)"`)

func uris(a connector.Answer) (out []string) {
	var r struct {
		Structured json.RawMessage `json:"structuredContent"`
	}
	_ = json.Unmarshal(a.Body, &r)
	for _, m := range anURI.FindAllStringSubmatch(string(r.Structured), -1) {
		out = append(out, m[1])
	}
	return out
}

// example makes arguments that fit a simple schema.
func example(schema json.RawMessage) string {
	var s struct {
		Properties map[string]struct {
			Type    any             `json:"type"`
			Default json.RawMessage `json:"default"`
		} `json:"properties"`
	}
	_ = json.Unmarshal(schema, &s)
	var parts []string
	for name, p := range s.Properties {
		v := `"x"`
		switch p.Type {
		case "number", "integer":
			v = "2"
		case "boolean":
			v = "true"
		case "object":
			v = "{}"
		case "array":
			v = "[]"
		}
		if len(p.Default) > 0 {
			v = string(p.Default)
		}
		parts = append(parts, fmt.Sprintf("%q:%s", name, v))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// client is the product's way to a server, without the vault.
type client struct {
	t    *testing.T
	in   *resource.Integration
	kind *mcp.Kind
	door *dial.Pool
}

func newClient(t *testing.T, url string) *client {
	t.Helper()
	c := &client{t: t, in: &resource.Integration{Head: resource.Head{Name: "peer"}, MCP: &resource.MCP{
		URL: url, Network: resource.Network{AllowLoopbackHTTP: true}, Timeout: resource.Duration(25 * time.Second)}}}
	c.build()
	var err error
	if c.door, err = dial.Transport(c.kind.Network(), dial.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.door.CloseIdleConnections)
	return c
}

func (c *client) build() {
	c.t.Helper()
	var err error
	if c.kind, err = mcp.New(c.in); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) pull() []byte {
	c.t.Helper()
	s, err := c.kind.Survey(c.t.Context(), c.door, "cred")
	if err != nil {
		c.t.Fatalf("the server can't be asked: %v", err)
	}
	return s.Document
}

// pin takes a document as the accepted one; every tool is a read.
func (c *client) pin(doc []byte) {
	c.t.Helper()
	c.in.MCP.Definitions = bytes.Clone(doc)
	c.build()
	c.in.MCP.Tools = map[string]resource.ToolRule{}
	for _, t := range c.kind.Tools() {
		c.in.MCP.Tools[t.Name] = resource.ToolRule{Effect: resource.Read}
	}
	c.build()
}

func (c *client) call(tool, args string) connector.Answer {
	c.t.Helper()
	return c.as("cred", tool, args)
}

func (c *client) as(credential, tool, args string) connector.Answer {
	c.t.Helper()
	if err := c.kind.Check(tool, json.RawMessage(args)); err != nil {
		return connector.Answer{Outcome: connector.NotSent, Err: err}
	}
	return c.send(credential, tool, args)
}

// send leaves out the check of the arguments.
func (c *client) send(credential, tool, args string) connector.Answer {
	c.t.Helper()
	r, err := c.kind.Render(tool, json.RawMessage(args), "int_1")
	if err != nil {
		c.t.Fatal(err)
	}
	a := c.kind.Do(c.t.Context(), c.door, connector.Call{Tool: tool, Request: r, Credential: credential})
	c.t.Logf("%s %s: %s %v %.300s", tool, args, a.Outcome, a.Err, a.Body)
	return a
}
