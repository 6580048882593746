// Package scrub takes known secrets out of whatever leaves the Boundary: the
// bytes of an answer as they stream by, its headers, an Observation, an error,
// a log record. It finds each secret raw (in any case), reversed, in UTF-16, in
// hex, as a list of byte numbers, in base32 and base64 at every alignment, once
// or twice, and behind the escapes of JSON, URLs, HTML and source code, mixed and nested, split over any
// chunks. It is a pure function of its inputs: no network, disk or clock.
//
// It refuses values that can't be protected ([Check]): too short, too easy to
// guess, or an ordinary word, which would damage every text that has the word.
// It doesn't know secrets that nobody told it, and doesn't find what a system
// computed from a secret: what stops that is that a credential goes to its
// declared position at its declared host only. Of a long random secret a part is
// found too (see fragment), cut at any place in a whole text, cut at its end in a
// stream; of others, only the whole. White space inside a secret, base64 of what
// was escaped before, and compressed data are seen through in whole texts only.
// Of base64, up to four bits at each edge of a secret stay, since they share a
// character with what stands beside it.
//
// # Security
//
// A [Set] knows every secret of a tenant. It gives none back: no method,
// format or encoding shows a pattern, and reflection meets a function only.
// Text is replaced before anything is cut to a length, and no number of hits is
// too many. Doubt is resolved by withholding: what can't be rendered for a log
// is left out with a reason, and a header whose name holds a secret is dropped.
package scrub

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"sallyport.dev/internal/fault"
)

// Secret is one value to find, and the name that is shown in its place. Many
// may share a name: versions, fields, the lines of a key, derived values.
type Secret struct {
	Name  string // 1 to 120 printable ASCII bytes without brackets, like "erp-read"
	Value []byte // MinLen to MaxLen bytes; space around it is not part of it
}

// maxName bounds what is written in place of a secret.
const maxName = 120

// Set is an immutable set of secrets, ready for searching by any number of
// goroutines. A nil or zero Set finds nothing.
type Set struct {
	// A function, since reflection (a debug dump, a deep printer) can read
	// unexported fields, but can neither look into a closure nor call this.
	get func() *engine
}

// engine is what a Set knows.
type engine struct {
	marks  []string // per secret: what is written in its place
	names  []string // per secret
	pats   []pattern
	banks  []bank
	prefix prefixes
	reach  [256]int  // by byte: the length of the longest pattern that has it
	maxLen int       // the greatest of those
	idle   sync.Pool // of *scanner
}

// Build derives the patterns of all secrets. It keeps no reference to the
// values. Errors are fault.Invalid and never hold a value.
func Build(secrets []Secret) (*Set, error) {
	if len(secrets) == 0 {
		return &Set{}, nil
	}
	e := &engine{}
	seen := make(map[string]bool)
	for i, s := range secrets {
		if err := checkName(s.Name); err != nil {
			return nil, err
		}
		v := bytes.TrimSpace(s.Value)
		if err := checkLen(v); err != nil {
			return nil, fault.Wrap(fault.Invalid, "secret "+s.Name, err)
		}
		e.names = append(e.names, s.Name)
		for _, p := range patterns(v, int32(i)) {
			if !seen[string(p.text)] {
				seen[string(p.text)] = true
				e.pats = append(e.pats, p)
			}
		}
	}
	e.names = append(e.names, unreadable) // last, for what can't be searched
	e.banks = buildBanks(e.pats)
	e.prefix = buildPrefixes(e.pats)
	e.reach, e.maxLen = reaches(e.pats)
	e.marks = e.buildMarks()
	return &Set{get: func() *engine { return e }}, nil
}

// buildMarks makes the replacements. A name that holds a secret (somebody
// mistook the fields of a form) is not shown.
func (e *engine) buildMarks() []string {
	marks := make([]string, len(e.names))
	marks[len(marks)-1] = "[withheld: it unpacks to too much]"
	for i, n := range e.names[:len(marks)-1] {
		marks[i] = "[secret:" + n + "]"
		var sc scanner
		if sc.scan(e, []byte(marks[i]), true); len(sc.found) > 0 {
			marks[i], e.names[i] = "[secret]", "secret"
		}
	}
	return marks
}

func checkName(n string) error {
	bad := func(r rune) bool { return r <= ' ' || r > '~' || r == '[' || r == ']' }
	if n == "" || len(n) > maxName || strings.ContainsFunc(n, bad) {
		return fault.Newf(fault.Invalid, "a secret's name has to be 1 to %d printable ASCII characters without spaces and brackets", maxName)
	}
	return nil
}

// engine is nil when there is nothing to find.
func (s *Set) engine() *engine {
	if s == nil || s.get == nil {
		return nil
	}
	return s.get()
}

// Len is the number of secrets.
func (s *Set) Len() int {
	if e := s.engine(); e != nil {
		return len(e.names) - 1
	}
	return 0
}

const opaque = "scrub.Set"

// GoString names the type, whatever the set knows.
func (s *Set) GoString() string { return opaque }

// Format writes the type for every verb and flag.
func (s *Set) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, opaque) }

// MarshalJSON is the type as a JSON string; a Set is never serialised.
func (s *Set) MarshalJSON() ([]byte, error) { return []byte(`"` + opaque + `"`), nil }

// MarshalText is the type, for encoders other than JSON's.
func (s *Set) MarshalText() ([]byte, error) { return []byte(opaque), nil }

// LogValue is the type.
func (s *Set) LogValue() slog.Value { return slog.StringValue(opaque) }
