package storetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

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
	_, err = o.desk.Editable(o.ctx, o.ann.Account.Principal(), again.ID, again.Digest, o.Now)
	o.wantCode(err, decision.Altered)
	o.known = nil
	for what, c := range map[string]struct {
		who  *Human
		seen intent.Digest
		want decision.Code
	}{"an old page": {o.ann, d.Digest, decision.Changed}, "a stranger": {o.eve, again.Digest, decision.NotInTeam}, "the starter": {o.starter, again.Digest, decision.OwnApproval}, "a member": {o.ann, again.Digest, ""}} {
		if _, err := o.desk.Editable(o.ctx, c.who.Account.Principal(), again.ID, c.seen, o.Now); decision.CodeOf(err) != c.want {
			o.t.Errorf("%s: %v", what, err)
		}
	}
	bare := o.ann.Account.Principal()
	bare.Roles = []ident.Role{ident.Requester}
	if _, err = o.desk.Editable(o.ctx, bare, again.ID, again.Digest, o.Now); !fault.Is(err, fault.Denied) {
		o.t.Errorf("without the role: %v", err)
	}
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
	_, err := o.desk.Ask(o.ctx, o.eve.Account.Principal(), d.ID, d.Digest, "why?", o.Now)
	o.wantCode(err, decision.NotInTeam)
	_, err = o.desk.Ask(o.ctx, o.ann.Account.Principal(), d.ID, "", "why?", o.Now)
	o.wantCode(err, decision.Changed)
	q, err := o.desk.Ask(o.ctx, o.ann.Account.Principal(), d.ID, d.Digest, " is it \u202e a new\nvendor? ", o.Now)
	o.must(err)
	if q.Text != "is it  a new\nvendor?" {
		o.t.Errorf("it is asked %q", q.Text)
	}
	// A short question is not found by trying: the digest has a salt, which is stored.
	notes, err := o.Store.Notes(o.ctx, acme, d.Run, d.Intent)
	o.must(err)
	asked := o.entries(acme, audit.DecisionAsked)[0].Fields["result"]
	if len(notes) != 1 || len(notes[0].Salt) < 20 || asked == string(intent.SHA256([]byte(q.Text))) || asked != string(intent.Salted(notes[0].Salt, []byte(q.Text))) {
		o.t.Errorf("the digest is %v, of %+v", asked, notes)
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
	_, err = o.desk.Ask(o.ctx, o.ann.Account.Principal(), next.ID, next.Digest, "and?", o.Now)
	o.wantCode(err, decision.NotOpen)
}
