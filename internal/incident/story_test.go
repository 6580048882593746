package incident_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/vault"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// sent is what a Worker outside sent at noon, in a Run that began an hour before;
// the Secret was stored the day before.
func sent(k incident.Kind) incident.Facts {
	i := incident.New(k, "acme", "run:run_1", "arguments: /note", noon)
	i.Run, i.Mission, i.Worker, i.Intent = "run_1", "onboard", intent.Outside, "int_9"
	i = i.Of([]string{"erp-key"})
	return incident.Facts{Incident: i, AuditIndex: 40, Secret: secretAt(noon.Add(-24 * time.Hour)),
		Run: &intent.Run{ID: "run_1", Starter: "person:acc_sam", StarterName: "Sam", Via: "portal", CreatedAt: noon.Add(-time.Hour), State: intent.RunRunning}}
}

func secretAt(versions ...time.Time) *vault.Secret {
	s := &vault.Secret{Name: "erp-key", Active: len(versions)}
	for n, at := range versions {
		s.Versions = append(s.Versions, vault.Version{Version: n + 1, State: vault.Active, CreatedAt: at, CreatedBy: "person:acc_adm"})
	}
	return s
}

func call(effect, secret string, redactions int64, redacted ...string) incident.Call {
	return incident.Call{Claim: 30, At: noon.Add(-time.Minute), Run: "run_1", Intent: "int_1", Connection: "erp-read", Tool: "findVendors", Effect: effect,
		Secret: secret, Outcome: 31, State: "COMMITTED", Redactions: redactions, Redacted: redacted}
}

func codes(s incident.Story) (out []string) {
	for _, h := range s.Hypotheses {
		out = append(out, h.Sure+" "+h.Code)
	}
	return out
}

func TestTheStoryIsWhatTheRecordSays(t *testing.T) {
	for name, c := range map[string]struct {
		kind  incident.Kind
		facts func(*incident.Facts)
		want  []string // in order
		says  string   // of the first
	}{
		"it used the Secret, and the answers had it": {incident.Sent, func(f *incident.Facts) {
			f.Calls = []incident.Call{call("read", "erp-key", 2, "erp-key")}
		}, []string{"likely returned"}, "used erp-key at erp-read, whose answers had a secret 2 times (taken out)"},
		"it used the Secret, and the answers had one that is not named": {incident.Sent, func(f *incident.Facts) {
			f.Calls = []incident.Call{call("read", "erp-key", 1)}
		}, []string{"likely returned"}, "a secret once"},
		"it used the Secret, and no answer had it": {incident.Sent, func(f *incident.Facts) {
			f.Calls = []incident.Call{call("read", "erp-key", 0), call("write", "crm-key", 1, "other")}
		}, []string{"possible used"}, "no answer had it in a form that is known"},
		"another system's answers had it": {incident.Sent, func(f *incident.Facts) {
			f.Calls = []incident.Call{call("read", "crm-key", 1, "erp-key")}
		}, []string{"likely returned_elsewhere", "likely never_used"}, "though it is not their credential"},
		"it never used it, and the Worker is outside": {incident.Sent, func(f *incident.Facts) {
			f.Calls = []incident.Call{call("read", "crm-key", 0)}
		}, []string{"likely never_used"}, "runs on a host of its own"},
		"it never used it, and has read": {incident.Sent, func(f *incident.Facts) {
			f.Incident.Worker = intent.BuiltIn
			f.Calls = []incident.Call{call("read", "crm-key", 0)}
		}, []string{"likely never_used"}, "with what the one read before returned"},
		"it never used anything": {incident.Sent, func(f *incident.Facts) { f.Incident.Worker = intent.BuiltIn },
			[]string{"likely never_used"}, "has read nothing before"},
		"the Secret was stored after the text was read": {incident.Sent, func(f *incident.Facts) {
			f.ResultsHave, f.Secret = []string{"int_1"}, secretAt(noon.Add(-time.Second))
		}, []string{"certain stored_later", "likely never_used"}, "stored only after the text that has it was read"},
		"the input has it": {incident.Sent, func(f *incident.Facts) { f.InputHas = true },
			[]string{"certain in_input", "likely never_used"}, "came in with the Run's input"},
		"the goal has it": {incident.Sent, func(f *incident.Facts) { f.GoalHas = true },
			[]string{"certain in_goal", "likely never_used"}, "in the Mission's goal"},
		"several were met": {incident.Sent, func(f *incident.Facts) { f.Incident = f.Incident.Of([]string{"erp-key", "crm-key"}) },
			[]string{"likely never_used", "possible several"}, ""},
		"it goes on after a rotation": {incident.Sent, func(f *incident.Facts) {
			f.Incident.Count, f.Incident.LastAt = 2, noon.Add(time.Hour)
			f.Secret = secretAt(noon.Add(-time.Hour), noon.Add(time.Minute))
		}, []string{"likely never_used", "possible after_rotation", "possible probing"}, ""},
		"the Run sent others": {incident.Sent, func(f *incident.Facts) {
			o := f.Incident
			o.ID, o.Secret = "inc_other", "crm-key"
			f.Others = []incident.Incident{o}
		}, []string{"likely never_used", "possible probing"}, ""},
		"it was in pieces": {incident.Carried, func(f *incident.Facts) {
			f.ProposedAt = noon.Add(-time.Second)
			f.Calls = []incident.Call{call("write", "erp-key", 0)}
		}, []string{"likely in_pieces", "possible used"}, "No argument alone had it"},
		"it was stored while the action waited": {incident.Carried, func(f *incident.Facts) {
			f.ProposedAt, f.Secret = noon.Add(-time.Hour), secretAt(noon.Add(-time.Minute))
			f.Calls = []incident.Call{call("write", "erp-key", 0)}
		}, []string{"likely after_proposal", "possible used"}, "stored while the action waited"},
		"who stored it typed it": {incident.Typed, func(f *incident.Facts) { f.Incident.Actor, f.Run = "person:acc_adm", nil },
			[]string{"likely typed_by_owner"}, "The person who stored the Secret typed it"},
		"somebody else typed it": {incident.Typed, func(f *incident.Facts) { f.Incident.Actor, f.Run = "person:acc_sam", nil },
			[]string{"likely typed"}, "Somebody who did not store erp-key"},
		"a system had one": {incident.Met, func(f *incident.Facts) {
			f.Incident.Secret, f.Incident.Rule, f.Incident.Connection = "", "gitlab-token", "erp-read"
		}, []string{"likely minted"}, "The answer of erp-read had what looks like a secret (gitlab-token)"},
		"a person handed one in": {incident.HandedIn, func(f *incident.Facts) { f.Incident.Secret, f.Incident.Rule = "", "gitlab-token" },
			[]string{"certain handed_in"}, "handed it in"},
		"a page would be altered": {incident.Altered, func(*incident.Facts) {}, []string{"possible word_of_page"}, "an ordinary word of such pages"},
	} {
		f := sent(c.kind)
		c.facts(&f)
		s := incident.Tell(f)
		if got := codes(s); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
			continue
		}
		if !strings.Contains(s.Hypotheses[0].Says, c.says) {
			t.Errorf("%s: %q", name, s.Hypotheses[0].Says)
		}
		for _, h := range s.Hypotheses {
			if len(h.Evidence) == 0 && h.Code != "several" && h.Code != "probing" {
				t.Errorf("%s: nothing is named for %s", name, h.Code)
			}
		}
	}
}

// What is to be done fits what can be done.
func TestTheNextStepsFitTheIncident(t *testing.T) {
	commands := func(f incident.Facts) string {
		var out []string
		for _, s := range incident.Tell(f).Next {
			out = append(out, s.Command)
		}
		return strings.Join(out, "\n")
	}
	f := sent(incident.Sent)
	id := f.Incident.ID
	for _, want := range []string{"sallyport run stop run_1", "sallyport secret rotate erp-key", "sallyport incident close " + id + " --outcome rotated", "sallyport run follow run_1",
		"sallyport audit tail --run run_1", "sallyport incident close " + id + " --outcome explained --note TEXT"} {
		if !strings.Contains(commands(f), want) {
			t.Errorf("%q is not among\n%s", want, commands(f))
		}
	}
	f.Run.EndedAt = noon
	f.Secret.Removed = true
	if s := commands(f); strings.Contains(s, "run stop") || strings.Contains(s, "rotate") {
		t.Errorf("a Run that has ended, and a Secret that is gone:\n%s", s)
	}
	f = sent(incident.Met)
	f.Incident.Secret, f.Incident.Rule, f.Incident.Quarantine = "", "gitlab-token", "quarantined-0123"
	if s := commands(f); !strings.Contains(s, "incident promote "+f.Incident.ID) || !strings.Contains(s, "incident dismiss "+f.Incident.ID) || strings.Contains(s, "rotated") {
		t.Errorf("one in quarantine:\n%s", s)
	}
	f.Incident.State = incident.Closed
	if s := commands(f); strings.Contains(s, "incident ") {
		t.Errorf("one that is closed:\n%s", s)
	}
}

func TestUsesAreGroupedByRunTheLatestFirst(t *testing.T) {
	f := sent(incident.Sent)
	for n := range 30 {
		run := "run_a"
		if n%2 == 0 {
			run = "run_b"
		}
		f.Uses = append(f.Uses, incident.Use{Claim: int64(n), At: noon.Add(time.Duration(n-60) * time.Minute), Run: run, Mission: "m", Connection: "erp-read"})
	}
	u := incident.Tell(f).Users
	if len(u) != 2 || u[0].Run != "run_a" || u[0].Count != 15 || u[0].Audit != 29 || !slices.Equal(u[0].Connections, []string{"erp-read"}) {
		t.Errorf("%+v", u)
	}
	for n := range 100 {
		f.Uses = append(f.Uses, incident.Use{Run: "run_" + string(rune('A'+n))})
	}
	if u := incident.Tell(f).Users; len(u) != 20 {
		t.Errorf("%d Runs are listed", len(u))
	}
}

// A story has no null where a list is, and the same facts give the same story.
func TestAStoryIsWholeJSON(t *testing.T) {
	for _, k := range incident.Kinds {
		f := sent(k)
		one, err := json.Marshal(incident.Tell(f))
		if err != nil || strings.Contains(string(one), "null") {
			t.Errorf("%s: %s, %v", k, one, err)
		}
		if two, _ := json.Marshal(incident.Tell(f)); string(one) != string(two) {
			t.Errorf("%s is told in two ways", k)
		}
	}
}

func TestTheSameThingIsTheSame(t *testing.T) {
	one := sent(incident.Sent).Incident
	two := one
	two.ID, two.Intent, two.At, two.Count, two.Actor = "inc_2", "int_2", noon.Add(time.Hour), 7, "run:other"
	if one.Same() != two.Same() {
		t.Error("another Intent of the same Run makes it another thing")
	}
	for name, change := range map[string]func(*incident.Incident){
		"the kind": func(i *incident.Incident) { i.Kind = incident.Carried }, "the Run": func(i *incident.Incident) { i.Run = "run_2" },
		"the Secret": func(i *incident.Incident) { i.Secret = "x" }, "the place": func(i *incident.Incident) { i.Place = "reason" },
		"the rule": func(i *incident.Incident) { i.Rule = "x" }, "what is joined": func(i *incident.Incident) { i.Connection, i.Tool = "ab", "c" },
		"what is joined otherwise": func(i *incident.Incident) { i.Connection, i.Tool = "a", "bc" },
		"who, without a Run":       func(i *incident.Incident) { i.Run, i.Actor = "", "person:b" },
	} {
		x := one
		if change(&x); x.Same() == one.Same() {
			t.Errorf("with another %s it is the same", name)
		}
	}
	a, b := one, one
	a.Connection, a.Tool, b.Connection, b.Tool = "ab", "c", "a", "bc"
	if a.Same() == b.Same() {
		t.Error("two fields run into each other")
	}
}

func TestAnIncidentThatIsNotWholeIsRefused(t *testing.T) {
	good := sent(incident.Sent).Incident
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*incident.Incident){
		"no kind": func(i *incident.Incident) { i.Kind = "x" }, "no tenant": func(i *incident.Incident) { i.Tenant = "" },
		"no place": func(i *incident.Incident) { i.Place = "" }, "no Secret": func(i *incident.Incident) { i.Secret = "" },
		"no Run": func(i *incident.Incident) { i.Run = "" }, "no actor": func(i *incident.Incident) { i.Actor = "" },
		"closed": func(i *incident.Incident) { i.State = incident.Closed }, "counted": func(i *incident.Incident) { i.Count = 2 },
		"no rule":  func(i *incident.Incident) { i.Kind, i.Secret = incident.Met, "" },
		"too long": func(i *incident.Incident) { i.Place = strings.Repeat("x", 1001) },
		"no time":  func(i *incident.Incident) { i.At = time.Time{} },
	} {
		x := good
		if change(&x); x.Check() == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}

// Who may see, by role: a Worker and a requester never.
func TestIncidentsAreForAdminsAndAuditors(t *testing.T) {
	for role, sees := range map[ident.Role]bool{ident.Admin: true, ident.Auditor: true, ident.Requester: false, ident.Approver: false, ident.Builder: false} {
		if got := incident.Sees(ident.Principal{Tenant: "acme", Kind: ident.Person, ID: "a", Roles: []ident.Role{role}}); got != sees {
			t.Errorf("%s sees: %v", role, got)
		}
	}
	if incident.Sees(ident.Principal{Tenant: "acme", Kind: ident.Run, ID: "run_1", Roles: ident.Roles}) || incident.Sees(ident.Principal{}) {
		t.Error("a Run sees them")
	}
}
