package vaultkv_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/backend"
)

// told asks, and wants an error with these words, and these in its hint.
func told(t *testing.T, b backend.Backend, path string, why backend.Reason, words, hint string) {
	t.Helper()
	got, err := b.Fetch(t.Context(), backend.Ask{Path: path})
	got.Wipe()
	if err == nil || backend.ReasonOf(err) != why || !strings.Contains(err.Error(), words) || !strings.Contains(fault.HintOf(err), hint) {
		t.Errorf("%s: %v, hint %q; wanted %s, %q and %q", path, err, fault.HintOf(err), why, words, hint)
	}
}

func TestWhatIsRefusedNamesThePathThatWasAskedAndWhatItCanBe(t *testing.T) {
	f, s := startVault(t)
	c := config(t, f, s)
	c.Mount = "secrets"
	told(t, open(t, c, time.Now), "sallyport/crm", backend.Refused, "at secrets/data/sallyport/crm (status 403)", "mount")

	c = config(t, f, s)
	f.denied["secret/data/secret/data/sallyport/crm"], f.denied["secret/data/data/sallyport/crm"] = true, true
	for _, path := range []string{"secret/data/sallyport/crm", "data/sallyport/crm", "secret/sallyport/crm"} {
		told(t, open(t, c, time.Now), path, map[bool]backend.Reason{true: backend.Missing, false: backend.Refused}[path == "secret/sallyport/crm"],
			"", "neither the mount nor data/ in it: try sallyport/crm")
	}

	c = config(t, f, s)
	c.AppRole, c.TokenFile = nil, file(t, "token", "hvs.one-that-has-ended")
	told(t, open(t, c, time.Now), "sallyport/crm", backend.Refused, "does not let us", "the token has ended")
}

func TestAPathOfTheServersAPIIsRefusedWithTheOneThatIsMeant(t *testing.T) {
	f, s := startVault(t)
	r, err := backend.NewRegistry(backend.Entry{Name: "corp-vault", Tenants: []ident.Tenant{"acme"}, Paths: []string{"sallyport/", "one"}, Backend: open(t, config(t, f, s), time.Now)})
	if err != nil {
		t.Fatal(err)
	}
	for path, hint := range map[string]string{
		"secret/data/sallyport/crm": "try corp-vault:sallyport/crm", "data/sallyport/crm": "try corp-vault:sallyport/crm", "secret/sallyport/crm": "try corp-vault:sallyport/crm",
		"/sallyport/crm": "try sallyport/crm", "other/crm": "paths, in the backend's entry", "data/other": "paths, in the backend's entry",
		"sallyport": "paths, in the backend's entry", "sallyportx/crm": "paths, in the backend's entry", "onex": "paths, in the backend's entry",
	} {
		if _, err := r.Find("acme", "corp-vault", backend.Ask{Path: path}); err == nil || !strings.Contains(fault.HintOf(err), hint) {
			t.Errorf("%s: %v, hint %q", path, err, fault.HintOf(err))
		}
	}
	for _, path := range []string{"sallyport/crm", "sallyport/team/crm", "one", "one/below"} {
		if _, err := r.Find("acme", "corp-vault", backend.Ask{Path: path}); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestPlainHTTPToAListenerOfTLSIsNoRefusal(t *testing.T) {
	f, s := startVault(t)
	at := strings.Replace(s.URL, "https://", "http://", 1)
	c := config(t, f, s)
	c.Address, c.CAFile = at, ""
	told(t, open(t, c, time.Now), "sallyport/crm", backend.Away, "", "https://")
	c.AppRole, c.TokenFile = nil, file(t, "token", f.token("root", "token", nil))
	told(t, open(t, c, time.Now), "sallyport/crm", backend.Away, "", "https://")

	plain := httptest.NewServer(f) // its own 400 is one
	defer plain.Close()
	c = config(t, f, s)
	c.Address, c.CAFile = plain.URL, ""
	c.AppRole.RoleID = "another"
	told(t, open(t, c, time.Now), "sallyport/crm", backend.Refused, "refuses the sign-in", "auth/approle/login")
}

func TestWhoIsAwayOrWithoutACredentialSaysWhatToDo(t *testing.T) {
	f, s := startVault(t)
	c := config(t, f, s)
	c.AppRole.SecretIDFile = "not-there"
	t.Chdir(t.TempDir())
	told(t, open(t, c, time.Now), "sallyport/crm", backend.Refused, "not-there", "/not-there")
	f.fault = "is sealed"
	told(t, open(t, config(t, f, s), time.Now), "sallyport/crm", backend.Away, "is sealed", "vault operator unseal")
	away := config(t, f, s)
	s.Close()
	told(t, open(t, away, time.Now), "sallyport/crm", backend.Away, "does not answer", "check the address")
}
