package mcpgateway

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/wire/jsonrpc"
)

// callTool proposes what a tool's call means, or runs one of the door's own.
func (c *call) callTool() ([]byte, error) {
	name, ok := c.msg.Params.Text("name")
	if !ok {
		return nil, badParams("the params have no name")
	}
	args, ok := c.msg.Params.Object("arguments")
	raw, there := c.msg.Params.Get("arguments")
	if there && !ok {
		return nil, badParams("the arguments are not an object")
	}
	if i := slices.IndexFunc(ownTools, func(t ownTool) bool { return t.name == name }); i >= 0 {
		return ownTools[i].run(c, args)
	}
	if err := c.acting(c.r.Context()); err != nil {
		return c.refused(err, false)
	}
	b, err := c.brief(c.r.Context())
	if err != nil {
		return c.refused(err, false)
	}
	p, write := intent.Proposal{Args: raw}, true
	if i := slices.IndexFunc(b.Tools, func(t intent.Tool) bool { return c.Names.Tool(t) == name }); i >= 0 {
		_, write = extraOf(b.Tools[i])
		if p, err = proposal(b.Tools[i], args); err != nil {
			return c.refused(err, false)
		}
	} else { // the Gate says what it says of everything that is not held, and writes it down
		p.Connection, p.Tool = split(name)
	}
	it, err := c.admit(p, write)
	if err != nil {
		return c.refused(err, write)
	}
	return c.settle(it)
}

// settle answers with what became of an Intent, as the client can bear it: at once,
// as a task, or after a while.
func (c *call) settle(it intent.Intent) ([]byte, error) {
	if c.tasks && it.State.Open() {
		return c.newTask(it), nil
	}
	it, err := c.hold(it)
	if err != nil {
		return c.lost(it, err)
	}
	return c.outcome(it)
}

// admit proposes, and shows signs of life while that takes. A client that leaves ends
// a read; a write that was begun is finished, so that its outcome is known.
func (c *call) admit(p intent.Proposal, write bool) (it intent.Intent, err error) {
	ctx := c.r.Context()
	if write {
		ctx = context.WithoutCancel(ctx)
	}
	p.Source = gate.Source(c.r)
	done := make(chan struct{})
	crash.Go(func() {
		it, err = c.Gate.Admit(ctx, c.run, p)
		close(done)
	}, func(pn *crash.Panic) {
		err = pn
		close(done)
	})
	first := time.NewTimer(c.Times.First)
	defer first.Stop()
	select {
	case <-done:
		return it, err
	case <-first.C:
	case <-c.r.Context().Done():
		<-done
		return it, err
	}
	c.begin()
	beats := time.NewTicker(c.Times.Beat)
	defer beats.Stop()
	for {
		c.beat("the call is under way")
		select {
		case <-done:
			return it, err
		case <-c.r.Context().Done():
			<-done
			return it, err
		case <-beats.C:
		}
	}
}

// block is a piece of text in a result.
type block struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// toolResult is a CallToolResult of ours.
type toolResult struct {
	Content    []block `json:"content"`
	Structured any     `json:"structuredContent,omitempty"`
	IsError    bool    `json:"isError,omitempty"`
}

// said is the structured part of what the door itself says about an action.
type said struct {
	Status   string   `json:"status"`             // pending, rejected, unknown, …; a fault's kind of a refusal
	Executed *bool    `json:"executed,omitempty"` // nil: that is not known
	ID       string   `json:"id,omitempty"`       // the decision's, for the tools that go on with it
	State    string   `json:"state,omitempty"`
	Why      string   `json:"why,omitempty"`
	WaitsFor string   `json:"waitsFor,omitempty"`
	Next     []string `json:"next,omitempty"` // tools
}

var no = new(bool)

// refused is the answer to a proposal that was not taken. Whether a write was done is
// open where nobody classified the error, where what became of it could not be recorded,
// and where somebody else has it in hand.
func (c *call) refused(err error, write bool) ([]byte, error) {
	if c.r.Context().Err() != nil {
		return nil, err
	}
	kind := fault.KindOf(err)
	s, text := said{Status: string(kind), Executed: no, Why: told(err)}, "NOT EXECUTED. "+told(err)
	switch {
	case kind == fault.Internal:
		c.logged(err)
		if write {
			s.Executed, s.Next = nil, []string{"list_my_pending"}
			text = "STATUS UNKNOWN. " + told(err) + ". Do not repeat it blindly: look with list_my_pending."
		}
	case kind == fault.Unknown, write && (kind == fault.Unavailable || kind == fault.Conflict):
		s.Executed, s.Next = nil, []string{"list_my_pending"}
		text = "STATUS UNKNOWN. " + told(err)
	case kind == fault.NotFound && !c.run.Valid(): // a Worker without a Run
		s.Next = []string{"start_run"}
		text += ". Begin one with start_run."
	}
	return encode(toolResult{Content: []block{{"text", text}}, Structured: s, IsError: true})
}

// note is an answer of a tool of ours.
func note(text string, structured any) ([]byte, error) {
	return encode(toolResult{Content: []block{{"text", text}}, Structured: structured})
}

func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return b, fault.Wrap(fault.Internal, "encoding an answer", err)
}

// textArg is a required argument that is a text.
func textArg(args jsonrpc.Object, name string) (string, error) {
	s, ok := args.Text(name)
	if !ok || s == "" {
		return "", fault.New(fault.Invalid, "the argument "+name+" is missing, or is no text")
	}
	return s, nil
}
