package vault_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// states is a Secret's versions in words.
func (f *fixture) states(name string) string {
	f.t.Helper()
	s, err := f.Show(f.t.Context(), acme, name)
	if err != nil {
		f.t.Fatal(err)
	}
	var out []string
	for _, v := range s.Versions {
		out = append(out, string(v.State))
	}
	return strings.Join(out, " ")
}

func TestARollbackGoesBackToTheVersionInItsGrace(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	if _, err := f.Rollback(t.Context(), acme, "erp", 0, admin(acme)); !fault.Is(err, fault.Conflict) {
		t.Errorf("there is nothing to roll back to: %v", err)
	}
	f.rotate(acme, "erp", canary2)
	if _, err := f.Rollback(t.Context(), acme, "erp", 2, admin(acme)); !fault.Is(err, fault.Conflict) {
		t.Errorf("to another version than was shown: %v", err)
	}
	if _, err := f.Rollback(t.Context(), acme, "erp", 1, admin(acme)); err != nil {
		t.Fatal(err)
	}
	f.restart()
	if got := f.call(spec(acme, "erp")); got != "Bearer "+canary1 || f.states("erp") != "active previous" {
		t.Errorf("after the rollback the versions are %s", f.states("erp"))
	}
	// Calls that were decided on with the newer one go on.
	if err := f.opens(acme, "erp@v2"); err != nil {
		t.Error(err)
	}
	// A second rollback does not go forward again.
	if _, err := f.Rollback(t.Context(), acme, "erp", 0, admin(acme)); !fault.Is(err, fault.Conflict) {
		t.Errorf("a rollback went forward: %v", err)
	}
	f.rotate(acme, "erp", canary3)
	if _, err := f.Disable(t.Context(), acme, "erp", 1, admin(acme)); err != nil {
		t.Fatal(err)
	}
	_, err := f.Rollback(t.Context(), acme, "erp", 0, admin(acme))
	if !fault.Is(err, fault.Conflict) || fault.HintOf(err) == "" {
		t.Errorf("to a disabled version: %v (%s)", err, f.states("erp"))
	}
}

func TestAnActiveVersionIsDestroyedOnlyAfterItsUseHasEnded(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	f.rotate(acme, "erp", canary2)
	if _, err := f.Destroy(t.Context(), acme, "erp", 2, admin(acme)); !fault.Is(err, fault.Conflict) {
		t.Errorf("the active one: %v", err)
	}
	if _, err := f.Destroy(t.Context(), acme, "erp", 1, admin(acme)); err != nil {
		t.Fatal(err)
	}
	if f.store.version(acme, "erp", 1) != nil || f.states("erp") != "destroyed active" {
		t.Errorf("the versions are %s, and its keys are stored: %v", f.states("erp"), f.store.version(acme, "erp", 1) != nil)
	}
	if len(f.Scrub(acme).Contains([]byte(canary1))) != 0 || len(f.Scrub(acme).Contains([]byte(canary2))) != 1 {
		t.Error("what is scrubbed for is not what is left")
	}
	for _, n := range []int{1, 3, 0, -1} {
		if _, err := f.Destroy(t.Context(), acme, "erp", n, admin(acme)); !fault.Is(err, fault.NotFound) {
			t.Errorf("version %d: %v", n, err)
		}
	}
	if _, err := f.Disable(t.Context(), acme, "erp", 2, admin(acme)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Destroy(t.Context(), acme, "erp", 2, admin(acme)); err != nil {
		t.Fatal(err)
	}
	f.restart()
	if err := f.opens(acme, "erp"); !fault.Is(err, fault.Denied) {
		t.Errorf("with every version destroyed: %v", err)
	}
	if _, err := f.Activate(t.Context(), acme, "erp", 1, admin(acme)); !fault.Is(err, fault.NotFound) {
		t.Errorf("a destroyed one was activated: %v", err)
	}
	f.rotate(acme, "erp", canary3)
	if f.states("erp") != "destroyed destroyed active" {
		t.Errorf("numbers are used again: %s", f.states("erp"))
	}
}

func TestAnExpiryIsAVersionsOwn(t *testing.T) {
	f := start(t)
	w := f.write(acme, "erp", canary1)
	w.Scope, w.Expires = &vault.Scope{Origins: []string{"https://erp.example"}}, f.now.Add(-time.Second)
	if _, err := f.Set(t.Context(), w); !fault.Is(err, fault.Invalid) {
		t.Fatalf("one that has passed: %v", err)
	}
	w = f.write(acme, "erp", canary1)
	w.Scope, w.Expires = &vault.Scope{Origins: []string{"https://erp.example"}}, f.now.Add(time.Hour)
	if _, err := f.Set(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if err := f.opens(acme, "erp"); err != nil {
		t.Error(err)
	}
	f.now = f.now.Add(2 * time.Hour)
	if err := f.opens(acme, "erp"); !fault.Is(err, fault.Denied) {
		t.Errorf("after it: %v", err)
	}
	f.rotate(acme, "erp", canary2) // where it may go is as before, and for how long is not
	s, err := f.Show(t.Context(), acme, "erp")
	if err != nil || !s.Versions[1].Scope.NotAfter.IsZero() || len(s.Versions[1].Scope.Origins) != 1 {
		t.Errorf("the next version has %+v: %v", s.Versions[1].Scope, err)
	}
	if err := f.opens(acme, "erp"); err != nil {
		t.Error(err)
	}
	if _, err := f.Activate(t.Context(), acme, "erp", 1, admin(acme)); !fault.Is(err, fault.Conflict) {
		t.Errorf("an expired version was activated: %v", err)
	}
	if _, err := f.Rollback(t.Context(), acme, "erp", 0, admin(acme)); !fault.Is(err, fault.Conflict) {
		t.Errorf("a rollback to an expired version: %v", err)
	}
}

func TestAUsageScopeNamesMethodsAndMissions(t *testing.T) {
	f := start(t)
	w := f.write(acme, "erp", canary1)
	w.Scope = &vault.Scope{Methods: []string{"get", "HEAD"}, Missions: []string{"onboarding"}}
	if _, err := f.Set(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	good := spec(acme, "erp")
	good.Mission = "onboarding"
	if f.call(good) != "Bearer "+canary1 {
		t.Error("a use inside the scope does not work")
	}
	for name, change := range map[string]func(*vault.DoorSpec){
		"another method":  func(d *vault.DoorSpec) { d.Method = "POST" },
		"another mission": func(d *vault.DoorSpec) { d.Mission = "offboarding" },
		"no mission":      func(d *vault.DoorSpec) { d.Mission = "" },
	} {
		d := good
		change(&d)
		if _, err := f.Open(t.Context(), d); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, scope := range map[string]vault.Scope{
		"a method that there is not": {Methods: []string{"FETCH"}}, "a mission's name": {Missions: []string{"On boarding"}},
		"too many": {Methods: slices.Repeat([]string{"GET"}, 51)},
	} {
		w := f.write(acme, "crm", canary2)
		w.Scope = &scope
		if _, err := f.Set(t.Context(), w); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Who can write the database and got hold of the key of the rows' MACs, but of no
// other, still can't widen a scope: its digest is bound into the version's key.
func TestMethodsAndMissionsAreBoundToTheCiphertext(t *testing.T) {
	for name, widen := range map[string]func(*vault.Scope){
		"methods":  func(s *vault.Scope) { s.Methods = append(s.Methods, "DELETE") },
		"missions": func(s *vault.Scope) { s.Missions = nil },
		"expiry":   func(s *vault.Scope) { s.NotAfter = s.NotAfter.AddDate(10, 0, 0) },
	} {
		f := start(t)
		w := f.write(acme, "erp", canary1)
		w.Scope, w.Expires = &vault.Scope{Methods: []string{"GET"}, Missions: []string{"onboarding"}}, f.now.Add(time.Hour)
		if _, err := f.Set(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		row := f.store.head(acme, "erp")
		var s vault.Secret
		if err := json.Unmarshal(row.Body, &s); err != nil {
			t.Fatal(err)
		}
		widen(&s.Versions[0].Scope)
		var err error
		if row.Body, err = json.Marshal(s); err != nil {
			t.Fatal(err)
		}
		row.MAC = f.RowMACOf("vault_secret", *row)
		f.restart()
		d := spec(acme, "erp")
		d.Mission = "onboarding"
		if _, err := f.Open(t.Context(), d); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "does not belong here") {
			t.Errorf("%s were widened: %v", name, err)
		}
	}
}

func TestWhatPeopleReadIsChangedWithoutANewVersion(t *testing.T) {
	f := start(t)
	w := f.write(acme, "erp", canary1)
	w.Description, w.Owner, w.Labels = "the ERP", "ada", map[string]string{"env": "prod", "team": "fin"}
	if _, err := f.Set(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	none, owner := "", "bo"
	s, err := f.Describe(t.Context(), acme, "erp", vault.Edit{Description: &none, Owner: &owner, Labels: map[string]string{"env": "test", "tier": "1"}, Unlabel: []string{"team"}}, admin(acme))
	if err != nil {
		t.Fatal(err)
	}
	if s.Description != "" || s.Owner != "bo" || fmt.Sprint(s.Labels) != "map[env:test tier:1]" || len(s.Versions) != 1 {
		t.Errorf("it is %+v", s)
	}
	f.restart()
	if f.call(spec(acme, "erp")) != "Bearer "+canary1 {
		t.Error("it is not usable after the change")
	}
	leak, long := "see "+canary1, strings.Repeat("x", 2000)
	for name, c := range map[string]struct {
		edit vault.Edit
		kind fault.Kind
		of   string
	}{
		"nothing":        {vault.Edit{Owner: &owner}, fault.Invalid, "erp"},
		"its value":      {vault.Edit{Description: &leak}, fault.Invalid, "erp"},
		"in a label":     {vault.Edit{Labels: map[string]string{"a": canary1}}, fault.Invalid, "erp"},
		"too much":       {vault.Edit{Description: &long}, fault.Invalid, "erp"},
		"of nobody":      {vault.Edit{Description: &owner}, fault.NotFound, "crm"},
		"no label there": {vault.Edit{Unlabel: []string{"gone"}}, fault.Invalid, "erp"},
	} {
		if _, err := f.Describe(t.Context(), acme, c.of, c.edit, admin(acme)); !fault.Is(err, c.kind) || strings.Contains(err.Error(), canary1) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.Describe(t.Context(), acme, "erp", vault.Edit{Description: &owner}, admin(globex)); !fault.Is(err, fault.Denied) {
		t.Errorf("somebody of another tenant: %v", err)
	}
}

// The register counts what the audit log has of these types, so that everything
// of them restarts well.
func TestEveryChangeIsOfATypeThatIsCounted(t *testing.T) {
	f := start(t)
	text := "the ERP"
	f.set(acme, "erp", canary1)
	f.rotate(acme, "erp", canary2)
	for name, do := range map[string]func() (vault.Secret, error){
		"rollback": func() (vault.Secret, error) { return f.Rollback(t.Context(), acme, "erp", 0, admin(acme)) },
		"describe": func() (vault.Secret, error) {
			text += "."
			return f.Describe(t.Context(), acme, "erp", vault.Edit{Description: &text}, admin(acme))
		},
	} {
		if _, err := do(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if _, err := f.Disable(t.Context(), acme, "erp", 2, admin(acme)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Destroy(t.Context(), acme, "erp", 2, admin(acme)); err != nil {
		t.Fatal(err)
	}
	var got []audit.Type
	for _, ev := range f.store.events {
		if slices.Contains(audit.SecretChanges, ev.Type) {
			got = append(got, ev.Type)
		}
	}
	slices.Sort(got)
	if want := "[secret.described secret.destroyed secret.disabled secret.rotated secret.rotated secret.set]"; fmt.Sprint(got) != want {
		t.Errorf("recorded %v", got)
	}
	f.restart()
	if err := f.opens(acme, "erp"); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if f.call(vault.DoorSpec{Tenant: acme, Secret: "erp", Auth: resource.Auth{Scheme: resource.SchemeBearer}, Origin: system, Method: "GET"}) != "Bearer "+canary1 {
		t.Error("another version is active")
	}
}
