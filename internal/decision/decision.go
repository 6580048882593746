// Package decision has the verdict on one exact Intent: who gave it, by which
// fresh proof, and until when it holds. [Judge] is the whole rule book, a
// function of its arguments; [Desk] applies it to what is stored.
//
// It refuses a verdict
//   - on anything but the Intent as it was shown: the digest is computed again;
//   - that was given before: a Decision is open once, and used once;
//   - after its expiry, seven days by default and thirty at most;
//   - by a session alone: it takes a [Factor] made for this very verdict by this
//     very person at most two minutes ago, which is used up with it;
//   - by anybody outside the Team, or who joined it after the Intent was made;
//   - by the starter, their delegate, the Worker or its owner, unless the
//     Mission allows it, and then it is marked on the record;
//   - by anything that is not a person;
//   - an approval of what can't be shown as it is, because a Secret's value stands
//     in it ([Held]): who is asked to approve must read what is sent.
//
// # Security
//
// What can be checked twice is: Judge looks before, and the store compares state,
// expiry, revision, membership and factor again in the one transaction that makes
// the verdict, the Intent's step, the audit entry and the follow-up work durable
// together. Of two verdicts at the same time exactly one is on the record.
package decision

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/origin"
)

// State is where a Decision is.
//
//	open → approved | rejected | expired | withdrawn
//	open, approved → void   (another Decision took its place)
type State string

// The states. Approved is used up by the Intent's claim, which happens once.
const (
	Open      State = "open"
	Approved  State = "approved"
	Rejected  State = "rejected"
	Expired   State = "expired"
	Withdrawn State = "withdrawn"
	Void      State = "void"
)

// Verdict is what a person says.
type Verdict string

// The verdicts.
const (
	Approve Verdict = "approve"
	Reject  Verdict = "reject"
)

// How long a Decision can wait for a person, and then for its use.
const (
	DefaultLife = 7 * 24 * time.Hour
	MaxLife     = 30 * 24 * time.Hour
)

// FactorLife is how long after it was made a Factor may be used.
const FactorLife = 2 * time.Minute

// Decision is the verdict on one revision of one Intent, or the wait for it.
type Decision struct {
	Tenant       ident.Tenant  `json:"tenant"`
	ID           string        `json:"id"` // "dec_…"
	Intent       string        `json:"intent"`
	Revision     int           `json:"revision"`
	Run          string        `json:"run"`
	Mission      string        `json:"mission"`
	Digest       intent.Digest `json:"digest"`
	Team         string        `json:"team,omitempty"`   // the name, as it was; empty where policy decided
	TeamID       string        `json:"teamId,omitempty"` // which Team: given when it is stored, never changes
	State        State         `json:"state"`
	CreatedAt    time.Time     `json:"createdAt"`
	ExpiresAt    time.Time     `json:"expiresAt"`
	DecidedAt    time.Time     `json:"decidedAt,omitzero"`
	By           string        `json:"by,omitempty"`        // account id; empty where no person decided
	ByName       string        `json:"byName,omitempty"`    // as it was, for display
	Factor       string        `json:"factor,omitempty"`    // its id
	Method       string        `json:"method,omitempty"`    // of the Factor
	Reason       string        `json:"reason,omitempty"`    // one line; the Worker reads it
	AutoBy       string        `json:"autoBy,omitempty"`    // "policy", or empty where a person decides
	Policies     []string      `json:"policies,omitempty"`  // that let it through
	PolicySet    string        `json:"policySet,omitempty"` // digest of the whole set
	SelfApproval bool          `json:"selfApproval,omitempty"`
	HeldAt       time.Time     `json:"heldAt,omitzero"` // when a known secret was first found in what its page shows
	// Origins is where the arguments were seen first; nil where nobody was asked.
	Origins *origin.Report `json:"origins,omitempty"`
}

// Factor is a fresh proof by a person that they mean one exact act. Package
// identity makes and stores it; the two types convert into each other.
type Factor struct {
	ID      string        `json:"id"`
	Tenant  ident.Tenant  `json:"tenant"`
	Account string        `json:"account"`
	Method  string        `json:"method"`
	At      time.Time     `json:"at"`
	For     intent.Digest `json:"for"` // see [Decision.Act]
}

// AutoByPolicy marks a Decision that policy made.
const AutoByPolicy = "policy"

// New makes the open Decision that parks with an Intent, for the Team of that
// name; the store gives it the Team's id. life zero means the default. Kind
// Invalid: a life over thirty days, no Team; Conflict: an Intent whose digest is
// not its own.
func New(i intent.Intent, team string, life time.Duration, now time.Time) (Decision, error) {
	switch {
	case team == "":
		return Decision{}, fault.New(fault.Invalid, "nobody is named who could decide").
			WithHint("name a Team in the Mission's decisions")
	case life == 0:
		life = DefaultLife
	case life < 0 || life > MaxLife:
		return Decision{}, fault.Newf(fault.Invalid, "a Decision can wait for at most %d days", int(MaxLife.Hours()/24))
	}
	if err := exact(i, i.Digest); err != nil {
		return Decision{}, err
	}
	d := about(i, life, now)
	d.Team, d.State = team, Open
	return d, nil
}

// ByPolicy makes the Decision of policies that let a write through without a
// person: the policies' ids, and the digest of the whole set. It is approved from
// the start, on the record like any other, and worthless ([Decision.Holds])
// unless it names both.
func ByPolicy(i intent.Intent, policies []string, set string, now time.Time) Decision {
	d := about(i, DefaultLife, now)
	d.AutoBy, d.Policies, d.PolicySet = AutoByPolicy, policies, set
	d.State, d.DecidedAt = Approved, now
	return d
}

func about(i intent.Intent, life time.Duration, now time.Time) Decision {
	return Decision{Tenant: i.Tenant, ID: ident.New("dec"), Intent: i.ID, Revision: i.Revision, Run: i.Run, Mission: i.Mission,
		Digest: i.Digest, CreatedAt: now, ExpiresAt: now.Add(life)}
}

// Approvers are the account ids of the people who approved: none where policy
// did, or nobody yet.
func (d Decision) Approvers() []string {
	if d.By == "" {
		return nil
	}
	return []string{d.By}
}

// Act is the digest of one person giving one verdict on this Decision: what
// their Factor has to be for. A Factor for a rejection approves nothing.
func (d Decision) Act(v Verdict, account string) intent.Digest {
	b, err := intent.Marshal(map[string]any{
		"tenant": d.Tenant, "decision": d.ID, "intent": d.Intent, "revision": d.Revision, "digest": d.Digest,
		"team": d.TeamID, "expires": d.ExpiresAt.UnixMilli(), "verdict": v, "account": account,
	})
	if err != nil {
		return "" // equals no digest: text that is not UTF-8 is in no Decision of ours
	}
	sum := sha256.Sum256(append([]byte("sallyport verdict v1\n"), b...))
	return intent.Digest(hex.EncodeToString(sum[:]))
}
