package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/app"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

const (
	tenant ident.Tenant = "acme"
	canary string       = "cnry-7vq2m4kd91xw-api"
)

var system = ident.Principal{Tenant: tenant, Kind: ident.System, ID: "test", Name: "the test"}

// office is the real program with people in it; requests go to the handler, no
// network is between.
type office struct {
	t      *testing.T
	app    *app.App
	api    *api.API
	log    *bytes.Buffer
	plus   *atomic.Int64
	people map[string]person
	tokens map[string]string
}

type person struct {
	account identity.Account
	secret  []byte
	alg     identity.Algorithm
}

func (o *office) now() time.Time { return time.Now().Add(time.Duration(o.plus.Load())) }

// open opens an office with the people named, each with the role of that name.
func open(t *testing.T, people ...string) *office {
	t.Helper()
	return openWith(t, func(*app.Config) {}, people...)
}

func openWith(t *testing.T, tune func(*app.Config), people ...string) *office {
	t.Helper()
	o := &office{t: t, log: &bytes.Buffer{}, plus: &atomic.Int64{}, people: map[string]person{}, tokens: map[string]string{}}
	dir := t.TempDir()
	var err error
	c := app.Config{Dir: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", Tenant: tenant, Now: o.now,
		LogHandler: slog.NewTextHandler(o.log, &slog.HandlerOptions{Level: slog.LevelError}), Seals: []kek.Seal{kek.NewKeyFile(filepath.Join(dir, "seal.key"))}}
	tune(&c)
	o.app, err = app.New(t.Context(), c)
	o.must(err)
	t.Cleanup(func() {
		if err := o.app.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	o.must(o.app.Start(t.Context()))
	o.api = o.app.API()
	for _, name := range people {
		o.enlist(name, ident.Role(name))
	}
	_, err = o.app.Vault.Set(t.Context(), vault.Write{Tenant: tenant, Name: "erp-token", Actor: system, Fields: map[string][]byte{"token": []byte(canary)}})
	o.must(err)
	o.mission()
	return o
}

func (o *office) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

func password(name string) string { return "correct horse of " + name }

func (o *office) enlist(name string, roles ...ident.Role) {
	o.t.Helper()
	a, e, err := o.app.Directory.CreateAccount(o.t.Context(), system, identity.NewAccount{Tenant: tenant, Name: name, Roles: roles, Password: password(name)}, o.now())
	o.must(err)
	o.people[name] = person{a, e.Secret, e.Alg}
}

// mission applies a Mission that a Worker outside does, on an ERP that nothing
// calls.
func (o *office) mission() {
	o.t.Helper()
	head := func(k resource.Kind, name string) resource.Head {
		return resource.Head{APIVersion: resource.APIVersion, Kind: k, Name: name}
	}
	_, err := o.app.Apply(o.t.Context(), system, []resource.Resource{
		&resource.Integration{Head: head(resource.KindIntegration, "erp"), HTTP: &resource.HTTP{BaseURL: "https://erp.example", OpenAPI: json.RawMessage(
			`{"openapi":"3.1.0","info":{"title":"ERP","version":"1"},"paths":{"/v":{"post":{"operationId":"create","responses":{"201":{"description":"ok"}}}}}}`)}},
		&resource.Connection{Head: head(resource.KindConnection, "erp"), Integration: "erp", Tools: []string{"create"},
			Auth: resource.Auth{Scheme: resource.SchemeBearer, Secret: "erp-token"}},
		&resource.Mission{Head: head(resource.KindMission, "order"), Goal: "create one", Connections: []string{"erp"}},
	}, false, false)
	o.must(err)
}

// code is a code that was not used.
func (o *office) code(name string) string {
	o.t.Helper()
	o.plus.Add(int64(30 * time.Second))
	p := o.people[name]
	c, err := identity.Code(p.secret, p.alg, o.now())
	o.must(err)
	return c
}

// as is the token of somebody who is signed in.
func (o *office) as(name string) string {
	o.t.Helper()
	if o.tokens[name] == "" {
		var s api.Session
		o.call("", "POST", "/v1/sessions", map[string]any{"name": name, "password": password(name), "code": o.code(name)}, 200, &s)
		o.tokens[name] = s.Token
	}
	return o.tokens[name]
}

// do makes one request; a body that is no string is encoded.
func (o *office) do(token, method, path string, body any, headers ...string) *httptest.ResponseRecorder {
	o.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		j, err := json.Marshal(b)
		o.must(err)
		r = bytes.NewReader(j)
	}
	req := httptest.NewRequestWithContext(o.t.Context(), method, path, r)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	o.api.ServeHTTP(w, req)
	return w
}

// call makes a request that is to have a status, and reads the answer.
func (o *office) call(token, method, path string, body any, status int, out any) {
	o.t.Helper()
	w := o.do(token, method, path, body)
	if w.Code != status {
		o.t.Fatalf("%s %s: %d, not %d: %s", method, path, w.Code, status, w.Body)
	}
	if out != nil {
		o.must(json.Unmarshal(w.Body.Bytes(), out))
	}
}

// run starts a Run that a Worker outside does.
func (o *office) run() api.Started {
	o.t.Helper()
	var s api.Started
	o.call(o.as("requester"), "POST", "/v1/missions/order/runs", map[string]any{"outside": true}, 201, &s)
	if s.Run.Worker != intent.Outside || s.Token == "" {
		o.t.Fatalf("the Run is %+v", s)
	}
	return s
}

func problem(t *testing.T, w *httptest.ResponseRecorder) (p api.Problem) {
	t.Helper()
	if ct := w.Header().Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("the error is %q: %s", ct, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if p.Status != w.Code || p.Type != "https://sallyport.dev/problems/"+p.Kind || p.Title == "" || p.Detail == "" {
		t.Errorf("the problem is %+v with the status %d", p, w.Code)
	}
	return p
}
