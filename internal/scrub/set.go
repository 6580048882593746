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
	"runtime"
	"slices"
	"strings"
	"sync"

	"sallyport.dev/internal/crash"
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
	marks []string // per secret: what is written in its place; the last is for what can't be searched
	names []string // per secret
	index
	idle sync.Pool // of *scanner
	// recent has the patterns of secrets that were added since, few enough to be
	// indexed anew with each. The names and marks of all are here.
	recent *engine
}

// index makes patterns searchable. It is never changed.
type index struct {
	pats    patterns
	secrets int // how many they are of
	longest int // the length of the longest
	banks   []bank
	prefix  prefixes
	signs   *signs
	reach   [256]int // by byte: the length of the longest pattern that has it
	maxLen  int      // the greatest of those
}

// Build derives the patterns of all secrets. It keeps no reference to the
// values. Errors are fault.Invalid and never hold a value.
func Build(secrets []Secret) (*Set, error) {
	if len(secrets) == 0 {
		return &Set{}, nil
	}
	e := &engine{}
	made, err := e.add(secrets)
	if err != nil {
		return nil, err
	}
	if e.index, err = newIndex(len(secrets), made...); err != nil {
		return nil, err
	}
	e.name(nil)
	return &Set{get: func() *engine { return e }}, nil
}

// maxRecent is how many secrets are added before all are indexed together.
const maxRecent = 64

// Extend gives a Set that has more secrets, at a cost that mostly depends on how
// many are added and not on how many there are. s stays as it is.
func Extend(s *Set, more []Secret) (*Set, error) {
	old := s.engine()
	if old == nil || len(more) == 0 {
		if old == nil {
			return Build(more)
		}
		return s, nil
	}
	e := &engine{names: slices.Clone(old.names[:len(old.names)-1]), index: old.index}
	made, err := e.add(more)
	if err != nil {
		return nil, err
	}
	n := len(e.names) - old.secrets
	if old.recent != nil {
		made = append([]patterns{old.recent.pats}, made...)
	}
	if n > maxRecent {
		e.index, err = newIndex(len(e.names), append([]patterns{old.pats}, made...)...)
	} else {
		e.recent = &engine{}
		e.recent.index, err = newIndex(n, made...)
	}
	if err != nil {
		return nil, err
	}
	e.name(old.marks[:len(old.marks)-1])
	return &Set{get: func() *engine { return e }}, nil
}

// add takes up the names of secrets, and gives their patterns.
func (e *engine) add(secrets []Secret) ([]patterns, error) {
	first := len(e.names)
	for _, s := range secrets {
		if err := checkName(s.Name); err != nil {
			return nil, err
		}
		if err := checkLen(bytes.TrimSpace(s.Value)); err != nil {
			return nil, fault.Wrap(fault.Invalid, "secret "+s.Name, err)
		}
		e.names = append(e.names, s.Name)
	}
	return inParts(len(secrets), func(i, end int) []patterns {
		var f forge
		for ; i < end; i++ {
			f.add(bytes.TrimSpace(secrets[i].Value), int32(first+i))
		}
		return []patterns{f.made}
	}), nil
}

// newIndex is of the patterns of n secrets.
func newIndex(n int, made ...patterns) (index, error) {
	pats, err := ordered(made...)
	if err != nil {
		return index{}, err
	}
	x := index{pats: pats, secrets: n}
	for i := range pats.list {
		x.longest = max(x.longest, int(pats.list[i].n))
	}
	var wg crash.Group
	wg.Go(func() {
		x.prefix, x.signs = buildPrefixes(&x.pats), buildSigns(&x.pats)
		x.reach, x.maxLen = reaches(&x.pats)
	})
	x.banks = buildBanks(&x.pats)
	wg.Wait()
	return x, nil
}

// partSize is from how many items on two processors share work.
const partSize = 256

// inParts has f work on the parts of n items side by side, and gives what they
// made in the order of the items.
func inParts[T any](n int, f func(from, to int) []T) []T {
	parts := max(1, min(runtime.GOMAXPROCS(0), n/partSize))
	made := make([][]T, parts)
	var wg crash.Group
	for k := range parts {
		wg.Go(func() { made[k] = f(k*n/parts, (k+1)*n/parts) })
	}
	wg.Wait()
	if parts == 1 {
		return made[0]
	}
	return slices.Concat(made...)
}

// hidden is the mark of a secret whose name is not shown.
const hidden = "[secret]"

// name makes the replacements. A name that holds a secret (somebody mistook the
// fields of a form) is not shown, nor again when it was not before.
func (e *engine) name(before []string) {
	e.names = append(e.names, unreadable)
	e.marks = make([]string, len(e.names))
	e.marks[len(e.marks)-1] = "[withheld: it unpacks to too much]"
	var sc scanner
	for i, n := range e.names[:len(e.names)-1] {
		e.marks[i] = "[secret:" + n + "]"
		if i < len(before) && before[i] == hidden {
			e.marks[i] = hidden
		} else if sc.scan(e, []byte(e.marks[i]), true); len(sc.found) > 0 {
			e.marks[i], e.names[i] = hidden, "secret"
		}
	}
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
