package storetest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// admins are two people who have that role, and are in no Team.
func (o *office) admins() (*Human, *Human) {
	o.t.Helper()
	one, two := o.person(acme, "ida", ident.Admin), o.person(acme, "jon", ident.Admin)
	o.Pass(time.Hour)
	return one, two
}

func glassBroken(o *office) {
	one, two := o.admins()
	var told []string
	o.desk.OnGlass = func(_ context.Context, d decision.Decision, v decision.Vote) {
		told = append(told, v.Name+" "+string(d.State))
	}
	o.needs = []decision.Need{{Team: "finance", Count: 2}}
	d := o.park().Decision
	got, err := o.decide(d, decision.Glass, one)
	o.must(err)
	if got.State != decision.Open || got.BreakGlass {
		o.t.Fatalf("one admin made it %+v", got)
	}
	o.refuses(d, decision.Glass, one, decision.Voted)
	got, err = o.decide(d, decision.Glass, two)
	o.must(err)
	it := o.wantState(d, decision.Approved, intent.Approved)
	o.must(it.Decision.Holds(it.Intent, o.Now))
	es := o.entries(acme, audit.DecisionBreakGlass)
	if !got.BreakGlass || len(es) != 2 || es[1].Fields["why"] != "because" || es[1].Fields["state"] != "approved" ||
		o.entries(acme, audit.IntentDecided)[0].Fields["breakGlass"] != true || !slices.Equal(told, []string{"ida open", "jon approved"}) {
		o.t.Fatalf("the record has %+v, and told was %v", es, told)
	}
}

func glassHolds(o *office) {
	one, two := o.admins()
	o.starter = o.person(acme, "kim", ident.Admin) // of the Runs that follow
	o.Pass(time.Hour)
	d := o.park().Decision
	o.Pass(time.Second)
	late := o.person(acme, "lou", ident.Admin)
	o.refuses(d, decision.Glass, o.ann, decision.NotAdmin)
	o.refuses(d, decision.Glass, late, decision.NotAdmin)
	o.refuses(d, decision.Glass, o.starter, decision.OwnApproval)
	o.parties.AllowSelfApproval = true
	o.refuses(d, decision.Glass, o.starter, decision.OwnApproval)
	o.parties = decision.Parties{}
	bare := o.request(d, decision.Glass, one)
	_, err := o.desk.Decide(o.ctx, bare, o.Now)
	o.wantCode(err, decision.NoReason)
	for what, v := range map[string]decision.Verdict{"an approval": decision.Approve, "a rejection": decision.Reject} {
		r := o.request(d, v, one)
		r.Verdict, r.Reason = decision.Glass, "because"
		if _, err = o.desk.Decide(o.ctx, r, o.Now); decision.CodeOf(err) != decision.OtherFactor {
			o.t.Errorf("a factor for %s breaks the glass: %v", what, err)
		}
	}
	r := o.request(d, decision.Glass, o.ann)
	r.Verdict = decision.Approve
	_, err = o.desk.Decide(o.ctx, r, o.Now)
	o.wantCode(err, decision.OtherFactor)
	_, err = o.decide(d, decision.Glass, one)
	o.must(err)
	// One who got the role again, or other one-time codes by somebody, is new.
	for _, roles := range [][]ident.Role{{ident.Approver}, {ident.Admin}} {
		o.must(o.Dir.SetRoles(o.ctx, Admin(acme), acme, two.Account.ID, roles, o.Now))
		o.refuses(d, decision.Glass, two, decision.NotAdmin)
	}
	o.refuses(d, decision.Glass, two, decision.NotAdmin)
	o.known = map[string]string{"Siemens AG": "weapon"}
	o.refuses(d, decision.Glass, o.starter, decision.OwnApproval)
	three := o.park().Decision
	o.refuses(three, decision.Glass, one, decision.Altered)
	o.known = nil
	o.Pass(decision.DefaultLife)
	o.refuses(d, decision.Glass, late, decision.TooLate)
	o.wantState(d, decision.Open, intent.Parked)
}

func glassOff(o *office) {
	one, _ := o.admins()
	o.desk.NoGlass = true
	o.refuses(o.park().Decision, decision.Glass, one, decision.NotAdmin)
}

// list parks some, and makes a request for all of them.
func (o *office) list(n int, v decision.Verdict, h *Human) (decision.Together, []decision.Decision) {
	o.t.Helper()
	r := decision.Together{Tenant: acme, Verdict: v, Who: h.Account.Principal()}
	ds := make([]decision.Decision, n)
	for i := range ds {
		ds[i] = o.park().Decision
		r.List = append(r.List, decision.Seen{Decision: ds[i].ID, Digest: ds[i].Digest})
	}
	r.Factor = o.factorFor(decision.ActAll(ds, v, h.Account.ID), h)
	return r, ds
}

func together(o *office) {
	r, ds := o.list(3, decision.Approve, o.ann)
	got, err := o.desk.DecideAll(o.ctx, r, o.Now)
	o.must(err)
	for i, d := range ds {
		it := o.wantState(d, decision.Approved, intent.Approved)
		o.must(it.Decision.Holds(it.Intent, o.Now))
		if got[i].ID != d.ID {
			o.t.Fatalf("the answer is %+v", got)
		}
	}
	if es := o.entries(acme, audit.IntentDecided); len(es) != 3 {
		o.t.Fatalf("the record has %+v", es)
	}
	_, err = o.desk.DecideAll(o.ctx, r, o.Now)
	o.wantCode(err, decision.NotOpen)
	// All or none.
	for what, c := range map[string]struct {
		want  decision.Code
		spoil func(*decision.Together, []decision.Decision)
	}{
		"one has changed": {decision.NotOpen, func(_ *decision.Together, ds []decision.Decision) { o.edited(ds[1]) }},
		"one is decided": {decision.NotOpen, func(_ *decision.Together, ds []decision.Decision) {
			o.refuses(ds[2], decision.Approve, o.eve, decision.NotInTeam)
			o.approves(ds[2], o.bob, decision.Approved)
		}},
		"one was seen wrong": {decision.Changed, func(r *decision.Together, _ []decision.Decision) { r.List[2].Digest = r.List[1].Digest }},
		"a part of the list": {decision.OtherFactor, func(r *decision.Together, _ []decision.Decision) { r.List = r.List[:2] }},
		"another order":      {decision.OtherFactor, func(r *decision.Together, _ []decision.Decision) { slices.Reverse(r.List) }},
		"the other verdict":  {decision.OtherFactor, func(r *decision.Together, _ []decision.Decision) { r.Verdict = decision.Reject }},
		"a factor for one": {decision.OtherFactor, func(r *decision.Together, ds []decision.Decision) {
			r.Factor = o.factor(ds[0], decision.Approve, o.ann)
		}},
		"no factor":            {decision.NoFactor, func(r *decision.Together, _ []decision.Decision) { r.Factor = nil }},
		"no verdict":           {decision.NoVerdict, func(r *decision.Together, _ []decision.Decision) { r.Verdict = decision.Glass }},
		"somebody else's list": {decision.OtherFactor, func(r *decision.Together, _ []decision.Decision) { r.Who = o.bob.Account.Principal() }},
		"one more": {decision.OtherFactor, func(r *decision.Together, _ []decision.Decision) {
			d := o.park().Decision
			r.List = append(r.List, decision.Seen{Decision: d.ID, Digest: d.Digest})
		}},
	} {
		r, ds := o.list(3, decision.Approve, o.ann)
		c.spoil(&r, ds)
		_, err := o.desk.DecideAll(o.ctx, r, o.Now)
		if decision.CodeOf(err) != c.want {
			o.t.Errorf("%s: got %v", what, err)
		}
		o.wantState(ds[0], decision.Open, intent.Parked)
	}
	r, ds = o.list(2, decision.Approve, o.ann)
	_, err = o.desk.Decide(o.ctx, decision.Request{Tenant: acme, Decision: ds[0].ID, Verdict: decision.Approve, Digest: ds[0].Digest, Who: r.Who, Factor: r.Factor}, o.Now)
	o.wantCode(err, decision.OtherFactor) // the list's is for no single one
	o.wantState(ds[0], decision.Open, intent.Parked)
}

func notTogether(o *office) {
	a, b := o.park().Decision, o.park().Decision
	o.needs = of("finance", "legal")
	c := o.park().Decision
	for _, ids := range [][]string{{a.ID, c.ID}, {a.ID, b.ID, c.ID}} {
		_, _, err := o.desk.Alike(o.ctx, acme, ids, decision.Approve, o.ann.Account.ID)
		o.wantCode(err, decision.Unlike)
	}
	var many []string
	for n := range decision.MaxTogether + 1 {
		many = append(many, fmt.Sprint("dec_", n))
	}
	for _, ids := range [][]string{nil, {a.ID, a.ID}, many} {
		_, _, err := o.desk.Alike(o.ctx, acme, ids, decision.Approve, o.ann.Account.ID)
		o.wantKind(err, fault.Invalid)
	}
	_, _, err := o.desk.Alike(o.ctx, globex, []string{a.ID}, decision.Approve, o.ann.Account.ID)
	o.wantKind(err, fault.NotFound)
}
