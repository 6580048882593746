//go:build browser

package console_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/app"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/ident"
)

// await evaluates an expression to what its promise gives, or to why it failed.
func (d *devtools) await(expression string) string {
	d.t.Helper()
	r, _ := d.call("Runtime.evaluate", map[string]any{"awaitPromise": true,
		"expression": "(async () => { try { return String(await (" + expression + ")); } catch (e) { return String(e); } })()"})["result"].(map[string]any)
	return fmt.Sprint(r["value"])
}

// desk is a browser with an authenticator of its own, at the server's real address.
type desk struct {
	*office
	d             *devtools
	url           string
	authenticator any
}

func (o *office) atDesk() *desk {
	o.t.Helper()
	_, port, err := net.SplitHostPort(o.app.Addr())
	o.must(err)
	k := &desk{office: o, d: chromium(o.t), url: "http://localhost:" + port}
	k.d.call("WebAuthn.enable", map[string]any{})
	k.authenticator = k.d.call("WebAuthn.addVirtualAuthenticator", map[string]any{"options": map[string]any{"protocol": "ctap2", "transport": "internal",
		"hasResidentKey": true, "hasUserVerification": true, "isUserVerified": true, "automaticPresenceSimulation": true}})["authenticatorId"]
	return k
}

// sit is who sits there from now on.
func (k *desk) sit(p *person) {
	k.t.Helper()
	k.d.call("Network.setCookie", map[string]any{"name": "sallyport", "value": p.cookie, "url": k.url})
}

func (k *desk) open(path string) { k.d.call("Page.navigate", map[string]any{"url": k.url + path}) }

func (k *desk) fill(values map[string]string) {
	for id, text := range values {
		k.d.text(fmt.Sprintf(`document.getElementById(%q).value = %q`, id, text))
	}
}

// signed has the page's authenticator sign what a path asks for, and gives the form.
const signed = `(async (path, fields, verification) => {
	const b = (s) => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
	const t = (x) => btoa(Array.from(new Uint8Array(x), (c) => String.fromCharCode(c)).join(""));
	const c = typeof path === "string" ? await (await fetch(path, { method: "POST", body: new URLSearchParams(fields) })).json() : path;
	if (c.detail) throw new Error(c.detail);
	const got = await navigator.credentials.get({ publicKey: { challenge: b(c.challenge), rpId: c.party, userVerification: verification,
		allowCredentials: c.credentials.map((id) => ({ type: "public-key", id: b(id) })) } });
	return new URLSearchParams({ ...fields, challenge: c.id, credential: t(got.rawId), authenticator: t(got.response.authenticatorData),
		client: t(got.response.clientDataJSON), signature: t(got.response.signature) }).toString();
})`

// sign is a form for a verdict, signed in the browser.
func (k *desk) sign(it decision.Item, v, verification string) url.Values {
	k.t.Helper()
	fields, err := json.Marshal(map[string]string{"verdict": v, "digest": string(it.Decision.Digest), "reason": ""})
	k.must(err)
	got := k.d.await(fmt.Sprintf(`%s("/decisions/%s/challenge", %s, %q)`, signed, it.Decision.ID, fields, verification))
	form, err := url.ParseQuery(got)
	if err != nil || form.Get("signature") == "" {
		k.t.Fatalf("the browser signed nothing: %s", got)
	}
	return form
}

func TestAPersonDecidesWithAPasskey(t *testing.T) {
	o := open(t)
	ada, sam, ann, bob := o.hire("ada", ident.Admin), o.hire("sam", ident.Requester), o.hire("ann", ident.Approver), o.hire("bob", ident.Approver)
	o.furnish("ann", "bob")
	o.pass(time.Hour)
	link, _, err := o.app.Directory.OfferPasskey(t.Context(), ada.acc.Principal(), ann.acc.ID, password, ada.code(), o.now())
	o.must(err)
	first, second := o.park(sam, `{"name":"A"}`, "because"), o.park(sam, `{"name":"B"}`, "because")
	k := o.atDesk()
	k.sit(ann.enter())
	bob.enter()

	k.open("/passkeys#" + link)
	k.d.until(`document.getElementById("link")?.value`, link)
	k.d.until(`location.hash + "."`, ".")
	k.fill(map[string]string{"passkey-name": "laptop", "password": password, "code": ann.code()})
	k.d.text(`document.querySelector("#enrol button").click()`)
	k.d.until("location.search + document.body.innerText", "done=enrolled")
	k.d.until("document.body.innerText", "laptop")

	// At the same server under another name the page says where to go.
	k.d.call("Network.setCookie", map[string]any{"name": "sallyport", "value": ann.cookie, "url": "http://" + o.app.Addr()})
	k.d.call("Page.navigate", map[string]any{"url": "http://" + o.app.Addr() + "/decisions/" + first.Decision.ID})
	k.d.until(`document.querySelector(".verdict-form [data-passkey]")?.hidden`, "false")
	k.d.text(`document.getElementById("approve").click()`)
	k.d.text(`document.querySelector(".verdict-form [data-passkey]").click()`)
	k.d.until(`document.querySelector(".verdict-form [role=status]").textContent`, "work at "+k.url)

	k.open("/decisions/" + first.Decision.ID)
	k.d.until(`location.origin + " " + document.querySelector(".verdict-form [data-passkey]")?.hidden`, k.url+" false")
	k.d.text(`document.querySelector(".verdict-form [data-passkey]").click()`)
	k.d.until(`document.querySelector(".verdict-form [role=status]").textContent`, "Choose approve or reject")
	k.d.text(`document.getElementById("approve").click()`)
	k.d.text(`document.querySelector(".verdict-form [data-passkey]").click()`)
	k.d.until("location.search + document.body.innerText", "done=decided")
	k.d.until("document.body.innerText", "with passkey")
	o.until(first.Decision.Run, explain.ToolCall)
	if n := o.created.Load(); n != 1 {
		t.Fatalf("%d vendors were made", n)
	}

	k.open("/decisions/" + second.Decision.ID)
	k.d.until(`document.querySelector(".verdict-form [data-passkey]")?.hidden`, "false")
	k.d.text(`document.getElementById("reject").click()`)
	k.d.text(`document.querySelector(".verdict-form [data-passkey]").click()`)
	k.d.until("document.body.innerText", "rejected")

	k.refusals(sam, ann, bob)
	// Whoever has the log alone finds every signature good.
	rep, err := app.VerifyAudit(t.Context(), o.dir, audit.VerifyOptions{})
	o.must(err)
	if !rep.OK() {
		t.Errorf("the log has findings: %v", rep.Findings())
	}
}

// refusals has the browser sign for real, and the server refuse it.
func (k *desk) refusals(sam, ann, bob *person) {
	k.t.Helper()
	made := k.created.Load()
	one, other := k.park(sam, `{"name":"C"}`, "because"), k.park(sam, `{"name":"D"}`, "because")
	path := func(it decision.Item) string { return "/decisions/" + it.Decision.ID }
	k.pass(time.Hour)
	ann.enter()
	bob.enter()
	k.sit(ann)
	k.open(path(one))
	k.d.until("document.readyState", "complete")

	sign := func() url.Values { return k.sign(one, "approve", "required") }
	for what, c := range map[string]struct {
		who  *person
		to   decision.Item
		form func() url.Values
		says string
	}{
		"for another Decision":     {ann, other, func() url.Values { f := sign(); f.Set("digest", string(other.Decision.Digest)); return f }, "made for something or somebody else"},
		"for the other verdict":    {ann, one, func() url.Values { f := k.sign(one, "reject", "required"); f.Set("verdict", "approve"); return f }, "made for something or somebody else"},
		"by somebody else":         {bob, one, sign, "made for something or somebody else"},
		"with a changed signature": {ann, one, func() url.Values { f := sign(); f.Set("signature", sign().Get("signature")); return f }, "not that of the enrolled key"},
		"with another challenge":   {ann, one, func() url.Values { f := sign(); f.Set("challenge", sign().Get("challenge")); return f }, "answers another challenge"},
		"with no passkey":          {ann, one, func() url.Values { f := sign(); f.Set("credential", "AAAA"); return f }, "is not one of this account's"},
	} {
		k.pass(time.Minute) // attempts are slowed down
		a := c.who.post(path(c.to), c.form())
		if a.status != http.StatusForbidden || !strings.Contains(a.words(), c.says) {
			k.t.Errorf("%s: %d %s", what, a.status, a.words())
		}
	}
	k.pass(time.Hour)
	ann.post(path(one), k.elsewhere(ann, one)).want(403, "another origin")
	k.pass(time.Hour)
	k.open(path(one))
	k.d.until("document.readyState", "complete")
	k.d.call("WebAuthn.setUserVerified", map[string]any{"authenticatorId": k.authenticator, "isUserVerified": false})
	ann.post(path(one), k.sign(one, "approve", "discouraged")).want(403, "did not verify")
	k.d.call("WebAuthn.setUserVerified", map[string]any{"authenticatorId": k.authenticator, "isUserVerified": true})

	// A copy of the key counts from where it was copied.
	k.pass(time.Hour)
	list, _ := k.d.call("WebAuthn.getCredentials", map[string]any{"authenticatorId": k.authenticator})["credentials"].([]any)
	if len(list) != 1 {
		k.t.Fatalf("the authenticator has %d passkeys", len(list))
	}
	copied, _ := list[0].(map[string]any)
	count := copied["signCount"]
	copied["signCount"] = 0
	again := func() {
		k.d.call("WebAuthn.removeCredential", map[string]any{"authenticatorId": k.authenticator, "credentialId": copied["credentialId"]})
		k.d.call("WebAuthn.addCredential", map[string]any{"authenticatorId": k.authenticator, "credential": copied})
	}
	again()
	ann.post(path(one), k.sign(one, "approve", "required")).want(403, "went back")
	copied["signCount"] = count
	again()
	if k.created.Load() != made {
		k.t.Fatal("something was sent")
	}

	k.pass(time.Hour)
	good := k.sign(one, "approve", "required")
	ann.post(path(one), good).want(303)
	ann.post(path(one), good).want(409)
	good.Set("digest", string(other.Decision.Digest))
	ann.post(path(other), good).want(403, "was used")
	k.until(one.Decision.Run, explain.ToolCall)
	if n := k.created.Load(); n != made+1 {
		k.t.Errorf("%d vendors were made", n-made)
	}
}

// elsewhere has another server on this host ask for the signature.
func (k *desk) elsewhere(p *person, it decision.Item) url.Values {
	k.t.Helper()
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<title>evil</title>")
	}))
	defer evil.Close()
	c, err := k.app.Directory.Challenge(k.t.Context(), p.acc.Principal(), it.Decision.Act(decision.Approve, p.acc.ID), k.now())
	k.must(err)
	b, err := json.Marshal(c)
	k.must(err)
	k.d.call("Page.navigate", map[string]any{"url": strings.Replace(evil.URL, "127.0.0.1", "localhost", 1)})
	k.d.until("document.title", "evil")
	fields := fmt.Sprintf(`{"verdict":"approve","digest":%q}`, it.Decision.Digest)
	got := k.d.await(fmt.Sprintf(`%s(%s, %s, "required")`, signed, b, fields))
	form, err := url.ParseQuery(got)
	if err != nil || form.Get("signature") == "" {
		k.t.Fatalf("the other page signed nothing: %s", got)
	}
	return form
}
