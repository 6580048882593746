package gate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
)

// outside is a world with the outside Workers night and day, of one owner.
func outside(t *testing.T) (*world, ident.Principal) {
	w := newWorld(t)
	w.owner = "acc_owen"
	for _, name := range []string{"night", "day"} {
		w.outside = append(w.outside, &resource.Worker{Head: head(resource.KindWorker, name), Owner: "owen"})
	}
	w.apply()
	return w, agent("night")
}

func agent(name string) ident.Principal {
	return ident.Principal{Tenant: acme, Kind: ident.Worker, ID: name, Name: name, Auth: ident.Auth{How: "token:0123456789ab", Until: noon.Add(1000 * time.Hour)}}
}

// started is a Worker's Run of the Mission.
func (w *world) started(who ident.Principal) ident.Principal {
	w.t.Helper()
	r, err := w.WorkerRun(w.t.Context(), who, "onboard", nil, true)
	w.must(err)
	return gate.AsRun(who, r)
}

func TestAWorkerHasOneOpenRunOfAMission(t *testing.T) {
	w, night := outside(t)
	w.mission.Form = []resource.Field{{Name: "name", Required: true}}
	w.apply()
	in := json.RawMessage(`{"name":"Siemens"}`)
	_, err := w.WorkerRun(t.Context(), night, "onboard", nil, false)
	w.wantKind(err, fault.NotFound)
	offer, err := w.Offer(t.Context(), night, "onboard")
	if err != nil || len(offer.Tools) == 0 || offer.Run.ID != "" || !strings.Contains(string(offer.Form), `"required":["name"]`) {
		t.Errorf("before a Run it is offered %+v, %v", offer, err)
	}
	_, err = w.Offer(t.Context(), night, "payroll")
	w.wantKind(err, fault.Denied)
	_, err = w.WorkerRun(t.Context(), night, "onboard", json.RawMessage(`{}`), true)
	w.wantKind(err, fault.Invalid)
	var ids sync.Map
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			r, err := w.WorkerRun(t.Context(), night, "onboard", in, true)
			if err != nil {
				t.Error(err)
			}
			ids.Store(r.ID, r)
		})
	}
	wg.Wait()
	n := 0
	var run intent.Run
	ids.Range(func(_, r any) bool { n++; run = r.(intent.Run); return true })
	if n != 1 || run.Starter != "worker:night" || run.Worker != intent.Outside || run.Via != "worker" {
		t.Fatalf("%d Runs, %+v", n, run)
	}
	again, err := w.WorkerRun(t.Context(), night, "onboard", nil, false)
	if err != nil || again.ID != run.ID {
		t.Errorf("again %s, %v", again.ID, err)
	}
	_, err = w.WorkerRun(t.Context(), night, "onboard", json.RawMessage(`{"name":"Bosch"}`), true)
	w.wantKind(err, fault.Conflict)
	other, err := w.WorkerRun(t.Context(), agent("day"), "onboard", in, true)
	if err != nil || other.ID == run.ID {
		t.Errorf("another Worker's is %s, %v", other.ID, err)
	}
	w.must(w.EndRun(t.Context(), gate.AsRun(night, run), "done", ""))
	if next, err := w.WorkerRun(t.Context(), night, "onboard", in, true); err != nil || next.ID == run.ID {
		t.Errorf("after the end %s, %v", next.ID, err)
	}
}

func TestWhoCannotStartARunAsAWorker(t *testing.T) {
	w, night := outside(t)
	text := map[string]bool{}
	for name, c := range map[string]struct {
		who     ident.Principal
		mission string
	}{
		"a person":                 {sam, "onboard"},
		"a Run":                    {w.start(), "onboard"},
		"nobody":                   {ident.Principal{}, "onboard"},
		"a Worker of no tenant":    {ident.Principal{Kind: ident.Worker, ID: "night"}, "onboard"},
		"a Worker that is unknown": {agent("dusk"), "onboard"},
		"a Mission that is not":    {night, "nothing"},
	} {
		_, err := w.WorkerRun(t.Context(), c.who, c.mission, nil, true)
		w.wantKind(err, fault.Denied)
		text[name] = true
		if err != nil && name == "a Mission that is not" {
			text[err.Error()] = true
		}
	}
	w.unlisted = []string{"night"}
	w.apply()
	_, err := w.WorkerRun(t.Context(), night, "onboard", nil, true)
	w.wantKind(err, fault.Denied)
	if err != nil && !text[err.Error()] {
		t.Errorf("it tells a Mission that exists from one that does not: %v", err)
	}
	_, err = w.StartRun(t.Context(), night, start("onboard")) // the way of people
	w.wantKind(err, fault.Denied)
	if n := len(w.entries(audit.RunStarted)); n != 1 {
		t.Errorf("%d starts are on record", n)
	}
}

// A Run's token does not outlive what its Worker may do, and an approval does not
// either.
func TestAWorkerThatIsGoneActsByNoRun(t *testing.T) {
	for name, gone := range map[string]func(*world){
		"disabled":  func(w *world) { w.outside[0].Disabled = true },
		"removed":   func(w *world) { w.outside = w.outside[1:] },
		"unlisted":  func(w *world) { w.unlisted = []string{"night"} },
		"ownerless": func(w *world) { w.broken["Standing"] = fault.New(fault.Denied, "nobody answers for it") },
	} {
		t.Run(name, func(t *testing.T) {
			w, night := outside(t)
			run := w.started(night)
			it := w.admit(run, create("Siemens"))
			w.approve(it, nil)
			gone(w)
			w.apply()
			_, err := w.Admit(t.Context(), run, find("x"))
			w.wantKind(err, fault.Denied)
			_, err = w.Brief(t.Context(), run)
			w.wantKind(err, fault.Denied)
			_, err = w.Pending(t.Context(), run)
			w.wantKind(err, fault.Denied)
			_, err = w.Withdraw(t.Context(), run, it.ID)
			w.wantKind(err, fault.Denied)
			w.must(w.dispatch(it))
			w.wantState(it.ID, intent.Denied)
			w.wantUntouched()
		})
	}
	w, night := outside(t)
	run := w.started(night)
	it := w.admit(run, create("Siemens"))
	w.approve(it, nil)
	w.broken["Standing"] = errStore // nobody can say: it waits
	w.wantKind(w.dispatch(it), fault.Unavailable)
	w.wantState(it.ID, intent.Approved)
}

func TestWhoAnswersForAWorkerDoesNotDecideOnWhatItDoes(t *testing.T) {
	w, people := staffed(t)
	w.outside = []*resource.Worker{{Head: head(resource.KindWorker, "night"), Owner: "ann"}}
	w.owner = people["ann"].ID
	w.apply()
	run := w.started(agent("night"))
	it := w.admit(run, create("Siemens"))
	d := w.open1(it)
	f := decision.Factor{ID: "fac_x", Tenant: acme, Account: w.owner, Method: "totp", At: w.clock(), For: d.Act(decision.Approve, w.owner)}
	_, err := w.desk.Decide(t.Context(), decision.Request{Tenant: acme, Decision: d.ID, Verdict: decision.Approve, Digest: d.Digest, Who: people["ann"], Factor: &f}, w.clock())
	if decision.CodeOf(err) != decision.OwnApproval {
		t.Fatalf("the owner's verdict: %v", err)
	}
	// Nor when somebody else has become the owner since, which who applies the Worker
	// can bring about.
	w.owner = "acc_other"
	f.ID = "fac_y"
	_, err = w.desk.Decide(t.Context(), decision.Request{Tenant: acme, Decision: d.ID, Verdict: decision.Approve, Digest: d.Digest, Who: people["ann"], Factor: &f}, w.clock())
	if decision.CodeOf(err) != decision.OwnApproval {
		t.Fatalf("the verdict of who was the owner: %v", err)
	}
	// Who became the owner after the approval does not stand for it either.
	it = w.admit(run, create("Alstom"))
	w.vote(it, decision.Approve, people["ann"])
	w.wantState(it.ID, intent.Approved)
	w.owner = people["ann"].ID
	w.must(w.dispatch(it))
	w.wantState(it.ID, intent.Parked)
	w.wantUntouched()
	w.mission.AllowSelfApproval = true
	w.apply()
	w.vote(it, decision.Approve, people["ann"])
	w.must(w.dispatch(it))
	w.wantState(it.ID, intent.Committed)
}

func TestEntriesSayWhichWorkerAndHowItCame(t *testing.T) {
	w, night := outside(t)
	run := w.started(night)
	it := w.admit(run, create("Siemens"))
	other := night
	other.Auth.How = "jwt:agent-7 by https://login.example.com"
	_, err := w.Admit(t.Context(), gate.AsRun(other, intent.Run{Tenant: acme, ID: run.ID}), intent.Proposal{Connection: "erp-other", Tool: "findVendors"})
	w.wantKind(err, fault.Denied)
	w.admit(w.start(), create("Bosch")) // a person's
	get := func(typ audit.Type, n int) string {
		e := w.entries(typ)[n]
		return fmt.Sprint(e.Fields["starter"], " ", e.Fields["worker"], " ", e.Fields["auth"])
	}
	for _, c := range []struct {
		typ  audit.Type
		n    int
		want string
	}{
		{audit.RunStarted, 0, "worker:night outside token:0123456789ab"},
		{audit.IntentParked, 0, "worker:night outside token:0123456789ab"},
		{audit.IntentDenied, 0, "worker:night outside jwt:agent-7 by https://login.example.com"},
		{audit.IntentParked, 1, "person:acc_sam outside run-token"},
	} {
		if got := get(c.typ, c.n); got != c.want {
			t.Errorf("%s is of %q, want %q", c.typ, got, c.want)
		}
	}
	w.approve(it, nil)
	w.must(w.dispatch(it))
	if got := get(audit.IntentClaimed, 0); got != "worker:night outside token:0123456789ab" {
		t.Errorf("the claim is of %q", got)
	}
}

func TestPolicyKnowsWhichWorkerItIs(t *testing.T) {
	w, night := outside(t)
	w.policy(`@id("night") permit (principal, action, resource) when { principal.name == "night" && principal.owner == "owen" && context.worker == "outside" };`)
	run := w.started(night)
	if it := w.admit(run, create("Siemens")); it.State != intent.Committed {
		t.Errorf("night's is %s", it.State)
	}
	if it := w.admit(w.started(agent("day")), create("Bosch")); it.State != intent.Parked {
		t.Errorf("day's is %s", it.State)
	}
	if it := w.admit(w.start(), create("ABB")); it.State != intent.Parked {
		t.Errorf("a person's is %s", it.State)
	}
	builder := ident.Principal{Tenant: acme, Kind: ident.Person, ID: "acc_b", Roles: []ident.Role{ident.Builder}}
	for name, want := range map[string]policy.Effect{"night": policy.Allow, "day": policy.Ask, "outside": policy.Ask, "": policy.Ask} {
		x, err := w.Explain(t.Context(), builder, gate.Hypothetical{Mission: "onboard", Worker: name, Connection: "erp-write", Tool: "createVendor", Args: json.RawMessage(`{"name":"x"}`)})
		if err != nil || x.Effect != want {
			t.Errorf("explain as %q: %s, %v", name, x.Effect, err)
		}
	}
	x, err := w.Explain(t.Context(), builder, gate.Hypothetical{Run: run.ID, Connection: "erp-write", Tool: "createVendor", Args: json.RawMessage(`{"name":"x"}`)})
	if err != nil || x.Effect != policy.Allow {
		t.Errorf("explain of its Run: %s, %v", x.Effect, err)
	}
	_, err = w.Explain(t.Context(), builder, gate.Hypothetical{Mission: "onboard", Worker: "dusk", Connection: "erp-write", Tool: "createVendor"})
	w.wantKind(err, fault.Invalid)
}

func TestAWorkerIsBoundedInWhatItHasAtOnce(t *testing.T) {
	w, night := outside(t)
	w.outside[0].Limits = resource.WorkerLimits{Parked: 2}
	w.outside[0].OwnerLimits = resource.WorkerLimits{OpenRuns: 1}
	w.outside[1].OwnerLimits = resource.WorkerLimits{OpenRuns: 1}
	w.apply()
	run := w.started(night)
	_, err := w.WorkerRun(t.Context(), agent("day"), "onboard", nil, true)
	w.wantKind(err, fault.Limit)
	w.admit(run, create("a"))
	w.admit(run, create("b"))
	_, err = w.Admit(t.Context(), run, create("c"))
	w.wantKind(err, fault.Limit)
	w.admit(run, create("a")) // a repeat is no more
	w.admit(run, find("x"))   // and a read waits for nobody
	if n := len(w.entries(audit.IntentDenied)); n != 0 {
		t.Errorf("%d denials are on record", n)
	}
	pending, err := w.Pending(t.Context(), run)
	if err != nil || len(pending) != 2 {
		t.Fatalf("pending %d, %v", len(pending), err)
	}
	_, err = w.Withdraw(t.Context(), run, pending[0].ID)
	w.must(err)
	w.admit(run, create("c"))
	w.pass(time.Minute)
	w.must(w.KeepExcess(t.Context()))
	sum := ""
	for _, e := range w.entries(audit.WorkerLimited) {
		sum += fmt.Sprint(e.Fields["worker"], " ", e.Fields["count"], ";")
	}
	if sum != "day 1;night 1;" {
		t.Errorf("told: %s", sum)
	}
}

// Whoever is beyond a limit may call as often as they like: it is a handful of writes,
// one entry for each minute, and no call is lost from the count.
func TestTenThousandCallsTooManyAreAHandfulOfEntries(t *testing.T) {
	w, night := outside(t)
	w.outside[0].Limits = resource.WorkerLimits{CallsPerHour: 3}
	w.apply()
	run := w.started(night) // one
	w.admit(run, find("a"))
	w.admit(run, find("b"))
	before, looked := w.size(), w.looked
	const flood = 10_000
	for n := range flood {
		if n == flood/2 {
			w.pass(time.Minute)
			w.must(w.KeepExcess(t.Context()))
		}
		_, err := w.Admit(t.Context(), run, create(canary+"-erp-key")) // even a known secret: nothing of it is kept
		if over, ok := errors.AsType[*gate.OverLimit](err); !ok || !fault.Is(err, fault.Limit) || over.Quota.Most != 3 {
			t.Fatalf("call %d: %v", n, err)
		}
	}
	w.must(w.KeepExcess(t.Context()))
	w.pass(time.Minute)
	w.must(w.KeepExcess(t.Context()))
	w.must(w.KeepExcess(t.Context()))
	total := 0
	limited := w.entries(audit.WorkerLimited)
	for _, e := range limited {
		n, err := strconv.Atoi(fmt.Sprint(e.Fields["count"]))
		w.must(err)
		total += n
	}
	if len(limited) != 2 || total != flood || w.size()-before != 2 {
		t.Errorf("%d entries count %v, and the log grew by %d", len(limited), total, w.size()-before)
	}
	if w.counted > 4 || w.looked != looked {
		t.Errorf("the store was told %d times, and the vault asked %d times", w.counted, w.looked-looked)
	}
	r, err := w.store.Run(t.Context(), acme, run.ID)
	if err != nil || r.State == intent.RunEnded {
		t.Errorf("the Run is %s, %v", r.State, err)
	}
	w.pass(time.Hour)
	w.admit(run, find("c"))
}

func (w *world) size() int {
	w.t.Helper()
	rows, err := w.store.Audit().List(w.t.Context(), acme, audit.Filter{}, 0, 5000)
	w.must(err)
	return len(rows)
}

// The store fails while it floods, and the process ends between two minutes: what a
// finished minute counted is told by the next process.
func TestWhatWasDeniedOutlivesTheProcess(t *testing.T) {
	w, night := outside(t)
	w.outside[0].Limits = resource.WorkerLimits{CallsPerHour: 1}
	w.apply()
	run := w.started(night)
	deny := func(n int) {
		for range n {
			_, err := w.Admit(t.Context(), run, find("x"))
			w.wantKind(err, fault.Limit)
		}
	}
	w.broken["CountExcess"] = errStore
	deny(5)
	w.wantKind(w.KeepExcess(t.Context()), fault.Unavailable)
	delete(w.broken, "CountExcess")
	deny(5)
	w.must(w.KeepExcess(t.Context())) // a second later
	w.must(w.store.Close())
	w.open()
	deny2 := w.entries(audit.WorkerLimited)
	w.pass(time.Minute)
	w.must(w.KeepExcess(t.Context()))
	if got := w.entries(audit.WorkerLimited); len(deny2) != 0 || len(got) != 1 || fmt.Sprint(got[0].Fields["count"]) != "10" {
		t.Errorf("told: %+v", got)
	}
	_, err := w.Admit(t.Context(), run, find("x")) // and the hour's calls were not forgotten: the start is no Intent, so one is left
	w.must(err)
	deny(1)
}

func TestAnActionIsTakenBackBeforeItBegins(t *testing.T) {
	w, people := staffed(t)
	run := w.start()
	it := w.admit(run, create("Siemens"))
	got, err := w.Withdraw(t.Context(), run, it.ID)
	if err != nil || got.State != intent.Withdrawn {
		t.Fatalf("%s, %v", got.State, err)
	}
	if d := w.open1(it); d.State != decision.Withdrawn {
		t.Errorf("its Decision is %s", d.State)
	}
	if again, err := w.Withdraw(t.Context(), run, it.ID); err != nil || again.State != intent.Withdrawn {
		t.Errorf("again: %s, %v", again.State, err)
	}
	next := w.admit(run, create("Siemens")) // it is a new one, not the old answer
	if next.ID == it.ID || next.State != intent.Parked {
		t.Fatalf("then %s is %s", next.ID, next.State)
	}
	w.vote(next, decision.Approve, people["ann"])
	got, err = w.Withdraw(t.Context(), run, next.ID)
	if err != nil || got.State != intent.Withdrawn || got.Result == nil || !strings.Contains(got.Result.Note, "Nothing was sent") {
		t.Fatalf("approved: %+v, %v", got, err)
	}
	w.must(w.dispatch(next))
	w.wantUntouched()
	third := w.admit(run, create("Siemens"))
	w.vote(third, decision.Approve, people["ann"])
	w.must(w.dispatch(third))
	got, err = w.Withdraw(t.Context(), run, third.ID)
	w.wantKind(err, fault.Conflict)
	if got.State != intent.Committed {
		t.Errorf("it is %s", got.State)
	}
	titles := ""
	for _, o := range w.rail(run.ID) {
		titles += o.Title + "\n"
	}
	if strings.Count(titles, "withdrawn") != 2 {
		t.Errorf("the rail says\n%s", titles)
	}
}

func TestARunTakesBackOnlyItsOwn(t *testing.T) {
	w, night := outside(t)
	mine, other := w.started(night), w.started(agent("day"))
	it := w.admit(other, create("Siemens"))
	for name, who := range map[string]ident.Principal{"another Worker's Run": mine, "a person's Run": w.start(), "a person": sam, "the Worker itself": agent("day")} {
		_, err := w.Withdraw(t.Context(), who, it.ID)
		if !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", name, err)
		}
		if l, err := w.Pending(t.Context(), who); err == nil && len(l) > 0 {
			t.Errorf("%s sees %d", name, len(l))
		}
	}
	w.wantState(it.ID, intent.Parked)
	if _, err := w.Withdraw(t.Context(), other, "int_nothing"); !fault.Is(err, fault.NotFound) {
		t.Errorf("one that does not exist: %v", err)
	}
}

// Guessing known secrets by the input of starts ends as it does for people.
func TestAWorkerDoesNotGuessByStarting(t *testing.T) {
	w, night := outside(t)
	w.mission.Form = []resource.Field{{Name: "name", Required: true}}
	w.apply()
	for n := range 12 {
		_, err := w.WorkerRun(t.Context(), night, "onboard", json.RawMessage(`{"name":"`+canary+`-erp-key"}`), true)
		want := fault.Denied
		if n >= 10 {
			want = fault.Limit
		}
		w.wantKind(err, want)
	}
	if n := len(w.entries(audit.RunStarted)); n != 0 {
		t.Errorf("%d Runs began", n)
	}
}

func TestTheOwnerStopsARun(t *testing.T) {
	w, night := outside(t)
	run := w.started(night)
	w.wantKind(w.StopRun(t.Context(), ident.Principal{Tenant: acme, Kind: ident.Person, ID: "acc_x"}, run.ID), fault.Denied)
	w.wantKind(w.StopRun(t.Context(), ident.Principal{Tenant: acme, Kind: ident.Run, ID: "acc_owen"}, run.ID), fault.Denied)
	w.must(w.StopRun(t.Context(), ident.Principal{Tenant: acme, Kind: ident.Person, ID: "acc_owen", Name: "Owen"}, run.ID))
}
