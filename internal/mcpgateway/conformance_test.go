package mcpgateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/mcpgateway"
	"sallyport.dev/internal/mcptest"
	"sallyport.dev/internal/resource"
)

// bare names everything as the fixture does: the suite knows its own names only.
type bare struct{}

func (bare) Tool(t intent.Tool) string                      { return t.Tool }
func (bare) Prompt(_, name string) string                   { return name }
func (bare) URI(_, uri string) string                       { return uri }
func (bare) UpstreamPrompt(n string) (string, string, bool) { return "everything", n, true }
func (bare) UpstreamURI(u string) (string, string, bool)    { return "everything", u, true }

const (
	png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
	wav = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
)

// mcp is the answer of an upstream MCP server.
func mcp(body string) *intent.Result {
	return &intent.Result{State: intent.Committed, ContentType: intent.MCPResult, Body: json.RawMessage(body)}
}

// everything is the fixture that the official suite asks for, behind the Gate.
func everything() *desk {
	d := newDesk()
	text := func(s string) string { return `{"content":[{"type":"text","text":"` + s + `"}]}` }
	image := `{"type":"image","data":"` + png + `","mimeType":"image/png"}`
	for name, body := range map[string]string{
		"test_simple_text":            text("This is a simple text response for testing."),
		"test_image_content":          `{"content":[` + image + `]}`,
		"test_audio_content":          `{"content":[{"type":"audio","data":"` + wav + `","mimeType":"audio/wav"}]}`,
		"test_embedded_resource":      `{"content":[{"type":"resource","resource":{"uri":"test://embedded-resource","mimeType":"text/plain","text":"This is an embedded resource content."}}]}`,
		"test_multiple_content_types": `{"content":[{"type":"text","text":"Multiple content types test:"},` + image + `,{"type":"resource","resource":{"uri":"test://mixed-content-resource","mimeType":"application/json","text":"{\"test\":\"data\",\"value\":123}"}}]}`,
		"test_error_handling":         `{"content":[{"type":"text","text":"This tool intentionally returns an error for testing"}],"isError":true}`,
		"test_tool_with_logging":      text("done"), "test_tool_with_progress": text("done"), "test_logging_tool": text("done"),
		"list_resources": structured(`{"resources":[{"uri":"test://static-text","name":"text","description":"A text.","mimeType":"text/plain"},{"uri":"test://static-binary","name":"binary","description":"A picture.","mimeType":"image/png"}]}`),
		"list_prompts":   structured(`{"prompts":[{"name":"test_simple_prompt","description":"Simple."},{"name":"test_prompt_with_arguments","description":"With arguments.","arguments":[{"name":"arg1","required":true},{"name":"arg2","required":true}]}]}`),
	} {
		d.offer(name, `{"type":"object","properties":{}}`, func(it *intent.Intent) {
			if strings.Contains(name, "_with_") { // these take a while
				time.Sleep(150 * time.Millisecond) //nolint:forbidigo // the suite wants a tool that takes this long
			}
			it.State, it.Result = intent.Committed, mcp(body)
		})
	}
	d.offer("json_schema_2020_12_tool", `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object",`+
		`"$defs":{"address":{"$anchor":"addressDef","type":"object","properties":{"street":{"type":"string"},"city":{"type":"string"}}}},`+
		`"properties":{"name":{"type":"string"},"address":{"$ref":"#/$defs/address"},"contactMethod":{"type":"string","enum":["phone","email"]},"phone":{"type":"string"},"email":{"type":"string"}},`+
		`"allOf":[{"anyOf":[{"required":["phone"]},{"required":["email"]}]}],"if":{"properties":{"contactMethod":{"const":"phone"}},"required":["contactMethod"]},"then":{"required":["phone"]},"else":{"required":["email"]},`+
		`"additionalProperties":false}`,
		func(it *intent.Intent) { it.State, it.Result = intent.Committed, mcp(text("ok")) })
	d.offer("greet", `{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}`, func(it *intent.Intent) {
		it.State, it.Result = intent.Committed, mcp(text("Hello, "+arg(it, "name")+"!"))
	})
	d.offer("read_resource", `{"type":"object","properties":{"uri":{"type":"string"}},"required":["uri"]}`, readFixture)
	d.offer("get_prompt", `{"type":"object","properties":{"name":{"type":"string"},"arguments":{"type":"object"}},"required":["name"]}`, promptFixture)
	d.offer("slow_compute", `{"type":"object","properties":{"seconds":{"type":"integer"},"label":{"type":"string"}}}`, func(it *intent.Intent) {
		var in struct{ Seconds int }
		_ = json.Unmarshal(it.Args, &in)
		if in.Seconds == 0 {
			it.State, it.Result = intent.Committed, mcp(text("computed"))
			return
		}
		time.AfterFunc(time.Duration(in.Seconds)*time.Second, func() { d.end(it.ID, intent.Committed, "", mcp(text("computed"))) })
	})
	d.offer("failing_job", `{"type":"object"}`, func(it *intent.Intent) {
		time.AfterFunc(50*time.Millisecond, func() { d.end(it.ID, intent.Rejected, "not this one", nil) })
	})
	d.offer("protocol_error_job", `{"type":"object"}`, func(it *intent.Intent) {
		time.AfterFunc(50*time.Millisecond, func() { d.end(it.ID, intent.Committed, "", mcp(`[]`)) })
	})
	return d
}

func structured(s string) string { return `{"content":[],"structuredContent":` + s + `}` }

func (d *desk) offer(name, schema string, act func(*intent.Intent)) {
	d.tools = append(d.tools, tool("everything", name, resource.Read, schema))
	d.act[name] = act
}

func arg(it *intent.Intent, name string) string {
	var m map[string]any
	_ = json.Unmarshal(it.Args, &m)
	s, _ := m[name].(string)
	return s
}

func readFixture(it *intent.Intent) {
	it.State = intent.Committed
	switch uri := arg(it, "uri"); uri {
	case "test://static-text":
		it.Result = mcp(structured(`{"contents":[{"uri":"` + uri + `","mimeType":"text/plain","text":"This is the content of the static text resource."}]}`))
	case "test://static-binary":
		it.Result = mcp(structured(`{"contents":[{"uri":"` + uri + `","mimeType":"image/png","blob":"` + png + `"}]}`))
	case "test://template/123/data":
		it.Result = mcp(structured(`{"contents":[{"uri":"` + uri + `","mimeType":"application/json","text":"{\"id\":\"123\",\"templateTest\":true,\"data\":\"Data for ID: 123\"}"}]}`))
	default:
		it.Result = mcp(`{"content":[{"type":"text","text":"there is none"}],"isError":true}`)
	}
}

func promptFixture(it *intent.Intent) {
	var in struct {
		Name      string
		Arguments map[string]string
	}
	_ = json.Unmarshal(it.Args, &in)
	said := func(content string) {
		it.Result = mcp(structured(`{"messages":[{"role":"user","content":` + content + `}]}`))
	}
	text := func(s string) string { return fmt.Sprintf(`{"type":"text","text":%q}`, s) }
	it.State = intent.Committed
	switch in.Name {
	case "test_simple_prompt":
		said(text("This is a simple prompt for testing."))
	case "test_prompt_with_arguments":
		said(text("Prompt with arguments: arg1='" + in.Arguments["arg1"] + "', arg2='" + in.Arguments["arg2"] + "'"))
	case "test_prompt_with_embedded_resource":
		said(`{"type":"resource","resource":{"uri":"` + in.Arguments["resourceUri"] + `","mimeType":"text/plain","text":"Embedded resource content for testing."}}`)
	case "test_prompt_with_image":
		said(`{"type":"image","data":"` + png + `","mimeType":"image/png"}`)
	default:
		it.Result = mcp(`{"content":[{"type":"text","text":"there is none"}],"isError":true}`)
	}
}

// tasksScenarios are run one by one, without a revision: with one they are skipped.
var tasksScenarios = []string{"tasks-lifecycle", "tasks-capability-negotiation", "tasks-wire-fields", "tasks-request-state-removal", "tasks-mrtr-input",
	"tasks-request-headers", "tasks-dispatch-and-envelope", "tasks-status-notifications", "tasks-required-task-error", "tasks-mrtr-composition"}

// TestTheOfficialSuitePasses runs it where it is installed. What the door does not
// offer is in testdata/conformance.yaml, each with its reason; the suite fails on an
// entry there that passes.
func TestTheOfficialSuitePasses(t *testing.T) {
	peers := mcptest.Installed(t)
	c := config(everything(), mcpgateway.Times{First: 10 * time.Millisecond, Hold: 20 * time.Second, Beat: 25 * time.Millisecond, Look: 100 * time.Millisecond, PollHint: 100 * time.Millisecond, Listen: 3 * time.Second})
	c.Names = bare{}
	g := mcpgateway.New(c)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "Bearer run-conformance") // the suite has no tokens
		g.ServeHTTP(w, r)
	}))
	known, err := filepath.Abs("testdata/conformance.yaml")
	if err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) {
		t.Run(name, func(t *testing.T) {
			out, err := peers.Suite(t, append([]string{"server", "--url", s.URL + "/mcp", "--expected-failures", known}, args...)...).CombinedOutput()
			if err != nil || os.Getenv(mcptest.Variable+"_SHOW") != "" {
				t.Logf("%s", out)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	run("2026-07-28", "--requirements", "2026-07-28")
	run("2025-11-25", "--requirements", "2025-11-25")
	for _, name := range tasksScenarios {
		run(name, "--scenario", name)
	}
}
