package gate_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// staffed is a world with bob in finance too, cleo in cfo, and two admins.
func staffed(t *testing.T) (w *world, people map[string]ident.Principal) {
	t.Helper()
	w = newWorld(t)
	people = map[string]ident.Principal{"ann": w.principal(w.ann)}
	for _, name := range []string{"bob", "cleo", "ida", "jon", "kim"} {
		r := identity.Record{Account: identity.Account{Tenant: acme, ID: ident.New("acc"), Name: name, DisplayName: name, CreatedAt: w.now, Roles: []ident.Role{ident.Approver}},
			Password: "none", TOTPSalt: []byte("none"), Algorithm: identity.SHA1}
		if name == "ida" || name == "jon" {
			r.Roles = []ident.Role{ident.Admin}
		}
		w.must(w.store.InsertAccount(t.Context(), r, audit.Event{Type: audit.AccountCreated, Tenant: acme, At: w.now, Actor: "system:setup"}))
		people[name] = w.principal(r.ID)
	}
	w.team("finance", "ann", "bob", "kim")
	w.teams = map[string][]string{"cfo": {"cleo"}}
	w.team("cfo", "cleo")
	w.apply()
	w.pass(time.Hour)
	return w, people
}

func (w *world) team(name string, members ...string) {
	w.t.Helper()
	_, err := w.store.ApplyTeam(w.t.Context(), acme, resource.Team{Head: head(resource.KindTeam, name), Members: members}, "system:setup", w.clock())
	w.must(err)
}

func (w *world) principal(id string) ident.Principal {
	w.t.Helper()
	r, err := w.store.AccountByID(w.t.Context(), acme, id)
	w.must(err)
	p := r.Principal()
	p.Roles = append(p.Roles, ident.Approver)
	return p
}

func (w *world) open1(it intent.Intent) decision.Decision {
	w.t.Helper()
	d, err := w.store.DecisionOf(w.t.Context(), acme, it.ID)
	w.must(err)
	return d
}

// vote is a person's, with a fresh factor.
func (w *world) vote(it intent.Intent, v decision.Verdict, who ident.Principal) decision.Decision {
	w.t.Helper()
	d := w.open1(it)
	r, err := w.store.AccountByID(w.t.Context(), acme, who.ID)
	w.must(err)
	f := identity.Factor{ID: ident.New("fac"), Tenant: acme, Account: who.ID, Method: identity.MethodTOTP, At: w.clock(), For: d.Act(v, who.ID)}
	w.must(w.store.AcceptProof(w.t.Context(), identity.Proof{Tenant: acme, Account: r.ID, Revision: r.Revision, Counter: r.Counter + 1, Attempts: r.ID, Factor: &f}))
	out, err := w.desk.Decide(w.t.Context(), decision.Request{Tenant: acme, Decision: d.ID, Verdict: v, Digest: d.Digest, Reason: "because", Who: who, Factor: (*decision.Factor)(&f)}, w.clock())
	w.must(err)
	return out
}

const bothTeams = `@id("big") @approvers("finance") forbid (principal, action == Action::"call_unattended", resource == Tool::"erp/createVendor") when { context.args has count && context.args.count > 10 };
@id("too") @approvers("cfo") forbid (principal, action == Action::"call_unattended", resource == Tool::"erp/createVendor") when { context.args has count && context.args.count > 10 };`

func createN(n string) intent.Proposal {
	return intent.Proposal{Connection: "erp-write", Tool: "createVendor", Args: json.RawMessage(`{"count":` + n + `,"name":"x"}`), Reason: "it is new"}
}

func TestAWriteThatTwoTeamsDecideOnWaitsForBoth(t *testing.T) {
	w, p := staffed(t)
	w.policy(bothTeams)
	it := w.admit(w.start(), createN("11"))
	d := w.open1(it)
	if len(d.Needs) != 2 || len(d.Policies) == 0 || d.Note == "" {
		t.Fatalf("it needs %+v", d)
	}
	w.vote(it, decision.Approve, p["ann"])
	w.must(w.dispatch(it))
	w.wantUntouched()
	if d = w.vote(it, decision.Approve, p["cleo"]); d.State != decision.Approved {
		t.Fatalf("it is %s", d.State)
	}
	w.must(w.dispatch(it))
	w.wantState(it.ID, intent.Committed)
	w.wantArrived(1)
	if claims := w.entries(audit.IntentClaimed); len(claims[len(claims)-1].Fields["approvers"].([]string)) != 2 {
		t.Errorf("the claim names %v", claims)
	}
}

// Between the last vote and the dispatch: what does not hold any more is asked
// again, under a new Decision, and nothing is sent.
func TestWhatChangedBetweenVotesAndDispatchIsAskedAgain(t *testing.T) {
	for name, change := range map[string]func(*world){
		"one of two left": func(w *world) { w.team("finance", "ann", "kim") },
		"one of two left and came back": func(w *world) {
			w.team("finance", "ann", "kim")
			w.team("finance", "ann", "bob", "kim")
		},
		"one was disabled": func(w *world) {
			r, err := w.store.AccountByName(w.t.Context(), acme, "bob")
			w.must(err)
			r.Disabled = true
			w.must(w.store.UpdateAccount(w.t.Context(), r, true, audit.Event{Type: audit.AccountChanged, Tenant: acme, At: w.clock(), Actor: "system:x"}))
		},
		"one is no approver any more": func(w *world) {
			r, err := w.store.AccountByName(w.t.Context(), acme, "bob")
			w.must(err)
			r.Roles = []ident.Role{ident.Requester}
			w.must(w.store.UpdateAccount(w.t.Context(), r, true, audit.Event{Type: audit.AccountChanged, Tenant: acme, At: w.clock(), Actor: "system:x"}))
		},
		"the Team was made again": func(w *world) {
			w.must(w.store.RemoveTeam(w.t.Context(), acme, "finance", "system:x", w.clock()))
			w.team("finance", "ann", "bob", "kim")
			w.apply()
		},
		"the Mission asks for three": func(w *world) { w.mission.Decisions[0].Count = 3; w.apply() },
		"policy asks another Team":   func(w *world) { w.policy(strings.ReplaceAll(bothTeams, "> 10", "> 1")) },
	} {
		t.Run(name, func(t *testing.T) {
			w, p := staffed(t)
			w.mission.Decisions[0].Count = 2
			w.apply()
			it := w.admit(w.start(), createN("11"))
			w.vote(it, decision.Approve, p["ann"])
			if d := w.vote(it, decision.Approve, p["bob"]); d.State != decision.Approved {
				t.Fatalf("it is %s", d.State)
			}
			change(w)
			w.must(w.dispatch(it))
			got := w.wantState(it.ID, intent.Parked)
			w.wantUntouched()
			if d := w.open1(it); d.State != decision.Open || len(d.Votes) != 0 || d.Revision != 2 || got.Revision != 2 {
				t.Errorf("it waits under %+v", d)
			}
		})
	}
}

func TestTheGlassDoesNotBreakPolicy(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*world, map[string]ident.Principal)
		to     intent.State
	}{
		"nothing": {func(*world, map[string]ident.Principal) {}, intent.Committed},
		"policy denies": {func(w *world, _ map[string]ident.Principal) {
			w.policy(`@id("frozen") forbid (principal, action, resource);`)
		}, intent.Denied},
		"one is no admin any more": {func(w *world, p map[string]ident.Principal) {
			r, err := w.store.AccountByID(w.t.Context(), acme, p["jon"].ID)
			w.must(err)
			r.Roles = nil
			w.must(w.store.UpdateAccount(w.t.Context(), r, false, audit.Event{Type: audit.AccountChanged, Tenant: acme, At: w.clock(), Actor: "system:x"}))
		}, intent.Parked},
		"the Run has ended": {func(w *world, _ map[string]ident.Principal) {
			runs, err := w.store.OpenRuns(w.t.Context())
			w.must(err)
			w.must(w.EndRun(w.t.Context(), worker(runs[0]), "done", ""))
		}, intent.Withdrawn},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := staffed(t)
			it := w.admit(w.start(), create("x"))
			w.vote(it, decision.Glass, p["ida"])
			if d := w.vote(it, decision.Glass, p["jon"]); d.State != decision.Approved || !d.BreakGlass {
				t.Fatalf("it is %+v", d)
			}
			c.change(w, p)
			w.must(w.dispatch(it))
			w.wantState(it.ID, c.to)
			if c.to == intent.Committed {
				w.wantArrived(1)
			} else {
				w.wantUntouched()
			}
		})
	}
}

func (w *world) edit(it intent.Intent, who ident.Principal, args string) (decision.Decision, error) {
	d := w.open1(it)
	return w.Edit(w.t.Context(), who, gate.Edit{Decision: d.ID, Seen: d.Digest, Args: json.RawMessage(args), Reason: "cheaper"})
}

func TestAnEditedActionIsDecidedAnewAndSentAsItIsThen(t *testing.T) {
	w, p := staffed(t)
	w.mission.Decisions[0].Count = 2
	w.policy(bothTeams)
	run := w.start()
	w.pass(time.Minute)
	proposal := createN("5")
	proposal.Key = "k"
	it := w.admit(run, proposal)
	first := w.vote(it, decision.Approve, p["ann"])
	w.pass(time.Hour)
	d, err := w.edit(it, p["kim"], `{"name":"x", "count": 50}`)
	w.must(err)
	if len(d.Needs) != 2 || len(d.Votes) != 0 || d.ExpiresAt.After(first.ExpiresAt) {
		t.Fatalf("with a value above the threshold it needs %+v", d)
	}
	w.must(w.dispatch(it))
	w.wantUntouched()
	if again := w.admit(run, createN("50")); again.ID != it.ID {
		t.Errorf("what it was changed to is proposed as %s", again.ID)
	}
	again := w.admit(run, proposal) // the Worker's key still finds it
	if again.ID != it.ID || again.Revision != 2 || string(again.Args) != `{"count":50,"name":"x"}` {
		t.Fatalf("the same proposal gives %+v", again)
	}
	w.vote(it, decision.Approve, p["kim"]) // who changed it votes like everybody
	if d := w.vote(it, decision.Approve, p["cleo"]); d.State != decision.Approved {
		t.Fatalf("it is %s", d.State)
	}
	w.must(w.dispatch(it))
	got := w.wantState(it.ID, intent.Committed)
	for _, n := range []string{"5", "50"} { // as it was proposed, and as it was sent: neither is another write
		if again := w.admit(run, createN(n)); again.ID != it.ID {
			t.Errorf("the same write of %s is %s, %s", n, again.ID, again.State)
		}
	}
	w.wantArrived(1)
	if w.arrived[0] != `createVendor {"count":50,"name":"x"}` || got.Result.Edited != "an approver changed the arguments: /count is 50 and not 5" {
		t.Errorf("there arrived %q, the Worker reads %q", w.arrived[0], got.Result.Edited)
	}
	es := w.entries(audit.IntentEdited)
	if len(es) != 1 || es[0].Actor != p["kim"].String() || es[0].Fields["from"] != first.ID || es[0].Fields["result"] != string(intent.Salted(it.Salt, it.Args)) {
		t.Errorf("the record has %+v", es)
	}
}

func TestAnEditThatIsRefusedLeavesTheActionAndItsVotes(t *testing.T) {
	for name, c := range map[string]struct {
		who  string
		args string
		want fault.Kind
		do   func(*world)
	}{
		"policy denies what it would be": {"ann", `{"count":99,"name":"x"}`, fault.Denied, func(w *world) {
			w.policy(`@id("cap") forbid (principal, action, resource == Tool::"erp/createVendor") when { context.args has count && context.args.count > 90 };`)
		}},
		"it does not fit the schema":  {"ann", `{"name":"does-not-fit"}`, fault.Invalid, nil},
		"it has a known secret":       {"ann", `{"name":"` + canary + `-erp-key"}`, fault.Denied, nil},
		"it is no JSON":               {"ann", `{"name":`, fault.Invalid, nil},
		"it is no object":             {"ann", `[1]`, fault.Invalid, nil},
		"nothing is changed":          {"ann", `{"name": "x", "count": 5.0}`, fault.Invalid, nil},
		"by somebody of another Team": {"cleo", `{"name":"y"}`, fault.Denied, nil},
		"by an admin":                 {"ida", `{"name":"y"}`, fault.Denied, nil},
		"by who started the Run":      {"sam", `{"name":"y"}`, fault.Denied, nil},
		"it has expired":              {"ann", `{"name":"y"}`, fault.Conflict, func(w *world) { w.pass(8 * 24 * time.Hour) }},
		"the configuration is lost":   {"ann", `{"name":"y"}`, fault.Unavailable, func(w *world) { w.worldErr = errStore }},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := staffed(t)
			w.mission.Decisions[0].Count = 2
			w.apply()
			p["sam"] = ident.Principal{Tenant: acme, Kind: ident.Person, ID: sam.ID, Name: "Sam", Roles: []ident.Role{ident.Approver}}
			it := w.admit(w.start(), createN("5"))
			w.vote(it, decision.Approve, p["bob"])
			if c.do != nil {
				c.do(w)
			}
			_, err := w.edit(it, p[c.who], c.args)
			w.wantKind(err, c.want)
			if err != nil && strings.Contains(err.Error()+fault.HintOf(err), canary) {
				t.Errorf("the refusal repeats it: %v", err)
			}
			got := w.wantState(it.ID, intent.Parked)
			if d := w.open1(it); got.Revision != 1 || d.State != decision.Open || len(d.Votes) != 1 || len(w.entries(audit.IntentEdited)) != 0 {
				t.Errorf("it is %+v under %+v", got, d)
			}
		})
	}
}

// What policy would let through by itself waits all the same: a change approves
// nothing.
func TestAnActionIsNotChangedForEver(t *testing.T) {
	w, p := staffed(t)
	it := w.admit(w.start(), createN("5"))
	for n := range decision.MaxEdits {
		_, err := w.edit(it, p["kim"], fmt.Sprintf(`{"name":"x","count":%d}`, n+6))
		w.must(err)
	}
	_, err := w.edit(it, p["kim"], `{"name":"x","count":5}`)
	w.wantKind(err, fault.Limit)
}

func TestAnEditApprovesNothing(t *testing.T) {
	w, p := staffed(t)
	w.policy(`@id("small") permit (principal, action, resource == Tool::"erp/createVendor") when { context.args has count && context.args.count < 3 };`)
	it := w.admit(w.start(), createN("5"))
	d, err := w.edit(it, p["ann"], `{"count":1,"name":"x"}`)
	w.must(err)
	w.must(w.dispatch(it))
	w.wantState(it.ID, intent.Parked)
	w.wantUntouched()
	if d.State != decision.Open || len(d.Needs) != 1 || d.Needs[0].Team != "finance" {
		t.Errorf("it waits under %+v", d)
	}
	// What it was before can be decided on no more.
	w.vote(it, decision.Approve, p["bob"])
	_, err = w.realVault.Set(t.Context(), vault.Write{Tenant: acme, Name: "late", Actor: ident.Principal{Tenant: acme, Kind: ident.System, ID: "test"}, Fields: map[string][]byte{"token": []byte("late-4f8a7c2e9b1d")}})
	w.must(err)
	w.must(w.dispatch(it))
	w.wantState(it.ID, intent.Committed)
	if len(w.arrived) != 1 || w.arrived[0] != `createVendor {"count":1,"name":"x"}` {
		t.Errorf("there arrived %v", w.arrived)
	}
}
