package api_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

const audience = "https://sallyport.example.com/mcp"

// employ applies the outside Workers night and day, of ann, which the Mission order
// lists, and dusk, which it does not; key signs for their issuer.
func (o *office) employ() (key ed25519.PrivateKey) {
	o.t.Helper()
	o.enlist("ann", ident.Requester)
	public, key, err := ed25519.GenerateKey(rand.Reader)
	o.must(err)
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: "k1", Use: "sig"}}})
	o.must(err)
	w, err := o.app.World(tenant)
	o.must(err)
	m, _ := w.Catalog.Mission("order")
	listing := *m
	listing.Workers = []string{"day", "night"}
	rs := []resource.Resource{&listing}
	for _, name := range []string{"day", "dusk", "night"} {
		rs = append(rs, &resource.Worker{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindWorker, Name: name}, Owner: "ann",
			JWT: &resource.WorkerJWT{Issuer: "https://login.example.com", Subject: "agent-" + name, Audience: audience, JWKS: keys}})
	}
	_, err = o.app.Apply(o.t.Context(), system, rs, false, false)
	o.must(err)
	return key
}

// vouched is a token of the issuer.
func (o *office) vouched(key ed25519.PrivateKey, subject, aud string) string {
	o.t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: key, KeyID: "k1"}}, nil)
	o.must(err)
	b, err := json.Marshal(map[string]any{"iss": "https://login.example.com", "sub": subject, "aud": aud, "exp": o.now().Add(time.Hour).Unix()})
	o.must(err)
	sig, err := s.Sign(b)
	o.must(err)
	token, err := sig.CompactSerialize()
	o.must(err)
	return token
}

// minted is a token of ours.
func (o *office) minted(by, worker string) api.MintedWorkerToken {
	o.t.Helper()
	session := o.as(by)
	var m api.MintedWorkerToken
	o.call(session, "POST", "/v1/workers/"+worker+"/tokens", map[string]any{"password": password(by), "code": o.code(by), "expires": "24h"}, 201, &m)
	return m
}

func TestAWorkerStartsItsOwnRunWithEitherToken(t *testing.T) {
	o := open(t, "requester", "admin")
	key := o.employ()
	simple := o.minted("ann", "night")
	var one, again, other api.Started
	o.call(simple.Token, "POST", "/v1/missions/order/runs", map[string]any{}, 201, &one)
	o.call(o.vouched(key, "agent-night", audience), "POST", "/v1/missions/order/runs", map[string]any{}, 201, &again)
	o.call(o.vouched(key, "agent-day", audience), "POST", "/v1/missions/order/runs", map[string]any{}, 201, &other)
	if one.Run.Starter != "worker:night" || one.Run.ID != again.Run.ID || one.Run.ID == other.Run.ID || other.Run.Starter != "worker:day" {
		t.Fatalf("%s, %s, %s", one.Run.ID, again.Run.ID, other.Run.ID)
	}
	path := "/v1/runs/" + one.Run.ID
	for _, token := range []string{one.Token, again.Token} {
		o.call(token, "GET", path+"/brief", nil, 200, nil)
		o.call(token, "GET", "/v1/runs/"+other.Run.ID+"/brief", nil, 403, nil)
	}
	// One Worker's tokens are nothing at another's Run, and a Worker's own opens no Run.
	o.call(other.Token, "GET", path+"/pending", nil, 403, nil)
	o.call(simple.Token, "GET", path+"/brief", nil, 403, nil)
	o.call(o.vouched(key, "agent-dusk", audience), "POST", "/v1/missions/order/runs", map[string]any{}, 403, nil) // not its Mission
	o.call(simple.Token, "POST", "/v1/missions/nothing/runs", map[string]any{}, 403, nil)
	var pending api.Intents
	o.call(one.Token, "GET", path+"/pending", nil, 200, &pending)
	if len(pending.Intents) != 0 {
		t.Errorf("pending: %+v", pending)
	}
	o.call(one.Token, "POST", path+"/intents/int_none/withdraw", "{}", 404, nil)
	// Revoked: the token, and what it was exchanged for, at once; not what the issuer's was.
	o.call(o.as("admin"), "POST", "/v1/workers/night/tokens/"+simple.Entry.ID+"/revoke", nil, 204, nil)
	o.call(simple.Token, "POST", "/v1/missions/order/runs", map[string]any{}, 401, nil)
	o.call(one.Token, "GET", path+"/brief", nil, 401, nil)
	o.call(again.Token, "GET", path+"/brief", nil, 200, nil)
	o.plus.Add(int64(61 * time.Minute)) // when the issuer's has ended, so has that
	o.call(again.Token, "GET", path+"/brief", nil, 401, nil)
	if strings.Contains(o.log.String(), simple.Token) {
		t.Error("the log has the token")
	}
}

func TestTokensThatOpenNothing(t *testing.T) {
	o := open(t, "requester")
	key := o.employ()
	_, mine, err := ed25519.GenerateKey(rand.Reader)
	o.must(err)
	good := o.vouched(key, "agent-night", audience)
	simple := o.minted("ann", "night").Token
	for name, token := range map[string]string{
		"another audience": o.vouched(key, "agent-night", "https://sallyport.example.com"),
		"another subject":  o.vouched(key, "agent-noon", audience),
		"another key":      o.vouched(mine, "agent-night", audience),
		"a huge one":       good + strings.Repeat("A", 40<<10),
		"half of ours":     simple[:40],
		"ours as a Run's":  identity.RunPrefix + simple[4:],
	} {
		if w := o.do(token, "POST", "/v1/missions/order/runs", "{}"); w.Code != 401 || strings.Contains(w.Body.String(), "agent-") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	for _, token := range []string{good, simple} {
		for _, at := range []string{"?access_token=" + token, "?token=" + token, "?authorization=Bearer%20" + token} {
			if w := o.do("", "POST", "/v1/missions/order/runs"+at, "{}"); w.Code != 401 {
				t.Errorf("in the query: %d", w.Code)
			}
		}
		if w := o.do("", "POST", "/v1/missions/order/runs", "access_token="+token, "Content-Type", "application/x-www-form-urlencoded"); w.Code != 401 {
			t.Errorf("in the body: %d", w.Code)
		}
		if w := o.do(token, "GET", "/v1/me", nil); w.Code != 403 {
			t.Errorf("as a person: %d", w.Code)
		}
	}
}

func TestWhoSeesWorkersAndGivesThemTokens(t *testing.T) {
	o := open(t, "requester", "admin", "builder")
	o.employ()
	for name, n := range map[string]int{"ann": 3, "admin": 3, "builder": 3, "requester": 0} {
		var l api.Workers
		o.call(o.as(name), "GET", "/v1/workers", nil, 200, &l)
		if len(l.Workers) != n {
			t.Errorf("%s sees %d", name, len(l.Workers))
		}
	}
	var w api.Worker
	o.call(o.as("ann"), "GET", "/v1/workers/night", nil, 200, &w)
	if !w.Ready || len(w.Missions) != 1 || w.Missions[0] != "order" {
		t.Errorf("%+v", w)
	}
	o.call(o.as("requester"), "GET", "/v1/workers/night", nil, 404, nil)
	for _, name := range []string{"requester", "builder"} {
		token := o.as(name)
		o.call(token, "POST", "/v1/workers/night/tokens", map[string]any{"password": password(name), "code": o.code(name)}, 403, nil)
		o.call(token, "GET", "/v1/workers/night/tokens", nil, 403, nil)
		o.call(token, "POST", "/v1/workers/night/tokens/wtk_x/revoke", nil, 403, nil)
	}
	m := o.minted("admin", "night")
	list := o.do(o.as("ann"), "GET", "/v1/workers/night/tokens", nil)
	if list.Code != 200 || strings.Contains(list.Body.String(), m.Token[4:24]) || !strings.Contains(list.Body.String(), m.Entry.Fingerprint) {
		t.Errorf("the list: %d %s", list.Code, list.Body)
	}
}

func TestAnApplyRefusesWorkersThatCantBe(t *testing.T) {
	o := open(t)
	o.enlist("ann", ident.Requester)
	w := func(name, owner string, j *resource.WorkerJWT) *resource.Worker {
		return &resource.Worker{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindWorker, Name: name}, Owner: owner, JWT: j}
	}
	jwt := func(claims map[string]string) *resource.WorkerJWT {
		return &resource.WorkerJWT{Issuer: "https://login.example.com", Subject: "x", Claims: claims}
	}
	for name, rs := range map[string][]resource.Resource{
		"nobody owns it":        {w("night", "nobody", nil)},
		"two of the same token": {w("night", "ann", jwt(nil)), w("day", "ann", jwt(map[string]string{"team": "a"}))},
		"a private key": {w("night", "ann", &resource.WorkerJWT{Issuer: "https://login.example.com", Subject: "x",
			JWKS: json.RawMessage(`{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`)})},
	} {
		for _, dry := range []bool{true, false} {
			if _, err := o.app.Apply(t.Context(), system, rs, false, dry); err == nil {
				t.Errorf("%s, dry %v: it was applied", name, dry)
			}
		}
	}
	got, err := o.app.Apply(t.Context(), system, []resource.Resource{w("night", "ann", jwt(map[string]string{"team": "b"})), w("day", "ann", jwt(map[string]string{"team": "a"}))}, false, false)
	o.must(err)
	if !strings.Contains(got[0].Warning, "--public-url") {
		t.Errorf("nothing is said of the audience: %+v", got)
	}
}

// The whole way: a Worker's action waits, its owner can't decide, it is taken back.
func TestAWorkersActionWaitsAndIsTakenBack(t *testing.T) {
	o := open(t, "requester", "admin")
	o.employ()
	o.enlist("cfo", ident.Approver)
	w, err := o.app.World(tenant)
	o.must(err)
	m, _ := w.Catalog.Mission("order")
	asking := *m
	asking.Decisions = []resource.DecisionRule{{Connection: "erp", Team: "money"}}
	_, err = o.app.Apply(t.Context(), system, []resource.Resource{&asking,
		&resource.Team{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindTeam, Name: "money"}, Members: []string{"cfo"}}}, false, false)
	o.must(err)
	o.plus.Add(int64(time.Minute))
	var s api.Started
	o.call(o.minted("ann", "night").Token, "POST", "/v1/missions/order/runs", "{}", 201, &s)
	path := "/v1/runs/" + s.Run.ID
	var it intent.Intent
	o.call(s.Token, "POST", path+"/intents", map[string]any{"connection": "erp", "tool": "create", "reason": "it is new"}, 202, &it)
	var pending api.Intents
	o.call(s.Token, "GET", path+"/pending", nil, 200, &pending)
	if it.State != intent.Parked || len(pending.Intents) != 1 || pending.Intents[0].ID != it.ID {
		t.Fatalf("it is %s, pending %+v", it.State, pending)
	}
	o.call(s.Token, "POST", path+"/intents/"+it.ID+"/withdraw", "{}", 200, &it)
	if it.State != intent.Withdrawn {
		t.Errorf("it is %s", it.State)
	}
	o.call(s.Token, "GET", path+"/pending", nil, 200, &pending)
	if len(pending.Intents) != 0 {
		t.Errorf("pending %+v", pending)
	}
}

// Attack: an admin who is an approver too mints a token of somebody else's Worker, has
// it propose, and approves that; also after the token was revoked.
func TestWhoHadAWorkersTokenInHandDoesNotDecideOnWhatItDoes(t *testing.T) {
	o := open(t, "requester", "admin")
	o.employ()
	o.enlist("both", ident.Approver, ident.Admin)
	o.enlist("cfo", ident.Approver)
	w, err := o.app.World(tenant)
	o.must(err)
	m, _ := w.Catalog.Mission("order")
	asking := *m
	asking.Decisions = []resource.DecisionRule{{Connection: "erp", Team: "money"}}
	_, err = o.app.Apply(t.Context(), system, []resource.Resource{&asking,
		&resource.Team{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindTeam, Name: "money"}, Members: []string{"both", "cfo"}}}, false, false)
	o.must(err)
	o.plus.Add(int64(time.Minute))
	minted := o.minted("both", "night")
	var s api.Started
	o.call(minted.Token, "POST", "/v1/missions/order/runs", "{}", 201, &s)
	o.call(s.Token, "POST", "/v1/runs/"+s.Run.ID+"/intents", map[string]any{"connection": "erp", "tool": "create", "reason": "it is new"}, 202, nil)
	var q api.Queue
	o.call(o.as("admin"), "GET", "/v1/decisions?run="+s.Run.ID, nil, 200, &q)
	decide := func(who string) string {
		d := q.Items[0].Decision
		body := map[string]any{"verdict": "approve", "digest": d.Digest, "password": password(who), "code": o.code(who)}
		resp := o.do(o.as(who), "POST", "/v1/decisions/"+d.ID, body)
		if resp.Code < 300 {
			return ""
		}
		return problem(t, resp).Code
	}
	for _, when := range []string{"with the token in hand", "with it revoked"} {
		if code := decide("both"); code != string(decision.OwnApproval) {
			t.Fatalf("%s: the verdict is answered with %q", when, code)
		}
		if when == "with the token in hand" {
			o.call(o.as("both"), "POST", "/v1/workers/night/tokens/"+minted.Entry.ID+"/revoke", nil, 204, nil)
		}
	}
	if code := decide("cfo"); code != "" {
		t.Errorf("somebody else's verdict is answered with %q", code)
	}
}
