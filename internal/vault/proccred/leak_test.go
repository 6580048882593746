package proccred_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/proccred"
)

// Every way in which a child can give its credential back: callers get marks in its
// place. That it had the credential is asked for apart, so that the test can fail.
func TestAChildThatRepeatsItsCredentialIsScrubbed(t *testing.T) {
	for _, scheme := range []resource.Scheme{resource.SchemeEnv, resource.SchemeFile} {
		w := newWorld(t)
		d := w.door(t, w.spec(t, scheme))
		mark := "[secret:erp]"
		for method, marks := range map[string]bool{"environment": scheme == resource.SchemeEnv, "file": true,
			"error": scheme == resource.SchemeEnv, "halves": scheme == resource.SchemeEnv, "stderr": false, "arguments": false} {
			g := call(t, d, method, nil) // call looks for the credential
			if g.err != nil || marks != strings.Contains(g.body, mark) {
				t.Errorf("%s, %s: %s", scheme, method, g.everything())
			}
		}
		if g := call(t, d, "die-in-the-middle", nil); g.err == nil {
			t.Error(g.everything())
		}
		if err := w.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		last := w.Tail("acme", "erp-tools")
		said := strings.Join(last, "\n")
		if found := leaks(said); len(found) > 0 || scheme == resource.SchemeEnv && !strings.Contains(said, "my token is "+mark) {
			t.Errorf("%s: %v\n%s", scheme, found, said)
		}
		if len(last) > 40 || strings.ContainsAny(said, "\x1b\r") {
			t.Errorf("%d lines:\n%q", len(last), said)
		}
		for _, line := range last {
			if len(line) > 310 {
				t.Errorf("a line of %d bytes", len(line))
			}
		}
	}
}

// A credential with line ends, as keys have, is not in lines that are scrubbed one
// by one.
func TestACredentialOfManyLinesIsScrubbedFromStandardError(t *testing.T) {
	w := newWorld(t)
	pem := "-----BEGIN KEY-----\ncnry-4Zq81LmmYpT7d46aa\ncnry-77Rt2QsB8h13bbKx\n-----END KEY-----"
	w.learn(t, pem)
	d := w.door(t, w.spec(t, resource.SchemeEnv, func(s *proccred.Spec) { s.Fields = map[string]plain.Value{"token": plain.New([]byte(pem))} }))
	call(t, d, "stderr", nil)
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if said := strings.Join(w.Tail("acme", "erp-tools"), "\n"); strings.Contains(said, "4Zq81Lmm") || strings.Contains(said, "77Rt2QsB") || !strings.Contains(said, "[secret:pem]") {
		t.Error(said)
	}
}

func TestALineWithoutAnEndEndsTheChildAndNotTheServer(t *testing.T) {
	w := newWorld(t)
	d := w.door(t, w.spec(t, resource.SchemeNone))
	g := call(t, d, "flood", nil)
	if !fault.Is(g.err, fault.Limit) || !g.sent || len(g.body) > 0 {
		t.Fatal(g.everything())
	}
	if got := call(t, d, "echo", map[string]any{"a": 3}).text(t); got != "map[a:3]" {
		t.Errorf("the child after it: %s", got)
	}
}

// One caller that does not read keeps nobody else from their answers.
func TestAStreamThatIsNotReadEndsAlone(t *testing.T) {
	w := newWorld(t)
	base, err := w.Door(w.spec(t, resource.SchemeNone))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := raw(t, base, `{"jsonrpc":"2.0","id":1,"method":"many"}`)
	waitFor(t, func() bool { return w.InFlight() == 0 }) // it was answered, to nobody
	if got := call(t, w.door(t, w.spec(t, resource.SchemeNone)), "echo", map[string]any{"a": 4}).text(t); got != "map[a:4]" {
		t.Error(got)
	}
	n := 0 // it may have ended before its beginning was read
	for buf := make([]byte, 1<<10); err == nil; {
		var k int
		k, err = resp.Body.Read(buf)
		n += k
	}
	if !fault.Is(err, fault.Limit) || n > 64<<10 {
		t.Errorf("%d bytes, then %v", n, err)
	}
}

func TestTheCredentialIsInNoArgument(t *testing.T) {
	w := newWorld(t)
	for _, scheme := range []resource.Scheme{resource.SchemeEnv, resource.SchemeFile} {
		d := w.door(t, w.spec(t, scheme))
		pid := call(t, d, "pid", nil).text(t)
		b, err := os.ReadFile("/proc/" + pid + "/cmdline")
		if err != nil {
			t.Skip("no /proc")
		}
		env, err := os.ReadFile("/proc/" + pid + "/environ")
		if found := leaks(string(b)); len(found) > 0 || !strings.Contains(string(b), "fake-server") {
			t.Errorf("%s: %q", scheme, b)
		}
		if err == nil && (scheme == resource.SchemeEnv) != strings.Contains(string(env), canary) {
			t.Errorf("%s: the environment of the process: %t", scheme, strings.Contains(string(env), canary))
		}
	}
}

func TestASecretThatAProcessCantBeGivenMakesNoDoor(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*proccred.Spec){
		"no such field of several": func(s *proccred.Spec) {
			s.Auth.Name, s.Auth.Variables = "", map[string]string{"DB_USER": "token", "DB_PASSWORD": "password"}
		},
		"a zero byte of several": func(s *proccred.Spec) {
			s.Auth.Name, s.Auth.Variables = "", map[string]string{"DB_USER": "username", "DB_PASSWORD": "token"}
			s.Fields["username"] = plain.New([]byte("x\x00TOKEN=y"))
		},
		"no such field": func(s *proccred.Spec) { s.Auth.Field = "password" },
		"a zero byte":   func(s *proccred.Spec) { s.Fields = map[string]plain.Value{"token": plain.New([]byte(canary + "\x00"))} },
		"a scheme":      func(s *proccred.Spec) { s.Auth.Scheme = resource.SchemeBearer },
	} {
		if _, err := w.Door(w.spec(t, resource.SchemeEnv, change)); !fault.Is(err, fault.Invalid) || len(leaks(fmt.Sprintf("%v %+v", err, err))) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARotatedCredentialGetsANewChildAndTheOldOneItsLastCalls(t *testing.T) {
	w := newWorld(t)
	old := w.door(t, w.spec(t, resource.SchemeFile))
	first := call(t, old, "pid", nil).text(t)
	done := make(chan got)
	go func() { done <- call(t, old, "collect", map[string]any{"n": 2, "got": "old"}) }()
	waitFor(t, func() bool { return w.InFlight() == 1 })
	next := w.door(t, w.spec(t, resource.SchemeFile, func(s *proccred.Spec) { s.Key.Version = 2 }))
	if pid := call(t, next, "pid", nil).text(t); pid == first {
		t.Error("the new version has the old child")
	}
	select {
	case g := <-done:
		t.Fatalf("the call in flight ended: %s", g.everything())
	default:
	}
	// The one in flight is answered: the old child was not killed.
	if err := w.ToDraining(t.Context(), `{"jsonrpc":"2.0","id":999,"method":"collect","params":{"n":2}}`); err != nil {
		t.Fatal(err)
	}
	if g := <-done; g.err != nil || !strings.Contains(g.body, "old") {
		t.Error(g.everything())
	}
	waitFor(t, func() bool { return w.Live() == 1 })
}

func TestAChildWithoutCallsEndsAndOneIsStartedAgain(t *testing.T) {
	w := newWorld(t, func(c *proccred.Config) { c.Idle = 50 * time.Millisecond })
	d := w.door(t, w.spec(t, resource.SchemeNone))
	first := call(t, d, "pid", nil).text(t)
	waitFor(t, func() bool { return w.Live() == 0 })
	if second := call(t, d, "pid", nil).text(t); second == first {
		t.Error("it is the same child")
	}
}

func TestAChildThatIsNotKeptEnds(t *testing.T) {
	w := newWorld(t)
	d := w.door(t, w.spec(t, resource.SchemeNone))
	call(t, d, "pid", nil)
	w.Keep(func(k proccred.Key) bool { return k.Connection != "erp-tools" })
	waitFor(t, func() bool { return w.Live() == 0 })
}

func TestThereAreNoMoreChildrenThanTheLimit(t *testing.T) {
	w := newWorld(t, func(c *proccred.Config) { c.Most = 2 })
	at := func(name string) func(*proccred.Spec) { return func(s *proccred.Spec) { s.Key.Connection = name } }
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan got, 2)
	for i, name := range []string{"a", "b"} {
		d := w.door(t, w.spec(t, resource.SchemeNone, at(name)))
		go func() { done <- callIn(t, ctx, d, "never", nil) }()
		waitFor(t, func() bool { return w.InFlight() == i+1 })
	}
	third := w.door(t, w.spec(t, resource.SchemeNone, at("c")))
	if g := call(t, third, "echo", nil); !fault.Is(g.err, fault.Limit) || g.sent {
		t.Errorf("a third child: %s", g.everything())
	}
	cancel()
	<-done
	<-done
	if g := call(t, third, "echo", nil); g.err != nil { // an idle one makes room
		t.Error(g.everything())
	}
	if n := w.Live(); n > 2 {
		t.Errorf("%d children", n)
	}
}

func TestNothingIsStartedAfterTheEnd(t *testing.T) {
	w := newWorld(t)
	d := w.door(t, w.spec(t, resource.SchemeNone))
	call(t, d, "echo", nil)
	done := make(chan got)
	go func() { done <- call(t, d, "never", nil) }()
	waitFor(t, func() bool { return w.InFlight() == 1 })
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g := <-done; !fault.Is(g.err, fault.Unavailable) {
		t.Error(g.everything())
	}
	if g := call(t, d, "echo", nil); !fault.Is(g.err, fault.Unavailable) || g.sent {
		t.Error(g.everything())
	}
}
