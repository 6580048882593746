package mcpgateway

import (
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

// The pending ladder. What waits is in the store before anything is answered, so a
// client that leaves ends the wait and never the Intent:
//
//  1. A client with the Tasks extension gets a task at once; see tasks.go.
//  2. For another the answer is held (Times.Hold): the first byte at once, signs of
//     life while it waits. Clients give up on a silent server after a minute, and on
//     any after five.
//  3. Then it gets a pending result, which says that nothing was executed and which
//     tools go on from there.

// soon says whether something may still happen by itself, or by an approver's word.
// What needs an admin to find out is not waited for.
func soon(s intent.State) bool { return s.Open() && s != intent.NeedsHuman }

// hold waits until the Intent is settled, for as long as such a wait lasts.
func (c *call) hold(it intent.Intent) (intent.Intent, error) {
	if !soon(it.State) {
		return it, nil
	}
	ctx := c.r.Context()
	end, beats, looks := time.NewTimer(c.Times.Hold), time.NewTicker(c.Times.Beat), time.NewTicker(c.Times.Look)
	defer end.Stop()
	defer beats.Stop()
	defer looks.Stop()
	c.begin()
	c.beat(c.status(it))
	for {
		changed := c.Changed(c.run.Tenant, c.run.ID) // before the look: nothing is missed
		now, err := c.Gate.Lookup(ctx, c.run, it.ID)
		if err != nil {
			return it, err
		}
		if it = now; !soon(it.State) {
			return it, nil
		}
		select {
		case <-ctx.Done():
			return it, ctx.Err()
		case <-end.C:
			return it, nil
		case <-beats.C:
			c.beat(c.status(it))
		case <-changed:
		case <-looks.C:
		}
		if err := c.still(); err != nil {
			return it, err
		}
	}
}

// still says that the caller is who it was when the request began: a token that was
// revoked, or is over, is told nothing more.
func (c *call) still() error {
	who, err := c.caller(c.r)
	if err == nil && key(who) != key(c.who) {
		err = fault.New(fault.Unauthenticated, "the token is somebody else's now")
	}
	return err
}

// lost is the answer when an Intent can't be looked at any more. Since the last look it
// may have been decided and sent: to call it not executed would invite a second write.
func (c *call) lost(it intent.Intent, err error) ([]byte, error) {
	if c.r.Context().Err() != nil {
		return nil, err
	}
	if fault.Is(err, fault.Internal) {
		c.logged(err)
	}
	s := said{Status: "unknown", ID: it.ID, Why: told(err), Next: []string{"await_decision", "list_my_pending"}}
	text := "STATUS UNKNOWN. " + told(err) + ". The decision's id is " + it.ID + ". Do not do it again by other means: find out with await_decision, or ask a person."
	return encode(toolResult{Content: []block{{"text", text}}, Structured: s, IsError: true})
}

// status says in a line what an open Intent waits for.
func (c *call) status(it intent.Intent) string {
	switch it.State {
	case intent.Parked:
		return "waiting for " + c.Waits(c.r.Context(), it) + "; not executed"
	case intent.Claimed, intent.Sending:
		return "being executed"
	case intent.Unknown:
		return "sent, and its outcome is not known yet; it is being looked up"
	case intent.NeedsHuman:
		return "sent, and its outcome is not known; a person has to find out"
	case intent.Proposed, intent.Approved, intent.Denied, intent.Rejected, intent.Expired, intent.Withdrawn, intent.Committed, intent.Failed, intent.NotApplied:
	}
	return "about to be executed"
}

// pending is the result of what is still open when the wait is over. It is an error
// to programs that look no further: what they asked for has not been done.
func (c *call) pending(it intent.Intent) ([]byte, error) {
	s := said{Status: "pending", Executed: no, ID: it.ID, State: string(it.State), WaitsFor: c.status(it), Next: []string{"await_decision", "list_my_pending", "withdraw_decision"}}
	text := "NOT EXECUTED. Pending: " + c.status(it) + ". The decision's id is " + it.ID + ". It stays open when this connection ends. " +
		`Wait with await_decision {"id":"` + it.ID + `"}, list what is open with list_my_pending, or take it back with withdraw_decision. ` +
		"The same call again finds this decision, and is not executed twice."
	switch it.State {
	case intent.Claimed, intent.Sending, intent.Unknown, intent.NeedsHuman:
		s.Status, s.Executed, s.Next = "unknown", nil, []string{"await_decision", "list_my_pending"}
		text = "STATUS UNKNOWN. It is " + c.status(it) + ". The decision's id is " + it.ID + `. Do not do it again by other means: find out with await_decision {"id":"` + it.ID + `"}.`
	case intent.Proposed, intent.Parked, intent.Approved, intent.Denied, intent.Rejected, intent.Expired, intent.Withdrawn, intent.Committed, intent.Failed, intent.NotApplied:
	}
	return encode(toolResult{Content: []block{{"text", text}}, Structured: s, IsError: true})
}
