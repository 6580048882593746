package cli_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"sallyport.dev/client"
	"sallyport.dev/internal/app"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
)

// envSecrets is how many Secrets the test below has. Storing that many takes
// longer than the test.
const envSecrets = "SALLYPORT_TEST_SECRETS"

// TestKilledWhileKeysAreRotated kills the server with SIGKILL while it rotates
// every key: after the first batch of Secrets, and each time after one more. What
// the operator holds opens every Secret after each.
func TestKilledWhileKeysAreRotated(t *testing.T) {
	t.Parallel()
	n := 300 // more than one batch
	if s := os.Getenv(envSecrets); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	dir, key := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "seal.key")
	var tokens, uris []string
	must(t, opened(dir, key, func(a *app.App) error {
		for i := range 3 {
			token, uri, err := admin(t.Context(), a, fmt.Sprintf("ada%d", i))
			if err != nil {
				return err
			}
			tokens, uris = append(tokens, token), append(uris, uri)
		}
		return store(a, n)
	}))
	for i := range tokens {
		killRotating(t, dir, key, tokens[i], uris[i], i+1)
		must(t, opened(dir, key, func(a *app.App) error { return whole(a, n) }))
	}
	rep, err := app.VerifyAudit(t.Context(), dir, audit.VerifyOptions{})
	if err != nil || !rep.OK() {
		t.Errorf("the audit log: %v, %v", rep.Findings(), err)
	}
}

// admin makes somebody who is signed in.
func admin(ctx context.Context, a *app.App, name string) (token, uri string, err error) {
	password := "correct horse of ada"
	_, e, err := a.Directory.CreateAccount(ctx, setup, identity.NewAccount{Tenant: "default", Name: name, Roles: []ident.Role{ident.Admin}, Password: password}, time.Now())
	if err != nil {
		return "", "", err
	}
	now := time.Now()
	code, err := codeAt(e.URI, now.Unix()/30-1) // a code is good a step late: those of now and later are left
	if err != nil {
		return "", "", err
	}
	if _, token, err = a.Directory.SignIn(ctx, "default", name, password, code, now); err != nil {
		return "", "", err
	}
	return token, e.URI, nil
}

// killRotating starts the server, has it rotate every key, and kills it as soon as
// the audit log has that many more batches.
func killRotating(t *testing.T, dir, key, token, uri string, batches int) {
	t.Helper()
	path, err := exec.LookPath("sallyport")
	must(t, err)
	cmd := exec.Command(path, "--json", "serve", "--data", dir, "--key-file", key, "--listen", "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	must(t, err)
	var ready struct{ URL string }
	must(t, json.Unmarshal(line, &ready))
	c, err := client.New(ready.URL, client.Token(token))
	must(t, err)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "sallyport.db")+"?mode=ro&_pragma=busy_timeout(5000)")
	must(t, err)
	defer db.Close()
	count := func() (n int) {
		must(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM audit_entry WHERE type = $1", string(audit.SecretRekeyed)).Scan(&n))
		return n
	}
	before := count()
	code, err := codeAt(uri, time.Now().Unix()/30)
	must(t, err)
	answered := make(chan error, 1)
	go func() {
		answered <- c.Call(context.WithoutCancel(t.Context()), "POST", "/v1/keys/rotate",
			map[string]any{"what": "all", "password": "correct horse of ada", "code": code}, nil)
	}()
	for count() < before+batches {
		select {
		case err := <-answered:
			if err != nil {
				t.Fatalf("rotating: %v", err)
			}
			t.Log("it ended before it was killed") // nothing is lost by that either
			return
		default:
		}
	}
	must(t, cmd.Process.Kill())
	if err := <-answered; err == nil {
		t.Log("it ended before it was killed")
	}
}
