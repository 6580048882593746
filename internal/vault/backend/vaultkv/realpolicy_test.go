package vaultkv_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/vaultkv"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vaulttest"
)

// section is what the documentation says of Vault.
func section(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "bring-your-own-vault.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, s, ok := strings.Cut(string(b), "\n## HashiCorp Vault, OpenBao\n")
	if !ok {
		t.Fatal("the documentation has no section about Vault")
	}
	s, _, _ = strings.Cut(s, "\n## ")
	return s
}

// blocks are the section's blocks of a language.
func blocks(t *testing.T, language string) (out []string) {
	t.Helper()
	for i, part := range strings.Split(section(t), "```") {
		if text, ok := strings.CutPrefix(part, language+"\n"); ok && i%2 == 1 {
			out = append(out, text)
		}
	}
	return out
}

// documented is the policy whose first line begins with a comment.
func documented(t *testing.T, comment string) string {
	t.Helper()
	for _, b := range blocks(t, "hcl") {
		if strings.HasPrefix(b, "# "+comment) {
			return b
		}
	}
	t.Fatalf("the documentation has no policy %q", comment)
	return ""
}

func TestARealServerTakesEachPolicyOfTheDocumentation(t *testing.T) {
	s := vaulttest.Shared(t)
	all := blocks(t, "hcl")
	for _, p := range all {
		s.Policy(t, p)
	}
	if len(all) < 3 {
		t.Errorf("there are %d policies", len(all))
	}
}

// documentedServer has the mounts that the documentation names, with a value below
// the path of the policies and one beside it.
func documentedServer(t *testing.T) *vaulttest.Server {
	t.Helper()
	s := vaulttest.Start(t)
	documentedMounts(t, s)
	return s
}

func documentedMounts(t *testing.T, s *vaulttest.Server) {
	t.Helper()
	for mount, engine := range map[string]int{"secret": 2, "kv": 1} {
		s.KVAt(t, mount, engine)
		put(t, s, engine, mount, "sallyport/crm", map[string]string{"password": "x"})
		put(t, s, engine, mount, "others/crm", map[string]string{"password": "x"})
	}
}

// can tells what a policy lets the backend do: read, create, read what is beside.
func can(t *testing.T, s *vaulttest.Server, engine int, mount, hcl string) (out []string) {
	t.Helper()
	c := at(s, engine, mount)
	c.AppRole = appRole(t, s, s.Policy(t, hcl), nil)
	b := open(t, c, time.Now)
	note := func(what string, err error) {
		if err == nil {
			out = append(out, what)
		} else if backend.ReasonOf(err) != backend.Refused {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, path := range map[string]string{"read": "sallyport/crm", "read beside": "others/crm"} {
		got, err := b.Fetch(t.Context(), backend.Ask{Path: path})
		got.Wipe()
		note(what, err)
	}
	if to, ok := b.(backend.Writer); ok {
		for what, path := range map[string]string{"create": "sallyport/" + vaulttest.Name(), "create beside": "others/" + vaulttest.Name()} {
			note(what, to.Create(t.Context(), path, map[string]plain.Value{"password": plain.New([]byte("y"))}))
		}
	}
	slices.Sort(out)
	return out
}

func TestTheDocumentedPoliciesAreEnoughAndLeast(t *testing.T) {
	root := vaulttest.Start(t)
	t.Run("the root", func(t *testing.T) { enoughAndLeast(t, root) })
	t.Run("a namespace", func(t *testing.T) { enoughAndLeast(t, root.InNamespace(t)) })
}

func enoughAndLeast(t *testing.T, s *vaulttest.Server) {
	t.Helper()
	documentedMounts(t, s)
	second, first := documented(t, "Engine 2"), documented(t, "Engine 1")
	for _, try := range []struct {
		engine      int
		mount, hcl  string
		want        string
		of, without string
	}{
		{2, "secret", second, "create,read", "", ""},
		{2, "secret", second, "read", `"read", "create"`, `"read"`}, // where write is not set
		{2, "secret", second, "create", `"read", "create"`, `"create"`},
		{2, "secret", second, "", `"read", "create"`, ``},
		{1, "kv", first, "read", "", ""},
		{1, "kv", first, "", `"read"`, ``},
	} {
		hcl := strings.ReplaceAll(try.hcl, try.of, try.without)
		if try.of != "" && hcl == try.hcl {
			t.Fatalf("the policy has no %s", try.of)
		}
		if got := strings.Join(can(t, s, try.engine, try.mount, hcl), ","); got != try.want {
			t.Errorf("engine %d with %s: it can %q, want %q", try.engine, hcl, got, try.want)
		}
	}
}

// Whoever has the token can do with it what the backend does, and nothing else.
func TestATokenWithTheDocumentedPolicyIsOfNoOtherUse(t *testing.T) {
	s := documentedServer(t)
	for mount, hcl := range map[string]string{"secret": documented(t, "Engine 2"), "kv": documented(t, "Engine 1")} {
		token := s.TokenOf(t, []string{s.Policy(t, hcl)}, nil)
		data := map[string]any{"data": map[string]string{"password": "overwritten"}}
		for _, r := range [][2]string{
			{"POST", "/data/sallyport/crm"}, {"PUT", "/data/sallyport/crm"}, {"PATCH", "/data/sallyport/crm"}, {"DELETE", "/data/sallyport/crm"},
			{"POST", "/sallyport/crm"}, {"DELETE", "/sallyport/crm"}, {"LIST", "/sallyport"}, {"LIST", "/metadata/sallyport"}, {"GET", "/metadata/sallyport/crm"},
			{"POST", "/delete/sallyport/crm"}, {"POST", "/destroy/sallyport/crm"}, {"POST", "/undelete/sallyport/crm"}, {"GET", "/config"}, {"GET", "/data/others/crm"}, {"GET", "/others/crm"},
		} {
			if a := s.Ask(t, r[0], mount+r[1], data, "X-Vault-Token", token, "Content-Type", "application/merge-patch+json"); a.Status != 403 {
				t.Errorf("%s %s%s: %d %s", r[0], mount, r[1], a.Status, a.Raw)
			}
		}
		for _, path := range []string{"sys/mounts", "sys/policies/acl", "sys/auth", "auth/token/accessors", "identity/entity/id"} {
			if a := s.Ask(t, "GET", path, nil, "X-Vault-Token", token); a.Status != 403 {
				t.Errorf("GET %s: %d %s", path, a.Status, a.Raw)
			}
		}
	}
}

func TestTheDocumentedPolicyOfATokenRenewsIt(t *testing.T) {
	s := documentedServer(t)
	own := documented(t, "With tokenFile")
	read := s.Policy(t, documented(t, "Engine 2"))
	for without, renewed := range map[string]bool{"": true, `"read"`: false, `"update"`: false} {
		hcl := own
		if without != "" {
			hcl = strings.Replace(own, without, `"deny"`, 1)
		}
		token := s.TokenOf(t, []string{read, s.Policy(t, hcl)}, map[string]any{"ttl": "1h", "no_default_policy": true})
		c, now := at(s, 2, "secret"), time.Now()
		c.TokenFile = file(t, "token", token)
		b := open(t, c, func() time.Time { return now })
		for range 2 {
			got, err := b.Fetch(t.Context(), backend.Ask{Path: "sallyport/crm"})
			got.Wipe()
			if err != nil {
				t.Errorf("without %s: %v", without, err)
			}
			now = now.Add(50 * time.Minute)
		}
		if got := s.Do(t, "POST", "auth/token/lookup", map[string]any{"token": token}); (got["last_renewal"] != nil) != renewed {
			t.Errorf("without %s: it was renewed at %v", without, got["last_renewal"])
		}
	}
}

// The documentation's commands, as requests, on a server that has nothing yet.
func TestTheDocumentedAppRoleSignsIn(t *testing.T) {
	s := documentedServer(t)
	var text string
	for _, b := range blocks(t, "text") {
		if strings.Contains(b, "approle") {
			text = b
		}
	}
	got := map[string]string{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		at, in := "", map[string]any{}
		for _, w := range words[2:] {
			switch name, value, pair := strings.Cut(w, "="); {
			case w == ">":
			case strings.HasPrefix(w, "-field="):
				at = value
			case pair && !strings.HasPrefix(w, "-"):
				in[name] = strings.Replace(value, "10.0.0.7/32", "127.0.0.1/32", 1) // where the test is
			}
		}
		rest := slices.DeleteFunc(words[2:], func(w string) bool { return strings.HasPrefix(w, "-") })
		switch words[1] {
		case "auth":
			s.Do(t, "POST", "sys/auth/"+rest[1], map[string]any{"type": rest[1]})
		case "policy":
			s.Do(t, "PUT", "sys/policies/acl/"+rest[1], map[string]any{"policy": documented(t, "Engine 2")})
		case "write":
			got[at], _ = s.Do(t, "POST", rest[0], in)[at].(string)
		case "read":
			got[at], _ = s.Do(t, "GET", rest[0], nil)[at].(string)
		default:
			t.Fatalf("what is %q", line)
		}
	}
	c := at(s, 2, "secret")
	c.AppRole = &vaultkv.AppRole{RoleID: got["role_id"], SecretIDFile: file(t, "bao-secret-id", got["secret_id"])}
	answer, err := open(t, c, time.Now).Fetch(context.Background(), backend.Ask{Path: "sallyport/crm"})
	answer.Wipe()
	if err != nil {
		t.Error(err)
	}
}

// HashiCorp's Vault has no namespaces without Enterprise, and says nothing about one:
// the documentation says so, since it is another value than was meant.
func TestARealVaultWithoutEnterpriseIgnoresANamespace(t *testing.T) {
	s := vaulttest.Shared(t)
	if s.Name == vaulttest.OpenBao {
		t.Skip("OpenBao heeds it: TestARealNamespaceIsReadAndNoOther")
	}
	c, policy := realCRM(t, s)
	c.AppRole, c.Namespace = appRole(t, s, policy, nil), "team"
	if err := ask(open(t, c, time.Now)); err != nil {
		t.Errorf("it heeds the namespace, and the documentation says that it doesn't: %v", err)
	}
	if !strings.Contains(section(t), "without Enterprise ignores `namespace`") {
		t.Error("the documentation does not say it")
	}
}
