package demo_test

import (
	"encoding/base32"
	"net/url"
	"testing"
	"time"

	"sallyport.dev/internal/identity"
)

// An admin, or whoever has an admin's session, resets the approver's account and
// signs in as the approver. What waits now can't be decided with it: the
// membership begins anew.
func TestAnAccountThatWasResetDecidesNothingThatWaits(t *testing.T) {
	w := start(t, nil)
	run := w.run("onboarded")
	it := w.waiting(run)
	var e struct{ Password, OTPAuth string }
	w.must(w.as("admin").Call(t.Context(), "POST", "/v1/accounts/"+w.People["approver"].Account.ID+"/reset", nil, &e))
	u, err := url.Parse(e.OTPAuth)
	w.must(err)
	code := func() string {
		w.clock.advance(30 * time.Second)
		c, err := identity.Code(unbase32(t, u.Query().Get("secret")), identity.Algorithm(u.Query().Get("algorithm")), w.clock.now())
		w.must(err)
		return c
	}
	var s struct{ Token string }
	w.must(w.client("").Call(t.Context(), "POST", "/v1/sessions", map[string]any{"name": "approver", "password": e.Password, "code": code()}, &s))
	const mine = "chosen-by-the-attacker-7"
	w.must(w.client(s.Token).Call(t.Context(), "POST", "/v1/me/password", map[string]any{"password": e.Password, "code": code(), "new": mine}, &s))
	err = w.client(s.Token).Call(t.Context(), "POST", "/v1/decisions/"+it.Decision.ID, map[string]any{
		"verdict": "approve", "digest": it.Decision.Digest, "password": mine, "code": code()}, nil)
	if p := problemOf(err); p.Code != "joined_later" {
		t.Errorf("the verdict counts, or is refused for another reason: %v", err)
	}
	if n := w.stats("erp").Credentials["erp-write-token"].Requests; n != 0 {
		t.Errorf("the write credential was used %d times", n)
	}
}

func unbase32(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
