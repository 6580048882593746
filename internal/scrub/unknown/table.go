package unknown

import (
	_ "embed" // the tables are part of the program
	"fmt"
	"strconv"
	"strings"
	"sync"
)

//go:embed tokens.txt
var tokensTable string

//go:embed assignments.txt
var assignmentsTable string

// token is a line of tokens.txt with one choice of its alternatives.
type token struct {
	pattern
	rule    int32
	conf    Confidence // when there is no checksum, or a wrong one
	entropy float64
	check   string
}

// assignment is a line of assignments.txt.
type assignment struct {
	rule     int32
	words    []string // lower case
	patterns []pattern
	entropy  float64
}

// table is every rule: what the two files say, and what is code.
type table struct {
	rules       []Rule
	tokens      []token
	assignments []assignment
}

// builtin are the rules that are code: structures that a line can't say.
var builtin = []Rule{
	{"private-key", "key", Sure},
	{"putty-private-key", "key", Sure},
	{"jwt", "http", Sure},
	{"authorization-header", "http", Likely},
	{"bearer-token", "http", Likely},
	{"cookie", "http", Likely},
	{"url-password", "dsn", Likely},
	{"dsn-password", "dsn", Likely},
	{"curl-user", "http", Likely},
	{"kubernetes-secret", "key", Likely},
	{"password", "generic", Likely},
	{"generic-secret", "generic", Likely},
}

// theTable is read once; a test reads it too, so that a mistake in it is found
// before a program starts.
var theTable = sync.OnceValue(func() *table {
	t, err := parseTable(tokensTable, assignmentsTable)
	if err != nil {
		panic("unknown: the rules: " + err.Error())
	}
	return t
})

func parseTable(tokens, assignments string) (*table, error) {
	t := &table{rules: append([]Rule(nil), builtin...)}
	if err := eachLine(tokens, 4, t.addToken); err != nil {
		return nil, fmt.Errorf("tokens.txt: %w", err)
	}
	if err := eachLine(assignments, 4, t.addAssignment); err != nil {
		return nil, fmt.Errorf("assignments.txt: %w", err)
	}
	return t, nil
}

// eachLine calls f with the fields of every line that is not a comment.
func eachLine(text string, least int, f func([]string) error) error {
	n := 0
	for line := range strings.Lines(text) {
		n++
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		if len(fields) < least {
			return fmt.Errorf("line %d: fewer than %d fields", n, least)
		}
		if err := f(fields); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return nil
}

// rule gives the number of a rule, which has the same family wherever it stands.
// A rule of several lines is as sure as the surest of them.
func (t *table) rule(name, family string, c Confidence) (int32, error) {
	for i := range t.rules {
		r := &t.rules[i]
		if r.Name != name {
			continue
		}
		if r.Family != family {
			return 0, fmt.Errorf("rule %s is of the families %s and %s", name, r.Family, family)
		}
		r.Confidence = max(r.Confidence, c)
		return int32(i), nil
	}
	t.rules = append(t.rules, Rule{name, family, c})
	return int32(len(t.rules) - 1), nil
}

func (t *table) addToken(f []string) error {
	c, ok := map[string]Confidence{"sure": Sure, "likely": Likely}[f[2]]
	if !ok {
		return fmt.Errorf("%q is neither sure nor likely", f[2])
	}
	opts, err := parseOptions(f[4:])
	if err != nil {
		return err
	}
	most := c
	if opts.check != "" {
		most = Sure
	}
	rule, err := t.rule(f[1], f[0], most)
	if err != nil {
		return err
	}
	patterns, err := parsePatterns(f[3])
	if err != nil {
		return err
	}
	for _, p := range patterns {
		if p.anchor < 0 {
			return fmt.Errorf("%q has no text to search for", f[3])
		}
		p.fold, p.free, p.pad, p.after = opts.fold, opts.free, opts.pad, opts.after
		for i := range p.parts {
			if p.fold {
				p.parts[i].text = strings.ToLower(p.parts[i].text)
			}
		}
		t.tokens = append(t.tokens, token{p, rule, c, opts.entropy, opts.check})
	}
	return nil
}

func (t *table) addAssignment(f []string) error {
	opts, err := parseOptions(f[4:])
	if err != nil {
		return err
	}
	rule, err := t.rule(f[1], f[0], Likely)
	if err != nil {
		return err
	}
	a := assignment{rule: rule, words: strings.Split(f[2], "|"), entropy: opts.entropy}
	for _, s := range strings.Split(f[3], ",") {
		p, err := parsePatterns(s)
		if err != nil {
			return err
		}
		a.patterns = append(a.patterns, p...)
	}
	t.assignments = append(t.assignments, a)
	return nil
}

// options are what a line ends with.
type options struct {
	entropy                float64
	check                  string
	fold, free, pad, after bool
}

func parseOptions(fields []string) (o options, err error) {
	for _, f := range fields {
		key, val, _ := strings.Cut(f, "=")
		switch key {
		case "entropy":
			if o.entropy, err = strconv.ParseFloat(val, 64); err != nil {
				return o, err
			}
		case "check":
			if checks[val] == nil {
				return o, fmt.Errorf("no check is called %q", val)
			}
			o.check = val
		case "fold":
			o.fold = true
		case "free":
			o.free = true
		case "pad":
			o.pad = true
		case "after":
			o.after = true
		default:
			return o, fmt.Errorf("no option is called %q", key)
		}
	}
	return o, nil
}
