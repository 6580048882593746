package vault_test

import (
	"fmt"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/backend/baotest"
)

func TestARefusalOfARunsCredentialMakesNoTrialAndClaimsNoOther(t *testing.T) {
	b := openBank(t, nil)
	d := dbUse(acme, "run_one")
	d.From = &vault.External{}
	b.call(d)
	was := b.Count("database/creds/app")
	renewed := func(t2 vault.External) bool { return b.Renewed(t.Context(), acme, "db", 1, t2) }
	for range 20 {
		b.refusedLogin("run_one")
		if renewed(*d.From) {
			t.Fatal("a credential that is good counts as replaced")
		}
		b.pass(time.Second)
	}
	if n := b.Count("database/creds/app") - was; n != 0 {
		t.Errorf("%d were made on trial", n)
	}
	other := *d.From
	other.Version = "les_nobodys"
	if renewed(other) || b.Renewed(t.Context(), globex, "db", 1, *d.From) {
		t.Error("what nobody has, or another tenant asks for, counts as replaced")
	}
	b.RevokeAll()
	b.pass(4 * time.Second)
	b.refusedLogin("run_one")
	if !renewed(*d.From) {
		t.Error("one that has ended was not replaced")
	}
	if n := b.Count("database/creds/app") - was; n != 1 {
		t.Errorf("%d were made", n)
	}
}

func TestASystemThatRefusesEveryLoginWearsOutNoBackend(t *testing.T) {
	b := openBank(t, nil)
	b.Roles["app"] = baotest.Role{TTL: time.Hour, MaxTTL: time.Hour, Fixed: true}
	first, _ := b.as(acme, "run_one")
	asked := b.Count("sys/") + b.Count("auth/")
	for range 100 { // ten seconds
		b.refusedLogin("run_one")
		b.pass(100 * time.Millisecond)
	}
	if n := b.Count("sys/") + b.Count("auth/") - asked; n > 5 {
		t.Errorf("the backend was asked %d times", n)
	}
	if user, _ := b.as(acme, "run_one"); user != first || len(b.entries(audit.LeaseMade)) != 1 {
		t.Error("one that is good, and can't be renewed, was replaced")
	}
}

func TestOneWhoseSystemIsDownAtARenewalIsKept(t *testing.T) {
	b := openBank(t, nil)
	first, _ := b.as(acme, "run_one")
	b.DatabaseDown(true)
	b.pass(25 * time.Minute)
	b.tend()
	if user, _ := b.as(acme, "run_one"); user != first || len(b.entries(audit.LeaseLeft)) != 0 {
		t.Error("it was let go of")
	}
}

func TestARunGetsOnlySomeCredentialsInAWhile(t *testing.T) {
	b := openBank(t, nil)
	b.as(acme, "run_one")
	var err error
	for range 30 {
		b.RevokeAll()
		b.pass(4 * time.Second)
		d := dbUse(acme, "run_one")
		d.Base = answers401{}
		if door, failed := b.Open(t.Context(), d); failed != nil {
			err = failed
		} else {
			b.refuse(door)
		}
	}
	if n := len(b.entries(audit.LeaseMade)); n > 8 || !fault.Is(err, fault.Unavailable) {
		t.Errorf("%d were made, then: %v", n, err)
	}
	b.as(acme, "run_two")
	b.pass(11 * time.Minute)
	b.as(acme, "run_one")
}

func TestWhatAnotherServerMadeIsNotCalledRevoked(t *testing.T) {
	b := openBank(t, nil)
	b.as(acme, "run_one")
	b.store.leases[0].Where = "of the server before"
	b.restart()
	b.tend()
	left, err := b.LeasesLeft(t.Context(), acme)
	if err != nil || len(left) != 1 || len(b.entries(audit.LeaseRevoked)) != 0 || b.Count("sys/leases/revoke") != 1 {
		t.Errorf("%+v, %v; on record: %v", left, err, b.entries(audit.LeaseRevoked))
	}
	b.pass(2 * time.Hour)
	b.tend()
	if e := b.entries(audit.LeaseRevoked); len(e) != 1 || e[0].Fields["state"] != "expired" {
		t.Errorf("on record: %v", e)
	}
}

func TestAThousandRunsAskADeadBackendAsOne(t *testing.T) {
	for status, rest := range map[int]time.Duration{503: time.Second, 429: 0} {
		b := openBank(t, nil)
		b.as(acme, "run_warm")
		b.Answer(status)
		asked := b.Count("auth/") + b.Count("database/")
		for i := range 10 {
			for j := range 100 {
				if err := b.refused(fmt.Sprint("run_", i, "_", j)); !fault.Is(err, fault.Unavailable) {
					t.Fatal(err)
				}
			}
			b.pass(rest)
		}
		if n := b.Count("auth/") + b.Count("database/") - asked; n > 12 {
			t.Errorf("%d: asked %d times", status, n)
		}
		b.Answer(0)
		b.pass(2 * time.Second)
		b.as(acme, "run_0_0")
		b.as(acme, "run_0_1")
	}
}

func TestAFieldThatIsTheSameForAllIsNoSecretOfAnothers(t *testing.T) {
	b := openBank(t, nil)
	p := creds()
	p.Fields["database_place"] = "where"
	b.After = func(path string, answer map[string]any) {
		if path == "database/creds/app" {
			answer["data"].(map[string]any)["where"] = "db-7f3a.internal.example:5432/app"
		}
	}
	if err := b.point(acme, "db2", p); err != nil {
		t.Fatal(err)
	}
	for _, run := range []string{"run_one", "run_two"} {
		d := dbUse(acme, run)
		d.Secret, d.Auth.Secret = "db2", "db2"
		b.call(d)
	}
}

func TestASystemThatIsDownKeepsNoOtherFromBeingRenewedAndRevoked(t *testing.T) {
	b := openBank(t, nil)
	b.Roles["other"] = b.Roles["app"]
	p := creds()
	p.Path = "creds/other"
	if err := b.point(acme, "db2", p); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		b.as(acme, fmt.Sprint("run_", i))
		b.over[fmt.Sprint("run_", i)] = "its Run has ended"
	}
	for _, run := range []string{"run_ends", "run_goes"} {
		d := dbUse(acme, run)
		d.Secret, d.Auth.Secret = "db2", "db2"
		b.call(d)
	}
	b.over["run_ends"] = "its Run has ended"
	b.Down = "database/creds/app"
	b.pass(25 * time.Minute)
	b.tend()
	if e := b.entries(audit.LeaseRevoked); len(e) != 1 || e[0].Run != "run_ends" || b.Count("sys/leases/renew") != 1 {
		t.Errorf("on record: %v; renewed %d times", e, b.Count("sys/leases/renew"))
	}
}
