// Package decision has the verdict on one exact Intent: who gave it, by which
// fresh proof, and until when it holds. It is an approval when so many different
// people of each Team that is needed have voted for it, and a rejection when one
// of them has voted against it. [Judge] is the whole rule book, a function of its
// arguments; [Desk] applies it to what is stored.
//
// It refuses a verdict
//   - on anything but the Intent as it was shown: the digest is computed again;
//   - that was given before: a Decision is open once, and used once;
//   - after its expiry, seven days by default and thirty at most;
//   - by a session alone: it takes a [Factor] made for this very verdict by this
//     very person at most two minutes ago, which is used up with it;
//   - by password and code where a passkey is asked for;
//   - by anybody outside the Teams, or who joined after the Intent was made;
//   - a second one of the same person, and one that is needed no more: a person
//     counts for one Team;
//   - by the starter, their delegate, the Worker or its owner, unless the
//     Mission allows it, and then it is marked on the record;
//   - by anything that is not a person;
//   - in place of the Teams, by anybody but two admins who have no part in it, were
//     admins before the Intent was made, and each say why ([Glass]);
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
	"slices"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/origin"
	"sallyport.dev/internal/passkey"
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

// States lists all of them.
var States = []State{Open, Approved, Rejected, Expired, Withdrawn, Void}

// Verdict is what a person says.
type Verdict string

// The verdicts.
const (
	Approve Verdict = "approve"
	Reject  Verdict = "reject"
	// Glass is an admin's approval in place of the Teams. It takes two of them.
	Glass Verdict = "break-glass"
)

// Known says whether it is one of them.
func (v Verdict) Known() bool { return v == Approve || v == Reject || v == Glass }

// How long a Decision can wait for a person, and then for its use.
const (
	DefaultLife = 7 * 24 * time.Hour
	MaxLife     = 30 * 24 * time.Hour
)

// FactorLife is how long after it was made a Factor may be used.
const FactorLife = 2 * time.Minute

// Decision is the verdict on one revision of one Intent, or the wait for it.
type Decision struct {
	Tenant     ident.Tenant  `json:"tenant"`
	ID         string        `json:"id"` // "dec_…"
	Intent     string        `json:"intent"`
	Revision   int           `json:"revision"`
	Run        string        `json:"run"`
	Mission    string        `json:"mission"`
	Digest     intent.Digest `json:"digest"`
	Needs      []Need        `json:"needs,omitempty"` // all of them have to be met; none where policy decided
	Votes      []Vote        `json:"votes,omitempty"` // in their order
	State      State         `json:"state"`
	CreatedAt  time.Time     `json:"createdAt"`
	ExpiresAt  time.Time     `json:"expiresAt"`
	DecidedAt  time.Time     `json:"decidedAt,omitzero"`
	Reason     string        `json:"reason,omitempty"`     // of what ended it: one line; the Worker reads it
	BreakGlass bool          `json:"breakGlass,omitempty"` // two admins approved it in place of the Teams
	Passkey    bool          `json:"passkey,omitempty"`    // only votes by passkey count
	AutoBy     string        `json:"autoBy,omitempty"`     // "policy", or empty where a person decides
	Policies   []string      `json:"policies,omitempty"`   // that let it through, or that ask
	PolicySet  string        `json:"policySet,omitempty"`  // digest of the whole set
	Note       string        `json:"note,omitempty"`       // why it asks, in policy's words
	Notes      int           `json:"notes,omitempty"`      // how many questions and answers there are about its action
	HeldAt     time.Time     `json:"heldAt,omitzero"`      // when a known secret was first found in what its page shows
	// Origins is where the arguments were seen first; nil where nobody was asked.
	Origins *origin.Report `json:"origins,omitempty"`
	// Refused is why nothing of it is shown in a list, and nobody can decide on it: what
	// is stored about it can't be trusted, or can't be looked at.
	Refused string `json:"refused,omitempty"`
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
	// Proof is what a passkey signed; nil of another method.
	Proof *passkey.Assertion `json:"-"`
}

// AutoByPolicy marks a Decision that policy made.
const AutoByPolicy = "policy"

// New makes the open Decision that parks with an Intent, for the Teams of those
// names; the store gives them their ids. life zero means the default. Kind
// Invalid: a life over thirty days, no Team; Conflict: an Intent whose digest is
// not its own.
func New(i intent.Intent, needs []Need, life time.Duration, now time.Time) (Decision, error) {
	needs, err := join(needs)
	switch {
	case err != nil:
		return Decision{}, err
	case life == 0:
		life = DefaultLife
	case life < 0 || life > MaxLife:
		return Decision{}, fault.Newf(fault.Invalid, "a Decision can wait for at most %d days", int(MaxLife.Hours()/24))
	}
	if err := exact(i, i.Digest); err != nil {
		return Decision{}, err
	}
	d := about(i, life, now)
	d.Needs, d.State = needs, Open
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
	return Decision{Tenant: i.Tenant, ID: ident.At("dec", now), Intent: i.ID, Revision: i.Revision, Run: i.Run, Mission: i.Mission,
		Digest: i.Digest, CreatedAt: now, ExpiresAt: now.Add(life)}
}

// Approvers are the account ids of the people by whom it is approved: none where
// policy did it, or nobody yet; of a broken glass the admins, and they alone.
func (d Decision) Approvers() (ids []string) {
	for _, v := range d.Counted() {
		if v.Verdict == Approve && v.Glass == d.BreakGlass && v.Account != "" && !slices.Contains(ids, v.Account) {
			ids = append(ids, v.Account)
		}
	}
	return ids
}

// Missing is who is still to be asked.
func (d Decision) Missing() []Need { return Missing(d.Needs, d.Counted()) }

// Enough says whether the votes make the Decision an approval: of the Teams, or of
// the admins who broke the glass.
func (d Decision) Enough() bool {
	return d.BreakGlass && Broken(d.Counted()) || !d.BreakGlass && Met(d.Needs, d.Counted())
}

// SelfApproval says that a party's vote was counted, which the Mission allowed.
func (d Decision) SelfApproval() bool {
	return slices.ContainsFunc(d.Votes, func(v Vote) bool { return v.Self && v.Verdict == Approve })
}

// Teams are the names of those that are needed.
func (d Decision) Teams() []string {
	out := make([]string, len(d.Needs))
	for i, n := range d.Needs {
		out[i] = n.Team
	}
	return out
}

// TeamName is the name of a Team that is needed, by its id; "" for every other.
func (d Decision) TeamName(id string) string {
	if i := slices.IndexFunc(d.Needs, func(n Need) bool { return n.TeamID == id && id != "" }); i >= 0 {
		return d.Needs[i].Team
	}
	return ""
}

// By are the names of the people whose votes made the Decision what it is; none where
// it is open, or no vote ended it.
func (d Decision) By() (names []string) {
	if d.State != Approved && d.State != Rejected {
		return nil
	}
	for _, v := range d.Counted() {
		if d.State == Rejected && v.Verdict == Reject || d.State != Rejected && v.Verdict == Approve && v.Glass == d.BreakGlass {
			names = append(names, v.Name)
		}
	}
	return names
}
