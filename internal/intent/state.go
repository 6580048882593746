package intent

import "slices"

// State is where an Intent is.
//
//	PROPOSED ─ Deny → DENIED
//	   ├─ Allow ───────────────┐   (dead claimant, nothing sent: claimed again, higher fence)
//	   └─ Ask → PARKED → APPROVED → CLAIMED → SENDING → COMMITTED
//	              └→ REJECTED / EXPIRED / WITHDRAWN  │        ├→ FAILED (definite)
//	                                                 └→ FAILED (nothing sent)
//	                                                 ┌───────→ UNKNOWN → COMMITTED | NOT_APPLIED | NEEDS_HUMAN
//	                                                 └ the same key again, where the Integration declares it
//
// NEEDS_HUMAN ends by a person's word: COMMITTED, NOT_APPLIED, or PARKED as a new
// revision, which a fresh Decision has to approve before it is tried again.
//
// What a backup holds as open may have been done after it was made: when one is
// restored, every write that is not final goes to NEEDS_HUMAN.
type State string

// The states. An Intent that policy allowed is APPROVED by policy, with that
// Decision on the record; a read that is allowed goes to CLAIMED at once.
const (
	Proposed   State = "PROPOSED"
	Denied     State = "DENIED"
	Parked     State = "PARKED"
	Approved   State = "APPROVED"
	Rejected   State = "REJECTED"
	Expired    State = "EXPIRED"
	Withdrawn  State = "WITHDRAWN"
	Claimed    State = "CLAIMED"
	Sending    State = "SENDING"
	Committed  State = "COMMITTED"
	Failed     State = "FAILED"
	Unknown    State = "UNKNOWN"
	NotApplied State = "NOT_APPLIED"
	NeedsHuman State = "NEEDS_HUMAN"
)

// next lists the legal steps. NEEDS_HUMAN leaves by a person's verdict. UNKNOWN
// goes to SENDING and never to CLAIMED: of what was claimed it is said that
// nothing has left, and of a write that is sent again that is not true.
// APPROVED goes back to PARKED when policy now additionally asks. To NEEDS_HUMAN
// only UNKNOWN goes while a server runs; the others when a backup is restored.
var next = map[State][]State{
	Proposed:   {Denied, Parked, Approved, Claimed},
	Parked:     {Approved, Rejected, Expired, Withdrawn, Denied, NeedsHuman},
	Approved:   {Claimed, Parked, Denied, Failed, Expired, Withdrawn, NeedsHuman},
	Claimed:    {Claimed, Sending, Failed, Committed, NeedsHuman},
	Sending:    {Committed, Failed, Unknown, NeedsHuman},
	Unknown:    {Sending, Committed, NotApplied, NeedsHuman},
	NeedsHuman: {Committed, NotApplied, Parked},
}

// Can reports whether an Intent may go from s to t.
func (s State) Can(t State) bool { return slices.Contains(next[s], t) }

// Final reports whether nothing more will happen by itself. NEEDS_HUMAN is not
// final: a person's verdict ends it.
func (s State) Final() bool { return len(next[s]) == 0 }

// Open reports whether the Intent still waits or runs, or its outcome is open:
// a repeat of the same write gets this Intent instead of a second write.
func (s State) Open() bool { return !s.Final() }

// States lists every state in the order of the diagram.
var States = []State{Proposed, Denied, Parked, Approved, Rejected, Expired, Withdrawn, Claimed, Sending, Committed, Failed, Unknown, NotApplied, NeedsHuman}
