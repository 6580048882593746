package decision

import (
	"bytes"
	"slices"
	"time"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Candidate is who wants to decide, and what is known about them.
type Candidate struct {
	Principal ident.Principal
	// Since is when they joined the Decision's Team; zero: they are not in it.
	Since  time.Time
	Factor *Factor
	// Seen is the digest on the page that they decided from.
	Seen intent.Digest
	// Altered says that a known secret stands in the action, so that no page
	// shows it as it is.
	Altered bool
}

// Parties are those whose verdict does not count, besides the Intent's starter.
type Parties struct {
	Starter   string   // of the Run: an account id, or a principal as "kind:id"
	Delegates []string // who acts for the starter
	Worker    string   // the Worker, where it is a principal
	Owner     string   // who runs an outside Worker
	// AllowSelfApproval is the Mission's: their verdict counts after all, and
	// is marked.
	AllowSelfApproval bool
}

// Judge says whether the verdict counts: nil, or a [Refusal]. self is true when
// it counts only because the Mission allows self-approval.
func Judge(d Decision, i intent.Intent, c Candidate, v Verdict, p Parties, now time.Time) (self bool, err error) {
	who := c.Principal
	switch {
	case who.Tenant == "" || who.Tenant != d.Tenant || i.Tenant != d.Tenant:
		return false, Refuse(OtherTenant)
	case who.Kind != ident.Person || who.ID == "":
		return false, Refuse(NotAPerson)
	case v != Approve && v != Reject:
		return false, Refuse(NoVerdict)
	case d.State != Open || i.State != intent.Parked || d.AutoBy != "":
		return false, Refuse(NotOpen)
	case !now.Before(d.ExpiresAt):
		return false, Refuse(TooLate)
	}
	if err := matches(d, i); err != nil {
		return false, err
	}
	if !c.Seen.Equal(d.Digest) {
		return false, Refuse(Changed)
	}
	switch {
	case d.TeamID == "" || c.Since.IsZero():
		return false, Refuse(NotInTeam)
	case !c.Since.Before(i.CreatedAt):
		return false, Refuse(JoinedLater)
	}
	if self = involved(who, i, p); self && !p.AllowSelfApproval {
		return false, Refuse(OwnApproval)
	}
	if c.Altered && v == Approve {
		return false, Refuse(Altered)
	}
	return self, checkFactor(d, c, v, now)
}

// Holds says whether d is an approval that lets this Intent out now: nil, or a
// [Refusal].
func (d Decision) Holds(i intent.Intent, now time.Time) error {
	switch {
	case d.Tenant == "" || d.Tenant != i.Tenant:
		return Refuse(OtherTenant)
	case d.State != Approved || !d.byPerson() && !d.byPolicy():
		return Refuse(NotApproved)
	case !now.Before(d.ExpiresAt):
		return Refuse(TooLate)
	}
	return matches(d, i)
}

func (d Decision) byPerson() bool { return d.AutoBy == "" && d.By != "" && d.Factor != "" }

func (d Decision) byPolicy() bool {
	return d.AutoBy == AutoByPolicy && len(d.Policies) > 0 && d.PolicySet != "" && d.By == ""
}

// matches says whether the Decision is about exactly this Intent.
func matches(d Decision, i intent.Intent) error {
	if d.Intent != i.ID || d.Run != i.Run || d.Revision != i.Revision || d.Mission != i.Mission {
		return Refuse(OtherIntent)
	}
	return exact(i, d.Digest)
}

// exact computes the Intent's digest again and compares it, and everything that
// the Intent says outside of what is digested with what is: a page that shows
// one and a wire that sends the other would be a lie.
func exact(i intent.Intent, want intent.Digest) error {
	got, err := i.Bound.Digest()
	if err != nil || !got.Equal(want) || !i.Digest.Equal(want) {
		return Refuse(Changed)
	}
	b := i.Bound
	if b.Tenant != i.Tenant || b.Run != i.Run || b.Intent != i.ID || b.Revision != i.Revision || b.Mission != i.Mission {
		return Refuse(OtherIntent)
	}
	if b.Connection != i.Connection || b.Tool != i.Tool || b.Reason != i.Reason || !sameJSON(b.Args, i.Args) {
		return Refuse(Changed)
	}
	return nil
}

func sameJSON(a, b []byte) bool {
	x, err1 := intent.Canonical(a)
	y, err2 := intent.Canonical(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// involved reports whether who is one of those whose verdict does not count.
func involved(who ident.Principal, i intent.Intent, p Parties) bool {
	parties := append([]string{i.Starter, p.Starter, p.Worker, p.Owner}, p.Delegates...)
	return slices.Contains(parties, who.ID) || slices.Contains(parties, who.String())
}

// checkFactor says whether the factor is a fresh one for this verdict. That it
// is on record and was not used is the store's part.
func checkFactor(d Decision, c Candidate, v Verdict, now time.Time) error {
	f := c.Factor
	switch {
	case f == nil || f.ID == "":
		return Refuse(NoFactor)
	case f.Tenant != d.Tenant || f.Account != c.Principal.ID || !f.For.Equal(d.Act(v, c.Principal.ID)):
		return Refuse(OtherFactor)
	case now.Sub(f.At) > FactorLife || f.At.After(now):
		return Refuse(StaleFactor)
	}
	return nil
}
