package demo_test

import (
	"strings"
	"testing"
	"time"

	"sallyport.dev/examples/vendor-onboarding/system"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

func (w *world) halts(who, kind, name string) error {
	return w.as(who).Call(w.t.Context(), "POST", "/v1/stops", map[string]any{"kind": kind, "name": name, "reason": "it pays twice"}, nil)
}

func (w *world) resumes(who, kind, name, code string) error {
	return w.as(who).Call(w.t.Context(), "POST", "/v1/stops/resume", map[string]any{"kind": kind, "name": name, "reason": "it is well",
		"password": w.People[who].Password, "code": code}, nil)
}

func (w *world) stopped() (out []intent.Stop) {
	w.t.Helper()
	var l struct{ Stops []intent.Stop }
	w.must(w.as("auditor").Call(w.t.Context(), "GET", "/v1/stops", nil, &l))
	return l.Stops
}

// TestTheKillSwitchHoldsWhatWasApproved: what is approved while its Mission is
// stopped waits, over a restart, and reaches the system once, when an admin has
// resumed it with a proof. Nobody else can, and not everybody can stop.
func TestTheKillSwitchHoldsWhatWasApproved(t *testing.T) {
	t.Parallel()
	w, _ := fragile(t, nil)
	run := w.begins("vendor-onboarding", 0)
	parked := w.waiting(run)
	before := w.requests()
	refused(t, w.halts("requester", "run", run), "denied")
	refused(t, w.halts("approver", "all", ""), "denied")
	refused(t, w.halts("approver", "connection", "erp-write"), "denied")
	refused(t, w.halts("approver", "mission", "no-such"), "denied")
	refused(t, w.halts("admin", "mission", "no-such"), "not_found")
	refused(t, w.halts("admin", "world", ""), "invalid")
	if l := w.stopped(); len(l) != 0 {
		t.Fatalf("what was refused is stopped: %+v", l)
	}
	w.must(w.halts("approver", "mission", "vendor-onboarding"))
	w.must(w.halts("admin", "mission", "vendor-onboarding")) // it is, already
	if l := w.stopped(); len(l) != 1 || l[0].Reason != "it pays twice" {
		t.Fatalf("what is stopped is %+v", l)
	}
	w.observed(run, explain.Check, "Stopped by", "it pays twice")
	w.must(w.decide("approver", parked, "approve")) // a verdict is none of the switch's
	refused(t, w.as("requester").Call(t.Context(), "POST", "/v1/missions/vendor-onboarding/runs", map[string]any{"input": map[string]any{}}, nil), "unavailable")
	w.clock.advance(time.Minute)
	if it := w.theWrite(run); it.State != intent.Approved {
		t.Errorf("it is %s", it.State)
	}

	refused(t, w.resumes("approver", "mission", "vendor-onboarding", w.code("approver")), "denied")
	refused(t, w.resumes("admin", "mission", "vendor-onboarding", ""), "denied")
	if err := w.resumes("admin", "mission", "vendor-onboarding", "000000"); err == nil {
		t.Error("it was resumed with a code that was guessed")
	}
	w.clock.advance(time.Minute)
	refused(t, w.resumes("admin", "mission", "other", w.code("admin")), "not_found")
	if after := w.requests(); after["erp"] != before["erp"] {
		t.Errorf("the ERP was asked while it was stopped: %v, then %v", before, after)
	}
	w.clock.advance(time.Minute)
	w.must(w.resumes("admin", "mission", "vendor-onboarding", w.code("admin")))
	if r := w.ended(run); r.Verdict != "onboarded" {
		t.Errorf("the verdict is %q (%s)\n%s", r.Verdict, r.Summary, w.rail(run))
	}
	if s := w.stats("erp"); s.Durable["vendors_created"] != 1 {
		t.Errorf("the ERP counts %+v", s)
	}
	if es := w.trail("type=stop.set"); len(es) != 1 || es[0].Fields["why"] != "it pays twice" {
		t.Errorf("the log says of the stop: %+v", es)
	}
	if es := w.trail("type=stop.lifted"); len(es) != 1 || es[0].Fields["factor"] == "" {
		t.Errorf("the log says of its end: %+v", es)
	}
	w.clean(run)
}

// TestWhatAPersonWantsTriedAgainIsApprovedAgain: nothing can be looked up, the
// admin finds nothing and says "again". The approvers see why, and the word of who
// looked before that is worth nothing about what was sent since.
func TestWhatAPersonWantsTriedAgainIsApprovedAgain(t *testing.T) {
	t.Parallel()
	w, _ := fragile(t, nil)
	w.edit(resource.KindIntegration, "erp", func(r resource.Resource) {
		r.(*resource.Integration).HTTP.Tools["createVendor"] = resource.ToolRule{Effect: resource.Write}
	})
	w.behave("erp", system.Behaviour{Mode: system.FailMode, Method: "POST", Times: 1})
	run := w.begins("vendor-onboarding", 0)
	w.must(w.decide("approver", w.waiting(run), "approve"))
	it := w.becomes(run, intent.NeedsHuman)
	w.behave("erp", system.Behaviour{Mode: system.Drop, Method: "POST", Times: 1})
	w.must(w.says("admin", it.ID, "again", "it is not in the ERP"))
	parked := w.waiting(run)
	if parked.Intent.ID != it.ID || parked.Intent.Revision != 2 || !strings.Contains(parked.Intent.Bound.Again, "it is not in the ERP") || parked.Intent.Digest == it.Digest {
		t.Errorf("what waits is revision %d, %q", parked.Intent.Revision, parked.Intent.Bound.Again)
	}
	w.must(w.decide("approver", parked, "approve"))
	w.eventually("the second try is unknown too", func() bool {
		w.clock.advance(time.Second)
		now := w.theWrite(run)
		return now.State == intent.NeedsHuman && now.Revision == 2
	})
	// It was applied this time. Another admin looked before it was sent.
	refused(t, w.says("admin", it.ID, "not_applied", "it is not in the ERP"), "conflict")
	refused(t, w.says("admin", it.ID, "again", "it is not in the ERP"), "conflict")
	w.must(w.saysOf("admin", it.ID, 2, "applied", "now it is in the ERP"))
	w.ended(run)
	if s := w.stats("erp"); s.Durable["vendors_created"] != 1 {
		t.Errorf("the ERP counts %+v", s)
	}
	w.clean(run)
}

// TestAnAnswerThatIsLostIsAskedForUnderTheSameKey: the ticketing system files the
// ticket and cuts the connection, twice. It can't be looked up, and it knows keys:
// the same request is sent again, and there is one ticket.
func TestAnAnswerThatIsLostIsAskedForUnderTheSameKey(t *testing.T) {
	t.Parallel()
	w, _ := fragile(t, nil)
	w.edit(resource.KindIntegration, "ticketing", func(r resource.Resource) {
		rules := r.(*resource.Integration).HTTP.Tools
		rule := rules["createTicket"]
		rule.Lookup = nil
		rules["createTicket"] = rule
	})
	w.behave("ticketing", system.Behaviour{Mode: system.Drop, Method: "POST", Times: 2})
	run := w.begins("vendor-onboarding", 0)
	w.must(w.decide("approver", w.waiting(run), "approve"))
	var ticket intent.Intent
	w.eventually("the ticket is filed", func() bool {
		w.clock.advance(time.Second)
		for _, it := range w.intents(run) {
			if it.Tool == "createTicket" {
				ticket = it
			}
		}
		return ticket.State == intent.Committed
	})
	if !strings.Contains(ticket.Result.Note, "sent again under the same key") {
		t.Errorf("the Worker reads %+v", ticket.Result)
	}
	if r := w.ended(run); r.Verdict != "onboarded" {
		t.Errorf("the verdict is %q (%s)\n%s", r.Verdict, r.Summary, w.rail(run))
	}
	if s := w.stats("ticketing"); s.Durable["tickets"] != 1 {
		t.Errorf("the ticketing system counts %+v", s)
	}
	if es := w.trail("intent=" + ticket.ID); count(es, "intent.claimed") != 3 || count(es, "intent.sending") != 3 {
		t.Errorf("%d claims and %d sendings are on the record, and there were three attempts", count(es, "intent.claimed"), count(es, "intent.sending"))
	}
	w.clean(run)
}
