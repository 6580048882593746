package decision

import (
	"slices"
	"time"

	"sallyport.dev/internal/fault"
)

// Need is so many different people of one Team. A Decision is an approval when
// every one of its needs is met.
type Need struct {
	Team   string `json:"team"`             // the name, as it was
	TeamID string `json:"teamId,omitempty"` // which Team: given when it is stored, never changes
	Count  int    `json:"count"`            // at least 1
}

// MaxCount is the most people of one Team that can be asked for.
const MaxCount = 20

// Vote is what one person said, and by which fresh proof. It counts for one Team
// alone, whatever else they are in.
type Vote struct {
	Account string    `json:"account"`
	Name    string    `json:"name"`             // as it was, for display
	TeamID  string    `json:"teamId,omitempty"` // the Team that it counts for; empty where it breaks the glass
	Verdict Verdict   `json:"verdict"`          // approve or reject
	At      time.Time `json:"at"`
	Factor  string    `json:"factor"` // its id
	Method  string    `json:"method"` // of the Factor
	Reason  string    `json:"reason,omitempty"`
	Self    bool      `json:"self,omitempty"`  // of a party, which the Mission allows
	Glass   bool      `json:"glass,omitempty"` // an admin's, in place of the Teams
}

// approves says whether a vote can count towards an approval.
func (v Vote) approves(glass bool) bool {
	return v.Verdict == Approve && v.Glass == glass && v.Account != "" && v.Factor != ""
}

// Missing is what votes leave open of needs: who is still to be asked. A person
// counts once, for the Team of their first vote.
func Missing(needs []Need, votes []Vote) (open []Need) {
	seen, have := map[string]bool{}, map[string]int{}
	for _, v := range votes {
		if v.approves(false) && !seen[v.Account] {
			seen[v.Account] = true
			have[v.TeamID]++
		}
	}
	for _, n := range needs {
		n.Count = max(n.Count, 1)
		if n.TeamID != "" { // nobody is of no Team
			taken := min(n.Count, have[n.TeamID])
			have[n.TeamID] -= taken
			n.Count -= taken
		}
		if n.Count > 0 {
			open = append(open, n)
		}
	}
	return open
}

// Met says whether votes meet every need. Where nothing is needed, nobody is
// named, and that is no approval.
func Met(needs []Need, votes []Vote) bool { return len(needs) > 0 && len(Missing(needs, votes)) == 0 }

// glassPeople is how many admins it takes to decide in place of the Teams.
const glassPeople = 2

// Broken says whether the glass is broken: by two different people, each with a
// reason.
func Broken(votes []Vote) bool {
	seen := map[string]bool{}
	for _, v := range votes {
		if v.approves(true) && v.Reason != "" {
			seen[v.Account] = true
		}
	}
	return len(seen) >= glassPeople
}

// join makes one need of those of the same Team: the highest count.
func join(needs []Need) ([]Need, error) {
	var out []Need
	for _, n := range needs {
		if n.Team == "" || n.Count < 1 || n.Count > MaxCount {
			return nil, fault.Newf(fault.Invalid, "a Decision asks for 1 to %d people of a Team", MaxCount)
		}
		if i := slices.IndexFunc(out, func(o Need) bool { return o.Team == n.Team }); i >= 0 {
			out[i].Count = max(out[i].Count, n.Count)
		} else {
			out = append(out, n)
		}
	}
	if len(out) == 0 {
		return nil, fault.New(fault.Invalid, "nobody is named who could decide").
			WithHint("name a Team in the Mission's decisions")
	}
	return out, nil
}
