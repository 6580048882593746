// Package plain is where plaintext lives: the bytes of a Secret's field while a
// door is open, and the root key while the vault is unsealed.
//
// It refuses to give bytes to whoever merely holds a [Value]. A Value has no
// method that reads it, and the functions that do are functions of this package,
// which the compiler lets nothing outside internal/vault import: a Value that
// strays into another package is an opaque box there.
//
// # Security
//
// A Value prints, logs and marshals as a fixed word, with every verb and every
// encoder: fmt and encoding/json would otherwise reach its bytes by reflection.
// [Do] erases what a computation leaves on stack and heap where the program was
// built with GOEXPERIMENT=runtimesecret; elsewhere it only calls. Strings that
// net/http needs (a header's value) can't be erased and live until collected.
package plain

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// redacted is all that any printing of plaintext shows.
const redacted = "[secret]"

// Value is plaintext. The zero Value is empty. Copies share their bytes.
type Value struct {
	// A function, since reflection (a deep printer, or fmt where the Value is in
	// an unexported field and its Format can't be called) neither looks into a
	// closure nor calls this.
	get func() []byte
}

// New takes ownership of b: the caller neither keeps nor changes it.
func New(b []byte) Value { return Value{func() []byte { return b }} }

// Bytes lends v's bytes: not to be kept, changed or converted to a string that
// outlives the use.
func Bytes(v Value) []byte {
	if v.get == nil {
		return nil
	}
	return v.get()
}

// Wipe zeroes the bytes of v and of every copy of it.
func Wipe(v Value) { clear(Bytes(v)) }

// Format prints the fixed word, whatever the verb.
func (Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue logs the fixed word.
func (Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// errOpaque is what every encoder gets.
var errOpaque = errors.New("plaintext is not encoded")

// MarshalJSON always fails.
func (Value) MarshalJSON() ([]byte, error) { return nil, errOpaque }

// MarshalText always fails.
func (Value) MarshalText() ([]byte, error) { return nil, errOpaque }

// GobEncode always fails.
func (Value) GobEncode() ([]byte, error) { return nil, errOpaque }
