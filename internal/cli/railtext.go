package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/gate"
)

// railText prints records as a tree of times, each line within a width.
type railText struct {
	out    io.Writer
	width  int // characters of a line
	colour bool
	day    string // of the record before
}

// Bounds of the width; without a terminal it is the second.
const (
	leastWidth, usualWidth, mostWidth = 40, 100, 200
	gutter                            = "           " // below the time
	maxShownData                      = 600           // characters of JSON that a line of it has
)

// railText is for this program's output.
func (p *program) railText() *railText {
	width := usualWidth
	if n, err := strconv.Atoi(p.getenv("COLUMNS")); err == nil {
		width = n
	} else if f, ok := p.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			width = w
		}
	}
	return &railText{out: p.out, width: min(max(width, leastWidth), mostWidth), colour: p.outColour}
}

// record prints one: what happened and whose words it is, and below it its parts.
func (t *railText) record(o explain.Observation) { t.entry(o, string(o.Kind), nil) }

func (t *railText) entry(o explain.Observation, name string, more []string) {
	if day := o.At.UTC().Format(time.DateOnly); day != t.day {
		t.day = day
		fmt.Fprintln(t.out, paint(t.colour, bold, day+" (UTC)"))
	}
	mark, colour := "+ trusted", dim
	if !o.Trusted {
		mark, colour = "! untrusted: "+string(o.From), yellow
	}
	kind := fmt.Sprintf("%-9s", name)
	if c, ok := railColours[o.Kind]; ok {
		kind = paint(t.colour, c, kind)
	}
	link := "  #" + strconv.FormatInt(o.Seq, 10)
	if o.Entry != nil {
		link += "  audit #" + strconv.FormatInt(*o.Entry, 10)
	}
	fmt.Fprintf(t.out, "%s  %s  %s%s\n", o.At.UTC().Format("15:04:05"), kind, paint(t.colour, colour, mark), paint(t.colour, dim, link))
	parts := append(details(o.Detail), more...)
	t.wrapped(gutter, gutter, o.Title, bold)
	if o.Text != "" {
		for line := range strings.SplitSeq(strings.TrimRight(o.Text, "\n"), "\n") {
			t.wrapped(gutter+"| ", gutter+"| ", strings.TrimSuffix(line, "\r"), "")
		}
	}
	if len(o.Data) > 0 {
		var line bytes.Buffer
		if json.Compact(&line, o.Data) == nil {
			parts = append(parts, "data: "+short(line.String(), maxShownData))
		}
	}
	for i, s := range parts {
		first, rest := gutter+"├ ", gutter+"│   "
		if i == len(parts)-1 {
			first, rest = gutter+"└ ", gutter+"    "
		}
		c := ""
		if strings.HasPrefix(s, "! ") {
			c = yellow
		}
		t.wrapped(first, rest, s, c)
	}
}

// wrapped prints a text over as many lines as it takes, at spaces where there are
// some: what is not visible is spelled out first, so that it can't move a line.
func (t *railText) wrapped(first, rest, text, colour string) {
	for _, line := range wrap(visible(text), max(t.width-utf8.RuneCountInString(rest), 10)) {
		if colour != "" {
			line = paint(t.colour, colour, line)
		}
		fmt.Fprintln(t.out, first+line)
		first = rest
	}
}

// wrap cuts a text into lines of at most so many characters.
func wrap(s string, width int) (out []string) {
	r := []rune(s)
	for len(r) > width {
		at := width
		for i := width; i > width/2; i-- {
			if r[i] == ' ' {
				at = i
				break
			}
		}
		out = append(out, strings.TrimRight(string(r[:at]), " "))
		r = []rune(strings.TrimLeft(string(r[at:]), " "))
	}
	return append(out, string(r))
}

// details puts the typed parts into lines.
func details(d *explain.Detail) (out []string) {
	if d == nil {
		return nil
	}
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if d.Label != "" {
		add("! %s", d.Label)
	}
	if g := d.Goal; g != nil {
		add("mission %s, started by %s via %s, Worker: %s", g.Mission, g.Starter, g.Via, g.Worker)
	}
	if p := d.Intent; p != nil {
		add("%s of %s / %s, revision %d, arguments sha256:%s", orUnknown(p.Effect), p.Connection, p.Tool, p.Revision, short(string(p.Args), 16))
		for _, o := range p.Origins {
			part := ""
			if o.Where != "" {
				part = ", at " + o.Where
			}
			if o.Part != "" {
				part += ": " + o.Part
			}
			add("! %s  %s%s", orOthers(o.At), decision.OriginsText(o), part)
		}
	}
	if d.Rule != nil {
		add("rule: %s", ruleText(d.Rule))
	}
	if v := d.Decision; v != nil {
		out = append(out, decidedText(v)...)
	}
	if u := d.Use; u != nil {
		add("credential: %s version %d of %s, as %s %s", u.Secret, u.Version, u.Connection, u.Scheme, u.Place)
	}
	if x := d.Outcome; x != nil {
		text := "outcome: " + x.State
		if x.Status != 0 {
			text += fmt.Sprintf(", HTTP %d", x.Status)
		}
		if x.Redactions > 0 {
			text += fmt.Sprintf(", %d places taken out", x.Redactions)
		}
		if x.Edited != "" {
			text += ", " + x.Edited
		}
		add("%s", text)
	}
	if n := d.WhyNot; n != nil {
		add("why not: %s (%s)", n.Why, n.Kind)
		if n.Hint != "" {
			add("hint: %s", n.Hint)
		}
	}
	if d.Withheld != "" {
		add("! the details are withheld: %s", d.Withheld)
	}
	return out
}

func orUnknown(s string) string {
	if s == "" {
		return "use"
	}
	return s
}

func orOthers(at string) string {
	if at == "" {
		return "(others)"
	}
	return at
}

// ruleText is a rule in a line.
func ruleText(r *explain.Rule) string {
	out := r.Effect
	if len(r.Approvers) > 0 {
		out += " " + strings.Join(r.Approvers, ", ")
	}
	for i, s := range r.Statements {
		sep := ", "
		if i == 0 {
			sep = ", by "
		}
		if out += sep + s.ID; s.Title != "" {
			out += " (" + s.Title + ")"
		}
	}
	if len(r.Statements) == 0 && r.Why != "" {
		out += ": " + r.Why
	}
	return out
}

// decidedText is a Decision in lines.
func decidedText(v *explain.Decided) (out []string) {
	text := "decision " + v.ID + ": " + v.State
	if v.By != "" {
		text += ", by " + v.By
	}
	if v.Method != "" {
		text += " with " + v.Method
	}
	if v.Waited > 0 {
		text += ", after " + (time.Duration(v.Waited) * time.Second).String()
	}
	out = append(out, text)
	if v.Digest != "" {
		out = append(out, fmt.Sprintf("on revision %d, sha256:%s", v.Revision, short(string(v.Digest), 16)))
	}
	if len(v.Missing) > 0 {
		out = append(out, "still needed: "+strings.Join(v.Missing, ", "))
	}
	for _, x := range v.Votes {
		line := x.Verdict + " by " + x.By
		if x.Team != "" {
			line += " for " + x.Team
		}
		out = append(out, line+" at "+x.At.UTC().Format("15:04:05"))
	}
	for _, c := range v.Edits {
		out = append(out, fmt.Sprintf("changed %s: %s -> %s", c.Path, orNothing(c.Was), orNothing(c.Is)))
	}
	return out
}

// replayHead says what is replayed, and by what it is judged.
func (t *railText) replayHead(r gate.Replay) {
	t.wrapped("", "  ", fmt.Sprintf("%s of %s, started by %s: from the record alone; nothing is sent.", r.Run.ID, r.Run.Mission, r.Run.StarterName), bold)
	t.wrapped("", "  ", fmt.Sprintf("Policy is asked as of %s (policy set %s), with the arguments, Mission, starter and address of then, and the time and the use of limits of now.", when(r.At), short(r.PolicySet, 16)), "")
	if r.Bare {
		t.wrapped("", "  ", "You see actions and rules, without what the Worker, people and systems wrote.", "")
	}
}

// step prints one step of a replay.
func (t *railText) step(s gate.ReplayStep) {
	var more []string
	if d := s.Today; d != nil {
		more = append(more, "today: "+d.Says)
		for _, n := range d.Notes {
			more = append(more, "note: "+n)
		}
	}
	t.entry(s.Record, string(s.Step), more)
}
