package vaultkv_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/backendtest"
	"sallyport.dev/internal/vault/backend/vaultkv"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vaulttest"
)

// The contract in a namespace, where the engine, the sign-in and the policy of the
// documentation are too; and in one below another.
func TestARealNamespaceKeepsTheContract(t *testing.T) {
	team := vaulttest.Shared(t).InNamespace(t)
	for name, s := range map[string]*vaulttest.Server{"a namespace": team, "one below it": team.InNamespace(t)} {
		for _, engine := range []int{1, 2} {
			t.Run(name+", engine "+strconv.Itoa(engine), func(t *testing.T) {
				backendtest.Run(t, func(t *testing.T) backendtest.World { return realWorld(t, s, engine) })
			})
		}
	}
}

// homes are namespaces that have the same mount, sign-in and path in them, and each a
// value of its own.
func homes(t *testing.T, root *vaulttest.Server) map[string]vaultkv.Config {
	t.Helper()
	team := root.InNamespace(t)
	mount, out := vaulttest.Name(), map[string]vaultkv.Config{}
	for name, s := range map[string]*vaulttest.Server{"root": root, "team": team, "below": team.InNamespace(t), "other": root.InNamespace(t)} {
		s.KVAt(t, mount, 2)
		put(t, s, 2, mount, "sallyport/crm", map[string]string{"password": "of " + name})
		c := at(s, 2, mount)
		c.AppRole = appRole(t, s, s.Policy(t, policy(2, mount)), nil)
		out[name] = c
	}
	return out
}

// valueAt gives the value at the path that all homes have.
func valueAt(t *testing.T, c vaultkv.Config) (string, error) {
	t.Helper()
	got, err := open(t, c, time.Now).Fetch(t.Context(), backend.Ask{Path: "sallyport/crm"})
	defer got.Wipe()
	return string(plain.Bytes(got.Fields["password"])), err
}

func TestARealNamespaceIsReadAndNoOther(t *testing.T) {
	all := homes(t, vaulttest.Shared(t))
	for name, c := range all {
		if got, err := valueAt(t, c); err != nil || got != "of "+name {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if c.Namespace != "" {
			c.Namespace += "/" // as the server itself writes them
			if got, err := valueAt(t, c); err != nil || got != "of "+name {
				t.Errorf("%s with a slash: %q, %v", name, got, err)
			}
		}
		for elsewhere, other := range all { // another's credential, which has the same policy there
			if elsewhere == name {
				continue
			}
			c := c
			c.AppRole = other.AppRole
			refused(t, c, "the sign-in of "+elsewhere+" in "+name)
		}
	}
	gone := all["team"]
	gone.Namespace = vaulttest.Name()
	refused(t, gone, "a namespace that there is not")
}

// A token is of the namespace in which it was made. Below it, it can what its policy
// says of paths there; above and beside it, nothing.
func TestARealTokenOfANamespaceStaysInIt(t *testing.T) {
	root := vaulttest.Shared(t)
	all := homes(t, root)
	team, below := all["team"], all["below"]
	under := strings.TrimPrefix(below.Namespace, team.Namespace+"/")
	in := *root
	in.Namespace = team.Namespace
	token := func(paths ...string) string {
		hcl := ""
		for _, p := range paths {
			hcl += `path "` + p + team.Mount + `/data/sallyport/*" { capabilities = ["read"] }` + "\n"
		}
		return file(t, "token", in.TokenOf(t, []string{in.Policy(t, hcl)}, nil))
	}
	for what, try := range map[string]struct {
		home, file, want string
	}{
		"its own":                    {"team", token(""), "of team"},
		"below, not in the policy":   {"below", token(""), ""},
		"below, in the policy":       {"below", token("", under+"/"), "of below"},
		"above":                      {"root", token("", team.Namespace+"/", "../"), ""},
		"beside":                     {"other", token("", all["other"].Namespace+"/", "+/"), ""},
		"its own, but not in policy": {"team", token(under + "/"), ""},
	} {
		c := all[try.home]
		c.AppRole, c.TokenFile = nil, try.file
		got, err := valueAt(t, c)
		if got != try.want || try.want == "" && backend.ReasonOf(err) != backend.Refused || try.want != "" && err != nil {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
}

// What an administrator does to a namespace: locked, it is away, and values from before
// may be used; deleted, nothing is there any more.
func TestARealNamespaceThatIsLockedOrDeleted(t *testing.T) {
	root := vaulttest.Start(t)
	s := root.InNamespace(t)
	mount := s.KV(t, 2)
	put(t, s, 2, mount, "crm", map[string]string{"password": "x"})
	c := at(s, 2, mount)
	c.AppRole = appRole(t, s, s.Policy(t, `path "`+mount+`/data/crm" { capabilities = ["read"] }`), nil)
	b := open(t, c, time.Now)
	if err := ask(b); err != nil {
		t.Fatal(err)
	}
	key := root.Do(t, "POST", "sys/namespaces/api-lock/lock/"+s.Namespace, nil)["unlock_key"]
	if err := ask(b); backend.ReasonOf(err) != backend.Away {
		t.Errorf("a namespace that is locked: %v", err)
	}
	if err := ask(open(t, c, time.Now)); backend.ReasonOf(err) != backend.Away {
		t.Errorf("a sign-in in a namespace that is locked: %v", err)
	}
	root.Do(t, "POST", "sys/namespaces/api-lock/unlock/"+s.Namespace, map[string]any{"unlock_key": key})
	if err := ask(b); err != nil {
		t.Errorf("a namespace that is unlocked: %v", err)
	}
	root.Do(t, "DELETE", "sys/namespaces/"+s.Namespace, nil)
	for until := time.Now().Add(20 * time.Second); root.Ask(t, "GET", "sys/namespaces/"+s.Namespace, nil, "X-Vault-Token", root.Token).Status != 404; <-time.After(50 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the namespace is not deleted")
		}
	}
	if r := backend.ReasonOf(ask(b)); r != backend.Refused && r != backend.Missing {
		t.Errorf("a namespace that was deleted: %s", r)
	}
	refused(t, c, "a sign-in in a namespace that was deleted")
}
