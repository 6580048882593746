package kek_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/kek"
)

// bao is a server that the contract is checked with: the fake, or a real one that
// SALLYPORT_TEST_BAO_ADDR names, with the token of an administrator in
// SALLYPORT_TEST_BAO_TOKEN. The contract makes mounts, policies and tokens of its
// own there, and removes the mounts.
type bao struct {
	t                       *testing.T
	addr, token, ca, policy string
	mount, namespace        string
	client                  *http.Client
}

// eachBao runs the contract against the fake and, where there is one, against a
// real server.
func eachBao(t *testing.T, test func(t *testing.T, b *bao)) {
	t.Run("fake", func(t *testing.T) {
		_, s := startFake(t)
		test(t, newBao(t, s))
	})
	t.Run("real", func(t *testing.T) {
		addr, token := os.Getenv("SALLYPORT_TEST_BAO_ADDR"), os.Getenv("SALLYPORT_TEST_BAO_TOKEN")
		if addr == "" || token == "" {
			t.Skip("SALLYPORT_TEST_BAO_ADDR and SALLYPORT_TEST_BAO_TOKEN name no server")
		}
		b := &bao{t: t, addr: addr, token: token, client: http.DefaultClient}
		b.prepare()
		test(t, b)
	})
}

func newBao(t *testing.T, s *httptest.Server) *bao {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write(t, ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o644)
	b := &bao{t: t, addr: s.URL, token: fakeRoot, ca: ca, client: s.Client()}
	b.prepare()
	return b
}

// prepare mounts an engine of the test's own, with the key "sallyport" and the
// policy of docs/seals.md.
func (b *bao) prepare() {
	b.mount = "t" + strings.ToLower(rand.Text())
	b.admin("POST", "sys/mounts/"+b.mount, map[string]any{"type": "transit"})
	b.t.Cleanup(func() { b.admin("DELETE", "sys/mounts/"+b.mount, nil) })
	b.admin("POST", b.mount+"/keys/sallyport", map[string]any{"type": "aes256-gcm96"})
	b.policy = b.allow("sallyport")
}

// sealPolicy is the policy in docs/seals.md.
const sealPolicy = `path "%s/encrypt/%s" { capabilities = ["update"] }
path "%s/decrypt/%s" { capabilities = ["update"] }
`

// allow makes a policy for a key and gives its name.
func (b *bao) allow(key string) string {
	name := b.mount + "-" + key
	b.admin("PUT", "sys/policies/acl/"+name, map[string]any{"policy": fmt.Sprintf(sealPolicy, b.mount, key, b.mount, key)})
	return name
}

// admin calls the server as its administrator, and has to succeed.
func (b *bao) admin(method, path string, in map[string]any) map[string]map[string]any {
	b.t.Helper()
	status, out := b.call(method, path, in)
	if status >= 300 {
		b.t.Fatalf("%s %s: %d", method, path, status)
	}
	return out
}

// call calls the server as its administrator.
func (b *bao) call(method, path string, in map[string]any) (int, map[string]map[string]any) {
	b.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := http.NewRequest(method, b.addr+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("X-Vault-Token", b.token)
	if b.namespace != "" {
		r.Header.Set("X-Vault-Namespace", b.namespace)
	}
	res, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	var raw map[string]json.RawMessage
	_ = json.NewDecoder(res.Body).Decode(&raw)
	out := map[string]map[string]any{}
	for _, k := range []string{"data", "auth"} {
		var m map[string]any
		_ = json.Unmarshal(raw[k], &m)
		out[k] = m
	}
	return res.StatusCode, out
}

func (b *bao) tokenFile(policies ...string) string {
	b.t.Helper()
	token := b.admin("POST", "auth/token/create", map[string]any{"policies": policies, "ttl": "5m"})["auth"]["client_token"].(string)
	return b.file(token)
}

func (b *bao) file(content string) string {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "credential")
	write(b.t, path, []byte(content+"\n"), 0o600)
	return path
}

func (b *bao) config(key string) kek.TransitConfig {
	return kek.TransitConfig{Address: b.addr, Mount: b.mount, Key: key, Namespace: b.namespace, CAFile: b.ca}
}

// seal is a seal under a key, with a token that may use it.
func (b *bao) seal(key string) *kek.Transit {
	b.t.Helper()
	c := b.config(key)
	c.TokenFile = b.tokenFile(b.policy, b.allow(key))
	return b.with(c)
}

func (b *bao) with(c kek.TransitConfig) *kek.Transit {
	b.t.Helper()
	s, err := kek.NewTransit(c)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *bao) wrap(s *kek.Transit) kek.Sealed {
	b.t.Helper()
	sealed, err := s.Wrap(b.t.Context(), aad, root())
	if err != nil {
		b.t.Fatalf("%v (%s)", err, fault.HintOf(err))
	}
	return sealed
}

func (b *bao) opens(s *kek.Transit, sealed kek.Sealed) {
	b.t.Helper()
	got, err := s.Unwrap(b.t.Context(), aad, sealed)
	if err != nil || !bytes.Equal(plain.Bytes(got), plain.Bytes(root())) {
		b.t.Errorf("it does not open as what it was: %v (%s)", err, fault.HintOf(err))
	}
}

func TestTransitOpensWhatItSealedAndNothingElse(t *testing.T) {
	eachBao(t, func(t *testing.T, b *bao) {
		s := b.seal("sallyport")
		sealed := b.wrap(s)
		if sealed.Kind != kek.KindTransit || sealed.ID != b.mount+"/sallyport" || !bytes.HasPrefix(sealed.Box, []byte("vault:v1:")) {
			t.Errorf("%s %s %s", sealed.Kind, sealed.ID, sealed.Box)
		}
		b.opens(s, sealed)
		b.opens(b.seal("sallyport"), sealed)
		b.admin("POST", b.mount+"/keys/other", map[string]any{"type": "chacha20-poly1305"})
		foreign := b.wrap(b.seal("other"))
		foreign.ID = sealed.ID
		flipped, params, id := sealed, sealed, sealed
		flipped.Box = bytes.Clone(sealed.Box)
		if flipped.Box[20]--; sealed.Box[20] != 'B' {
			flipped.Box[20] = 'B' // still base64, and not what it was
		}
		params.Params = []byte(`{}`)
		id.ID = b.mount + "/other"
		for name, c := range map[string]struct {
			aad  box.AAD
			s    kek.Sealed
			want fault.Kind
		}{
			"as another vault's":             {box.Bind("root", "vault_2", "1"), sealed, fault.Denied},
			"another key's ciphertext":       {aad, foreign, fault.Denied},
			"a changed character":            {aad, flipped, fault.Denied},
			"with parameters that it lacked": {aad, params, fault.Denied},
			"under another key's name":       {aad, id, fault.Denied},
		} {
			if got, err := s.Unwrap(t.Context(), c.aad, c.s); !fault.Is(err, c.want) || len(plain.Bytes(got)) > 0 {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestTransitKeysRotateOnTheServer(t *testing.T) {
	eachBao(t, func(t *testing.T, b *bao) {
		s := b.seal("sallyport")
		first := b.wrap(s)
		b.admin("POST", b.mount+"/keys/sallyport/rotate", nil)
		b.opens(s, first)
		second := b.wrap(s)
		if !bytes.HasPrefix(second.Box, []byte("vault:v2:")) {
			t.Errorf("sealed under %s", second.Box)
		}
		b.admin("POST", b.mount+"/keys/sallyport/config", map[string]any{"min_decryption_version": 2})
		b.opens(s, second)
		if _, err := s.Unwrap(t.Context(), aad, first); !fault.Is(err, fault.Denied) || !strings.Contains(fault.HintOf(err), "min_decryption_version") {
			t.Errorf("the old version: %v (%s)", err, fault.HintOf(err))
		}
	})
}

// Vault's rewrap takes associated data in its reference, and does without it in
// its source: what is bound has to be sealed again. Where a server can rewrap it,
// the result has to open.
func TestTransitRewrapsOnTheServerOrNotAtAll(t *testing.T) {
	eachBao(t, func(t *testing.T, b *bao) {
		s := b.seal("sallyport")
		sealed := b.wrap(s)
		b.admin("POST", b.mount+"/keys/sallyport/rotate", nil)
		status, out := b.call("POST", b.mount+"/rewrap/sallyport", map[string]any{"ciphertext": string(sealed.Box),
			"associated_data": base64.StdEncoding.EncodeToString(kek.Bind(aad, sealed))})
		if status == http.StatusBadRequest {
			b.opens(s, b.wrap(s))
		} else {
			sealed.Box = []byte(out["data"]["ciphertext"].(string))
		}
		b.opens(s, sealed)
	})
}

func TestTransitSaysWhatIsMissing(t *testing.T) {
	eachBao(t, func(t *testing.T, b *bao) {
		sealed := b.wrap(b.seal("sallyport"))
		with := func(key, tokenFile string) *kek.Transit {
			c := b.config(key)
			c.TokenFile = tokenFile
			return b.with(c)
		}
		root1 := b.file(b.token)
		gone := sealed
		gone.ID = b.mount + "/gone"
		_, err := with("gone", root1).Unwrap(t.Context(), aad, gone)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "has no transit key "+gone.ID) {
			t.Errorf("a key that is not there: %v", err)
		}
		c := b.config("sallyport")
		c.Mount, c.TokenFile = "nothing-here", root1
		if _, err := b.with(c).Wrap(t.Context(), aad, root()); !fault.Is(err, fault.Invalid) {
			t.Errorf("a mount that is not there: %v", err)
		}
		for name, file := range map[string]string{"no policy": b.tokenFile("default"), "no such token": b.file("s.nobody"), "another key's policy": b.tokenFile(b.allow("other"))} {
			_, err := with("sallyport", file).Unwrap(t.Context(), aad, sealed)
			if want := `path "` + b.mount + `/decrypt/sallyport" { capabilities = ["update"] }`; !fault.Is(err, fault.Denied) || !strings.Contains(fault.HintOf(err), want) {
				t.Errorf("%s: %v (%s)", name, err, fault.HintOf(err))
			}
		}
		b.admin("POST", b.mount+"/keys/rsa", map[string]any{"type": "rsa-2048"})
		if _, err := b.seal("rsa").Wrap(t.Context(), aad, root()); !fault.Is(err, fault.Invalid) || !strings.Contains(fault.HintOf(err), "aes256-gcm96") {
			t.Errorf("a key that can't bind associated data: %v (%s)", err, fault.HintOf(err))
		}
	})
}

func TestTransitSignsInWithAnAppRole(t *testing.T) {
	eachBao(t, func(t *testing.T, b *bao) {
		mount := b.mount + "-role"
		b.admin("POST", "sys/auth/"+mount, map[string]any{"type": "approle"})
		t.Cleanup(func() { b.admin("DELETE", "sys/auth/"+mount, nil) })
		role := "auth/" + mount + "/role/sallyport"
		b.admin("POST", role, map[string]any{"token_policies": []string{b.policy}, "token_ttl": "1m"})
		c := b.config("sallyport")
		c.AppRole = &kek.AppRole{Mount: mount, RoleID: b.admin("GET", role+"/role-id", nil)["data"]["role_id"].(string),
			SecretIDFile: b.file(b.admin("POST", role+"/secret-id", map[string]any{})["data"]["secret_id"].(string))}
		b.opens(b.with(c), b.wrap(b.with(c)))
		wrong := *c.AppRole
		wrong.SecretIDFile = b.file("not-the-secret-id")
		c.AppRole = &wrong
		if _, err := b.with(c).Wrap(t.Context(), aad, root()); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "secret id") {
			t.Errorf("a wrong secret id: %v", err)
		}
	})
}

func TestTransitReadsItsTokenAgainAtEachUse(t *testing.T) {
	eachBao(t, func(t *testing.T, b *bao) {
		c := b.config("sallyport")
		c.TokenFile = b.file("s.expired")
		s := b.with(c)
		if _, err := s.Wrap(t.Context(), aad, root()); !fault.Is(err, fault.Denied) {
			t.Errorf("an expired token: %v", err)
		}
		write(t, c.TokenFile, read(t, b.tokenFile(b.policy)), 0o640) // as the server's agent does
		b.opens(s, b.wrap(s))
	})
}

func TestTransitStaysInItsNamespace(t *testing.T) {
	f, s := startFake(t)
	here := newBao(t, s)
	there := *here
	there.namespace = "team/a"
	there.admin("POST", "sys/mounts/"+there.mount, map[string]any{"type": "transit"})
	there.admin("POST", there.mount+"/keys/sallyport", map[string]any{"type": "aes256-gcm96"})
	sealed := there.wrap(there.seal("sallyport"))
	there.opens(there.seal("sallyport"), sealed)
	if _, err := here.seal("sallyport").Unwrap(t.Context(), aad, sealed); !fault.Is(err, fault.Denied) {
		t.Errorf("the key of the same name in another namespace: %v", err)
	}
	if last := f.seen[len(f.seen)-1]; last.Header.Get("X-Vault-Namespace") != "" || last.Header.Get("X-Vault-Request") != "true" {
		t.Errorf("asked with %v", last.Header)
	}
}
