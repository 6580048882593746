package mcp_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/mcptest"
	"sallyport.dev/internal/resource"
)

func TestARealServerThatShowsItsEnvironment(t *testing.T) {
	const canary = "cnry-everything-4f81Kq0ZxW"
	c := newClient(t, mcptest.Installed(t).Everything(t, "CANARY="+canary))
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
	c := newClient(t, mcptest.Installed(t).DBHub(t))
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
