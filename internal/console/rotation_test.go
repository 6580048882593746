package console_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/rotation"
	"sallyport.dev/internal/vault"
)

// rotated is a Secret whose rotation waits for a person: the system made something,
// or not, and nobody can ask it.
func (o *office) rotated() rotation.Rotation {
	o.t.Helper()
	var fails atomic.Bool
	fails.Store(true)
	system := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && fails.Swap(false) {
			http.Error(w, canary+" <b>wrong</b>", http.StatusBadGateway)
			return
		}
		_, _ = w.Write([]byte(`{"token":"` + canary + `-of-the-next"}`))
	}))
	o.t.Cleanup(system.Close)
	admin := ident.Principal{Tenant: tenant, Kind: ident.Person, ID: "acc_set", Roles: []ident.Role{ident.Admin}}
	_, err := o.app.Vault.Set(o.t.Context(), vault.Write{Tenant: tenant, Name: "crm", Actor: setup, Scope: &vault.Scope{Origins: []string{system.URL}}, Fields: map[string][]byte{"token": []byte(canary + "-of-crm")}})
	o.must(err)
	bearer := resource.Auth{Scheme: resource.SchemeBearer}
	_, err = o.app.Rotation.SetPolicy(o.t.Context(), admin, "crm", resource.Rotation{Every: resource.Duration(720 * time.Hour), Rotator: resource.Rotator{Kind: resource.RotatorHTTP,
		HTTP: &resource.HTTPRotator{BaseURL: system.URL, Network: resource.Network{AllowLoopbackHTTP: true}, Auth: bearer, TryAuth: bearer,
			Create: resource.HTTPStep{Method: "POST", Path: "/keys"}, Try: resource.HTTPStep{Method: "GET", Path: "/me"}, Fields: map[string]string{"token": "/token"}}}}, "")
	o.must(err)
	r, err := o.app.Rotation.Start(o.t.Context(), admin, "crm", "")
	o.must(err)
	return o.turned(r.ID, rotation.NeedsPerson)
}

// turned waits until a rotation is in a state.
func (o *office) turned(id string, want rotation.State) (r rotation.Rotation) {
	o.t.Helper()
	o.app.Rotated()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		var err error
		r, err = o.app.Rotation.Rotations.Rotation(o.t.Context(), tenant, id)
		o.must(err)
		if r.State == want {
			return r
		}
		<-tick.C
	}
	o.t.Fatalf("the rotation is %s (%s)", r.State, r.Why)
	return r
}

// A rotation that waits is listed with what to do; an admin says it, with password
// and code, of what the page has shown, and nobody else does.
func TestARotationThatWaitsOnItsPage(t *testing.T) {
	o := open(t)
	ada, bob, aud, sam := o.hire("ada", ident.Admin).enter(), o.hire("bob", ident.Builder).enter(), o.hire("aud", ident.Auditor).enter(), o.hire("sam", ident.Requester).enter()
	ada.get("/rotations").want(200, "No Secret has a policy")
	r := o.rotated()
	path := "/rotations/" + r.ID
	sam.get("/rotations").want(403)
	sam.get(path).want(403)
	for _, p := range []*person{ada, bob, aud} {
		p.get("/rotations").want(200, "crm", "http, every", "version 1 of", "waits for a person", r.ID).wantNot(canary, "<b>wrong")
	}
	aud.get(path).want(200, "waits for a person, in making", "An admin says how it goes on", "HTTP 502").wantNot(canary, "<form method=\"post\" action=\"/rotations")
	page := ada.get(path).want(200, "took it away there: make one", "make none", "Look at the system first").wantNot(canary, "<script")
	form := func(word, seen string) url.Values { return url.Values{"word": {word}, "seen": {seen}} }
	proven := func(f url.Values) url.Values {
		f.Set("password", password)
		f.Set("code", ada.code())
		return f
	}
	seen := page.value("seen")
	for _, p := range []*person{bob, aud, sam} {
		p.post(path, form("give_up", seen)).want(403)
	}
	ada.send("POST", path, proven(form("give_up", seen)), map[string]string{"Sec-Fetch-Site": "cross-site"}).want(403)
	ada.post(path, form("give_up", seen)).want(403, "Nothing was changed", "password and a one-time code")
	ada.post(path, form("give_up", "")).want(400, "Nothing was changed")
	ada.post(path, form("give_up", "1")).want(409, "has gone on since")
	ada.post(path, form("forget", seen)).want(400, "no word on this rotation")
	wrong := form("give_up", seen)
	wrong.Set("password", "no such password")
	wrong.Set("code", ada.code())
	ada.post(path, wrong).want(401, "The password or the one-time code is wrong").wantNot("no such password")
	ada.post("/rotations/rot_none", proven(form("give_up", seen))).want(404)
	if n := len(o.entries(audit.RotationEnded)); n != 0 {
		t.Fatalf("%d rotations have ended", n)
	}
	if a := ada.post(path, proven(form("again", seen))).want(303); a.header.Get("Location") != "/rotations?done=turned" {
		t.Errorf("it leads to %q", a.header.Get("Location"))
	}
	o.turned(r.ID, rotation.Done)
	ada.get("/rotations?done=turned").want(200, "Your word is on the record", "version 2 of", "done").wantNot("waits for a person", canary)
	ada.get(path).want(200, "from 1 to 2").wantNot("How it goes on")
	ada.post(path, proven(form("again", seen))).want(409)
}
