package cli

import (
	"context"
	"strings"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/intent"
)

// stops prints what holds something up: a person's word must not look as if it were
// carried out.
func (p *program) stops(list []intent.Stop) {
	for _, s := range list {
		p.line("STOPPED: %s; nothing is sent until an admin resumes it", stopText(s))
	}
}

// stopText says which stop it is, and to people by whom and why.
func stopText(s intent.Stop) string {
	text := "everything"
	if s.Kind != intent.StopAll {
		text = "the " + string(s.Kind) + " " + s.Name
	}
	text += ", since " + when(s.Since)
	if s.ByName != "" {
		text += ", by " + s.ByName + becauseOf(s.Reason)
	}
	return text
}

// stopped asks what is stopped, for a list that has no answer of its own.
func (p *program) stopped(ctx context.Context) ([]intent.Stop, error) {
	var out api.Stops
	_, err := p.call(ctx, "GET", "/v1/stops", nil, &out)
	return out.Stops, err
}

// holds says whether one of the stops holds a use up.
func holds(list []intent.Stop, it intent.Intent) bool {
	for _, s := range list {
		if s.Holds(it.Use()) {
			return true
		}
	}
	return false
}

// briefEvidence is how much of the evidence is shown unless all is asked for.
const briefEvidence = 8

// evidence prints what the Worker had seen and said before it asked: a line each, or
// with what was said.
func (p *program) evidence(item api.Shown, all bool) {
	list := item.Evidence
	if len(list) == 0 {
		return
	}
	p.line("evidence: what the Run did and saw before")
	if more := len(list) - briefEvidence; !all && more > 0 {
		list = list[more:]
		p.line("  (%d earlier)", more)
	} else if item.EvidenceCut {
		p.line("  (there is more on the Run's rail: sallyport run follow %s)", item.Decision.Run)
	}
	for _, e := range list {
		trust := "untrusted"
		if e.Trusted {
			trust = "trusted"
		}
		p.line("  %s  %s, %s, %s: %s", e.At.UTC().Format("15:04:05"), e.Kind, e.Source, trust, e.Title)
		if all && strings.TrimSpace(e.Text) != "" {
			p.foreign(e.Text, e.Cut)
		}
	}
	if !all {
		p.line("  all of it, with its texts: sallyport decision show %s --evidence", item.Decision.ID)
	}
}

// foreign prints a text that somebody else wrote.
func (p *program) foreign(text string, cut bool) {
	if cut {
		text += "\n(it goes on)"
	}
	for _, line := range strings.SplitAfter(block(text), "\n") {
		if line != "" {
			_, _ = p.out.Write([]byte("  " + line)) // a person's terminal that is gone is nobody's error
		}
	}
}
