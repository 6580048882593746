package decision

import (
	"errors"

	"sallyport.dev/internal/fault"
)

// Code says for which reason a verdict was refused. Codes don't change: the API
// shows them and tests name them.
type Code string

// The codes.
const (
	OtherTenant Code = "other_tenant"
	NotAPerson  Code = "not_a_person"
	NoVerdict   Code = "no_verdict"
	OtherIntent Code = "other_intent" // another Run, Intent or revision
	Changed     Code = "changed"      // the digest is not that of what was shown
	NotOpen     Code = "not_open"
	TooLate     Code = "expired"
	NotInTeam   Code = "not_in_team"
	JoinedLater Code = "joined_later"
	OwnApproval Code = "own_approval"
	NoFactor    Code = "no_factor"
	OtherFactor Code = "other_factor"
	StaleFactor Code = "stale_factor"
	FactorUsed  Code = "factor_used"
	NotApproved Code = "not_approved"
	Altered     Code = "altered" // it is held, see [Held]
)

// confirmAgain is what helps where a factor was not good.
const confirmAgain = "confirm this very verdict with your password and a new one-time code"

var refusals = map[Code]*fault.Error{
	OtherTenant: fault.New(fault.NotFound, "there is no such Decision"),
	NotAPerson:  fault.New(fault.Denied, "only a person can decide"),
	NoVerdict:   fault.New(fault.Invalid, "the verdict is neither approve nor reject"),
	OtherIntent: fault.New(fault.Conflict, "the Decision is about another Run, Intent or revision"),
	Changed:     fault.New(fault.Conflict, "the action is not the one that was shown").WithHint("look at it again before deciding"),
	NotOpen:     fault.New(fault.Conflict, "the Decision was made already, or is void"),
	TooLate:     fault.New(fault.Conflict, "the Decision has expired"),
	NotInTeam:   fault.New(fault.Denied, "only a member of the Decision's Team can decide"),
	JoinedLater: fault.New(fault.Denied, "who joined the Team after the action was proposed can't decide on it"),
	OwnApproval: fault.New(fault.Denied, "who started the Run, their delegate, the Worker and its owner can't decide on it").WithHint("ask another member of the Team"),
	NoFactor:    fault.New(fault.Denied, "a session alone decides nothing").WithHint(confirmAgain),
	OtherFactor: fault.New(fault.Denied, "the confirmation is for something else or from somebody else").WithHint(confirmAgain),
	StaleFactor: fault.New(fault.Denied, "the confirmation is too old").WithHint(confirmAgain),
	FactorUsed:  fault.New(fault.Denied, "the confirmation was used before, or is not on record").WithHint(confirmAgain),
	NotApproved: fault.New(fault.Denied, "the action has no approval that holds"),
	Altered:     fault.New(fault.Conflict, heldWhy).WithHint(heldHint),
}

// Refusal is why a verdict does not count. It wraps a fault.
type Refusal struct {
	Code  Code
	fault *fault.Error
}

// Error is the fault's text.
func (r *Refusal) Error() string { return r.fault.Error() }

// Unwrap gives the fault, and with it the kind and the hint.
func (r *Refusal) Unwrap() error { return r.fault }

// Refuse makes the refusal of a code.
func Refuse(c Code) error {
	f, ok := refusals[c]
	if !ok {
		return fault.New(fault.Internal, "a verdict was refused for a reason that is not listed")
	}
	return &Refusal{c, f}
}

// CodeOf is the code of the refusal in err's chain, or "".
func CodeOf(err error) Code {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Code
	}
	return ""
}
