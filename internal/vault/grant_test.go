package vault_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

const redirect = "https://sallyport.example/oauth/callback"

// bureau is an authorization server for people, and the MCP server behind it.
type bureau struct {
	*httptest.Server
	mu       sync.Mutex
	meta     map[string]any
	status   int    // of the token endpoint; 0 is what it would say
	body     string // of the token endpoint; "" is what it would say
	rotates  bool
	life     int
	n        int // tokens given out
	used     map[string]bool
	last     url.Values
	accept   string // the one access token that the system takes; "" is each
	consents map[string]url.Values
}

func newBureau(t *testing.T) *bureau {
	b := &bureau{rotates: true, life: 3600, used: map[string]bool{}, consents: map[string]url.Values{}}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch r.URL.Path {
		case "/.well-known/oauth-authorization-server":
			_ = json.NewEncoder(w).Encode(b.meta)
		case "/token":
			b.token(w, r)
		case "/mcp":
			if h := r.Header.Get("Authorization"); b.accept != "" && h != "Bearer "+b.accept || !strings.HasPrefix(h, "Bearer at-") {
				w.WriteHeader(401)
				return
			}
			_, _ = io.WriteString(w, "you sent "+r.Header.Get("Authorization"))
		default:
			w.WriteHeader(404)
		}
	}))
	t.Cleanup(b.Close)
	b.meta = map[string]any{"issuer": b.URL, "authorization_endpoint": b.URL + "/authorize?tenant=1", "token_endpoint": b.URL + "/token",
		"code_challenge_methods_supported": []string{"S256"}, "token_endpoint_auth_methods_supported": []string{"none"}}
	return b
}

func (b *bureau) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	b.last = r.PostForm
	if b.status != 0 || b.body != "" {
		w.WriteHeader(max(b.status, 200))
		_, _ = io.WriteString(w, b.body)
		return
	}
	ok := false
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		code := r.PostForm.Get("code")
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		c := b.consents[code]
		ok = c != nil && c.Get("code_challenge") == base64.RawURLEncoding.EncodeToString(sum[:]) && c.Get("redirect_uri") == r.PostForm.Get("redirect_uri")
		delete(b.consents, code)
	case "refresh_token":
		old := r.PostForm.Get("refresh_token")
		ok = !b.used[old] && old == b.refresh(b.n)
		b.used[old] = b.rotates
	}
	if !ok {
		w.WriteHeader(400)
		_, _ = io.WriteString(w, `{"error":"invalid_grant","error_description":"`+r.PostForm.Encode()+`"}`)
		return
	}
	if b.n == 0 || b.rotates {
		b.n++
	}
	_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":%d,"refresh_token":%q}`, b.access(b.n), b.life, b.refresh(b.n))
}

func (b *bureau) access(n int) string  { return fmt.Sprintf("at-%s-%d", canary2, n) }
func (b *bureau) refresh(n int) string { return fmt.Sprintf("rt-%s-%d", canary3, n) }

func (b *bureau) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// consent is what a person's browser does: it gives the code that the issuer sends.
func (b *bureau) consent(t *testing.T, at string) vault.GrantAnswer {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	q, code := u.Query(), "code-"+ident.New("x")
	if u.Path != "/authorize" || q.Get("tenant") != "1" || q.Get("code_challenge_method") != "S256" || q.Get("response_type") != "code" || q.Get("resource") != b.URL+"/mcp" ||
		q.Get("client_id") != "client-1" || q.Get("redirect_uri") != redirect || q.Get("scope") != "tickets:write" || len(q.Get("state")) < 40 {
		t.Fatalf("the person is sent to %s", at)
	}
	b.set(func() { b.consents[code] = q })
	return vault.GrantAnswer{State: q.Get("state"), Code: code}
}

func (b *bureau) spec(t testing.TB) vault.DoorSpec {
	u, err := url.Parse(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	return vault.DoorSpec{Tenant: acme, Secret: "tickets", Auth: resource.Auth{Scheme: resource.SchemeOAuthUser, Secret: "tickets", Issuer: b.URL, Scope: "tickets:write"},
		Origin: resource.Origin{Scheme: "http", Host: u.Host}, Method: "POST", Base: http.DefaultTransport, Resource: b.URL + "/mcp", Integration: "tickets", Connection: "desk"}
}

func (f *fixture) userClient() {
	f.t.Helper()
	w := f.write(acme, "tickets", "")
	w.Fields = map[string][]byte{"client_id": []byte("client-1")}
	if _, err := f.Set(f.t.Context(), w); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) begin(b *bureau, session string) vault.Grant {
	f.t.Helper()
	g, err := f.BeginGrant(f.t.Context(), vault.GrantSpec{Door: b.spec(f.t), Redirect: redirect, Session: session, Actor: admin(acme)})
	if err != nil {
		f.t.Fatal(err)
	}
	return g
}

func (f *fixture) finish(b *bureau, a vault.GrantAnswer) (vault.Grant, error) {
	return f.FinishGrant(f.t.Context(), admin(acme), "s1", a, func(string) (vault.DoorSpec, error) { return b.spec(f.t), nil })
}

// authorised is a vault with tokens of a person.
func authorised(t *testing.T) (*bureau, *fixture) {
	t.Helper()
	b, f := newBureau(t), start(t)
	f.userClient()
	g, err := f.finish(b, b.consent(t, f.begin(b, "s1").URL))
	if err != nil || g.State != vault.GrantDone || g.Version != 2 {
		t.Fatalf("%+v %v", g, err)
	}
	return b, f
}

func (f *fixture) calls(b *bureau) (string, error) {
	f.t.Helper()
	door, err := f.Open(f.t.Context(), b.spec(f.t))
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(f.t.Context(), "POST", b.URL+"/mcp", strings.NewReader(`{}`))
	if err != nil {
		f.t.Fatal(err)
	}
	resp, err := door.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return fmt.Sprint(resp.StatusCode, " ", string(body)), err
}

// wantCall fails unless a call gets through, with nothing secret in the answer.
func (f *fixture) wantCall(b *bureau) {
	f.t.Helper()
	if got, err := f.calls(b); err != nil || !strings.HasPrefix(got, "200 you sent ") || strings.Contains(got, "at-") {
		f.t.Errorf("%q %v", got, err)
	}
}

func (f *fixture) wantScrubbed(values ...string) {
	f.t.Helper()
	for _, v := range values {
		if len(f.Scrub(acme).Contains([]byte("x "+v))) == 0 {
			f.t.Errorf("%s is not scrubbed", v)
		}
	}
}

func TestWhatAPersonAuthorisesOpensDoorsAlsoAfterARestart(t *testing.T) {
	b, f := authorised(t)
	if b.last.Get("resource") != b.URL+"/mcp" || b.last.Get("client_secret") != "" || b.last.Get("client_id") != "client-1" {
		t.Errorf("the code was redeemed with %v", b.last)
	}
	f.wantCall(b)
	f.wantScrubbed(b.access(1), b.refresh(1))
	f.restart()
	f.wantScrubbed(b.access(1), b.refresh(1))
	f.wantCall(b)
	if b.n != 1 {
		t.Errorf("%d tokens, and the first was good", b.n)
	}
	for _, ev := range f.store.events {
		if s := fmt.Sprint(ev); strings.Contains(s, canary2) || strings.Contains(s, canary3) || strings.Contains(s, "code-") {
			t.Errorf("a token is in the entry %s", s)
		}
	}
	if strings.Contains(f.log.String(), canary2) {
		t.Error("a token is in the log")
	}
}

func TestNobodyOpensADoorThatNobodyAuthorised(t *testing.T) {
	b, f := newBureau(t), start(t)
	f.userClient()
	if _, err := f.calls(b); !fault.Is(err, fault.Denied) || !strings.Contains(fault.HintOf(err), "authorize") {
		t.Errorf("%v", err)
	}
}

func TestAnAnswerIsForWhoBeganAndOnce(t *testing.T) {
	b, f := newBureau(t), start(t)
	f.userClient()
	mallory := ident.Principal{Tenant: acme, Kind: ident.Person, ID: "acc_2", Roles: []ident.Role{ident.Admin}}
	same := func(string) (vault.DoorSpec, error) { return b.spec(t), nil }
	try := func(who ident.Principal, session string, a vault.GrantAnswer) error {
		g, err := f.FinishGrant(t.Context(), who, session, a, same)
		said := fmt.Sprint(err, fault.HintOf(err), g.Why)
		if err != nil && (a.Code != "" && strings.Contains(said, a.Code) || a.State != "" && strings.Contains(said, a.State)) {
			t.Errorf("the code or the state is in the error: %v", err)
		}
		return err
	}
	for name, c := range map[string]func() error{
		"a state that nobody gave": func() error {
			a := b.consent(t, f.begin(b, "s1").URL)
			a.State = strings.Repeat("A", len(a.State))
			return try(admin(acme), "s1", a)
		},
		"no state": func() error { return try(admin(acme), "s1", vault.GrantAnswer{Code: "code-x"}) },
		"another account": func() error {
			a := b.consent(t, f.begin(b, "").URL)
			if err := try(mallory, "s1", a); !fault.Is(err, fault.Denied) {
				return err
			}
			return try(admin(acme), "s1", a) // it is burnt
		},
		"another tenant": func() error { return try(admin(globex), "s1", b.consent(t, f.begin(b, "").URL)) },
		"another session": func() error {
			return try(admin(acme), "s2", b.consent(t, f.begin(b, "s1").URL))
		},
		"too late": func() error {
			a := b.consent(t, f.begin(b, "s1").URL)
			f.now = f.now.Add(11 * time.Minute)
			return try(admin(acme), "s1", a)
		},
		"a code of another authorization": func() error { // code injection: PKCE binds it to the one that asked
			first, second := b.consent(t, f.begin(b, "s1").URL), b.consent(t, f.begin(b, "s1").URL)
			second.Code = first.Code
			return try(admin(acme), "s1", second)
		},
		"no code": func() error {
			a := b.consent(t, f.begin(b, "s1").URL)
			a.Code = ""
			return try(admin(acme), "s1", a)
		},
		"a refusal": func() error {
			a := b.consent(t, f.begin(b, "s1").URL)
			a.Error = true
			return try(admin(acme), "s1", a)
		},
		"another issuer": func() error {
			a := b.consent(t, f.begin(b, "s1").URL)
			a.Issuer = b.URL + "/"
			return try(admin(acme), "s1", a)
		},
		"no issuer of a server that always names itself": func() error {
			b.set(func() { b.meta["authorization_response_iss_parameter_supported"] = true })
			defer b.set(func() { delete(b.meta, "authorization_response_iss_parameter_supported") })
			return try(admin(acme), "s1", b.consent(t, f.begin(b, "s1").URL))
		},
	} {
		if err := c(); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b.n != 0 {
		t.Fatalf("%d tokens were given out", b.n)
	}
	a := b.consent(t, f.begin(b, "s1").URL)
	a.Issuer = b.URL
	if _, err := f.finish(b, a); err != nil {
		t.Fatalf("as it has to be: %v", err)
	}
	if err := try(admin(acme), "s1", a); !fault.Is(err, fault.Denied) || b.n != 1 {
		t.Errorf("replayed: %v, %d tokens", err, b.n)
	}
}

func TestAConnectionThatChangedMeanwhileIsBegunAgain(t *testing.T) {
	b, f := newBureau(t), start(t)
	f.userClient()
	for name, spoil := range map[string]func(*vault.DoorSpec){
		"issuer":      func(d *vault.DoorSpec) { d.Auth.Issuer = "https://evil.example" },
		"scope":       func(d *vault.DoorSpec) { d.Auth.Scope = "all" },
		"resource":    func(d *vault.DoorSpec) { d.Resource = "https://evil.example/mcp" },
		"secret":      func(d *vault.DoorSpec) { d.Secret = "other" },
		"integration": func(d *vault.DoorSpec) { d.Integration = "other" },
	} {
		a := b.consent(t, f.begin(b, "s1").URL)
		_, err := f.FinishGrant(t.Context(), admin(acme), "s1", a, func(string) (vault.DoorSpec, error) {
			d := b.spec(t)
			spoil(&d)
			return d, nil
		})
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNobodyIsSentToAServerThatIsNotAsItHasToBe(t *testing.T) {
	for name, spoil := range map[string]func(map[string]any){
		"an authorization endpoint elsewhere": func(m map[string]any) { m["authorization_endpoint"] = "https://evil.example/authorize" },
		"an authorization endpoint of script": func(m map[string]any) { m["authorization_endpoint"] = "javascript:alert(1)" },
		"none":                                func(m map[string]any) { delete(m, "authorization_endpoint") },
		"a token endpoint elsewhere":          func(m map[string]any) { m["token_endpoint"] = "https://evil.example/token" },
		"another issuer":                      func(m map[string]any) { m["issuer"] = "https://evil.example" },
		"no PKCE":                             func(m map[string]any) { delete(m, "code_challenge_methods_supported") },
		"plain PKCE":                          func(m map[string]any) { m["code_challenge_methods_supported"] = []string{"plain"} },
	} {
		b, f := newBureau(t), start(t)
		f.userClient()
		spoil(b.meta)
		if _, err := f.BeginGrant(t.Context(), vault.GrantSpec{Door: b.spec(t), Redirect: redirect, Actor: admin(acme)}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnAnswerOfTheTokenEndpointThatIsNotAsItHasToBeIsNotUsed(t *testing.T) {
	long := strings.Repeat("k3Rt9xQ2", 5000)
	for name, c := range map[string]struct {
		status int
		body   string
	}{
		"a redirect":                    {307, `{}`},
		"a refusal that echoes":         {400, `{"error":"` + canary1 + `"}`},
		"a failure":                     {500, canary1},
		"no JSON":                       {200, canary1},
		"no bearer":                     {200, `{"access_token":"` + canary1 + `","token_type":"mac"}`},
		"a token of two lines":          {200, `{"access_token":"` + canary1 + `\r\nX: y","token_type":"Bearer"}`},
		"a token that is a word":        {200, `{"access_token":"bearer","token_type":"Bearer"}`},
		"a token of 40 kB":              {200, `{"access_token":"` + long + `","token_type":"Bearer"}`},
		"a refresh token of 40 kB":      {200, `{"access_token":"` + canary1 + `","token_type":"Bearer","refresh_token":"` + long + `"}`},
		"a refresh token that is a 'x'": {200, `{"access_token":"` + canary1 + `","token_type":"Bearer","refresh_token":"x"}`},
		"more than is read":             {200, `{"x":"` + long + long + `"}`},
	} {
		b, f := newBureau(t), start(t)
		f.userClient()
		a := b.consent(t, f.begin(b, "s1").URL)
		b.status, b.body = c.status, c.body
		g, err := f.finish(b, a)
		if err == nil || g.State != vault.GrantFailed || strings.Contains(err.Error()+g.Why+f.log.String(), canary1) {
			t.Errorf("%s: %+v %v", name, g, err)
		}
		if s, err := f.Show(t.Context(), acme, "tickets"); err != nil || s.Active != 1 || len(s.Versions) != 1 {
			t.Errorf("%s: something was stored: %+v %v", name, s, err)
		}
	}
}
