package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// proof is a fresh one of somebody.
func (o *office) proof(name string, more map[string]any) map[string]any {
	out := map[string]any{"password": password(name), "code": o.code(name)}
	for k, v := range more {
		out[k] = v
	}
	return out
}

func (o *office) seals() api.Seals {
	o.t.Helper()
	var l api.Seals
	o.call(o.as("admin"), "GET", "/v1/seals", nil, 200, &l)
	return l
}

// recovery makes a recovery key and gives its public half.
func recovery(t *testing.T) json.RawMessage {
	t.Helper()
	public, err := kek.NewRecovery(filepath.Join(t.TempDir(), "recovery.json"))
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func TestAChangeOfSealsOrKeysTakesAFreshCode(t *testing.T) {
	o := open(t, "admin")
	id := o.seals().Seals[0].ID
	used := o.proof("admin", map[string]any{"kind": "recovery", "public": recovery(t)})
	o.call(o.as("admin"), "POST", "/v1/seals", used, 200, nil)
	before := o.seals()
	if len(before.Seals) != 2 || !before.Alone {
		t.Fatalf("there are %+v", before)
	}
	for route, body := range map[string]map[string]any{
		"/v1/seals":                   {"kind": "recovery", "public": recovery(t)},
		"/v1/seals/" + id + "/renew":  {},
		"/v1/seals/" + id + "/remove": {},
		"/v1/keys/rotate":             {"what": "root"},
	} {
		for name, c := range map[string]struct {
			password, code any
			status         int
		}{
			"a session alone":     {"", "", 403},
			"without a code":      {password("admin"), "", 403},
			"without a password":  {"", used["code"], 403},
			"a wrong code":        {password("admin"), "000000", 401},
			"a wrong password":    {"another password", o.code("admin"), 401},
			"a code used already": {password("admin"), used["code"], 401},
		} {
			o.plus.Add(int64(time.Hour)) // refused attempts slow down the next
			body["password"], body["code"] = c.password, c.code
			if name == "a wrong password" {
				body["code"] = o.code("admin")
			}
			if w := o.do(o.as("admin"), "POST", route, body); w.Code != c.status {
				t.Errorf("%s with %s: %d %s", route, name, w.Code, w.Body)
			}
		}
	}
	after := o.seals()
	if len(after.Seals) != len(before.Seals) || after.Seals[0] != before.Seals[0] || after.Seals[1] != before.Seals[1] {
		t.Errorf("the seals have changed: %+v", after)
	}
	var k api.Keys
	o.call(o.as("admin"), "GET", "/v1/keys", nil, 200, &k)
	if k.Generation != 1 {
		t.Errorf("the root key has the generation %d", k.Generation)
	}
}

func TestOnlyWhatTheServerWasStartedWithIsAdded(t *testing.T) {
	o := open(t, "admin")
	admin := o.as("admin")
	for name, body := range map[string]map[string]any{
		"a key file that is a seal already": {"kind": "key-file"},
		"a service":                         {"kind": "transit"},
		"a program":                         {"kind": "exec"},
		"nothing":                           {"kind": ""},
	} {
		if w := o.do(admin, "POST", "/v1/seals", body); w.Code != 404 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	for _, field := range []string{"path", "file", "command", "url", "keyFile", "sealed", "with"} {
		if w := o.do(admin, "POST", "/v1/seals", map[string]any{"kind": "key-file", field: "/etc/passwd"}); w.Code != 400 {
			t.Errorf("with %s: %d %s", field, w.Code, w.Body)
		}
	}
	w := o.do(admin, "POST", "/v1/seals", map[string]any{"kind": "passphrase", "passphrase": "hunter2"})
	if w.Code != 400 || strings.Contains(w.Body.String(), "hunter2") {
		t.Errorf("a short passphrase: %d %s", w.Code, w.Body)
	}
	w = o.do(admin, "POST", "/v1/seals", map[string]any{"kind": "recovery", "public": map[string]any{"id": "rec_x"}})
	if w.Code != 400 {
		t.Errorf("half a recovery key: %d %s", w.Code, w.Body)
	}
	if o.seals().AtHand[0].Seal != o.seals().Seals[0].ID {
		t.Errorf("what is at hand is %+v", o.seals())
	}
}

func TestSealsAreRenewedAndRemoved(t *testing.T) {
	o := open(t, "admin")
	admin := o.as("admin")
	var rec vault.SealInfo
	o.call(admin, "POST", "/v1/seals", o.proof("admin", map[string]any{"kind": "recovery", "public": recovery(t)}), 200, &rec)
	key := o.seals().Seals[0].ID
	o.call(admin, "POST", "/v1/seals/"+rec.ID+"/renew", o.proof("admin", nil), 400, nil)
	var renewed vault.SealInfo
	o.plus.Add(int64(time.Hour))
	o.call(admin, "POST", "/v1/seals/"+key+"/renew", o.proof("admin", nil), 200, &renewed)
	if renewed.ID != key || !renewed.CreatedAt.After(o.seals().Seals[1].CreatedAt.Add(-time.Hour)) {
		t.Errorf("renewed: %+v", renewed)
	}
	o.call(admin, "POST", "/v1/seals/"+key+"/remove", o.proof("admin", nil), 204, nil)
	l := o.seals()
	if len(l.Seals) != 1 || l.Seals[0].ID != rec.ID || l.Alone || l.AtHand[0].Seal != "" {
		t.Errorf("what is left: %+v", l)
	}
	o.call(admin, "POST", "/v1/seals/"+rec.ID+"/remove", o.proof("admin", nil), 409, nil) // the last one
	o.call(admin, "POST", "/v1/seals", o.proof("admin", map[string]any{"kind": "key-file"}), 200, nil)
	if l := o.seals(); !l.Alone {
		t.Errorf("it is at hand again: %+v", l)
	}
}

func TestEveryKeyIsRotatedInOneRequest(t *testing.T) {
	o := open(t, "admin", "auditor")
	var r api.Rotated
	o.call(o.as("admin"), "POST", "/v1/keys/rotate", o.proof("admin", map[string]any{"what": "all"}), 200, &r)
	if len(r.Rotations) != 3 || r.Running || r.Rotations[0].What != "root" || r.Rotations[1].What != "project" || r.Rotations[2].What != "data" || r.Rotations[2].Count != 1 {
		t.Errorf("it did %+v", r)
	}
	var k api.Keys
	o.call(o.as("auditor"), "GET", "/v1/keys", nil, 200, &k)
	if k.Generation != 2 || k.Term != 3 || k.Older != 0 || k.Versions != 1 || k.Rotating != "" || len(k.Hints) != 0 {
		t.Errorf("the keys are %+v", k)
	}
	o.plus.Add(int64(91 * 24 * time.Hour))
	delete(o.tokens, "auditor")
	o.call(o.as("auditor"), "GET", "/v1/keys", nil, 200, &k)
	if len(k.Hints) != 2 || !strings.Contains(k.Hints[0], "sallyport key rotate root") {
		t.Errorf("after 91 days: %+v", k)
	}
}

// Seals are of the whole vault, and a server has the people of one tenant: who
// signed in for another, when the server had that, changes none.
func TestAnotherTenantsAdminSeesNoSeals(t *testing.T) {
	o := open(t, "admin")
	other := system
	other.Tenant = "beta"
	_, e, err := o.app.Directory.CreateAccount(t.Context(), other, identity.NewAccount{Tenant: "beta", Name: "admin", Roles: []ident.Role{ident.Admin}, Password: password("beta")}, o.now())
	o.must(err)
	code, err := identity.Code(e.Secret, e.Alg, o.now())
	o.must(err)
	_, token, err := o.app.Directory.SignIn(t.Context(), "beta", "admin", password("beta"), code, o.now())
	o.must(err)
	o.plus.Add(int64(30 * time.Second))
	next, err := identity.Code(e.Secret, e.Alg, o.now())
	o.must(err)
	proof := map[string]any{"password": password("beta"), "code": next, "what": "root"}
	for _, r := range []string{"GET /v1/seals", "GET /v1/keys", "POST /v1/keys/rotate"} {
		method, path, _ := strings.Cut(r, " ")
		var body any
		if method == "POST" {
			body = proof
		}
		if w := o.do(token, method, path, body); w.Code != 403 {
			t.Errorf("%s: %d %s", r, w.Code, w.Body)
		}
	}
}

func TestAttemptsToUnsealAreBounded(t *testing.T) {
	now := time.Now()
	try := func(l *api.Attempts, from string, here bool, at time.Time) error {
		done, err := api.Begin(l, from, here, at)
		if err == nil {
			done()
		}
		return err
	}
	var l api.Attempts
	for i := range 5 {
		if err := try(&l, "203.0.113.1", false, now); err != nil {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	if err := try(&l, "203.0.113.1", false, now); !fault.Is(err, fault.Limit) {
		t.Errorf("the sixth: %v", err)
	}
	for i := range 5 { // one network of IPv6 is one stranger
		if err := try(&l, netip.AddrFrom16([16]byte{0x20, 1, 15: byte(i + 1)}).String(), false, now); err != nil {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	if err := try(&l, "2001::99", false, now); !fault.Is(err, fault.Limit) {
		t.Errorf("from the same network: %v", err)
	}
	for i := range 5 {
		if err := try(&l, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}).String(), false, now); err != nil {
			t.Fatalf("another's attempt %d: %v", i, err)
		}
	}
	if err := try(&l, "192.0.2.1", false, now); !fault.Is(err, fault.Limit) {
		t.Errorf("beyond what all strangers may: %v", err)
	}
	if err := try(&l, "127.0.0.1", true, now); err != nil {
		t.Errorf("this machine: %v", err)
	}
	if err := try(&l, "192.0.2.1", false, now.Add(time.Minute)); err != nil {
		t.Errorf("a minute later: %v", err)
	}
	if err := try(&l, "192.0.2.1", false, now.Add(-time.Hour)); err != nil {
		t.Errorf("when the clock was put back: %v", err)
	}
	done, err := api.Begin(&l, "192.0.2.7", false, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := try(&l, "192.0.2.8", false, now); !fault.Is(err, fault.Limit) {
		t.Errorf("while another is judged: %v", err)
	}
	if err := try(&l, "::1", true, now); err != nil {
		t.Errorf("this machine, while a stranger is judged: %v", err)
	}
	done()
	if err := try(&l, "192.0.2.8", false, now); err != nil {
		t.Errorf("after that: %v", err)
	}
}

func TestAPageInABrowserIsNotTheOperator(t *testing.T) {
	for _, h := range []string{"Origin", "Sec-Fetch-Site", "X-Forwarded-For", "Forwarded", "Via", "X-Real-Ip"} {
		r := httptest.NewRequest(http.MethodPost, "/v1/unseal", nil)
		r.RemoteAddr = "127.0.0.1:4000"
		if _, here := api.Source(r); !here {
			t.Fatal("the operator is a stranger")
		}
		r.Header.Set(h, "same-origin")
		if _, here := api.Source(r); here {
			t.Errorf("with %s it is the operator", h)
		}
	}
}

func FuzzSource(f *testing.F) {
	f.Add("127.0.0.1:80", "", "")
	f.Add("127.0.0.1:80", "203.0.113.1, 198.51.100.2", "")
	f.Add("[::1]:80", "", "for=x")
	f.Add("[::ffff:127.0.0.1]:80", "", "")
	f.Add("203.0.113.9:1", "127.0.0.1", "")
	f.Add("pipe", "::1%lo", "1")
	f.Fuzz(func(t *testing.T, remote, forwarded, via string) {
		r := httptest.NewRequest(http.MethodPost, "/v1/unseal", nil)
		r.RemoteAddr = remote
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		if via != "" {
			r.Header.Set("Forwarded", via)
		}
		from, here := api.Source(r)
		ap, err := netip.ParseAddrPort(remote)
		if here && (err != nil || !ap.Addr().Unmap().IsLoopback() || forwarded != "" || via != "") {
			t.Errorf("%q, forwarded for %q, is taken for this machine", remote, forwarded)
		}
		if _, err := netip.ParseAddr(from); err != nil && from != "unknown" && from != "a proxy" {
			t.Errorf("it comes from %q", from)
		}
	})
}
