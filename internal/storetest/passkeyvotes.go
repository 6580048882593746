package storetest

import (
	"slices"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/passkey/softkey"
)

// severalPasskeys: votes by password that were given before a passkey was asked for
// are kept, and count no more; who gave one votes again.
func severalPasskeys(o *office) {
	bob := o.Human(acme, "lou", ident.Approver)
	kim, k := o.decider()
	_, err := o.Dir.ApplyTeam(o.ctx, Admin(acme), acme, Team("finance", "ann", "bob", "sam", "kim", "lou"), o.Now)
	o.must(err)
	l, _ := bob.enrol("phone")
	o.Pass(48 * time.Hour)
	i := o.newIntent(acme)
	d, err := decision.New(i, []decision.Need{{Team: "finance", Count: 2}}, 0, o.Now)
	o.must(err)
	o.must(o.propose(i, d))
	got := func() decision.Decision {
		it, err := o.desk.Get(o.ctx, acme, d.ID)
		o.must(err)
		return it.Decision
	}
	_, err = o.desk.Decide(o.ctx, o.request(got(), decision.Approve, bob), o.Now)
	o.must(err)
	o.desk.Passkeys = true
	after, err := o.desk.Decide(o.ctx, o.byPasskey(kim, k, got(), decision.Approve), o.Now)
	o.must(err)
	if after.State != decision.Open || len(after.Missing()) != 1 || after.Missing()[0].Count != 1 {
		o.t.Fatalf("a vote by password counts: %+v", after)
	}
	_, err = o.desk.Decide(o.ctx, o.byPasskey(kim, k, got(), decision.Approve), o.Now)
	o.wantCode(err, decision.Voted)
	_, err = o.desk.Decide(o.ctx, o.byPasskey(bob, l, got(), decision.Approve), o.Now)
	o.must(err)
	it, err := o.desk.Get(o.ctx, acme, d.ID)
	o.must(err)
	o.must(it.Decision.Holds(it.Intent, o.Now))
	if len(it.Decision.Votes) != 3 || len(it.Decision.Approvers()) != 2 {
		o.t.Errorf("the votes are %+v", it.Decision.Votes)
	}
	o.wantProven()
}

func glassByPasskey(o *office) {
	o.desk.Passkeys = true
	admins := []*Human{o.Human(acme, "una", ident.Admin), o.Human(acme, "vic", ident.Admin)}
	keys := make([]*softkey.Key, len(admins))
	for i, h := range admins {
		keys[i], _ = h.enrol("key")
	}
	o.Pass(48 * time.Hour)
	d := o.park().Decision
	for i, h := range admins {
		r := o.byPasskey(h, keys[i], d, decision.Glass)
		r.Reason = "fire"
		_, err := o.desk.Decide(o.ctx, r, o.Now)
		o.must(err)
	}
	it, err := o.desk.Get(o.ctx, acme, d.ID)
	o.must(err)
	o.must(it.Decision.Holds(it.Intent, o.Now))
	o.wantProven()
}

// glassBesideVotes: a vote for a Team and one that breaks the glass are no help to
// each other, and who gave one that did not count is not named as one who approved.
func glassBesideVotes(o *office) {
	kim, k := o.decider()
	admins := []*Human{o.Human(acme, "una", ident.Admin), o.Human(acme, "vic", ident.Admin)}
	keys := make([]*softkey.Key, len(admins))
	for i, h := range admins {
		keys[i], _ = h.enrol("key")
	}
	o.desk.Passkeys = true
	o.Pass(48 * time.Hour)
	glass := func(d decision.Decision, n int) decision.Decision {
		r := o.byPasskey(admins[n], keys[n], d, decision.Glass)
		r.Reason = "fire"
		got, err := o.desk.Decide(o.ctx, r, o.Now)
		o.must(err)
		return got
	}
	o.needs = []decision.Need{{Team: "finance", Count: 2}}
	d := o.park().Decision
	_, err := o.desk.Decide(o.ctx, o.byPasskey(kim, k, d, decision.Approve), o.Now)
	o.must(err)
	glass(d, 0)
	if got := glass(d, 1); !slices.Equal(got.Approvers(), []string{admins[0].Account.ID, admins[1].Account.ID}) {
		o.t.Errorf("the glass was broken by %v", got.Approvers())
	}
	o.needs = []decision.Need{{Team: "finance", Count: 1}}
	d = o.park().Decision
	glass(d, 0)
	got, err := o.desk.Decide(o.ctx, o.byPasskey(kim, k, d, decision.Approve), o.Now)
	o.must(err)
	if got.State != decision.Approved || !slices.Equal(got.Approvers(), []string{kim.Account.ID}) || !slices.Equal(got.By(), []string{kim.Account.Name}) {
		o.t.Errorf("it was approved by %v", got.Approvers())
	}
	o.wantProven()
}

// wantProven verifies the log, as whoever has a copy of it does.
func (o *office) wantProven() {
	o.t.Helper()
	src, err := o.log()
	o.must(err)
	rep, err := audit.Verify(o.ctx, src, audit.VerifyOptions{})
	o.must(err)
	if f := rep.Findings(); len(f) != 0 {
		o.t.Errorf("the log has findings: %v", f)
	}
}
