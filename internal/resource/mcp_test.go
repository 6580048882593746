package resource_test

import (
	"encoding/json"
	"strings"
	"testing"

	"sallyport.dev/internal/resource"
)

func TestAnMCPServerIsAtAURLOrAChild(t *testing.T) {
	ok := func() *resource.Integration {
		return &resource.Integration{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindIntegration, Name: "tickets"},
			MCP: &resource.MCP{URL: "https://tickets.example/mcp"}}
	}
	if err := ok().Check(); err != nil {
		t.Fatalf("a server without definitions yet: %v", err)
	}
	for want, spoil := range map[string]func(*resource.Integration){
		"not several":              func(i *resource.Integration) { i.HTTP = &resource.HTTP{} },
		"not both":                 func(i *resource.Integration) { i.MCP.Stdio = &resource.Stdio{Command: []string{"/bin/x"}} },
		"where the server is":      func(i *resource.Integration) { i.MCP.URL = "" },
		"in the clear":             func(i *resource.Integration) { i.MCP.URL = "http://tickets.example/mcp" },
		"user name or password":    func(i *resource.Integration) { i.MCP.URL = "https://u:p@tickets.example/mcp" },
		"the document is not JSON": func(i *resource.Integration) { i.MCP.Definitions = json.RawMessage(`{`) },
		"looks like a secret": func(i *resource.Integration) {
			i.MCP.Definitions = json.RawMessage(`{"a":"ghp_0123456789abcdefghijABCDEFGHIJ012345"}`)
		},
		"not an absolute path":         func(i *resource.Integration) { i.MCP.URL, i.MCP.Stdio = "", &resource.Stdio{Command: []string{"node"}} },
		"decides what code runs":       child(map[string]string{"LD_PRELOAD": "/x.so"}),
		"this looks like a secret":     child(map[string]string{"API_KEY": "abc"}),
		"name of an environment":       child(map[string]string{"A=B": "1"}),
		"not reached over the network": func(i *resource.Integration) { child(nil)(i); i.MCP.Network.AllowLoopbackHTTP = true },
		"no reference in a header": func(i *resource.Integration) {
			i.MCP.Tools = map[string]resource.ToolRule{"x": {ReferenceHeader: "X-Ref"}}
		},
		"not the name of an argument": func(i *resource.Integration) {
			i.MCP.Tools = map[string]resource.ToolRule{"x": {ReferenceArgument: "a b"}}
		},
		"no reference is sent": func(i *resource.Integration) {
			i.MCP.Tools = map[string]resource.ToolRule{"x": {Lookup: &resource.Lookup{Connection: "c", Tool: "y", Args: map[string]any{"r": "$reference"}, Found: "/a"}}}
		},
		"nothing that errors are": func(i *resource.Integration) { i.MCP.Tools = map[string]resource.ToolRule{"x": {Errors: "maybe"}} },
	} {
		i := ok()
		spoil(i)
		if err := i.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func child(env map[string]string) func(*resource.Integration) {
	return func(i *resource.Integration) {
		i.MCP.URL, i.MCP.Stdio = "", &resource.Stdio{Command: []string{"/usr/bin/server"}, Env: env}
	}
}

func TestTheSchemesOfAnMCPConnection(t *testing.T) {
	for _, c := range []struct {
		auth resource.Auth
		want string // "" is right
	}{
		{resource.Auth{Scheme: resource.SchemeNone}, ""},
		{resource.Auth{Scheme: resource.SchemeNone, Secret: "x"}, "has no name"},
		{resource.Auth{Scheme: resource.SchemeEnv, Name: "TOKEN", Secret: "x"}, ""},
		{resource.Auth{Scheme: resource.SchemeFile, Name: "LD_LIBRARY_PATH", Secret: "x"}, "decides what code runs"},
		{resource.Auth{Scheme: resource.SchemeEnv, Secret: "x"}, "environment variable"},
		{resource.Auth{Scheme: resource.SchemeOAuthClient, Secret: "x", Issuer: "https://as.example", Scope: "a b"}, ""},
		{resource.Auth{Scheme: resource.SchemeOAuthClient, Secret: "x"}, "issuer is missing"},
		{resource.Auth{Scheme: resource.SchemeOAuthClient, Secret: "x", Issuer: "http://as.example"}, "https URL"},
		{resource.Auth{Scheme: resource.SchemeOAuthClient, Secret: "x", Issuer: "https://as.example?x"}, "https URL"},
		{resource.Auth{Scheme: resource.SchemeOAuthClient, Secret: "x", Issuer: "https://as.example", Scope: "a  b"}, "scopes"},
		{resource.Auth{Scheme: resource.SchemeBearer, Secret: "x", Issuer: "https://as.example"}, "only the scheme"},
		{resource.Auth{Scheme: resource.SchemeBearer}, "not a reference"},
	} {
		x := &resource.Connection{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindConnection, Name: "t"}, Integration: "tickets", Tools: []string{}, Auth: c.auth}
		err := x.Check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.auth, err, c.want)
		}
	}
}
