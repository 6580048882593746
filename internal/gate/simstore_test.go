package gate_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
)

// The store of the model: what package storetest says of the real one, for one
// Intent. Each method is one step of a schedule.

var errChanged = fault.New(fault.Conflict, "the intent has changed in the meantime")

func isStopped(err error) (*intent.Stopped, bool) { return errors.AsType[*intent.Stopped](err) }

// write makes a change, or loses it, or makes it and says that it did not.
func (w *simWorld) write(what string, change func() error) error {
	t := w.yield(what)
	how := "ok"
	if w.sc.mishaps > 0 {
		how = w.choose("ok", "lost", "written and not said")
	}
	var err error
	if how != "lost" {
		err = change()
	}
	if how != "ok" {
		w.sc.mishaps--
		w.mishapped = true
		err = fault.New(fault.Unavailable, "the disk is full")
	}
	t.saw("%s %v %v", what, how, fault.KindOf(err))
	return err
}

func (w *simWorld) Step(_ context.Context, s commit.Step) (fence int64, err error) {
	if s.Intent != simID { // of a lookup
		w.reads--
		return 1, nil
	}
	if s.To == intent.Sending && w.sc.spoil == "SENDING" {
		return w.at.Fence, nil
	}
	t := w.current
	err = w.write(string(s.From)+" to "+string(s.To), func() error {
		switch {
		case w.it.State != s.From, !s.From.Can(s.To), w.at.Fence != s.Fence && w.sc.spoil != "fence":
			return errChanged
		case s.Uses && w.stop != nil && w.sc.spoil != "stop":
			return &intent.Stopped{Stop: *w.stop}
		case s.Uses && (s.To == intent.Claimed || s.From == intent.Unknown) && w.run.State == intent.RunEnded:
			return fault.New(fault.Denied, "the Run has ended")
		}
		if s.Uses {
			w.checkUse(t, s)
		}
		if fence = w.at.Fence; s.To == intent.Claimed || s.From == intent.Unknown && s.To == intent.Sending {
			fence++
		}
		w.at.Fence = fence
		if s.To == intent.Sending && w.at.Sent.IsZero() {
			w.at.Sent = s.At
		}
		if s.To == intent.Sending && s.From == intent.Unknown {
			w.at.Resent++
		}
		if s.Claimant != "" {
			w.owner = s.Claimant
		}
		w.move(s.To, s.At, s.Outbox)
		return nil
	})
	return fence, err
}

// move makes a step's effects true.
func (w *simWorld) move(to intent.State, at time.Time, msgs []commit.Message) {
	if w.it.State.Final() {
		w.fail("it leaves %s for %s", w.it.State, to)
	}
	w.it.State, w.it.UpdatedAt = to, at
	for _, m := range msgs {
		w.enqueue(m.Kind, m.Due)
	}
}

func (w *simWorld) enqueue(kind string, due time.Time) {
	if kind == commit.MsgSegment {
		return
	}
	m, ok := w.outbox[kind]
	if !ok {
		m = message{due: due, tries: 6} // a lookup without an answer is not waited for
	}
	if due.Before(m.due) {
		m.due = due
	}
	m.gen++
	w.outbox[kind] = m
}

func (w *simWorld) Propose(_ context.Context, p gate.Proposed) (intent.Intent, bool, error) {
	w.yield("claim a lookup")
	if w.stop != nil {
		return intent.Intent{}, false, &intent.Stopped{Stop: *w.stop}
	}
	if p.Intent.Effect != resource.Read || !p.Own {
		w.fail("it proposes %s", p.Intent.Tool)
	}
	w.reads++
	return p.Intent, true, nil
}

func (w *simWorld) Intent(context.Context, ident.Tenant, string) (intent.Intent, error) {
	w.yield("read").saw("%s %d %s", w.it.State, w.it.Revision, w.it.UpdatedAt.Sub(noon))
	return w.it, nil
}

func (w *simWorld) IntentsByID(ctx context.Context, tenant ident.Tenant, ids []string) ([]intent.Intent, error) {
	it, err := w.Intent(ctx, tenant, ids[0])
	return []intent.Intent{it}, err
}

func (w *simWorld) Attempt(context.Context, ident.Tenant, string) (commit.Attempt, error) {
	if w.sc.fine {
		w.yield("read the attempt")
	}
	at := w.at
	at.Claimant = w.owner
	w.current.saw("%+v", at)
	return at, nil
}

func (w *simWorld) Repark(_ context.Context, s commit.Step, it intent.Intent, d decision.Decision, _ []policy.Use) error {
	return w.write(string(s.From)+" to PARKED", func() error {
		if w.it.State != s.From || !s.From.Can(s.To) || w.at.Fence != s.Fence || it.Revision != w.it.Revision+1 {
			return errChanged
		}
		w.move(s.To, s.At, s.Outbox)
		state, at := w.it.State, w.it.UpdatedAt
		w.it = it
		w.it.State, w.it.UpdatedAt, w.at.Resent = state, at, 0
		d.ID, d.Needs[0].TeamID = fmt.Sprintf("dec_%d", it.Revision), "team_1"
		w.dec = d
		return nil
	})
}

// simRuns are the Runs.
type simRuns struct{ w *simWorld }

func (r simRuns) Run(context.Context, ident.Tenant, string) (intent.Run, error) {
	if r.w.sc.ending || r.w.run.State == intent.RunEnded {
		r.w.yield("read the Run").saw("%s", r.w.run.State)
	}
	return r.w.run, nil
}
func (simRuns) CreateRun(context.Context, gate.NewRun) (r intent.Run, err error) { return r, nil }
func (simRuns) EndRun(context.Context, ident.Tenant, string, string, string, time.Time, audit.Event, explain.Observation) error {
	return nil
}
func (simRuns) Incident(context.Context, incident.Incident, audit.Event, explain.Observation) (int, error) {
	return 0, nil
}
func (simRuns) Refuse(context.Context, string, audit.Event, explain.Observation) (int, error) {
	return 0, nil
}

// endRun is what the store does when a Run ends.
func (w *simWorld) endRun() {
	w.run.State = intent.RunEnded
	if w.it.State == intent.Parked || w.it.State == intent.Approved {
		w.it.State, w.dec.State = intent.Withdrawn, decision.Withdrawn
	}
}

// others spawns those who act beside the dispatch.
func (w *simWorld) others() {
	if w.sc.withdrawn {
		w.spawn("worker", 0, w.takesBack)
	}
	if w.sc.stopping != "" {
		w.spawn("stopper", 0, w.throw)
	}
}

// takesBack is the Run's Worker, who withdraws it by the gate. What it was told was
// withdrawn must never reach the system.
func (w *simWorld) takesBack(t *task) {
	w.yield("decide to withdraw")
	it, err := w.gate.Withdraw(context.Background(), ident.Principal{Tenant: acme, Kind: ident.Run, ID: simRun.ID}, simID)
	t.saw("%s %v", it.State, fault.KindOf(err))
	if err == nil && it.State != intent.Withdrawn {
		w.fail("it is told to be withdrawn, and is %s", it.State)
	}
}

// The kill switch.

func (w *simWorld) Stops(context.Context, ident.Tenant) ([]intent.Stop, error) {
	if w.sc.stopping == "" {
		return nil, nil
	}
	w.yield("read the stops").saw("%v", w.stop != nil)
	if w.stop == nil {
		return nil, nil
	}
	return []intent.Stop{*w.stop}, nil
}

func (w *simWorld) SetStop(_ context.Context, s intent.Stop, _ audit.Event, _ []explain.Observation) (intent.Stop, error) {
	w.yield("set the stop")
	w.stop = &s
	return s, nil
}

func (w *simWorld) LiftStop(context.Context, ident.Tenant, intent.StopKind, string, audit.Event, []explain.Observation, time.Time) error {
	w.lift()
	return nil
}

func (w *simWorld) OpenRuns(context.Context) ([]intent.Run, error) { return nil, nil }

func (w *simWorld) lift() {
	w.stop = nil
	for k, m := range w.outbox {
		if m.due.After(w.now) {
			m.due = w.now
			w.outbox[k] = m
		}
	}
}

// throw is an admin who stops it, by the gate.
func (w *simWorld) throw(t *task) {
	name := map[intent.StopKind]string{intent.StopConnection: "erp-write", intent.StopMission: "onboard"}[w.sc.stopping]
	_, err := w.gate.Stop(context.Background(), ident.Principal{Tenant: acme, Kind: ident.Person, ID: "acc_adm", Roles: []ident.Role{ident.Admin}},
		gate.Halt{Kind: w.sc.stopping, Name: name, Reason: "it looks wrong"})
	if err != nil {
		w.fail("the kill switch does not work: %v", err)
	}
	t.saw("stopped")
}

// Decisions, as the gate and the desk see them.

func (w *simWorld) DecisionOf(context.Context, ident.Tenant, string) (decision.Decision, error) {
	t := w.yield("read the Decision")
	d := w.dec
	if w.sc.spoil == "Decision" {
		d.State, d.Votes, d.ExpiresAt = decision.Approved, simVotes(d.Needs[0].Count), noon.Add(10000*time.Hour)
	}
	t.sound = w.sound()
	t.saw("%s %s %v", d.ID, d.State, t.sound)
	return d, nil
}

// sound says whether a write may leave now: what the product has to find out.
func (w *simWorld) sound() bool {
	people := map[string]bool{}
	for _, v := range w.dec.Votes {
		if v.Verdict != decision.Approve {
			return false
		}
		people[v.Account] = true
	}
	return w.dec.State == decision.Approved && len(people) >= w.dec.Needs[0].Count && w.now.Before(w.dec.ExpiresAt) && w.run.State != intent.RunEnded && !w.left
}

func (w *simWorld) MemberSince(context.Context, ident.Tenant, string, string) (time.Time, error) {
	if w.sc.revoking || w.left {
		w.yield("read the Team").saw("%v", w.left)
	}
	if w.left && w.sc.spoil != "Team" {
		return time.Time{}, fault.New(fault.NotFound, "no member")
	}
	return noon.Add(-time.Hour), nil
}

// AdminSince: nobody breaks the glass here.
func (w *simWorld) AdminSince(context.Context, ident.Tenant, string) (time.Time, error) {
	return time.Time{}, fault.New(fault.NotFound, "no admin")
}

func (w *simWorld) Parties(context.Context, intent.Intent) (decision.Parties, error) {
	return decision.Parties{Starter: simRun.Starter}, nil
}

// simDesk is the desk's store.
type simDesk struct{ w *simWorld }

func (d simDesk) Decision(context.Context, ident.Tenant, string) (decision.Decision, error) {
	if d.w.sc.fine {
		d.w.yield("read the queue")
	}
	d.w.current.saw("%s %s", d.w.dec.ID, d.w.dec.State)
	return d.w.dec, nil
}
func (d simDesk) Decisions(context.Context, ident.Tenant, decision.Filter) ([]decision.Decision, error) {
	return nil, nil
}
func (d simDesk) OverdueDecisions(_ context.Context, now time.Time, after decision.Decision, _ int) ([]decision.Decision, error) {
	d.w.yield("read what is overdue").saw("%s", d.w.dec.State)
	if after.ID == "" && d.w.dec.State == decision.Open && !now.Before(d.w.dec.ExpiresAt) {
		return []decision.Decision{d.w.dec}, nil
	}
	return nil, nil
}
func (d simDesk) Refused(context.Context, audit.Event) error { return nil }

func (d simDesk) Settle(_ context.Context, list ...decision.Settlement) error {
	w, st := d.w, list[0] // one at a time is what is modelled
	return w.write("settle as "+string(st.Decision.State), func() error {
		switch {
		case (w.dec.ID != st.Decision.ID || w.dec.State != decision.Open || w.it.State != intent.Parked) && w.sc.spoil != "once",
			st.Vote != nil && !st.At.Before(w.dec.ExpiresAt):
			return decision.Refuse(decision.NotOpen)
		case st.Vote != nil && st.Judged != len(w.dec.Votes):
			return decision.ErrRaced
		case st.Factor != nil && w.factors[st.Factor.ID]:
			return decision.Refuse(decision.FactorUsed)
		}
		if st.Factor != nil {
			w.factors[st.Factor.ID] = true
		}
		if w.dec = st.Decision; st.To == "" {
			return nil // it waits for others
		}
		msgs := []commit.Message{{Kind: commit.MsgDispatch, Due: st.At}}
		if st.To != intent.Approved {
			msgs = nil
		}
		w.move(st.To, st.At, msgs)
		return nil
	})
}

// simPeople are the members of the Team.
var simPeople = []string{"acc_ann", "acc_bob"}

// simVotes are approvals by so many of them.
func simVotes(n int) (votes []decision.Vote) {
	for _, id := range simPeople[:n] {
		votes = append(votes, decision.Vote{Account: id, Name: id, TeamID: "team_1", Verdict: decision.Approve, At: noon, Factor: "fac_0", Method: "totp"})
	}
	return votes
}

// decide is an approver, by the desk. Several may, and what comes late must not
// count.
func (w *simWorld) decide(t *task, v decision.Verdict, n int) {
	who := ident.Principal{Tenant: acme, Kind: ident.Person, ID: simPeople[n%max(w.sc.people, 1)], Name: "Ann", Roles: []ident.Role{ident.Approver}}
	w.yield("look")
	d := w.dec
	t.saw("%s", d.ID)
	f := decision.Factor(identity.Factor{ID: fmt.Sprintf("fac_%d", n+1), Tenant: acme, Account: who.ID, Method: "totp", At: w.now, For: d.Act(v, who.ID)})
	_, err := w.desk.Decide(context.Background(), decision.Request{Tenant: acme, Decision: d.ID, Verdict: v, Digest: d.Digest, Who: who, Factor: &f}, w.now)
	t.saw("%v", fault.KindOf(err))
}

// personLooks is an admin who looks into the system, and says what is there.
func (w *simWorld) personLooks(t *task) {
	who := ident.Principal{Tenant: acme, Kind: ident.Person, ID: "acc_adm", Roles: []ident.Role{ident.Admin}}
	r := gate.Resolution{Finding: gate.Applied, Revision: w.it.Revision, Why: "I looked"}
	if w.effects == 0 {
		r.Finding = gate.NotApplied
		if w.choose("it did not happen", "try again") == "try again" {
			r.Finding = gate.TryAgain
		}
	}
	t.saw("%s %d", r.Finding, r.Revision)
	q, err := w.gate.Ask(context.Background(), who, simID, r)
	if err == nil {
		r.Factor = decision.Factor{ID: "fac_p", Tenant: acme, Account: who.ID, At: w.now, For: q.Act(r, who.ID)}
		_, err = w.gate.Resolve(context.Background(), who, simID, r)
	}
	t.saw("%v", fault.KindOf(err))
	if err == nil && r.Finding == gate.TryAgain {
		w.spawn("approve again", 0, func(t *task) { w.decide(t, decision.Approve, 7) })
	}
}

// The properties.

// checkUse is asked as a claim, or SENDING, becomes durable.
func (w *simWorld) checkUse(t *task, s commit.Step) {
	if w.stop != nil {
		w.fail("a credential is used for what was stopped")
	}
	if (s.To == intent.Claimed || s.From == intent.Unknown) && !t.sound && !w.sound() {
		w.fail("it is claimed without a Decision that holds")
	}
	if s.To == intent.Sending {
		t.fence = max(s.Fence, w.at.Fence)
		if s.From == intent.Unknown {
			t.fence++
		}
		if w.granted[t.fence] {
			w.fail("SENDING is recorded twice for the fence %d", t.fence)
		}
		w.granted[t.fence] = true
		w.grants++
	}
}

// checkSend is asked as bytes leave.
func (w *simWorld) checkSend(t *task, key string) {
	declared := w.sc.keys != nil
	switch {
	case !w.granted[t.fence] || t.fence == 0:
		w.fail("bytes leave without SENDING on the record")
	case w.sends > 0 && !declared && w.it.Revision == 1:
		w.fail("it is sent again, and nobody declared a key")
	case declared && key != intent.IdempotencyKey(simID):
		w.fail("it is sent under another key")
	case declared && w.now.After(w.at.Sent.Add(time.Duration(w.sc.keys.Window))) && w.sends > 0 && w.it.Revision == 1:
		w.fail("it is sent again after the window")
	}
	delete(w.granted, t.fence)
}

// checkEnd is asked when nothing can happen any more.
func (w *simWorld) checkEnd() {
	switch s := w.it.State; {
	case w.stop != nil: // it waits for who resumes it
	case s == intent.NeedsHuman, s == intent.Parked: // it waits for a person
	case !s.Final():
		w.fail("it is lost as %s", s)
	case s == intent.Committed && w.effects != 1:
		w.fail("it is COMMITTED, and the system has it %d times", w.effects)
	case s != intent.Committed && w.effects != 0:
		w.fail("it is %s, and the system has it", s)
	}
	if w.gate.Machine.Halted() != nil && !w.mishapped && w.proc == 1 {
		w.fail("the Boundary stopped admitting although the store worked")
	}
}
