package console_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// arrives is the credential that a system gets of a Secret's active version.
func (o *office) arrives(name string, auth resource.Auth) string {
	o.t.Helper()
	got := ""
	auth.Secret = name
	door, err := o.app.Vault.Open(o.t.Context(), vault.DoorSpec{Tenant: tenant, Secret: name, Auth: auth, Method: "GET",
		Origin: resource.Origin{Scheme: "https", Host: "erp.example:443"},
		Base: roundTrip(func(r *http.Request) (*http.Response, error) {
			got = r.Header.Get("Authorization")
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		})})
	o.must(err)
	r, err := http.NewRequestWithContext(o.t.Context(), http.MethodGet, "https://erp.example/", nil)
	o.must(err)
	resp, err := door.RoundTrip(r)
	o.must(err)
	_ = resp.Body.Close()
	return got
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestASecretIsManagedOnItsPage(t *testing.T) {
	o := open(t)
	ada := o.hire("ada", ident.Admin).enter()
	bo := o.hire("bo", ident.Builder).enter()
	o.furnish()
	store := func(value, how string) {
		ada.post("/secrets", url.Values{"name": {"crm"}, "form": {"token"}, "token": {value}, "how": {how}, "origins": {"https://crm.example"}, "expires": {"2090-01-02"}}).want(303)
	}
	store("cnry-4k8w1x6m2z9q-one", "set")
	store("cnry-7p3v5b0n8r1t-two", "rotate")
	ada.get("/secrets").want(200, "crm", "2090-01-02")
	page := ada.get("/secrets/crm").want(200, "v1 previous", "v2 active", "https://crm.example:443", "2090-01-02", "no Connection", "Roll back to version 1").wantNot("cnry-")
	if strings.Contains(page.body, `/secrets/crm/destroy?version=2`) {
		t.Error("the active version's end is offered")
	}
	ada.get("/secrets/erp").want(200, "Used byerp")
	bo.get("/secrets/crm").want(200, "v2 active").wantNot("/secrets/crm/", "Describe it")
	bo.get("/secrets/crm/disable?version=2").want(403)
	bo.post("/secrets/crm/disable", url.Values{"version": {"2"}}).want(403)
	bo.post("/secrets/crm", url.Values{"description": {"x"}}).want(403)

	ada.get("/secrets/crm/rollback?version=1").want(200, "Version 1 of crm, previous", "Calls use this version again")
	ada.post("/secrets/crm/rollback", url.Values{"version": {"2"}}).want(409, "Nothing was done", "version to roll back to is 1 now")
	ada.post("/secrets/crm/rollback", url.Values{"version": {"1"}}).want(303)
	ada.get("/secrets/crm?done=changed").want(200, "v1 active", "v2 previous", "It is changed")
	ada.get("/secrets/crm/activate?version=2").want(200, "Version 2 of crm, previous")
	ada.post("/secrets/crm/activate", url.Values{"version": {"2"}}).want(303)
	ada.post("/secrets/crm/disable", url.Values{"version": {"1"}}).want(303)
	ada.get("/secrets/crm/destroy?version=1").want(200, "Version 1 of crm, disabled", "Nothing brings it back")
	ada.post("/secrets/crm/destroy", url.Values{"version": {"1"}}).want(400, "Nothing was done")
	ada.post("/secrets/crm/destroy", url.Values{"version": {"2"}, "again": {"crm"}}).want(409, "active one")
	ada.post("/secrets/crm/destroy", url.Values{"version": {"1"}, "again": {"crm"}}).want(303)
	ada.get("/secrets/crm").want(200, "v1 destroyed", "v2 active")

	ada.post("/secrets/crm", url.Values{"description": {"of the CRM"}, "owner": {"crm team"}}).want(303)
	ada.get("/secrets/crm").want(200, "of the CRM", "crm team")
	leak := ada.post("/secrets/crm", url.Values{"description": {"it is cnry-7p3v5b0n8r1t-two"}, "owner": {"crm team"}}).want(400, "Nothing was changed", "hold a known secret")
	if leak.value("owner") != "crm team" {
		t.Error("the form is not as it was filled in")
	}
	ada.get("/secrets/erp/destroy").want(200, "Every version of erp", "These Connections use the Secret: erp")
	ada.post("/secrets/crm/destroy", url.Values{"again": {"crm"}}).want(303)
	ada.get("/secrets?done=destroyed").want(200, "Every version of the Secret is destroyed")
	ada.get("/secrets/crm").want(200, "It was destroyed").wantNot("/secrets/crm/")
	for path, status := range map[string]int{"/secrets/none": 404, "/secrets/erp/steal?version=1": 404, "/secrets/erp/disable": 400, "/secrets/erp/disable?version=9": 404,
		"/secrets/erp/activate?version=-1": 400, "/secrets/none/destroy": 404} {
		ada.get(path).want(status)
	}
	ada.post("/secrets/erp/steal", url.Values{"version": {"1"}}).want(404)
	ada.post("/secrets/none", url.Values{"owner": {"x"}}).want(404)
	ada.post("/secrets", url.Values{"name": {"x"}, "form": {"token"}, "token": {"cnry-4k8w1x6m2z9q"}, "how": {"set"}, "anywhere": {"yes"}, "expires": {"soon"}}).want(400, "Write it like 2027-03-01")
}

func TestTheIntakeKeyIsForAdmins(t *testing.T) {
	o := open(t)
	for role, want := range map[ident.Role]int{ident.Admin: 200, ident.Builder: 403, ident.Auditor: 403} {
		if a := o.hire("a-"+string(role), role).enter().get("/intake-key"); a.status != want {
			t.Errorf("%s gets %d", role, a.status)
		}
	}
	a := o.hire("ada", ident.Admin).enter().get("/secrets").want(200, "The value is sent as it is typed, over a connection that this server does not protect")
	if csp := a.header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'nonce-") || !strings.HasSuffix(csp, "trusted-types 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("the policy is %s", csp)
	}
}

// harness is as much of a browser as the page's script sees. The form is sent by
// printing what would be.
const harness = `
const { origin, cookie, fields, script, secure } = JSON.parse(process.env.PAGE);
const said = { textContent: "" };
const form = { dataset: { intake: "/intake-key" }, elements: { namedItem: (n) => fields[n] }, handlers: {},
  addEventListener: (name, fn) => { form.handlers[name] = fn; },
  submit: () => console.log(JSON.stringify({ said: said.textContent,
    sent: Object.fromEntries(Object.entries(fields).filter(([, f]) => !f.disabled && f.checked !== false).map(([n, f]) => [n, f.checked ? "yes" : f.value])) })) };
globalThis.window = globalThis;
globalThis.isSecureContext = secure;
globalThis.document = { getElementById: (id) => ({ store: form, "how-sent": said })[id] };
globalThis.addEventListener = () => {};
const net = globalThis.fetch;
globalThis.fetch = (path, options) => net(origin + path, { ...options, headers: { ...options.headers, Cookie: cookie } });
(0, eval)(script);
if (form.handlers.submit) {
  form.handlers.submit({ preventDefault: () => {} }).then(() => { if (said.textContent.includes("could not")) console.log(JSON.stringify({ said: said.textContent })); });
} else console.log(JSON.stringify({ said: "no script", sent: null }));
`

// The script's cryptography in a real WebCrypto, with this server at the other end.
func TestTheValueThatThePagesScriptEncryptsIsStored(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	o := open(t)
	ada := o.hire("ada", ident.Admin).enter()
	server := httptest.NewServer(o.handler)
	t.Cleanup(server.Close)
	script, err := os.ReadFile("assets/intake.js")
	o.must(err)
	type field struct {
		Value   string `json:"value"`
		Checked *bool  `json:"checked,omitempty"`
	}
	run := func(cookie string, secure, anywhere bool, values map[string]string) (said string, sent url.Values) {
		fields := map[string]field{"anywhere": {Checked: &anywhere}, "recorded": {Checked: &anywhere}}
		for _, n := range []string{"name", "description", "sealed", "form", "token", "username", "password", "origins", "expires", "how"} {
			fields[n] = field{Value: values[n]}
		}
		page, err := json.Marshal(map[string]any{"origin": server.URL, "cookie": "sallyport=" + cookie, "fields": fields, "script": string(script), "secure": secure})
		o.must(err)
		cmd := exec.CommandContext(t.Context(), node, "-e", harness)
		cmd.Env = append(os.Environ(), "PAGE="+string(page))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		var got struct {
			Said string
			Sent map[string]string
		}
		o.must(json.Unmarshal(out, &got))
		sent = url.Values{}
		for k, v := range got.Sent {
			sent.Set(k, v)
		}
		return got.Said, sent
	}
	long := strings.Repeat("k3v9-Größe-漢字-", 100) // beyond one byte a character, and long
	for name, c := range map[string]struct {
		values   map[string]string
		anywhere bool
		auth     resource.Auth
		want     string
	}{
		"erp": {map[string]string{"name": "erp", "form": "token", "token": "cnry-4k8w1x6m2z9q-one", "username": "left over", "origins": " https://erp.example\thttps://crm.example ", "how": "set"}, false,
			resource.Auth{Scheme: resource.SchemeBearer}, "Bearer cnry-4k8w1x6m2z9q-one"},
		"login": {map[string]string{"name": "login", "form": "login", "username": "bob", "password": "cnry-7p3v5b0n8r1t-two", "expires": "2090-01-02", "how": "set"}, true,
			resource.Auth{Scheme: resource.SchemeBasic}, "Basic " + base64.StdEncoding.EncodeToString([]byte("bob:cnry-7p3v5b0n8r1t-two"))},
		"long": {map[string]string{"name": "long", "form": "token", "token": long, "origins": "https://erp.example", "how": "set"}, false, resource.Auth{Scheme: resource.SchemeBearer}, "Bearer " + long},
	} {
		said, sent := run(ada.cookie, true, c.anywhere, c.values)
		if sent.Get("sealed") == "" || sent.Has("token") || sent.Has("password") || sent.Has("username") || !strings.Contains(said, "encrypts") {
			t.Errorf("%s: the form is sent as %v, and the page says %q", name, sent, said)
		}
		wider := url.Values{}
		for k, v := range sent {
			wider[k] = v
		}
		wider.Set("origins", "https://evil.example")
		ada.post("/secrets", sent).want(303)
		if got := o.arrives(name, c.auth); got != c.want {
			t.Errorf("%s: another credential arrives: %.60q", name, got)
		}
		ada.post("/secrets", sent).want(409, "was sent before")
		_, again := run(ada.cookie, true, c.anywhere, c.values)
		wider.Set("sealed", again.Get("sealed"))
		ada.post("/secrets", wider).want(400, "can't be opened")
		again.Set("token", "cnry-7p3v5b0n8r1t-beside")
		if c.values["form"] == "token" {
			ada.post("/secrets", again).want(400, "not both")
		}
	}
	if said, sent := run("nobody", true, true, map[string]string{"name": "x", "form": "token", "token": "cnry-4k8w1x6m2z9q"}); len(sent) != 0 || !strings.Contains(said, "nothing was sent") {
		t.Errorf("without a key it sends %v and says %q", sent, said)
	}
	if said, _ := run(ada.cookie, false, true, nil); said != "no script" {
		t.Errorf("without a secure context it says %q", said)
	}
}
