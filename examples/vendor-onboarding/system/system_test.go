package system_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/examples/vendor-onboarding/system"
	"sallyport.dev/examples/vendor-onboarding/system/systemtest"
)

const (
	readToken  = "canary-read-7f3Kq9/+zL"
	writeToken = "canary-write-88Jd2"
)

var keys = []system.Credential{
	{Name: "reader", Token: readToken, Scopes: []string{"things:read"}},
	{Name: "writer", Token: writeToken, Scopes: []string{"things:write"}},
}

// things is a system with one reading and one writing operation; made counts
// what was written.
func things(made *atomic.Int64) system.System {
	return system.System{
		Name: "things", OpenAPI: []byte(`{"openapi":"3.0.3"}`), Scheme: system.Bearer(),
		Open: func(string) (*system.Service, error) {
			return &system.Service{Routes: []system.Route{
				{Pattern: "GET /v1/things", Scope: "things:read", Handle: func(w http.ResponseWriter, r *http.Request) {
					if _, ok := system.Query(w, r, "name"); ok {
						system.JSON(w, http.StatusOK, map[string]string{"thing": "one"})
					}
				}},
				{Pattern: "POST /v1/things", Scope: "things:write", Write: true, Handle: func(w http.ResponseWriter, r *http.Request) {
					var in struct {
						Name string `json:"name"`
					}
					if system.Read(w, r, &in) {
						made.Add(1)
						system.JSON(w, http.StatusCreated, in)
					}
				}},
			}}, nil
		},
	}
}

func start(t *testing.T) (*systemtest.Server, *atomic.Int64) {
	made := new(atomic.Int64)
	return systemtest.Start(t, things(made), t.TempDir(), keys...), made
}

func bearer(token string) string { return "Authorization: Bearer " + token }

func TestWithoutAGoodCredentialEverythingIs401(t *testing.T) {
	s, made := start(t)
	for _, h := range [][]string{
		nil, {"Authorization: Bearer"}, {bearer("wrong")}, {bearer("")}, {"Authorization: Basic " + readToken}, {"Authorization: " + readToken},
		{bearer(readToken + "x")}, {bearer(readToken[:len(readToken)-1])}, {bearer(strings.ToUpper(readToken))}, {bearer(readToken), bearer(readToken)}, {"X-Api-Key: " + readToken},
	} {
		for _, path := range []string{"/v1/things", "/nowhere", "/"} {
			a := s.Do("GET", path, "", h...)
			if a.Status != http.StatusUnauthorized || a.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("GET %s with %d headers: %+v", path, len(h), a)
			}
		}
	}
	if st := s.Stats(); st.Unauthorized != 33 || st.Authenticated != 0 || made.Load() != 0 {
		t.Errorf("stats = %+v", st)
	}
}

func TestScopesAreEnforcedBothWays(t *testing.T) {
	s, made := start(t)
	if a := s.Do("GET", "/v1/things", "", bearer(readToken)); a.Status != 200 {
		t.Errorf("reading with the reader: %+v", a)
	}
	if a := s.Do("POST", "/v1/things", `{"name":"x"}`, bearer(readToken)); a.Status != 403 {
		t.Errorf("writing with the reader: %+v", a)
	}
	if a := s.Do("GET", "/v1/things", "", bearer(writeToken)); a.Status != 403 {
		t.Errorf("reading with the writer: %+v", a)
	}
	if a := s.Do("POST", "/v1/things", `{"name":"x"}`, bearer(writeToken)); a.Status != 201 {
		t.Errorf("writing with the writer: %+v", a)
	}
	st := s.Stats()
	if st.Forbidden != 2 || st.Writes != 1 || made.Load() != 1 || st.Credentials["reader"].Requests != 2 {
		t.Errorf("stats = %+v", st)
	}
	sum := sha256.Sum256([]byte(readToken))
	if got := st.Credentials["reader"].SHA256; len(got) != 1 || got[0] != hex.EncodeToString(sum[:]) {
		t.Errorf("reader's hashes = %v", got)
	}
}

func TestBodiesAndQueriesAreStrict(t *testing.T) {
	s, made := start(t)
	for body, want := range map[string]int{
		`{"name":"x","admin":true}`: 400, `{"name":"x","name":"y"}`: 400, `{"name":"x","Name":"y"}`: 400, `{"NAME":"x"}`: 400, `{"name":"x"} {}`: 400, `{"name":1}`: 400, `[]`: 400, `null`: 400, `"x"`: 400, `{`: 400,
		`{"name":"` + strings.Repeat("x", 70<<10) + `"}`: 413,
	} {
		if a := s.Do("POST", "/v1/things", body, bearer(writeToken)); a.Status != want {
			t.Errorf("%.40s: %d, want %d", body, a.Status, want)
		}
	}
	if a := s.Do("POST", "/v1/things", "", bearer(writeToken), "Content-Type: text/plain"); a.Status != http.StatusUnsupportedMediaType {
		t.Errorf("as text: %+v", a)
	}
	for _, q := range []string{"?other=1", "?name=a&name=b", "?name=" + strings.Repeat("x", 201), "?name=%zz"} {
		if a := s.Do("GET", "/v1/things"+q, "", bearer(readToken)); a.Status != 400 {
			t.Errorf("%.40s: %+v", q, a)
		}
	}
	if made.Load() != 0 {
		t.Errorf("%d things were made", made.Load())
	}
}

func TestAnswersCarrySecurityHeadersAndTheDocumentNeedsNoCredential(t *testing.T) {
	s, _ := start(t)
	a := s.Do("GET", "/openapi.json", "")
	if a.Status != 200 || a.Body != `{"openapi":"3.0.3"}` {
		t.Errorf("document: %+v", a)
	}
	for _, a := range []systemtest.Answer{a, s.Do("GET", "/v1/things", "")} {
		if a.Header.Get("X-Content-Type-Options") != "nosniff" || a.Header.Get("Cache-Control") != "no-store" || !strings.Contains(a.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("headers = %v", a.Header)
		}
	}
}

func TestTheControlListenerIsNotInTheAPIAndOnlyForThisMachine(t *testing.T) {
	s, _ := start(t)
	for _, p := range []string{"/stats", "/behaviour", "/release", "/reload"} {
		if a := s.Do("GET", p, "", bearer(readToken)); a.Status != 404 {
			t.Errorf("GET %s on the API: %+v", p, a)
		}
	}
	if a := s.Do("GET", "control:/stats", "", "Host: attacker.example"); a.Status != 403 {
		t.Errorf("by another name: %+v", a)
	}
	if a := s.Do("GET", "control:/stats", "", "Host: localhost:1"); a.Status != 200 {
		t.Errorf("as localhost: %+v", a)
	}
	if a := s.Do("POST", "control:/behaviour", `{"mode":"html"}`, "Origin: https://attacker.example"); a.Status != 403 {
		t.Errorf("from another site: %+v", a)
	}
	for _, b := range []string{`{"mode":"nonsense"}`, `{"mode":"redirect"}`, `{"mode":"fail","status":99}`, `{"mode":"","times":-1}`} {
		if a := s.Do("POST", "control:/behaviour", b); a.Status != 400 {
			t.Errorf("%s: %+v", b, a)
		}
	}
}

func TestEchoRepeatsTheCredentialInEveryEncoding(t *testing.T) {
	s, _ := start(t)
	s.Behave(system.Behaviour{Mode: system.Echo})
	a := s.Do("GET", "/v1/things?name=x", "", bearer(readToken))
	var escaped strings.Builder
	for _, c := range []byte(readToken) {
		escaped.WriteString(`\u00` + hex.EncodeToString([]byte{c}))
	}
	for _, want := range []string{
		readToken, base64.StdEncoding.EncodeToString([]byte(readToken)), base64.RawURLEncoding.EncodeToString([]byte(readToken)),
		url.QueryEscape(readToken), hex.EncodeToString([]byte(readToken)), escaped.String(),
	} {
		if !strings.Contains(a.Body, want) {
			t.Errorf("the body has no %q", want)
		}
	}
	var out struct {
		Echo  []string `json:"echo"`
		Thing string   `json:"thing"`
	}
	if a.JSON(t, &out); out.Thing != "one" || len(out.Echo) == 0 || a.Status != 200 {
		t.Errorf("the real answer is gone: %.200s", a.Body)
	}
	inHeaders := false
	for k, v := range a.Header {
		inHeaders = inHeaders || strings.HasPrefix(k, "X-Echo-") && v[0] == readToken
	}
	if !inHeaders {
		t.Errorf("no header has it: %v", a.Header)
	}
	if a := s.Do("GET", "/v1/things", "", bearer("a-wrong-canary-1")); a.Status != 401 || !strings.Contains(a.Body, "a-wrong-canary-1") {
		t.Errorf("a wrong credential is echoed too: %.200s", a.Body)
	}
	s.Behave(system.Behaviour{Mode: system.EchoError})
	if a := s.Do("GET", "/v1/things", "", bearer(readToken)); a.Status != 500 || !strings.Contains(a.Body, readToken) {
		t.Errorf("as an error: %.200s", a.Body)
	}
}

func TestMisbehaviour(t *testing.T) {
	s, made := start(t)
	get := func(b system.Behaviour) systemtest.Answer {
		s.Behave(b)
		return s.Do("GET", "/v1/things", "", bearer(readToken))
	}
	if a := get(system.Behaviour{Mode: system.FailMode, Status: 503}); a.Status != 503 {
		t.Errorf("fail: %+v", a)
	}
	if a := get(system.Behaviour{Mode: system.HTML}); a.Status != 200 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
		t.Errorf("html: %+v", a)
	}
	if a := get(system.Behaviour{Mode: system.Redirect, Location: "http://127.0.0.1:1/"}); a.Status != 307 || a.Header.Get("Location") != "http://127.0.0.1:1/" {
		t.Errorf("redirect: %+v", a)
	}
	if a := get(system.Behaviour{Mode: system.Huge}); len(a.Body) < 30<<20 {
		t.Errorf("huge: %d bytes", len(a.Body))
	}
	if a := get(system.Behaviour{Mode: system.FailMode, Times: 1}); a.Status != 500 {
		t.Errorf("once: %+v", a)
	}
	if a := s.Do("GET", "/v1/things", "", bearer(readToken)); a.Status != 200 {
		t.Errorf("after once: %+v", a)
	}
	s.Behave(system.Behaviour{Mode: system.FailMode, Method: "POST", Path: "/v1/"})
	if a := s.Do("GET", "/v1/things", "", bearer(readToken)); a.Status != 200 {
		t.Errorf("a behaviour of POST met a GET: %+v", a)
	}
	if a := s.Do("POST", "/v1/things", `{"name":"x"}`, bearer(writeToken)); a.Status != 500 || made.Load() != 0 {
		t.Errorf("fail did something: %+v", a)
	}
	s.Behave(system.Behaviour{Mode: system.Drop})
	if a, err := systemtest.Try("POST", s.URL+"/v1/things", `{"name":"x"}`, bearer(writeToken)); err == nil || made.Load() != 1 {
		t.Errorf("drop: %+v, made %d", a, made.Load())
	}
}

func TestHeldRequestsWaitForTheirRelease(t *testing.T) {
	for _, c := range []struct {
		mode system.Mode
		made int64 // while held
	}{{system.Hang, 0}, {system.SlowCommit, 1}} {
		t.Run(string(c.mode), func(t *testing.T) {
			s, made := start(t)
			s.Behave(system.Behaviour{Mode: c.mode})
			answer := make(chan systemtest.Answer)
			go func() {
				a, err := systemtest.Try("POST", s.URL+"/v1/things", `{"name":"x"}`, bearer(writeToken))
				if err != nil {
					t.Error(err)
				}
				answer <- a
			}()
			s.AwaitHeld("1")
			if made.Load() != c.made {
				t.Errorf("made = %d while held", made.Load())
			}
			s.Release()
			if a := <-answer; a.Status != 201 || made.Load() != 1 {
				t.Errorf("after the release: %+v, made %d", a, made.Load())
			}
			s.AwaitHeld("0")
		})
	}
}

func TestCredentialsAreReplacedWithoutARestart(t *testing.T) {
	made := new(atomic.Int64)
	path := filepath.Join(t.TempDir(), "keys.json")
	systemtest.WriteKeys(t, path, keys...)
	run, err := things(made).Start(context.Background(), system.Options{Data: t.TempDir(), Credentials: path, Control: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = run.Close() }()
	get := func(token string) int {
		a, err := systemtest.Try("GET", "http://"+run.Addr+"/v1/things", "", bearer(token))
		if err != nil {
			t.Fatal(err)
		}
		return a.Status
	}
	reload := func() int {
		a, err := systemtest.Try("POST", "http://"+run.Control+"/reload", "")
		if err != nil {
			t.Fatal(err)
		}
		return a.Status
	}
	const next = "canary-next-000001"
	systemtest.WriteKeys(t, path, system.Credential{Name: "reader", Token: next, Scopes: []string{"things:read"}})
	if got := [3]int{reload(), get(next), get(readToken)}; got != [3]int{200, 200, 401} {
		t.Errorf("reload, new, old = %v", got)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := [2]int{reload(), get(next)}; got != [2]int{409, 200} {
		t.Errorf("with a damaged file: %v", got)
	}
}

// taken is an address that somebody listens on.
func taken(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestASystemWaitsForItsAddressAndTakesNoOther(t *testing.T) {
	good := filepath.Join(t.TempDir(), "keys.json")
	systemtest.WriteKeys(t, good, keys...)
	l, sys := taken(t), things(new(atomic.Int64))
	open := sys.Open
	sys.Open = func(dir string) (*system.Service, error) { // the last thing before it listens
		time.AfterFunc(200*time.Millisecond, func() { _ = l.Close() })
		return open(dir)
	}
	run, err := sys.Start(t.Context(), system.Options{Addr: l.Addr().String(), Data: t.TempDir(), Credentials: good, Wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	if run.Addr != l.Addr().String() {
		t.Errorf("it listens on %s instead of %s", run.Addr, l.Addr())
	}
	still := taken(t).Addr().String()
	_, err = things(new(atomic.Int64)).Start(t.Context(), system.Options{Addr: still, Data: t.TempDir(), Credentials: good, Wait: time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), still) || !strings.Contains(err.Error(), "another program has it") {
		t.Errorf("with an address that stays taken: %v", err)
	}
}

func TestStartIsRefused(t *testing.T) {
	good := filepath.Join(t.TempDir(), "keys.json")
	systemtest.WriteKeys(t, good, keys...)
	file := func(text string, mode os.FileMode) string {
		p := filepath.Join(t.TempDir(), "f.json")
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	const secret = "canary-in-a-bad-file"
	held := t.TempDir()
	systemtest.Start(t, things(new(atomic.Int64)), held, keys...)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for name, o := range map[string]system.Options{
		"readable by others":   {Data: t.TempDir(), Credentials: file(`{"credentials":[{"name":"a","token":"`+secret+`"}]}`, 0o644)},
		"no such file":         {Data: t.TempDir(), Credentials: filepath.Join(t.TempDir(), "none")},
		"unknown field":        {Data: t.TempDir(), Credentials: file(`{"credentials":[{"name":"a","token":"`+secret+`","x":1}]}`, 0o600)},
		"no credential":        {Data: t.TempDir(), Credentials: file(`{"credentials":[]}`, 0o600)},
		"token and login":      {Data: t.TempDir(), Credentials: file(`{"credentials":[{"name":"a","token":"`+secret+`","username":"u","password":"p"}]}`, 0o600)},
		"too short":            {Data: t.TempDir(), Credentials: file(`{"credentials":[{"name":"a","token":"short"}]}`, 0o600)},
		"beyond loopback":      {Data: t.TempDir(), Credentials: good, Addr: "0.0.0.0:0"},
		"by name":              {Data: t.TempDir(), Credentials: good, Addr: "example.com:80"},
		"control beyond":       {Data: t.TempDir(), Credentials: good, Control: "[::]:0"},
		"unknown behaviour":    {Data: t.TempDir(), Credentials: good, Behaviour: "nonsense"},
		"data directory taken": {Data: held, Credentials: good},
	} {
		ctx := context.Background()
		if o.Data == held {
			ctx = ended // do not wait for the five seconds
		}
		run, err := things(new(atomic.Int64)).Start(ctx, o)
		if err == nil {
			_ = run.Close()
			t.Errorf("%s: started", name)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error has the credential", name)
		}
	}
}

func TestBasicAndKeySchemesTakeOneWellFormedCredential(t *testing.T) {
	open := func(string) (*system.Service, error) { return &system.Service{}, nil }
	basic := systemtest.Start(t, system.System{Name: "b", Scheme: system.Basic("b"), Open: open}, t.TempDir(), system.Credential{Name: "l", Username: "worker", Password: "canary-password-1"})
	key := systemtest.Start(t, system.System{Name: "k", Scheme: system.APIKey("X-Api-Key"), Open: open}, t.TempDir(), system.Credential{Name: "k", Token: "canary-key-0000001"})
	login := func(s string) string { return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, c := range []struct {
		s    *systemtest.Server
		h    string
		want int
	}{
		{basic, login("worker:canary-password-1"), 404}, {basic, login("worker:canary-password-2"), 401}, {basic, login("other:canary-password-1"), 401},
		{basic, login("worker"), 401}, {basic, "Authorization: Basic ***", 401}, {basic, bearer("worker:canary-password-1"), 401},
		{key, "X-Api-Key: canary-key-0000001", 404}, {key, "X-Api-Key: canary-key-0000002", 401}, {key, "X-Api-Key: ", 401}, {key, bearer("canary-key-0000001"), 401},
	} {
		if a := c.s.Do("GET", "/x", "", c.h); a.Status != c.want {
			t.Errorf("%s: %d, want %d", c.h, a.Status, c.want)
		}
	}
}
