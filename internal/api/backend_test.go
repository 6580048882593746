package api_test

import (
	"encoding/base64"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/app"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/local"
)

// A message that is signed with the backend's key has its values asked for again; to
// everybody else the answer is the same, whether there is such a backend or not.
func TestABackendsChangeIsToldByASignedMessage(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := "whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdefghijklmnop#%&!"))
	keyFile := put("hook", key+"\n")
	put("crm", "cnry-backend-one-Zq83mPw0")
	o := openWith(t, func(c *app.Config) {
		files, err := local.NewFiles(local.Files{Directory: dir})
		if err != nil {
			t.Fatal(err)
		}
		all := []ident.Tenant{tenant}
		c.Backends, err = backend.NewRegistry(backend.Entry{Name: "mounted", Kind: "files", Tenants: all, Paths: []string{"crm"}, Backend: unwatched{files}, HookFile: keyFile},
			backend.Entry{Name: "quiet", Kind: "files", Tenants: all, Backend: files})
		if err != nil {
			t.Fatal(err)
		}
	}, "admin", "auditor")
	_, err := o.app.Vault.Set(t.Context(), vault.Write{Tenant: tenant, Name: "crm", Actor: system, AnyOrigin: true,
		Pointer: &vault.Pointer{Backend: "mounted", Path: "crm", Fields: map[string]string{"token": ""}, Staleness: resource.Duration(24 * time.Hour)}})
	o.must(err)

	hook := func(name, body, signed string) *httptest.ResponseRecorder {
		w, err := standardwebhooks.NewWebhook(key)
		o.must(err)
		at := o.now()
		s, err := w.Sign("msg_1", at, []byte(signed))
		o.must(err)
		return o.do("", "POST", "/v1/hooks/backend/"+name, body, "Webhook-Id", "msg_1", "Webhook-Timestamp", fmt.Sprint(at.Unix()), "Webhook-Signature", s)
	}
	said := map[string]bool{}
	for _, w := range []*httptest.ResponseRecorder{hook("mounted", `{}`, `{"a":1}`), hook("quiet", `{}`, `{}`), hook("nothing", `{}`, `{}`), hook("mounted", strings.Repeat("x", 1<<20), `{}`)} {
		if w.Code != 403 && w.Code != 400 {
			t.Errorf("it is answered with %d", w.Code)
		}
		if w.Code == 403 {
			said[w.Body.String()] = true
		}
	}
	if len(said) != 1 {
		t.Errorf("strangers are told different things: %v", said)
	}
	if w := hook("mounted", `{"any":"thing"}`, `{"any":"thing"}`); w.Code != 204 {
		t.Fatalf("the key's own message: %d %s", w.Code, w.Body)
	}
	o.must(os.Remove(keyFile))
	if w := hook("mounted", `{}`, `{}`); w.Code != 403 {
		t.Errorf("without a key: %d", w.Code)
	}

	var out api.Backends
	o.call(o.as("auditor"), "GET", "/v1/doctor/backends", nil, 200, &out)
	if len(out.Backends) != 2 || out.Backends[0].Name != "mounted" || out.Backends[0].Pointers != 1 || !out.Backends[0].Hook || out.Backends[0].Watch != "no" || out.Backends[1].Watch != "waits" {
		t.Errorf("they are %+v", out.Backends)
	}
	if strings.Contains(fmt.Sprint(out), "cnry-backend") || strings.Contains(o.log.String(), "cnry-backend") {
		t.Error("a value is shown")
	}
}

// unwatched tells of nothing.
type unwatched struct{ backend.Backend }
