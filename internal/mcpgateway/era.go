package mcpgateway

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/wire/jsonrpc"
)

// What requests of 2026-07-28 carry in _meta.
const (
	metaVersion      = "io.modelcontextprotocol/protocolVersion"
	metaCapabilities = "io.modelcontextprotocol/clientCapabilities"
	metaLevel        = "io.modelcontextprotocol/logLevel"
	tasksExtension   = "io.modelcontextprotocol/tasks"
)

const versionHeader = "Mcp-Protocol-Version"

// byEra finds out which revision the client speaks. The header decides, but for
// initialize, which belongs to the older ones, and is compared with what the body
// says.
func (c *call) byEra() {
	header, there, err := c.one(versionHeader)
	if err != nil {
		c.fail(c.failureOf(err))
		return
	}
	meta, _ := c.msg.Params.Object("_meta")
	inBody, said := meta.Text(metaVersion)
	switch {
	case c.msg.Method == "initialize" && !said && header != modern:
		c.initialize()
	case header == modern, said, there && !slices.Contains(versions, header):
		c.modernEra(header, inBody, meta)
	default:
		c.legacyEra(header)
	}
}

// modernEra serves a request of 2026-07-28.
func (c *call) modernEra(header, inBody string, meta jsonrpc.Object) {
	if c.msg.IsNotification() { // this revision has none that a client sends
		c.w.WriteHeader(http.StatusAccepted)
		return
	}
	if err := c.checkModern(header, inBody, meta); err != nil {
		c.fail(err)
		return
	}
	caps, _ := meta.Object(metaCapabilities)
	ext, _ := caps.Object("extensions")
	_, c.tasks = ext.Object(tasksExtension)
	c.level, _ = meta.Text(metaLevel)
	c.progress = progressToken(meta)
	c.dispatch(modernMethods)
}

// checkModern compares the headers with the body, and refuses what is not declared.
// What is between the client and us may have decided by the headers.
func (c *call) checkModern(header, inBody string, meta jsonrpc.Object) *failure {
	switch {
	case header == "" && inBody == "":
		return mismatch("there is no MCP-Protocol-Version")
	case header == modern && inBody == "":
		if f := c.checkMethod(); f != nil {
			return f
		}
		return &failure{jsonrpc.CodeInvalidParams, http.StatusBadRequest, "the params have no _meta with " + metaVersion, nil}
	case inBody != "" && header != inBody:
		return mismatch("MCP-Protocol-Version is not what _meta says")
	case header != modern:
		data, _ := json.Marshal(map[string]any{"supported": versions, "requested": header}) // strings
		return &failure{jsonrpc.CodeNoVersion, http.StatusBadRequest, "this revision of the protocol is not served", data}
	}
	if f := c.checkMethod(); f != nil {
		return f
	}
	if _, ok := meta.Object(metaCapabilities); !ok {
		return &failure{jsonrpc.CodeInvalidParams, http.StatusBadRequest, "the params have no _meta with " + metaCapabilities, nil}
	}
	return nil
}

// named are the methods whose Mcp-Name is one of their params.
var named = map[string]string{
	"tools/call": "name", "prompts/get": "name", "resources/read": "uri",
	"tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId",
}

// checkMethod compares Mcp-Method and Mcp-Name with the body.
func (c *call) checkMethod() *failure {
	m, there, err := c.one("Mcp-Method")
	switch {
	case err != nil:
		return c.failureOf(err)
	case !there:
		return mismatch("there is no Mcp-Method")
	case m != c.msg.Method:
		return mismatch("Mcp-Method is not the body's method")
	}
	field, ok := named[c.msg.Method]
	if !ok {
		return nil
	}
	name, there, err := c.one("Mcp-Name")
	if err != nil {
		return c.failureOf(err)
	}
	want, said := c.msg.Params.Text(field)
	switch {
	case !said:
		return badParams("the params have no " + field)
	case !there:
		return mismatch("there is no Mcp-Name")
	}
	got, ok := headerValue(name)
	if !ok || got != want {
		return mismatch("Mcp-Name is not the body's " + field)
	}
	return nil
}

// headerValue undoes the encoding of values that don't fit into a header.
func headerValue(s string) (string, bool) {
	in, ok := strings.CutPrefix(s, "=?base64?")
	if !ok || !strings.HasSuffix(in, "?=") {
		return s, true
	}
	b, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSuffix(in, "?="))
	return string(b), err == nil
}

// maxToken bounds a progress token, in bytes: it is repeated in each notification.
const maxToken = 256

// progressToken is a string or an integer; everything else is none.
func progressToken(meta jsonrpc.Object) json.RawMessage {
	t, ok := meta.Get("progressToken")
	if !ok || len(t) > maxToken {
		return nil
	}
	if _, err := jsonrpc.ReadID(t); err != nil {
		return nil
	}
	return t
}

// capabilities of the door. There are no notifications of changed lists: they say
// themselves how long they hold.
const (
	commonCapabilities = `"tools":{},"prompts":{},"completions":{},"logging":{}`
	modernCapabilities = `{` + commonCapabilities + `,"resources":{},"extensions":{"` + tasksExtension + `":{}}}`
	legacyCapabilities = `{` + commonCapabilities + `,"resources":{"subscribe":true}}`
)

// discover says what is served.
func (c *call) discover() ([]byte, error) {
	v, _ := json.Marshal(versions)
	out := append([]byte(`{"supportedVersions":`), v...)
	out = append(out, `,"capabilities":`+modernCapabilities+`,"instructions":`...)
	return append(jsonrpc.AppendString(out, c.instructions()), '}'), nil
}

// instructions tell the agent what it is here for. A Run's are its Mission's goal and
// input; no Run is started to say them.
func (c *call) instructions() string {
	text := howTo
	if !c.run.Valid() && c.who.Kind != ident.Run {
		return text + howToStart
	}
	b, err := c.brief(c.r.Context())
	if err != nil {
		return text
	}
	text = "Mission: " + b.Title + "\nGoal: " + b.Goal + "\n"
	if len(b.Run.Input) > 0 {
		text += "Input: " + string(b.Run.Input) + "\n"
	}
	return text + "\n" + howTo
}

const howTo = `Tools are named connection__tool. Their credentials are injected behind this server: never ask for one, and never put one into an argument.
A tool that changes something takes a reason, which a person may read before it is approved. A call that waits for approval has not been executed: it comes back as a task, or as a pending result with an id. Go on with await_decision, list_my_pending or withdraw_decision. The same call again finds the same decision; it is not executed twice.
Record what you plan and conclude with note_observation, and finish with end_run.`

const howToStart = "\nBegin with start_run where a tool says that no Run is open."
