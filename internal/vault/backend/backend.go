// Package backend is the contract of what keeps values outside of our own store:
// Vault and OpenBao, a cloud's secret manager, Kubernetes, a file. A Secret's
// version can be a pointer to such a place; the vault asks for the value when it
// is used.
//
// A Backend fetches what is at one path, and says which version it gave and until
// when it holds. It interprets nothing, keeps no value and retries nothing but a
// sign-in that had ended: caching, deadlines, sharing of one question among many
// uses and what happens in an outage are the vault's.
//
// It refuses an answer that is not the one that was asked for: of another path,
// another version or another form, longer than [MaxAnswer], or repeated members in
// its JSON. Each error has a [Reason], since they mean different things: what is
// missing or refused ends the use of a value at once, what is only away doesn't.
//
// # Security
//
// Plaintext leaves as a plain.Value alone, which is opaque outside of
// internal/vault. An error repeats nothing that a server wrote: it has the
// plaintext in its hands. What a backend signs in with comes from the server's own
// file and from files that this names, never from a resource.
package backend

import (
	"context"
	"errors"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/plain"
)

// MaxAnswer is the most bytes of an answer.
const MaxAnswer = 1 << 20

// Whole is the name of the field that is all of what is kept at a path, where a
// backend keeps one value there.
const Whole = ""

// Backend is one place that keeps values.
type Backend interface {
	// Named says that there are named fields at a path, and not one value.
	Named() bool
	// Check refuses a path or a version that could not be one here. Invalid.
	Check(a Ask) error
	// Fetch reads what is there now. Its errors are an *Error.
	Fetch(ctx context.Context, a Ask) (Answer, error)
}

// Writer is a Backend that can keep a value that is given to it.
type Writer interface {
	Backend
	// Create keeps the fields at a path where nothing is. What is there already is
	// never overwritten: that is a [Taken].
	Create(ctx context.Context, path string, fields map[string]plain.Value) error
}

// Ask says what to fetch.
type Ask struct {
	Path string
	// Version is what the backend calls a version; empty: the newest.
	Version string
}

// Answer is what was there. Who has it wipes it.
type Answer struct {
	// Fields are by the backend's own names. Of a backend that keeps one value at a
	// path, Whole is that value; where it is a JSON object of texts, they are there
	// too.
	Fields map[string]plain.Value
	// Version names what was given, so that it can be found again: printable ASCII,
	// at most 128 bytes, nothing of the value. Empty: the backend has no versions.
	Version string
	// NotAfter is when the value ends by itself; zero: it doesn't.
	NotAfter time.Time
	// Lease is of a value that was made for this question.
	Lease Lease
}

// Lease names a value that a backend made, to be renewed or revoked. The zero
// Lease is of a value that was there before.
type Lease struct {
	ID        string
	For       time.Duration
	Renewable bool
}

// Wipe zeroes an answer's values.
func (a Answer) Wipe() {
	for _, v := range a.Fields {
		plain.Wipe(v)
	}
}

// Reason sorts what can go wrong.
type Reason string

// The reasons.
const (
	Missing   Reason = "missing"   // there is nothing at the path, or not that version
	Refused   Reason = "refused"   // the backend knows us and does not give it, or doesn't know us
	Throttled Reason = "throttled" // it asks to be asked later
	Away      Reason = "away"      // it does not answer, is sealed, on standby, or broken
	Behind    Reason = "behind"    // it answers, and the system behind it, which makes or ends values, does not
	Wrong     Reason = "wrong"     // what it answered is not an answer to the question
	Taken     Reason = "taken"     // of a Create: something is there
)

var kinds = map[Reason]fault.Kind{
	Missing: fault.NotFound, Refused: fault.Denied, Throttled: fault.Unavailable, Away: fault.Unavailable, Behind: fault.Unavailable, Wrong: fault.Unavailable, Taken: fault.Conflict,
}

// Error is why a value could not be fetched.
type Error struct {
	Reason Reason
	After  time.Duration // of a Throttled: when to ask again; 0: it doesn't say
	cause  *fault.Error
}

// Fail makes an Error. msg repeats nothing that the backend wrote.
func Fail(r Reason, msg string) *Error { return &Error{Reason: r, cause: fault.New(kinds[r], msg)} }

// FailOf is Fail with another error's message and hint after msg, or without one, alone.
func FailOf(r Reason, msg string, err error) *Error {
	if msg != "" {
		msg += ": "
	}
	return Fail(r, msg+err.Error()).WithHint(fault.HintOf(err))
}

// WithHint gives a copy with a hint for a person.
func (e *Error) WithHint(hint string) *Error {
	c := *e
	c.cause = e.cause.WithHint("%s", hint)
	return &c
}

// Later gives a copy that says when to ask again.
func (e *Error) Later(d time.Duration) *Error {
	c := *e
	c.After = d
	return &c
}

// Error is the message.
func (e *Error) Error() string { return e.cause.Error() }

// Unwrap gives the fault.
func (e *Error) Unwrap() error { return e.cause }

// ReasonOf is an error's reason. What has none is Away.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return Away
}

// Bounds of what a pointer can say.
const (
	maxPath    = 512
	maxVersion = 128
)

// CheckPath refuses what is no path anywhere: segments of letters, digits and
// _+=.@:- between slashes, none of them empty or of dots alone. Nothing of that is
// escaped in a URL's path, or leads out of a directory.
func CheckPath(path string) error {
	bad := fault.New(fault.Invalid, "the path in the backend is not one of plain segments").
		WithHint("it has letters, digits and _+=.@:- between single slashes, at most 512 bytes, like team/crm/token")
	if path == "" || len(path) > maxPath || strings.ContainsFunc(path, notInPath) {
		return bad
	}
	for s := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if strings.Trim(s, ".") == "" {
			return bad
		}
	}
	return nil
}

func notInPath(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_+=.@:/-", r)
}

// CheckVersion refuses what no backend calls a version.
func CheckVersion(version string) error {
	if len(version) > maxVersion || strings.ContainsFunc(version, func(r rune) bool { return notInPath(r) || r == '/' }) {
		return fault.New(fault.Invalid, "the version in the backend is not a plain word")
	}
	return nil
}
