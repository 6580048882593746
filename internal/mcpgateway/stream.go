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

// notify sends a notification, scrubbed. What can't be shown is left out.
func (c *call) notify(method string, params []byte) {
	if b, err := c.Clean(c.who.Tenant, jsonrpc.AppendRequest(nil, jsonrpc.ID{}, method, params)); err == nil {
		c.event(b)
	}
}

// beat is a sign of life while something is waited for: progress where the client
// gave a token, a log message where it wants those, and a comment in any case.
func (c *call) beat(what string) {
	if !c.streaming {
		return
	}
	c.beats++
	if c.progress != nil {
		p := append([]byte(`{"progressToken":`), c.progress...)
		p = append(p, `,"progress":`...)
		p = strconv.AppendInt(p, int64(c.beats), 10)
		p = append(p, `,"message":`...)
		c.notify("notifications/progress", append(jsonrpc.AppendString(p, what), '}'))
	}
	if c.logs() {
		p := []byte(`{"level":"info","logger":"sallyport","data":`)
		c.notify("notifications/message", append(jsonrpc.AppendString(p, what), '}'))
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
