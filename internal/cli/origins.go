package cli

import (
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/origin"
)

// origins prints a line for each argument that is flagged: its value was seen in
// untrusted content first, or nobody can say.
func (p *program) origins(r *origin.Report) {
	for _, o := range r.Flagged() {
		at := o.At
		if at == "" {
			at = "(others)"
		}
		if o.Key {
			at += " (the name)"
		}
		line := "! " + at + "  " + decision.OriginsText(o)
		if o.Part != "" {
			line += ": " + o.Part
		}
		p.line("%s", line)
	}
}
