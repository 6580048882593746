package demo_test

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"sallyport.dev/client"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// The ways that turn on who decides, with what proof, and when.

// factor is a real one, made for one verdict on one Decision by one person.
func (c *cheats) factor(who string, p parked, v decision.Verdict) *decision.Factor {
	c.t.Helper()
	it, err := c.App.Desk.Get(c.t.Context(), demo.Tenant, p.Decision.ID)
	c.must(err)
	f, err := c.App.Directory.Confirm(c.t.Context(), c.principal(who), c.People[who].Password, c.code(who), it.Decision.Act(v, c.principal(who).ID), c.clock.now())
	c.must(err)
	out := decision.Factor(f)
	return &out
}

// desk decides past the API, with any factor.
func (c *cheats) desk(who ident.Principal, p parked, f *decision.Factor) error {
	_, err := c.App.Desk.Decide(c.t.Context(), decision.Request{Tenant: demo.Tenant, Decision: p.Decision.ID, Verdict: decision.Approve,
		Digest: intent.Digest(p.Decision.Digest), Who: who, Factor: f}, c.clock.now())
	return err
}

func (c *cheats) refusedAtDesk(p parked, err error, code decision.Code) {
	c.t.Helper()
	if decision.CodeOf(err) != code {
		c.t.Errorf("the verdict was answered with %v, not refused as %s", err, code)
	}
	c.unsent(p)
}

func (c *cheats) ownApproval() {
	own := c.park("clerk")
	c.refused(own, c.decide("clerk", own.item, "approve"), decision.OwnApproval)
	// A builder who puts himself into the team first, and one who does so later.
	late := c.park("boss")
	c.team("approver", "second", "leaver", "clerk", "boss", "requester")
	c.refused(late, c.decide("boss", late.item, "approve"), decision.JoinedLater)
	boss := c.park("boss")
	c.refused(boss, c.decide("boss", boss.item, "approve"), decision.OwnApproval)
	// The starter in the team, who is no approver: nobody without the role is in one.
	p := c.park("requester")
	if err := c.decide("requester", p.item, "approve"); problemOf(err).Kind != "denied" {
		c.t.Errorf("the requester's approval: %v", err)
	}
	c.refusedAtDesk(p, c.desk(c.principal("requester"), p, c.factor("requester", p, decision.Approve)), decision.NotInTeam)
	c.staffed()
	// Where the Mission allows it, it is marked.
	m := applied[*resource.Mission](c.world, resource.KindMission, "vendor-onboarding")
	m.AllowSelfApproval = true
	c.apply(m)
	c.must(c.decide("clerk", own.item, "approve"))
	c.done(own)
	marked := false
	for _, e := range c.trail("intent=" + own.id()) {
		marked = marked || e.Type == "intent.decided" && e.Fields["selfApproval"] == true
	}
	if !marked || !strings.Contains(c.rail(own.run), "self-approval") {
		c.t.Errorf("the self-approval is not marked: %+v\n%s", c.trail("intent="+own.id()), c.rail(own.run))
	}
	m.AllowSelfApproval = false
	c.apply(m)
}

func (c *cheats) atTheSameTime() {
	for _, verdicts := range [][2]string{{"approve", "approve"}, {"approve", "reject"}} {
		p := c.park("requester")
		var wg sync.WaitGroup
		errs := make([]error, 2)
		people := []string{"approver", "second"}
		clients := []*client.Client{c.as(people[0]), c.as(people[1])} // signing in moves the clock
		for i, code := range c.codes(people...) {
			as := clients[i]
			body := map[string]any{"verdict": verdicts[i], "digest": p.Decision.Digest, "password": c.People[people[i]].Password, "code": code}
			wg.Go(func() { errs[i] = as.Call(c.t.Context(), "POST", "/v1/decisions/"+p.Decision.ID, body, nil) })
		}
		wg.Wait()
		won := 0
		if errs[0] != nil {
			won = 1
		}
		if errs[won] != nil || problemOf(errs[1-won]).Code != string(decision.NotOpen) {
			c.t.Fatalf("the two verdicts were answered with %v and %v", errs[0], errs[1])
		}
		if verdicts[won] == "approve" {
			c.done(p)
		} else {
			c.eventually("it is rejected", func() bool { return c.intent(p.run, p.id()).State == intent.Rejected })
			c.unsent(p)
		}
		if trail := c.trail("intent=" + p.id()); count(trail, "intent.decided") != 1 || count(trail, "verdict.refused") != 1 {
			c.t.Errorf("the audit log has %+v", trail)
		}
	}
}

func (c *cheats) outsideTheTeam() {
	p := c.park("requester")
	c.refused(p, c.decide("outsider", p.item, "approve"), decision.NotInTeam)
	c.team("approver", "second", "leaver", "clerk", "outsider")
	c.refused(p, c.decide("outsider", p.item, "approve"), decision.JoinedLater)

	left, gate := c.approved("leaver")
	c.team("approver", "second", "clerk")
	gate.release()
	c.askedAgain(left)
	c.refused(p, c.decide("leaver", p.item, "approve"), decision.NotInTeam)

	c.staffed() // who comes back joins anew
	c.refused(p, c.decide("leaver", p.item, "approve"), decision.JoinedLater)
	back, gate := c.approved("leaver")
	c.team("approver", "second", "clerk")
	c.staffed()
	gate.release()
	c.askedAgain(back)

	disabled, gate := c.approved("leaver")
	c.must(c.as("admin").Call(c.t.Context(), "POST", "/v1/accounts/"+c.principal("leaver").ID+"/disable", nil, nil))
	gate.release()
	c.askedAgain(disabled)
	if err := c.client(c.tokens["leaver"]).Call(c.t.Context(), "POST", "/v1/decisions/"+p.Decision.ID, map[string]any{
		"verdict": "approve", "digest": p.Decision.Digest, "password": c.People["leaver"].Password, "code": c.code("leaver")}, nil); problemOf(err).Kind != "unauthenticated" {
		c.t.Errorf("a disabled account's approval: %v", err)
	}
	// The Mission's rule naming another team later does not move what waits.
	own := applied[*resource.Team](c.world, resource.KindTeam, "procurement")
	own.Members = []string{"outsider"}
	m := applied[*resource.Mission](c.world, resource.KindMission, "vendor-onboarding")
	m.Decisions[0].Team = "procurement"
	c.apply(own, m)
	c.refused(p, c.decide("outsider", p.item, "approve"), decision.NotInTeam)
	m.Decisions[0].Team = "finance"
	c.apply(m)
}

func (c *cheats) tokenAlone() {
	p := c.park("requester")
	as := c.as("approver")
	good := c.People["approver"].Password
	spent := c.code("approver")
	try := func(password, code string) error {
		return as.Call(c.t.Context(), "POST", "/v1/decisions/"+p.Decision.ID, map[string]any{
			"verdict": "approve", "digest": p.Decision.Digest, "password": password, "code": code}, nil)
	}
	c.refused(p, try("", ""), decision.NoFactor)
	c.refused(p, try(good, ""), decision.NoFactor)
	c.refused(p, try("", c.code("approver")), decision.NoFactor)
	c.refusedAtDesk(p, c.desk(c.principal("approver"), p, nil), decision.NoFactor)

	failed := count(c.trail("type=session.failed"), "session.failed")
	for what, err := range map[string]error{
		"a wrong code":              try(good, "000000"),
		"a wrong password":          try("not the password", c.code("approver")),
		"the code of half a minute": try(good, spent),
	} {
		if problemOf(err).Kind != "unauthenticated" {
			c.t.Errorf("%s: %v", what, err)
		}
	}
	if n := count(c.trail("type=session.failed"), "session.failed") - failed; n != 3 {
		c.t.Errorf("the audit log has %d failed confirmations", n)
	}
	c.unsent(p)
	c.clock.advance(10 * time.Minute)
	c.must(c.decide("approver", p.item, "approve")) // the real one still counts
	c.done(p)
}

func (c *cheats) runDecides() {
	p := c.park("requester")
	for _, body := range []map[string]any{
		{"verdict": "approve", "digest": p.Decision.Digest},
		{"verdict": "approve", "digest": p.Decision.Digest, "password": c.People["approver"].Password, "code": c.code("approver")},
	} {
		if err := p.call("POST", "/v1/decisions/"+p.Decision.ID, body, nil); problemOf(err).Kind != "denied" {
			c.t.Errorf("a Run's token decides: %v", err)
		}
	}
	run := ident.Principal{Tenant: demo.Tenant, Kind: ident.Run, ID: p.run}
	c.refusedAtDesk(p, c.desk(run, p, c.factor("approver", p, decision.Approve)), decision.NotAPerson)
	c.refusedAtDesk(p, c.desk(us, p, nil), decision.NotAPerson)
}

func (c *cheats) otherTenant() {
	p := c.park("requester")
	for _, copied := range []struct{ table, key, id, columns string }{
		{"decision", "intent", p.id(), `id, intent, revision, run, mission, digest, needs, votes, state, created_at, expires_at, mac`},
		{"intent", "id", p.id(), `id, run, ordinal, state, revision, connection, tool, effect, args_digest, edited_digest, body, created_at, updated_at, mac`},
		{"run", "id", p.run, `id, mission, starter, starter_name, via, worker, input, state, created_at, mac`},
	} {
		c.spoil(1, fmt.Sprintf(`INSERT INTO %[1]s (tenant, %[2]s) SELECT 'globex', %[2]s FROM %[1]s WHERE %[3]s = $1`, copied.table, copied.columns, copied.key), copied.id)
	}
	c.spoil(1, `UPDATE decision SET id = 'dec_of_globex' WHERE tenant = 'globex' AND intent = $1`, p.id())
	body := map[string]any{"verdict": "approve", "digest": p.Decision.Digest, "password": c.People["approver"].Password}
	var texts []string
	for _, id := range []string{"dec_of_globex", "dec_of_nobody"} {
		body["code"] = c.code("approver")
		err := c.as("approver").Call(c.t.Context(), "POST", "/v1/decisions/"+id, body, nil)
		if problemOf(err).Kind != "not_found" {
			c.t.Errorf("%s: %v", id, err)
		}
		texts = append(texts, strings.ReplaceAll(fmt.Sprint(problemOf(err)), id, ""))
	}
	if texts[0] != texts[1] {
		c.t.Errorf("another tenant's Decision can be told from none: %q", texts)
	}
	_, err := c.App.Desk.Decide(c.t.Context(), decision.Request{Tenant: "globex", Decision: "dec_of_globex", Verdict: decision.Approve,
		Digest: intent.Digest(p.Decision.Digest), Who: c.principal("approver"), Factor: c.factor("approver", p, decision.Approve)}, c.clock.now())
	c.refusedAtDesk(p, err, decision.OtherTenant)
}

func (c *cheats) withdrawn() {
	p := c.park("requester")
	_, err := c.App.Desk.Withdraw(c.t.Context(), ident.Principal{Tenant: demo.Tenant, Kind: ident.Run, ID: p.run}, demo.Tenant, p.Decision.ID, "a mistake", c.clock.now())
	c.must(err)
	c.refused(p, c.decide("approver", p.item, "approve"), decision.NotOpen)

	ended := c.park("requester")
	held, gate := c.approved("approver")
	for _, k := range []parked{ended, held} {
		c.must(k.call("POST", "/v1/runs/"+k.run+"/end", map[string]any{"verdict": "failed", "summary": "given up"}, nil))
	}
	gate.release()
	c.refused(ended, c.decide("approver", ended.item, "approve"), decision.NotOpen)
	if n := count(c.trail("intent="+ended.id()), "intent.decided"); n != 1 {
		c.t.Errorf("the end of the Run is not on the Decision's record: %+v", c.trail("intent="+ended.id()))
	}
	c.must(c.App.Gate.Dispatch(c.t.Context(), demo.Tenant, held.id()))
	if it := c.intent(held.run, held.id()); it.State != intent.Withdrawn {
		c.t.Errorf("what was approved and not begun is %s", it.State)
	}
	c.unsent(held)
}
