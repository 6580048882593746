package console_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/passkey"
	"sallyport.dev/internal/passkey/softkey"
)

// Without a script nothing is enrolled, and what a form lacks is refused.
func TestThePasskeyPageEnrolsNothingByItself(t *testing.T) {
	o := open(t)
	sam, ann := o.hire("sam", ident.Requester), o.hire("ann", ident.Approver)
	o.furnish("ann")
	o.pass(time.Hour)
	ann.send("GET", "/passkeys", nil, nil).want(303)
	ann.enter()
	page := ann.get("/passkeys").want(200, "You have none yet", "Enrol a passkey", "It takes JavaScript")
	if csp := page.header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'nonce-") || !strings.HasSuffix(csp, "trusted-types 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("the policy is %q", csp)
	}
	ann.post("/passkeys", url.Values{"name": {"x"}, "password": {password}, "code": {ann.code()}}).want(403, "No passkey was enrolled", "made for something or somebody else")
	ann.post("/passkeys", url.Values{"name": {"x"}, "attestation": {"???"}}).want(400, "not in base64")
	ann.send("POST", "/passkeys/challenge", url.Values{}, map[string]string{"Sec-Fetch-Site": "cross-site"}).want(403, "another site")
	if a := ann.post("/passkeys/challenge", url.Values{}).want(200); a.header.Get("Content-Type") != "application/json" || !strings.Contains(a.body, `"party":"localhost"`) {
		t.Errorf("the challenge is %s", a.body)
	}
	ann.post("/passkeys/pky_none/remove", url.Values{}).want(403, "Nothing was removed")
	ann.post("/passkeys/pky_none/remove", url.Values{"password": {password}, "code": {"000000"}}).want(401, "one-time code is wrong")

	it := o.park(sam, `{"name":"A"}`, "because")
	path := "/decisions/" + it.Decision.ID
	ann.get(path).want(200, "Give this verdict").wantNot("data-passkey") // she has none
	ann.post(path+"/challenge", url.Values{"verdict": {"approve"}, "digest": {string(it.Decision.Digest)}}).want(403, "has no passkey")
	ann.post(path+"/challenge", url.Values{"verdict": {"approve"}, "digest": {"0"}}).want(409)
	sam.enter().post(path+"/challenge", url.Values{"verdict": {"approve"}}).want(403)

	o.app.Desk.Passkeys = true
	ann.get(path).want(200, "you have none that counts").wantNot(`name="password"`)
	form := url.Values{"verdict": {"approve"}, "digest": {string(it.Decision.Digest)}, "password": {password}, "code": {ann.code()}}
	ann.post(path, form).want(403, "takes a passkey")
	form.Set("credential", "AAAA")
	ann.post(path, form).want(403, "Nothing was decided")
	a := softkey.New(passkey.Party{ID: "localhost", Origin: "http://localhost"}).Get([]byte("x"))
	form.Set("client", "????"+string(a.Signature[:1]))
	ann.post(path, form).want(400, "not in base64")
	if o.created.Load() != 0 {
		t.Error("something was sent")
	}
}
