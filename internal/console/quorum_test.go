package console_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/resource"
)

// several has the Mission by-hand ask for so many people of finance.
func (o *office) several(n int) {
	o.t.Helper()
	w, err := o.app.World(tenant)
	o.must(err)
	m, ok := w.Catalog.Mission("by-hand")
	if !ok {
		o.t.Fatal("there is no Mission by-hand")
	}
	next := *m
	next.Decisions = []resource.DecisionRule{{Connection: "erp", Team: "finance", Count: n}}
	_, err = o.app.Apply(o.t.Context(), setup, []resource.Resource{&next}, false, false)
	o.must(err)
}

// One action, from a question over a change to two votes, all through forms.
func TestAQuestionAChangeAndTwoVotesThroughThePages(t *testing.T) {
	o := open(t)
	sam, ann, bob := o.hire("sam", ident.Requester), o.hire("ann", ident.Approver), o.hire("bob", ident.Approver)
	o.furnish("ann", "bob")
	o.several(2)
	o.pass(time.Hour)
	it := o.park(sam, `{"name":"Siemens\u202e AG","note":"10"}`, "it is new")
	path, run := "/decisions/"+it.Decision.ID, "/runs/"+it.Decision.Run
	ann.enter()
	bob.enter()
	sam.enter()
	page := ann.get(path).want(200, "2 of the Team finance: 2 still needed", "when enough others have approved too", "Ask who started the Run", "Change the arguments", `\u202e`)
	page.wantNot("Break the glass")

	ann.post(path+"/questions", url.Values{"digest": {page.value("digest")}, "text": {"is 10 right? " + canary + "erp"}}).want(403, "Nothing was changed", "known secret").wantNot(canary)
	ann.post(path+"/questions", url.Values{"digest": {"old"}, "text": {"is 10 right?"}}).want(409, "is 10 right?")
	if a := ann.post(path+"/questions", url.Values{"digest": {page.value("digest")}, "text": {"is 10 right?"}}); a.status != 303 {
		a.want(303)
	}
	asked := sam.get(run).want(200, "is 10 right?", "Your answer")
	bob.get(run).want(200, "is 10 right?").wantNot("Your answer")
	question := asked.body[strings.Index(asked.body, "/questions/")+len("/questions/"):]
	question = question[:strings.Index(question, `"`)]
	for who, status := range map[*person]int{bob: 404, sam: 303, ann: 404} {
		who.post(run+"/questions/"+question, url.Values{"decision": {it.Decision.ID}, "text": {"no, 20"}}).want(status)
	}
	page = bob.get(path).want(200, "no, 20", "is 10 right?")
	bob.post(path, verdict(page, "approve", bob.code())).want(303)
	ann.get(path).want(200, "2 of the Team finance: 1 still needed", "bob", "it is sent once, at once")
	bob.get(path).want(200, "You can't approve it", "counts once", "Reject").wantNot(`value="approve"`)

	old := ann.get(path)
	ann.post(path+"/edit", url.Values{"digest": {old.value("digest")}, "args": {`{"name":`}}).want(400, "not JSON")
	ann.post(path+"/edit", url.Values{"digest": {old.value("digest")}, "args": {`{"name":"` + canary + `erp"}`}}).want(403, "known secret").wantNot(canary)
	ann.post(path+"/edit", url.Values{"digest": {"old"}, "args": {`{"name":"Siemens AG","note":"20"}`}}).want(409, "20")
	ann.post(path+"/edit", url.Values{"digest": {old.value("digest")}, "args": {`{"name":"Siemens AG","note":"20"}`}, "reason": {"see the answer"}}).want(303)

	// Its page shows what it was, by whom it was changed, and that votes on it are void.
	ann.get(path).want(200, "about revision 1", "changed by ann", "as it was", "10", "can't be shown any more", "votes on it are void", "bob").wantNot("By bob", "0001-01-01", "in revision 1 20")

	// The old page's verdict is for nothing any more.
	ann.post(path, verdict(old, "approve", ann.code())).want(409, "Nothing was decided")
	items, err := o.app.Desk.Queue(t.Context(), tenant, decision.Filter{Run: it.Decision.Run, State: decision.Open})
	o.must(err)
	path = "/decisions/" + items[0].Decision.ID
	page = ann.get(path).want(200, "Changed by ann", "see the answer", "/note", `"10"`, `"20"`, "2 still needed", "no, 20", "revision 2")
	ann.post(path, verdict(page, "approve", ann.code())).want(303)
	if o.created.Load() != 0 {
		t.Fatal("it was sent after one of two votes")
	}
	page = bob.get(path).want(200, "1 still needed", "ann")
	bob.post(path, verdict(page, "approve", bob.code())).want(303)
	o.until(it.Decision.Run, explain.ToolCall)
	if o.created.Load() != 1 {
		t.Fatalf("the system has made %d", o.created.Load())
	}
	ann.get(path).want(200, "approved", "By ann, bob", "Changed by ann")
	if old := ann.get("/decisions/"+it.Decision.ID).want(200, "which is at 2 now"); strings.Contains(old.body, `>20<`) {
		t.Error("the page of the earlier Decision shows what the action is now")
	}
}

func TestTheGlassIsBrokenThroughThePage(t *testing.T) {
	o := open(t)
	sam, ann := o.hire("sam", ident.Requester), o.hire("ann", ident.Approver)
	ida, jon := o.hire("ida", ident.Admin), o.hire("jon", ident.Admin, ident.Approver)
	o.furnish("ann")
	o.pass(time.Hour)
	it := o.park(sam, `{"name":"Siemens AG"}`, "it is new")
	path := "/decisions/" + it.Decision.ID
	for _, p := range []*person{ann, ida, jon} {
		p.enter()
	}
	page := ida.get(path).want(200, "Break the glass", "It takes two admins").wantNot("Change the arguments")
	form := func(p *person, reason string) url.Values {
		return url.Values{"digest": {page.value("digest")}, "password": {password}, "code": {p.code()}, "reason": {reason}}
	}
	ann.post(path+"/break-glass", form(ann, "fire")).want(403)
	ida.post(path+"/break-glass", form(ida, " ")).want(400, "takes a reason")
	ida.post(path+"/break-glass", form(ida, "fire")).want(303)
	ida.get(path).want(200, "breaks the glass", "fire").wantNot("It takes two admins")
	ida.post(path+"/break-glass", form(ida, "fire")).want(409)
	wrong := form(jon, "fire")
	wrong.Set("digest", "old")
	jon.post(path+"/break-glass", wrong).want(409)
	if o.created.Load() != 0 {
		t.Fatal("it was sent by one admin")
	}
	jon.post(path+"/break-glass", form(jon, "fire")).want(303)
	o.until(it.Decision.Run, explain.ToolCall)
	if o.created.Load() != 1 || len(o.entries(audit.DecisionBreakGlass)) != 2 {
		t.Fatalf("the system has made %d, with %d entries", o.created.Load(), len(o.entries(audit.DecisionBreakGlass)))
	}
	ann.get(path).want(200, "The glass was broken by ida, jon")
	l, open, err := o.app.Incidents.List(t.Context(), ida.acc.Principal(), incident.Filter{Limit: 5})
	o.must(err)
	if len(l) != 1 || open != 1 || l[0].Kind != incident.BreakGlass {
		t.Fatalf("the incidents are %+v", l)
	}
	ida.get("/incidents/"+l[0].ID).want(200, "The glass was broken", "Who did it, and why?", "Two admins approved", "fire", "Ask both")
}

func TestSeveralAreDecidedTogetherOnOnePage(t *testing.T) {
	o := open(t)
	sam, ann, eve := o.hire("sam", ident.Requester), o.hire("ann", ident.Approver), o.hire("eve", ident.Approver)
	o.furnish("ann")
	o.pass(time.Hour)
	ids := url.Values{}
	for _, name := range []string{"Siemens", "Bosch", "Linde"} {
		ids.Add("id", o.park(sam, `{"name":"`+name+`"}`, "it is new").Decision.ID)
	}
	ann.enter()
	eve.enter()
	ann.get("/decisions").want(200, "Decide on the chosen ones together")
	eve.get("/decisions/together?" + ids.Encode()).want(404).wantNot("Siemens")
	page := ann.get("/decisions/together?"+ids.Encode()).want(200, "3 actions, one verdict", "Siemens", "Bosch", "Linde",
		"not seen anywhere before", "the version that is active when it is sent", "The request, as it would leave") // each as on its own page
	form := func(code string) url.Values {
		f := url.Values{"verdict": {"approve"}, "password": {password}, "code": {code}}
		for n := range parse(t, page.body).Descendants() {
			if name := attribute(n, "name"); name == "id" || name == "digest" {
				f.Add(name, attribute(n, "value"))
			}
		}
		return f
	}
	bad := form(ann.code())
	bad["digest"][1] = bad["digest"][0]
	ann.post("/decisions/together", bad).want(409, "Nothing was decided")
	eve.post("/decisions/together", form(eve.code())).want(404)
	ann.post("/decisions/together", form("000000")).want(401, "wrong")
	if o.created.Load() != 0 {
		t.Fatal("something was sent")
	}
	o.pass(time.Minute)
	ann.post("/decisions/together", form(ann.code())).want(303)
	if items, err := o.app.Desk.Queue(t.Context(), tenant, decision.Filter{State: decision.Approved}); err != nil || len(items) != 3 {
		t.Fatalf("%d are approved, %v", len(items), err)
	}
}
