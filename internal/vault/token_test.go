package vault_test

import (
	"cmp"
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
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// office is an authorization server and an MCP server behind it, at one origin.
type office struct {
	scope string // of a token, as JSON
	*httptest.Server
	mu       sync.Mutex
	issuer   string // as its metadata names itself
	endpoint string
	prm      string // the resource's metadata; "" is none
	status   int    // of the token endpoint; 0 is 200
	tokens   int    // that were given out
	asked    url.Values
	refuse   string // a token that the system does not accept
}

func newOffice(t *testing.T) *office {
	o := &office{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		defer o.mu.Unlock()
		switch r.URL.Path {
		case "/.well-known/oauth-protected-resource/mcp":
			if o.prm == "" {
				w.WriteHeader(404)
				return
			}
			_, _ = io.WriteString(w, o.prm)
		case "/.well-known/oauth-authorization-server":
			_ = json.NewEncoder(w).Encode(map[string]any{"issuer": o.issuer, "token_endpoint": o.endpoint})
		case "/token":
			id, secret, _ := r.BasicAuth()
			_ = r.ParseForm()
			if o.asked = r.PostForm; o.status != 0 || id != "client-1" || secret != canary1 {
				w.WriteHeader(cmp.Or(o.status, 401))
				_, _ = io.WriteString(w, `{"error":"`+canary1+`"}`)
				return
			}
			o.tokens++
			_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600,"refresh_token":%q,"scope":%s}`, o.token(o.tokens), canary3+"-refresh", cmp.Or(o.scope, "null"))
		case "/mcp":
			if h := r.Header.Get("Authorization"); h == "Bearer "+o.refuse || !strings.HasPrefix(h, "Bearer at-") {
				w.WriteHeader(401)
				return
			}
			_, _ = io.WriteString(w, "you sent "+r.Header.Get("Authorization"))
		default:
			w.WriteHeader(404)
		}
	}))
	t.Cleanup(o.Close)
	o.issuer, o.endpoint = o.URL, o.URL+"/token"
	return o
}

func (o *office) token(n int) string { return fmt.Sprintf("at-%s-%d", canary2, n) }

func (o *office) set(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

func (o *office) spec(t testing.TB) vault.DoorSpec {
	u, err := url.Parse(o.URL)
	if err != nil {
		t.Fatal(err)
	}
	return vault.DoorSpec{Tenant: acme, Secret: "tickets", Auth: resource.Auth{Scheme: resource.SchemeOAuthClient, Secret: "tickets", Issuer: o.URL, Scope: "tickets:write"},
		Origin: resource.Origin{Scheme: "http", Host: u.Host}, Method: "POST", Base: http.DefaultTransport, Resource: o.URL + "/mcp", Integration: "tickets"}
}

func (f *fixture) client(o *office) {
	f.t.Helper()
	w := f.write(acme, "tickets", "")
	w.Fields = map[string][]byte{"client_id": []byte("client-1"), "client_secret": []byte(canary1)}
	if _, err := f.Set(f.t.Context(), w); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) through(o *office) (string, error) {
	f.t.Helper()
	door, err := f.Open(f.t.Context(), o.spec(f.t))
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(f.t.Context(), "POST", o.URL+"/mcp", strings.NewReader(`{}`))
	if err != nil {
		f.t.Fatal(err)
	}
	resp, err := door.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return fmt.Sprint(resp.StatusCode, " ", string(b)), err
}

func TestATokenIsGotOnceAndIsAKnownSecret(t *testing.T) {
	o, f := newOffice(t), start(t)
	f.client(o)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got, err := f.through(o); err != nil || strings.Contains(got, "at-") || !strings.HasPrefix(got, "200 you sent ") {
				t.Errorf("%q %v", got, err)
			}
		})
	}
	wg.Wait()
	if o.tokens != 1 || o.asked.Get("resource") != o.URL+"/mcp" || o.asked.Get("scope") != "tickets:write" || o.asked.Get("client_secret") != "" {
		t.Errorf("%d tokens, asked with %v", o.tokens, o.asked)
	}
	for _, secret := range []string{o.token(1), canary3 + "-refresh"} {
		if len(f.Scrub(acme).Contains([]byte("x "+secret))) == 0 {
			t.Errorf("%s is not scrubbed", secret)
		}
	}
	// What changes the known secrets for another reason forgets none.
	f.set(acme, "other", "cnry-55d90Rt2QsB8h-other")
	if err := f.Remove(t.Context(), acme, "other", admin(acme)); err != nil {
		t.Fatal(err)
	}
	if len(f.Scrub(acme).Contains([]byte(o.token(1)))) == 0 {
		t.Error("a change of another Secret forgot the token")
	}
	if strings.Contains(f.log.String(), "at-") {
		t.Error("the token is in the log")
	}
}

func TestATokenThatIsOldOrRefusedIsGotAnew(t *testing.T) {
	o, f := newOffice(t), start(t)
	f.client(o)
	_, _ = f.through(o)
	f.now = f.now.Add(50 * time.Minute) // of the hour that it is good for
	if _, err := f.through(o); err != nil || o.tokens != 2 {
		t.Fatalf("%d tokens, %v", o.tokens, err)
	}
	o.set(func() { o.refuse = o.token(2) })
	if got, _ := f.through(o); !strings.HasPrefix(got, "401") {
		t.Fatalf("%q", got)
	}
	if got, err := f.through(o); err != nil || !strings.HasPrefix(got, "200") || o.tokens != 3 {
		t.Errorf("%q %v, %d tokens", got, err, o.tokens)
	}
}

// A system that takes no token at all must not make us ask for one with each call.
func TestASystemThatTakesNoTokenIsNotAReasonToAskForMore(t *testing.T) {
	o, f := newOffice(t), start(t)
	f.client(o)
	for n := range 10 {
		o.set(func() { o.refuse = o.token(min(n+1, 2)) })
		if got, _ := f.through(o); !strings.HasPrefix(got, "401") {
			t.Errorf("the call %d: %q", n, got)
		}
	}
	if o.tokens != 2 {
		t.Errorf("%d tokens were asked for", o.tokens)
	}
	f.now = f.now.Add(2 * time.Minute)
	if got, err := f.through(o); err != nil || !strings.HasPrefix(got, "200") || o.tokens != 3 {
		t.Errorf("%q %v, %d tokens", got, err, o.tokens)
	}
}

// A system answers 401 to what one Worker may not do: that takes the token from no other.
func TestTwoRefusalsOfOneWorkersCallsTakeTheTokenFromNobody(t *testing.T) {
	o, f := newOffice(t), start(t)
	f.client(o)
	for n := range 2 {
		o.set(func() { o.refuse = o.token(n + 1) })
		if got, _ := f.through(o); !strings.HasPrefix(got, "401") {
			t.Fatalf("%q", got)
		}
	}
	o.set(func() { o.refuse = "" })
	if got, err := f.through(o); err != nil || !strings.HasPrefix(got, "200") || o.tokens != 2 {
		t.Errorf("another's call: %q %v, %d tokens", got, err, o.tokens)
	}
}

func TestTheClientsSecretGoesToTheIssuerAlone(t *testing.T) {
	stolen := false
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen = true }))
	t.Cleanup(thief.Close)
	for name, c := range map[string]struct {
		spoil func(*office)
		kind  fault.Kind
	}{
		"an endpoint elsewhere": {func(o *office) { o.endpoint = thief.URL + "/token" }, fault.Invalid},
		"another issuer":        {func(o *office) { o.issuer = "https://other.example" }, fault.Invalid},
		"metadata of another server": {func(o *office) {
			o.prm = `{"resource":"https://other.example","authorization_servers":["` + o.URL + `"]}`
		}, fault.Denied},
		"a resource of other issuers": {func(o *office) {
			o.prm = `{"resource":"` + o.URL + `/mcp","authorization_servers":["` + thief.URL + `"]}`
		}, fault.Denied},
		"a redirect": {func(o *office) { o.status = 307 }, fault.Unavailable},
		"a refusal":  {func(o *office) { o.status = 403 }, fault.Denied},
		"a failure":  {func(o *office) { o.status = 500 }, fault.Unavailable},
	} {
		o, f := newOffice(t), start(t)
		f.client(o)
		c.spoil(o)
		if _, err := f.through(o); !fault.Is(err, c.kind) || strings.Contains(err.Error(), canary1) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if stolen {
		t.Error("somebody else was asked")
	}
	o, f := newOffice(t), start(t)
	f.client(o)
	o.prm = `{"resource":"` + o.URL + `/mcp","authorization_servers":["` + o.URL + `"]}`
	if _, err := f.through(o); err != nil {
		t.Errorf("metadata as it has to be: %v", err)
	}
}

func TestADoorWithoutACredentialScrubs(t *testing.T) {
	o, f := newOffice(t), start(t)
	f.set(acme, "other", canary3)
	s := o.spec(t)
	s.Auth, s.Secret = resource.Auth{Scheme: resource.SchemeNone}, ""
	door, err := f.Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	r, _ := http.NewRequestWithContext(t.Context(), "POST", o.URL+"/mcp", strings.NewReader(canary3))
	if _, err := door.RoundTrip(r); !fault.Is(err, fault.Denied) {
		t.Errorf("a known secret left: %v", err)
	}
	if s.Secret = "other"; f.opensSpec(s) == nil {
		t.Error("a door without a credential opened with one")
	}
}

func (f *fixture) opensSpec(s vault.DoorSpec) error {
	_, err := f.Open(f.t.Context(), s)
	return err
}
