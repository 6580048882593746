package console

import (
	"net/http"
	"slices"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

type queuePage struct {
	Frame
	State   decision.State
	States  []decision.State
	Items   []queued
	Several bool   // some of them can be decided together
	After   string // where this page begins
	Next    string // where the next page begins
}

func (*queuePage) name() string { return "queue" }

// queued is one line of the queue.
type queued struct {
	decision.Item
	Mine bool // who is signed in may decide on it
}

const queueRows = 100

// shownStates are those that the queue can be narrowed to.
var shownStates = []decision.State{decision.Open, decision.Approved, decision.Rejected, decision.Expired, decision.Withdrawn, decision.Void}

func (v *visit) queue() error {
	p, err := v.queuePage()
	if err == nil {
		v.render(http.StatusOK, p)
	}
	return err
}

// queuePage is the page that the request asks for, as it is now.
func (v *visit) queuePage() (*queuePage, error) {
	p := &queuePage{Frame: Frame{Title: "Decision Queue", Live: true}, State: decision.State(v.FormValue("state")), States: shownStates}
	if !slices.Contains(shownStates, p.State) {
		p.State = decision.Open
	}
	p.After = v.FormValue("after")
	f := decision.Filter{State: p.State, After: p.After, Limit: queueRows}
	if !v.who.Has(ident.Auditor) && !v.who.Has(ident.Admin) {
		f.Member = v.who.ID
	}
	items, err := v.Desk.Queue(v.Context(), v.who.Tenant, f)
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		no, err := v.refusal(v.who, it)
		if err != nil {
			return nil, err
		}
		p.Items = append(p.Items, queued{it, no == nil})
	}
	n := 0
	for _, q := range p.Items {
		if q.Choosable() {
			n++
		}
	}
	p.Several = n > 1 && v.who.Has(ident.Approver)
	if len(items) == queueRows {
		p.Next = items[queueRows-1].Decision.ID
	}
	// Theirs first; within both the oldest first, as the desk has them.
	slices.SortStableFunc(p.Items, func(a, b queued) int {
		switch {
		case a.Mine == b.Mine:
			return 0
		case a.Mine:
			return -1
		}
		return 1
	})
	return p, nil
}

// sees says whether who is signed in may see a Decision: auditors and admins
// all, approvers those of their Teams.
func (v *visit) sees(d decision.Decision) (bool, error) {
	if v.who.Has(ident.Auditor) || v.who.Has(ident.Admin) {
		return true, nil
	}
	if !v.who.Has(ident.Approver) {
		return false, nil
	}
	for _, n := range d.Needs {
		_, err := v.Desk.Facts.MemberSince(v.Context(), d.Tenant, n.TeamID, v.who.ID)
		if !fault.Is(err, fault.NotFound) {
			return err == nil, err
		}
	}
	return false, nil
}

// refusal is why a verdict of this person would not count, with everything but
// the factor judged as the desk will judge it; nil: it would. Of what is held a
// rejection is asked about.
func (v *visit) refusal(who ident.Principal, it decision.Item) (no, err error) {
	verdict := decision.Approve
	if it.Held != nil {
		verdict = decision.Reject
	}
	return v.Desk.Would(v.Context(), who, it, verdict, v.Now())
}
