package api_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/passkey"
	"sallyport.dev/internal/passkey/softkey"
)

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func answer(id string, a passkey.Assertion) map[string]any {
	return map[string]any{"challenge": id, "credential": b64(a.Credential), "authenticatorData": b64(a.AuthenticatorData), "clientData": b64(a.ClientData), "signature": b64(a.Signature)}
}

// A program with an authenticator enrols and decides over the API alone, and each
// thing that it leaves out is refused.
func TestAPasskeyDecidesOverTheAPI(t *testing.T) {
	o := open(t, "requester", "approver", "admin", "auditor")
	it := o.parked()
	party, err := o.app.Directory.Party()
	o.must(err)
	k := softkey.New(party)
	var link api.PasskeyLink
	account := "/v1/accounts/" + o.people["approver"].account.ID
	o.call(o.as("admin"), "POST", account+"/passkey-link", map[string]any{"password": password("admin"), "code": ""}, 403, nil)
	o.call(o.as("admin"), "POST", account+"/passkey-link", map[string]any{"password": password("admin"), "code": o.code("admin")}, 200, &link)
	at, token, _ := strings.Cut(link.Link, "#")
	if at != party.Origin+"/passkeys" || token == "" || link.ExpiresAt.IsZero() {
		t.Fatalf("the link is %+v", link)
	}
	var begun identity.EnrolChallenge
	o.call(o.as("approver"), "POST", "/v1/me/passkeys/challenge", map[string]any{}, 200, &begun)
	att, client := k.Create(begun.Challenge.Challenge)
	enrol := map[string]any{"challenge": begun.ID, "name": "key", "attestation": b64(att), "clientData": b64(client), "password": password("approver"), "code": o.code("approver")}
	o.call(o.as("approver"), "POST", "/v1/me/passkeys", enrol, 403, nil)
	enrol["link"] = token
	var p identity.Passkey
	o.call(o.as("approver"), "POST", "/v1/me/passkeys", enrol, 200, &p)
	o.call(o.as("approver"), "POST", "/v1/me/passkeys", enrol, 403, nil)
	var list api.Passkeys
	o.call(o.as("auditor"), "GET", account+"/passkeys", nil, 200, &list)
	if len(list.Passkeys) != 1 || list.Passkeys[0].ID != p.ID {
		t.Errorf("the list is %+v", list)
	}

	path := "/v1/decisions/" + it.Decision.ID
	ask := map[string]any{"verdict": "approve", "digest": it.Decision.Digest}
	o.call(o.as("approver"), "POST", path+"/challenge", map[string]any{"verdict": "approve", "digest": strings.Repeat("0", 64)}, 409, nil)
	o.call(o.as("approver"), "POST", path+"/challenge", map[string]any{"verdict": "maybe", "digest": it.Decision.Digest}, 400, nil)
	var c identity.Challenge
	o.call(o.as("approver"), "POST", path+"/challenge", ask, 200, &c)
	a := k.Get(c.Challenge)
	verdict := func(v string, passkey any, more ...string) map[string]any {
		m := map[string]any{"verdict": v, "digest": it.Decision.Digest, "passkey": passkey}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	o.call(o.as("approver"), "POST", path, verdict("approve", answer(c.ID, a), "password", "x"), 400, nil)
	o.call(o.as("approver"), "POST", path, verdict("reject", answer(c.ID, a)), 403, nil)
	o.call(o.as("approver"), "POST", path, verdict("approve", map[string]any{}), 403, nil)
	// Where a passkey is asked for, password and code are not even looked at.
	o.app.Desk.Passkeys = true
	w := o.do(o.as("approver"), "POST", path, map[string]any{"verdict": "approve", "digest": it.Decision.Digest, "password": password("approver"), "code": "000000"})
	if p := problem(t, w); p.Code != "needs_passkey" || p.Status != 403 || p.Hint == "" {
		t.Errorf("with a password: %+v", p)
	}
	var d decision.Decision
	o.plus.Add(int64(10 * time.Second))
	o.call(o.as("approver"), "POST", path, verdict("approve", answer(c.ID, a)), 200, &d)
	if d.State != decision.Approved || len(d.Votes) != 1 || d.Votes[0].Method != "passkey" || !d.Passkey {
		t.Errorf("it is %+v", d)
	}
	w = o.do(o.as("auditor"), "GET", "/v1/audit/entries?type=intent.decided", nil)
	var entries any
	o.must(json.Unmarshal(w.Body.Bytes(), &entries))
	if !strings.Contains(w.Body.String(), base64.RawURLEncoding.EncodeToString(a.Signature)) {
		t.Errorf("the proof is not on the record: %s", w.Body)
	}
	o.call(o.as("approver"), "POST", "/v1/me/passkeys/"+p.ID+"/remove", map[string]any{"password": password("approver"), "code": o.code("approver")}, 204, nil)
	o.call(o.as("approver"), "GET", "/v1/me/passkeys", nil, 200, &list)
	if len(list.Passkeys) != 0 {
		t.Errorf("there are %+v", list)
	}
}
