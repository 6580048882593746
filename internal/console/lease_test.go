package console_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sallyport.dev/internal/app"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/baotest"
	"sallyport.dev/internal/vault/backend/vaultlease"
)

// leasing is an office whose Secret erp is made for each Run, four at the most.
func leasing(t *testing.T) (*office, *baotest.Vault) {
	t.Helper()
	b := baotest.Start(t)
	var c vaultlease.Config
	c.Address, c.CAFile = b.URL, b.CAFile
	c.AppRole = &vaultlease.AppRole{RoleID: baotest.RoleID, SecretIDFile: filepath.Join(t.TempDir(), "secret-id")}
	if err := os.WriteFile(c.AppRole.SecretIDFile, []byte(b.SecretID), 0o600); err != nil {
		t.Fatal(err)
	}
	o := openWith(t, func(a *app.Config) {
		b.Now = a.Now
		made, err := vaultlease.New(c, a.Now)
		if err != nil {
			t.Fatal(err)
		}
		if a.Backends, err = backend.NewRegistry(backend.Entry{Name: "pg", Kind: "vaultDynamic", Tenants: []ident.Tenant{tenant}, Backend: made, MaxLeases: 2}); err != nil {
			t.Fatal(err)
		}
	})
	o.furnish()
	_, err := o.app.Vault.Rotate(t.Context(), vault.Write{Tenant: tenant, Name: "erp", Actor: setup, AnyOrigin: true,
		Pointer: &vault.Pointer{Backend: "pg", Path: "creds/app", Fields: map[string]string{"token": "password"}}})
	o.must(err)
	return o, b
}

// uses has a new Run of the starter's use the Secret.
func (o *office) uses(starter *person) intent.Run {
	o.t.Helper()
	r, err := o.app.Gate.StartRun(o.t.Context(), starter.acc.Principal(), gate.Start{Mission: "by-hand", Via: "api", Outside: true})
	o.must(err)
	_, err = o.app.Vault.Open(o.t.Context(), vault.DoorSpec{Tenant: tenant, Secret: "erp", Auth: resource.Auth{Scheme: resource.SchemeBearer, Secret: "erp"},
		Origin: resource.Origin{Scheme: "https", Host: "erp.example:443"}, Method: "GET", Run: r.ID, Base: http.DefaultTransport})
	o.must(err)
	return r
}

// Each credential is listed with its Run, since when, until when and its state, and
// with nothing by which one signs in with it or ends it.
func TestTheCredentialsOfRunsOnTheirPage(t *testing.T) {
	o, b := leasing(t)
	ada, aud := o.hire("ada", ident.Admin, ident.Requester).enter(), o.hire("aud", ident.Auditor).enter()
	for _, role := range []ident.Role{ident.Builder, ident.Requester, ident.Approver} {
		o.hire(string(role), role).enter().get("/leases").want(403).wantNot("creds/app")
	}
	ada.get("/leases").want(200, "No Run has one", "pg has made 0 of 2 at most").wantNot("Runs that have none get none")
	one := o.uses(ada)
	ada.get("/leases").want(200, "pg has made 1 of 2 at most").wantNot("Runs that have none get none")
	two := o.uses(ada)
	secrets := append([]string{"database/creds/app/", "accessor", canary}, b.Users()...)
	if len(secrets) != 5 {
		t.Fatalf("the database has %v", b.Users())
	}
	for _, p := range []*person{ada, aud} {
		p.get("/").want(200, "Credentials of Runs")
		p.get("/leases").want(200, "erp", "v2", one.ID, two.ID, "pg", "creds/app", "live", "les_", "pg has made 2 of 2 at most: at the bound").wantNot(secrets...)
	}
	b.DatabaseDown(true)
	o.must(o.app.Gate.EndRun(t.Context(), ident.Principal{Tenant: tenant, Kind: ident.Run, ID: one.ID, Name: one.ID}, "done", ""))
	o.when("one is left", func() bool {
		left, err := o.app.Vault.LeasesLeft(t.Context(), tenant)
		o.must(err)
		return len(left) == 1
	})
	aud.get("/leases").want(200, "left", "the backend does not revoke it", "its Run has ended", two.ID).wantNot(secrets...)
	b.DatabaseDown(false)
	_, err := o.app.Gate.Stop(t.Context(), ada.acc.Principal(), gate.Halt{Kind: intent.StopConnection, Name: "erp", Reason: "a test"})
	o.must(err)
	o.when("both are revoked", func() bool { return len(b.Users()) == 0 })
	o.when("none is on record", func() bool {
		all, err := o.app.Vault.Leases(t.Context(), tenant, "")
		o.must(err)
		return len(all) == 0
	})
	ada.get("/leases").want(200, "No Run has one", "pg has made 0 of 2 at most")
}

// when waits for what the program does by itself.
func (o *office) when(what string, is func() bool) {
	o.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 1500 {
		if is() {
			return
		}
		<-tick.C
	}
	o.t.Fatalf("after half a minute it is not so that %s", what)
}
