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
	// Since is when they joined each needed Team that they are in, by its id.
	Since map[string]time.Time
	// Admin is since when they have the role admin; zero: they have it not.
	Admin time.Time
	// NoGlass says that the glass can't be broken here.
	NoGlass bool
	Factor  *Factor
	// For is what the Factor is for, where that is a list that the Decision is one
	// of ([ActAll]); empty: for this Decision alone.
	For intent.Digest
	// Seen is the digest on the page that they decided from.
	Seen intent.Digest
	// Reason is why, as they say it.
	Reason string
	// Altered says that a known secret stands in the action, so that no page
	// shows it as it is.
	Altered bool
}

// Parties are those whose verdict does not count, besides the Intent's starter, and
// who answered for an outside Worker when it proposed it.
type Parties struct {
	Starter   string   // of the Run: an account id, or a principal as "kind:id"
	Delegates []string // who acts for the starter
	Worker    string   // the Worker, where it is a principal
	Owner     string   // who answers for an outside Worker now
	// AllowSelfApproval is the Mission's: their verdict counts after all, and
	// is marked.
	AllowSelfApproval bool
}

// Judge says whether the verdict counts, and as which vote, or gives a [Refusal].
func Judge(d Decision, i intent.Intent, c Candidate, v Verdict, p Parties, now time.Time) (Vote, error) {
	who := c.Principal
	switch {
	case who.Tenant == "" || who.Tenant != d.Tenant || i.Tenant != d.Tenant:
		return Vote{}, Refuse(OtherTenant)
	case who.Kind != ident.Person || who.ID == "":
		return Vote{}, Refuse(NotAPerson)
	case !v.Known():
		return Vote{}, Refuse(NoVerdict)
	case d.State != Open || i.State != intent.Parked || d.AutoBy != "":
		return Vote{}, Refuse(NotOpen)
	case !now.Before(d.ExpiresAt):
		return Vote{}, Refuse(TooLate)
	}
	if err := matches(d, i); err != nil {
		return Vote{}, err
	}
	if !c.Seen.Equal(d.Digest) {
		return Vote{}, Refuse(Changed)
	}
	vote := Vote{Account: who.ID, Name: who.Name, Verdict: v, At: now, Reason: c.Reason}
	if v == Glass {
		vote.Verdict, vote.Glass = Approve, true
	}
	var err error
	if vote.TeamID, err = seat(d, i, c, v); err != nil {
		return Vote{}, err
	}
	if vote.Self = involved(who, i, p); vote.Self && (v == Glass || !p.AllowSelfApproval) {
		return Vote{}, Refuse(OwnApproval)
	}
	switch {
	case c.Altered && v != Reject:
		return Vote{}, Refuse(Altered)
	case v == Glass && c.Reason == "":
		return Vote{}, Refuse(NoReason)
	}
	if err := checkFactor(d, c, v, now); err != nil {
		return Vote{}, err
	}
	vote.Factor, vote.Method = c.Factor.ID, c.Factor.Method
	return vote, nil
}

// seat is the id of the Team that a verdict counts for: the first that still needs
// somebody, of those that the person was in before the Intent was made. A
// rejection counts for any.
func seat(d Decision, i intent.Intent, c Candidate, v Verdict) (string, error) {
	if v == Glass {
		switch {
		case c.NoGlass:
			return "", &Refusal{NotAdmin, noGlass}
		case c.Admin.IsZero():
			return "", Refuse(NotAdmin)
		case !c.Admin.Before(i.CreatedAt):
			return "", &Refusal{NotAdmin, adminLater}
		case voted(d, c.Principal.ID, true):
			return "", Refuse(Voted)
		}
		return "", nil
	}
	no := NotInTeam
	for _, n := range d.Needs {
		since := c.Since[n.TeamID]
		switch {
		case n.TeamID == "" || since.IsZero():
		case !since.Before(i.CreatedAt):
			if no == NotInTeam {
				no = JoinedLater
			}
		case v == Reject:
			return n.TeamID, nil
		default:
			no = Enough
		}
	}
	if no != Enough {
		return "", Refuse(no)
	}
	if voted(d, c.Principal.ID, false) {
		return "", Refuse(Voted)
	}
	for _, n := range d.Missing() {
		if since := c.Since[n.TeamID]; n.TeamID != "" && !since.IsZero() && since.Before(i.CreatedAt) {
			return n.TeamID, nil
		}
	}
	return "", Refuse(Enough)
}

func voted(d Decision, account string, glass bool) bool {
	return slices.ContainsFunc(d.Counted(), func(v Vote) bool { return v.Account == account && v.Glass == glass })
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

// byPerson says whether enough people approved, and none was against it.
func (d Decision) byPerson() bool {
	if d.AutoBy != "" || slices.ContainsFunc(d.Votes, func(v Vote) bool { return v.Verdict != Approve }) {
		return false
	}
	return d.Enough()
}

func (d Decision) byPolicy() bool {
	return d.AutoBy == AutoByPolicy && len(d.Policies) > 0 && d.PolicySet != "" && len(d.Votes) == 0 && len(d.Needs) == 0
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
	parties := append([]string{i.Starter, i.Owner, p.Starter, p.Worker, p.Owner}, p.Delegates...)
	return slices.Contains(parties, who.ID) || slices.Contains(parties, who.String())
}

// checkFactor says whether the factor is a fresh one for this verdict. That it
// is on record and was not used is the store's part.
func checkFactor(d Decision, c Candidate, v Verdict, now time.Time) error {
	f, act := c.Factor, c.For
	if act == "" {
		act = d.Act(v, c.Principal.ID)
	}
	switch {
	case d.Passkey && (f == nil || f.Method != MethodPasskey):
		return Refuse(NeedsPasskey)
	case f == nil || f.ID == "":
		return Refuse(NoFactor)
	case f.Tenant != d.Tenant || f.Account != c.Principal.ID || !f.For.Equal(act):
		return Refuse(OtherFactor)
	case now.Sub(f.At) > FactorLife || f.At.After(now):
		return Refuse(StaleFactor)
	}
	return checkProof(f)
}
