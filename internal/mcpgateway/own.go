package mcpgateway

import (
	"encoding/json"
	"slices"

	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/wire/jsonrpc"
)

// ownTool is a tool of the door itself. Their names have no double underscore, so
// that none of a Connection is called like one.
type ownTool struct {
	name       string
	workers    bool // not for a Run's own token
	definition string
	run        func(*call, jsonrpc.Object) ([]byte, error)
}

const (
	idSchema     = `{"type":"object","properties":{"id":{"type":"string","description":"The decision's id, as the pending result gave it."}},"required":["id"],"additionalProperties":false}`
	nothing      = `{"type":"object","properties":{},"additionalProperties":false}`
	observations = `{"type":"object","properties":{"kind":{"type":"string","enum":["plan","reasoning","retrieval","inference","check"]},` +
		`"title":{"type":"string","minLength":1},"text":{"type":"string"}},"required":["kind","title"],"additionalProperties":false}`
	verdicts = `{"type":"object","properties":{"verdict":{"type":"string","minLength":1,"maxLength":40,"description":"One or two words, like done or not possible."},` +
		`"summary":{"type":"string"}},"required":["verdict"],"additionalProperties":false}`
)

// define writes the definition of an own tool; they touch nothing outside.
func define(name, description, schema string, read bool) string {
	d, _ := json.Marshal(description) // a text
	hints := `"readOnlyHint":false,"destructiveHint":false`
	if read {
		hints = `"readOnlyHint":true`
	}
	return `{"name":"` + name + `","description":` + string(d) + `,"inputSchema":` + schema + `,"annotations":{` + hints + `,"openWorldHint":false}}`
}

// starting defines start_run, which takes what the Mission's form asks for.
func starting(form json.RawMessage) string {
	if len(form) == 0 {
		form = json.RawMessage(`{"type":"object"}`)
	}
	return define("start_run", "Start a Run of this Mission, or get the one that is open.",
		`{"type":"object","properties":{"input":`+string(form)+`},"additionalProperties":false}`, false)
}

// ownTools, by name.
var ownTools = []ownTool{
	{"await_decision", false, define("await_decision", "Wait for a pending action's decision, and get its result once it was executed. Call it again when it is still pending.", idSchema, true), nil},
	{"end_run", false, define("end_run", "End this Run with a verdict. Nothing can be done in it afterwards.", verdicts, false), nil},
	{"list_my_pending", false, define("list_my_pending", "List this Run's actions that wait for a decision, or whose outcome is open.", nothing, true), nil},
	{"note_observation", false, define("note_observation", "Record a plan, a piece of reasoning, something retrieved, an inference or a check, for the people who look at this Run.", observations, false), nil},
	{"start_run", true, "", nil}, // see starting
	{"withdraw_decision", false, define("withdraw_decision", "Take back a pending action. What is being executed can't be taken back.", idSchema, false), nil},
}

func init() { // the functions refer to the list
	for name, run := range map[string]func(*call, jsonrpc.Object) ([]byte, error){
		"await_decision": (*call).await, "end_run": (*call).endRun, "list_my_pending": (*call).listPending,
		"note_observation": (*call).observe, "start_run": (*call).startRun, "withdraw_decision": (*call).withdraw,
	} {
		ownTools[slices.IndexFunc(ownTools, func(t ownTool) bool { return t.name == name })].run = run
	}
}

// decision finds the Intent that an own tool's argument names.
func (c *call) decision(args jsonrpc.Object) (intent.Intent, error) {
	id, err := textArg(args, "id")
	if err != nil {
		return intent.Intent{}, err
	}
	run, err := c.actor(c.r.Context())
	if err != nil {
		return intent.Intent{}, err
	}
	return c.Gate.Lookup(c.r.Context(), run, id)
}

// await goes on waiting for what is pending: what a tool's call would have given.
func (c *call) await(args jsonrpc.Object) ([]byte, error) {
	it, err := c.decision(args)
	if err != nil {
		return c.refused(err, false)
	}
	if it, err = c.hold(it); err != nil {
		return c.lost(it, err)
	}
	return c.outcome(it)
}

// withdraw takes back what waits.
func (c *call) withdraw(args jsonrpc.Object) ([]byte, error) {
	it, err := c.decision(args)
	if err == nil {
		it, err = c.Gate.Withdraw(c.r.Context(), c.run, it.ID)
	}
	if err != nil {
		return c.refused(err, false)
	}
	return note("Withdrawn. It was not executed.", said{Status: "withdrawn", Executed: no, ID: it.ID, State: string(it.State)})
}

// waiting is one line of list_my_pending.
type waiting struct {
	ID       string `json:"id"`
	Tool     string `json:"tool"`
	State    string `json:"state"`
	WaitsFor string `json:"waitsFor"`
	Since    string `json:"since"`
	Reason   string `json:"reason,omitempty"`
}

func (c *call) listPending(jsonrpc.Object) ([]byte, error) {
	run, err := c.actor(c.r.Context())
	if err != nil {
		return c.refused(err, false)
	}
	its, err := c.Gate.Pending(c.r.Context(), run)
	if err != nil {
		return c.refused(err, false)
	}
	list, text := make([]waiting, 0, len(its)), "Nothing is pending."
	if len(its) > 0 {
		text = "Pending:"
	}
	for _, it := range its {
		w := waiting{ID: it.ID, Tool: c.Names.Tool(intent.Tool{Name: it.Connection + "__" + it.Tool, Connection: it.Connection, Tool: it.Tool}),
			State: string(it.State), WaitsFor: c.status(it), Since: stamp(it.CreatedAt), Reason: it.Reason}
		list, text = append(list, w), text+"\n"+w.ID+" "+w.Tool+": "+w.WaitsFor
	}
	return note(text, map[string]any{"pending": list})
}

// observe puts what the Worker says on the Run's rail.
func (c *call) observe(args jsonrpc.Object) ([]byte, error) {
	kind, err := textArg(args, "kind")
	if err != nil {
		return c.refused(err, false)
	}
	title, err := textArg(args, "title")
	if err != nil {
		return c.refused(err, false)
	}
	text, _ := args.Text("text")
	run, err := c.actor(c.r.Context())
	if err == nil {
		err = c.Runs.Observe(c.r.Context(), run, explain.Kind(kind), title, text)
	}
	if err != nil {
		return c.refused(err, false)
	}
	return note("Recorded.", nil)
}

// startRun gives a Worker its open Run of the Mission, or a new one.
func (c *call) startRun(args jsonrpc.Object) ([]byte, error) {
	if c.who.Kind == ident.Run {
		return c.refused(fault.New(fault.Denied, "this token is a Run's already"), false)
	}
	input, there := args.Get("input")
	if there && input[0] != '{' {
		return c.refused(fault.New(fault.Invalid, "the input is not an object"), false)
	}
	r, err := c.Runs.WorkerRun(c.r.Context(), c.who, c.mission, input, true)
	if err != nil {
		return c.refused(err, false)
	}
	c.run = gate.AsRun(c.who, r)
	b, err := c.brief(c.r.Context())
	if err != nil {
		return c.refused(err, false)
	}
	tools := make([]string, len(b.Tools))
	for i, t := range b.Tools {
		tools[i] = c.Names.Tool(t)
	}
	return note("The Run "+r.ID+" is open.\nMission: "+b.Title+"\nGoal: "+b.Goal+"",
		map[string]any{"run": r.ID, "mission": r.Mission, "goal": b.Goal, "input": r.Input, "tools": tools})
}

// endRun ends the Run with the Worker's verdict.
func (c *call) endRun(args jsonrpc.Object) ([]byte, error) {
	verdict, err := textArg(args, "verdict")
	if err != nil {
		return c.refused(err, false)
	}
	summary, _ := args.Text("summary")
	run, err := c.actor(c.r.Context())
	if err == nil {
		err = c.Runs.EndRun(c.r.Context(), run, verdict, summary)
	}
	if err != nil {
		return c.refused(err, false)
	}
	return note("The Run has ended.", nil)
}
