// Package connector has what every kind of Integration offers the Boundary: its
// Tools, the request that a Tool and arguments make, and sending it. The kinds
// are in the packages below it.
//
// A connector never sees a credential: it sends through a door, a RoundTripper
// that the vault opened, which injects on the way out and scrubs on the way in.
// It refuses arguments that don't fit the Tool's schema, and no schema has a
// place for a credential, Host, a cookie, or a forwarding or idempotency header.
package connector

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// Tool is one operation of an Integration.
type Tool struct {
	Name        string          `json:"name"` // unique in the Integration; [A-Za-z0-9_-], no "__"
	Title       string          `json:"title,omitempty"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"schema"` // JSON Schema 2020-12 of the arguments: an object, closed
	Effect      resource.Effect `json:"effect"`
	// Digest is the SHA-256 (hex) of everything that decides what a call does:
	// schema, effect, method, path template, server. A changed definition voids
	// what was approved under the old one.
	Digest string           `json:"digest"`
	Lookup *resource.Lookup `json:"-"` // how to reconcile an unknown write; nil: a person has to
	// Idempotency says that the system knows a write by its key; nil: it doesn't.
	Idempotency *resource.Idempotency `json:"-"`
	// NotSecret are places in the answer whose values only look like secrets; see
	// resource.ToolRule. They decide what is shown, not what is sent.
	NotSecret []string `json:"-"`
	// Record and RecordPrivate say what the audit log has of the record that a call
	// is about; see resource.ToolRule.
	Record        string `json:"-"`
	RecordPrivate bool   `json:"-"`
}

// Kind is one Integration, ready to use. Its methods are safe for concurrent
// use and, but for Do, touch no network.
type Kind interface {
	// Tools lists the Tools in the order of their names.
	Tools() []Tool
	// Origin is the one origin that requests of this Integration go to.
	Origin() resource.Origin
	// Network is what the Integration permits beyond TLS to public addresses.
	Network() resource.Network
	// Check validates canonical arguments against the Tool's schema; kind Invalid.
	Check(tool string, args json.RawMessage) error
	// Render makes the request of a Tool and checked arguments, without its
	// credential. reference is the Intent's id, sent where the Tool's rule names
	// a header for it. The same input gives the same Request.
	Render(tool string, args json.RawMessage, reference string) (intent.Request, error)
	// Do sends a rendered request through a door, once: no retry, no redirect.
	// Who may call it again, and after which Answer, is package commit's to say.
	Do(ctx context.Context, door http.RoundTripper, call Call) Answer
}

// Call is one call to be made.
type Call struct {
	Tool    string
	Request intent.Request // as Render made it
	// Credential names whose credential the door puts in, down to its version; it
	// is no secret. What a system gives to one (a session, a list) is never used
	// with another.
	Credential string
}

// Answer is what came of a call.
type Answer struct {
	Outcome Outcome
	Status  int             // of an HTTP answer
	Type    string          // its media type
	Body    json.RawMessage // JSON; a text is a JSON string; scrubbed by the door
	Usage   *Usage          // of a model's completion
	Err     error           // why not, when Outcome is not Done; a fault
	// RetryAfter is how long the system asks to be left alone; zero: it doesn't.
	RetryAfter time.Duration
	// Passing says that the same call may do better soon: there was no connection,
	// or it was cut before a byte of an answer, or the system asks to be called
	// again (429 or 503 with a Retry-After). An answer that is wrong in any other
	// way is not.
	Passing bool
	// Notice is what a person has to see about the system; nil: nothing.
	Notice *Notice
}

// Notice is something about a system that no call settles, for a person.
type Notice struct {
	Kind NoticeKind
	Tool string // as the system calls it
	// Pinned and Seen are a tool's definitions: the accepted one, and the one that
	// the system has now; empty: it has none. Of Asks, Seen is what it asks.
	Pinned, Seen json.RawMessage
	Why          string // one sentence, with nothing of the system's in it
}

// NoticeKind is what a Notice is about.
type NoticeKind string

// The kinds of Notice.
const (
	Changed NoticeKind = "changed" // a tool's definition is not the one that is pinned
	Asks    NoticeKind = "asks"    // the system wants something of a person or of a model
)

// Usage is what a completion took.
type Usage struct {
	InputTokens  int64   `json:"inputTokens"`
	OutputTokens int64   `json:"outputTokens"`
	CostUSD      float64 `json:"costUSD"`
}

// Outcome classifies an answer from the write's point of view.
type Outcome string

// The outcomes.
const (
	// Done: the system said yes.
	Done Outcome = "done"
	// Refused: the system said no, by contract (a 4xx): definite, not applied.
	Refused Outcome = "refused"
	// NotSent: not one byte of the request was written.
	NotSent Outcome = "not_sent"
	// Unclear: bytes left, and no answer says what became of them (cut, timed
	// out, 5xx, an answer that can't be read). A read simply failed.
	Unclear Outcome = "unclear"
)

// Surveyor is a Kind whose system can be asked what it offers.
type Surveyor interface {
	// Survey asks through a door, and calls no Tool.
	Survey(ctx context.Context, door http.RoundTripper, credential string) (Survey, error)
}

// Survey is what a system offers now.
type Survey struct {
	Protocol string   // the version that it speaks
	Document []byte   // its definitions, as they would be pinned
	Notices  []Notice // what differs from the pins
	// Last are the last lines of a child's standard error, scrubbed; also beside an
	// error.
	Last []string
}
