package decision

import (
	"slices"

	"sallyport.dev/internal/origin"
)

// cleanOrigins is where the arguments come from without what has become a Secret
// since: a place may be named after what a system answered.
func (k *Desk) cleanOrigins(it Item) *origin.Report {
	r := it.Decision.Origins
	if r == nil {
		return nil
	}
	out := &origin.Report{Origins: slices.Clone(r.Origins), Cut: r.Cut}
	for i := range out.Origins {
		o := &out.Origins[i]
		for _, s := range []*string{&o.At, &o.Where, &o.Part, &o.Connection, &o.Tool} {
			if *s != "" {
				*s = k.Clean(it.Decision.Tenant, *s)
			}
		}
	}
	return out
}

// OriginsText says how the origin of a value is told to people: with what it says
// of the arguments as a whole where no pointer names it.
func OriginsText(o origin.Origin) string {
	what := "first appeared in "
	if o.How == origin.Contains {
		what = "has a part that first appeared in "
	}
	if o.How == origin.Decoded {
		what = "first appeared, encoded or inside of a longer word, in "
	}
	switch o.Kind {
	case origin.Input:
		return what + "the Run's input, trusted"
	case origin.Mission:
		return what + "the Mission, trusted"
	case origin.Person:
		return what + "what a person said, trusted"
	case origin.Answer:
		return what + "the answer of " + o.Connection + "." + o.Tool + " (" + o.Ref + "), untrusted"
	case origin.Worker:
		return "was not seen before: the model's own"
	case origin.Unknown:
	}
	if o.At == "" {
		return "there are more values than are traced, so the others count as untrusted"
	}
	return "not all of what the Worker saw could be searched, so it counts as untrusted"
}
