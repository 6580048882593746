package mcpgateway

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/wire/jsonrpc"
)

// call is one request on its way.
type call struct {
	*Gateway
	w       http.ResponseWriter
	r       *http.Request
	rc      *http.ResponseController
	who     ident.Principal // as it authenticated: a Run, or a Worker
	mission string          // of the path, may be empty
	msg     jsonrpc.Message

	sess     *session        // of the older revisions
	tasks    bool            // the client declared the Tasks extension on this request
	level    string          // of logs, on this request
	progress json.RawMessage // token, where there is one

	run       ident.Principal // who acts; see actor
	streaming bool
	beats     int
}

// The revisions that are served, the newest first.
const modern = "2026-07-28"

var versions = []string{modern, "2025-11-25", "2025-06-18"}

// method answers one request with a JSON object.
type method func(*call) ([]byte, error)

// methods are those of all revisions.
var methods = map[string]method{
	"tools/list":               (*call).listTools,
	"tools/call":               (*call).callTool,
	"resources/list":           (*call).listResources,
	"resources/templates/list": (*call).listTemplates,
	"resources/read":           (*call).readResource,
	"prompts/list":             (*call).listPrompts,
	"prompts/get":              (*call).getPrompt,
	"completion/complete":      (*call).complete,
}

// legacyMethods are those that only sessions have, modernMethods those of 2026-07-28.
var (
	legacyMethods = map[string]method{
		"ping":                  func(*call) ([]byte, error) { return []byte("{}"), nil },
		"logging/setLevel":      (*call).setLevel,
		"resources/subscribe":   (*call).subscribe,
		"resources/unsubscribe": (*call).unsubscribe,
	}
	modernMethods = map[string]method{
		"server/discover":      (*call).discover,
		"tasks/get":            (*call).getTask,
		"tasks/update":         (*call).updateTask,
		"tasks/cancel":         (*call).cancelTask,
		"subscriptions/listen": (*call).listen,
	}
)

// cacheable are the methods whose results say how long they may be kept, in
// milliseconds: the catalogue for a while, contents not at all.
var cacheable = map[string]string{
	"server/discover": "60000", "tools/list": "15000", "prompts/list": "0", "resources/list": "0", "resources/templates/list": "0", "resources/read": "0",
}

// dispatch runs the method.
func (c *call) dispatch(own map[string]method) {
	m := methods[c.msg.Method]
	if m == nil {
		m = own[c.msg.Method]
	}
	if m == nil {
		c.fail(noMethod())
		return
	}
	result, err := m(c)
	switch {
	case c.r.Context().Err() != nil:
		// The client has closed, or the server ends: a connection that is cut says so
		// to both, where an empty answer would be taken for one.
		panic(http.ErrAbortHandler)
	case err != nil:
		c.fail(c.failureOf(err))
	default:
		c.reply(c.typed(result))
	}
}

// typed adds what results of 2026-07-28 have: their type, who made them, and of lists
// how long they hold.
func (c *call) typed(result []byte) []byte {
	if c.sess != nil || c.msg.Method == "initialize" {
		return result
	}
	out := make([]byte, 0, len(result)+256)
	out = append(out, `{"_meta":{"io.modelcontextprotocol/serverInfo":`...)
	out = append(append(out, c.serverInfo()...), '}')
	if !bytes.HasPrefix(result, []byte(taskType)) {
		out = append(out, `,"resultType":"complete"`...)
	}
	if ttl, ok := cacheable[c.msg.Method]; ok {
		out = append(out, `,"ttlMs":`+ttl+`,"cacheScope":"private"`...)
	}
	if string(result) != "{}" {
		out = append(out, ',')
	}
	return append(out, result[1:]...)
}

// taskType is how the result begins that is a task instead.
const taskType = `{"resultType":"task"`

func (c *call) serverInfo() []byte {
	return append(jsonrpc.AppendString([]byte(`{"name":"sallyport","title":"Sallyport","version":`), c.Version), '}')
}

// actor is the Run that this request is of: the caller itself, or the Worker's open
// one of the Mission. NotFound when none is.
func (c *call) actor(ctx context.Context) (ident.Principal, error) {
	if c.run.Valid() {
		return c.run, nil
	}
	if c.who.Kind == ident.Run {
		c.run = c.who
		return c.run, nil
	}
	r, err := c.Runs.WorkerRun(ctx, c.who, c.mission, nil, false)
	if err != nil {
		return ident.Principal{}, err
	}
	c.run = gate.AsRun(c.who, r)
	return c.run, nil
}

// acting makes sure that there is a Run to act in: for a Worker without one it starts
// one, where the Mission's form asks for nothing. Looking around starts none.
func (c *call) acting(ctx context.Context) error {
	_, err := c.actor(ctx)
	if c.who.Kind == ident.Run || !fault.Is(err, fault.NotFound) {
		return err
	}
	r, err := c.Runs.WorkerRun(ctx, c.who, c.mission, nil, true)
	if fault.Is(err, fault.Invalid) {
		return fault.New(fault.NotFound, "no Run of this Mission is open").WithHint("call start_run with its input: %s", err.Error())
	}
	if err == nil {
		c.run = gate.AsRun(c.who, r)
	}
	return err
}

// offer is what can be done in the Mission: by the Run, or by a Worker who may have
// none yet.
func (c *call) offer(ctx context.Context) (intent.Brief, error) {
	if c.who.Kind == ident.Run {
		return c.brief(ctx)
	}
	return c.Runs.Offer(ctx, c.who, c.mission)
}

// brief is what the Run is for and may propose. A token of another Mission's Run has
// no business at this path.
func (c *call) brief(ctx context.Context) (intent.Brief, error) {
	run, err := c.actor(ctx)
	if err != nil {
		return intent.Brief{}, err
	}
	b, err := c.Gate.Brief(ctx, run)
	if err == nil && c.mission != "" && b.Run.Mission != c.mission {
		err = fault.New(fault.Denied, "the token is of a Run of another Mission")
	}
	return b, err
}
