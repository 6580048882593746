package vaultkv_test

import (
	"strconv"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/backendtest"
	"sallyport.dev/internal/vault/backend/vaultkv"
	"sallyport.dev/internal/vaulttest"
)

// put keeps fields at a path of a real engine, and gives the version.
func put(t *testing.T, s *vaulttest.Server, engine int, mount, path string, fields map[string]string) string {
	t.Helper()
	if engine == 1 {
		s.Do(t, "POST", mount+"/"+path, fields)
		return ""
	}
	n, _ := s.Do(t, "POST", mount+"/data/"+path, map[string]any{"data": fields})["version"].(float64)
	return strconv.Itoa(int(n))
}

func remove(t *testing.T, s *vaulttest.Server, engine int, mount, path string) {
	t.Helper()
	if engine == 2 {
		path = "data/" + path
	}
	s.Do(t, "DELETE", mount+"/"+path, nil)
}

// policy is the least that the documentation says, for a mount.
func policy(engine int, mount string) string {
	if engine == 1 {
		return `path "` + mount + `/sallyport/*" { capabilities = ["read"] }`
	}
	return `path "` + mount + `/data/sallyport/*" { capabilities = ["read", "create"] }`
}

// appRole makes a role that has a policy, and gives the sign-in of it; more are
// members of the role.
func appRole(t *testing.T, s *vaulttest.Server, policy string, more map[string]any) *vaultkv.AppRole {
	t.Helper()
	mount := s.Auth(t, "approle")
	in := map[string]any{"token_policies": []string{policy}, "token_ttl": "1h", "token_max_ttl": "24h"}
	for k, v := range more {
		in[k] = v
	}
	s.Do(t, "POST", "auth/"+mount+"/role/sallyport", in)
	id, _ := s.Do(t, "GET", "auth/"+mount+"/role/sallyport/role-id", nil)["role_id"].(string)
	secret, _ := s.Do(t, "POST", "auth/"+mount+"/role/sallyport/secret-id", nil)["secret_id"].(string)
	return &vaultkv.AppRole{Mount: mount, RoleID: id, SecretIDFile: file(t, "secret-id", secret+"\n")}
}

// at is a configuration for a mount, without a sign-in.
func at(s *vaulttest.Server, engine int, mount string) (c vaultkv.Config) {
	c.Address, c.CAFile, c.Namespace = s.Address, s.CAFile, s.Namespace
	c.Mount, c.Engine, c.Write = mount, engine, engine == 2
	return c
}

// The contract against a real server, with the policy of the documentation: what a
// policy lets and a fake does not know is told here.
func TestARealServerKeepsTheContract(t *testing.T) {
	s := vaulttest.Shared(t)
	for _, engine := range []int{1, 2} {
		t.Run("engine "+strconv.Itoa(engine), func(t *testing.T) {
			backendtest.Run(t, func(t *testing.T) backendtest.World { return realWorld(t, s, engine) })
		})
	}
}

func realWorld(t *testing.T, s *vaulttest.Server, engine int) backendtest.World {
	mount, now := s.KV(t, engine), time.Now()
	c := at(s, engine, mount)
	c.AppRole = appRole(t, s, s.Policy(t, policy(engine, mount)), nil)
	return backendtest.World{
		Backend: open(t, c, func() time.Time { return now }), Pins: engine == 2, Path: func(word string) string { return "sallyport/" + word },
		Put: func(t *testing.T, path string, fields map[string]string) string {
			t.Helper()
			return put(t, s, engine, mount, path, fields)
		},
		Remove: func(t *testing.T, path string) { t.Helper(); remove(t, s, engine, mount, path) },
		End: func() { // all tokens of the sign-in are revoked
			s.Do(t, "PUT", "sys/leases/revoke-prefix/auth/"+c.AppRole.Mount+"/login", nil)
			now = now.Add(time.Minute)
		},
	}
}

// What can be made to happen to a real one: no right, too many requests, sealed, and
// a process that says nothing.
func TestARealServersFaultsAreSorted(t *testing.T) {
	s := vaulttest.Start(t)
	for _, engine := range []int{1, 2} {
		t.Run("engine "+strconv.Itoa(engine), func(t *testing.T) {
			backendtest.Run(t, func(t *testing.T) backendtest.World {
				mount, now := s.KV(t, engine), time.Now()
				allowed := s.Policy(t, policy(engine, mount))
				c := at(s, engine, mount)
				c.AppRole = appRole(t, s, allowed, nil)
				return backendtest.World{
					Backend: open(t, c, func() time.Time { now = now.Add(time.Second); return now }), Pins: engine == 2, Path: func(word string) string { return "sallyport/" + word },
					Put: func(t *testing.T, path string, fields map[string]string) string {
						t.Helper()
						return put(t, s, engine, mount, path, fields)
					},
					Remove: func(t *testing.T, path string) { t.Helper(); remove(t, s, engine, mount, path) },
					Knows:  []backendtest.Fault{backendtest.Refusing, backendtest.Busy, backendtest.Sealed, backendtest.Silent},
					Fault:  faultsOf(t, s, engine, mount, allowed),
				}
			})
		})
	}
}

// faultsOf gives the hand that makes a real server fail, and mends it.
func faultsOf(t *testing.T, s *vaulttest.Server, engine int, mount, allowed string) func(backendtest.Fault) {
	mend := func() {}
	return func(f backendtest.Fault) {
		t.Helper()
		mend()
		mend = func() {}
		switch f {
		case backendtest.Fine:
		case backendtest.Refusing:
			s.Do(t, "PUT", "sys/policies/acl/"+allowed, map[string]any{"policy": `path "nothing" { capabilities = ["deny"] }`})
			mend = func() {
				s.Do(t, "PUT", "sys/policies/acl/"+allowed, map[string]any{"policy": policy(engine, mount)})
			}
		case backendtest.Busy:
			s.Do(t, "POST", "sys/quotas/rate-limit/"+mount, map[string]any{"path": mount, "rate": 1, "interval": "1h"})
			s.Ask(t, "GET", mount+"/config", nil, "X-Vault-Token", s.Token) // the one that the quota lets through
			mend = func() { s.Do(t, "DELETE", "sys/quotas/rate-limit/"+mount, nil) }
		case backendtest.Sealed:
			s.Seal(t)
			mend = func() { s.Unseal(t) }
		case backendtest.Silent:
			mend = s.Pause(t)
		default:
			t.Fatalf("a real server can't be made to do this: %s", f)
		}
	}
}

func TestARealStandbyIsNotFollowed(t *testing.T) {
	s := vaulttest.Start(t, "-standby")
	mount := s.KV(t, 2)
	put(t, s, 2, mount, "crm", map[string]string{"password": "x"})
	c := at(s, 2, mount)
	c.TokenFile = file(t, "token", s.Token)
	if err := ask(open(t, c, time.Now)); err != nil {
		t.Fatal(err)
	}
	c.Address = s.Standby
	if err := ask(open(t, c, time.Now)); backend.ReasonOf(err) != backend.Away {
		t.Errorf("a node on standby: %v", err)
	}
	c.TokenFile, c.AppRole = "", appRole(t, s, "default", nil)
	if err := ask(open(t, c, time.Now)); backend.ReasonOf(err) != backend.Away {
		t.Errorf("a sign-in at a node on standby: %v", err)
	}
}

// A pinned version is that version or nothing, whatever the engine did with others.
func TestRealVersionsAreThemselvesOrMissing(t *testing.T) {
	s := vaulttest.Shared(t)
	mount := s.KV(t, 2)
	c := at(s, 2, mount)
	c.TokenFile = file(t, "token", s.Token)
	b := open(t, c, time.Now)
	for range 4 {
		put(t, s, 2, mount, "crm", map[string]string{"password": "x"})
	}
	s.Do(t, "POST", mount+"/delete/crm", map[string]any{"versions": []int{1}})
	s.Do(t, "POST", mount+"/destroy/crm", map[string]any{"versions": []int{2}})
	fetch := func(version string) (backend.Answer, error) {
		got, err := b.Fetch(t.Context(), backend.Ask{Path: "crm", Version: version})
		defer got.Wipe()
		return got, err
	}
	for version, want := range map[string]backend.Reason{"1": backend.Missing, "2": backend.Missing, "3": "", "4": "", "": "", "5": backend.Missing} {
		if got, err := fetch(version); want == "" && (err != nil || version != "" && got.Version != version) || want != "" && backend.ReasonOf(err) != want {
			t.Errorf("version %q: %q, %v", version, got.Version, err)
		}
	}
	s.Do(t, "POST", mount+"/undelete/crm", map[string]any{"versions": []int{1}})
	if _, err := fetch("1"); err != nil {
		t.Errorf("a version that is back: %v", err)
	}
	s.Do(t, "POST", mount+"/metadata/crm", map[string]any{"max_versions": 1, "delete_version_after": "1h", "cas_required": true})
	s.Do(t, "POST", mount+"/data/crm", map[string]any{"options": map[string]int{"cas": 4}, "data": map[string]any{"password": "y", "n": 1, "nested": map[string]string{"a": "b"}, "nothing": nil}})
	if got, err := fetch(""); err != nil || got.Version != "5" || len(got.Fields) != 1 || time.Until(got.NotAfter) < 50*time.Minute || time.Until(got.NotAfter) > time.Hour {
		t.Errorf("one with other members, to be deleted in an hour: version %q, %d fields, until %s: %v", got.Version, len(got.Fields), got.NotAfter, err)
	}
	if _, err := fetch("3"); backend.ReasonOf(err) != backend.Missing {
		t.Errorf("a version that was one too many: %v", err)
	}
	s.Do(t, "DELETE", mount+"/metadata/crm", nil)
	if _, err := fetch(""); backend.ReasonOf(err) != backend.Missing {
		t.Errorf("all of it removed: %v", err)
	}
}

// The engine that is configured is not the one that is there.
func TestARealEngineOfTheOtherVersionIsNotRead(t *testing.T) {
	s := vaulttest.Shared(t)
	for is, configured := range map[int]int{1: 2, 2: 1} {
		mount := s.KV(t, is)
		put(t, s, is, mount, "crm", map[string]string{"password": "x"})
		put(t, s, is, mount, "data/crm", map[string]string{"password": "x"}) // as if it were of the other
		c := at(s, configured, mount)
		c.TokenFile = file(t, "token", s.Token)
		if err := ask(open(t, c, time.Now)); err == nil {
			t.Errorf("engine %d was read as %d", is, configured)
		}
	}
}
