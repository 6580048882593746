package policy

import (
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
)

// Explanation is a verdict with what it was made of.
type Explanation struct {
	Verdict    Verdict
	Statements []Statement // that determined it, or would have but for a limit, or observe
	Uses       []Use       // every limit that was looked at, with what is used of it
}

// Statement is one that had a part in a verdict.
type Statement struct {
	ID          string   `json:"id"`     // "policy/id"
	Policy      string   `json:"policy"` // the resource's name; "default" is built in
	Line        int      `json:"line"`   // in its Cedar text, from 1
	Column      int      `json:"column"`
	Title       string   `json:"title,omitempty"`
	Description string   `json:"description,omitempty"`
	Effect      string   `json:"effect"`   // "permit" or "forbid"
	Question    string   `json:"question"` // "call" or "call_unattended"
	Part        Part     `json:"part,omitempty"`
	Limits      []string `json:"limits,omitempty"` // "rate 20 per 1h per connection"
	// What it asks of a Decision; empty where it leaves that to others.
	Approvers []Approver `json:"approvers,omitempty"`
	Expires   string     `json:"expires,omitempty"` // a duration: "48h0m0s"
	PinSecret bool       `json:"pinSecret,omitempty"`
	Passkey   bool       `json:"passkey,omitempty"`
	Text      string     `json:"text"` // in Cedar's canonical form
}

// Part is what a statement did to a verdict.
type Part string

// The parts.
const (
	Determines Part = "determines"
	Beyond     Part = "beyond its limit" // it matches, and its rate or budget is used up
	Observes   Part = "observed"         // it matches, and decides nothing
	Broken     Part = "could not be evaluated"
)

// Explain evaluates like [Set.Evaluate], and says by what.
func (s *Set) Explain(q Question) Explanation {
	tr := &trace{}
	x := Explanation{Verdict: s.evaluate(q, tr)}
	x.Statements, x.Uses = tr.statements, tr.uses
	return x
}

// trace collects what an evaluation looked at; nil collects nothing.
type trace struct {
	statements []Statement
	uses       []Use
}

func (t *trace) counted(u Use) {
	if t != nil {
		t.uses = append(t.uses, u)
	}
}

func (t *trace) answered(action cedar.EntityUID, a answer) {
	if t == nil {
		return
	}
	for _, s := range a.determining {
		t.add(action, s, Determines)
	}
	for _, s := range a.beyond {
		t.add(action, s, Beyond)
	}
	for _, s := range a.broken {
		t.add(action, s, Broken)
	}
}

func (t *trace) add(action cedar.EntityUID, s *statement, part Part) {
	t.statements = append(t.statements, describe(s, string(action.ID), part))
}

func describe(s *statement, question string, part Part) Statement {
	if s.notes.observe {
		part = Observes
	}
	policy, _, _ := strings.Cut(string(s.id), "/")
	at := s.policy.Position()
	d := Statement{ID: string(s.id), Policy: policy, Line: at.Line, Column: at.Column, Title: s.notes.title, Description: s.notes.description,
		Effect: "forbid", Question: question, Part: part, Text: string(s.policy.MarshalCedar()),
		Approvers: slices.Clone(s.notes.approvers), PinSecret: s.notes.pin, Passkey: s.notes.passkey}
	if s.notes.expires != 0 {
		d.Expires = s.notes.expires.String()
	}
	if s.policy.Effect() == cedar.Permit {
		d.Effect = "permit"
	}
	for _, l := range s.notes.limits {
		d.Limits = append(d.Limits, string(l.kind)+" "+l.text)
	}
	return d
}

// Title is what a statement calls itself in its annotations, by its id; "" where it
// does not, or where there is none of that id.
func (s *Set) Title(id string) string {
	if s == nil {
		return ""
	}
	return s.titles[id]
}
