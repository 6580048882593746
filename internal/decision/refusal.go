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
	OtherTenant  Code = "other_tenant"
	NotAPerson   Code = "not_a_person"
	NoVerdict    Code = "no_verdict"
	OtherIntent  Code = "other_intent" // another Run, Intent or revision
	Changed      Code = "changed"      // the digest is not that of what was shown
	NotOpen      Code = "not_open"
	TooLate      Code = "expired"
	NotInTeam    Code = "not_in_team"
	JoinedLater  Code = "joined_later"
	OwnApproval  Code = "own_approval"
	NoFactor     Code = "no_factor"
	OtherFactor  Code = "other_factor"
	StaleFactor  Code = "stale_factor"
	FactorUsed   Code = "factor_used"
	NeedsPasskey Code = "needs_passkey" // password and one-time code are not enough
	NotApproved  Code = "not_approved"
	Altered      Code = "altered" // it is held, see [Held]
	Voted        Code = "voted"
	Enough       Code = "enough"    // of their Team enough people have approved
	NotAdmin     Code = "not_admin" // who wants to break the glass
	NoReason     Code = "no_reason" // to break the glass for
	Unlike       Code = "unlike"    // what is decided together is not alike
)

// confirmAgain is what helps where a factor was not good.
const confirmAgain = "confirm this very verdict with your password and a new one-time code"

var refusals = map[Code]*fault.Error{
	OtherTenant:  fault.New(fault.NotFound, "there is no such Decision"),
	NotAPerson:   fault.New(fault.Denied, "only a person can decide"),
	NoVerdict:    fault.New(fault.Invalid, "the verdict is none of approve, reject and break-glass"),
	OtherIntent:  fault.New(fault.Conflict, "the Decision is about another Run, Intent or revision"),
	Changed:      fault.New(fault.Conflict, "the action is not the one that was shown").WithHint("look at it again before deciding"),
	NotOpen:      fault.New(fault.Conflict, "the Decision was made already, or is void"),
	TooLate:      fault.New(fault.Conflict, "the Decision has expired"),
	NotInTeam:    fault.New(fault.Denied, "only a member of a Team that the Decision needs can decide"),
	JoinedLater:  fault.New(fault.Denied, "who joined the Team after the action was proposed can't decide on it"),
	OwnApproval:  fault.New(fault.Denied, "who started the Run, their delegate, the Worker and its owner can't decide on it").WithHint("ask another member of the Team"),
	NoFactor:     fault.New(fault.Denied, "a session alone decides nothing").WithHint(confirmAgain),
	OtherFactor:  fault.New(fault.Denied, "the confirmation is for something else or from somebody else").WithHint(confirmAgain),
	StaleFactor:  fault.New(fault.Denied, "the confirmation is too old").WithHint(confirmAgain),
	FactorUsed:   fault.New(fault.Denied, "the confirmation was used before, or is not on record").WithHint(confirmAgain),
	NeedsPasskey: fault.New(fault.Denied, "this Decision takes a passkey; a password and a one-time code do not count").WithHint("decide on its page in the console, with a passkey"),
	NotApproved:  fault.New(fault.Denied, "the action has no approval that holds"),
	Altered:      fault.New(fault.Conflict, heldWhy).WithHint(heldHint),
	Voted:        fault.New(fault.Conflict, "a person's vote counts once, and theirs is on the record").WithHint("somebody else has to decide too: another member of the Team, or another admin where the glass is broken; a rejection ends it at any time"),
	Enough:       fault.New(fault.Conflict, "enough members of that Team have approved; it waits for others"),
	NotAdmin:     fault.New(fault.Denied, "only an admin can break the glass"),
	NoReason:     fault.New(fault.Invalid, "breaking the glass takes a reason"),
	Unlike:       fault.New(fault.Conflict, "only Decisions on the same Connection and Tool, for which the same policies ask the same Teams, are decided together").WithHint("decide on the others one by one"),
}

// What is said in place of NotAdmin's own words, where the reason is another.
var (
	adminLater = fault.New(fault.Denied, "only who was an admin before the action was proposed can break the glass; who got a new password is one since then").WithHint("ask another admin, or the Team")
	noGlass    = fault.New(fault.Denied, "the glass can't be broken here: the server's configuration forbids it").WithHint("the Teams have to decide")
)

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
