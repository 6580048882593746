package vault_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport.dev/internal/confine"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// TestMain is also the process that becomes a child, and the child: a server that
// answers everything with its process's number and its credential.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == confine.Command {
		_ = confine.Become()
		os.Exit(1)
	}
	if len(os.Args) > 1 && os.Args[1] == "tell-all" {
		told := make(chan os.Signal, 1)
		signal.Notify(told, syscall.SIGUSR1)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			var m struct {
				ID     json.RawMessage
				Method string
			}
			if json.Unmarshal(in.Bytes(), &m) != nil {
				os.Exit(1)
			}
			if m.Method == "wait" {
				waits(told)
			}
			token, _ := os.ReadFile(os.Getenv("TOKEN"))
			if m.Method == "login" {
				token = []byte(os.Getenv("DB_PASSWORD"))
				fmt.Fprintf(os.Stderr, "login %s %s\n", os.Getenv("DB_USER"), token)
			}
			fmt.Fprintf(os.Stdout, `{"jsonrpc":"2.0","id":%s,"result":{"pid":%d,"length":%d,"token":%q}}`+"\n", m.ID, os.Getpid(), len(token), token)
			fmt.Fprintf(os.Stderr, "somebody asked, my token is %s\n", token)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// childSpec leads to such a server.
func childSpec(t *testing.T, ref string) vault.DoorSpec {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	auth := resource.Auth{Scheme: resource.SchemeFile, Name: "TOKEN", Secret: ref}
	return vault.DoorSpec{Tenant: acme, Secret: ref, Auth: auth, Origin: resource.Origin{Scheme: "http", Host: "tools.stdio.invalid:80"},
		Integration: "tools", Connection: "tools-read", Method: "POST", Base: nowhere{},
		Stdio: &resource.Stdio{Command: []string{self, "tell-all"}}}
}

// asks opens the door and calls.
func (f *fixture) asks(d vault.DoorSpec) (pid, length int) {
	f.t.Helper()
	door, err := f.Open(f.t.Context(), d)
	if err != nil {
		f.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(f.t.Context(), "POST", resource.StdioURL("tools"), strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tell"}`))
	if err != nil {
		f.t.Fatal(err)
	}
	resp, err := door.RoundTrip(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	var m struct {
		Result struct {
			Pid, Length int
			Token       string
		}
	}
	if err != nil || json.Unmarshal(b, &m) != nil || m.Result.Length > 0 && m.Result.Token != "[secret:tools]" {
		f.t.Fatalf("%s %v", b, err)
	}
	return m.Result.Pid, m.Result.Length
}

// ends closes the children with the test.
func (f *fixture) ends() *fixture {
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := f.CloseChildren(ctx); err != nil {
			f.t.Error(err)
		}
	})
	return f
}

func TestAChildHasTheCredentialAndItsCallersHaveNot(t *testing.T) {
	f := start(t).ends()
	f.set(acme, "tools", canary1)
	d := childSpec(t, "tools")
	first, length := f.asks(d)
	if again, _ := f.asks(d); length != len(canary1) || again != first {
		t.Errorf("it has %d bytes; the children are %d and %d", length, first, again)
	}
	if err := f.CloseChildren(t.Context()); err != nil {
		t.Fatal(err)
	}
	said := strings.Join(f.ChildTail(acme, "tools-read"), "\n")
	if !strings.Contains(said, "my token is [secret:tools]") || len(knows(t, canary1).Contains([]byte(said+f.log.String()))) > 0 {
		t.Errorf("%s\n%s", said, f.log)
	}
	if more := f.ChildTail(globex, "tools-read"); len(more) > 0 {
		t.Errorf("another tenant reads %q", more)
	}
}

// Attack: who has a builder's session applies an Integration that runs what they like.
func TestOnlyWhatTheOperatorAllowsRunsAsAChild(t *testing.T) {
	f := start(t).ends()
	f.set(acme, "tools", canary1)
	for name, change := range map[string]func(*resource.Stdio){
		"another program":       func(s *resource.Stdio) { s.Command = []string{"/bin/sh", "-c", "id"} },
		"a path that leads out": func(s *resource.Stdio) { s.Command[0] += "/../../../bin/sh" },
		"no sandbox":            func(s *resource.Stdio) { s.Sandbox = resource.SandboxBestEffort },
	} {
		d := childSpec(t, "tools")
		change(d.Stdio)
		if _, err := f.Open(t.Context(), d); !fault.Is(err, fault.Denied) || !strings.Contains(fault.HintOf(err), "serve") && name != "no sandbox" {
			t.Errorf("%s: %v", name, err)
		}
		if err := f.MayRun(d.Stdio); !fault.Is(err, fault.Denied) {
			t.Errorf("%s, applied: %v", name, err)
		}
	}
}

func TestRotationGivesTheNextCallAChildWithTheNewVersion(t *testing.T) {
	f := start(t).ends()
	f.set(acme, "tools", canary1)
	d := childSpec(t, "tools")
	first, _ := f.asks(d)
	f.rotate(acme, "tools", canary2+"-longer")
	second, length := f.asks(d)
	if second == first || length != len(canary2+"-longer") {
		t.Errorf("the children are %d and %d, with %d bytes", first, second, length)
	}
	f.set(acme, "another", canary3) // what is no concern of it leaves it alone
	if third, _ := f.asks(d); third != second {
		t.Error("another Secret ended it")
	}
	f.KeepChildren(globex, func(string) bool { return false })
	if third, _ := f.asks(d); third != second {
		t.Error("another tenant ended it")
	}
	f.KeepChildren(acme, func(connection string) bool { return connection != "tools-read" })
	if third, _ := f.asks(d); third == second {
		t.Error("it outlived its Connection")
	}
}

func TestADoorToAChildIsHeldToWhatEveryDoorIs(t *testing.T) {
	f := start(t).ends()
	w := f.write(acme, "tools", canary1)
	w.AnyOrigin, w.Scope = false, &vault.Scope{Integrations: []string{"tools"}, Origins: []string{resource.StdioURL("tools")}, Schemes: []resource.Scheme{resource.SchemeFile}}
	if _, err := f.Set(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	f.asks(childSpec(t, "tools"))
	for name, change := range map[string]func(*vault.DoorSpec){
		"another scheme":      func(d *vault.DoorSpec) { d.Auth.Scheme = resource.SchemeEnv },
		"another Integration": func(d *vault.DoorSpec) { d.Integration = "other" },
		"the network":         func(d *vault.DoorSpec) { d.Origin = system },
		"no Connection":       func(d *vault.DoorSpec) { d.Connection = "" },
		"another tenant":      func(d *vault.DoorSpec) { d.Tenant = globex },
		"none, and a secret":  func(d *vault.DoorSpec) { d.Auth = resource.Auth{Scheme: resource.SchemeNone} },
	} {
		d := childSpec(t, "tools")
		change(&d)
		if _, err := f.Open(t.Context(), d); err == nil {
			t.Errorf("%s: a door was opened", name)
		}
	}
	f.Seal()
	if _, err := f.Open(t.Context(), childSpec(t, "tools")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("sealed: %v", err)
	}
}
