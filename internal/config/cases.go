package config

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"time"

	"sallyport.dev/internal/fault"
)

// Case is one line of a table that policies are tried with: a call, and what policy
// has to say about it.
type Case struct {
	Name       string               `yaml:"name"`
	Mission    string               `yaml:"mission"`
	Connection string               `yaml:"connection"`
	Tool       string               `yaml:"tool"`
	Args       json.RawMessage      `yaml:"args,omitempty"`      // a mapping
	Starter    string               `yaml:"starter,omitempty"`   // account id
	Worker     string               `yaml:"worker,omitempty"`    // built-in, if nothing is said, or outside
	At         string               `yaml:"at,omitempty"`        // RFC 3339; CaseTime, if nothing is said
	Source     string               `yaml:"source,omitempty"`    // an IP address; not known, if nothing is said
	Untrusted  []string             `yaml:"untrusted,omitempty"` // JSON pointers of arguments that were seen in untrusted content first; none, if nothing is said
	Used       map[string]UsedUntil `yaml:"used,omitempty"`      // of limits, by the statement's "policy/id"; nothing, if nothing is said
	Want       string               `yaml:"want"`                // allow, ask or deny
	Approvers  []string             `yaml:"approvers,omitempty"`
	Passkey    *bool                `yaml:"passkey,omitempty"` // whether an approval takes one
	Expires    string               `yaml:"expires,omitempty"` // how long the Decision may wait, like 48h
	Reasons    []string             `yaml:"reasons,omitempty"`
	Observed   []string             `yaml:"observed,omitempty"` // ids of statements in observe mode that would change the verdict

	at     time.Time
	source netip.Addr
	places places
}

// UsedUntil is what was used of a statement's limits before the call.
type UsedUntil struct {
	Rate   int64           `yaml:"rate,omitempty"`   // calls
	Budget json.RawMessage `yaml:"budget,omitempty"` // a number: the sum of their amounts
}

// CaseTime is when a case takes place that does not say: a Monday at noon.
var CaseTime = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// Time is when the case takes place.
func (c Case) Time() time.Time { return c.at }

// From is where its request comes from; invalid when that is not known.
func (c Case) From() netip.Addr { return c.source }

// Wrong is an error about one of its fields, with its place.
func (c Case) Wrong(field string, f *fault.Error) *Error { return c.places.at(field).err(f) }

// Place is where the case stands: file and line.
func (c Case) Place() (file string, line int) {
	at := c.places.at("")
	return at.file, at.line
}

func (c Case) within(dir string) { c.places.within(dir) }

// maxCases bounds the cases of one file.
const maxCases = 10_000

// casesKey is how a file with cases begins a line, and no resource does.
var casesKey = regexp.MustCompile(`(?m)^cases:`)

func isCases(b []byte) bool { return casesKey.Match(b) && !kindKey.Match(b) }

// caseFile reads a file with cases: one mapping with the key cases.
func (l *loader) caseFile(name string, b []byte, listed bool) {
	if !l.opts.Cases {
		if !listed {
			l.add(place{file: name}, fault.New(fault.Invalid, "it has cases for policies, no resources").WithHint("try them with: sallyport policy test -f FILE"))
		}
		return
	}
	r := &reader{report: l.report, file: name, vars: l.opts.Vars}
	before := len(l.errs)
	docs := r.read(b)
	if len(l.errs) > before {
		l.unreadable = true
		return
	}
	if len(docs) != 1 {
		l.addf(place{file: name}, "it is not one document with cases")
		return
	}
	var file struct {
		Cases []Case `yaml:"cases"`
	}
	d := &decoder{report: l.report, places: places{}}
	d.decode(docs[0], reflect.ValueOf(&file).Elem(), "")
	list := docs[0].get("cases")
	if len(l.errs) > before || list == nil {
		return
	}
	if len(file.Cases) == 0 || len(file.Cases) > maxCases {
		l.addf(list.at, "it has no case, or more than %d", maxCases)
		return
	}
	for i := range file.Cases {
		c := &file.Cases[i]
		each := &decoder{report: l.report, places: places{}}
		each.decode(list.items[i], reflect.ValueOf(c).Elem(), "") // once more, for its places alone
		c.places = each.places
		l.check(c)
		if was := slices.IndexFunc(l.b.cases, func(o Case) bool { return o.Name == c.Name }); was >= 0 {
			file, line := l.b.cases[was].Place()
			l.addf(c.places.at("name"), "the case %q is here twice; the first is at %s:%d", fault.Quote(c.Name), file, line)
		}
		l.b.cases = append(l.b.cases, *c)
	}
}

// check checks what a case says by itself.
func (l *loader) check(c *Case) {
	at := c.places.at
	for field, v := range map[string]string{"name": c.Name, "mission": c.Mission, "connection": c.Connection, "tool": c.Tool, "want": c.Want} {
		if v == "" {
			l.addf(at(field), "the case has no %s", field)
		}
	}
	if c.Want != "" && !slices.Contains([]string{"allow", "ask", "deny"}, c.Want) {
		l.add(at("want"), fault.Newf(fault.Invalid, "%q is no verdict", fault.Quote(c.Want)).WithHint("%s", suggest(c.Want, []string{"allow", "ask", "deny"})))
	}
	if c.Worker == "" {
		c.Worker = "built-in"
	} else if c.Worker != "built-in" && c.Worker != "outside" {
		l.add(at("worker"), fault.Newf(fault.Invalid, "%q is no kind of Worker", fault.Quote(c.Worker)).WithHint("%s", suggest(c.Worker, []string{"built-in", "outside"})))
	}
	if len(c.Args) == 0 {
		c.Args = json.RawMessage("{}")
	} else if c.Args[0] != '{' {
		l.addf(at("args"), "the arguments are not a mapping")
	}
	var err error
	if c.at = CaseTime; c.At != "" {
		if c.at, err = time.Parse(time.RFC3339, c.At); err != nil {
			l.add(at("at"), fault.New(fault.Invalid, "it is not a time").WithHint("write it in quotes, like \"2026-01-05T12:00:00Z\""))
		}
	}
	if c.Expires != "" {
		if d, err := time.ParseDuration(c.Expires); err != nil || d <= 0 {
			l.add(at("expires"), fault.New(fault.Invalid, "it is not a duration").WithHint("write it like 15m or 48h"))
		}
	}
	if c.Source != "" {
		if c.source, err = netip.ParseAddr(c.Source); err != nil || c.source.Zone() != "" {
			l.addf(at("source"), "it is not an IP address")
		}
	}
}
