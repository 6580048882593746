package vault_test

import (
	"fmt"
	"strings"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

var gatekeeper = ident.Principal{Tenant: acme, Kind: ident.System, ID: "gate"}

// keep puts a value in quarantine.
func (f *fixture) keep(value string, sure bool) string {
	f.t.Helper()
	name, err := f.Quarantine(f.t.Context(), vault.Found{Tenant: acme, Value: []byte(value), Note: "met in an answer of erp",
		What: vault.Quarantined{Rule: "github-token", Family: "vcs", Sure: sure}, Actor: gatekeeper})
	if err != nil {
		f.t.Fatal(err)
	}
	return name
}

func TestWhatIsInQuarantineIsKnownAndOfNoUse(t *testing.T) {
	f := start(t)
	f.set(acme, "erp-read", canary2)
	value := []byte(canary1)
	name, err := f.Quarantine(t.Context(), vault.Found{Tenant: acme, Value: value, What: vault.Quarantined{Rule: "github-token", Sure: true}, Actor: gatekeeper})
	if err != nil || strings.Trim(string(value), "\x00") != "" {
		t.Fatalf("%v, and the caller's copy is %q", err, value)
	}
	if again := f.keep(canary1, true); again != name {
		t.Errorf("the same value has the names %s and %s", name, again)
	}
	for _, when := range []string{"now", "after a restart"} {
		if got, _ := f.Scrub(acme).String("x " + canary1); strings.Contains(got, canary1) {
			t.Errorf("%s it passes: %s", when, got)
		}
		if got, _ := f.Scrub(globex).String(canary1); got != canary1 {
			t.Errorf("%s another tenant's texts are scrubbed of it", when)
		}
		for _, ref := range []string{name, name + "@v1"} {
			if err := f.opens(acme, ref); !fault.Is(err, fault.Denied) {
				t.Errorf("%s a door for %s: %v", when, ref, err)
			}
		}
		if list, err := f.List(t.Context(), acme); err != nil || len(list) != 1 {
			t.Errorf("%s the list is %v, %v", when, list, err)
		}
		f.restart()
	}
	if _, err := f.Activate(t.Context(), acme, name, 1, admin(acme)); !fault.Is(err, fault.Conflict) {
		t.Errorf("activating it: %v", err)
	}
	if _, err := f.Set(t.Context(), f.write(acme, name, canary3)); !fault.Is(err, fault.Invalid) {
		t.Errorf("another value under its name: %v", err)
	}
	if _, err := f.Rotate(t.Context(), f.write(acme, name, canary3)); !fault.Is(err, fault.Invalid) {
		t.Errorf("rotating it: %v", err)
	}
}

// A system that calls a word a password must not blank it out everywhere.
func TestAValueThatIsNotSureIsKeptAndNotScrubbedFor(t *testing.T) {
	f := start(t)
	f.keep(canary1, false)
	for range 2 {
		if got, _ := f.Scrub(acme).String(canary1); got != canary1 {
			t.Errorf("it became %q", got)
		}
		f.restart()
	}
}

func TestPromotingMovesTheValueIntoASecret(t *testing.T) {
	f := start(t)
	name := f.keep(canary1, true)
	w := vault.Write{Tenant: acme, Name: "github", Scope: &vault.Scope{Origins: []string{"https://erp.example:443"}}, Actor: admin(acme)}
	s, err := f.Promote(t.Context(), name, "token", w)
	if err != nil || s.Active != 1 || s.Quarantined != nil || s.Versions[0].CreatedBy != admin(acme).String() {
		t.Fatalf("it became %+v, %v", s, err)
	}
	last := f.store.events[len(f.store.events)-1]
	if last.Type != audit.SecretSet || last.Fields["from"] != name || last.Fields["secret"] != "github" {
		t.Errorf("the entry is %+v", last)
	}
	for range 2 {
		if err := f.opens(acme, "github"); err != nil {
			t.Error(err)
		}
		if f.store.version(acme, name, 1) != nil {
			t.Error("the ciphertext in quarantine is still stored")
		}
		if got, _ := f.Scrub(acme).String(canary1); !strings.Contains(got, "github") {
			t.Errorf("a text with it became %q", got)
		}
		f.restart()
	}
	if _, err := f.Promote(t.Context(), name, "token", vault.Write{Tenant: acme, Name: "second", AnyOrigin: true, Actor: admin(acme)}); !fault.Is(err, fault.NotFound) {
		t.Errorf("promoting it twice: %v", err)
	}
	if f.Dismissed(acme, []byte(canary1)) {
		t.Error("what was promoted counts as dismissed")
	}
}

func TestPromotingOntoASecretMakesAPendingVersion(t *testing.T) {
	f := start(t)
	f.set(acme, "github", canary2)
	s, err := f.Promote(t.Context(), f.keep(canary1, false), "token", vault.Write{Tenant: acme, Name: "github", AnyOrigin: true, Actor: admin(acme)})
	if err != nil || s.Active != 1 || s.Versions[1].State != vault.Pending {
		t.Errorf("it became %+v, %v", s, err)
	}
}

func TestPromotingRefuses(t *testing.T) {
	f := start(t)
	f.set(acme, "plain", canary2)
	name := f.keep(canary1, true)
	for what, try := range map[string]struct {
		from, field string
		w           vault.Write
		kind        fault.Kind
	}{
		"no origin":               {name, "token", vault.Write{Name: "a"}, fault.Invalid},
		"a value beside it":       {name, "token", vault.Write{Name: "a", AnyOrigin: true, Fields: map[string][]byte{"token": []byte(canary3)}}, fault.Invalid},
		"a user name":             {name, "username", vault.Write{Name: "a", AnyOrigin: true}, fault.Invalid},
		"a field that is none":    {name, "To Ken", vault.Write{Name: "a", AnyOrigin: true}, fault.Invalid},
		"a name of quarantine":    {name, "token", vault.Write{Name: name, AnyOrigin: true}, fault.Invalid},
		"what is not there":       {"quarantined-0", "token", vault.Write{Name: "a", AnyOrigin: true}, fault.NotFound},
		"a Secret":                {"plain", "token", vault.Write{Name: "a", AnyOrigin: true}, fault.NotFound},
		"the value in a label":    {name, "token", vault.Write{Name: "a", AnyOrigin: true, Labels: map[string]string{"x": canary1}}, fault.Invalid},
		"another tenant's":        {name, "token", vault.Write{Tenant: globex, Name: "a", AnyOrigin: true, Actor: admin(globex)}, fault.NotFound},
		"for a tenant not theirs": {name, "token", vault.Write{Tenant: globex, Name: "a", AnyOrigin: true, Actor: admin(acme)}, fault.Denied},
	} {
		if try.w.Tenant == "" {
			try.w.Tenant, try.w.Actor = acme, admin(acme)
		}
		if _, err := f.Promote(t.Context(), try.from, try.field, try.w); !fault.Is(err, try.kind) || strings.Contains(err.Error(), canary1) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := f.Promote(t.Context(), name, "token", vault.Write{Tenant: acme, Name: "a", AnyOrigin: true, Actor: admin(acme)}); err != nil {
		t.Errorf("after all refusals: %v", err)
	}
}

func TestWhatIsDismissedIsGoneAndPasses(t *testing.T) {
	f := start(t)
	name := f.keep(canary1, true)
	if f.Dismissed(acme, []byte(canary1)) {
		t.Error("what is kept passes")
	}
	if _, err := f.Dismiss(t.Context(), acme, name, admin(acme)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if !f.Dismissed(acme, []byte(canary1)) || f.Dismissed(acme, []byte(canary2)) || f.Dismissed(globex, []byte(canary1)) {
			t.Error("another value passes, or in another tenant, or it does not")
		}
		if got, _ := f.Scrub(acme).String(canary1); got != canary1 || f.store.version(acme, name, 1) != nil {
			t.Errorf("the value is still known: %q", got)
		}
		_, err := f.Quarantine(t.Context(), vault.Found{Tenant: acme, Value: []byte(canary1), What: vault.Quarantined{Rule: "github-token"}, Actor: gatekeeper})
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("keeping it again: %v", err)
		}
		f.restart()
	}
	if _, err := f.Dismiss(t.Context(), acme, name, admin(acme)); !fault.Is(err, fault.NotFound) {
		t.Errorf("dismissing it twice: %v", err)
	}
}

// Systems fill the quarantine: it has an end, and says so.
func TestTheQuarantineHasAnEnd(t *testing.T) {
	f := start(t)
	var err error
	for i := 0; err == nil && i < 600; i++ {
		_, err = f.Quarantine(t.Context(), vault.Found{Tenant: acme, Value: fmt.Appendf(nil, "cnry-%04d-Kq0ZxW4v81", i), What: vault.Quarantined{Rule: "a"}, Actor: gatekeeper})
	}
	if !fault.Is(err, fault.Limit) {
		t.Errorf("600 values: %v", err)
	}
}

// A row whose quarantine was taken away by somebody without the key is refused:
// a value that no person looked at must not become one that can be used.
func TestAQuarantineThatIsTakenAwayIsFound(t *testing.T) {
	f := start(t)
	name := f.keep(canary1, true)
	h := f.store.head(acme, name)
	h.Body = []byte(strings.Replace(strings.Replace(string(h.Body), `"disabled"`, `"active"`, 1), `"versions"`, `"active":1,"versions"`, 1))
	f.restart()
	if err := f.opens(acme, name); !fault.Is(err, fault.Denied) || f.refusal(acme, name) == nil {
		t.Errorf("it is %v", err)
	}
}

// What only Secrets have is not for what is in quarantine: it would stay known to
// nobody and be judged by nobody.
func TestAQuarantinedValueIsNotDestroyedLikeASecret(t *testing.T) {
	f := start(t)
	name := f.keep(canary1, true)
	if _, err := f.Destroy(t.Context(), acme, name, 1, admin(acme)); !fault.Is(err, fault.Conflict) {
		t.Errorf("destroying its version: %v", err)
	}
	if err := f.Remove(t.Context(), acme, name, admin(acme)); !fault.Is(err, fault.Conflict) {
		t.Errorf("removing it: %v", err)
	}
	if got, _ := f.Scrub(acme).String(canary1); strings.Contains(got, canary1) {
		t.Error("it passes")
	}
}

func TestPromotingShowsNoOtherSecret(t *testing.T) {
	f := start(t)
	f.set(acme, "plain", canary2)
	w := vault.Write{Tenant: acme, Name: "a", AnyOrigin: true, Description: "like " + canary2, Actor: admin(acme)}
	if _, err := f.Promote(t.Context(), f.keep(canary1, true), "token", w); !fault.Is(err, fault.Invalid) {
		t.Errorf("a description with another Secret: %v", err)
	}
}

// Keys that a system makes up, of many lines each, add nothing to what every text is
// searched for: each line would cost every later change and answer.
func TestABlockInQuarantineAddsNothingToTheSet(t *testing.T) {
	f := start(t)
	for i := range 3 {
		block := "-----BEGIN PRIVATE KEY-----\n"
		for n := range 300 {
			block += fmt.Sprintf("Kq0ZxW4v81mPz%02d%04d\n", i, n)
		}
		f.keep(block+"-----END PRIVATE KEY-----", true)
	}
	for range 2 {
		if n := f.Scrub(acme).Len(); n != 0 {
			t.Errorf("the set knows %d values", n)
		}
		f.restart()
	}
}
