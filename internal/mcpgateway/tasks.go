package mcpgateway

import (
	"context"
	"encoding/json"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/wire/jsonrpc"
)

// The Tasks extension (SEP-2663). A task is an Intent of the caller's Run as the store
// has it: its id is the Intent's, there is no other state, and an id that is not the
// Run's does not exist.

// task is what both results and notifications of the extension have.
type task struct {
	Type     string          `json:"resultType,omitempty"`
	ID       string          `json:"taskId"`
	Status   string          `json:"status"`
	Message  string          `json:"statusMessage,omitempty"`
	Created  string          `json:"createdAt"`
	Updated  string          `json:"lastUpdatedAt"`
	TTL      *int64          `json:"ttlMs"` // null: it is kept as long as its Run's record
	PollHint int64           `json:"pollIntervalMs"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *jsonrpc.Error  `json:"error,omitempty"`
}

func (c *call) task(it intent.Intent) task {
	return task{ID: it.ID, Status: "working", Message: c.status(it), Created: stamp(it.CreatedAt), Updated: stamp(it.UpdatedAt), PollHint: c.Times.PollHint.Milliseconds()}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// newTask answers a tool's call with a task.
func (c *call) newTask(it intent.Intent) []byte {
	t := c.task(it)
	t.Type = "task"
	b, _ := json.Marshal(t) // strings and numbers
	return b
}

// detailed is a task with its end, if it has come to one. What an approver said no to
// is completed with an error; failed is what the protocol can't say.
func (c *call) detailed(it intent.Intent) task {
	t := c.task(it)
	switch {
	case it.State.Open():
		return t
	case it.State == intent.Withdrawn:
		t.Status, t.Message = "cancelled", "withdrawn; not executed"
		return t
	}
	res, err := c.outcome(it)
	if err != nil {
		f := c.failureOf(err)
		t.Status, t.Message, t.Error = "failed", f.msg, &jsonrpc.Error{Code: f.code, Message: f.msg}
		return t
	}
	t.Status, t.Message, t.Result = "completed", "settled: "+string(it.State), res
	return t
}

var errNoTask = badParams("this caller has no such task")

// owned finds the Intent that a taskId names, if it is the caller's Run's.
func (c *call) owned(ctx context.Context, id string) (intent.Intent, error) {
	run, err := c.actor(ctx)
	if err != nil {
		return intent.Intent{}, errNoTask
	}
	it, err := c.Gate.Lookup(ctx, run, id)
	if k := fault.KindOf(err); k == fault.NotFound || k == fault.Denied || k == fault.Invalid {
		err = errNoTask
	}
	return it, err
}

// named is the task of a request's params.
func (c *call) named() (intent.Intent, error) {
	if !c.tasks {
		return intent.Intent{}, lacking()
	}
	id, ok := c.msg.Params.Text("taskId")
	if !ok {
		return intent.Intent{}, badParams("the params have no taskId")
	}
	return c.owned(c.r.Context(), id)
}

func (c *call) getTask() ([]byte, error) {
	it, err := c.named()
	if err != nil {
		return nil, err
	}
	return encode(c.detailed(it))
}

// updateTask takes answers to what a task asks its client. Ours ask nothing: who
// drives the client decides nothing, so every answer is to no question, and ignored.
func (c *call) updateTask() ([]byte, error) {
	if _, err := c.named(); err != nil {
		return nil, err
	}
	if _, ok := c.msg.Params.Object("inputResponses"); !ok {
		return nil, badParams("the params have no inputResponses")
	}
	return []byte("{}"), nil
}

// cancelTask withdraws what has not been sent. What is on its way, or over, goes on:
// tasks/get says what becomes of it.
func (c *call) cancelTask() ([]byte, error) {
	it, err := c.named()
	if err != nil {
		return nil, err
	}
	if it.State.Open() {
		if _, err = c.Gate.Withdraw(c.r.Context(), c.run, it.ID); err != nil && !fault.Is(err, fault.Conflict) {
			return nil, err
		}
	}
	return []byte("{}"), nil
}

// maxListen is how many tasks one stream follows.
const maxListen = 64

// listen follows tasks, and sends each as it is now, until the client closes or the
// stream is old. Of other changes nothing is told; the answer says so.
func (c *call) listen() ([]byte, error) {
	filter, ok := c.msg.Params.Object("notifications")
	if !ok {
		return nil, badParams("the params have no notifications")
	}
	raw, wants := filter.Get("taskIds")
	var ids []string
	if wants {
		if !c.tasks {
			return nil, lacking()
		}
		if json.Unmarshal(raw, &ids) != nil || len(ids) > maxListen {
			return nil, badParams("the taskIds are no list of texts, or are too many")
		}
	}
	if !c.accepts(eventStream) {
		return nil, badParams("a subscription takes a client that accepts " + eventStream)
	}
	f := follower{call: c, last: map[string]string{}}
	for _, id := range ids {
		if _, err := c.owned(c.r.Context(), id); err == nil {
			f.ids = append(f.ids, id)
		}
	}
	c.begin()
	agreed := map[string]any{}
	if len(f.ids) > 0 {
		agreed["taskIds"] = f.ids
	}
	b, _ := json.Marshal(map[string]any{"notifications": agreed}) // texts
	c.notify("notifications/subscriptions/acknowledged", f.meta(), b)
	f.run()
	return []byte("{}"), nil
}

// follower is one stream of listen.
type follower struct {
	*call
	ids  []string
	last map[string]string // what was sent of each
}

// meta is the member of the params that says which stream it is.
func (f follower) meta() []byte {
	return []byte(`"_meta":{"io.modelcontextprotocol/subscriptionId":` + f.msg.ID.String() + `}`)
}

func (f follower) run() {
	ctx, cancel := context.WithTimeout(f.r.Context(), f.Times.Listen)
	defer cancel()
	beats := time.NewTicker(f.Times.Beat)
	defer beats.Stop()
	for {
		var changed <-chan struct{}
		if len(f.ids) > 0 {
			changed = f.Changed(f.call.run.Tenant, f.call.run.ID)
		}
		for _, id := range f.ids {
			it, err := f.owned(ctx, id)
			if err != nil {
				continue // the next round sees whether it stays away
			}
			b, err := encode(f.detailed(it))
			if err == nil && f.last[id] != string(b) {
				f.last[id] = string(b)
				f.notify("notifications/tasks", f.meta(), b)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-beats.C:
			f.comment()
		}
		if f.still() != nil {
			return
		}
	}
}
