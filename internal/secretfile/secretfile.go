// Package secretfile reads files of Secrets that somebody wants to bring into the
// vault: .env files, and JSON. It finds every problem of a file before anything
// of it is used.
//
// It is stricter than what else reads .env files. Where the tools that read them
// disagree on what a value is (an unquoted #, $ or backslash, a backtick, an
// escape that few know), it refuses the line and says how to write it: a
// credential that is stored with one character too few is noticed when it is
// needed. It expands no variables and runs no commands. It refuses a name that
// occurs twice, and what is not UTF-8.
//
// # Security
//
// A problem has a line and a fixed sentence, and nothing of the file: what looks
// like a name may be a part of a value whose quotes are missing.
package secretfile

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// maxEntries is the most that a file may hold.
const maxEntries = 1000

// Entry is one Secret as the file has it.
type Entry struct {
	Key  string // the name in the file
	Line int    // from 1
	// Fields are the value: "token" where the file has one text.
	Fields map[string][]byte
	// Pointer says where the value is, in place of Fields. Only JSON can say it.
	Pointer     *Pointer
	Description string
	Owner       string
	Labels      map[string]string
	Scope       Scope
	Expires     string // as the file has it
}

// Pointer is a value that stays in a backend.
type Pointer struct {
	At        string            `json:"at"`        // BACKEND:PATH
	Fields    map[string]string `json:"fields"`    // what each field is called there
	Version   string            `json:"version"`   // as the backend calls it; empty: the newest
	Staleness string            `json:"staleness"` // a duration, as the file has it
}

// Scope says where the value may be used. Only JSON can say it.
type Scope struct {
	Origins, Integrations, Schemes, Methods, Missions []string
	AnyOrigin                                         bool
}

// Problem is what is wrong with a line.
type Problem struct {
	Line int    // from 1
	What string // a sentence's part, in lower case
	Hint string // what to do, or empty
}

// tokenField is the field of a value that is one text.
const tokenField = "token"

// Parse reads a file: JSON where it begins with a brace, else .env. There are
// entries or problems, never both. Each entry that can be read is given to check,
// also when others can't be, so that all problems are told together; what is not
// empty where it is refused, and repeats no value. check may be nil.
func Parse(b []byte, check func(Entry) (what, hint string)) ([]Entry, []Problem) {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	if i := badText(b); i >= 0 {
		return nil, []Problem{{lineAt(b, i), "there is a byte that is not text", "the file has to be UTF-8"}}
	}
	read := parseEnv
	if t := bytes.TrimSpace(b); len(t) > 0 && t[0] == '{' {
		read = parseJSON
	}
	entries, bad := read(b)
	seen := map[string]bool{}
	for _, e := range entries {
		if seen[e.Key] {
			bad = append(bad, Problem{e.Line, "the name was there before", "a name may occur once"})
		}
		seen[e.Key] = true
		if check == nil {
			continue
		}
		if what, hint := check(e); what != "" {
			bad = append(bad, Problem{e.Line, what, hint})
		}
	}
	slices.SortStableFunc(bad, func(a, b Problem) int { return a.Line - b.Line })
	switch {
	case len(bad) > 0:
		return nil, bad
	case len(entries) == 0:
		return nil, []Problem{{1, "there is nothing in it", "the file has lines like NAME=VALUE, or is a JSON object"}}
	case len(entries) > maxEntries:
		return nil, []Problem{{entries[maxEntries].Line, "there are more than 1000 values", "import it in parts"}}
	}
	return entries, nil
}

// badText is where b is not text, or -1.
func badText(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == 0 || r == utf8.RuneError {
			return i
		}
		i += n
	}
	return -1
}

// lineAt is the number of the line that has the byte at i.
func lineAt(b []byte, i int) int { return 1 + bytes.Count(b[:min(i, len(b))], []byte("\n")) }
