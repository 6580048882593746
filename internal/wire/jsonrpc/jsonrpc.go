// Package jsonrpc reads and writes single JSON-RPC 2.0 messages, as MCP uses
// them: on the door that Workers call, and towards upstream servers.
//
// It refuses a batch, a message that is too large or nested too deeply, a key
// that stands twice in one object at any depth, text that is not UTF-8, half of a
// surrogate pair, data after the message, params that are no object, an id that
// is neither a string nor an integer, and an answer that has both a result and an
// error, or neither.
//
// # Security
//
// Two parsers must never read one message in two ways: what is compared with the
// headers is what is executed. So members are found by their exact name (package
// encoding/json takes "Name" for "name"), and a repeated one is an error. Errors
// never repeat what was sent.
package jsonrpc

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"sallyport.dev/internal/fault"
)

// The codes of errors: JSON-RPC's own, then MCP's.
const (
	CodeParse          = -32700 // no JSON
	CodeInvalidRequest = -32600 // JSON, but no request
	CodeNoMethod       = -32601
	CodeInvalidParams  = -32602
	CodeInternal       = -32603
	CodeNoResource     = -32002 // of the eras up to 2025-11-25
	CodeHeaders        = -32020 // headers and body differ
	CodeNoCapability   = -32021 // the client did not declare a capability that is needed
	CodeNoVersion      = -32022 // the protocol version is not served
)

// MaxDepth bounds the nesting of a message.
const MaxDepth = 72

// maxID bounds an id's JSON text, in bytes.
const maxID = 256

// ID is the id of a request: a string or an integer, kept as it was written. Its
// zero value means that there is none. Two ids are the same when they are ==.
type ID struct{ text string }

// IntID is the id n.
func IntID(n int64) ID { return ID{strconv.FormatInt(n, 10)} }

// StringID is the id s.
func StringID(s string) ID {
	b, _ := json.Marshal(s) // a string can't fail
	return ID{string(b)}
}

// IsZero says that there is no id.
func (id ID) IsZero() bool { return id.text == "" }

// String is the id's JSON text.
func (id ID) String() string { return id.text }

// MarshalJSON gives the id as it was written; null when there is none.
func (id ID) MarshalJSON() ([]byte, error) {
	if id.text == "" {
		return []byte("null"), nil
	}
	return []byte(id.text), nil
}

// ReadID takes a JSON value as an id. Invalid: it is neither a string nor an integer,
// or it is too long.
func ReadID(b json.RawMessage) (ID, error) {
	b = bytes.TrimSpace(b)
	if len(b) == 0 || len(b) > maxID {
		return ID{}, errID
	}
	if b[0] == '"' {
		s, err := text(b)
		if err != nil {
			return ID{}, errID
		}
		return StringID(s), nil // one spelling: "\u0061" is "a"
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return ID{}, errID
	}
	return IntID(n), nil
}

// Message is one request, notification or answer. A request has Method and ID, a
// notification Method alone, an answer Result or Error.
type Message struct {
	ID     ID
	Method string
	Params Object          // nil: there are none
	Raw    json.RawMessage // the params as they were written
	Result json.RawMessage
	Error  *Error
}

// IsRequest says that an answer is expected.
func (m Message) IsRequest() bool { return m.Method != "" && !m.ID.IsZero() }

// IsNotification says that no answer is expected.
func (m Message) IsNotification() bool { return m.Method != "" && m.ID.IsZero() }

// IsAnswer says that it answers a request.
func (m Message) IsAnswer() bool { return m.Method == "" }

// Error is the error of an answer.
type Error struct {
	Code    int64           `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// Error is the message; it is somebody else's text where the answer is.
func (e *Error) Error() string {
	return "JSON-RPC error " + strconv.FormatInt(e.Code, 10) + ": " + fault.Quote(e.Message)
}

// Invalid errors of decoding; which of the two JSON-RPC has a code for.
var (
	errParse = &malformed{CodeParse, fault.New(fault.Invalid, "the message is not one JSON value in UTF-8")}
	errTwice = bad("a key stands twice in one object of the message")
	errDeep  = bad("the message is nested too deeply")
	errHalf  = bad("the message has half of a surrogate pair")
	errBatch = bad("batches of messages are not taken: send one message")
	errNoObj = bad("the message is not a JSON object")
	errVer   = bad(`the message does not say "jsonrpc": "2.0"`)
	errID    = bad("the id is neither a string nor an integer, or is too long")
	errMeth  = bad("the method is not a string, or is too long")
	errParam = bad("the params are not an object")
	errShape = bad("the message is neither a request nor a notification nor an answer")
	errErr   = bad("the error of the answer has no code and message")
)

// malformed is a decoding error with its JSON-RPC code.
type malformed struct {
	code  int64
	fault *fault.Error
}

func bad(msg string) *malformed {
	return &malformed{CodeInvalidRequest, fault.New(fault.Invalid, msg)}
}

func (m *malformed) Error() string { return m.fault.Error() }

// Unwrap gives the fault, of kind Invalid.
func (m *malformed) Unwrap() error { return m.fault }

// CodeOf is the JSON-RPC code of an error of Decode: CodeParse or CodeInvalidRequest.
func CodeOf(err error) int64 {
	if m, ok := err.(*malformed); ok { //nolint:errorlint // Decode returns it bare, and who wraps it says more
		return m.code
	}
	return CodeInvalidRequest
}

// maxMethod bounds a method's name, in bytes.
const maxMethod = 128

// Decode reads one message of at most limit bytes. Invalid: it is malformed; Limit: it
// is too large. What it returns shares b's memory.
func Decode(b []byte, limit int) (Message, error) {
	var m Message
	if len(b) > limit {
		return m, fault.Newf(fault.Limit, "the message is larger than %d bytes", limit)
	}
	if !utf8.Valid(b) || !json.Valid(b) {
		return m, errParse
	}
	b = bytes.TrimSpace(b)
	switch b[0] {
	case '[':
		return m, errBatch
	case '{':
	default:
		return m, errNoObj
	}
	if err := unambiguous(b); err != nil {
		return m, err
	}
	o := members(b)
	if v, ok := o.Text("jsonrpc"); !ok || v != "2.0" {
		return m, errVer
	}
	return m, m.fill(o)
}

// fill takes the members of a message. The id comes first: also what is wrong with
// the rest is answered under it.
func (m *Message) fill(o Object) (err error) {
	method, call := o.Get("method")
	result, good := o.Get("result")
	fail, failed := o.Get("error")
	if id, ok := o.Get("id"); ok && !(failed && isNull(id)) { // an error about what had no readable id has null
		if m.ID, err = ReadID(id); err != nil {
			return err
		}
	}
	switch {
	case call && !good && !failed:
		if m.Method, err = text(method); err != nil || m.Method == "" || len(m.Method) > maxMethod {
			m.Method = ""
			return errMeth
		}
		return m.params(o)
	case good && !call && !failed && !m.ID.IsZero():
		m.Result = result
		return nil
	case failed && !call && !good:
		m.Error, err = readError(fail)
		return err
	}
	return errShape
}

func (m *Message) params(o Object) error {
	p, ok := o.Get("params")
	if !ok {
		return nil
	}
	if len(p) == 0 || p[0] != '{' {
		return errParam
	}
	m.Raw, m.Params = p, members(p)
	return nil
}

func readError(b json.RawMessage) (*Error, error) {
	if len(b) == 0 || b[0] != '{' {
		return nil, errErr
	}
	o := members(b)
	code, ok := o.Get("code")
	n, err := strconv.ParseInt(string(code), 10, 64)
	msg, said := o.Text("message")
	if !ok || err != nil || !said {
		return nil, errErr
	}
	data, _ := o.Get("data")
	return &Error{Code: n, Message: msg, Data: data}, nil
}

func isNull(b json.RawMessage) bool { return string(b) == "null" }
