package app

import (
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// It must see inside: the program is made without a port, in a process of the suite's.

// authDriven is set in the processes that the suite starts.
const authDriven = "SALLYPORT_CONFORMANCE_AUTH"

// authorized are the scenarios of the official suite about authorization that hold of
// the whole program; connector/mcp/testdata/expected-failures.yaml says which do not,
// and why.
var authorized = []string{
	"basic-cimd", "scope-from-www-authenticate", "scope-from-scopes-supported",
	"scope-omitted-when-undefined", "scope-retry-limit", "token-endpoint-auth-basic", "token-endpoint-auth-post", "token-endpoint-auth-none", "pre-registration",
	"resource-mismatch", "offline-access-scope", "offline-access-not-supported",
	"iss-supported", "iss-not-advertised", "iss-supported-missing", "iss-wrong-issuer", "iss-unexpected", "iss-normalized", "metadata-issuer-mismatch",
}

// otherwise are those of which all holds but one check, by design: who is a client is
// registered by people, and so is a new scope; the program does neither by itself.
var otherwise = map[string]string{
	"metadata-default": "client-registration", "metadata-var1": "client-registration", "metadata-var2": "client-registration", "metadata-var3": "client-registration",
	"authorization-server-migration": "sep-2352-reregister-on-as-change", "scope-step-up": "scope-step-up-escalation",
}

// The suite starts this test's own program once for each scenario. It plays the people:
// the operator, who reads what the server says of itself and writes the Connection, and
// the admin, who opens the URL and consents. All else is the product.
func TestConformanceOfAuthorizationByAPerson(t *testing.T) {
	if os.Getenv(authDriven) != "" {
		authorizeAsPeople(t, flag.Arg(0))
		return
	}
	dir := os.Getenv("SALLYPORT_TEST_MCP")
	if dir == "" {
		t.Skip("SALLYPORT_TEST_MCP does not name a directory with node_modules")
	}
	for _, name := range authorized {
		t.Run(name, func(t *testing.T) {
			if out, err := scenario(t, dir, name); err != nil {
				t.Errorf("%v\n%s", err, out[max(0, len(out)-5000):])
			}
		})
	}
	for name, check := range otherwise {
		t.Run(name, func(t *testing.T) {
			out, err := scenario(t, dir, name)
			failed := regexp.MustCompile(`\[([a-z0-9-]+) *\]\S* \S*FAILURE`).FindAllStringSubmatch(string(out), -1)
			if err == nil || len(failed) != 1 || failed[0][1] != check {
				t.Errorf("%v %q\n%s", err, failed, out[max(0, len(out)-5000):])
			}
		})
	}
}

func scenario(t *testing.T, dir, name string) ([]byte, error) {
	bin := filepath.Join(dir, "node_modules")
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, ".bin", "conformance"), "client", "--scenario", "auth/"+name,
		"--command", os.Args[0]+" -test.run=^TestConformanceOfAuthorizationByAPerson$ -test.v", "-o", t.TempDir())
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(bin, "node", "bin")+":"+filepath.Join(bin, ".bin")+":"+os.Getenv("PATH"), authDriven+"=1")
	return cmd.CombinedOutput()
}

var challenged = regexp.MustCompile(`(\w+)="([^"]*)"`)

// told is what an operator finds out about a server, by hand.
type told struct {
	Servers []string `json:"authorization_servers"`
	Scopes  []string `json:"scopes_supported"`
	Methods []string `json:"token_endpoint_auth_methods_supported"`
	CIMD    bool     `json:"client_id_metadata_document_supported"`
}

func look(t *testing.T, at string, into *told) bool {
	t.Helper()
	resp, err := http.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode == 200 && json.NewDecoder(resp.Body).Decode(into) == nil
}

// findOut gives the issuer, the scope and what the issuer says of itself.
func findOut(t *testing.T, server string) (issuer, scope string, as told) {
	t.Helper()
	resp, err := http.Post(server, "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	said := map[string]string{}
	for _, m := range challenged.FindAllStringSubmatch(resp.Header.Get("WWW-Authenticate"), -1) {
		said[m[1]] = m[2]
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	root := u.Scheme + "://" + u.Host
	var rs told
	for _, at := range []string{said["resource_metadata"], root + "/.well-known/oauth-protected-resource" + u.Path, root + "/.well-known/oauth-protected-resource"} {
		if at != "" && look(t, at, &rs) {
			break
		}
	}
	if len(rs.Servers) == 0 {
		t.Fatal("the server names no authorization server")
	}
	if scope = said["scope"]; scope == "" {
		scope = strings.Join(rs.Scopes, " ")
	}
	issuer = rs.Servers[0]
	if u, err = url.Parse(issuer); err != nil {
		t.Fatal(err)
	}
	root = u.Scheme + "://" + u.Host
	for _, at := range []string{root + "/.well-known/oauth-authorization-server" + u.Path, root + "/.well-known/openid-configuration" + u.Path, issuer + "/.well-known/openid-configuration"} {
		if look(t, at, &as) {
			break
		}
	}
	return issuer, scope, as
}

// authorizeAsPeople is one scenario.
func authorizeAsPeople(t *testing.T, server string) {
	issuer, scope, as := findOut(t, server)
	if slices.Contains(as.Scopes, "offline_access") { // the operator wants a refresh token
		scope = strings.TrimSpace(scope + " offline_access")
	}
	var registered struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	_ = json.Unmarshal([]byte(os.Getenv("MCP_CONFORMANCE_CONTEXT")), &registered)
	switch {
	case registered.ID != "":
	case as.CIMD:
		registered.ID = "https://conformance-test.local/client-metadata.json"
	default: // as somebody registered it there
		if registered.ID = "by-hand"; len(as.Methods) > 0 && !slices.Contains(as.Methods, "none") {
			registered.Secret = "cnry-3b81Lm5YpT7d46-client"
		}
	}
	w, ctx := newTower(t, t.TempDir(), nil, nil), t.Context()
	fields := map[string][]byte{"client_id": []byte(registered.ID)}
	if registered.Secret != "" {
		fields["client_secret"] = []byte(registered.Secret)
	}
	_, err := w.Vault.Set(ctx, vault.Write{Tenant: "acme", Name: "peer", AnyOrigin: true, Actor: setter, Fields: fields})
	w.must(err)
	_, err = w.Apply(ctx, setter, []resource.Resource{
		&resource.Integration{Head: headOf(resource.KindIntegration, "peer"), MCP: &resource.MCP{URL: server, Network: resource.Network{AllowLoopbackHTTP: true}}},
		&resource.Connection{Head: headOf(resource.KindConnection, "peer"), Integration: "peer", Tools: []string{},
			Auth: resource.Auth{Scheme: resource.SchemeOAuthUser, Secret: "peer", Issuer: issuer, Scope: scope}},
	}, false, false)
	w.must(err)
	admin := ident.Principal{Tenant: "acme", Kind: ident.Person, ID: "acc_a", Name: "ada", Roles: []ident.Role{ident.Admin}}
	g, err := w.Authorize(ctx, admin, "peer", "the session")
	w.must(err)
	browser := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Get(g.URL)
	w.must(err)
	_ = resp.Body.Close()
	back, err := resp.Location()
	w.must(err)
	if got := back.Scheme + "://" + back.Host + back.Path; got != "https://sallyport.example.com/oauth/callback" {
		t.Fatalf("the person is sent to %s", got)
	}
	q := back.Query()
	_, err = w.Authorized(ctx, admin, "the session", vault.GrantAnswer{State: q.Get("state"), Code: q.Get("code"), Issuer: q.Get("iss"), Error: q.Has("error")})
	w.must(err)
	_, err = w.Survey(ctx, admin, "peer")
	w.must(err)
}
