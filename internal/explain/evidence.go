package explain

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"sallyport.dev/internal/ident"
)

// Source is whose words an Observation has.
type Source string

// The sources.
const (
	FromPerson   Source = "person"    // who started the Run
	FromBoundary Source = "sallyport" // what the Boundary did and decided
	FromWorker   Source = "worker"    // the model's own
	FromSystem   Source = "system"    // an answer
)

// Trusted says whether nobody outside of the company wrote it, nor a model.
func (s Source) Trusted() bool { return s == FromPerson || s == FromBoundary }

// workerSays begins the title of what a Worker puts on the rail: the kinds that it
// may use are those that the Boundary uses too.
const workerSays = "The Worker says"

// Said marks a title as a Worker's words.
func Said(title string) string {
	if title == "" {
		return workerSays
	}
	return workerSays + ": " + title
}

// Source is whose words it has. What could be a Worker's or a system's is.
func (o Observation) Source() Source {
	switch {
	case strings.HasPrefix(o.Title, workerSays):
		return FromWorker
	case o.Kind == Goal:
		return FromPerson
	case o.Kind == Retrieval, o.Kind == ToolCall, o.Kind == Problem:
		return FromSystem
	case o.Kind == Plan, o.Kind == Reasoning, o.Kind == Intent, o.Kind == Verdict:
		return FromWorker
	}
	return FromBoundary
}

// Evidence is one thing that a Worker had seen or said before it asked for a
// Decision, shortened.
type Evidence struct {
	Seq     int64     `json:"seq"`
	At      time.Time `json:"at"`
	Kind    Kind      `json:"kind"`
	Source  Source    `json:"source"`
	Trusted bool      `json:"trusted"`
	Intent  string    `json:"intent,omitempty"`
	Title   string    `json:"title"`
	Text    string    `json:"text,omitempty"` // of a person, the Worker or a system; foreign text
	Cut     bool      `json:"cut,omitempty"`  // the text goes on
}

// Bounds of evidence.
const (
	MaxEvidence     = 100  // the last ones
	maxEvidenceText = 2000 // characters of each
)

// Evidence lists what is on a Run's rail up to a time, without what became a secret
// since: at most MaxEvidence of the last, in order. cut says that there is more.
func (r *Rail) Evidence(ctx context.Context, tenant ident.Tenant, run string, until time.Time) (out []Evidence, cut bool, err error) {
	var last []Observation // the newest first
	for before := int64(0); len(last) <= MaxEvidence; {
		obs, err := r.store.Latest(ctx, tenant, run, before, page)
		if err != nil {
			return nil, false, err
		}
		for _, o := range slices.Backward(obs) {
			if !o.At.After(until) && o.Kind != Intent && o.Kind != Use { // what it asks for is no evidence for it
				last = append(last, o)
			}
			before = o.Seq
		}
		if len(obs) < page {
			break
		}
	}
	if cut = len(last) > MaxEvidence; cut {
		last = last[:MaxEvidence]
	}
	slices.Reverse(last)
	for _, o := range last {
		out = append(out, r.Clean(o).evidence())
	}
	return out, cut, nil
}

// evidence shortens an Observation that is clean.
func (o Observation) evidence() Evidence {
	e := Evidence{Seq: o.Seq, At: o.At, Kind: o.Kind, Source: o.Source(), Intent: o.Intent, Title: o.Title}
	e.Trusted = e.Source.Trusted()
	if e.Source == FromBoundary {
		return e // its text may be the reason that a Worker gave
	}
	e.Text = strings.TrimSpace(o.Text + "\n" + string(o.Data))
	if utf8.RuneCountInString(e.Text) > maxEvidenceText {
		e.Text, e.Cut = string([]rune(e.Text)[:maxEvidenceText]), true
	}
	return e
}
