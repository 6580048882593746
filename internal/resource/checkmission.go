package resource

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// MaxDecision is the longest that an approval may be waited for.
const MaxDecision = 30 * 24 * time.Hour

// FieldTypes lists the types of a form's field; the first is the default.
var FieldTypes = []string{"text", "textarea", "number", "select", "email", "date"}

// Check is of kind Invalid; see [Resource].
func (m *Mission) Check() error {
	var c checker
	c.head(m.Head, KindMission)
	c.required("goal", m.Goal, maxGoal)
	c.form(m.Form)
	if m.Model != "" {
		c.add("model", ident.CheckName(m.Model))
	}
	if len(m.Connections) == 0 {
		c.hint("connections", "list the Connections that its Runs may use", "a Mission without Connections can't act")
	}
	c.names("connections", m.Connections)
	for i, r := range m.Decisions {
		c.decision(fmt.Sprintf("decisions[%d]", i), r, m.Connections)
	}
	c.limits(m.Limits)
	for i, s := range m.Schedule {
		c.schedule(fmt.Sprintf("schedule[%d]", i), s, m.Form)
	}
	c.names("starters", m.Starters)
	c.names("workers", m.Workers)
	c.workerLimits("workerLimits", m.WorkerLimits)
	if d := m.Retention.Days; d < 0 || d > 36500 {
		c.hint("retention.days", "leave it out to keep what the Runs said as long as the server does", "is a number of days, from 1 to 36500")
	}
	c.secrets(m)
	return c.err()
}

func (c *checker) form(form []Field) {
	if len(form) > 50 {
		c.addf("form", "has more than 50 fields")
		return
	}
	seen := map[string]bool{}
	for i, f := range form {
		path := fmt.Sprintf("form[%d]", i)
		c.add(path+".name", checkIdentifier(f.Name))
		if seen[f.Name] {
			c.addf(path+".name", "%q is listed twice", fault.Quote(f.Name))
		}
		seen[f.Name] = true
		c.field(path, f)
	}
}

func (c *checker) field(path string, f Field) {
	c.text(path+".label", f.Label, maxTitle)
	c.text(path+".help", f.Help, maxDescription)
	if f.Type != "" && !slices.Contains(FieldTypes, f.Type) {
		c.hint(path+".type", "write one of "+strings.Join(FieldTypes, ", "), "%q is not a field's type", fault.Quote(f.Type))
	}
	switch {
	case f.Type == "select" && len(f.Options) == 0:
		c.addf(path+".options", "a select needs options")
	case f.Type != "select" && len(f.Options) > 0:
		c.addf(path+".options", "only a select has options")
	}
	c.list(path+".options", f.Options, func(s string) error {
		if s == "" || len(s) > maxTitle {
			return fault.New(fault.Invalid, "an option is empty or too long")
		}
		return nil
	})
	if _, err := regexp.Compile(f.Pattern); err != nil || len(f.Pattern) > 1000 {
		c.addf(path+".pattern", "is not a regular expression of RE2")
	}
	c.between(path+".maxLength", int64(f.MaxLen), 20_000)
}

func (c *checker) decision(path string, r DecisionRule, held []string) {
	c.add(path+".connection", ident.CheckName(r.Connection))
	if !slices.Contains(held, r.Connection) {
		// A rule that never matches looks like protection and is none.
		c.hint(path+".connection", DidYouMean(r.Connection, held), "the Mission does not hold the Connection %q", fault.Quote(r.Connection))
	}
	if r.Tool != "" {
		c.add(path+".tool", checkTool(r.Tool))
	}
	c.add(path+".team", ident.CheckName(r.Team))
	c.between(path+".count", int64(r.Count), 20)
	c.duration(path+".expires", r.Expires, time.Minute, MaxDecision)
}

func (c *checker) limits(l Limits) {
	c.between("limits.turns", int64(l.Turns), 1000)
	c.between("limits.tokens", l.Tokens, 1_000_000_000)
	c.price("limits.costUSD", l.CostUSD)
	c.duration("limits.wallClock", l.WallClock, time.Second, 365*24*time.Hour)
	c.between("limits.calls", int64(l.Calls), 100_000)
	c.between("limits.parked", int64(l.Parked), 1000)
}

func (c *checker) schedule(path string, s Schedule, form []Field) {
	c.add(path+".cron", checkCron(s.Cron))
	in, err := json.Marshal(s.Input)
	if err != nil {
		c.addf(path+".input", "is not plain data")
		return
	}
	if s.Input == nil {
		in = json.RawMessage("{}")
	}
	c.add(path+".input", (&Mission{Form: form}).CheckInput(in))
}

// cronFields are the ranges of minute, hour, day of the month, month and day of
// the week (0 is Sunday).
var cronFields = [5][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}}

// checkCron takes five fields of numbers, ranges, lists and steps; no names, no
// seconds, no @daily: one way to write each time.
func checkCron(s string) error {
	bad := fault.Newf(fault.Invalid, "%q is not a cron expression", fault.Quote(s)).
		WithHint("write minute hour day month weekday in numbers, UTC, like 0 6 * * 1-5")
	fields := strings.Fields(s)
	if len(fields) != len(cronFields) {
		return bad
	}
	for i, f := range fields {
		for part := range strings.SplitSeq(f, ",") {
			if !cronPart(part, cronFields[i][0], cronFields[i][1]) {
				return bad
			}
		}
	}
	return nil
}

func cronPart(s string, lo, hi int) bool {
	s, step, stepped := strings.Cut(s, "/")
	if n, err := strconv.Atoi(step); stepped && (err != nil || n < 1 || n > hi) {
		return false
	}
	if s == "*" {
		return true
	}
	from, to, ranged := strings.Cut(s, "-")
	a, err := strconv.Atoi(from)
	if err != nil || a < lo || a > hi || stepped && !ranged {
		return false
	}
	if !ranged {
		return true
	}
	b, err := strconv.Atoi(to)
	return err == nil && b >= a && b <= hi
}
