package console

import (
	"cmp"
	"fmt"
	"net/http"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

// togetherPage shows several actions of one kind, for one verdict on all of them.
type togetherPage struct {
	Frame
	Items   []asked
	Verdict decision.Verdict
	Reason  string
	Problem *problem
}

func (*togetherPage) name() string { return "together" }

// showTogether shows what was chosen in the queue.
func (v *visit) showTogether() error {
	p, err := v.togetherPage(v.URL.Query()["id"])
	if err != nil {
		return err
	}
	v.render(http.StatusOK, p)
	return nil
}

// togetherPage loads what is decided together: all of it may be seen and approved by
// who is signed in, and none is held.
func (v *visit) togetherPage(ids []string) (*togetherPage, error) {
	if _, _, err := v.Desk.Alike(v.Context(), v.who.Tenant, ids, decision.Approve, v.who.ID); err != nil {
		if fault.Is(err, fault.NotFound) {
			err = decision.Refuse(decision.OtherTenant)
		}
		return nil, err
	}
	p := &togetherPage{Frame: Frame{Title: fmt.Sprintf("%d Decisions together", len(ids))}}
	for _, id := range ids {
		it, err := v.Desk.Get(v.Context(), v.who.Tenant, id)
		if err != nil {
			return nil, err
		}
		if sees, err := v.sees(it.Decision); err != nil || !sees {
			return nil, cmp.Or(err, decision.Refuse(decision.OtherTenant))
		}
		if no, err := v.Desk.Would(v.Context(), v.who, it, decision.Approve, v.Now()); err != nil || no != nil {
			return nil, cmp.Or(err, no)
		}
		s, err := askedOf(it)
		if err != nil {
			return nil, err
		}
		p.Items = append(p.Items, s)
	}
	return p, nil
}

// decideTogether takes the one verdict.
func (v *visit) decideTogether() error {
	ids, digests := v.PostForm["id"], v.PostForm["digest"]
	verdict := decision.Verdict(v.PostFormValue("verdict"))
	err := v.verdictTogether(ids, digests, verdict)
	if err == nil {
		v.redirect("/decisions?done=decided")
		return nil
	}
	p, err2 := v.togetherPage(ids)
	if err2 != nil { // what it was about is not as it was
		return err
	}
	var status int
	status, p.Problem = v.notDone(err, "Nothing was decided")
	p.Verdict, p.Reason = verdict, v.PostFormValue("reason")
	v.render(status, p)
	return nil
}

func (v *visit) verdictTogether(ids, digests []string, verdict decision.Verdict) error {
	if len(ids) != len(digests) {
		return fault.New(fault.Invalid, "each Decision comes with the digest of what was shown")
	}
	items, act, err := v.Desk.Alike(v.Context(), v.who.Tenant, ids, verdict, v.who.ID)
	if err != nil {
		return err
	}
	r := decision.Together{Tenant: v.who.Tenant, Verdict: verdict, Reason: v.PostFormValue("reason"), Who: v.who}
	for i, it := range items {
		if sees, err := v.sees(it.Decision); err != nil || !sees {
			return cmp.Or(err, decision.Refuse(decision.OtherTenant))
		}
		seen := intent.Digest(digests[i])
		if !seen.Equal(it.Decision.Digest) {
			return decision.Refuse(decision.Changed)
		}
		r.List = append(r.List, decision.Seen{Decision: ids[i], Digest: seen})
	}
	for _, it := range items {
		if it.Decision.Passkey { // it signs for one action at a time
			return decision.Refuse(decision.NeedsPasskey)
		}
	}
	if r.Factor, err = v.freshly(act); err != nil {
		return err
	}
	_, err = v.Desk.DecideAll(v.Context(), r, v.Now())
	return err
}

// Choosable says whether a line of the queue can be chosen together with others.
func (q queued) Choosable() bool {
	return q.Mine && q.Held == nil && q.Decision.State == decision.Open
}
