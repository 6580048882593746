// Package fault is the closed set of kinds that every error of the product
// belongs to. A kind is decided where the error is made, wrapped with what was
// being done on the way up, and mapped exactly once at each edge: to an HTTP
// status and problem+json, to an exit code, to the text a Worker reads.
//
// It refuses to carry foreign text at length: [Quote] cuts what somebody else
// wrote to 80 bytes, so that an error can't become a channel for a body.
//
// # Security
//
// A fault's message and hint are shown to people, Workers and logs. Whoever
// makes one never puts a secret in it, and an error without a kind is
// [Internal]: the edge then shows a fixed sentence and nothing of the error.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind says what went wrong in the terms that a caller can act upon.
type Kind string

// The kinds. The set is closed: a switch over it is exhaustive.
const (
	// Internal is the zero answer: an error that nobody classified.
	Internal Kind = "internal"
	// Invalid: the input is wrong; the same call can't succeed unchanged.
	Invalid Kind = "invalid"
	// Unauthenticated: who calls is not known; sign in.
	Unauthenticated Kind = "unauthenticated"
	// Denied: who calls is known and may not do this.
	Denied Kind = "denied"
	// NotFound: the thing named does not exist for this caller.
	NotFound Kind = "not_found"
	// Pending: the action waits for a person's Decision; nothing was executed.
	Pending Kind = "pending"
	// Conflict: the thing has changed, or the step was taken by somebody else.
	Conflict Kind = "conflict"
	// Limit: a limit on turns, size, rate or cost is reached.
	Limit Kind = "limit"
	// Unavailable: a part or a system that is needed does not answer; nothing
	// was done, and a later try may succeed.
	Unavailable Kind = "unavailable"
	// Unknown: bytes of a write left and its outcome is not known. Never
	// retried blindly.
	Unknown Kind = "unknown_outcome"
)

// Error is an error with a kind. Its zero value is not useful; use [New],
// [Newf] or [Wrap].
type Error struct {
	Kind Kind
	Msg  string // lower case, no full stop, says what to do where it can
	Hint string // one more sentence for a person, may be empty
	Err  error  // the cause, may be nil
}

// Error is the message, then the cause's.
func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.Msg
	case e.Msg == "":
		return e.Err.Error()
	}
	return e.Msg + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an error of a kind.
func New(k Kind, msg string) *Error { return &Error{Kind: k, Msg: msg} }

// Newf makes an error of a kind with a formatted message.
func Newf(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Msg: fmt.Sprintf(format, args...)}
}

// Wrap adds what was being done to err and gives it a kind. A nil err stays nil.
func Wrap(k Kind, op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: k, Msg: op, Err: err, Hint: HintOf(err)}
}

// WithHint returns a copy of e with a hint for a person.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// KindOf is the kind of the outermost fault in err's chain, [Internal] when
// there is none, and "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// Is reports whether err's kind is k.
func Is(err error, k Kind) bool { return err != nil && KindOf(err) == k }

// HintOf is the outermost hint in err's chain, or "".
func HintOf(err error) string {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// maxQuote is how many bytes of somebody else's text an error may repeat.
const maxQuote = 80

// Quote prepares foreign text for an error: one line, printable (no control or
// direction characters), at most 80 bytes. The text has to be scrubbed before, where it could hold a secret.
func Quote(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= maxQuote {
		return s
	}
	cut := maxQuote - len("…")
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
