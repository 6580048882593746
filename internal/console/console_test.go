package console_test

import (
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/console"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
)

func verdict(a answer, v, code string) url.Values {
	return url.Values{"verdict": {v}, "digest": {a.value("digest")}, "reason": {"looks right"}, "password": {password}, "code": {code}}
}

func TestAnApprovalTakesTheExactPageThePasswordAndANewCode(t *testing.T) {
	o := open(t)
	sam, ann, eve, aud := o.hire("sam", ident.Requester, ident.Approver), o.hire("ann", ident.Approver), o.hire("eve", ident.Approver), o.hire("aud", ident.Auditor)
	o.furnish("ann", "sam")
	o.pass(time.Hour)
	it := o.park(sam, `{"name":"Siemens\u202e AG","note":"<script>alert(1)</script>"}`, "it is \u200bnew")
	path := "/decisions/" + it.Decision.ID
	ann.enter()
	page := ann.get(path).want(200, "Siemens<U+202E> AG", "<script>alert(1)</script>", "it is <U+200B>new", "POST", "/vendors", "characters that can't be seen", "Give this verdict",
		"sam not on this one").wantNot("<script>alert", canary)
	if got := page.value("digest"); got != string(it.Decision.Digest) {
		t.Errorf("the page's digest is %q", got)
	}

	good := verdict(page, "approve", "")
	ann.post(path, good).want(403, "Nothing was decided", "A session alone decides nothing")
	wrong := verdict(page, "approve", "000000")
	ann.post(path, wrong).want(401, "Nothing was decided", "one-time code is wrong").wantNot(password)
	changed := verdict(page, "approve", ann.code())
	changed.Set("digest", strings.Repeat("0", 64))
	ann.post(path, changed).want(409, "not the one that was shown")
	neither := verdict(page, "", ann.code())
	ann.post(path, neither).want(400, "Neither approve nor reject")
	eve.enter().get(path).want(404)
	eve.post(path, verdict(page, "approve", eve.code())).want(404)
	sam.enter().get(path).want(200, "You can't decide on this", "who started the Run").wantNot("Give this verdict")
	sam.post(path, verdict(page, "approve", sam.code())).want(403, "Nothing was decided")
	aud.enter().get(path).want(200, "You can't decide on this")
	aud.post(path, verdict(page, "approve", aud.code())).want(403)
	if n := o.created.Load(); n != 0 {
		t.Fatalf("%d vendors were made without an approval", n)
	}

	ann.get("/decisions").want(200, "yours")
	ann.get("/").want(200, "Waiting for your verdict", "createVendor")
	ok := verdict(page, "approve", ann.code())
	if a := ann.post(path, ok).want(303); a.header.Get("Location") != path+"?done=decided" {
		t.Errorf("it leads to %q", a.header.Get("Location"))
	}
	o.until(it.Decision.Run, explain.ToolCall)
	ann.get(path+"?done=decided").want(200, "on the record", "approved", "By ann").wantNot("Give this verdict")
	ok.Set("code", ann.code())
	ann.post(path, ok).want(409)
	if n := o.created.Load(); n != 1 {
		t.Errorf("%d vendors were made", n)
	}
}

func TestARejectionReachesTheRecord(t *testing.T) {
	o := open(t)
	sam, ann := o.hire("sam", ident.Requester), o.hire("ann", ident.Approver)
	o.furnish("ann")
	o.pass(time.Hour)
	it := o.park(sam, `{"name":"A"}`, "because")
	path := "/decisions/" + it.Decision.ID
	ann.enter()
	ann.post(path, verdict(ann.get(path), "reject", ann.code())).want(303)
	ann.get(path).want(200, "rejected", "Reason: looks right")
	sam.enter().get("/runs/"+it.Decision.Run).want(200, "rejected by ann", "looks right")
	sam.get(path).want(403)
	if o.created.Load() != 0 {
		t.Error("it was sent")
	}
}

func TestTheFormIsCheckedFieldByFieldAndStartsOneRun(t *testing.T) {
	o := open(t)
	sam, eve, ann := o.hire("sam", ident.Requester), o.hire("eve", ident.Requester), o.hire("ann", ident.Approver)
	o.furnish("ann")
	sam.enter()
	sam.get("/portal").want(200, "onboarding").wantNot("by-hand")
	page := sam.get("/portal/onboarding").want(200, "Registered name", "who takes orders")
	key := page.value("key")
	bad := url.Values{"key": {key}, "in.name": {strings.Repeat("x", 21)}, "in.country": {"US"}, "in.amount": {"NaN"}, "in.contact": {`"><img src=x>`}, "in.since": {"yesterday"}, "in.code": {"abc"}}
	a := sam.post("/portal/onboarding", bad).want(400, "was not started", "more than 20", "not a number", "Some fields need another look: 6").wantNot("<img")
	if a.value("in.contact") != `"><img src=x>` || a.value("key") != key {
		t.Error("what was filled in is lost")
	}
	sam.post("/portal/onboarding", url.Values{"key": {key}}).want(400, `"name" is required`)
	sam.post("/portal/onboarding", url.Values{"key": {key}, "in.name": {canary + "erp"}}).want(400).wantNot(canary)
	sam.post("/portal/onboarding", url.Values{"key": {key}, "in.name": {"A"}, "in.notes": {canary + "erp"}}).want(403, "holds a known secret").wantNot(canary)
	sam.post("/portal/onboarding", url.Values{"in.name": {"A"}}).want(400, "not one that this page sent")
	token := "glpat-Zx81kQ0vT5mBn2WcY7ra"
	typed := url.Values{"key": {key}, "in.name": {"A"}, "in.notes": {"with " + token}}
	sam.post("/portal/onboarding", typed).want(403, "looks like a secret", "hand it to an admin", token)
	typed.Set("hand-in", "yes")
	sam.post("/portal/onboarding", typed).want(200, "Handed in", "No Run was started", "with [secret?:gitlab").wantNot(token, "Not all of it")
	sam.post("/portal/onboarding", typed).want(403, "Nothing was handed in", "known secret").wantNot(token)
	form := url.Values{"key": {key}, "in.name": {"Siemens"}, "in.country": {"DE"}, "in.amount": {"1.5"}, "in.since": {"2026-01-05"}, "in.notes": {"a\r\nb"}}
	first, second := sam.post("/portal/onboarding", form).want(303), sam.post("/portal/onboarding", form).want(303)
	if l := first.header.Get("Location"); l != second.header.Get("Location") || !strings.HasPrefix(l, "/runs/run_") {
		t.Errorf("a form sent twice leads to %q and %q", l, second.header.Get("Location"))
	}
	run := first.header.Get("Location")
	if other := eve.enter().post("/portal/onboarding", form).want(303).header.Get("Location"); other == run {
		t.Error("the key of one person's form gives another their Run")
	}
	sam.get(run).want(200, "onboarding", "started by sam", `"amount": 1.5`, `"notes": "a\nb"`)
	eve.get(run).want(404)
	eve.get(run + "/events").want(404)
	eve.post(run+"/stop", url.Values{}).want(404)
	ann.enter().get(run).want(404) // nothing in it is hers to decide
	ann.get("/portal").want(403, "It takes the role requester")
	sam.post(run+"/stop", url.Values{}).want(303)
	sam.get(run).want(200, "stopped", "ended")
	events := sam.get(run + "/events")
	if events.header.Get("Content-Type") != "text/event-stream" || !strings.Contains(events.body, "id: 1\nevent: observation\ndata: \"\\n\\u003cli") || !strings.Contains(events.body, "event: end\n") {
		t.Errorf("the rail's stream is %.300q", events.body)
	}
	later := sam.send("GET", run+"/events", nil, map[string]string{"Last-Event-ID": "1"})
	if strings.Contains(later.body, "id: 1\n") || !strings.Contains(later.body, "event: end\n") {
		t.Errorf("the stream does not go on after the last event: %.300q", later.body)
	}
}

func TestSigningInSaysNothingAndSigningOutEndsIt(t *testing.T) {
	o := open(t)
	ann := o.hire("ann", ident.Approver)
	var pages []string
	for _, form := range []url.Values{
		{"name": {"ann"}, "password": {"wrong password"}, "code": {ann.code()}},
		{"name": {"ann"}, "password": {password}, "code": {"000000"}},
		{"name": {"ann2"}, "password": {password}, "code": {ann.code()}},
	} {
		a := ann.post("/signin", form).want(401, "You are not signed in")
		pages = append(pages, strings.ReplaceAll(a.body, `value="ann2"`, `value="ann"`))
	}
	if pages[0] != pages[1] || pages[1] != pages[2] {
		t.Error("the pages of refused sign-ins differ")
	}
	if ann.cookie != "" {
		t.Error("a refused sign-in sets a cookie")
	}
	if a := ann.get("/decisions?state=open").want(303); a.header.Get("Location") != "/signin?next=%2Fdecisions%3Fstate%3Dopen" {
		t.Errorf("it leads to %q", a.header.Get("Location"))
	}
	a := ann.post("/signin", url.Values{"name": {"ann"}, "password": {password}, "code": {ann.code()}, "next": {"//evil.example"}}).want(303)
	if a.header.Get("Location") != "/" {
		t.Errorf("it leads to %q", a.header.Get("Location"))
	}
	if c := a.header.Get("Set-Cookie"); !strings.Contains(c, "; Path=/; HttpOnly; SameSite=Lax") {
		t.Errorf("the cookie is %q", c)
	}
	token := ann.cookie
	ann.get("/").want(200, "Hello, ann")
	ann.post("/signout", url.Values{}).want(303)
	ann.cookie = token
	ann.get("/").want(303)
	ann.cookie = ""

	secure := console.New(consoleOf(o.app, tenant, o.now, true))
	o.handler = secure
	a = ann.post("/signin", url.Values{"name": {"ann"}, "password": {password}, "code": {ann.code()}}).want(303)
	if c := a.header.Get("Set-Cookie"); !strings.HasPrefix(c, "__Host-sallyport=") || !strings.Contains(c, "; Path=/; HttpOnly; Secure; SameSite=Lax") || strings.Contains(c, "Domain") {
		t.Errorf("over TLS the cookie is %q", c)
	}
	if a.header.Get("Strict-Transport-Security") == "" {
		t.Error("over TLS nothing says to stay there")
	}
}

func TestAPasswordFromSomebodyElseIsChangedFirst(t *testing.T) {
	o := open(t)
	acc, e, err := o.app.Directory.CreateAccount(t.Context(), setup, identity.NewAccount{Tenant: tenant, Name: "new", Roles: []ident.Role{ident.Admin}}, o.now())
	o.must(err)
	p := &person{o: o, acc: acc, factor: e}
	if a := p.post("/signin", url.Values{"name": {"new"}, "password": {e.Password}, "code": {p.code()}}).want(303); a.header.Get("Location") != "/password" {
		t.Errorf("it leads to %q", a.header.Get("Location"))
	}
	for _, path := range []string{"/", "/secrets", "/runs"} {
		if a := p.get(path).want(303); a.header.Get("Location") != "/password" {
			t.Errorf("%s leads to %q", path, a.header.Get("Location"))
		}
	}
	chosen := rand.Text()
	p.post("/password", url.Values{"password": {e.Password}, "code": {p.code()}, "new": {chosen}, "again": {"other"}}).want(400, "not the same").wantNot(chosen)
	old := p.cookie
	p.post("/password", url.Values{"password": {e.Password}, "code": {p.code()}, "new": {chosen}, "again": {chosen}}).want(303)
	p.get("/secrets").want(200)
	p.cookie = old
	p.get("/secrets").want(303)
}

func TestAnotherSitesFormIsRefused(t *testing.T) {
	o := open(t)
	o.furnish()
	ada := o.hire("ada", ident.Admin).enter()
	form := url.Values{"name": {"planted"}, "form": {"token"}, "token": {canary}, "how": {"set"}, "origins": {"https://erp.example.com"}}
	for what, header := range map[string]map[string]string{
		"cross-site":      {"Sec-Fetch-Site": "cross-site"},
		"same-site":       {"Sec-Fetch-Site": "same-site"},
		"another origin":  {"Origin": "https://evil.example"},
		"an opaque one":   {"Origin": "null"},
		"another port":    {"Origin": "http://console.example:81"},
		"both, different": {"Sec-Fetch-Site": "cross-site", "Origin": "http://console.example"},
	} {
		for _, path := range []string{"/secrets", "/signout", "/signin", "/decisions/dec_x", "/unknown/int_x"} {
			if a := ada.send(http.MethodPost, path, form, header); a.status != 403 {
				t.Errorf("%s, %s: answered with %d", path, what, a.status)
			}
		}
	}
	ada.get("/secrets").want(200).wantNot("planted")
	ada.post("/secrets", form).want(303)
	ada.get("/secrets").want(200, "planted")
}

func TestEveryAnswerCarriesTheHeaders(t *testing.T) {
	o := open(t)
	o.furnish()
	all := o.hire("all", ident.Roles...).enter()
	for _, path := range []string{"/", "/signin", "/nothing", "/runs", "/runs/run_x", "/decisions", "/unknown", "/secrets", "/changes", "/connections", "/rotations", "/leases", "/audit", "/audit/query", "/runs/run_x/replay", "/portal", "/password"} {
		a := all.get(path)
		for k, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin"} {
			if got := a.header.Get(k); got != want {
				t.Errorf("%s: %s is %q", path, k, got)
			}
		}
		csp := a.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the content policy has no %s", path, want)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") || strings.Contains(csp, "*") {
			t.Errorf("%s: the content policy is %s", path, csp)
		}
		if a.header.Get("Permissions-Policy") == "" {
			t.Errorf("%s: no permissions policy", path)
		}
	}
}

func TestPagesOpenOnlyForTheirRoles(t *testing.T) {
	o := open(t)
	o.furnish()
	may := map[string][]ident.Role{
		"/portal":      {ident.Requester},
		"/decisions":   {ident.Approver, ident.Auditor, ident.Admin},
		"/unknown":     {ident.Admin, ident.Auditor},
		"/secrets":     {ident.Admin, ident.Builder, ident.Auditor},
		"/changes":     {ident.Admin, ident.Builder, ident.Auditor},
		"/connections": {ident.Admin, ident.Builder, ident.Auditor},
		"/rotations":   {ident.Admin, ident.Builder, ident.Auditor},
		"/leases":      {ident.Auditor, ident.Admin},
		"/audit":       {ident.Auditor, ident.Admin},
		"/runs":        ident.Roles,
	}
	for _, role := range ident.Roles {
		p := o.hire(string(role), role).enter()
		for path, roles := range may {
			want := 403
			for _, r := range roles {
				if r == role {
					want = 200
				}
			}
			if a := p.get(path); a.status != want {
				t.Errorf("%s for the role %s answers %d, want %d", path, role, a.status, want)
			}
			if in := strings.Contains(p.get("/").body, `href="`+path+`"`); in && want != 200 {
				t.Errorf("the role %s is shown the way to %s", role, path)
			}
		}
		for _, path := range []string{"/secrets", "/unknown/int_x"} {
			if a := p.post(path, url.Values{}); (a.status == 403) == (role == ident.Admin) {
				t.Errorf("a form to %s from the role %s answers %d", path, role, a.status)
			}
		}
	}
}

func TestASecretGoesInAndNeverComesBack(t *testing.T) {
	o := open(t)
	ada := o.hire("ada", ident.Admin).enter()
	value := rand.Text()
	bad := url.Values{"name": {"Not A Name"}, "form": {"token"}, "token": {value}, "how": {"set"}, "description": {"of the ERP"}}
	a := ada.post("/secrets", bad).want(400, "Nothing was stored").wantNot(value)
	if a.value("name") != "Not A Name" || a.value("token") != "" {
		t.Error("the form is not as it was filled in, without the value")
	}
	ada.post("/secrets", url.Values{"name": {"erp"}, "form": {"login"}, "username": {"joe"}, "password": {value}, "how": {"rotate"}}).want(404).wantNot(value)
	ada.post("/secrets", url.Values{"name": {"erp"}, "form": {"login"}, "username": {"joe"}, "password": {value}, "how": {"set"}, "anywhere": {"yes"}}).want(303)
	ada.post("/secrets", url.Values{"name": {"erp"}, "form": {"login"}, "username": {"joe"}, "password": {rand.Text()}, "how": {"rotate"}}).want(303)
	ada.get("/secrets?done=stored").want(200, "can't be read back", "erp", "v2 active", "v1 previous").wantNot(value)
	ada.get("/secrets?done=" + url.QueryEscape(value)).want(200).wantNot(value)
	ada.get("/audit").want(200, "secret.rotated", "secret.set", "erp v2", "ada").wantNot(value)
	ada.get("/audit?type=secret.rotated").want(200).wantNot("person:system")
	ada.get("/audit?connection=none").want(200, "Nothing matches")
}

func TestARunsTokenIsNoSession(t *testing.T) {
	o := open(t)
	sam, _ := o.hire("sam", ident.Requester), o.hire("ann", ident.Approver)
	o.furnish("ann")
	o.pass(time.Hour)
	it := o.park(sam, `{"name":"A"}`, "")
	token, err := o.app.Directory.MintRun(t.Context(), tenant, it.Decision.Run, o.now().Add(time.Hour), o.now())
	o.must(err)
	worker := &person{o: o, cookie: token}
	worker.get("/runs/" + it.Decision.Run).want(303)
	worker.post("/decisions/"+it.Decision.ID, url.Values{"verdict": {"approve"}, "digest": {string(it.Decision.Digest)}}).want(401)
	if now, err := o.app.Desk.Get(t.Context(), tenant, it.Decision.ID); err != nil || now.Decision.State != decision.Open || now.Intent.State != intent.Parked {
		t.Errorf("the Decision is %s: %v", now.Decision.State, err)
	}
}

func TestALiveRailGrows(t *testing.T) {
	o := open(t)
	sam, ann := o.hire("sam", ident.Requester), o.hire("ann", ident.Approver)
	o.furnish("ann")
	o.pass(time.Hour)
	it := o.park(sam, `{"name":"A"}`, "")
	ann.enter()
	page := ann.get("/runs/"+it.Decision.Run).want(200, "waits for a person's Decision")
	var stream string
	for n := range parse(t, page.body).Descendants() {
		if s := attribute(n, "data-stream"); s != "" {
			stream = s
		}
	}
	server := httptest.NewServer(o.handler)
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+stream, nil)
	o.must(err)
	r.AddCookie(&http.Cookie{Name: "sallyport", Value: ann.cookie})
	resp, err := server.Client().Do(r)
	o.must(err)
	defer resp.Body.Close()
	worker := ident.Principal{Tenant: tenant, Kind: ident.Run, ID: it.Decision.Run}
	o.must(o.app.Gate.Observe(t.Context(), worker, explain.Inference, "one moment", "<img src=x>\r\nevent: end"))
	o.must(o.app.Gate.EndRun(t.Context(), worker, "withdrawn", ""))
	all, err := io.ReadAll(resp.Body) // the stream ends with the verdict
	o.must(err)
	for _, want := range []string{"event: facts\n", "event: actions\n", "event: observation\n", "one moment", "event: end\ndata: \"\"\n\n"} {
		if !strings.Contains(string(all), want) {
			t.Errorf("the stream has no %q: %.500q", want, all)
		}
	}
	if strings.Contains(string(all), "<img") || strings.Count(string(all), "\nevent: end") != 1 || strings.Contains(string(all), "started by sam") {
		t.Errorf("the stream has markup or an end that the Worker wrote, or what was there before: %.500q", all)
	}
}
