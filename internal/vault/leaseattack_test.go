package vault_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/backend/vaultlease"
)

func TestAnAnswerThatIsNoOwnLeaseIsRefusedAndNothingIsLeft(t *testing.T) {
	same := map[string]any{"username": "v-same", "password": "A1a-the-same-for-everybody"}
	for name, spoil := range map[string]func(answer map[string]any){
		"no lease":               func(a map[string]any) { a["lease_id"] = "" },
		"a lease of years":       nil, // taken, and bounded by the Run's token
		"no duration":            func(a map[string]any) { a["lease_duration"] = 0 },
		"a negative duration":    func(a map[string]any) { a["lease_duration"] = -5 },
		"a duration of words":    func(a map[string]any) { a["lease_duration"] = "3600" },
		"a fraction":             func(a map[string]any) { a["lease_duration"] = 0.5 },
		"another path's lease":   func(a map[string]any) { a["lease_id"] = "database/creds/admin/x" },
		"another engine's lease": func(a map[string]any) { a["lease_id"] = "aws/creds/app/x" },
		"a lease that climbs":    func(a map[string]any) { a["lease_id"] = "database/creds/app/../../../sys/seal" },
		"a lease with a quote":   func(a map[string]any) { a["lease_id"] = `database/creds/app/x","sync":false,"y":"` },
		"a lease with a line":    func(a map[string]any) { a["lease_id"] = "database/creds/app/x\ny" },
		"an endless lease id":    func(a map[string]any) { a["lease_id"] = "database/creds/app/" + strings.Repeat("x", 4000) },
		"a sign-in's token":      func(a map[string]any) { a["auth"] = map[string]any{"client_token": "hvs.x"} },
		"no fields":              func(a map[string]any) { a["data"] = nil },
		"another field":          func(a map[string]any) { a["data"] = map[string]any{"key": "x"} },
		"a word":                 func(a map[string]any) { a["data"] = map[string]any{"username": "x", "password": "password"} },
	} {
		b := openBank(t, nil)
		b.After = func(path string, answer map[string]any) {
			switch {
			case path != "database/creds/app":
			case spoil == nil:
				answer["lease_duration"] = int64(1) << 60
			default:
				spoil(answer)
			}
		}
		err := b.refused("run_one")
		if spoil == nil {
			if err != nil || b.store.leases[0].Expires.Sub(b.fixture.now) > time.Hour {
				t.Errorf("%s: %v, until %v", name, err, b.store.leases[0].Expires)
			}
			continue
		}
		if err == nil || strings.Contains(err.Error(), "sys/seal") {
			t.Errorf("%s: %v", name, err)
		}
		if b.tend(); len(b.Users()) != 0 || b.Children() != 0 || len(b.store.leases) != 0 {
			t.Errorf("%s: the database has %v, on record is %v", name, b.Users(), b.store.leases)
		}
	}
	b := openBank(t, nil)
	b.After = func(path string, answer map[string]any) {
		if path == "database/creds/app" {
			answer["data"] = same
		}
	}
	if err := b.refused("run_one"); err != nil {
		t.Fatal(err)
	}
	if err := b.refused("run_two"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("two Runs have one credential: %v", err)
	}
	b.tend()
	b.want(1, 1, 1)
}

func TestARenewalOfAnotherLeaseIsNone(t *testing.T) {
	b := openBank(t, nil)
	first, _ := b.as(acme, "run_one")
	b.After = func(path string, answer map[string]any) {
		if path == "sys/leases/renew" {
			answer["lease_id"], answer["lease_duration"] = "database/creds/app/other", 1<<30
		}
	}
	b.pass(25 * time.Minute)
	b.tend()
	if user, _ := b.as(acme, "run_one"); user != first {
		t.Error("it has some time left")
	}
	if e := b.store.leases[0].Expires; e.After(b.fixture.now.Add(10 * time.Minute)) {
		t.Errorf("it is held for good until %v", e)
	}
}

func TestASecretThatIsDisabledTakesItsLeasesAlong(t *testing.T) {
	b := openBank(t, nil)
	b.as(acme, "run_one")
	if _, err := b.Disable(t.Context(), acme, "db", 1, admin(acme)); err != nil {
		t.Fatal(err)
	}
	if err := b.refused("run_one"); !fault.Is(err, fault.Denied) {
		t.Errorf("it opened: %v", err)
	}
	b.tend()
	b.want(0, 0, 0)
}

func TestASealedVaultForgetsWhatRunsHad(t *testing.T) {
	b := openBank(t, nil)
	_, password := b.as(acme, "run_one")
	b.Seal()
	b.tend()
	if err := b.Unseal(t.Context(), b.store, b.seal); err != nil {
		t.Fatal(err)
	}
	b.tend()
	b.want(0, 0, 0)
	if !b.scrubs(acme, password) {
		t.Error("its value is not scrubbed for any more")
	}
}

func TestAStopOfTheServerRevokesWhatIsInMemory(t *testing.T) {
	b := openBank(t, nil)
	b.as(acme, "run_one")
	if err := b.EndLeases(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.want(0, 0, 0)
}

func TestWhatIsNotOnRecordIsNotAskedForFailsClosed(t *testing.T) {
	b := openBank(t, nil)
	was := b.Count("database/creds/app")
	b.store.fail = errors.New("the disk is full")
	if err := b.refused("run_one"); err == nil {
		t.Error("it opened")
	}
	if n := b.Count("database/creds/app"); n != was {
		t.Error("it was asked for")
	}
	b.pass(2 * time.Second)
	b.Before = func(path string) {
		if path == "database/creds/app" {
			b.store.mu.Lock()
			b.store.fail = errors.New("the disk is full")
			b.store.mu.Unlock()
		}
	}
	if err := b.refused("run_one"); err == nil {
		t.Error("it opened with one that is not on record")
	}
	b.Before = nil
	b.tend()
	b.want(0, 0, 0)
}

func TestAPolicyWithoutTokensForRunsIsRefusedUnlessTheOperatorSaysSo(t *testing.T) {
	b := openBank(t, nil)
	b.Deny("auth/token/create")
	if err := b.refused("run_one"); !fault.Is(err, fault.Denied) {
		t.Errorf("without a token of its own: %v", err)
	}
	no := false
	b = openBank(t, func(c *vaultlease.Config) { c.RunTokens = &no })
	b.Deny("auth/token/create")
	b.as(acme, "run_one")
	b.want(1, 0, 1)
	b.restart()
	b.tend()
	b.want(0, 0, 0)
}

func TestADynamicValueIsNeitherMovedNorBroughtHere(t *testing.T) {
	b := openBank(t, nil)
	b.set(acme, "plain", canary1)
	for name, m := range map[string]vault.Move{
		"here":  {Tenant: acme, Name: "db", Actor: admin(acme)},
		"there": {Tenant: acme, Name: "plain", To: creds(), Actor: admin(acme)},
	} {
		if _, err := b.Move(t.Context(), m); !fault.Is(err, fault.Invalid) {
			t.Errorf("moved %s: %v", name, err)
		}
	}
	b.want(0, 0, 0)
}

func TestALeaseWhoseRowIsGoneEndsWithItsRun(t *testing.T) {
	b := openBank(t, nil)
	b.as(acme, "run_one")
	b.store.leases = nil
	b.tend()
	b.want(1, 1, 0)
	b.over["run_one"] = "its Run has ended"
	b.tend()
	b.want(0, 0, 0)
}
