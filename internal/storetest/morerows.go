package storetest

import (
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/intent"
)

// met has a Worker send a known secret, in two places.
func (a *siege) met() (one, other incident.Incident) {
	it := a.parked()
	for _, place := range []string{"reason", "arguments: /note"} {
		one, other = other, incident.New(incident.Sent, acme, "run:"+it.Intent.Run, place, a.Now).Of([]string{"erp-key"})
		other.Run = it.Intent.Run
		ev := audit.Event{Type: audit.WorkerIncident, Tenant: acme, At: a.Now, Actor: other.Actor, Run: other.Run}
		_, err := a.office.Store.Incident(a.ctx, other, ev, explain.Observation{Tenant: acme, Run: other.Run, At: a.Now, Kind: explain.Check})
		a.must(err)
	}
	return one, other
}

// hidden says that an incident is refused, that the log names it, that the other
// one is shown, and that what is missing is seen.
func (a *siege) hides(one, other incident.Incident) {
	a.t.Helper()
	_, err := a.office.Store.IncidentByID(a.ctx, acme, one.ID)
	a.refused(err, "incident", one.ID)
	l, err := a.office.Store.Incidents(a.ctx, acme, incident.Filter{State: incident.Open, Limit: 50})
	a.must(err)
	if len(l) != 1 || l[0].ID != other.ID {
		a.t.Errorf("the list has %+v", l)
	}
}

func incidentClosed(a *siege) {
	one, other := a.met()
	a.strike(`UPDATE incident SET state = 'closed', outcome = 'explained' WHERE id = '` + one.ID + `'`)
	a.hides(one, other)
}

func incidentOfAnother(a *siege) {
	one, other := a.met()
	a.strike(`UPDATE incident SET secret = 'crm-key' WHERE id = '` + one.ID + `'`)
	a.hides(one, other)
}

func incidentRemoved(a *siege) {
	one, other := a.met()
	a.strike(`DELETE FROM incident WHERE id = '` + one.ID + `'`)
	if a.between { // it was found at the start, and is known no more
		a.named("incident", one.ID)
	} else {
		a.hides(one, other)
	}
	again := one
	again.ID = ident.New("inc")
	ev := audit.Event{Type: audit.WorkerIncident, Tenant: acme, At: a.Now, Actor: one.Actor, Run: one.Run}
	_, err := a.office.Store.Incident(a.ctx, again, ev, explain.Observation{})
	a.must(err) // what goes on is on record again
	_, err = a.office.Store.IncidentByID(a.ctx, acme, again.ID)
	a.must(err)
}

func incidentPutBack(a *siege) {
	one, _ := a.met()
	a.keep("incident", "id = '"+one.ID+"'")
	a.must(a.office.Store.CloseIncident(a.ctx, incident.Closing{Tenant: acme, ID: one.ID, By: "person:x", Outcome: incident.Explained, At: a.Now,
		Event: audit.Event{Type: audit.IncidentClosed, Tenant: acme, At: a.Now, Actor: "person:x"}}))
	a.putBack("incident", "id = '"+one.ID+"'")
	_, err := a.office.Store.IncidentByID(a.ctx, acme, one.ID)
	a.refused(err, "incident", one.ID)
}

func factorAgain(a *siege) {
	it, other := a.parked(), a.parked()
	r := a.request(it.Decision, decision.Approve, a.ann)
	_, err := a.desk.Decide(a.ctx, r, a.Now)
	a.must(err)
	a.strike(`UPDATE factor SET used_at = 0, act = '` + string(other.Decision.Act(decision.Approve, a.ann.Account.ID)) + `' WHERE id = '` + r.Factor.ID + `'`)
	again := decision.Request{Tenant: acme, Decision: other.Decision.ID, Verdict: decision.Approve, Digest: other.Decision.Digest, Who: r.Who, Factor: r.Factor}
	again.Factor.For = other.Decision.Act(decision.Approve, a.ann.Account.ID)
	_, err = a.desk.Decide(a.ctx, again, a.Now)
	a.refused(err, "factor", r.Factor.ID)
}

func sessionPutBack(a *siege) {
	rea := a.Human(acme, "rea", ident.Requester)
	s, token := rea.SignIn()
	a.keep("session", "id = '"+s.ID+"'")
	a.must(a.Dir.SignOut(a.ctx, token, a.Now))
	a.putBack("session", "id = '"+s.ID+"'")
	_, err := a.Dir.Authenticate(a.ctx, token, a.Now)
	a.wantKind(err, fault.Unauthenticated)
	a.named("session", s.ID)
	a.unharmed()
}

func adminForLonger(a *siege) {
	one, _ := a.admins()
	a.strike(`UPDATE account SET admin_since = 1 WHERE id = '` + one.Account.ID + `'`)
	_, err := a.office.Store.AdminSince(a.ctx, acme, one.Account.ID)
	a.refused(err, "account", one.Account.ID)
}

// stages are those of a write after its approval.
var stages = []struct {
	from, to intent.State
	entry    audit.Type
}{
	{intent.Approved, intent.Claimed, audit.IntentClaimed},
	{intent.Claimed, intent.Sending, audit.IntentSending},
	{intent.Sending, intent.Committed, audit.IntentOutcome},
}

// writePutBack lets a write go all the way, then puts its row back as it once was,
// when that was genuine.
func writePutBack(a *siege, at intent.State) {
	it, other := a.parked(), a.parked()
	_, err := a.desk.Decide(a.ctx, a.request(it.Decision, decision.Approve, a.ann), a.Now)
	a.must(err)
	fence, kept, next := int64(0), int64(0), intent.Claimed
	for _, s := range stages {
		if s.from == at {
			a.keep("intent", "id = '"+it.Intent.ID+"'")
			kept, next = fence, s.to
		}
		fields := map[string]any{"digest": it.Intent.Digest, "fence": fence, "args": intent.SHA256(it.Intent.Args), "effect": "write", "state": s.to}
		switch s.entry {
		case audit.IntentClaimed:
			fields["fence"] = fence + 1
			delete(fields, "state")
		case audit.IntentSending:
			fields = map[string]any{"fence": fence}
		case audit.IntentOutcome:
			delete(fields, "args")
		default:
		}
		fence, err = a.office.Store.Step(a.ctx, commit.Step{Tenant: acme, Intent: it.Intent.ID, Run: it.Intent.Run, From: s.from, To: s.to, Fence: fence, At: a.Now,
			Events: []audit.Event{{Type: s.entry, Tenant: acme, At: a.Now, Actor: "run:" + it.Intent.Run, Run: it.Intent.Run, Intent: it.Intent.ID, Fields: fields}}})
		a.must(err)
	}
	a.putBack("intent", "id = '"+it.Intent.ID+"'")
	_, err = a.office.Store.Step(a.ctx, commit.Step{Tenant: acme, Intent: it.Intent.ID, Run: it.Intent.Run, From: at, To: next, Fence: kept, At: a.Now})
	a.refused(err, "intent", it.Intent.ID)
	_, err = a.desk.Decide(a.ctx, a.request(other.Decision, decision.Approve, a.ann), a.Now) // the others go on
	a.must(err)
}

func otherStarter(a *siege) {
	it, other := a.parked(), a.parked()
	a.strike(`UPDATE run SET starter = 'person:somebody' WHERE id = '` + it.Intent.Run + `'`)
	_, err := a.office.Store.Run(a.ctx, acme, it.Intent.Run)
	a.refused(err, "run", it.Intent.Run)
	_, err = a.office.Store.Run(a.ctx, acme, other.Intent.Run)
	a.must(err)
}

func runPutBack(a *siege) {
	it, other := a.parked(), a.parked()
	a.keep("run", "id = '"+it.Intent.Run+"'")
	a.must(a.office.Store.EndRun(a.ctx, acme, it.Intent.Run, "done", "", a.Now,
		audit.Event{Type: audit.RunEnded, Tenant: acme, At: a.Now, Actor: "run:x", Run: it.Intent.Run},
		explain.Observation{Tenant: acme, Run: it.Intent.Run, At: a.Now, Kind: explain.Verdict}))
	a.putBack("run", "id = '"+it.Intent.Run+"'")
	_, err := a.office.Store.Run(a.ctx, acme, it.Intent.Run)
	a.refused(err, "run", it.Intent.Run)
	_, err = a.office.Store.Run(a.ctx, acme, other.Intent.Run)
	a.must(err)
}

func movedAway(a *siege) {
	it := a.parked()
	a.strike(`UPDATE intent SET tenant = 'globex' WHERE id = '` + it.Intent.ID + `'`)
	_, err := a.office.Store.Intent(a.ctx, acme, it.Intent.ID)
	if err == nil {
		a.t.Error("the row is still there")
	}
	a.named("intent", it.Intent.ID)
	_, err = a.office.Store.Intent(a.ctx, globex, it.Intent.ID)
	a.wantKind(err, fault.Denied)
}
