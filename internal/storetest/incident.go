package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault"
)

// Incident plays the stories of package incident.
func Incident(t *testing.T, open func(*testing.T) Store) {
	stories := map[string]func(*guardroom){
		"what a Worker sent is counted, and on the record each time": sentAgain,
		"what a person typed again is counted, and no flood":         typedAgain,
		"nobody fills the list":                                      flood,
		"what goes on after it was closed is another":                afterClosing,
		"only an admin closes, once, and says what came of it":       closing,
		"rotated takes a newer version":                              rotatedFirst,
		"what is in quarantine is promoted or dismissed, for all":    judged,
		"a list is narrowed, and goes on":                            narrowed,
		"the story is told of what is on record":                     told,
		"tenants do not see each other's incidents":                  incidentsApart,
		"of two at the same time both count":                         incidentRace,
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) { t.Parallel(); story(newGuardroom(t, open(t))) })
	}
}

// guardroom is a world with a Run, and a Desk of incidents.
type guardroom struct {
	*World
	desk    *incident.Desk
	secrets map[string]vault.Secret
	judged  []string // what the quarantine was told
}

func newGuardroom(t *testing.T, s Store) *guardroom {
	g := &guardroom{World: NewWorld(t, s), secrets: map[string]vault.Secret{}}
	g.run(acme, "run_1")
	g.run(globex, "run_1")
	var err error
	g.desk, err = incident.NewDesk(incident.Config{Store: s, Records: s, Audit: s.Audit(), Secrets: g, Quarantine: g,
		Goal: func(ident.Tenant, string) string { return "do it" }})
	g.must(err)
	return g
}

func (g *guardroom) run(tenant ident.Tenant, id string) {
	g.t.Helper()
	_, err := g.Store.CreateRun(g.ctx, gate.NewRun{Run: intent.Run{Tenant: tenant, ID: id, Mission: "onboard", Starter: "person:acc_sam", StarterName: "Sam",
		Via: "api", Worker: intent.Outside, Input: []byte("{}"), State: intent.RunRunning, CreatedAt: g.Now},
		Events: []audit.Event{{Type: audit.RunStarted, Tenant: tenant, At: g.Now, Actor: "person:acc_sam", Run: id}}})
	g.must(err)
}

// Show, Scrub, Promote and Dismiss are the vault's.
func (g *guardroom) Show(_ context.Context, _ ident.Tenant, name string) (vault.Secret, error) {
	if s, ok := g.secrets[name]; ok {
		return s, nil
	}
	return vault.Secret{}, fault.New(fault.NotFound, "there is no such secret")
}

func (g *guardroom) Scrub(ident.Tenant) *scrub.Set { return &scrub.Set{} }

func (g *guardroom) Promote(_ context.Context, from, field string, w vault.Write) (vault.Secret, error) {
	g.judged = append(g.judged, fmt.Sprint(from, " becomes ", field, " of ", w.Name, " for ", w.Tenant, " by ", w.Actor))
	return vault.Secret{Name: w.Name}, nil
}

func (g *guardroom) Dismiss(_ context.Context, t ident.Tenant, name string, actor ident.Principal) (vault.Secret, error) {
	g.judged = append(g.judged, fmt.Sprint(name, " is none for ", t, " by ", actor))
	return vault.Secret{Name: name}, nil
}

func person(role ident.Role) ident.Principal {
	return ident.Principal{Tenant: acme, Kind: ident.Person, ID: "acc_" + string(role), Name: string(role), Roles: []ident.Role{role}}
}

// sent is what the Worker of run_1 sends.
func (g *guardroom) sent(place string) incident.Incident {
	i := incident.New(incident.Sent, acme, "run:run_1", place, g.Now).Of([]string{"erp-key"})
	i.Run, i.Mission, i.Worker, i.Intent = "run_1", "onboard", intent.Outside, ident.New("int")
	return i
}

func (g *guardroom) typed(place string) incident.Incident {
	i := incident.New(incident.Typed, acme, "person:acc_sam", place, g.Now).Of([]string{"erp-key", "crm-key"})
	i.Mission = "onboard"
	return i
}

func (g *guardroom) met(place, quarantine string) incident.Incident {
	i := incident.New(incident.Met, acme, "run:run_1", place, g.Now)
	i.Run, i.Mission, i.Rule, i.Quarantine = "run_1", "onboard", "gitlab-token", quarantine
	return i
}

// record stores one, and gives what the Run has.
func (g *guardroom) record(i incident.Incident) int {
	g.t.Helper()
	ev := audit.Event{Type: audit.IncidentOpened, Tenant: i.Tenant, At: i.At, Actor: i.Actor, Run: i.Run, Mission: i.Mission, Fields: map[string]any{"kind": i.Kind, "secret": i.Secret}}
	if i.Kind == incident.Sent {
		ev.Type = audit.WorkerIncident
	}
	var o explain.Observation
	if i.Run != "" {
		o = explain.Observation{Tenant: i.Tenant, Run: i.Run, At: i.At, Kind: explain.Check, Title: "met"}
	}
	n, err := g.Store.Incident(g.ctx, i, ev, o)
	g.must(err)
	return n
}

// list is all that an auditor sees.
func (g *guardroom) list(f incident.Filter) []incident.Incident {
	g.t.Helper()
	l, _, err := g.desk.List(g.ctx, person(ident.Auditor), f)
	g.must(err)
	return l
}

func sentAgain(g *guardroom) {
	for n := range 3 {
		g.Pass(time.Minute)
		if got := g.record(g.sent("reason")); got != n+1 {
			g.t.Errorf("after %d the Run has %d", n+1, got)
		}
	}
	g.record(g.sent("arguments: /note"))
	l := g.list(incident.Filter{})
	if len(l) != 2 || l[1].Count != 3 || !l[1].At.Equal(Start.Add(time.Minute)) || !l[1].LastAt.Equal(g.Now) || l[1].Place != "reason" {
		g.t.Errorf("%+v", l)
	}
	es := g.entries(acme, audit.WorkerIncident)
	if len(es) != 4 || es[2].Fields["incident"] != l[1].ID || es[2].Fields["count"] != int64(3) || es[3].Fields["incident"] != l[0].ID {
		g.t.Errorf("the record has %+v", es)
	}
	r, err := g.Store.Run(g.ctx, acme, "run_1")
	if g.must(err); r.Incidents != 4 {
		g.t.Errorf("the Run counts %d", r.Incidents)
	}
	if n := g.record(g.met("answer: /a", "quarantined-1")); n != 4 {
		g.t.Errorf("what a system answered counts against the Run: %d", n)
	}
	rail, err := g.Store.Observations(g.ctx, acme, "run_1", 0, 100)
	if g.must(err); len(rail) != 5 {
		g.t.Errorf("the rail has %d", len(rail))
	}
}

func typedAgain(g *guardroom) {
	for range 50 {
		g.Pass(time.Second)
		if n := g.record(g.typed("input: /note")); n != 0 {
			g.t.Errorf("%d, without a Run", n)
		}
	}
	g.Pass(incident.RecordEvery)
	g.record(g.typed("input: /note"))
	l := g.list(incident.Filter{})
	if len(l) != 1 || l[0].Count != 51 || l[0].Secret != "erp-key" || len(l[0].Also) != 1 {
		g.t.Errorf("%+v", l)
	}
	if es := g.entries(acme, audit.IncidentOpened); len(es) != 2 || es[1].Fields["count"] != int64(51) {
		g.t.Errorf("the record has %+v", es)
	}
}

func flood(g *guardroom) {
	for n := range 60 {
		g.Pass(time.Second)
		g.record(g.typed(fmt.Sprint("input: /", n)))
		g.record(g.met(fmt.Sprint("answer: /", n), ""))
	}
	if l := g.list(incident.Filter{Limit: 200}); len(l) != 2*incident.MostAnHour || l[0].Count != 41 || l[1].Count != 41 {
		g.t.Errorf("%d incidents, the latest counts %d and %d", len(l), l[0].Count, l[1].Count)
	}
	other := g.typed("input: /0")
	other.Actor = "person:acc_eve"
	g.record(other) // another person has their own
	if got := len(g.list(incident.Filter{Limit: 200})); got != 2*incident.MostAnHour+1 {
		g.t.Errorf("%d incidents", got)
	}
	g.Pass(time.Hour)
	g.record(g.typed("input: /new"))
	if l := g.list(incident.Filter{Limit: 200}); l[0].Place != "input: /new" || l[0].Count != 1 {
		g.t.Errorf("an hour later: %+v", l[0])
	}
}

func afterClosing(g *guardroom) {
	g.record(g.sent("reason"))
	first := g.list(incident.Filter{})[0]
	_, err := g.desk.Close(g.ctx, person(ident.Admin), first.ID, incident.Word{Outcome: incident.Explained, Note: "a test"}, g.Now)
	g.must(err)
	g.Pass(time.Minute)
	g.record(g.sent("reason"))
	l := g.list(incident.Filter{State: incident.Open})
	if len(l) != 1 || l[0].ID == first.ID || l[0].Count != 1 {
		g.t.Errorf("%+v", l)
	}
}

func closing(g *guardroom) {
	g.record(g.sent("reason"))
	i := g.list(incident.Filter{})[0]
	shut := func(who ident.Principal, w incident.Word) error {
		_, err := g.desk.Close(g.ctx, who, i.ID, w, g.Now)
		return err
	}
	good := incident.Word{Outcome: incident.Explained, Note: "the test account's\u202e own\nform"}
	for _, role := range []ident.Role{ident.Auditor, ident.Requester, ident.Approver, ident.Builder} {
		g.wantKind(shut(person(role), good), fault.Denied)
	}
	g.wantKind(shut(ident.Principal{Tenant: acme, Kind: ident.Run, ID: "run_1", Roles: ident.Roles}, good), fault.Denied)
	admin := person(ident.Admin)
	for _, w := range []incident.Word{{Outcome: "forgotten", Note: "x"}, {Outcome: incident.Explained}, {Outcome: incident.Promoted}, {Outcome: incident.Dismissed},
		{Outcome: incident.Explained, Note: string(make([]byte, incident.MaxNote+1))}} {
		g.wantKind(shut(admin, w), fault.Invalid)
	}
	if n, err := g.desk.Open(g.ctx, admin); err != nil || n != 1 {
		g.t.Errorf("%d are open, %v", n, err)
	}
	g.must(shut(admin, good))
	g.wantKind(shut(admin, good), fault.Conflict)
	got, err := g.desk.Get(g.ctx, admin, i.ID)
	if g.must(err); got.State != incident.Closed || got.Outcome != incident.Explained || got.Note != "the test account's own form" || got.ClosedBy != admin.String() || !got.ClosedAt.Equal(g.Now) {
		g.t.Errorf("%+v", got)
	}
	if es := g.entries(acme, audit.IncidentClosed); len(es) != 1 || es[0].Fields["incident"] != i.ID || es[0].Fields["outcome"] != incident.Explained || es[0].Actor != admin.String() {
		g.t.Errorf("the record has %+v", es)
	}
	if n, err := g.desk.Open(g.ctx, admin); err != nil || n != 0 {
		g.t.Errorf("%d are open, %v", n, err)
	}
	if n, err := g.desk.Open(g.ctx, person(ident.Requester)); err != nil || n != 0 {
		g.t.Errorf("a requester sees %d, %v", n, err)
	}
	_, _, err = g.desk.List(g.ctx, person(ident.Requester), incident.Filter{})
	g.wantKind(err, fault.Denied)
	_, err = g.desk.Show(g.ctx, person(ident.Builder), i.ID)
	g.wantKind(err, fault.Denied)
	_, err = g.desk.Show(g.ctx, admin, "inc_none")
	g.wantKind(err, fault.NotFound)
}

func rotatedFirst(g *guardroom) {
	in := g.sent("reason")
	in.Also = []string{"crm-key"}
	g.record(in)
	i, admin := g.list(incident.Filter{})[0], person(ident.Admin)
	shut := func() error {
		_, err := g.desk.Close(g.ctx, admin, i.ID, incident.Word{Outcome: incident.Rotated}, g.Now)
		return err
	}
	old := vault.Version{Version: 1, State: vault.Active, CreatedAt: Start.Add(-time.Hour)}
	g.secrets["erp-key"] = vault.Secret{Name: "erp-key", Versions: []vault.Version{old}}
	g.secrets["crm-key"] = g.secrets["erp-key"]
	g.wantKind(shut(), fault.Conflict)
	rotated := vault.Secret{Name: "erp-key", Versions: []vault.Version{old, {Version: 2, State: vault.Pending, CreatedAt: Start.Add(time.Hour)}}}
	g.secrets["erp-key"] = rotated
	g.wantKind(shut(), fault.Conflict) // a pending version is used by nobody
	rotated.Versions[1].State = vault.Active
	g.wantKind(shut(), fault.Conflict) // the other one that was met is not rotated
	delete(g.secrets, "crm-key")       // it is gone, which is as good
	g.must(shut())
}

func judged(g *guardroom) {
	admin := person(ident.Admin)
	g.run(acme, "run_2")
	for _, place := range []string{"answer: /a", "answer: /b"} {
		g.record(g.met(place, "quarantined-1"))
	}
	other := g.met("answer: /c", "quarantined-2")
	other.Run = "run_2"
	g.record(other)
	kept := g.met("answer: /d", "")
	kept.NotKept = "the quarantine is full"
	g.record(kept)
	g.record(g.sent("reason"))
	byPlace := map[string]incident.Incident{}
	for _, i := range g.list(incident.Filter{}) {
		byPlace[i.Place] = i
	}
	_, _, err := g.desk.Promote(g.ctx, person(ident.Auditor), byPlace["answer: /a"].ID, incident.Promotion{Name: "crm"}, g.Now)
	g.wantKind(err, fault.Denied)
	_, _, err = g.desk.Promote(g.ctx, admin, byPlace["answer: /d"].ID, incident.Promotion{Name: "crm"}, g.Now)
	g.wantKind(err, fault.Conflict)
	_, err = g.desk.Dismiss(g.ctx, admin, byPlace["reason"].ID, "", g.Now)
	g.wantKind(err, fault.Conflict)
	_, _, err = g.desk.Promote(g.ctx, admin, byPlace["answer: /a"].ID, incident.Promotion{Name: "crm", Note: "minted"}, g.Now)
	g.must(err)
	_, err = g.desk.Dismiss(g.ctx, admin, byPlace["answer: /c"].ID, "a request id", g.Now)
	g.must(err)
	_, err = g.desk.Dismiss(g.ctx, admin, byPlace["answer: /b"].ID, "", g.Now)
	g.wantKind(err, fault.Conflict) // it was closed with the other one about the same value
	if len(g.judged) != 2 || g.judged[0] != "quarantined-1 becomes token of crm for acme by person:acc_admin" || g.judged[1] != "quarantined-2 is none for acme by person:acc_admin" {
		g.t.Errorf("the vault was told %q", g.judged)
	}
	outcomes := map[string]string{}
	for _, i := range g.list(incident.Filter{State: incident.Closed}) {
		outcomes[i.Place] = i.Outcome
	}
	if fmt.Sprint(outcomes) != "map[answer: /a:promoted answer: /b:promoted answer: /c:dismissed]" {
		g.t.Errorf("%v", outcomes)
	}
	if es := g.entries(acme, audit.IncidentClosed); len(es) != 3 {
		g.t.Errorf("the record has %+v", es)
	}
}

func narrowed(g *guardroom) {
	for n := range 7 {
		g.Pass(time.Second)
		g.record(g.sent(fmt.Sprint("arguments: /", n)))
	}
	g.record(g.typed("key"))
	count := func(f incident.Filter, want int) {
		g.t.Helper()
		if got := len(g.list(f)); got != want {
			g.t.Errorf("%+v finds %d, want %d", f, got, want)
		}
	}
	count(incident.Filter{}, 8)
	count(incident.Filter{Kind: incident.Typed}, 1)
	count(incident.Filter{Run: "run_1"}, 7)
	count(incident.Filter{Run: "run_2"}, 0)
	count(incident.Filter{Secret: "erp-key"}, 8)
	count(incident.Filter{Secret: "crm-key"}, 1)
	count(incident.Filter{Secret: "crm"}, 0)
	count(incident.Filter{Secret: "%"}, 0)
	count(incident.Filter{State: incident.Closed}, 0)
	count(incident.Filter{State: incident.Open, Kind: incident.Sent, Secret: "erp-key", Run: "run_1"}, 7)
	var seen []string
	for after := ""; ; {
		page := g.list(incident.Filter{Run: "run_1", After: after, Limit: 3})
		for _, i := range page {
			seen, after = append(seen, i.Place), i.ID
		}
		if len(page) < 3 {
			break
		}
	}
	if len(seen) != 7 || seen[0] != "arguments: /6" || seen[6] != "arguments: /0" {
		g.t.Errorf("page by page: %v", seen)
	}
}

func told(g *guardroom) {
	digest := intent.SHA256([]byte("x"))
	write := func(ev audit.Event) {
		g.t.Helper()
		ev.Tenant, ev.At, ev.Actor = acme, g.Now, "run:"+ev.Run
		g.must(g.Store.Refused(g.ctx, ev)) // appends an entry, whichever
	}
	claim := func(run, id, secret string) {
		g.t.Helper()
		write(audit.Event{Type: audit.IntentClaimed, Run: run, Mission: "onboard", Intent: id, Connection: "erp-read", Tool: "findVendors",
			Fields: map[string]any{"args": digest, "digest": digest, "effect": "read", "fence": 1, "secret": secret, "secretVersion": 1}})
		write(audit.Event{Type: audit.IntentOutcome, Run: run, Mission: "onboard", Intent: id, Connection: "erp-read", Tool: "findVendors",
			Fields: map[string]any{"state": intent.Committed, "redactions": 2, "redacted": []string{"erp-key"}}})
	}
	claim("run_old", "int_0", "erp-key")
	g.Pass(40 * 24 * time.Hour)
	g.run(acme, "run_2")
	claim("run_2", "int_1", "erp-key")
	claim("run_1", "int_2", "erp-key")
	claim("run_1", "int_3", "crm-key")
	g.Pass(time.Minute)
	g.record(g.sent("reason"))
	g.Pass(time.Minute)
	claim("run_1", "int_4", "erp-key") // after it
	i := g.list(incident.Filter{})[0]
	s, err := g.desk.Show(g.ctx, person(ident.Auditor), i.ID)
	g.must(err)
	if len(s.Story.Users) != 2 || s.Story.Users[0].Run != "run_1" || s.Story.Users[0].Count != 1 || s.Story.Users[1].Run != "run_2" {
		g.t.Errorf("it was used by %+v", s.Story.Users)
	}
	if h := s.Story.Hypotheses; len(h) != 2 || h[0].Code != "returned" || len(h[0].Evidence) != 1 || h[0].Evidence[0].Intent != "int_2" || h[1].Code != "returned_elsewhere" || h[1].Evidence[0].Intent != "int_3" {
		g.t.Errorf("it is told as %+v", h)
	}
	es := g.entries(acme, audit.IntentClaimed)
	if got := s.Story.Hypotheses[0].Evidence[0].Audit; got == nil || *got != es[2].Index {
		g.t.Errorf("the entry is %v, want %d", got, es[2].Index)
	}
}

func incidentsApart(g *guardroom) {
	i := g.sent("reason")
	i.Tenant = globex
	g.record(i)
	if l := g.list(incident.Filter{}); len(l) != 0 {
		g.t.Errorf("acme sees %+v", l)
	}
	admin := person(ident.Admin)
	_, err := g.desk.Show(g.ctx, admin, i.ID)
	g.wantKind(err, fault.NotFound)
	_, err = g.desk.Close(g.ctx, admin, i.ID, incident.Word{Outcome: incident.Explained, Note: "x"}, g.Now)
	g.wantKind(err, fault.NotFound)
	if n, err := g.desk.Open(g.ctx, admin); err != nil || n != 0 {
		g.t.Errorf("%d are open, %v", n, err)
	}
}

func incidentRace(g *guardroom) {
	const n = 8
	var wg sync.WaitGroup
	errs := make([]error, n)
	for k := range n {
		i := g.sent("reason")
		ev := audit.Event{Type: audit.WorkerIncident, Tenant: acme, At: i.At, Actor: i.Actor, Run: i.Run}
		wg.Go(func() {
			_, errs[k] = g.Store.Incident(g.ctx, i, ev, explain.Observation{Tenant: acme, Run: i.Run, At: i.At, Kind: explain.Check})
		})
	}
	wg.Wait()
	for _, err := range errs {
		g.must(err)
	}
	if l := g.list(incident.Filter{}); len(l) != 1 || l[0].Count != n {
		g.t.Errorf("%+v", l)
	}
}
