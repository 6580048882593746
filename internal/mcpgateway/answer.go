package mcpgateway

import (
	"encoding/json"
	"log/slog"
	"net/http"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/wire/jsonrpc"
)

// failure is an error of the protocol.
type failure struct {
	code   int64
	status int // of HTTP, in revision 2026-07-28; 0: 200
	msg    string
	data   json.RawMessage
}

// Error is the message.
func (f *failure) Error() string { return f.msg }

// mismatch is the refusal of headers that say something else than the body.
func mismatch(msg string) *failure {
	return &failure{jsonrpc.CodeHeaders, http.StatusBadRequest, "header mismatch: " + msg, nil}
}

// badParams is the refusal of params.
func badParams(msg string) *failure { return &failure{jsonrpc.CodeInvalidParams, 0, msg, nil} }

// noMethod is the refusal of a method that does not exist in this revision.
func noMethod() *failure {
	return &failure{jsonrpc.CodeNoMethod, http.StatusNotFound, "there is no such method in this revision of the protocol", nil}
}

// lacking is the refusal of a client that did not declare the Tasks extension.
func lacking() *failure {
	return &failure{jsonrpc.CodeNoCapability, http.StatusBadRequest, "the client did not declare the Tasks extension",
		json.RawMessage(`{"requiredCapabilities":{"extensions":{"` + tasksExtension + `":{}}}}`)}
}

// failureOf turns any error into one of the protocol. Of one that nobody classified
// nothing is told.
func (c *call) failureOf(err error) *failure {
	if f, ok := err.(*failure); ok { //nolint:errorlint // handlers return it bare
		return f
	}
	f := &failure{code: jsonrpc.CodeInvalidParams, msg: told(err)}
	switch fault.KindOf(err) {
	case fault.Internal, fault.Unavailable, fault.Unknown:
		f.code = jsonrpc.CodeInternal
	default:
	}
	if fault.Is(err, fault.Internal) {
		c.logged(err)
	}
	return f
}

// logged writes down what nobody classified.
func (c *call) logged(err error) {
	if p, ok := err.(*crash.Panic); ok { //nolint:errorlint // it is returned bare
		p.Log(c.r.Context(), c.Log)
		return
	}
	c.Log.ErrorContext(c.r.Context(), "a request at the MCP door failed", slog.String("method", fault.Quote(c.msg.Method)), slog.Any("error", err))
}

// told is what a Worker may read of an error.
func told(err error) string {
	if fault.Is(err, fault.Internal) {
		return "something went wrong here; the server's log has the cause"
	}
	if h := fault.HintOf(err); h != "" {
		return err.Error() + " (" + h + ")"
	}
	return err.Error()
}

// refuse answers what is no request of the protocol, before there is an id.
func (c *call) refuse(status int, code int64, msg string) {
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(append(jsonrpc.AppendError(nil, jsonrpc.ID{}, jsonrpc.Error{Code: code, Message: msg}), '\n'))
}

// fail answers with an error. Its data is ours, or the client's own words.
func (c *call) fail(f *failure) {
	c.deliver(jsonrpc.AppendString(nil, f.msg), c.statusOf(f), func(text []byte) []byte {
		e := jsonrpc.Error{Code: f.code, Data: f.data}
		_ = json.Unmarshal(text, &e.Message) // it went in as a string
		return jsonrpc.AppendError(nil, c.msg.ID, e)
	})
}

// statusOf is an error's status: the older revisions have 200 for what was a message.
func (c *call) statusOf(f *failure) int {
	switch {
	case f.status == 0, c.sess != nil && f.status == http.StatusNotFound:
		return http.StatusOK
	}
	return f.status
}

// reply answers with a result, which is a JSON object.
func (c *call) reply(result []byte) {
	c.deliver(result, http.StatusOK, func(b []byte) []byte { return jsonrpc.AppendResult(nil, c.msg.ID, b) })
}

// deliver scrubs what is ours, puts it into its message, and sends that, as the last
// event where a stream was begun. What the client itself sent comes back in the message
// as it was: which of its guesses is a Secret would show if that were scrubbed.
func (c *call) deliver(ours []byte, status int, message func([]byte) []byte) {
	clean, err := c.Clean(c.who.Tenant, ours)
	b := message(clean)
	if err != nil {
		b = jsonrpc.AppendError(nil, c.msg.ID, jsonrpc.Error{Code: jsonrpc.CodeInternal, Message: "the answer can't be shown: a Secret's value stands in what holds it together"})
	}
	if c.streaming {
		c.event(b)
		return
	}
	if status == http.StatusOK && !c.accepts("application/json") {
		c.begin()
		c.event(b)
		return
	}
	c.writeWithin()
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(append(b, '\n')) // the client is gone when this fails
}
