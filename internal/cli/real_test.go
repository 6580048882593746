package cli_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"sallyport.dev/internal/vaulttest"
)

// TestRealScripts are scripts with a real Vault or OpenBao of their own, engine 2 at
// "secret", in which an AppRole may read and create below sallyport/.
func TestRealScripts(t *testing.T) {
	v := &realVault{Server: vaulttest.Start(t), t: t}
	v.KVAt(t, "secret", 2)
	v.Do(t, "PUT", "sys/policies/acl/sallyport", map[string]any{"policy": `path "secret/data/sallyport/*" { capabilities = ["read", "create"] }`})
	v.Do(t, "POST", "sys/auth/approle", map[string]any{"type": "approle"})
	v.Do(t, "POST", "auth/approle/role/sallyport", map[string]any{"token_policies": "sallyport", "token_ttl": "1h"})
	role, _ := v.Do(t, "GET", "auth/approle/role/sallyport/role-id", nil)["role_id"].(string)
	secret, _ := v.Do(t, "POST", "auth/approle/role/sallyport/secret-id", nil)["secret_id"].(string)
	p := scripts("real")
	setup := p.Setup
	p.Setup = func(e *testscript.Env) error {
		e.Setenv("VAULT_ADDRESS", v.Address)
		e.Setenv("VAULT_CA", v.CAFile)
		e.Setenv("ROLE_ID", role)
		if err := os.MkdirAll(filepath.Join(e.WorkDir, "planted"), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(e.WorkDir, "planted", "secret-id"), []byte(secret+"\n"), 0o600); err != nil {
			return err
		}
		return setup(e)
	}
	p.Cmds["vault"], p.Cmds["accept"], p.Cmds["throughout"], p.Cmds["unsent"] = v.command, accept, throughout, unsent
	testscript.Run(t, p)
}

type realVault struct {
	*vaulttest.Server
	t *testing.T
}

// vault put PATH FILE, has PATH FILE, delete PATH, seal, unseal, stop: the hand of
// the Vault's administrator.
func (v *realVault) command(ts *testscript.TestScript, _ bool, args []string) {
	line := func(file string) string { return strings.TrimSuffix(ts.ReadFile(file), "\n") }
	switch args[0] {
	case "put":
		v.Do(v.t, "POST", "secret/data/"+args[1], map[string]any{"data": map[string]string{"token": line(args[2])}})
	case "has":
		data, _ := v.Do(v.t, "GET", "secret/data/"+args[1], nil)["data"].(map[string]any)
		if len(data) != 1 || data["token"] != line(args[2]) {
			ts.Fatalf("there is another value at %s", args[1])
		}
	case "delete":
		v.Do(v.t, "DELETE", "secret/data/"+args[1], nil)
	case "seal":
		v.Seal(v.t)
	case "unseal":
		v.Unseal(v.t)
	case "stop":
		v.Stop(v.t)
	default:
		ts.Fatalf("the vault can't %s", args[0])
	}
}

// accept TOKEN-FILE: the system takes another token from now on.
func accept(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.token = strings.TrimSuffix(ts.ReadFile(args[0]), "\n")
}

// throughout SECONDS CODE COMMAND ARG...: a command ends with the code each time
// that it runs in so many seconds.
func throughout(ts *testscript.TestScript, _ bool, args []string) {
	seconds, err := strconv.Atoi(args[0])
	ts.Check(err)
	for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); <-time.After(100 * time.Millisecond) {
		if got := run(ts, args[2:]); strconv.Itoa(got) != args[1] {
			ts.Fatalf("it ended with the exit code %d", got)
		}
	}
}

// unsent CODE COMMAND ARG...: a command ends with the code, and the system receives
// nothing.
func unsent(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	count := func() (n int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, k := range w.got {
			n += k
		}
		return n
	}
	before := count()
	exits(ts, false, args)
	if n := count() - before; n != 0 {
		ts.Fatalf("the system received %d requests", n)
	}
}
