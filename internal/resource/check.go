package resource

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// Problem is one thing that is wrong with a resource: where, and why.
type Problem struct {
	// Path leads to the field as it is written in YAML: "auth.scheme",
	// "decisions[1].team", "http.tools.createVendor.lookup".
	Path string
	Err  *fault.Error // kind Invalid
}

// Error is "path: message".
func (p Problem) Error() string { return p.Path + ": " + p.Err.Error() }

// Unwrap gives the fault, so that its kind and hint are found.
func (p Problem) Unwrap() error { return p.Err }

// Problems lists the problems in an error that [Resource.Check] returned.
func Problems(err error) []Problem {
	var out []Problem
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case nil:
	case Problem:
		out = append(out, e)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			out = append(out, Problems(err)...)
		}
	case interface{ Unwrap() error }:
		out = Problems(e.Unwrap())
	}
	return out
}

// checker collects problems.
type checker struct{ errs []error }

func (c *checker) add(path string, err error) {
	if err == nil {
		return
	}
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		f = fault.New(fault.Invalid, err.Error())
	}
	c.errs = append(c.errs, Problem{path, f})
}

func (c *checker) addf(path, format string, args ...any) {
	c.add(path, fault.Newf(fault.Invalid, format, args...))
}

func (c *checker) hint(path, hint, format string, args ...any) {
	c.add(path, fault.Newf(fault.Invalid, format, args...).WithHint("%s", hint))
}

func (c *checker) err() error { return errors.Join(c.errs...) }

// Limits on what a resource may hold; a configuration that a person can't read
// is not one that a person approved.
const (
	maxTitle       = 200
	maxDescription = 4 << 10
	maxGoal        = 16 << 10
	maxCedar       = 64 << 10
	maxList        = 200
	maxToolName    = 128
)

// head checks what every resource begins with.
func (c *checker) head(h Head, want Kind) {
	if h.APIVersion != APIVersion {
		c.hint("apiVersion", "write apiVersion: "+APIVersion, "the version %q is not understood", fault.Quote(h.APIVersion))
	}
	if h.Kind != want {
		c.addf("kind", "%q is not the kind %s", fault.Quote(string(h.Kind)), want)
	}
	c.add("name", ident.CheckName(h.Name))
	c.text("title", h.Title, maxTitle)
	c.text("description", h.Description, maxDescription)
}

func (c *checker) text(path, s string, limit int) {
	if len(s) > limit {
		c.addf(path, "is longer than %d bytes", limit)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0x7f }) {
		c.addf(path, "has a control character")
	}
}

func (c *checker) required(path, s string, limit int) {
	if strings.TrimSpace(s) == "" {
		c.addf(path, "is missing")
	}
	c.text(path, s, limit)
}

// names checks a list of resource names: their form, and that none is repeated.
func (c *checker) names(path string, list []string) {
	c.list(path, list, ident.CheckName)
}

func (c *checker) list(path string, list []string, check func(string) error) {
	if len(list) > maxList {
		c.addf(path, "has more than %d entries", maxList)
		return
	}
	seen := map[string]bool{}
	for i, s := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		c.add(at, check(s))
		if seen[s] {
			c.addf(at, "%q is listed twice", fault.Quote(s))
		}
		seen[s] = true
	}
}

// duration checks lo <= d <= hi; zero is the default and always fine.
func (c *checker) duration(path string, d Duration, lo, hi time.Duration) {
	if v := time.Duration(d); v != 0 && (v < lo || v > hi) {
		c.addf(path, "is not between %s and %s", Duration(lo), Duration(hi))
	}
}

func (c *checker) between(path string, v, hi int64) {
	if v < 0 || v > hi {
		c.addf(path, "is not between 0 and %d", hi)
	}
}

// String writes "30s", "1h30m" or "168h": no zero units.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

func checkTool(s string) error {
	switch {
	case s == "":
		return fault.New(fault.Invalid, "the tool's name is empty")
	case len(s) > maxToolName:
		return fault.Newf(fault.Invalid, "the tool's name is longer than %d bytes", maxToolName)
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fault.Newf(fault.Invalid, "%q is not a tool's name", fault.Quote(s)).WithHint("a tool is named by its operationId")
	}
	return nil
}

var identifier = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]{0,39}$`)

func checkIdentifier(s string) error {
	if !identifier.MatchString(s) {
		return fault.Newf(fault.Invalid, "%q is not a field's name", fault.Quote(s)).WithHint("use letters, digits and _, a letter first, like vat_id")
	}
	return nil
}

// Check is of kind Invalid; see [Resource].
func (t *Team) Check() error {
	var c checker
	c.head(t.Head, KindTeam)
	if len(t.Members) == 0 {
		c.hint("members", "list the account names of the people who may decide", "a team without members can't decide anything")
	}
	c.list("members", t.Members, checkAccount)
	c.secrets(t)
	return c.err()
}

func checkAccount(s string) error {
	if s == "" || len(s) > 100 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fault.Newf(fault.Invalid, "%q is not an account's name", fault.Quote(s))
	}
	return nil
}

// Check is of kind Invalid; see [Resource]. Whether the text is Cedar that
// fits the tools is package policy's question.
func (p *Policy) Check() error {
	var c checker
	c.head(p.Head, KindPolicy)
	if p.Integration != "" {
		c.add("integration", ident.CheckName(p.Integration))
	}
	c.required("cedar", p.Cedar, maxCedar)
	c.secrets(p)
	return c.err()
}
