package demo_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/examples/vendor-onboarding/company"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// cheats is one world for all attacks on approvals: each parks an action of its
// own, and none may reach the ERP.
type cheats struct {
	*world
	turnstile
	n      int // of actions
	writes int // that were rightly approved
}

// parked is an action that waits, with the Run that wants it.
type parked struct {
	item
	*worker
}

func (p parked) id() string { return p.Intent.ID }

// TestEveryWayToCheatAnApprovalIsRefusedBeforeTheSecretIsResolved has the ten
// ways and their variations. After each of them the ERP has counted no request
// with the write credential, nothing was claimed, and the attempt is on the
// record.
func TestEveryWayToCheatAnApprovalIsRefusedBeforeTheSecretIsResolved(t *testing.T) {
	t.Parallel()
	c := &cheats{}
	c.world = start(t, func(cfg *demo.Config) { cfg.Crash = c.pass })
	c.person("second", ident.Approver)
	c.person("leaver", ident.Approver)
	c.person("outsider", ident.Approver)
	c.person("clerk", ident.Requester, ident.Approver)
	c.person("boss", ident.Builder, ident.Requester, ident.Approver)
	c.staffed()
	for _, way := range []struct {
		name string
		try  func()
	}{
		{"1 the argument was changed before the approval", c.changedBefore},
		{"1 the argument was changed with the approval", c.changedWith},
		{"1 the digest is another one", c.staleDigest},
		{"2 the same approval again", c.replay},
		{"3 it expired before the approval, or after it", c.expired},
		{"4 the Decision or the factor is of another action", c.otherAction},
		{"5 whoever started it decides", c.ownApproval},
		{"6 the Mission has lost the Connection", c.lostConnection},
		{"7 the Tool's schema has changed", c.changedSchema},
		{"8 the Secret was rotated", c.rotated},
		{"9 two at the same time", c.atTheSameTime},
		{"10 somebody outside the team", c.outsideTheTeam},
		{"a stored token alone", c.tokenAlone},
		{"a Run decides", c.runDecides},
		{"a Decision of another tenant", c.otherTenant},
		{"it was withdrawn, or its Run has ended", c.withdrawn},
	} {
		c.within(t, way.name, func() {
			way.try()
			c.settled()
		})
	}
}

// staffed is the team as it should be.
func (c *cheats) staffed() { c.team("approver", "second", "leaver", "clerk") }

// park proposes a vendor of its own in a Run of its own.
func (c *cheats) park(starter string) parked {
	c.t.Helper()
	k := c.outside(starter, "vendor-onboarding", map[string]any{"name": "Original Ltd", "country": "DE", "tax_id": "DE129274202"})
	c.n++
	it, err := k.propose(map[string]any{"connection": "erp-write", "tool": "createVendor", "reason": "it is wanted",
		"args": map[string]any{"name": fmt.Sprintf("Original %d Ltd", c.n), "country": "DE"}})
	c.must(err)
	if it.State != intent.Parked {
		c.t.Fatalf("the proposal is %s, not parked", it.State)
	}
	var q struct{ Items []item }
	c.must(c.as("auditor").Call(c.t.Context(), "GET", "/v1/decisions?run="+k.run, nil, &q))
	if len(q.Items) != 1 || q.Items[0].Intent.ID != it.ID {
		c.t.Fatalf("the queue has %+v", q)
	}
	return parked{q.Items[0], k}
}

// approved parks an action that is approved and held before its dispatch.
func (c *cheats) approved(by string) (parked, *gateway) {
	c.t.Helper()
	p := c.park("requester")
	g := c.hold(c.t, p.id())
	c.must(c.decide(by, p.item, "approve"))
	select {
	case <-g.arrived:
	case <-c.t.Context().Done():
		c.t.Fatal("nothing was dispatched")
	}
	return p, g
}

// refused says that a verdict did not count, for a reason and on the record.
func (c *cheats) refused(p parked, err error, code decision.Code) {
	c.t.Helper()
	if got := problemOf(err); got.Code != string(code) {
		c.t.Errorf("the verdict was answered with %+v (%v), not refused as %s", got, err, code)
	}
	c.unsent(p)
	for _, e := range c.trail("intent=" + p.id()) {
		if e.Type == "verdict.refused" && e.Fields["why"] == string(code) && e.Fields["decision"] == p.Decision.ID {
			return
		}
	}
	c.t.Errorf("the audit log has no refused verdict %s: %+v", code, c.trail("intent="+p.id()))
}

// voided says that an approval that no longer held let nothing out.
func (c *cheats) voided(p parked, to intent.State) {
	c.t.Helper()
	var it intent.Intent
	c.eventually("the approval is void", func() bool {
		it = c.intent(p.run, p.id())
		return it.State.Final()
	})
	if it.State != to {
		c.t.Errorf("the Intent is %s (%s), not %s", it.State, it.Why, to)
	}
	c.unsent(p)
	if n := count(c.trail("intent="+p.id()), "intent.denied"); n != 1 {
		c.t.Errorf("the audit log has %d denials: %+v", n, c.trail("intent="+p.id()))
	}
}

// askedAgain says that what was approved by somebody who may not decide any more
// waits again, and let nothing out.
func (c *cheats) askedAgain(p parked) {
	c.t.Helper()
	c.eventually("it is asked again", func() bool { return c.intent(p.run, p.id()).Revision == 2 })
	if it := c.intent(p.run, p.id()); it.State != intent.Parked {
		c.t.Errorf("the Intent is %s (%s)", it.State, it.Why)
	}
	c.unsent(p)
}

// unsent says that nothing was claimed, and that the ERP saw nothing.
func (c *cheats) unsent(p parked) {
	c.t.Helper()
	if n := count(c.trail("intent="+p.id()), "intent.claimed"); n != 0 {
		c.t.Errorf("the Intent was claimed: %+v", c.trail("intent="+p.id()))
	}
	c.settled()
}

func (c *cheats) settled() {
	c.t.Helper()
	s := c.stats("erp")
	if got := s.Credentials["erp-write-token"].Requests; got != c.writes || s.Durable["vendors_created"] != c.writes {
		c.t.Fatalf("the ERP counts %d requests with the write credential and %d vendors, and %d were rightly approved", got, s.Durable["vendors_created"], c.writes)
	}
}

// done says that an approval held and was used exactly once.
func (c *cheats) done(p parked) {
	c.t.Helper()
	c.eventually("the vendor is created", func() bool { return c.intent(p.run, p.id()).State == intent.Committed })
	c.writes++
	if n := count(c.trail("intent="+p.id()), "intent.claimed"); n != 1 {
		c.t.Errorf("the Intent was claimed %d times", n)
	}
	c.settled()
}

func (c *cheats) changedBefore() {
	for what, set := range map[string]string{
		"everywhere":        `replace(body, 'Original', 'Mallory')`,
		"on the page alone": `json_set(body, '$.args.name', 'Mallory Ltd')`,
		"on the wire alone": `json_set(body, '$.bound.request.body', '{"country":"DE","name":"Mallory Ltd"}')`,
		"the place":         `json_set(body, '$.bound.request.url', 'http://127.0.0.1:1/')`,
		"the reason":        `json_set(body, '$.reason', 'harmless')`,
		"the Tool":          `json_set(body, '$.tool', 'findVendors')`,
		"the starter's Run": `json_set(body, '$.run', 'run_other')`,
	} {
		p := c.park("requester")
		putBack := c.copyOf("intent", p.id())
		c.spoil(1, `UPDATE intent SET body = `+set+` WHERE id = $1`, p.id())
		c.rowRefused(what, c.decide("approver", p.item, "approve"), "intent", p.id())
		c.unsent(p)
		putBack()
	}
}

// rowRefused says that something was refused because of a stored row, by name, and
// that the audit log has it.
func (w *world) rowRefused(what string, err error, table, name string) {
	w.t.Helper()
	if got := problemOf(err); got.Kind != "denied" || !strings.Contains(got.Detail, table) {
		w.t.Errorf("%s: answered with %+v (%v)", what, got, err)
	}
	w.rowRecorded(what, table, name)
}

func (w *world) rowRecorded(what, table, name string) {
	w.t.Helper()
	for _, e := range w.trail("type=row.refused") {
		if e.Fields["kind"] == table && e.Fields["name"] == name {
			return
		}
	}
	w.t.Errorf("%s: the audit log does not name the row %s %s: %+v", what, table, name, w.trail("type=row.refused"))
}

// changedWith changes the row in the very transaction of the approval: between
// what was judged and what is dispatched.
func (c *cheats) changedWith() {
	p := c.park("requester")
	_, err := c.database().ExecContext(c.t.Context(), fmt.Sprintf(`CREATE TRIGGER attack AFTER UPDATE OF state ON intent
		WHEN NEW.id = '%s' AND NEW.state = 'APPROVED' BEGIN
		UPDATE intent SET body = replace(body, 'Original', 'Mallory') WHERE id = NEW.id; END`, p.id()))
	c.must(err)
	c.must(c.decide("approver", p.item, "approve"))
	c.eventually("the dispatch is refused", func() bool { return count(c.trail("type=row.refused"), "row.refused") > 0 })
	_, err = c.database().ExecContext(c.t.Context(), `DROP TRIGGER attack`)
	c.must(err)
	err = c.App.Gate.Dispatch(c.t.Context(), demo.Tenant, p.id())
	if !fault.Is(err, fault.Denied) {
		c.t.Errorf("it was dispatched: %v", err)
	}
	c.rowRecorded("changed with the approval", "intent", p.id())
	c.unsent(p)
}

func (c *cheats) staleDigest() {
	p, other := c.park("requester"), c.park("requester")
	for _, digest := range []string{"", "0", other.Decision.Digest, strings.ToUpper(p.Decision.Digest)} {
		it := p.item
		it.Decision.Digest = digest
		c.refused(p, c.decide("approver", it, "approve"), decision.Changed)
	}
}

func (c *cheats) replay() {
	p := c.park("requester")
	body := map[string]any{"verdict": "approve", "digest": p.Decision.Digest, "password": c.People["approver"].Password}
	as := c.as("approver")
	body["code"] = c.code("approver")
	send := func() error { return as.Call(c.t.Context(), "POST", "/v1/decisions/"+p.Decision.ID, body, nil) }
	c.must(send())
	if err := send(); problemOf(err).Kind != "unauthenticated" {
		c.t.Errorf("the same request again: %v", err)
	}
	c.done(p)
	if err := send(); problemOf(err).Kind != "unauthenticated" {
		c.t.Errorf("the same request after the dispatch: %v", err)
	}
	for _, verdict := range []string{"approve", "reject"} {
		if err := c.decide("second", p.item, verdict); problemOf(err).Code != string(decision.NotOpen) {
			c.t.Errorf("%s after the dispatch: %v", verdict, err)
		}
	}
	c.must(c.App.Gate.Dispatch(c.t.Context(), demo.Tenant, p.id())) // the message comes twice
	again, err := p.propose(map[string]any{"connection": "erp-write", "tool": "createVendor", "args": p.Intent.Args, "reason": "once more"})
	c.must(err)
	if again.ID != p.id() {
		c.t.Errorf("the same write again became %s", again.ID)
	}
	trail := c.trail("intent=" + p.id())
	if count(trail, "intent.claimed") != 1 || count(trail, "intent.decided") != 1 || count(trail, "verdict.refused") != 2 {
		c.t.Errorf("the audit log has %+v", trail)
	}
}

func (c *cheats) expired() {
	late := c.park("requester")
	approved, gate := c.approved("approver")
	c.clock.advance(8 * 24 * time.Hour)
	clear(c.tokens) // the sessions have expired too
	gate.release()
	c.voided(approved, intent.Expired)
	err := c.decide("approver", late.item, "approve")
	// The sweeper may have been faster.
	code := decision.Code(problemOf(err).Code)
	if code != decision.TooLate && code != decision.NotOpen {
		c.t.Errorf("an approval after a week: %v", err)
	}
	c.refused(late, err, code)
	c.eventually("the sweeper ends it", func() bool {
		_, err := c.App.Desk.Expire(c.t.Context(), c.clock.now())
		c.must(err)
		return c.intent(late.run, late.id()).State == intent.Expired
	})
}

func (c *cheats) otherAction() {
	p, other := c.park("requester"), c.park("requester")
	it := p.item
	it.Decision.ID = other.Decision.ID // the digest that was looked at, on another Run's Decision
	c.refused(other, c.decide("approver", it, "approve"), decision.Changed)

	me := c.principal("approver")
	c.refusedAtDesk(p, c.desk(me, p, c.factor("approver", other, decision.Approve)), decision.OtherFactor)
	c.refusedAtDesk(p, c.desk(me, p, c.factor("approver", p, decision.Reject)), decision.OtherFactor)
	c.refusedAtDesk(p, c.desk(me, p, c.factor("second", p, decision.Approve)), decision.OtherFactor)
	stale := c.factor("approver", p, decision.Approve)
	c.clock.advance(decision.FactorLife + time.Second)
	c.refusedAtDesk(p, c.desk(me, p, stale), decision.StaleFactor)
	invented := c.factor("approver", p, decision.Approve)
	invented.ID = "fac_invented"
	c.refusedAtDesk(p, c.desk(me, p, invented), decision.FactorUsed)

	// A good Decision that is pointed at another Intent.
	f := c.factor("approver", p, decision.Approve)
	c.spoil(1, `UPDATE decision SET state = 'void' WHERE id = $1`, p.Decision.ID)
	c.spoil(1, `UPDATE decision SET intent = $1 WHERE id = $2`, p.id(), other.Decision.ID)
	moved := parked{other.item, p.worker}
	moved.Intent.ID = p.id()
	if err := c.desk(me, moved, f); !fault.Is(err, fault.Denied) {
		c.t.Errorf("a Decision that was pointed at another Intent: %v", err)
	}
	c.rowRefused("a Decision of another Intent", c.decide("approver", moved.item, "approve"), "decision", other.Decision.ID)
	c.spoil(1, `UPDATE decision SET intent = $1 WHERE id = $2`, other.id(), other.Decision.ID)
	c.spoil(1, `UPDATE decision SET state = 'open' WHERE id = $1`, p.Decision.ID)
	c.unsent(moved)
}

func (c *cheats) lostConnection() {
	held, gate := c.approved("approver")
	waiting := c.park("requester")
	m := applied[*resource.Mission](c.world, resource.KindMission, "vendor-onboarding")
	whole := *m
	m.Connections, m.Decisions = []string{"tax-check", "erp-read", "tickets"}, m.Decisions[1:]
	c.apply(m)
	gate.release()
	c.voided(held, intent.Denied)
	c.must(c.decide("approver", waiting.item, "approve"))
	c.voided(waiting, intent.Denied)
	c.apply(&whole)
}

func (c *cheats) changedSchema() {
	held, gate := c.approved("approver")
	waiting := c.park("requester")
	was := applied[*resource.Integration](c.world, resource.KindIntegration, "erp")
	now := applied[*resource.Integration](c.world, resource.KindIntegration, "erp")
	now.HTTP.OpenAPI = json.RawMessage(strings.Replace(string(was.HTTP.OpenAPI), `"Anything the next reader should know."`, `"Read by nobody."`, 1))
	c.apply(now)
	gate.release()
	c.voided(held, intent.Failed)
	c.must(c.decide("approver", waiting.item, "approve"))
	c.voided(waiting, intent.Failed)
	// Changed back is still not what was looked at: it is another revision.
	back, gate := c.approved("approver")
	c.apply(was)
	gate.release()
	c.voided(back, intent.Failed)
}

// rotate gives the ERP and the vault a new write credential.
func (c *cheats) rotate() {
	c.t.Helper()
	dir := filepath.Join(c.dir, "company")
	keys, err := company.ReadKeys(dir)
	c.must(err)
	c.must(keys.Rotate("erp-write-token"))
	c.must(keys.Write(dir))
	c.control("erp", "/reload", "{}")
	c.must(c.as("admin").Call(c.t.Context(), "POST", "/v1/secrets/erp-write-token/rotate", map[string]any{"fields": keys.Secrets()["erp-write-token"]}, nil))
}

func (c *cheats) rotated() {
	// Without the pin the approval is for the Secret, whatever its value is.
	free, gate := c.approved("approver")
	c.rotate()
	gate.release()
	c.done(free)
	for _, e := range c.trail("type=intent.claimed&intent=" + free.id()) {
		if e.Fields["secretVersion"] != 2.0 {
			c.t.Errorf("the rotated version was not used: %+v", e)
		}
	}

	m := applied[*resource.Mission](c.world, resource.KindMission, "vendor-onboarding")
	m.Decisions[0].PinSecret = true
	c.apply(m)
	held, gate := c.approved("approver")
	waiting := c.park("requester")
	c.rotate()
	gate.release()
	c.voided(held, intent.Failed)
	c.must(c.decide("approver", waiting.item, "approve"))
	c.voided(waiting, intent.Failed)
	// The rule being taken away does not loosen what was pinned.
	loosened, gate := c.approved("approver")
	m.Decisions[0].PinSecret = false
	c.apply(m)
	c.rotate()
	gate.release()
	c.voided(loosened, intent.Failed)
}
