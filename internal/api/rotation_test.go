package api_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/rotation"
	"sallyport.dev/internal/vault"
)

// issues is a system that makes a new token and ends the old one.
func issues(t *testing.T) *httptest.Server {
	var mu sync.Mutex
	n, live := 0, "cnry-rotated-0-Zq83mPw0"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer "+live {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Method == http.MethodPost {
			n++
			live = fmt.Sprintf("cnry-rotated-%d-Zq83mPw0", n)
		}
		fmt.Fprintf(w, `{"token":%q}`, live)
	}))
	t.Cleanup(s.Close)
	return s
}

// An admin sets a policy and rotates, with a proof each; a signed message rotates
// once an hour; nobody else does, and nobody learns which Secrets there are.
func TestASecretIsRotatedByAnAdminAndByASignedMessage(t *testing.T) {
	o := open(t, "admin", "builder")
	sys := issues(t)
	admin := o.as("admin")
	key := "whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdefghijklmnop#%&!"))
	for name, value := range map[string]string{"crm": "cnry-rotated-0-Zq83mPw0", "hook-key": key} {
		o.call(admin, "PUT", "/v1/secrets/"+name, map[string]any{"fields": map[string]string{"token": value}, "scope": vault.Scope{Origins: []string{sys.URL}}}, 200, nil)
	}
	policy := map[string]any{"hook": "hook-key", "rotator": map[string]any{"kind": "http", "http": map[string]any{
		"baseURL": sys.URL, "network": map[string]any{"allowLoopbackHTTP": true}, "auth": map[string]string{"scheme": "bearer"}, "tryAuth": map[string]string{"scheme": "bearer"},
		"create": map[string]string{"method": "POST", "path": "/rotate"}, "try": map[string]string{"method": "GET", "path": "/me"},
		"fields": map[string]string{"token": "/token"}, "ends": true}}}
	path := "/v1/secrets/crm/rotation"
	o.call(admin, "POST", path, o.proof("admin", nil), 404, nil) // without a policy
	o.call(admin, "POST", path+"-policy", map[string]any{"policy": policy}, 403, nil)
	o.call(admin, "POST", path+"-policy", o.proof("admin", map[string]any{"policy": policy}), 200, nil)
	o.call(admin, "POST", path, map[string]any{}, 403, nil)

	done := func(version int) {
		t.Helper()
		look := time.NewTicker(20 * time.Millisecond)
		defer look.Stop()
		for range 500 {
			var l api.Rotations
			o.call(o.as("builder"), "GET", "/v1/rotations", nil, 200, &l)
			if len(l.Rotations) == 1 && l.Rotations[0].State == rotation.Done && l.Rotations[0].Version == version {
				return
			}
			<-look.C
		}
		t.Fatalf("there is no version %d: %s", version, o.log)
	}
	o.call(admin, "POST", path, o.proof("admin", nil), 200, nil)
	done(2)

	hook := func(name, body, sign string) *httptest.ResponseRecorder {
		w, err := standardwebhooks.NewWebhook(key)
		o.must(err)
		at := o.now()
		s, err := w.Sign("msg_1", at, []byte(sign))
		o.must(err)
		return o.do("", "POST", "/v1/hooks/rotation/"+name, body, "Webhook-Id", "msg_1", "Webhook-Timestamp", fmt.Sprint(at.Unix()), "Webhook-Signature", s)
	}
	bad, none := hook("crm", `{}`, `{"a":1}`), hook("nothing", `{}`, `{}`)
	if bad.Code != 403 || none.Code != 403 || strings.ReplaceAll(bad.Body.String(), "crm", "x") != strings.ReplaceAll(none.Body.String(), "nothing", "x") {
		t.Errorf("strangers are told %d %s and %d %s", bad.Code, bad.Body, none.Code, none.Body)
	}
	policies := func() api.RotationPolicy {
		t.Helper()
		var l api.Rotations
		o.call(o.as("builder"), "GET", "/v1/rotations", nil, 200, &l)
		if len(l.Policies) != 1 {
			t.Fatalf("%d policies are listed", len(l.Policies))
		}
		return l.Policies[0]
	}
	if p := policies(); p.Secret != "crm" || p.Unbegun != nil {
		t.Errorf("strangers are on the list: %+v", p.Unbegun)
	}
	if w := hook("crm", `{}`, `{}`); w.Code != 204 || w.Body.Len() != 0 { // within the hour: taken, and nothing is begun
		t.Errorf("the key's own message: %d %s", w.Code, w.Body)
	}
	if p := policies(); p.Unbegun == nil || !strings.Contains(p.Unbegun.Why, "by hand, and is done") {
		t.Errorf("nothing says why it begins none: %+v", p.Unbegun)
	}
	o.plus.Add(int64(2 * time.Hour))
	if w := hook("crm", `{}`, `{}`); w.Code != 204 {
		t.Errorf("the key's own message: %d %s", w.Code, w.Body)
	}
	done(3)
	var f api.Findings
	o.call(o.as("builder"), "GET", "/v1/doctor/secrets", nil, 200, &f)
	if strings.Contains(fmt.Sprint(f)+o.log.String(), "cnry-rotated") {
		t.Error("a value is shown")
	}
	o.call(o.as("admin"), "POST", path+"-policy/remove", o.proof("admin", nil), 204, nil)
}
