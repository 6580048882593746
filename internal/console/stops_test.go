package console_test

import (
	"net/url"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/ident"
)

// The kill switch on its page: every page says so while something is stopped, an
// approver of the Team stops a Mission of it and resumes nothing.
func TestTheKillSwitchOnItsPage(t *testing.T) {
	o := open(t)
	ada, aud, sam, app := o.hire("ada", ident.Admin).enter(), o.hire("aud", ident.Auditor).enter(), o.hire("sam", ident.Requester).enter(), o.hire("app", ident.Approver).enter()
	o.furnish("app")
	form := func(kind, name string) url.Values {
		return url.Values{"kind": {kind}, "name": {name}, "reason": {"a <b>bad</b> \u202ething"}}
	}
	with := func(p *person, f url.Values) url.Values {
		f.Set("password", password)
		f.Set("code", p.code())
		return f
	}
	sam.get("/stops").want(403)
	sam.get("/").want(200).wantNot("/stops")
	sam.post("/stops", form("all", "")).want(403)
	aud.get("/stops").want(200)
	aud.post("/stops", form("all", "")).want(403)
	app.post("/stops", form("all", "")).want(403, "Nothing was changed")
	app.post("/stops", form("connection", "erp")).want(403)
	ada.post("/stops", form("mission", "none")).want(404, "Nothing was changed")
	ada.post("/stops", url.Values{"kind": {"all"}}).want(400)
	ada.get("/").want(200).wantNot("is stopped")

	o.pass(60e9)
	if a := app.post("/stops", form("mission", "by-hand")).want(303); a.header.Get("Location") != "/stops?done=switched" {
		t.Errorf("it leads to %q", a.header.Get("Location"))
	}
	for _, p := range []*person{ada, aud, app} {
		p.get("/stops").want(200, "by-hand", "a <b>bad</b>").wantNot("<b>bad", "\u202e")
	}
	sam.get("/").want(200).wantNot("bad</b>")
	app.post("/stops/resume", with(app, form("mission", "by-hand"))).want(403)
	ada.post("/stops/resume", form("mission", "by-hand")).want(403, "Nothing was changed")
	wrong := form("mission", "by-hand")
	wrong.Set("password", "no such password")
	wrong.Set("code", ada.code())
	ada.post("/stops/resume", wrong).want(401, "The password or the one-time code is wrong").wantNot("no such password")
	if n := len(o.entries(audit.StopLifted)); n != 0 {
		t.Fatalf("%d stops are lifted", n)
	}
	if a := ada.post("/stops/resume", with(ada, form("mission", "by-hand"))).want(303); a.header.Get("Location") != "/stops?done=resumed" {
		t.Errorf("it leads to %q", a.header.Get("Location"))
	}
	if n, m := len(o.entries(audit.StopSet)), len(o.entries(audit.StopLifted)); n != 1 || m != 1 {
		t.Errorf("%d stops and %d ends are on the record", n, m)
	}
	ada.get("/stops?done=resumed").want(200, "It goes on.")
}

// A page that takes an approval says what the approval does while it is stopped.
func TestAnApprovalUnderAStopIsSentWhenItIsLifted(t *testing.T) {
	o := open(t)
	sam, ann, ada := o.hire("sam", ident.Requester), o.hire("ann", ident.Approver), o.hire("ada", ident.Admin).enter()
	o.furnish("ann")
	o.pass(60e9)
	path := "/decisions/" + o.park(sam, `{"name":"Siemens AG"}`, "it is new").Decision.ID
	ann.enter()
	ann.get(path).want(200, "it is sent once, at once")
	ada.post("/stops", url.Values{"kind": {"connection"}, "name": {"erp"}, "reason": {"it pays twice"}}).want(303)
	ann.get(path).want(200, "it is sent once, when the stop is lifted", "it pays twice").wantNot("at once")
}
