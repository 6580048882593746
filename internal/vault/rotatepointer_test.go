package vault_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// What is stored of a pointer is no value: neither it nor what it leads to is sent
// to a system that rotates, in any part.
func TestARotationWithAPointerSendsNothing(t *testing.T) {
	for name, part := range map[string]struct{ pointer, secret, admin string }{
		"the rotated one": {"crm-token", "crm-token", "crm-admin"},
		"the order's":     {"crm-admin", "crm-token", "crm-admin"},
		"its own order":   {"crm-token", "crm-token", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newIssuer(t)
			f, _ := withShelf(t)
			scope := &vault.Scope{Origins: []string{s.URL}}
			for secret, token := range map[string]string{"crm-admin": adminToken, "crm-token": s.keys["k-1"]} {
				w := vault.Write{Tenant: acme, Name: secret, Fields: map[string][]byte{"token": []byte(token)}, Scope: scope, Actor: admin(acme)}
				if secret == part.pointer {
					w.Fields, w.Pointer = nil, to("corp", "team/crm", 0)
				}
				if _, err := f.Set(t.Context(), w); err != nil {
					t.Fatal(err)
				}
			}
			_, j := webJob(t, s)
			j.Rotator.Admin = part.admin
			_, err := f.MakeVersion(t.Context(), j)
			if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "is in the backend corp") {
				t.Errorf("making: %v", err)
			}
			if err := f.TryVersion(t.Context(), j, 1); !fault.Is(err, fault.Denied) {
				t.Errorf("trying: %v", err)
			}
			if len(s.asked) != 0 {
				t.Errorf("the system was asked %q", s.asked)
			}
			head, err := f.Show(t.Context(), acme, part.pointer)
			if err != nil || len(head.Versions) != 1 || !fault.Is(head.InStore(), fault.Conflict) {
				t.Errorf("%d versions, %v, %v", len(head.Versions), head.InStore(), err)
			}
		})
	}
}

// Who can read what is stored of a pointer could sign with it otherwise.
func TestAHooksKeyIsNoPointer(t *testing.T) {
	f, _ := withShelf(t)
	p := to("corp", "team/crm", 0)
	f.mustPoint("hook-key", p)
	at := fmt.Sprint(f.now.Unix())
	key := "whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdefghijklmnop#%&!"))
	h := http.Header{"Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {at}, "Webhook-Signature": {signed(t, key, "msg_1", at, "{}")}}
	if err := f.CheckHook(acme, "hook-key", h, []byte("{}")); !fault.Is(err, fault.Denied) {
		t.Errorf("it is taken: %v", err)
	}
}

// An OAuth client's secret is rotated under the names that oauth-client has for it.
func TestAnOAuthClientsSecretIsReplacedAndTried(t *testing.T) {
	now := "cs-1-Zq83mPw0vXr5"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/replace" {
			now = "cs-2-Zq83mPw0vXr5"
			fmt.Fprintf(w, `{"client_id":"client-7","client_secret":%q}`, now)
			return
		}
		if r.Header.Get("Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("client-7:"+now)) {
			http.Error(w, "no", http.StatusUnauthorized)
		}
	}))
	t.Cleanup(s.Close)
	f := start(t)
	w := vault.Write{Tenant: acme, Name: "crm-client", Scope: &vault.Scope{Origins: []string{s.URL}}, Actor: admin(acme),
		Fields: map[string][]byte{"client_id": []byte("client-7"), "client_secret": []byte(now)}}
	if _, err := f.Set(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	basic := resource.Auth{Scheme: resource.SchemeBasic}
	j := vault.RotationJob{Tenant: acme, Secret: "crm-client", ID: "rot_1", Was: 1, Actor: admin(acme), Ways: vault.Ways{Base: &http.Transport{}},
		Rotator: resource.Rotator{Kind: resource.RotatorHTTP, HTTP: &resource.HTTPRotator{BaseURL: s.URL, Network: resource.Network{AllowLoopbackHTTP: true},
			Auth: basic, TryAuth: basic, Create: resource.HTTPStep{Method: "POST", Path: "/replace"}, Try: resource.HTTPStep{Method: "POST", Path: "/token"},
			Fields: map[string]string{"client_secret": "/client_secret"}, Ends: true}}}
	n, err := f.MakeVersion(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.TryVersion(t.Context(), j, n); err != nil {
		t.Errorf("the new one: %v", err)
	}
	if err := f.TryVersion(t.Context(), j, 1); !fault.Is(err, fault.Denied) {
		t.Errorf("the old one: %v", err)
	}
	if len(f.Scrub(acme).Contains([]byte(now))) == 0 {
		t.Error("the new one is not taken out of answers")
	}
}
