package vault_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// A system that answers a creation with the credential which is in use, and a value
// that can't be used, does not get that credential deleted.
func TestAnAnswerThatNamesTheCredentialInUseDeletesNothing(t *testing.T) {
	for name, value := range map[string]string{"the old value": "tok-1-first-Zq83mPw0", "a word": "password", "none": ""} {
		for _, which := range []string{"stored by hand", "made by a rotation"} {
			t.Run(name+", "+which, func(t *testing.T) {
				s := newIssuer(t)
				f, j := webJob(t, s)
				if which == "made by a rotation" {
					n, err := f.MakeVersion(t.Context(), j)
					if err == nil {
						err = f.SwitchVersion(t.Context(), j, n)
					}
					if err != nil {
						t.Fatal(err)
					}
					j.ID, j.Was, j.Rotator.HTTP.CurrentID = "rot_next", 2, ""
				}
				inUse := fmt.Sprint("k-", j.Was)
				s.answer = func(w http.ResponseWriter, id, _ string) {
					delete(s.keys, id) // nothing was made
					fmt.Fprintf(w, `{"id":%q,"secret":{"token":%q}}`, inUse, value)
				}
				s.asked = nil
				if _, err := f.MakeVersion(t.Context(), j); !fault.Is(err, fault.Invalid) {
					t.Errorf("it is %v", err)
				}
				if s.keys[inUse] == "" || slices.ContainsFunc(s.asked, func(a string) bool { return strings.HasPrefix(a, "DELETE") }) {
					t.Errorf("the credential in use was deleted: %v", s.asked)
				}
			})
		}
	}
}

// A system that lists the credential which is in use as one that the rotation has
// made does not get it deleted either.
func TestAListThatNamesTheCredentialInUseDeletesNothing(t *testing.T) {
	s := newIssuer(t)
	f, j := webJob(t, s)
	s.labels["k-1"] = "sallyport " + j.ID
	if n, err := f.ClearMade(t.Context(), j); !fault.Is(err, fault.Invalid) || n != 0 || s.keys["k-1"] == "" {
		t.Errorf("it cleared %d: %v; the system has %v", n, err, s.keys)
	}
}

// What is sent to a rotator's system names that system in its usage scope, and every
// request that it is sent with: also where a version gives the order for its own
// replacement. A policy for somebody's own host gets nothing that may go anywhere.
func TestARotationSendsNothingBeyondAUsageScope(t *testing.T) {
	bearer := []resource.Scheme{resource.SchemeBearer}
	for name, c := range map[string]struct {
		admin, own vault.Scope // without origins: those are the system's, where anywhere is not said
		anywhere   bool
		change     func(*resource.Rotator)
		denied     bool
	}{
		"all of it":     {admin: vault.Scope{Methods: []string{"POST", "GET", "DELETE"}}, own: vault.Scope{Methods: []string{"GET"}}},
		"a delete":      {admin: vault.Scope{Methods: []string{"POST", "GET"}}, denied: true},
		"a find":        {admin: vault.Scope{Methods: []string{"POST", "DELETE"}}, denied: true},
		"anywhere":      {anywhere: true, denied: true},
		"its own order": {own: vault.Scope{Schemes: bearer}, change: func(r *resource.Rotator) { r.Admin = "" }},
		"its own order, in an URL": {own: vault.Scope{Schemes: bearer}, change: func(r *resource.Rotator) {
			r.Admin, r.HTTP.Auth = "", resource.Auth{Scheme: resource.SchemeQuery, Name: "key"}
		}, denied: true},
		"its own order, to write": {own: vault.Scope{Methods: []string{"GET"}}, change: func(r *resource.Rotator) { r.Admin = "" }, denied: true},
		"its own order, anywhere": {anywhere: true, change: func(r *resource.Rotator) { r.Admin = "" }, denied: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newIssuer(t)
			f, j := webJob(t, s)
			for secret, scope := range map[string]vault.Scope{"crm-admin": c.admin, "crm-token": c.own} {
				if scope.Origins = []string{s.URL}; c.anywhere && secret == "crm-token" {
					scope.Origins = nil
				}
				w := f.write(acme, secret, map[string]string{"crm-admin": adminToken + "-2", "crm-token": "tok-of-now-Zq83mPw0"}[secret])
				w.Scope = &scope
				if _, err := f.Rotate(t.Context(), w); err != nil {
					t.Fatal(err)
				}
			}
			j.Was, s.asked = 2, nil
			if c.change != nil {
				c.change(&j.Rotator)
			}
			_, err := f.MakeVersion(t.Context(), j)
			if asked := len(s.asked) > 0; asked == c.denied || c.denied && !strings.Contains(err.Error(), "usage scope") {
				t.Errorf("it asked %v: %v", s.asked, err)
			}
		})
	}
}

// A program is handed what names it, and nothing that is for another system.
func TestAProgramIsHandedWhatNamesItAlone(t *testing.T) {
	f := start(t)
	for name, origin := range map[string]string{"erp": "https://erp.example", "dir": "exec://ldap"} {
		w := f.write(acme, name, name+"-value-Zq83mPw0")
		w.Scope, w.AnyOrigin = &vault.Scope{Origins: []string{origin}}, false
		if _, err := f.Set(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		j := vault.RotationJob{Tenant: acme, Secret: name, ID: "rot_1", Was: 1, Actor: admin(acme), Ways: vault.Ways{Programs: map[string]vault.RotationProgram{}},
			Rotator: resource.Rotator{Kind: resource.RotatorExec, Exec: &resource.ExecRotator{Program: "ldap", Generate: map[string]int{"token": 32}}}}
		_, err := f.MakeVersion(t.Context(), j)
		if denied := fault.Is(err, fault.Denied); denied != (name == "erp") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An order is given with no version that has expired.
func TestAnExpiredVersionGivesNoOrder(t *testing.T) {
	s := newIssuer(t)
	f, j := webJob(t, s)
	w := f.write(acme, "crm-token", "tok-narrow-Zq83mPw0")
	w.Scope, w.AnyOrigin = &vault.Scope{Origins: []string{s.URL}, NotAfter: f.now.AddDate(0, 0, 1)}, false
	if _, err := f.Rotate(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.AddDate(0, 0, 2)
	j.Was, j.Rotator.Admin, s.asked = 2, "", nil
	if _, err := f.MakeVersion(t.Context(), j); !fault.Is(err, fault.Denied) || len(s.asked) > 0 {
		t.Errorf("%v, and the system was asked %v", err, s.asked)
	}
}

// A system whose certificate is not trusted was sent nothing, so nothing was made.
func TestASystemThatIsNotReachedHasMadeNothing(t *testing.T) {
	s := newIssuer(t)
	f, j := webJob(t, s)
	j.Ways.Base = &http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, fmt.Errorf("x509: unknown authority")
	}}
	j.Rotator.HTTP.BaseURL = strings.Replace(s.URL, "http:", "https:", 1)
	for _, name := range []string{"crm-admin", "crm-token"} {
		w := f.write(acme, name, name+"-of-now-Zq83mPw0")
		w.Scope = &vault.Scope{Origins: []string{j.Rotator.HTTP.BaseURL}}
		if _, err := f.Rotate(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	j.Was = 2
	if _, err := f.MakeVersion(t.Context(), j); !fault.Is(err, fault.Unavailable) {
		t.Errorf("it is %v (%s)", err, fault.KindOf(err))
	}
}

// A fault of a library, in what it reads of a hostile system, ends one step alone.
func TestAFaultOfALibraryEndsOneStep(t *testing.T) {
	f := start(t)
	f.login("app-db", "postgres://db.example:5432", "app_a", "the-first-of-app-a-17")
	j := vault.RotationJob{Tenant: acme, Secret: "app-db", ID: "rot_1", Was: 1, Actor: admin(acme),
		Ways:    vault.Ways{Dial: func(context.Context, string, bool) (net.Conn, error) { panic("the-first-of-app-a-17") }},
		Rotator: resource.Rotator{Kind: resource.RotatorPostgres, SQL: &resource.SQLRotator{Host: "db.example", Port: 5432}}}
	err := f.TryVersion(t.Context(), j, 1)
	if !fault.Is(err, fault.Unknown) || strings.Contains(err.Error()+f.log.String(), "the-first-of") {
		t.Errorf("it is %v; the log has %s", err, f.log.String())
	}
}
