package gate

import (
	"context"
	"log/slog"
	"strings"
	"unicode/utf8"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/origin"
)

// trace finds out where the candidate's arguments were seen first: once, for policy
// and for the page of a Decision. What can't be read makes all of it unknown, which
// counts as untrusted, and refuses nothing.
func (g *Gate) trace(ctx context.Context, c *candidate) *origin.Report {
	if c.origins != nil || c.match.Model() {
		return c.origins
	}
	r := origin.Report{Origins: []origin.Origin{{Kind: origin.Unknown}}, Cut: true}
	err := crash.Try(ctx, g.Log, func() error { // hostile text stops no action, and is called clean by no fault of ours
		seen, err := g.whatWasSeen(ctx, c)
		if err != nil {
			r = origin.Nowhere(c.it.Args)
			return err
		}
		r = origin.Trace(c.it.Args, seen)
		return nil
	})
	if err != nil {
		g.Log.WarnContext(ctx, "where the arguments of an action come from can't be found out", slog.String("intent", c.it.ID), slog.Any("error", err))
	}
	c.origins = &r
	return c.origins
}

// whatWasSeen is what the Worker of the Run had seen, in order: the input, the
// Mission with the Tool's definition, and what it was told since.
func (g *Gate) whatWasSeen(ctx context.Context, c *candidate) (*origin.Seen, error) {
	seen := &origin.Seen{}
	m := c.match.Mission
	seen.Add(origin.Source{Kind: origin.Input, Body: c.run.Input})
	seen.Add(origin.Source{Kind: origin.Mission, Body: []byte(m.Title + "\n" + m.Goal), Name: "goal"})
	seen.Add(origin.Source{Kind: origin.Mission, Body: []byte(c.match.Tool.Description), Name: "description of the Tool"})
	seen.Add(origin.Source{Kind: origin.Mission, Body: c.match.Tool.Schema})
	its, all, err := g.Earlier.Answered(ctx, c.it.Tenant, c.it.Run, m.Model, origin.MaxSeen)
	if err != nil {
		return nil, err
	}
	if !all {
		seen.Cut()
	}
	for _, it := range its {
		if it.ID != c.it.ID {
			told(seen, it)
		}
	}
	if len(c.it.Theirs) > 0 { // last: what an approver wrote is theirs where nobody had it before
		seen.Add(origin.Source{Kind: origin.Person, Ref: c.it.ID, Connection: c.it.Connection, Tool: c.it.Tool, Body: c.it.Theirs})
	}
	return seen, nil
}

// told adds what a Worker was told about an Intent.
func told(seen *origin.Seen, it intent.Intent) {
	src := origin.Source{Kind: origin.Answer, Ref: it.ID, Connection: it.Connection, Tool: it.Tool}
	if it.State == intent.Rejected {
		src.Kind, src.Body, src.Name = origin.Person, []byte(it.Why), "reason"
		seen.Add(src)
		return
	}
	if it.Result == nil {
		return
	}
	if len(it.Theirs) > 0 {
		seen.Add(origin.Source{Kind: origin.Person, Ref: it.ID, Connection: it.Connection, Tool: it.Tool, Body: it.Theirs})
	}
	src.Body = it.Result.Body
	seen.Add(src)
	if it.Result.Note != "" { // it can repeat what the system said
		src.Body, src.Name = []byte(it.Result.Note), "note"
		seen.Add(src)
	}
}

// traced writes where the arguments come from into the Decision that is asked for,
// and into the fields of its entry.
func (g *Gate) traced(ctx context.Context, c *candidate, d *decision.Decision, fields map[string]any) {
	if d.Origins = g.trace(ctx, c); d.Origins == nil {
		return
	}
	at := []string{}
	for _, p := range d.Origins.Pointers() {
		if len(at) < maxOrigins {
			at = append(at, unnamed(p))
		}
	}
	fields["count"], fields["origins"] = len(d.Origins.Flagged()), at
}

// maxOrigins bounds how many places an entry has.
const maxOrigins = 50

// unnamed is a pointer without the names that are values themselves: the audit log
// has no arguments.
func unnamed(pointer string) string {
	if pointer == "" {
		return "(others)"
	}
	steps := strings.Split(pointer, "/")
	for i, s := range steps {
		plain := func(r rune) bool {
			return r < utf8.RuneSelf && (r == '_' || r == '-' || r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z')
		}
		if len(s) > 40 || strings.TrimFunc(s, plain) != "" || digitsOf(s) > 3 && strings.Trim(s, "0123456789") != "" {
			steps[i] = "*"
		}
	}
	if out := strings.Join(steps, "/"); len(out) <= maxPlace {
		return out
	}
	return "/*"
}

func digitsOf(s string) (n int) {
	for _, c := range s {
		if c >= '0' && c <= '9' {
			n++
		}
	}
	return n
}

// maxPlace bounds one place, in bytes.
const maxPlace = 100
