package storetest

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
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
