package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Quorum plays the stories of Decisions that take several people.
func Quorum(t *testing.T, open func(*testing.T) Store) {
	stories := map[string]func(*office){
		"it takes so many different people":                     manyPeople,
		"it takes every Team, and a person counts for one":      everyTeam,
		"one person under several sessions at once counts once": onePersonAtOnce,
		"any member rejects, also after their own approval":     anyoneRejects,
		"of many for the last place exactly one settles":        lastPlace,
		"votes on an earlier revision count no more":            earlierVotes,
		"who joins between two votes does not count":            joinsBetween,
		"a Team that was made again is another":                 teamMadeAgain,
		"a vote is written as one, or not at all":               halfVote,
		"the queue of a member has what waits for a Team":       queueOfMember,
		"two admins break the glass":                            glassBroken,
		"the glass is broken by nobody else":                    glassHolds,
		"where it is turned off nobody breaks the glass":        glassOff,
		"a change voids the votes, and keeps what was":          changed,
		"of a change and an approval at once one happens":       changeRace,
		"half of a change is none":                              halfChange,
		"a question is answered by who started the Run":         questions,
		"several are decided together, or none":                 together,
		"what is not alike is not decided together":             notTogether,
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) { t.Parallel(); story(newOffice(t, open(t))) })
	}
}

// decide gives a verdict with a factor of its own.
func (o *office) decide(d decision.Decision, v decision.Verdict, h *Human) (decision.Decision, error) {
	o.t.Helper()
	r := o.request(d, v, h)
	r.Reason = "because"
	return o.desk.Decide(o.ctx, r, o.Now)
}

func (o *office) approves(d decision.Decision, h *Human, want decision.State) {
	o.t.Helper()
	got, err := o.decide(d, decision.Approve, h)
	o.must(err)
	if got.State != want {
		o.t.Fatalf("after %s's vote it is %s, want %s", h.Account.Name, got.State, want)
	}
}

func (o *office) refuses(d decision.Decision, v decision.Verdict, h *Human, want decision.Code) {
	o.t.Helper()
	_, err := o.decide(d, v, h)
	o.wantCode(err, want)
}

// team says who is in a Team from now on.
func (o *office) team(name string, members ...string) string {
	o.t.Helper()
	team, err := o.Dir.ApplyTeam(o.ctx, Admin(acme), acme, Team(name, members...), o.Now)
	o.must(err)
	return team.ID
}

func manyPeople(o *office) {
	o.needs = []decision.Need{{Team: "finance", Count: 2}}
	d := o.park().Decision
	o.approves(d, o.ann, decision.Open)
	it := o.wantState(d, decision.Open, intent.Parked)
	if left := it.Decision.Missing(); len(left) != 1 || left[0].Count != 1 || len(it.Decision.Votes) != 1 || it.Decision.Holds(it.Intent, o.Now) == nil {
		o.t.Fatalf("after one vote it is %+v", it.Decision)
	}
	voted := o.entries(acme, audit.DecisionVoted)
	if len(voted) != 1 || len(o.entries(acme, audit.IntentDecided)) != 0 || voted[0].Actor != "person:"+o.ann.Account.ID || voted[0].Fields["team"] != o.financeID {
		o.t.Fatalf("the record has %+v", voted)
	}
	o.refuses(d, decision.Approve, o.ann, decision.Voted)
	o.approves(d, o.bob, decision.Approved)
	it = o.wantState(d, decision.Approved, intent.Approved)
	o.must(it.Decision.Holds(it.Intent, o.Now))
	decided := o.entries(acme, audit.IntentDecided)
	if got, _ := decided[0].Fields["approvers"].([]string); len(decided) != 1 || !slices.Equal(got, []string{o.ann.Account.ID, o.bob.Account.ID}) {
		o.t.Fatalf("the record has %+v", decided)
	}
	rail, err := o.Store.Observations(o.ctx, acme, d.Run, 0, 10)
	o.must(err)
	if len(rail) != 2 || rail[0].Title != "approved by ann for the Team finance; still needed: 1 of finance" {
		o.t.Fatalf("the rail has %+v", rail)
	}
	o.refuses(d, decision.Approve, o.bob, decision.NotOpen)
}

func everyTeam(o *office) {
	o.team("legal", "eve", "ann")
	o.Pass(time.Hour)
	o.needs = of("finance", "legal")
	d := o.park().Decision
	o.approves(d, o.ann, decision.Open) // for finance, the first of hers
	o.refuses(d, decision.Approve, o.ann, decision.Voted)
	o.refuses(d, decision.Approve, o.bob, decision.Enough)
	o.approves(d, o.eve, decision.Approved)
	it := o.wantState(d, decision.Approved, intent.Approved)
	if v := it.Decision.Votes; v[0].TeamID != o.financeID || v[1].TeamID == o.financeID {
		o.t.Fatalf("the votes are %+v", v)
	}
	// With the first place taken, hers is the other.
	d = o.park().Decision
	o.approves(d, o.bob, decision.Open)
	o.approves(d, o.ann, decision.Approved)
}

func onePersonAtOnce(o *office) {
	o.needs = []decision.Need{{Team: "finance", Count: 2}, {Team: "legal", Count: 1}}
	o.team("legal", "eve", "ann")
	o.Pass(time.Hour)
	d := o.park().Decision
	rs := make([]decision.Request, 6)
	for i := range rs {
		rs[i] = o.request(d, decision.Approve, o.ann) // each with a factor of its own
	}
	won := o.race(rs, decision.Voted)
	it := o.wantState(d, decision.Open, intent.Parked)
	if won != 1 || len(it.Decision.Votes) != 1 || len(o.entries(acme, audit.DecisionVoted)) != 1 {
		o.t.Fatalf("%d of one person's votes counted: %+v", won, it.Decision.Votes)
	}
}

// race gives verdicts at the same time; of those that don't count each is refused
// for one of the reasons.
func (o *office) race(rs []decision.Request, codes ...decision.Code) (won int) {
	o.t.Helper()
	errs := make([]error, len(rs))
	var wg sync.WaitGroup
	for i, r := range rs {
		wg.Go(func() { _, errs[i] = o.desk.Decide(o.ctx, r, o.Now) })
	}
	wg.Wait()
	for _, err := range errs {
		if err == nil {
			won++
		} else if !slices.Contains(codes, decision.CodeOf(err)) && !errors.Is(err, decision.ErrRaced) {
			o.t.Errorf("a verdict ended with %v", err)
		}
	}
	return won
}

func anyoneRejects(o *office) {
	o.needs = []decision.Need{{Team: "finance", Count: 2}, {Team: "legal", Count: 1}}
	for _, h := range []*Human{o.ann, o.bob, o.eve} {
		d := o.park().Decision
		o.approves(d, o.ann, decision.Open)
		got, err := o.decide(d, decision.Reject, h)
		o.must(err)
		it := o.wantState(d, decision.Rejected, intent.Rejected)
		if by := got.By(); !slices.Equal(by, []string{h.Account.Name}) || it.Decision.Holds(it.Intent, o.Now) == nil {
			o.t.Fatalf("it was rejected by %v", by)
		}
		o.refuses(d, decision.Approve, o.bob, decision.NotOpen)
	}
}

func lastPlace(o *office) {
	names := []string{"ann", "bob"}
	people := []*Human{o.bob}
	for _, n := range []string{"cat", "dan", "fay"} {
		people, names = append(people, o.person(acme, n)), append(names, n)
	}
	o.team("finance", names...)
	o.Pass(time.Hour)
	o.needs = []decision.Need{{Team: "finance", Count: 2}}
	for range 4 {
		d := o.park().Decision
		o.approves(d, o.ann, decision.Open)
		var rs []decision.Request
		for _, h := range people {
			rs = append(rs, o.request(d, decision.Approve, h))
		}
		won := o.race(rs, decision.NotOpen)
		it := o.wantState(d, decision.Approved, intent.Approved)
		rows, err := o.Store.Audit().List(o.ctx, acme, audit.Filter{Type: audit.IntentDecided, Intent: d.Intent}, 0, 10)
		o.must(err)
		if won != 1 || len(it.Decision.Votes) != 2 || len(rows) != 1 {
			o.t.Fatalf("%d took the last place: %+v", won, it.Decision.Votes)
		}
	}
}

func earlierVotes(o *office) {
	o.needs = []decision.Need{{Team: "finance", Count: 2}}
	d := o.park().Decision
	late := o.request(d, decision.Approve, o.bob)
	o.approves(d, o.ann, decision.Open)
	next := o.edited(d)
	if len(next.Votes) != 0 || next.Revision != d.Revision+1 {
		o.t.Fatalf("the new Decision is %+v", next)
	}
	_, err := o.desk.Decide(o.ctx, late, o.Now) // made from the old page
	o.wantCode(err, decision.NotOpen)
	late.Decision, late.Digest = next.ID, next.Digest
	_, err = o.desk.Decide(o.ctx, late, o.Now) // its factor is for the old act
	o.wantCode(err, decision.OtherFactor)
	late.Digest = d.Digest
	_, err = o.desk.Decide(o.ctx, late, o.Now)
	o.wantCode(err, decision.Changed)
	o.approves(next, o.bob, decision.Open)
	o.approves(next, o.ann, decision.Approved)
}

func joinsBetween(o *office) {
	o.needs = []decision.Need{{Team: "finance", Count: 2}}
	d := o.park().Decision
	o.approves(d, o.ann, decision.Open)
	o.Pass(time.Second)
	o.team("finance", "ann", "bob", "sam", "eve")
	o.refuses(d, decision.Approve, o.eve, decision.JoinedLater)
	o.refuses(d, decision.Reject, o.eve, decision.JoinedLater)
	o.wantState(d, decision.Open, intent.Parked)
}

func teamMadeAgain(o *office) {
	o.needs = []decision.Need{{Team: "finance", Count: 2}}
	d := o.park().Decision
	o.approves(d, o.ann, decision.Open)
	o.must(o.Dir.RemoveTeam(o.ctx, Admin(acme), acme, "finance", o.Now))
	if again := o.team("finance", "ann", "bob"); again == o.financeID {
		o.t.Fatal("a Team that was made again has its old id")
	}
	o.Pass(time.Hour)
	o.refuses(d, decision.Approve, o.bob, decision.NotInTeam)
	o.wantState(d, decision.Open, intent.Parked)
}

// halfVote has the audit entry of a vote refused: nothing of it is there then.
func halfVote(o *office) {
	o.needs = []decision.Need{{Team: "finance", Count: 2}}
	d := o.park().Decision
	r := o.request(d, decision.Approve, o.ann)
	v := decision.Vote{Account: o.ann.Account.ID, Name: "ann", TeamID: o.financeID, Verdict: decision.Approve, At: o.Now, Factor: r.Factor.ID}
	bad := audit.Event{Type: audit.DecisionVoted, Tenant: acme, At: o.Now, Actor: "person:x", Fields: map[string]any{"password": "x"}}
	o.wantKind(o.Store.Settle(o.ctx, decision.Settlement{Decision: d, Vote: &v, Factor: r.Factor, At: o.Now, Events: []audit.Event{bad}}), fault.Invalid)
	if it := o.wantState(d, decision.Open, intent.Parked); len(it.Decision.Votes) != 0 {
		o.t.Fatalf("half of a vote is there: %+v", it.Decision.Votes)
	}
	_, err := o.desk.Decide(o.ctx, r, o.Now) // its factor was not used
	o.must(err)
	// A store that is told of an approval that is none refuses it.
	other := o.park().Decision
	r = o.request(other, decision.Approve, o.ann)
	v.Factor, other.State = r.Factor.ID, decision.Approved
	other.Needs, other.Votes = of("finance"), []decision.Vote{v}
	err = o.Store.Settle(o.ctx, decision.Settlement{Decision: other, Vote: &v, To: intent.Approved, Factor: r.Factor, At: o.Now})
	o.wantCode(err, decision.NotApproved)
	o.wantState(other, decision.Open, intent.Parked)
}

func queueOfMember(o *office) {
	o.needs = of("finance", "legal")
	d := o.park().Decision
	list := func(h *Human, s decision.State) int {
		items, err := o.desk.Queue(o.ctx, acme, decision.Filter{Member: h.Account.ID, State: s})
		o.must(err)
		return len(items)
	}
	if list(o.ann, decision.Open) != 1 || list(o.eve, decision.Open) != 1 || list(o.eve, "") != 1 {
		o.t.Fatal("a member does not see what waits for a Team of theirs")
	}
	_, err := o.decide(d, decision.Reject, o.eve)
	o.must(err)
	if list(o.ann, decision.Open) != 0 || list(o.ann, decision.Rejected) != 1 || list(o.ann, "") != 1 {
		o.t.Fatal("what was decided is in the wrong list")
	}
}

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

// edit is a change of what waits, as the gate makes it.
func (o *office) edit(d decision.Decision, name string) gate.Edited {
	o.t.Helper()
	was, err := o.desk.Get(o.ctx, acme, d.ID)
	o.must(err)
	it := was.Intent
	it.Revision, it.Edits, it.Args = it.Revision+1, it.Edits+1, json.RawMessage(`{"name":"`+name+`"}`)
	it.Bound.Revision, it.Bound.Args, it.Bound.Request.Body = it.Revision, it.Args, string(it.Args)
	it.Digest, err = it.Bound.Digest()
	o.must(err)
	next, err := decision.New(it, o.needs, 0, o.Now)
	o.must(err)
	return gate.Edited{Was: was, Now: it, Decision: next, By: o.bob.Account.Principal(), Reason: "it is cheaper", At: o.Now,
		Event: audit.Event{Type: audit.IntentEdited, Tenant: acme, At: o.Now, Actor: "person:x", Run: it.Run, Intent: it.ID,
			Fields: map[string]any{"digest": it.Digest, "decision": next.ID, "from": d.ID}},
		Observe: explain.Observation{Tenant: acme, Run: it.Run, At: o.Now, Kind: explain.Decision, Title: "changed", Intent: it.ID}}
}

// edited changes what waits, and gives its new Decision.
func (o *office) edited(d decision.Decision) decision.Decision {
	o.t.Helper()
	e := o.edit(d, "Siemens Energy AG")
	o.must(o.Store.Edit(o.ctx, e))
	got, err := o.desk.Get(o.ctx, acme, e.Decision.ID)
	o.must(err)
	return got.Decision
}

func changed(o *office) {
	o.needs = []decision.Need{{Team: "finance", Count: 2}}
	d := o.park().Decision
	o.approves(d, o.ann, decision.Open)
	again := o.edited(o.edited(d))
	it := o.wantState(again, decision.Open, intent.Parked)
	if len(it.Edits) != 2 || string(it.Edits[0].Args) != `{"name":"Siemens AG"}` || it.Edits[0].ByName != "bob" || it.Edits[0].Number != 1 ||
		len(it.Edits[0].Changes) != 1 || it.Edits[0].Changes[0].Path != "/name" || len(it.Edits[1].Changes) != 0 {
		o.t.Fatalf("what it was: %+v", it.Edits)
	}
	old, err := o.desk.Get(o.ctx, acme, d.ID)
	o.must(err)
	if old.Decision.State != decision.Void || old.Decision.Holds(it.Intent, o.Now) == nil {
		o.t.Fatalf("the old Decision is %s", old.Decision.State)
	}
	o.refuses(d, decision.Approve, o.bob, decision.NotOpen)
	// What it was is shown too, so it is held by it.
	o.known = map[string]string{"Siemens AG": "weapon"}
	held, err := o.desk.Get(o.ctx, acme, again.ID)
	o.must(err)
	if held.Held == nil || len(held.Edits) != 0 {
		o.t.Fatalf("it is not held by what it was: %+v", held)
	}
	_, err = o.desk.Editable(o.ctx, o.approver(o.ann), again.ID, again.Digest, o.Now)
	o.wantCode(err, decision.Altered)
	o.known = nil
	for what, c := range map[string]struct {
		who  *Human
		seen intent.Digest
		want decision.Code
	}{"an old page": {o.ann, d.Digest, decision.Changed}, "a stranger": {o.eve, again.Digest, decision.NotInTeam}, "the starter": {o.starter, again.Digest, decision.OwnApproval}, "a member": {o.ann, again.Digest, ""}} {
		if _, err := o.desk.Editable(o.ctx, o.approver(c.who), again.ID, c.seen, o.Now); decision.CodeOf(err) != c.want {
			o.t.Errorf("%s: %v", what, err)
		}
	}
	if _, err = o.desk.Editable(o.ctx, o.ann.Account.Principal(), again.ID, again.Digest, o.Now); !fault.Is(err, fault.Denied) {
		o.t.Errorf("without the role: %v", err)
	}
}

// approver is a person with the role.
func (o *office) approver(h *Human) ident.Principal {
	p := h.Account.Principal()
	p.Roles = []ident.Role{ident.Approver}
	return p
}

func changeRace(o *office) {
	for n := range 8 {
		d := o.park().Decision
		e, r := o.edit(d, fmt.Sprint("other ", n)), o.request(d, decision.Approve, o.ann)
		var voted, edited error
		var wg sync.WaitGroup
		wg.Go(func() { _, voted = o.desk.Decide(o.ctx, r, o.Now) })
		wg.Go(func() { edited = o.Store.Edit(o.ctx, e) })
		wg.Wait()
		it, err := o.Store.Intent(o.ctx, acme, d.Intent)
		o.must(err)
		now, err := o.Store.DecisionOf(o.ctx, acme, d.Intent)
		o.must(err)
		switch {
		case voted == nil && decision.CodeOf(edited) == decision.NotOpen:
			if it.State != intent.Approved || it.Revision != 1 || string(it.Args) != `{"name":"Siemens AG"}` || now.ID != d.ID {
				o.t.Fatalf("the vote won, and it is %+v", it)
			}
		case edited == nil && decision.CodeOf(voted) == decision.NotOpen:
			if it.State != intent.Parked || it.Revision != 2 || now.ID != e.Decision.ID || len(now.Votes) != 0 {
				o.t.Fatalf("the change won, and it is %+v under %+v", it, now)
			}
		default:
			o.t.Fatalf("the vote: %v, the change: %v", voted, edited)
		}
	}
}

func halfChange(o *office) {
	d := o.park().Decision
	e := o.edit(d, "other")
	e.Event.Fields = map[string]any{"password": "x"}
	o.wantKind(o.Store.Edit(o.ctx, e), fault.Invalid)
	it := o.wantState(d, decision.Open, intent.Parked)
	revisions, err := o.Store.Revisions(o.ctx, acme, d.Intent)
	o.must(err)
	if it.Intent.Revision != 1 || len(revisions) != 0 {
		o.t.Fatalf("half of a change is there: %+v, %+v", it.Intent, revisions)
	}
	o.approves(d, o.ann, decision.Approved)
}

func questions(o *office) {
	d := o.park().Decision
	_, err := o.desk.Ask(o.ctx, o.approver(o.eve), d.ID, d.Digest, "why?", o.Now)
	o.wantCode(err, decision.NotInTeam)
	_, err = o.desk.Ask(o.ctx, o.approver(o.ann), d.ID, "", "why?", o.Now)
	o.wantCode(err, decision.Changed)
	q, err := o.desk.Ask(o.ctx, o.approver(o.ann), d.ID, d.Digest, " is it \u202e a new\nvendor? ", o.Now)
	o.must(err)
	if q.Text != "is it  a new\nvendor?" {
		o.t.Errorf("it is asked %q", q.Text)
	}
	_, err = o.desk.Answer(o.ctx, o.bob.Account.Principal(), d.ID, q.ID, "yes", o.Now)
	o.wantCode(err, decision.OtherTenant)
	o.known = map[string]string{"hunter2": "weapon"}
	for _, text := range []string{"it is hunter2", "", string(make([]byte, 10)), string(slices.Repeat([]byte("x"), decision.MaxNote+1)), "\xff"} {
		_, err = o.desk.Answer(o.ctx, o.starter.Account.Principal(), d.ID, q.ID, text, o.Now)
		if k := fault.KindOf(err); k != fault.Denied && k != fault.Invalid {
			o.t.Errorf("%q was taken: %v", text, err)
		}
	}
	o.wantNowhere(acme, "hunter2")
	other := o.park().Decision
	_, err = o.desk.Answer(o.ctx, o.starter.Account.Principal(), other.ID, q.ID, "yes", o.Now)
	o.wantKind(err, fault.NotFound)
	_, err = o.desk.Answer(o.ctx, o.starter.Account.Principal(), d.ID, q.ID, "yes, CANARY", o.Now)
	o.must(err)
	_, err = o.desk.Answer(o.ctx, o.starter.Account.Principal(), d.ID, q.ID, "no", o.Now)
	o.wantKind(err, fault.Conflict)
	next := o.edited(d) // questions are about the action, whatever its revision
	it, err := o.desk.Get(o.ctx, acme, next.ID)
	o.must(err)
	if len(it.Notes) != 2 || it.Notes[0].Name != "ann" || it.Notes[1].Answers != q.ID || it.Decision.Notes != 2 {
		o.t.Fatalf("the notes are %+v", it.Notes)
	}
	if len(o.entries(acme, audit.DecisionAsked)) != 1 || len(o.entries(acme, audit.DecisionAnswered)) != 1 {
		o.t.Error("they are not on the record")
	}
	_, err = o.decide(next, decision.Reject, o.ann)
	o.must(err)
	_, err = o.desk.Ask(o.ctx, o.approver(o.ann), next.ID, next.Digest, "and?", o.Now)
	o.wantCode(err, decision.NotOpen)
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
