package app

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/confine"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/connector/mcp"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/mcptest"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// TestMain is also the process that becomes an MCP server.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == confine.Command {
		_ = confine.Become()
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// The whole way to a real server: the connector's protocol, the vault's door, the
// child.
func TestARealServerIsAChildOfOursAndShowsNoCredential(t *testing.T) {
	peers := mcptest.Installed(t)
	const canary = "cnry-4Zq81LmmYpT7d46-app"
	const acme ident.Tenant = "acme"
	data := t.TempDir()
	a, err := New(t.Context(), Config{Dir: data, Listen: "127.0.0.1:0", Tenant: acme, LogHandler: slog.NewTextHandler(io.Discard, nil), Now: time.Now, Programs: []string{peers.Node(t)},
		Seals: []kek.Seal{kek.NewKeyFile(filepath.Join(data, "seal.key"))}})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			_ = a.Stop(context.Background())
		}
	}()
	admin := ident.Principal{Tenant: acme, Kind: ident.Person, ID: "acc_1", Roles: []ident.Role{ident.Admin}}
	if _, err := a.Vault.Set(t.Context(), vault.Write{Tenant: acme, Name: "everything", Fields: map[string][]byte{"token": []byte(canary)}, AnyOrigin: true, Actor: admin}); err != nil {
		t.Fatal(err)
	}
	in := &resource.Integration{Head: resource.Head{Name: "everything"}, MCP: &resource.MCP{
		Stdio: &resource.Stdio{Command: []string{peers.Node(t), peers.Script("server-everything"), "stdio"}, Read: []string{peers.Modules()}}}}
	kind, err := mcp.New(in)
	if err != nil {
		t.Fatal(err)
	}
	auth := resource.Auth{Scheme: resource.SchemeEnv, Name: "SERVICE_TOKEN", Secret: "everything"}
	open := vault.DoorSpec{Tenant: acme, Secret: "everything", Auth: auth, Origin: kind.Origin(), Integration: "everything", Connection: "everything-all", Method: "POST", Stdio: in.MCP.Stdio}
	door, err := a.Vault.Open(t.Context(), open)
	if err != nil {
		t.Fatal(err)
	}
	offers, err := kind.Survey(t.Context(), door, "acme/everything-all/x@1")
	if err != nil || !strings.Contains(string(offers.Document), "get-env") {
		t.Fatalf("%v\n%s\n%s", err, offers.Document, strings.Join(a.Vault.ChildTail(acme, "everything-all"), "\n"))
	}
	in.MCP.Definitions = offers.Document
	if kind, err = mcp.New(in); err != nil {
		t.Fatal(err)
	}
	call := func(tool, args string) connector.Answer {
		req, err := kind.Render(tool, json.RawMessage(args), "int_1")
		if err != nil {
			t.Fatal(err)
		}
		if door, err = a.Vault.Open(t.Context(), open); err != nil {
			t.Fatal(err)
		}
		return kind.Do(t.Context(), door, connector.Call{Tool: tool, Request: req, Credential: "acme/everything-all/x@1"})
	}
	env := call("get-env", `{}`)
	if env.Outcome != connector.Done || !strings.Contains(string(env.Body), "[secret:everything]") || strings.Contains(string(env.Body), canary) {
		t.Errorf("%+v %s", env, env.Body)
	}
	if sum := call("get-sum", `{"a":40,"b":2}`); sum.Outcome != connector.Done || !strings.Contains(string(sum.Body), "42") {
		t.Errorf("%+v %s", sum, sum.Body)
	}
	if long := call("trigger-long-running-operation", `{"duration":1,"steps":3}`); long.Outcome != connector.Done {
		t.Errorf("%+v %s", long, long.Body)
	}
	stopped = true
	if err := a.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
