package console_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

func TestAnAuditorAsksWhoDidWhatWithNamesAndNotIDs(t *testing.T) {
	o := open(t)
	o.furnish()
	req, aud, bob := o.hire("req", ident.Requester), o.hire("aud", ident.Auditor), o.hire("bob", ident.Approver)
	run := o.steps(req, 3)
	page := aud.enter()
	if form := page.get("/audit/query").want(200).wantNot("Nothing of that").body; !strings.Contains(form, `type="datetime-local"`) || !strings.Contains(form, `for="record"`) {
		t.Errorf("the form is %s", form)
	}
	got := page.get("/audit/query?run="+run.ID).want(200, "createVendor", "erp v1", "outside Worker", "for req", "default/")
	if strings.Contains(got.body, req.acc.ID) || strings.Count(got.body, "<tr>") != 5 { // with the head
		t.Errorf("an account's id is shown, or there are %d rows", strings.Count(got.body, "<tr>")-1)
	}
	page.get("/audit/query?person=req&system=erp").want(200, "createVendor")
	page.get("/audit/query?secret=erp&since=2000-01-01T00:00&until=2001-01-01T00:00").want(200, "Nothing of that is on the record")
	page.get("/audit/query?person=nobody").want(404, "There is no account")
	page.get("/audit/query?run=x&since=yesterday").want(400, "That is no time")
	page.get("/audit/query?record=" + canary + "erp").want(200).wantNot(canary + "erp")
	page.get("/audit/query?record=" + url.QueryEscape(`"><script>x</script>`)).want(200).wantNot("<script>x")
	page.get("/audit/query?record=" + strings.Repeat("x", 1001)).want(200).wantNot("Nothing of that")
	for _, p := range []*person{req, bob} {
		p.enter().get("/audit/query?run=" + run.ID).want(403)
	}
}

func TestARunIsReplayedOnAPage(t *testing.T) {
	o := open(t)
	o.furnish()
	req, aud, other := o.hire("req", ident.Requester), o.hire("aud", ident.Auditor), o.hire("other", ident.Requester)
	r, err := o.app.Gate.StartRun(t.Context(), req.acc.Principal(), gate.Start{Mission: "by-hand", Via: "api", Outside: true})
	o.must(err)
	_, err = o.app.Gate.Admit(t.Context(), ident.Principal{Tenant: tenant, Kind: ident.Run, ID: r.ID}, intent.Proposal{Connection: "erp", Tool: "createVendor", Args: json.RawMessage(`{"name":"Halvorsen"}`), Reason: "<b>because"})
	o.must(err)
	path := "/runs/" + r.ID + "/replay"
	for _, p := range []*person{req, aud} {
		b := p.enter()
		if page := b.get("/runs/" + r.ID).want(200).body; !strings.Contains(page, `href="`+path+`"`) {
			t.Error("nothing leads to the replay")
		}
		if page := b.get(path).want(200, "proposed", "Today:", "as then", "Halvorsen").body; !strings.Contains(page, "&lt;b&gt;because") {
			t.Error("a Worker's markup is markup, or not there")
		}
	}
	other.enter().get(path).want(404)
	aud.enter().get("/runs/run_x/replay").want(404)
	aud.enter().get(path+"?after=9999").want(200, "nothing more")
}
