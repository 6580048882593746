package gate_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

func TestWhoMayStartARun(t *testing.T) {
	w := newWorld(t)
	person := func(roles ...ident.Role) ident.Principal {
		return ident.Principal{Tenant: acme, Kind: ident.Person, ID: "acc_x", Roles: roles}
	}
	run := w.start()
	for name, c := range map[string]struct {
		who ident.Principal
		k   fault.Kind
	}{
		"a requester":                    {person(ident.Requester), ""},
		"the schedule":                   {ident.Principal{Tenant: acme, Kind: ident.System, ID: "schedule"}, ""},
		"nobody":                         {ident.Principal{}, fault.Denied},
		"a requester of no tenant":       {ident.Principal{Kind: ident.Person, ID: "acc_x", Roles: []ident.Role{ident.Requester}}, fault.Denied},
		"everybody else":                 {person(ident.Approver, ident.Builder, ident.Auditor, ident.Admin), fault.Denied},
		"a Run":                          {run, fault.Denied},
		"a Run that says it has a role":  {ident.Principal{Tenant: acme, Kind: ident.Run, ID: run.ID, Roles: ident.Roles}, fault.Denied},
		"the product, of no tenant":      {ident.Principal{Kind: ident.System, ID: "schedule"}, fault.Denied},
		"a kind that nobody has defined": {ident.Principal{Tenant: acme, Kind: "root", ID: "x", Roles: ident.Roles}, fault.Denied},
	} {
		r, err := w.StartRun(t.Context(), c.who, start("onboard"))
		w.wantKind(err, c.k)
		if err == nil && r.Starter != c.who.String() || err != nil && r.ID != "" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if n := len(w.entries(audit.RunStarted)); n != 3 {
		t.Errorf("%d starts are on record", n)
	}
}

func TestAMissionForATeamIsStartedByItsMembers(t *testing.T) {
	w := newWorld(t)
	w.mission.Starters = []string{"finance"}
	w.apply()
	_, err := w.StartRun(t.Context(), sam, start("onboard"))
	w.wantKind(err, fault.Denied)
	ann := ident.Principal{Tenant: acme, Kind: ident.Person, ID: w.ann, Roles: []ident.Role{ident.Requester}}
	_, err = w.StartRun(t.Context(), ann, start("onboard"))
	w.must(err)
	w.broken["MemberSince"] = errStore
	_, err = w.StartRun(t.Context(), ann, start("onboard"))
	w.wantKind(err, fault.Unavailable)
}

func TestWhatARunCannotBeStartedWith(t *testing.T) {
	w := newWorld(t)
	w.mission.Form = []resource.Field{{Name: "name", Required: true}}
	w.apply()
	input := func(s string) gate.Start {
		return gate.Start{Mission: "onboard", Input: json.RawMessage(s), Outside: true}
	}
	for name, c := range map[string]struct {
		s gate.Start
		k fault.Kind
	}{
		"a Mission that is not there":   {start("nothing"), fault.NotFound},
		"a field that is missing":       {input(`{}`), fault.Invalid},
		"a field that is not asked for": {input(`{"name":"x","admin":true}`), fault.Invalid},
		"a field twice":                 {input(`{"name":"x","name":"y"}`), fault.Invalid},
		"no object":                     {input(`["name"]`), fault.Invalid},
		"no JSON":                       {input(`{`), fault.Invalid},
		"too much":                      {input(`{"name":"` + strings.Repeat("x", 128<<10) + `"}`), fault.Invalid},
		"a known secret":                {input(`{"name":"` + canary + `-erp-key"}`), fault.Denied},
		"a token of somebody's":         {input(`{"name":"use gl` + "pat-x7Kq2mZ9vB4nR1tY6wP3" + ` for it"}`), fault.Denied},
		"a cloud's key":                 {input(`{"name":"` + "AKIA" + "Q3EGVBN5X7TRW2KD" + `"}`), fault.Denied},
		"a secret behind escapes":       {input(`{"name":"\u0063` + canary[1:] + `-erp-key"}`), fault.Denied},
		"a key that is too long":        {gate.Start{Mission: "onboard", Input: json.RawMessage(`{"name":"x"}`), Key: strings.Repeat("k", 101)}, fault.Invalid},
		"a key that is a known secret":  {gate.Start{Mission: "onboard", Input: json.RawMessage(`{"name":"x"}`), Key: canary + "-erp-key"}, fault.Denied},
		"what fits":                     {input(`{"name":"x"}`), ""},
	} {
		t.Log(name)
		w.pass(time.Hour) // too many refusals are one themselves
		_, err := w.StartRun(t.Context(), sam, c.s)
		w.wantKind(err, c.k)
		if err != nil && strings.Contains(err.Error()+fault.HintOf(err), canary) {
			t.Errorf("the error repeats it: %v", err)
		}
	}
	if n := len(w.entries(audit.RunStarted)); n != 1 {
		t.Errorf("%d starts are on record", n)
	}
}

func TestAMissionWithoutAModelNeedsAWorkerOutside(t *testing.T) {
	w := newWorld(t)
	w.mission.Model = ""
	w.apply()
	_, err := w.StartRun(t.Context(), sam, gate.Start{Mission: "onboard"})
	w.wantKind(err, fault.Invalid)
	w.start()
}

func TestABuiltInWorkersRunBeginsFromTheOutbox(t *testing.T) {
	w := newWorld(t)
	r, err := w.StartRun(t.Context(), sam, gate.Start{Mission: "onboard", Via: "portal"})
	w.must(err)
	due, _, err := w.store.DueMessages(t.Context(), w.now, true, 10)
	w.must(err)
	if r.State != intent.RunWaiting || r.Worker != intent.BuiltIn || len(due) != 1 || due[0].Ref != r.ID {
		t.Errorf("%+v, %+v", r, due)
	}
}

func TestTheSameStartTwiceIsOneRun(t *testing.T) {
	w := newWorld(t)
	s := start("onboard")
	s.Key = "order-7"
	a, err := w.StartRun(t.Context(), sam, s)
	w.must(err)
	if b, err := w.StartRun(t.Context(), sam, s); err != nil || b.ID != a.ID {
		t.Errorf("%s and %s, %v", a.ID, b.ID, err)
	}
}

// A key is easily guessed. Who has another's must not get their Run: its token
// acts in their name.
func TestAnothersKeyIsNotAWayIntoTheirRun(t *testing.T) {
	w := newWorld(t)
	w.mission.Form = []resource.Field{{Name: "name"}}
	w.apply()
	s := start("onboard")
	s.Key = "order-7"
	_, err := w.StartRun(t.Context(), sam, s)
	w.must(err)
	eve := ident.Principal{Tenant: acme, Kind: ident.Person, ID: "acc_eve", Name: "Sam", Roles: []ident.Role{ident.Requester}}
	r, err := w.StartRun(t.Context(), eve, s)
	if w.must(err); r.Starter != eve.String() {
		t.Errorf("she got %+v", r)
	}
	other := s
	other.Input = json.RawMessage(`{"name":"x"}`)
	_, err = w.StartRun(t.Context(), sam, other)
	w.wantKind(err, fault.Conflict)
	builtin := s
	builtin.Outside = false
	_, err = w.StartRun(t.Context(), sam, builtin)
	w.wantKind(err, fault.Conflict)
}

func TestARunIsStoppedByItsStarterOrAnAdmin(t *testing.T) {
	w := newWorld(t)
	run := w.start()
	for _, who := range []ident.Principal{
		{}, run, {Tenant: acme, Kind: ident.Person, ID: "acc_eve", Roles: []ident.Role{ident.Requester, ident.Approver, ident.Builder, ident.Auditor}},
		{Tenant: "globex", Kind: ident.Person, ID: "acc_sam", Roles: ident.Roles},
	} {
		if err := w.StopRun(t.Context(), who, run.ID); !fault.Is(err, fault.Denied) && !fault.Is(err, fault.NotFound) {
			t.Errorf("%v: %v", who, err)
		}
	}
	w.must(w.StopRun(t.Context(), sam, run.ID))
	w.wantKind(w.StopRun(t.Context(), sam, run.ID), fault.Conflict)
	w.must(w.StopRun(t.Context(), ident.Principal{Tenant: acme, Kind: ident.Person, ID: "acc_adm", Roles: []ident.Role{ident.Admin}}, w.start().ID))
}

func TestAWorkerSeesItsOwnRunAlone(t *testing.T) {
	w := newWorld(t)
	mine, other := w.start(), w.start()
	it := w.admit(other, create("x"))
	_, err := w.Lookup(t.Context(), mine, it.ID)
	w.wantKind(err, fault.NotFound)
	_, err = w.Lookup(t.Context(), mine, "int_x")
	w.wantKind(err, fault.NotFound)
	said := w.Observe(t.Context(), mine, "int_x", "title", "text")
	w.wantKind(said, fault.Invalid)
	if strings.Contains(err.Error()+said.Error(), "int_x") { // scrubbed, it would say whether a guess is a Secret
		t.Errorf("what nothing has searched comes back: %v, %v", err, said)
	}
	got, err := w.Lookup(t.Context(), other, it.ID)
	if w.must(err); got.ID != it.ID {
		t.Errorf("%+v", got)
	}
}

func TestABriefOffersWhatTheMissionHolds(t *testing.T) {
	w := newWorld(t)
	b, err := w.Brief(t.Context(), w.start())
	w.must(err)
	var names []string
	for _, tool := range b.Tools {
		names = append(names, tool.Name)
	}
	if strings.Join(names, " ") != "erp-read__findVendors erp-write__createVendor erp-write__dropVendor" || b.Model != "model" || b.Goal != "Do it." {
		t.Errorf("%v, %+v", names, b)
	}
}

func TestWhatAWorkerPutsOnTheRailIsBoundedAndScrubbed(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	for _, k := range []explain.Kind{explain.Goal, explain.Intent, explain.Use, explain.ToolCall, explain.Decision, explain.Verdict, explain.Problem, "", "x"} {
		w.wantKind(w.Observe(t.Context(), who, k, "approved by Ann", ""), fault.Invalid)
	}
	w.wantKind(w.Observe(t.Context(), who, explain.Plan, strings.Repeat("x", 301), ""), fault.Invalid)
	w.wantKind(w.Observe(t.Context(), who, explain.Plan, "", strings.Repeat("x", 64<<10+1)), fault.Invalid)
	// A guess is not answered with the right part of it marked: it is stopped, and
	// counted.
	w.wantKind(w.Observe(t.Context(), who, explain.Inference, "I saw "+canary+"-erp-key", "and "+canary+"-model-key"), fault.Denied)
	w.wantKind(w.Observe(t.Context(), who, explain.Inference, "guess", canary+"-erp-key"), fault.Denied)
	w.must(w.Observe(t.Context(), who, explain.Inference, "nothing special", ""))
	rail := w.rail(who.ID)
	for _, o := range rail {
		if strings.Contains(o.Title+o.Text, canary) || strings.Contains(o.Title, "[secret:") {
			t.Errorf("it is %+v", o)
		}
	}
	if o := rail[len(rail)-1]; o.Title != "The Worker says: nothing special" {
		t.Errorf("whose words are %q?", o.Title)
	}
	if len(w.entries(audit.WorkerIncident)) != 2 {
		t.Error("the incidents are not on the record")
	}
	w.wantKind(w.Observe(t.Context(), sam, explain.Plan, "x", ""), fault.Denied)
}

func TestARunsVerdictIsBoundedAndScrubbed(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	w.wantKind(w.EndRun(t.Context(), who, strings.Repeat("v", 41), ""), fault.Invalid)
	w.wantKind(w.EndRun(t.Context(), who, "done", strings.Repeat("s", intent.MaxReason+1)), fault.Invalid)
	w.wantKind(w.EndRun(t.Context(), who, "done", "with "+canary+"-erp-key"), fault.Denied)
	w.must(w.EndRun(t.Context(), who, "done", "as it should be"))
	r, err := w.store.Run(t.Context(), acme, who.ID)
	if w.must(err); strings.Contains(r.Summary, canary) || r.State != intent.RunEnded {
		t.Errorf("%+v", r)
	}
	w.wantKind(w.EndRun(t.Context(), who, "done", ""), fault.Denied)
}

// Who guesses piece by piece, beside its proposals, is stopped for it.
func TestAWorkerThatSaysTooMuchIsStopped(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	long := strings.Repeat("x", 256<<10)
	for range 100 {
		if err := w.Observe(t.Context(), who, explain.Inference, "", long); err == nil || strings.Contains(err.Error(), "known secret") {
			t.Fatalf("too long an observation: %v", err)
		}
	}
	for range 150 {
		_ = w.Observe(t.Context(), who, explain.Inference, "", long+canary+"-erp-key")
	}
	if r, err := w.store.Run(t.Context(), acme, who.ID); err != nil || r.State != intent.RunEnded || r.Incidents != 0 {
		t.Errorf("the Run is %s with %d incidents, %v", r.State, r.Incidents, err)
	}
}
