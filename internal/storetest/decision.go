package storetest

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
)

// Decision plays the stories of package decision.
func Decision(t *testing.T, open func(*testing.T) Store) {
	stories := map[string]func(*office){
		"an approval lets the action out, once":                  approval,
		"a rejection's reason reaches the Worker":                rejection,
		"every way to cheat is refused for its reason":           cheats,
		"of two verdicts at the same time one counts":            verdictRace,
		"one factor at the same time for two uses counts once":   factorRace,
		"a self-approval that the Mission allows is marked":      selfApproval,
		"who left the Team between look and verdict is refused":  leftMeanwhile,
		"what nobody decides expires":                            expiry,
		"the Worker can withdraw, a stranger can't":              withdrawal,
		"a new Decision takes the place of the old one":          replaced,
		"a policy's Decision holds, and nobody can decide it":    byPolicy,
		"the queue shows a person their own Teams":               queue,
		"tenants do not see each other's Decisions":              decisionsApart,
		"a Decision without its Team is not stored":              noTeam,
		"whatever is tried, a Decision is used at most once":     atMostOnce,
		"what a Secret would alter is held, and not shown":       held,
		"origins are kept, cleaned, and hidden while it is held": origins,
		"a Secret stored between page and verdict holds it":      heldMeanwhile,
		"what nobody can say of is held fails closed":            heldFailsClosed,
		"what is held can be rejected, withdrawn, and expires":   heldEnds,
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) { t.Parallel(); story(newOffice(t, open(t))) })
	}
}

func approval(o *office) {
	o.ann = o.Human(acme, "rea") // with all that it takes to sign in
	_, err := o.Dir.ApplyTeam(o.ctx, Admin(acme), acme, Team("finance", "rea", "bob"), o.Now)
	o.must(err)
	o.Pass(time.Hour)
	d := o.park().Decision
	if d.Needs[0].TeamID != o.financeID || d.State != decision.Open || !d.ExpiresAt.Equal(o.Now.Add(decision.DefaultLife)) {
		o.t.Fatalf("the parked Decision is %+v", d)
	}
	r := o.request(d, decision.Approve, o.ann)
	got, err := o.desk.Decide(o.ctx, r, o.Now)
	o.must(err)
	it := o.wantState(d, decision.Approved, intent.Approved)
	if v := it.Decision.Votes; len(v) != 1 || v[0].Account != o.ann.Account.ID || v[0].Factor != r.Factor.ID || v[0].Method != "password+totp" || v[0].TeamID != o.financeID || got.ID != d.ID {
		o.t.Fatalf("the Decision is %+v", it.Decision)
	}
	o.must(it.Decision.Holds(it.Intent, o.Now))
	o.wantCode(it.Decision.Holds(it.Intent, d.ExpiresAt), decision.TooLate)
	es := o.entries(acme, audit.IntentDecided)
	if len(es) != 1 || es[0].Intent != d.Intent || es[0].Actor != "person:"+o.ann.Account.ID || es[0].Fields["digest"] != string(d.Digest) ||
		es[0].Fields["verdict"] != "approved" || es[0].Fields["factor"] != r.Factor.ID {
		o.t.Fatalf("the record has %+v", es)
	}
	rail, err := o.Store.Observations(o.ctx, acme, d.Run, 0, 10)
	o.must(err)
	if len(rail) != 1 || rail[0].Intent != d.Intent || !strings.Contains(rail[0].Title, "approved by rea") || o.woken != 1 {
		o.t.Fatalf("the rail has %+v, followers were woken %d times", rail, o.woken)
	}
	_, err = o.desk.Decide(o.ctx, o.request(d, decision.Approve, o.bob), o.Now)
	o.wantCode(err, decision.NotOpen)
}

func rejection(o *office) {
	d := o.park().Decision
	r := o.request(d, decision.Reject, o.ann)
	r.Reason = "wrong bank\n\taccount, key CANARY \u202e"
	_, err := o.desk.Decide(o.ctx, r, o.Now)
	o.must(err)
	it := o.wantState(d, decision.Rejected, intent.Rejected)
	if want := "wrong bank account, key [secret]"; it.Decision.Reason != want || !strings.Contains(it.Intent.Why, want) {
		o.t.Fatalf("the reasons are %q and %q", it.Decision.Reason, it.Intent.Why)
	}
	o.wantNowhere(acme, "CANARY")
	r.Reason = strings.Repeat("x", decision.MaxReason+1)
	_, err = o.desk.Decide(o.ctx, r, o.Now)
	o.wantKind(err, fault.Invalid)
}

func cheats(o *office) {
	base := o.Now
	d, other := o.park().Decision, o.park().Decision
	o.Pass(time.Minute)
	new := o.person(acme, "new")
	_, err := o.Dir.ApplyTeam(o.ctx, Admin(acme), acme, Team("finance", "ann", "bob", "sam", "new"), o.Now)
	o.must(err)
	spy := o.person(globex, "ann")
	_, err = o.Dir.ApplyTeam(o.ctx, Admin(globex), globex, Team("finance", "ann"), o.Now)
	o.must(err)
	for _, c := range []struct {
		what string
		want decision.Code
		by   *Human
		do   func(*decision.Request)
	}{
		{"another page was shown", decision.Changed, o.ann, func(r *decision.Request) { r.Digest = other.Digest }},
		{"the stored arguments were changed", decision.Changed, o.ann, func(*decision.Request) {
			o.tamper = func(i *intent.Intent) { i.Args = json.RawMessage(`{"name":"Evil AG"}`) }
		}},
		{"the arguments and the digest were changed", decision.Changed, o.ann, func(*decision.Request) {
			o.tamper = func(i *intent.Intent) {
				i.Args = json.RawMessage(`{"name":"Evil AG"}`)
				i.Bound.Args = i.Args
				i.Digest, _ = i.Bound.Digest()
			}
		}},
		{"the Intent was moved to another Run", decision.OtherIntent, o.ann, func(*decision.Request) { o.tamper = func(i *intent.Intent) { i.Run = other.Run } }},
		{"the revision is another", decision.OtherIntent, o.ann, func(*decision.Request) { o.tamper = func(i *intent.Intent) { i.Revision++ } }},
		{"a factor for another Run's action", decision.OtherFactor, o.ann, func(r *decision.Request) { r.Factor = o.factor(other, decision.Approve, o.ann) }},
		{"a factor for a rejection approves", decision.OtherFactor, o.ann, func(r *decision.Request) { r.Factor = o.factor(d, decision.Reject, o.ann) }},
		{"somebody else's factor", decision.OtherFactor, o.ann, func(r *decision.Request) { r.Factor = o.factor(d, decision.Approve, o.bob) }},
		{"a factor that is on no record", decision.FactorUsed, o.ann, func(r *decision.Request) { f := *r.Factor; f.ID = "fac_made_up"; r.Factor = &f }},
		{"a factor that was stored as used up", decision.FactorUsed, o.ann, func(r *decision.Request) {
			a, err := o.Store.AccountByID(o.ctx, acme, o.ann.Account.ID)
			o.must(err)
			f := identity.Factor(*r.Factor)
			f.ID = ident.New("fac")
			o.must(o.Store.AcceptProof(o.ctx, identity.Proof{Tenant: acme, Account: a.ID, Revision: a.Revision, Counter: a.Counter + 1, Attempts: a.ID, Factor: &f, Used: true}))
			r.Factor = (*decision.Factor)(&f)
		}},
		{"a factor made younger than it is", decision.FactorUsed, o.ann, func(r *decision.Request) {
			o.Pass(3 * time.Minute)
			f := *r.Factor
			f.At = o.Now
			r.Factor = &f
		}},
		{"a factor of three minutes ago", decision.StaleFactor, o.ann, func(*decision.Request) { o.Pass(3 * time.Minute) }},
		{"a session alone", decision.NoFactor, o.ann, func(r *decision.Request) { r.Factor = nil }},
		{"an own approval", decision.OwnApproval, o.starter, func(*decision.Request) {}},
		{"a delegate's approval", decision.OwnApproval, o.bob, func(*decision.Request) { o.parties.Delegates = []string{o.bob.Account.ID} }},
		{"the Worker's owner's approval", decision.OwnApproval, o.bob, func(*decision.Request) { o.parties.Owner = "person:" + o.bob.Account.ID }},
		{"somebody outside the Team", decision.NotInTeam, o.eve, func(*decision.Request) {}},
		{"somebody who joined afterwards", decision.JoinedLater, new, func(*decision.Request) {}},
		{"the Worker itself", decision.NotAPerson, o.ann, func(r *decision.Request) { r.Who = ident.Principal{Tenant: acme, Kind: ident.Run, ID: d.Run} }},
		{"the product itself", decision.NotAPerson, o.ann, func(r *decision.Request) { r.Who = Admin(acme) }},
		{"a person of another tenant", decision.OtherTenant, spy, func(r *decision.Request) {}},
		{"a verdict that is none", decision.NoVerdict, o.ann, func(r *decision.Request) { r.Verdict = "maybe" }},
		{"too late", decision.TooLate, o.ann, func(*decision.Request) { o.Now = base.Add(decision.DefaultLife) }},
	} {
		o.tamper, o.parties = nil, decision.Parties{}
		r := o.request(d, decision.Approve, c.by)
		c.do(&r)
		_, err := o.desk.Decide(o.ctx, r, o.Now)
		o.tamper = nil
		if decision.CodeOf(err) != c.want {
			o.t.Errorf("%s: got %v (%q), want %q", c.what, err, decision.CodeOf(err), c.want)
		}
		o.wantState(d, decision.Open, intent.Parked)
	}
	if n := len(o.entries(acme, audit.IntentDecided)); n != 0 {
		o.t.Fatalf("%d verdicts are on the record", n)
	}
}

func verdictRace(o *office) {
	d := o.park().Decision
	a, b := o.request(d, decision.Approve, o.ann), o.request(d, decision.Reject, o.bob)
	rs := []decision.Request{a, b, a, b, a, b}
	errs := make([]error, len(rs))
	var wg sync.WaitGroup
	for i, r := range rs {
		wg.Go(func() { _, errs[i] = o.desk.Decide(o.ctx, r, o.Now) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			o.wantCode(err, decision.NotOpen)
		}
	}
	if n := len(o.entries(acme, audit.IntentDecided)); won != 1 || n != 1 {
		o.t.Fatalf("%d verdicts counted and %d are on the record", won, n)
	}
}

func factorRace(o *office) {
	d := o.park().Decision
	r := o.request(d, decision.Approve, o.ann)
	// The Act differs for each Decision, so one factor for two Decisions takes a
	// store that is asked past the Desk.
	other := o.park().Decision
	settle := func(d decision.Decision) error {
		v := decision.Vote{Account: o.ann.Account.ID, TeamID: o.financeID, Verdict: decision.Approve, At: o.Now, Factor: r.Factor.ID}
		d.State, d.Votes = decision.Approved, []decision.Vote{v}
		return o.Store.Settle(o.ctx, decision.Settlement{Decision: d, Vote: &v, To: intent.Approved, Factor: r.Factor, Title: "approved", At: o.Now,
			Events: []audit.Event{{Type: audit.IntentDecided, Tenant: acme, At: o.Now, Actor: "person:" + o.ann.Account.ID}}})
	}
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i, d := range []decision.Decision{d, other} {
		wg.Go(func() { errs[i] = settle(d) })
	}
	wg.Wait()
	if errs[0] != nil {
		errs[0], errs[1] = errs[1], errs[0]
	}
	o.must(errs[0])
	o.wantCode(errs[1], decision.FactorUsed)
	if n := len(o.entries(acme, audit.IntentDecided)); n != 1 {
		o.t.Fatalf("%d verdicts are on the record", n)
	}
}

func selfApproval(o *office) {
	d := o.park().Decision
	o.parties.AllowSelfApproval = true
	_, err := o.desk.Decide(o.ctx, o.request(d, decision.Approve, o.starter), o.Now)
	o.must(err)
	it := o.wantState(d, decision.Approved, intent.Approved)
	if es := o.entries(acme, audit.IntentDecided); !it.Decision.SelfApproval() || es[0].Fields["selfApproval"] != true {
		o.t.Fatalf("the Decision is %+v, the record has %+v", it.Decision, es[0].Fields)
	}
	d = o.park().Decision
	_, err = o.desk.Decide(o.ctx, o.request(d, decision.Approve, o.ann), o.Now)
	o.must(err)
	if o.wantState(d, decision.Approved, intent.Approved).Decision.SelfApproval() {
		o.t.Fatal("somebody else's approval is marked as a self-approval")
	}
}

// of needs one person of each Team.
func of(teams ...string) (needs []decision.Need) {
	for _, t := range teams {
		needs = append(needs, decision.Need{Team: t, Count: 1})
	}
	return needs
}

// stale facts are those of a moment ago.
type stale struct {
	*office
	since time.Time
}

func (s stale) MemberSince(context.Context, ident.Tenant, string, string) (time.Time, error) {
	return s.since, nil
}

func leftMeanwhile(o *office) {
	d := o.park().Decision
	cfg := o.desk.Config
	cfg.Facts = stale{o, Start}
	desk, err := decision.NewDesk(cfg)
	o.must(err)
	r := o.request(d, decision.Approve, o.ann)
	_, err = o.Dir.ApplyTeam(o.ctx, Admin(acme), acme, Team("finance", "bob"), o.Now)
	o.must(err)
	_, err = desk.Decide(o.ctx, r, o.Now)
	o.wantCode(err, decision.NotInTeam)
	_, err = o.Dir.ApplyTeam(o.ctx, Admin(acme), acme, Team("finance", "bob", "ann"), o.Now)
	o.must(err)
	_, err = desk.Decide(o.ctx, r, o.Now)
	o.wantCode(err, decision.NotInTeam) // back, but later than the Intent
	o.wantState(d, decision.Open, intent.Parked)
}

func expiry(o *office) {
	d := o.park().Decision
	o.Pass(decision.DefaultLife - time.Millisecond)
	n, err := o.desk.Expire(o.ctx, o.Now)
	o.must(err)
	if n != 0 {
		o.t.Fatalf("%d expired too early", n)
	}
	o.Pass(time.Millisecond)
	n, err = o.desk.Expire(o.ctx, o.Now)
	o.must(err)
	if n != 1 {
		o.t.Fatalf("%d expired, want 1", n)
	}
	it := o.wantState(d, decision.Expired, intent.Expired)
	if it.Intent.Why == "" || o.entries(acme, audit.IntentDecided)[0].Actor != "system:sweeper" {
		o.t.Fatalf("the Intent says %q", it.Intent.Why)
	}
	_, err = o.desk.Decide(o.ctx, o.request(d, decision.Approve, o.ann), o.Now)
	o.wantCode(err, decision.NotOpen)
	if n, err = o.desk.Expire(o.ctx, o.Now); n != 0 || err != nil {
		o.t.Fatalf("it expired again: %d, %v", n, err)
	}
}

func withdrawal(o *office) {
	d, e := o.park().Decision, o.park().Decision
	worker := func(run string) ident.Principal { return ident.Principal{Tenant: acme, Kind: ident.Run, ID: run} }
	for _, who := range []ident.Principal{worker(e.Run), o.eve.Account.Principal(), o.ann.Account.Principal()} {
		_, err := o.desk.Withdraw(o.ctx, who, acme, d.ID, "", o.Now)
		o.wantKind(err, fault.Denied)
	}
	_, err := o.desk.Withdraw(o.ctx, ident.Principal{Tenant: globex, Kind: ident.Run, ID: d.Run}, acme, d.ID, "", o.Now)
	o.wantCode(err, decision.OtherTenant)
	_, err = o.desk.Withdraw(o.ctx, worker(d.Run), acme, d.ID, "found a duplicate", o.Now)
	o.must(err)
	o.wantState(d, decision.Withdrawn, intent.Withdrawn)
	_, err = o.desk.Decide(o.ctx, o.request(d, decision.Approve, o.ann), o.Now)
	o.wantCode(err, decision.NotOpen)
	_, err = o.desk.Withdraw(o.ctx, o.starter.Account.Principal(), acme, e.ID, "", o.Now)
	o.must(err)
}

func replaced(o *office) {
	i := o.newIntent(acme)
	first := decision.ByPolicy(i, []string{"write/allow"}, strings.Repeat("a", 64), o.Now)
	i.State = intent.Approved
	o.must(o.propose(i, first))
	again := i
	var err error
	again.Revision++
	again.Bound.Revision++
	again.Digest, err = again.Bound.Digest()
	o.must(err)
	second, err := decision.New(again, of("finance"), time.Hour, o.Now)
	o.must(err)
	o.must(o.repark(again, second))
	got, err := o.Store.Decision(o.ctx, acme, first.ID)
	o.must(err)
	if got.State != decision.Void {
		o.t.Fatalf("the first Decision is %s", got.State)
	}
	o.wantCode(got.Holds(i, o.Now), decision.NotApproved)
	now, err := o.Store.DecisionOf(o.ctx, acme, i.ID)
	o.must(err)
	if now.ID != second.ID || now.State != decision.Open {
		o.t.Fatalf("the Decision that counts is %+v", now)
	}
	_, err = o.desk.Decide(o.ctx, o.request(now, decision.Approve, o.ann), o.Now)
	o.must(err)
}

func byPolicy(o *office) {
	i := o.newIntent(acme)
	d := decision.ByPolicy(i, []string{"tickets/unattended", "tickets/always"}, strings.Repeat("b", 64), o.Now)
	i.State = intent.Approved
	o.must(o.propose(i, d))
	got, err := o.Store.DecisionOf(o.ctx, acme, i.ID)
	o.must(err)
	o.must(got.Holds(i, o.Now))
	if !slices.Equal(got.Policies, d.Policies) || got.PolicySet != d.PolicySet || got.AutoBy != decision.AutoByPolicy || len(got.Approvers()) != 0 {
		o.t.Fatalf("the Decision is %+v", got)
	}
	_, err = o.desk.Decide(o.ctx, o.request(got, decision.Reject, o.ann), o.Now)
	o.wantCode(err, decision.NotOpen)
}

func queue(o *office) {
	var want []string
	for range 3 {
		want = append(want, o.park().Decision.ID)
		o.Pass(time.Second)
	}
	o.needs = of("legal")
	legal := o.park().Decision
	list := func(f decision.Filter) (ids []string) {
		items, err := o.desk.Queue(o.ctx, acme, f)
		o.must(err)
		for _, it := range items {
			if it.Intent.ID != it.Decision.Intent {
				o.t.Fatalf("an item has the Intent %s, want %s", it.Intent.ID, it.Decision.Intent)
			}
			ids = append(ids, it.Decision.ID)
		}
		return ids
	}
	for _, c := range []struct {
		f    decision.Filter
		want []string
	}{
		{decision.Filter{}, append(slices.Clone(want), legal.ID)},
		{decision.Filter{State: decision.Open, Member: o.ann.Account.ID}, want},
		{decision.Filter{Member: o.eve.Account.ID}, []string{legal.ID}},
		{decision.Filter{After: want[0], Limit: 1}, want[1:2]},
		{decision.Filter{Run: legal.Run}, []string{legal.ID}},
		{decision.Filter{Intent: legal.Intent}, []string{legal.ID}},
		{decision.Filter{State: decision.Approved}, nil},
	} {
		if got := list(c.f); !slices.Equal(got, c.want) {
			o.t.Errorf("%+v lists %v, want %v", c.f, got, c.want)
		}
	}
}

func decisionsApart(o *office) {
	d := o.park().Decision
	spy := o.person(globex, "ann")
	_, err := o.Dir.ApplyTeam(o.ctx, Admin(globex), globex, Team("finance", "ann"), o.Now)
	o.must(err)
	o.Pass(time.Second)
	theirs := o.parkIn(globex).Decision
	_, err = o.desk.Get(o.ctx, globex, d.ID)
	o.wantKind(err, fault.NotFound)
	items, err := o.desk.Queue(o.ctx, globex, decision.Filter{})
	o.must(err)
	if len(items) != 1 || items[0].Decision.ID != theirs.ID {
		o.t.Fatalf("globex sees %+v", items)
	}
	r := o.request(d, decision.Approve, spy)
	for _, tenant := range []ident.Tenant{acme, globex} {
		r.Tenant = tenant
		_, err := o.desk.Decide(o.ctx, r, o.Now)
		o.wantKind(err, fault.NotFound)
	}
	r = o.request(theirs, decision.Approve, o.ann)
	_, err = o.desk.Decide(o.ctx, r, o.Now)
	o.wantCode(err, decision.OtherTenant)
	_, err = o.desk.Decide(o.ctx, o.request(theirs, decision.Approve, spy), o.Now)
	o.must(err)
	o.wantState(d, decision.Open, intent.Parked)
}

func noTeam(o *office) {
	i := o.newIntent(acme)
	d, err := decision.New(i, of("nobody"), 0, o.Now)
	o.must(err)
	o.wantKind(o.propose(i, d), fault.Invalid)
	_, err = o.Store.Intent(o.ctx, acme, i.ID)
	o.wantKind(err, fault.NotFound)
}

// atMostOnce tries everything that can end a Decision, in many orders and at the
// same time: one thing happened, and it is what the record says.
func atMostOnce(o *office) {
	for seed := range uint64(12) {
		rnd := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's order
		d := o.park().Decision
		approve, reject := o.request(d, decision.Approve, o.ann), o.request(d, decision.Reject, o.bob)
		steps := []func() error{
			func() error { _, err := o.desk.Decide(o.ctx, approve, o.Now); return err },
			func() error { _, err := o.desk.Decide(o.ctx, reject, o.Now); return err },
			func() error {
				_, err := o.desk.Withdraw(o.ctx, ident.Principal{Tenant: acme, Kind: ident.Run, ID: d.Run}, acme, d.ID, "", o.Now)
				return err
			},
		}
		steps = append(steps, steps...)
		rnd.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
		var won atomic.Int32
		var wg sync.WaitGroup
		for _, step := range steps {
			wg.Go(func() {
				if step() == nil {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		rows, err := o.Store.Audit().List(o.ctx, acme, audit.Filter{Type: audit.IntentDecided, Intent: d.Intent}, 0, 10)
		o.must(err)
		if won.Load() != 1 || len(rows) != 1 {
			o.t.Fatalf("seed %d: %d steps succeeded and %d are on the record", seed, won.Load(), len(rows))
		}
	}
}
