package mcpgateway

import (
	"net/http"
	"strconv"
	"time"

	"sallyport.dev/internal/wire/jsonrpc"
)

const eventStream = "text/event-stream"

// writeTime is how long one write to a client may take: one that reads nothing
// holds nothing.
const writeTime = 20 * time.Second

func (c *call) writeWithin() { _ = c.rc.SetWriteDeadline(time.Now().Add(writeTime)) }

// begin makes the answer a stream of events, and sends the first bytes. A client
// that does not take one gets its answer when it is there.
func (c *call) begin() {
	if c.streaming || !c.accepts(eventStream) {
		return
	}
	c.streaming = true
	c.w.Header().Set("Content-Type", eventStream)
	c.w.Header().Set("X-Accel-Buffering", "no")
	c.writeWithin()
	c.w.WriteHeader(http.StatusOK)
	c.comment()
}

// comment sends a line that clients ignore, which keeps connections open.
func (c *call) comment() { c.write([]byte(":\n\n")) }

// event sends a message, which is one line of JSON.
func (c *call) event(b []byte) {
	c.write(append(append([]byte("event: message\ndata: "), b...), '\n', '\n'))
}

func (c *call) write(b []byte) {
	if !c.streaming {
		return
	}
	c.writeWithin()
	_, _ = c.w.Write(b) // who is gone is noticed by the request's context
	_ = c.rc.Flush()
}

// notify sends a notification whose params, a JSON object, are scrubbed. What can't be
// shown is left out. theirs is a member of the params that is the client's own; see
// deliver.
func (c *call) notify(method string, theirs, params []byte) {
	clean, err := c.Clean(c.who.Tenant, params)
	if err != nil || len(clean) == 0 || clean[0] != '{' {
		return
	}
	if len(theirs) > 0 {
		clean = append(append(append([]byte{'{'}, theirs...), ','), clean[1:]...)
	}
	c.event(jsonrpc.AppendRequest(nil, jsonrpc.ID{}, method, clean))
}

// beat is a sign of life while something is waited for: progress where the client
// gave a token, a log message where it wants those, and a comment in any case.
func (c *call) beat(what string) {
	if !c.streaming {
		return
	}
	c.beats++
	if c.progress != nil {
		p := strconv.AppendInt([]byte(`{"progress":`), int64(c.beats), 10)
		p = append(jsonrpc.AppendString(append(p, `,"message":`...), what), '}')
		c.notify("notifications/progress", append([]byte(`"progressToken":`), c.progress...), p)
	}
	if c.logs() {
		p := []byte(`{"level":"info","logger":"sallyport","data":`)
		c.notify("notifications/message", nil, append(jsonrpc.AppendString(p, what), '}'))
	}
	c.comment()
}

// levels are those of RFC 5424, as the protocol has them; ours is info.
var levels = map[string]bool{"debug": true, "info": true, "notice": false, "warning": false, "error": false, "critical": false, "alert": false, "emergency": false}

// logs says whether the client wants messages of our level.
func (c *call) logs() bool {
	if c.sess != nil {
		return levels[c.sess.logLevel()]
	}
	return levels[c.level]
}
