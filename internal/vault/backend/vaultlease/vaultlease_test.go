package vaultlease_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/baotest"
	"sallyport.dev/internal/vault/backend/vaultkv"
	"sallyport.dev/internal/vault/backend/vaultlease"
	"sallyport.dev/internal/vault/internal/plain"
)

// config is one that signs in with an AppRole.
func config(t *testing.T, v *baotest.Vault) (c vaultlease.Config) {
	t.Helper()
	c.Address, c.CAFile = v.URL, v.CAFile
	c.AppRole = &vaultlease.AppRole{RoleID: baotest.RoleID, SecretIDFile: filepath.Join(t.TempDir(), "secret-id")}
	if err := os.WriteFile(c.AppRole.SecretIDFile, []byte(v.SecretID), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t *testing.T, c vaultlease.Config) (backend.Backend, backend.Lessor) {
	t.Helper()
	b, err := vaultlease.New(c, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return b, b.(backend.Lessor)
}

var ask = backend.Ask{Path: "creds/app"}

func engaged(t *testing.T, l backend.Lessor) backend.Holder {
	t.Helper()
	h, err := l.Engage(t.Context(), "les_one")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func made(t *testing.T, h backend.Holder) backend.Answer {
	t.Helper()
	a, err := h.Make(t.Context(), ask)
	if err != nil || a.Lease.For <= 0 || a.NotAfter.IsZero() || !slices.Equal(slices.Sorted(maps.Keys(a.Fields)), []string{"password", "username"}) {
		t.Fatalf("%+v, %v", a, err)
	}
	return a
}

func TestWhatIsMadeEndsByItsLeaseAndByItsHolder(t *testing.T) {
	v := baotest.Start(t)
	_, l := open(t, config(t, v))
	for name, revoke := range map[string]func(handle, lease string) (string, string){
		"both":       func(h, l string) (string, string) { return h, l },
		"the lease":  func(_, l string) (string, string) { return "", l },
		"the handle": func(h, _ string) (string, string) { return h, "" },
	} {
		h := engaged(t, l)
		a := made(t, h)
		if !v.Knows(string(plain.Bytes(a.Fields["username"])), string(plain.Bytes(a.Fields["password"]))) {
			t.Fatal("the database doesn't know it")
		}
		handle, until := h.Handle()
		if time.Until(until) > time.Hour {
			t.Errorf("a Run's token lives until %s", until)
		}
		for range 2 { // it can be repeated
			by, what := revoke(handle, a.Lease.ID)
			if err := l.Revoke(t.Context(), by, what); err != nil || len(v.Users()) != 0 {
				t.Errorf("by %s: %v, and the database has %v", name, err, v.Users())
			}
		}
		if _, err := h.Renew(t.Context(), a.Lease); backend.ReasonOf(err) != backend.Missing {
			t.Errorf("renewed after it was ended by %s: %v", name, err)
		}
	}
}

func TestANamespaceIsNamedInEachQuestion(t *testing.T) {
	v := baotest.Start(t)
	v.Namespace = "team/below"
	c := config(t, v)
	b, _ := open(t, c)
	if _, err := b.Fetch(t.Context(), ask); backend.ReasonOf(err) != backend.Refused {
		t.Errorf("without the namespace: %v", err)
	}
	c.Namespace = "team/below/"
	b, l := open(t, c)
	if _, err := b.Fetch(t.Context(), ask); err != nil || len(v.Users()) != 0 || v.Children() != 0 {
		t.Errorf("a trial: %v; the database has %v and there are %d tokens", err, v.Users(), v.Children())
	}
	h := engaged(t, l)
	a := made(t, h)
	if again, err := h.Renew(t.Context(), a.Lease); err != nil || again.Lease.ID != a.Lease.ID {
		t.Errorf("renewed: %v", err)
	}
	if err := h.Look(t.Context(), a.Lease); err != nil {
		t.Errorf("looked at: %v", err)
	}
	handle, _ := h.Handle()
	if err := l.Revoke(t.Context(), handle, a.Lease.ID); err != nil || len(v.Users()) != 0 || v.Children() != 0 {
		t.Errorf("revoked: %v; the database has %v and there are %d tokens", err, v.Users(), v.Children())
	}
}

func TestATrialLeavesNothing(t *testing.T) {
	v := baotest.Start(t)
	b, _ := open(t, config(t, v))
	a, err := b.Fetch(t.Context(), ask)
	if err != nil || a.Lease != (backend.Lease{}) || len(a.Fields) != 2 || len(v.Users()) != 0 || v.Children() != 0 {
		t.Errorf("%+v, %v; the database has %v and there are %d tokens", a, err, v.Users(), v.Children())
	}
	if _, err := b.Fetch(t.Context(), backend.Ask{Path: "creds/none"}); backend.ReasonOf(err) != backend.Missing || v.Children() != 0 {
		t.Errorf("a role that there is not: %v", err)
	}
}

func TestATrialThatNobodyWaitsForLeavesNothing(t *testing.T) {
	v := baotest.Start(t)
	b, _ := open(t, config(t, v))
	ctx, cancel := context.WithCancel(t.Context())
	v.After = func(path string, _ map[string]any) {
		if path == "database/creds/app" {
			cancel()
		}
	}
	if _, err := b.Fetch(ctx, ask); err == nil {
		t.Log("the answer was there before the end")
	}
	if len(v.Users()) != 0 || v.Children() != 0 {
		t.Errorf("the database has %v and there are %d tokens", v.Users(), v.Children())
	}
	v.After = nil
	v.Deny("sys/leases/revoke")
	v.Deny("auth/token/revoke-accessor")
	if _, err := b.Fetch(t.Context(), ask); err == nil || !strings.Contains(err.Error(), "may live") {
		t.Errorf("it says nothing of what is left: %v", err)
	}
}

func TestEachFailureIsTheReasonThatItIs(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(*baotest.Vault)
		want backend.Reason
	}{
		"the policy denies":     {func(v *baotest.Vault) { v.Deny("database/creds/app") }, backend.Refused},
		"the database is down":  {func(v *baotest.Vault) { v.DatabaseDown(true) }, backend.Behind},
		"it is sealed":          {func(v *baotest.Vault) { v.Answer(503) }, backend.Away},
		"it asks for later":     {func(v *baotest.Vault) { v.Answer(429) }, backend.Throttled},
		"it points elsewhere":   {func(v *baotest.Vault) { v.Answer(307) }, backend.Away},
		"its answer is garbage": {func(v *baotest.Vault) { v.After = func(_ string, a map[string]any) { clear(a) } }, backend.Wrong},
	} {
		v := baotest.Start(t)
		_, l := open(t, config(t, v))
		h := engaged(t, l)
		c.do(v)
		a, err := h.Make(t.Context(), ask)
		if backend.ReasonOf(err) != c.want || err == nil || a.Fields != nil {
			t.Errorf("%s: %v (%s), want %s", name, err, backend.ReasonOf(err), c.want)
		}
	}
}

func TestARevocationThatTheDatabaseDoesNotTakeIsNone(t *testing.T) {
	v := baotest.Start(t)
	_, l := open(t, config(t, v))
	h := engaged(t, l)
	a := made(t, h)
	handle, _ := h.Handle()
	v.DatabaseDown(true)
	if err := l.Revoke(t.Context(), handle, a.Lease.ID); err == nil {
		t.Error("it says that it is revoked")
	}
	v.DatabaseDown(false)
	if err := l.Revoke(t.Context(), handle, a.Lease.ID); err != nil || len(v.Users()) != 0 {
		t.Errorf("%v, and the database has %v", err, v.Users())
	}
}

func TestNothingElseIsRevoked(t *testing.T) {
	v := baotest.Start(t)
	_, l := open(t, config(t, v))
	for _, lease := range []string{"aws/creds/app/x", "database/../auth/token/x", `database/creds/app/x","y":"`, "database/", "database"} {
		if err := l.Revoke(t.Context(), "", lease); err == nil {
			t.Errorf("%q was revoked", lease)
		}
	}
	for _, handle := range []string{"../x", `a","b":"c`, strings.Repeat("x", 1000), "a b"} {
		if err := l.Revoke(t.Context(), handle, ""); err == nil {
			t.Errorf("%q was revoked", handle)
		}
	}
	if n := v.Count("sys/leases/") + v.Count("auth/token/"); n != 0 {
		t.Errorf("the server was asked %d times", n)
	}
}

func TestTheRolesTokenIsUsedWhereOneIsNamed(t *testing.T) {
	v := baotest.Start(t)
	v.Deny("auth/token/create")
	c := config(t, v)
	c.TokenRole = "sallyport-run"
	_, l := open(t, c)
	made(t, engaged(t, l))
	if v.Count("auth/token/create/sallyport-run") != 1 {
		t.Error("the role was not asked")
	}
}

func TestAStaticRoleHasNoLeaseAndIsOfTheOtherBackend(t *testing.T) {
	v := baotest.Start(t)
	c := config(t, v)
	b, l := open(t, c)
	static := backend.Ask{Path: "static-creds/app"}
	if _, err := b.Fetch(t.Context(), static); backend.ReasonOf(err) != backend.Wrong {
		t.Errorf("it was taken: %v", err)
	}
	if _, err := engaged(t, l).Make(t.Context(), static); backend.ReasonOf(err) != backend.Wrong {
		t.Errorf("it was taken: %v", err)
	}
	kv, err := vaultkv.New(vaultkv.Config{Config: c.Config, Mount: "database", Engine: 1}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := kv.Fetch(t.Context(), static); err != nil || string(plain.Bytes(a.Fields["password"])) != "static-"+v.SecretID {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestAConfigurationThatCouldLeakIsRefused(t *testing.T) {
	v, no := baotest.Start(t), false
	for name, spoil := range map[string]func(*vaultlease.Config){
		"plain HTTP":          func(c *vaultlease.Config) { c.Address = "http://bao.example.com:8200" },
		"no way to sign in":   func(c *vaultlease.Config) { c.AppRole = nil },
		"a mount that climbs": func(c *vaultlease.Config) { c.Mount = "../sys" },
		"a role that climbs":  func(c *vaultlease.Config) { c.TokenRole = "../create-orphan" },
		"a role with a slash": func(c *vaultlease.Config) { c.TokenRole = "a/b" },
		"a role of nothing":   func(c *vaultlease.Config) { c.TokenRole, c.RunTokens = "x", &no },
	} {
		c := config(t, v)
		spoil(&c)
		if _, err := vaultlease.New(c, time.Now); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, _ := open(t, config(t, v))
	for _, a := range []backend.Ask{{Path: "/creds/app"}, {Path: "creds/"}, {Path: "config/pg"}, {Path: "roles/app"}, {Path: "creds/app", Version: "3"}} {
		if b.Check(a) == nil {
			t.Errorf("%+v was taken", a)
		}
	}
}

func FuzzAnAnswer(f *testing.F) {
	for _, s := range []string{`{"lease_id":"database/creds/app/x","lease_duration":3600,"renewable":true,"data":{"username":"a","password":"b"}}`,
		`{"lease_id":"x","lease_duration":-1,"data":{}}`, `{"lease_id":"x","lease_duration":9223372036854775807,"data":{"a":1}}`, `{"lease_id":1}`, `[]`, `{"auth":{}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if a, err := vaultlease.Read(raw); err == nil && (a.Fields == nil || a.Lease.ID == "" || a.Lease.For <= 0) {
			t.Errorf("%q was taken as %+v", raw, a)
		}
	})
}
