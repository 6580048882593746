package vault_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

const adminToken = "adm-7hG2kLq9-the-order-giver"

// issuer is a system that issues tokens, and can be made to answer badly.
type issuer struct {
	*httptest.Server
	keys   map[string]string // id to token
	labels map[string]string // id to the rotation's
	n      int
	answer func(w http.ResponseWriter, id, token string) // to a creation
	asked  []string
}

func newIssuer(t *testing.T) *issuer {
	s := &issuer{keys: map[string]string{"k-1": "tok-1-first-Zq83mPw0"}, labels: map[string]string{}, n: 1}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *issuer) serve(w http.ResponseWriter, r *http.Request) {
	s.asked = append(s.asked, r.Method+" "+r.URL.Path)
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if r.URL.Path == "/me" {
		for _, k := range s.keys {
			if k == token {
				fmt.Fprint(w, `{}`)
				return
			}
		}
		http.Error(w, "who is "+token, http.StatusUnauthorized)
		return
	}
	if token != adminToken {
		http.Error(w, "who is "+token, http.StatusForbidden)
		return
	}
	switch r.Method {
	case "POST":
		s.n++
		id, key := fmt.Sprint("k-", s.n), fmt.Sprintf("tok-%d-Zq83mPw0vXr5", s.n)
		s.keys[id], s.labels[id] = key, r.Header.Get("X-Label")
		var b [512]byte
		n, _ := r.Body.Read(b[:])
		s.labels[id] = string(b[:n])
		if s.answer != nil {
			s.answer(w, id, key)
			return
		}
		fmt.Fprintf(w, `{"id":%q,"secret":{"token":%q}}`, id, key)
	case "GET":
		var list []string
		for id := range s.keys {
			list = append(list, fmt.Sprintf(`{"id":%q,"label":%q}`, id, s.labels[id]))
		}
		fmt.Fprintf(w, `{"keys":[%s]}`, strings.Join(list, ","))
	case "DELETE":
		id := strings.TrimPrefix(r.URL.Path, "/keys/")
		if s.keys[id] == "" {
			http.NotFound(w, r)
			return
		}
		delete(s.keys, id)
	}
}

// webJob is a fixture with the system's Secrets, and the job of a rotation.
func webJob(t *testing.T, s *issuer) (*fixture, vault.RotationJob) {
	f := start(t)
	scope := &vault.Scope{Origins: []string{s.URL}}
	for name, token := range map[string]string{"crm-admin": adminToken, "crm-token": s.keys["k-1"]} {
		if _, err := f.Set(t.Context(), vault.Write{Tenant: acme, Name: name, Fields: map[string][]byte{"token": []byte(token)}, Scope: scope, Actor: admin(acme)}); err != nil {
			t.Fatal(err)
		}
	}
	bearer := resource.Auth{Scheme: resource.SchemeBearer}
	h := &resource.HTTPRotator{BaseURL: s.URL, Network: resource.Network{AllowLoopbackHTTP: true}, Auth: bearer, TryAuth: bearer,
		Create: resource.HTTPStep{Method: "POST", Path: "/keys", Body: []byte(`{"label":"sallyport {rotation}"}`)},
		Try:    resource.HTTPStep{Method: "GET", Path: "/me"}, Delete: &resource.HTTPStep{Method: "DELETE", Path: "/keys/{id}"},
		Find:   &resource.HTTPFind{HTTPStep: resource.HTTPStep{Method: "GET", Path: "/keys"}, List: "/keys", ID: "/id", Label: "/label"},
		Fields: map[string]string{"token": "/secret/token"}, ID: "/id", CurrentID: "k-1"}
	p := resource.Rotation{Rotator: resource.Rotator{Kind: resource.RotatorHTTP, Admin: "crm-admin", HTTP: h}}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	return f, vault.RotationJob{Tenant: acme, Secret: "crm-token", ID: "rot_abc", Was: 1, Actor: admin(acme), Ways: vault.Ways{Base: &http.Transport{}}, Rotator: p.Rotator}
}

func TestATokenIsMadeTriedSwitchedToAndTheOldOneDeleted(t *testing.T) {
	s := newIssuer(t)
	f, j := webJob(t, s)
	ctx := t.Context()
	n, err := f.MakeVersion(ctx, j)
	if err != nil {
		t.Fatal(err)
	}
	if f.Scrub(acme).Contains([]byte(s.keys["k-2"])) == nil {
		t.Error("the new value is not taken out of answers while it is pending")
	}
	for _, step := range []func() error{
		func() error { return f.TryVersion(ctx, j, n) }, func() error { return f.SwitchVersion(ctx, j, n) },
		func() error { return f.EndVersion(ctx, j, 1) }, func() error { return f.DeleteVersion(ctx, j, 1) },
		func() error { return f.DeleteVersion(ctx, j, 1) }, // again, after a crash
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.keys) != 1 || s.keys["k-2"] == "" {
		t.Errorf("the system has %d tokens", len(s.keys))
	}
	if err := f.TryVersion(ctx, j, 1); !fault.Is(err, fault.Denied) || strings.Contains(err.Error(), "tok-") {
		t.Errorf("the old one: %v", err)
	}
	for _, v := range []string{"tok-1-first-Zq83mPw0", s.keys["k-2"]} {
		if f.Scrub(acme).Contains([]byte(v)) == nil {
			t.Error("a version that was active is not taken out of answers any more")
		}
	}
}

// Whatever a system answers to a creation: nothing is stored that is no new value,
// nothing of the answer is in the error, and where the system can be asked, what it
// has made is found and taken away.
func TestAnAnswerThatIsNoNewValueIsRefusedAndRepeatedNowhere(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, id, token string)
		kind   fault.Kind
	}{
		"somebody else's": {func(w http.ResponseWriter, id, _ string) {
			fmt.Fprintf(w, `{"id":%q,"secret":{"token":%q}}`, id, "erp-value-8Kq2vTz5")
		}, fault.Denied},
		"the old one again": {func(w http.ResponseWriter, id, _ string) {
			fmt.Fprintf(w, `{"id":%q,"secret":{"token":%q}}`, id, "tok-1-first-Zq83mPw0")
		}, fault.Denied},
		"the admin's own": {func(w http.ResponseWriter, id, _ string) {
			fmt.Fprintf(w, `{"id":%q,"secret":{"token":%q}}`, id, adminToken)
		}, fault.Denied},
		"empty": {func(w http.ResponseWriter, id, _ string) { fmt.Fprintf(w, `{"id":%q,"secret":{"token":""}}`, id) }, fault.Denied},
		"a word": {func(w http.ResponseWriter, id, _ string) {
			fmt.Fprintf(w, `{"id":%q,"secret":{"token":"password"}}`, id)
		}, fault.Denied},
		"huge": {func(w http.ResponseWriter, id, _ string) {
			fmt.Fprintf(w, `{"id":%q,"secret":{"token":%q}}`, id, strings.Repeat("x9", 300_000))
		}, fault.Invalid},
		"long": {func(w http.ResponseWriter, id, _ string) {
			fmt.Fprintf(w, `{"id":%q,"secret":{"token":%q}}`, id, strings.Repeat("x9", 5_000))
		}, fault.Denied},
		"elsewhere": {func(w http.ResponseWriter, id, token string) { fmt.Fprintf(w, `{"id":%q,"token":%q}`, id, token) }, fault.Denied},
		"twice": {func(w http.ResponseWriter, id, token string) {
			fmt.Fprintf(w, `{"id":%q,"secret":{"token":%q,"token":"other-value-99aa"}}`, id, token)
		}, fault.Invalid},
		"an id that is a path": {func(w http.ResponseWriter, _, token string) {
			fmt.Fprintf(w, `{"id":"../admin","secret":{"token":%q}}`, token)
		}, fault.Invalid},
		"no JSON":             {func(w http.ResponseWriter, _, token string) { fmt.Fprint(w, "token="+token) }, fault.Invalid},
		"an echo in an error": {func(w http.ResponseWriter, _, token string) { http.Error(w, adminToken+" "+token, 500) }, fault.Unknown},
		"a refusal with echo": {func(w http.ResponseWriter, _, token string) { http.Error(w, adminToken+" "+token, 422) }, fault.Denied},
		"a redirect": {func(w http.ResponseWriter, _, token string) {
			w.Header().Set("Location", "https://evil.example/"+token)
			w.WriteHeader(307)
		}, fault.Unknown},
		"nothing": {func(http.ResponseWriter, string, string) { panic(http.ErrAbortHandler) }, fault.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			s := newIssuer(t)
			s.answer = c.answer
			f, j := webJob(t, s)
			f.set(acme, "erp-token", "erp-value-8Kq2vTz5")
			_, err := f.MakeVersion(t.Context(), j)
			if !fault.Is(err, c.kind) {
				t.Fatalf("it is %v (%s)", err, fault.KindOf(err))
			}
			for _, part := range []string{"tok-", "adm-7", "erp-value", "evil", "x9x9", "other-value"} {
				if strings.Contains(err.Error()+fault.HintOf(err)+f.log.String(), part) {
					t.Errorf("the error has %s of the answer: %v", part, err)
				}
			}
			head, err := f.Show(t.Context(), acme, "crm-token")
			if err != nil || len(head.Versions) != 1 || head.Active != 1 {
				t.Errorf("%d versions, %v", len(head.Versions), err)
			}
			if _, err := f.ClearMade(t.Context(), j); err != nil || len(s.keys) != 1 {
				t.Errorf("the system still has %d tokens: %v", len(s.keys), err)
			}
		})
	}
}

// A rotation's version has the usage scope of the one that it replaces, and lives
// no longer, whatever was stored in between.
func TestARotationWidensNoUsageScope(t *testing.T) {
	s := newIssuer(t)
	f, j := webJob(t, s)
	narrow := &vault.Scope{Origins: []string{s.URL}, Missions: []string{"report"}, Methods: []string{"GET"}, NotAfter: f.now.AddDate(0, 0, 30)}
	w := f.write(acme, "crm-token", "tok-narrow-Zq83mPw0")
	w.Scope, w.AnyOrigin = narrow, false
	if _, err := f.Rotate(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	wide := f.write(acme, "crm-token", "tok-wide-Zq83mPw0")
	wide.Scope = &vault.Scope{}
	if _, err := f.Set(t.Context(), wide); err != nil { // pending, and wider
		t.Fatal(err)
	}
	f.now = f.now.AddDate(0, 0, 10)
	j.Was = 2
	n, err := f.MakeVersion(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	meta, err := f.Head(t.Context(), acme, fmt.Sprint("crm-token@v", n))
	if err != nil || fmt.Sprint(meta.Scope.Missions, meta.Scope.Methods, meta.Scope.Origins) != fmt.Sprint(narrow.Missions, narrow.Methods, narrow.Origins) {
		t.Errorf("the scope is %+v, %v", meta.Scope, err)
	}
	if !meta.Scope.NotAfter.Equal(f.now.AddDate(0, 0, 30)) {
		t.Errorf("it lives until %s", meta.Scope.NotAfter)
	}
}

// A refresh token that is rotated is kept; its own client's secret goes with it.
func TestARefreshTokenIsExchangedAndTheNewOneKept(t *testing.T) {
	var asked []url.Values
	next := `{"access_token":"acc-2-Zq83mPw0vXr5","refresh_token":"ref-2-Zq83mPw0vXr5","token_type":"bearer"}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		asked = append(asked, r.PostForm)
		if r.Header.Get("Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("client-7:cs-Zq83mPw0vXr5")) {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, next)
	}))
	t.Cleanup(s.Close)
	f := start(t)
	w := vault.Write{Tenant: acme, Name: "mail-token", Scope: &vault.Scope{Origins: []string{s.URL}}, Actor: admin(acme), Fields: map[string][]byte{
		"token": []byte("acc-1-Zq83mPw0vXr5"), "refresh_token": []byte("ref-1-Zq83mPw0vXr5"), "username": []byte("client-7"), "client_secret": []byte("cs-Zq83mPw0vXr5")}}
	if _, err := f.Set(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	j := vault.RotationJob{Tenant: acme, Secret: "mail-token", ID: "rot_1", Was: 1, Actor: admin(acme), Ways: vault.Ways{Base: &http.Transport{}},
		Rotator: resource.Rotator{Kind: resource.RotatorRefresh, Refresh: &resource.RefreshRotator{TokenURL: s.URL + "/token", Network: resource.Network{AllowLoopbackHTTP: true}}}}
	for i, want := range []string{"ref-1-Zq83mPw0vXr5", "ref-2-Zq83mPw0vXr5", "ref-2-Zq83mPw0vXr5"} {
		j.ID, j.Was = fmt.Sprint("rot_", i), i+1
		n, err := f.MakeVersion(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.SwitchVersion(t.Context(), j, n); err != nil {
			t.Fatal(err)
		}
		if got := asked[i].Get("refresh_token"); got != want {
			t.Errorf("exchange %d was made with %q", i+1, got)
		}
		next = fmt.Sprintf(`{"access_token":"acc-%d-Zq83mPw0vXr5","token_type":"bearer"}`, i+3) // the refresh token goes on
	}
}

// A message is a hook's only with the key, of now.
func TestAHooksMessageIsSignedAndOfNow(t *testing.T) {
	f := start(t)
	key := "whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdefghijklmnop#%&!"))
	f.set(acme, "hook-key", key)
	at := fmt.Sprint(f.now.Unix())
	h := http.Header{"Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {at}, "Webhook-Signature": {"v1,AAAA"}}
	if err := f.CheckHook(acme, "hook-key", h, []byte("{}")); !fault.Is(err, fault.Denied) {
		t.Errorf("another signature: %v", err)
	}
	if err := f.CheckHook(acme, "none", h, []byte("{}")); !fault.Is(err, fault.Denied) {
		t.Errorf("no such key: %v", err)
	}
	h.Set("Webhook-Signature", signed(t, key, "msg_1", at, "{}"))
	if err := f.CheckHook(acme, "hook-key", h, []byte("{}")); err != nil {
		t.Errorf("the key's own: %v", err)
	}
	if err := f.CheckHook(acme, "hook-key", h, []byte("{ }")); !fault.Is(err, fault.Denied) {
		t.Errorf("another body: %v", err)
	}
	f.now = f.now.AddDate(0, 0, 1)
	if err := f.CheckHook(acme, "hook-key", h, []byte("{}")); !fault.Is(err, fault.Denied) {
		t.Errorf("a day later: %v", err)
	}
}

// Who has no key can't tell a name with a key from one without by how long it takes to
// compare a long message: both are signed.
func TestAHookWithoutAKeyTakesAsLong(t *testing.T) {
	f := start(t)
	f.set(acme, "hook-key", "whsec_"+base64.StdEncoding.EncodeToString([]byte("0123456789abcdefghijklmnop#%&!")))
	h := http.Header{"Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {fmt.Sprint(f.now.Unix())}, "Webhook-Signature": {"v1,AAAA"}}
	body := make([]byte, 16<<20) // long, to be measured
	took := func(check func() error) time.Duration {
		least := time.Hour
		for range 3 {
			began := time.Now()
			if err := check(); !fault.Is(err, fault.Denied) {
				t.Fatal(err)
			}
			least = min(least, time.Since(began))
		}
		return least
	}
	with := took(func() error { return f.CheckHook(acme, "hook-key", h, body) })
	if without := took(func() error { return f.CheckHook(acme, "none", h, body) }); without < with/4 {
		t.Errorf("%s without a key, %s with one", without, with)
	}
	if without := took(func() error { return f.CheckBackendHook("none", h, body) }); without < with/4 {
		t.Errorf("%s for no backend, %s with a key", without, with)
	}
}
