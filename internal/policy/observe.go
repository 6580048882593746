package policy

import (
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"

	"sallyport.dev/internal/fault"
)

var (
	errNoTime    = fault.New(fault.Invalid, "the time is not known")
	errNoOrigins = fault.New(fault.Invalid, "where the arguments come from is not known")
	errNoWorker  = fault.New(fault.Invalid, "the kind of Worker is not known")
)

// Observed is a statement in observe mode that would have changed the verdict, had
// it decided.
type Observed struct {
	ID     string `json:"id"`     // "policy/id"
	Effect Effect `json:"effect"` // what the verdict would have been
	Why    string `json:"why"`
}

// observe evaluates the statements in observe mode, each apart from the others,
// beside what decided.
func (v *Verdict) observe(e *evaluation, list []observed, call, unattended answer) {
	for i := range list {
		o, uses, ok := v.would(e, &list[i], call, unattended)
		if v.Uses = append(v.Uses, uses...); ok {
			v.Observed = append(v.Observed, o)
		}
	}
}

// would says what the verdict would have been with one more statement; not ok when
// that is the same. uses are what it would have taken, to be counted.
func (v *Verdict) would(e *evaluation, s *observed, call, unattended answer) (o Observed, uses []Use, ok bool) {
	o.ID = string(s.id)
	mays, matched := [2]bool{call.allowed, unattended.allowed}, false
	for i, q := range []struct {
		asked  bool
		action cedar.EntityUID
		was    answer
	}{{s.call, actionCall, call}, {s.unattended, actionUnattended, unattended}} {
		if !q.asked {
			continue
		}
		a := e.ask(statements{s.statement}, q.action)
		switch {
		case a.broken != nil:
			o.Effect, o.Why = Deny, "it could not be evaluated, so it would have denied the call"
			return o, nil, v.Effect != Deny
		case a.forbidden:
			mays[i], matched = false, true
		case len(a.beyond) > 0 && q.was.allowed:
			with := answer{determining: slices.Clone(q.was.determining)}
			with.withoutBuiltin()
			mays[i], matched = with.allowed, true
		case a.allowed && !q.was.forbidden:
			mays[i], matched = true, true
			uses = append(uses, a.uses...)
		}
	}
	switch {
	case !mays[0]:
		o.Effect, o.Why = Deny, "it would have denied the call"
	case mays[1]:
		o.Effect, o.Why = Allow, "it would have let the call through without a person"
	default:
		o.Effect, o.Why = Ask, "it would have asked for a person's decision"
	}
	if o.Effect != v.Effect || !matched {
		return o, uses, matched
	}
	with := Verdict{Approvers: slices.Clone(v.Approvers), Expires: v.Expires, PinSecret: v.PinSecret, Passkey: v.Passkey}
	with.take(s.notes)
	if o.Effect != Ask || slices.Equal(with.Approvers, v.Approvers) && with.Expires == v.Expires && with.PinSecret == v.PinSecret && with.Passkey == v.Passkey {
		return o, uses, false
	}
	o.Why = "it would have asked for more"
	if !slices.Equal(with.Approvers, v.Approvers) {
		o.Why = "it would have asked " + Names(with.Approvers)
	}
	return o, uses, true
}

// Names lists approvers for people: "cfo, finance:2".
func Names(all []Approver) string {
	out := make([]string, len(all))
	for i, a := range all {
		out[i] = a.String()
	}
	return strings.Join(out, ", ")
}
