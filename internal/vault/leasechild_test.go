package vault_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/backend/baotest"
)

// dbChild leads a Run to a database server that is a child, with the Run's password.
func (b *bank) dbChild(run string) vault.DoorSpec {
	d := childSpec(b.t.(*testing.T), "db")
	d.Auth.Field, d.Run = "password", run
	return d
}

// told makes one call, and gives the child's process and the length of its password.
func (b *bank) told(d vault.DoorSpec) (pid, length int) {
	b.t.Helper()
	door, err := b.Open(b.t.Context(), d)
	if err != nil {
		b.t.Fatal(err)
	}
	pid, length, err = b.through(door, "tell")
	if err != nil {
		b.t.Fatal(err)
	}
	return pid, length
}

func (b *bank) through(door http.RoundTripper, method string) (pid, length int, err error) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), "POST", resource.StdioURL("tools"), strings.NewReader(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q}`, method)))
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := door.RoundTrip(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	var m struct {
		Result struct {
			Pid, Length int
			Token       string
		}
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || json.Unmarshal(body, &m) != nil || m.Result.Token != "[secret:db]" {
		return 0, 0, fmt.Errorf("%s %w", body, err)
	}
	return m.Result.Pid, m.Result.Length, nil
}

// gone waits for a process's end.
func gone(t *testing.T, pid int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for syscall.Kill(pid, 0) == nil {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("the child outlives its credential")
		}
	}
}

// Attack: Run B calls the same Connection, and reaches the child that has Run A's
// credential; or it comes back to one when A has ended.
func TestARunsChildIsItsOwnAndEndsWithIt(t *testing.T) {
	b := openBank(t, nil)
	b.ends()
	one, length := b.told(b.dbChild("run_one"))
	two, _ := b.told(b.dbChild("run_two"))
	again, _ := b.told(b.dbChild("run_one"))
	if one == two || one != again || length == 0 {
		t.Errorf("run_one has the children %d and %d, run_two %d; a password of %d bytes", one, again, two, length)
	}
	b.want(2, 2, 2)
	late, err := b.Open(t.Context(), b.dbChild("run_one")) // opened before the end, used after it
	if err != nil {
		t.Fatal(err)
	}
	b.over["run_one"] = "its Run has ended"
	b.tend()
	b.want(1, 1, 1)
	if _, _, err := b.through(late, "tell"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a call began with a credential that was revoked: %v", err)
	}
	gone(t, one)
	if pid, _ := b.told(b.dbChild("run_two")); pid != two {
		t.Error("another Run's end ended it")
	}
	if err := b.EndLeases(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone(t, two)
	b.want(0, 0, 0)
}

func TestNobodysUseHasNoChildWithARunsCredential(t *testing.T) {
	b := openBank(t, nil)
	b.ends()
	if _, err := b.Open(t.Context(), b.dbChild("")); !fault.Is(err, fault.Denied) {
		t.Errorf("a door for no Run: %v", err)
	}
	b.want(0, 0, 0)
}

func TestACredentialThatWasReplacedGivesTheNextCallAnotherChild(t *testing.T) {
	b := openBank(t, nil)
	b.ends()
	b.Roles["app"] = baotest.Role{TTL: 5 * time.Minute, MaxTTL: 5 * time.Minute} // less than a child is idle
	d := b.dbChild("run_one")
	early, err := b.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := b.told(d)
	b.pass(4*time.Minute + 45*time.Second) // what is left is less than a call's margin; nobody renewed it
	second, _ := b.told(d)
	if second == first {
		t.Fatal("the next call has the old child")
	}
	// Who began with the old one neither ends the new child nor gets it.
	if pid, _, err := b.through(early, "tell"); err != nil || pid != first {
		t.Errorf("the call that began before has the child %d: %v", pid, err)
	}
	b.pass(3 * time.Minute)
	b.tend()
	gone(t, first)
	if pid, _ := b.told(d); pid != second {
		t.Error("the end of the old one ended the new one")
	}
	b.want(1, 1, 1)
}

func TestCallsUnderWayEndBeforeTheirCredentialIsRevokedButNotForLong(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		b := openBank(t, nil)
		b.ends()
		d := b.dbChild("run_one")
		pid, _ := b.told(d)
		door, err := b.Open(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { _, _, err := b.through(door, "wait"); done <- err }()
		b.until(func() bool { return strings.Contains(strings.Join(b.ChildTail(acme, "tools-read"), ""), "it waits") })
		b.over["run_one"] = "its Run was stopped"
		b.tend()
		b.want(1, 1, 1)
		if hangs {
			b.pass(31 * time.Second)
		} else if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		if !hangs {
			if err := <-done; err != nil {
				t.Errorf("the call under way: %v", err)
			}
		}
		b.tend()
		gone(t, pid)
		if hangs && <-done == nil {
			t.Error("a call that hangs was answered")
		}
		if len(b.Users()) != 0 {
			t.Errorf("hangs %v: the database has %v", hangs, b.Users())
		}
	}
}

// until waits for what another goroutine brings about.
func (b *bank) until(so func() bool) {
	b.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for !so() {
		select {
		case <-tick.C:
		case <-late:
			b.t.Fatal("it does not come about")
		}
	}
}

// The fake server writes its password to standard error, as one whose login fails does.
func TestTheLastWordsOfARunsChildAreScrubbed(t *testing.T) {
	b := openBank(t, nil)
	b.ends()
	b.Roles["app"] = baotest.Role{TTL: 5 * time.Minute, MaxTTL: 5 * time.Minute}
	_, before := b.as(acme, "run_one")
	b.told(b.dbChild("run_one"))
	b.pass(4*time.Minute + 45*time.Second)
	b.told(b.dbChild("run_one"))
	_, after := b.as(acme, "run_one")
	b.until(func() bool {
		return strings.Count(strings.Join(b.ChildTail(acme, "tools-read"), "\n"), "my token is [secret:db]") == 2
	})
	if err := b.CloseChildren(t.Context()); err != nil {
		t.Fatal(err)
	}
	said := strings.Join(b.ChildTail(acme, "tools-read"), "\n") + b.log.String()
	if before == after || len(knows(t, before, after).Contains([]byte(said))) > 0 {
		t.Errorf("standard error or the log has a password\n%s", said)
	}
}

func TestARunsChildIsGivenUserAndPasswordInVariables(t *testing.T) {
	b := openBank(t, nil)
	b.ends()
	d := b.dbChild("run_one")
	d.Auth = resource.Auth{Scheme: resource.SchemeEnv, Secret: "db", Variables: map[string]string{"DB_USER": "username", "DB_PASSWORD": "password"}}
	door, err := b.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.through(door, "login"); err != nil {
		t.Fatal(err)
	}
	user, password := b.as(acme, "run_one")
	b.until(func() bool { return len(b.ChildTail(acme, "tools-read")) > 0 })
	said := strings.Join(b.ChildTail(acme, "tools-read"), "\n")
	if !strings.Contains(said, "login "+user+" [secret:db]") || strings.Contains(said, password) {
		t.Errorf("it says %q, and the user is %s", said, user)
	}
}

// waits answers when a signal comes.
func waits(sig <-chan os.Signal) {
	fmt.Fprintln(os.Stderr, "it waits")
	<-sig
}
