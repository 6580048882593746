package mcp_test

import (
	"encoding/json"
	"strings"
	"testing"

	"sallyport.dev/internal/connector/mcp"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

const filing = `{"name":"file","inputSchema":{"type":"object","properties":{"title":{"type":"string"},"ref":{"type":"string"},"n":{"type":"integer"}},"required":["title","ref"]}}`

func referring(t *testing.T, tool, argument string) (*mcp.Kind, error) {
	t.Helper()
	return mcp.New(&resource.Integration{Head: resource.Head{Name: "tickets"}, MCP: &resource.MCP{
		URL: "https://tickets.example/mcp", Definitions: json.RawMessage(`{"protocolVersion":"2025-11-25","server":{"name":"x","version":"1"},"tools":[` + tool + `],"resources":false,"prompts":false}`),
		Tools: map[string]resource.ToolRule{"file": {ReferenceArgument: argument, Lookup: &resource.Lookup{Connection: "c", Tool: "find"}}},
	}})
}

func TestTheReferenceIsTheBoundarysAloneToSet(t *testing.T) {
	k, err := referring(t, filing, "ref")
	if err != nil {
		t.Fatal(err)
	}
	tool := k.Tools()[0]
	if strings.Contains(string(tool.Schema), "ref") || tool.Lookup == nil {
		t.Errorf("Workers are offered %s", tool.Schema)
	}
	if err := k.Check("file", json.RawMessage(`{"title":"a","ref":"int_of-another"}`)); !fault.Is(err, fault.Invalid) {
		t.Errorf("a Worker's own reference: %v", err)
	}
	if err := k.Check("file", json.RawMessage(`{"title":"a"}`)); err != nil {
		t.Errorf("without one: %v", err)
	}
	r, err := k.Render("file", json.RawMessage(`{"title":"a"}`), "int_abc")
	if want := `{"method":"tools/call","params":{"arguments":{"ref":"int_abc","title":"a"},"name":"file"}}`; err != nil || r.Body != want {
		t.Errorf("%s, %v", r.Body, err)
	}
	if _, err := k.Render("file", json.RawMessage(`{"title":"a"}`), `x","title":"b`); err == nil {
		t.Error("a reference that is none was taken")
	}
	if _, err := k.Render("file", json.RawMessage(`{"ref":"x","title":"a"}`), "int_abc"); err == nil {
		t.Error("arguments that have a reference already were taken")
	}
}

func TestAReferenceNeedsAnArgumentThatTakesIt(t *testing.T) {
	open := strings.Replace(filing, `"type":"object",`, `"type":"object","additionalProperties":true,`, 1)
	for argument, tool := range map[string]string{"none": filing, "n": filing, "ref": open} {
		k, err := referring(t, tool, argument)
		if err == nil && len(k.Tools()) > 0 {
			t.Errorf("%s: %s is offered", argument, k.Tools()[0].Name)
		}
		if err == nil && len(k.Skipped()) != 1 {
			t.Errorf("%s: nothing says why", argument)
		}
	}
}
